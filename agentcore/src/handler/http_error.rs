//! [`HttpError`]: an error that chooses the status of the reply.

use std::error::Error as StdError;
use std::fmt;

use http::StatusCode;
use serde_json::Value;

use super::response::{IntoResponse, Response};
use crate::error::{BoxError, TimedOut};
use crate::report::{Outcome, Rejection};
use crate::request;
use crate::tasks::TaskError;

/// An error that chooses the HTTP status of the reply.
///
/// The answer is `{"error": "<message>"}` with that status; [`with_body`](Self::with_body) replaces the JSON. The status
/// survives `?` into [`BoxError`], so a helper deep inside a handler can choose it.
///
/// On Amazon Bedrock AgentCore Runtime the *caller* sees 424 for every non-2xx answer, and no body: the platform
/// drops both.
///
/// `?` converts a [`TimedOut`](crate::TimedOut) into an `HttpError` with status 504. Other errors it does not convert: no
/// status would be right for all of them. [`http_error`](HttpErrorExt::http_error) gives an error its status before the `?`.
/// In a function that returns [`BoxError`], `?` takes every error; one without a status is answered with 500. An error type of
/// your own may implement `From<YourError> for HttpError`.
///
/// ```
/// use agentcore::HttpError;
/// use serde_json::{Value, json};
///
/// #[agentcore::entrypoint(main = false)]
/// async fn handler(event: Value) -> Result<Value, HttpError> {
///     let city = event["city"].as_str().ok_or_else(|| HttpError::new(422, "`city` is missing"))?;
///     Ok(json!({ "forecast": format!("{city}: sunny") }))
/// }
/// ```
pub struct HttpError {
    status: StatusCode,
    message: String,
    body: Option<Value>,
    source: Option<BoxError>,
    /// The reason for the log, if the library has rejected the request. The message may quote the request, so it is not logged.
    rejection: Option<Box<Rejection>>,
}

impl HttpError {
    /// An error answered with `status` and `{"error": message}`.
    ///
    /// `status` is a [`StatusCode`] or a number; a number outside 100–999 becomes 500.
    pub fn new(status: impl TryInto<StatusCode>, message: impl Into<String>) -> Self {
        Self {
            status: status
                .try_into()
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            message: message.into(),
            body: None,
            source: None,
            rejection: None,
        }
    }

    /// Marks the error as that of a request that the library rejects.
    pub(crate) fn rejecting(mut self, rejection: Rejection) -> Self {
        self.rejection = Some(Box::new(rejection));
        self
    }

    /// An error whose message is the status in words.
    fn of_status(status: impl TryInto<StatusCode>) -> Self {
        let mut error = Self::new(status, "");
        let reason = error.status.canonical_reason();
        error.message = reason.unwrap_or("error").to_owned();
        error
    }

    /// Replaces the JSON of the answer.
    #[must_use]
    pub fn with_body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Sets the cause, for the log. The caller does not see it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpError")
            .field("status", &self.status)
            .field("message", &self.message)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl StdError for HttpError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        self.to_response()
    }
}

impl HttpError {
    fn to_response(&self) -> Response {
        let response = match &self.body {
            Some(body) => Response::json(body),
            None => Response::error(&self.message),
        };
        let response = response.with_status(self.status);
        match &self.rejection {
            Some(rejection) => response.with_rejection((**rejection).clone()),
            None => response.with_failure(self),
        }
    }
}

/// Errors with a status of their own, which `?` converts into an [`HttpError`].
///
/// Without this trait, the one conversion into an `HttpError` would be that of an `HttpError`, and rustc would call every
/// other error a "type mismatch". A trait of this crate can say what to do. Of an error behind a `?`, rustc shows the name of
/// the trait, and the label alone.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not convert into an `agentcore::HttpError`, because it has no HTTP status",
    label = "give the error a status: `.http_error(422)?`, with `use agentcore::HttpErrorExt`",
    note = "a function that returns `Result<_, agentcore::BoxError>` takes every error; an error without a status is answered 500"
)]
pub trait HasHttpStatus {
    fn into_http_error(self) -> HttpError;
}

impl<E: HasHttpStatus> From<E> for HttpError {
    fn from(error: E) -> Self {
        error.into_http_error()
    }
}

#[diagnostic::do_not_recommend]
impl HasHttpStatus for TimedOut {
    fn into_http_error(self) -> HttpError {
        HttpError::new(StatusCode::GATEWAY_TIMEOUT, self.to_string()).with_source(self)
    }
}

/// Turns a [`Result`] or an [`Option`] into one with an [`HttpError`] and its status.
///
/// ```
/// use agentcore::{HttpError, HttpErrorExt};
/// use serde_json::{Value, json};
///
/// #[agentcore::entrypoint(main = false)]
/// async fn handler(event: Value) -> Result<Value, HttpError> {
///     // Without a number 422 {"error":"`count` is missing"}, and with "x" 422 {"error":"invalid digit found in string"}.
///     let count = event["count"].as_str().http_error_with(422, "`count` is missing")?;
///     let count: u32 = count.parse().http_error(422)?;
///     // 503 {"error":"Service Unavailable"}; the log has the reason.
///     let stock = std::fs::read_to_string("/run/stock").http_error(503)?;
///     Ok(json!({ "count": count, "stock": stock }))
/// }
/// ```
///
/// An error that is an `HttpError` already gets the new status, and becomes the source. The trait is sealed.
pub trait HttpErrorExt<T>: Sealed {
    /// The value, or an [`HttpError`] with `status`.
    ///
    /// For a client error (400–499) the caller sees the error's text. For every other status the text may reveal internals, so
    /// the caller sees the status in words, such as `Service Unavailable`, and the log has the error. For `None` the caller
    /// sees the status in words.
    ///
    /// `status` is a [`StatusCode`] or a number; a number outside 100–999 becomes 500.
    ///
    /// # Errors
    ///
    /// The `HttpError`, with the error as its source.
    #[doc(alias = "status")]
    fn http_error(self, status: impl TryInto<StatusCode>) -> Result<T, HttpError>;

