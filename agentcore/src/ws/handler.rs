//! Socket handlers without macros.

use std::future::Future;

use super::session::{Opened, Opening};
use super::socket::WebSocket;
use crate::error::BoxError;
use crate::handler::extract::{FromInvocation, Requirements};
use crate::handler::response::IntoResponse;
use crate::util::sealed::Seal;

/// An async function or closure that [`App::websocket`](crate::App::websocket) takes.
///
/// Implemented for functions of a [`WebSocket`] and up to five further arguments, each [`FromInvocation`], in any order, that
/// return `()` or a `Result` of that and any error. `Args` is inferred. The trait is sealed.
///
/// ```
/// use agentcore::{App, BoxError, RequestContext, WebSocket};
///
/// async fn greet(socket: WebSocket, context: RequestContext) -> Result<(), BoxError> {
///     socket.send(context.session_id().unwrap_or("nobody")).await?;
///     Ok(())
/// }
///
/// let app = App::new().websocket("greet", greet);
/// # let _ = app;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a websocket handler",
    note = "a websocket handler is an async function that takes one `WebSocket`, and otherwise arguments that implement \
            `FromInvocation`; it returns `()` or `Result<(), E>`"
)]
pub trait WebSocketHandler<Args>: Clone + Send + Sync + 'static {
    /// What the arguments need from the app.
    #[doc(hidden)]
    fn requires(requirements: &mut Requirements, seal: Seal);

    /// Makes the arguments and calls the function.
    #[doc(hidden)]
    fn open(self, opening: Opening, seal: Seal) -> Opened;
}

/// What a [`WebSocketHandler`] returns: `()`, or a `Result` of that and any error. The trait is sealed.
///
/// ```
/// use agentcore::{BoxError, WebSocketReply};
///
/// fn check<R: WebSocketReply>(_: R) {}
/// check(());
/// check(Err::<(), BoxError>("no more tea".into()));
/// ```
pub trait WebSocketReply {
    /// Whether it ended well.
    #[doc(hidden)]
    fn into_end(self, seal: Seal) -> Result<(), BoxError>;
}

impl WebSocketReply for () {
    fn into_end(self, _: Seal) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError>> WebSocketReply for Result<(), E> {
    fn into_end(self, _: Seal) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

/// Implements the trait for functions with these arguments before and after the socket.
macro_rules! handlers {
    ($(($($before:ident),*; $($behind:ident),*)),+ $(,)?) => {$(
        impl<F, Fut, $($before,)* $($behind),*> WebSocketHandler<($($before,)* WebSocket, $($behind,)*)> for F
        where
            F: Fn($($before,)* WebSocket, $($behind),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output: WebSocketReply> + Send + 'static,
            $($before: FromInvocation + Send + 'static,)*
            $($behind: FromInvocation + Send + 'static,)*
        {
            fn requires(requirements: &mut Requirements, _: Seal) {
                let _ = &requirements;
                $($before::requires(requirements);)*
                $($behind::requires(requirements);)*
            }

            #[allow(non_snake_case, reason = "the type parameters double as variables")]
            fn open(self, mut opening: Opening, seal: Seal) -> Opened {
                let socket = opening.socket()?;
                $(let $before = $before::from_invocation(&mut opening.invocation)
                    .map_err(IntoResponse::into_response)?;)*
                $(let $behind = $behind::from_invocation(&mut opening.invocation)
                    .map_err(IntoResponse::into_response)?;)*
                drop(opening);
                Ok(Box::pin(async move { self($($before,)* socket, $($behind),*).await.into_end(seal) }))
            }
        }
    )+};
}

handlers!(
    (;),
    (; A),
    (A;),
    (; A, B),
    (A; B),
    (A, B;),
    (; A, B, C),
    (A; B, C),
    (A, B; C),
    (A, B, C;),
    (; A, B, C, D),
    (A; B, C, D),
    (A, B; C, D),
    (A, B, C; D),
    (A, B, C, D;),
    (; A, B, C, D, E),
    (A; B, C, D, E),
    (A, B; C, D, E),
    (A, B, C; D, E),
    (A, B, C, D; E),
    (A, B, C, D, E;),
);
