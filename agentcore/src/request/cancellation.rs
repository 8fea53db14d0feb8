//! [`CancellationToken`]: tells a request's code that its result is no longer wanted.

mod request;

use std::fmt;

use tokio_util::sync::CancellationToken as Token;

pub(crate) use self::request::Cancellation;

/// Cancelled when the client goes away, the `timeout` is over, or the server is told to stop.
///
/// A handler that takes a token decides itself what to drop and what to finish:
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
    pub(crate) fn new(token: Token) -> Self {
        Self(token)
    }

    /// Completes when the request is cancelled; at once if it is.
    ///
    /// # Cancel safety
    ///
    /// Safe: the future may be dropped, and the method called again.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_cancelled_whenever_it_is_asked_for() {
        let (cancellation, stopping) = (Cancellation::default(), Token::new());
        let early = CancellationToken::new(cancellation.token(&stopping));
        assert!(!early.is_cancelled());
        cancellation.cancel();
        assert!(early.is_cancelled());
        assert!(cancellation.token(&stopping).is_cancelled());
        assert!(!stopping.is_cancelled());
    }

    #[test]
    fn a_stop_cancels_every_request() {
        let stopping = Token::new();
        let token = CancellationToken::new(Cancellation::default().token(&stopping));
        stopping.cancel();
        assert!(token.is_cancelled());
    }
}
