//! [`Cancellation`]: the cancellation of one request. Its token is made at the first use, because most requests need none.
//!
//! # Invariant
//!
//! Once [`cancel`](Cancellation::cancel) has returned, every token that [`token`](Cancellation::token) has returned or will
//! return is cancelled, whichever threads call the two. `cancel` sets the flag and then reads the token; `token` makes the
//! token and then reads the flag. A fence stands between the two steps of each, so one of them sees the other. Without the
//! fences a processor may read first.

use crate::util::sync::{AtomicBool, OnceLock, Ordering, Token, fence};

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Cancellation {
    cancelled: AtomicBool,
    token: OnceLock<Token>,
}

impl Cancellation {
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if let Some(token) = self.token.get() {
            token.cancel();
        }
    }

    /// Whether the request has been cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The request's token. It is also cancelled when `parent` is.
    pub(crate) fn token(&self, parent: &Token) -> Token {
        let token = self.token.get_or_init(|| parent.child_token());
        fence(Ordering::SeqCst);
        if self.cancelled.load(Ordering::Relaxed) {
            token.cancel();
        }
        token.clone()
    }
}
