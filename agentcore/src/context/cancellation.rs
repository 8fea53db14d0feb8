//! Telling a request's code that nobody waits for it any more.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken as Token;

use crate::extract::{FromInvocation, Invocation, Requirements};

/// Cancelled when the client goes away, the `timeout` is over, or the server is told to stop.
///
/// A handler that takes it decides itself what to leave and what to finish:
///
/// ```
/// use agentcore::CancellationToken;
///
/// #[agentcore::entrypoint(main = false)]
/// async fn handler(question: String, cancelled: CancellationToken) -> String {
///     tokio::select! {
///         answer = think(question) => answer,
///         () = cancelled.cancelled() => "never mind".to_owned(),
///     }
/// }
///
/// async fn think(question: String) -> String {
///     question
/// }
/// ```
///
/// # Half-closed connections
///
/// A client that closes its sending side cannot be told from one that left. An agent whose entrypoint takes a
/// `CancellationToken` treats both as gone; any other still answers, unless its reply is a stream, which ends with its
/// reader.
#[derive(Clone)]
pub struct CancellationToken(Token);

impl CancellationToken {
    /// Completes when the request is cancelled; at once if it is.
    ///
    /// # Cancel safety
    ///
    /// Safe: it may be dropped and asked for again.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }

    /// Whether the request has been cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

impl fmt::Debug for CancellationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancellationToken")
            .field("is_cancelled", &self.is_cancelled())
            .finish()
    }
}

impl FromInvocation for CancellationToken {
    type Rejection = std::convert::Infallible;

    fn from_invocation(invocation: &mut Invocation) -> Result<Self, Self::Rejection> {
        Ok(invocation.scope().cancellation())
    }

    fn requires(requirements: &mut Requirements) {
        requirements.disconnects();
    }
}

/// A request's cancellation. The token is made when somebody asks for it: most requests never do.
#[derive(Debug, Default)]
pub(crate) struct Cancellation {
    cancelled: AtomicBool,
    token: OnceLock<Token>,
}

impl Cancellation {
    pub(crate) fn cancel(&self) {
        // Set before the look for a token; `token` looks after it has made one. One of the two sees the other.
        self.cancelled.store(true, Ordering::SeqCst);
        if let Some(token) = self.token.get() {
            token.cancel();
        }
    }

    /// The request's token; cancelled, too, when `parent` is.
    pub(crate) fn token(&self, parent: &Token) -> CancellationToken {
        let token = self.token.get_or_init(|| parent.child_token());
        if self.cancelled.load(Ordering::SeqCst) {
            token.cancel();
        }
        CancellationToken(token.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_cancelled_whenever_it_is_asked_for() {
        let (cancellation, stopping) = (Cancellation::default(), Token::new());
        let early = cancellation.token(&stopping);
        assert!(!early.is_cancelled());
        cancellation.cancel();
        assert!(early.is_cancelled());
        assert!(cancellation.token(&stopping).is_cancelled());
        assert!(!stopping.is_cancelled());
    }

    #[test]
    fn a_stop_cancels_every_request() {
        let stopping = Token::new();
        let token = Cancellation::default().token(&stopping);
        stopping.cancel();
        assert!(token.is_cancelled());
    }
}