    /// The value, or an [`HttpError`] with `status` that is answered with `{"error": message}`.
    ///
    /// # Errors
    ///
    /// The `HttpError`, with the error as its source.
    #[doc(alias = "status_with")]
    fn http_error_with(
        self,
        status: impl TryInto<StatusCode>,
        message: impl Into<String>,
    ) -> Result<T, HttpError>;
}

/// Seals [`HttpErrorExt`].
pub trait Sealed {}

impl<T, E> Sealed for Result<T, E> {}

impl<T> Sealed for Option<T> {}

impl<T, E: Into<BoxError>> HttpErrorExt<T> for Result<T, E> {
    fn http_error(self, status: impl TryInto<StatusCode>) -> Result<T, HttpError> {
        self.map_err(|error| {
            let source: BoxError = error.into();
            let mut error = HttpError::of_status(status);
            if error.status.is_client_error() {
                error.message = source.to_string();
            }
            error.with_source(source)
        })
    }

    fn http_error_with(
        self,
        status: impl TryInto<StatusCode>,
        message: impl Into<String>,
    ) -> Result<T, HttpError> {
        self.map_err(|error| HttpError::new(status, message).with_source(error))
    }
}

impl<T> HttpErrorExt<T> for Option<T> {
    fn http_error(self, status: impl TryInto<StatusCode>) -> Result<T, HttpError> {
        self.ok_or_else(|| HttpError::of_status(status))
    }

    fn http_error_with(
        self,
        status: impl TryInto<StatusCode>,
        message: impl Into<String>,
    ) -> Result<T, HttpError> {
        self.ok_or_else(|| HttpError::new(status, message))
    }
}

/// The reply for an error that a handler returned. The first of it and its causes that has a status decides: an [`HttpError`]
/// makes the reply, a job error has its own status, and a time limit makes it a 504. Without one it is a 500.
pub(crate) fn error_response(error: &BoxError) -> Response {
    let mut status = StatusCode::INTERNAL_SERVER_ERROR;
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&**error);
    while let Some(current) = cause {
        if let Some(http) = current.downcast_ref::<HttpError>() {
            return http.to_response();
        }
        #[cfg(feature = "durable")]
        if let Some(job) = current.downcast_ref::<crate::durable::JobError>() {
            return super::job_error::response(job);
        }
        if is_timeout(current) {
            request::note(Outcome::Timeout);
            status = StatusCode::GATEWAY_TIMEOUT;
            break;
        }
        cause = current.source();
    }
    Response::error(error.to_string())
        .with_status(status)
        .with_failure(&**error)
}

/// Whether it says that a task took longer than its limit.
fn is_timeout(error: &(dyn StdError + 'static)) -> bool {
    let task = error.downcast_ref::<TaskError>();
    error.is::<TimedOut>() || task.is_some_and(TaskError::is_timeout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::with_causes;

    fn failed(error: &str) -> Result<(), String> {
        Err(error.to_owned())
    }

    fn answer(error: &HttpError) -> (u16, &str) {
        (error.status().as_u16(), &error.message)
    }

    #[test]
    fn only_a_client_error_has_the_text_of_its_cause() {
        for (status, message) in [
            (400, "secret"),
            (422, "secret"),
            (499, "secret"),
            (500, "Internal Server Error"),
            (503, "Service Unavailable"),
            (302, "Found"),
            // These statuses have no words, or are not statuses.
            (599, "error"),
            (7, "Internal Server Error"),
        ] {
            let error = failed("secret").http_error(status).unwrap_err();
            let expected = if status == 7 { 500 } else { status };
            assert_eq!(answer(&error), (expected, message));
            assert_eq!(error.source().unwrap().to_string(), "secret");
        }
    }

    #[test]
    fn a_message_replaces_the_text_and_keeps_the_cause() {
        let error = failed("secret")
            .http_error_with(404, "no such city")
            .unwrap_err();
        assert_eq!(answer(&error), (404, "no such city"));
        assert_eq!(with_causes(&error), "no such city: secret");
    }

    #[test]
    fn nothing_is_an_error_too() {
        let error = None::<()>.http_error(StatusCode::NOT_FOUND).unwrap_err();
        assert_eq!(answer(&error), (404, "Not Found"));
        let error = None::<()>.http_error_with(404, "no such city").unwrap_err();
        assert_eq!(answer(&error), (404, "no such city"));
        assert!(error.source().is_none());
        assert_eq!(Some(1).http_error(404).unwrap(), 1);
        assert_eq!(Ok::<_, String>(1).http_error(404).unwrap(), 1);
    }

    #[test]
    fn the_last_status_given_is_that_of_the_reply() {
        let inner = Err::<(), _>(HttpError::new(503, "inner"));
        let outer = inner.http_error(404).unwrap_err();
        assert_eq!(answer(&outer), (404, "inner"));
        assert_eq!(error_response(&outer.into()).status(), 404);
    }
}
