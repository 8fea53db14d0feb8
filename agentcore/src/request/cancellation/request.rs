//! A request's cancellation, whose token is made when somebody asks for it: most requests never do.
//!
//! # Invariant
//!
//! Once [`cancel`](Cancellation::cancel) has returned, every token that [`token`](Cancellation::token) has returned or will
//! return is cancelled, whatever threads the two are called on. `cancel` sets the flag and looks for a token; `token` makes
//! one and looks at the flag. There is a fence between the two steps of each, so one of the two sees the other. Without the
//! fences a processor may look first.

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

    /// Whether it has been cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The request's token; cancelled, too, when `parent` is.
    pub(crate) fn token(&self, parent: &Token) -> Token {
        let token = self.token.get_or_init(|| parent.child_token());
        fence(Ordering::SeqCst);
        if self.cancelled.load(Ordering::Relaxed) {
            token.cancel();
        }
        token.clone()
    }
}
