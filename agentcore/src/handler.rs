//! Entrypoints without macros: plain async functions and closures as [`Handler`]s.

use std::future::Future;

use crate::error::{BoxError, error_response};
use crate::extract::{FromInvocation, Invocation, Requirements};
use crate::response::{IntoResponse, Response};

/// An async function or closure that [`App::entrypoint`](crate::App::entrypoint) takes.
///
/// Implemented for functions of up to six arguments, each [`FromInvocation`] (the payload is [`Json<T>`](crate::Json)),
/// that return something [`IntoResponse`], or a `Result` of that and any error. `Args` is inferred.
///
/// ```
/// use agentcore::{App, BoxError, Json};
/// use serde_json::{Value, json};
///
/// async fn double(Json(number): Json<i64>) -> Result<Json<Value>, BoxError> {
///     Ok(Json(json!({ "doubled": number.checked_mul(2).ok_or("too large")? })))
/// }
///
/// let app = App::new().entrypoint("double", double);
/// # let _ = app;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an entrypoint",
    note = "it takes an async function whose arguments implement `FromInvocation` (the payload as `Json<T>`) and \
            whose result implements `IntoResponse`, or is a `Result` of such a value and an error"
)]
pub trait Handler<Args>: Clone + Send + Sync + 'static {
    /// What the arguments need from the app.
    fn requires(requirements: &mut Requirements);

    /// Makes the arguments, calls the function and makes the reply.
    fn call(self, invocation: Invocation) -> impl Future<Output = Response> + Send + 'static;
}

/// What a [`Handler`] returns: something [`IntoResponse`], or a `Result` of that and any error.
///
/// ```
/// use agentcore::{BoxError, HandlerReply, Json};
///
/// fn check<R: HandlerReply>(_: R) {}
/// check(Json(1));
/// check(Ok::<_, BoxError>(Json("one")));
/// ```
pub trait HandlerReply {
    /// Makes the reply.
    fn into_reply(self) -> Response;
}

impl<R: IntoResponse> HandlerReply for R {
    fn into_reply(self) -> Response {
        self.into_response()
    }
}

impl<R: IntoResponse, E: Into<BoxError>> HandlerReply for Result<R, E> {
    fn into_reply(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error_response(&error.into()),
        }
    }
}

macro_rules! handlers {
    ($(($($argument:ident),*)),+) => {$(
        impl<F, Fut, $($argument),*> Handler<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output: HandlerReply> + Send + 'static,
            $($argument: FromInvocation + Send + 'static,)*
        {
            fn requires(requirements: &mut Requirements) {
                let _ = &requirements;
                $($argument::requires(requirements);)*
            }

            #[allow(non_snake_case, unused_mut, reason = "the type parameters double as variables; there may be none")]
            fn call(self, mut invocation: Invocation) -> impl Future<Output = Response> + Send + 'static {
                async move {
                    $(let $argument = match $argument::from_invocation(&mut invocation) {
                        Ok(argument) => argument,
                        Err(rejection) => return rejection.into_response(),
                    };)*
                    drop(invocation);
                    self($($argument),*).await.into_reply()
                }
            }
        }
    )+};
}

handlers!(
    (),
    (A),
    (A, B),
    (A, B, C),
    (A, B, C, D),
    (A, B, C, D, E),
    (A, B, C, D, E, G)
);
