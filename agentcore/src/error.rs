//! Errors: what stops a start ([`Error`]) and what a handler answers with ([`HttpError`]).

use std::error::Error as StdError;
use std::fmt;

use http::StatusCode;
use serde_json::Value;

use crate::fields::fields;
use crate::response::{IntoResponse, Response};

/// Any error that a handler, a hook or a task may end with.
///
/// ```
/// fn parse(text: &str) -> Result<u32, agentcore::BoxError> {
///     Ok(text.trim().parse()?)
/// }
/// assert!(parse("seven").is_err());
/// ```
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// An error that chooses the HTTP status of the reply.
///
/// The answer is `{"error": "<message>"}` with that status; [`with_body`](Self::with_body) replaces the JSON. The
/// status survives `?` into [`BoxError`], so a helper deep below a handler can pick it.
///
/// On Amazon Bedrock AgentCore Runtime the *caller* sees 424 for every non-2xx answer, and no body: the platform
/// drops both.
///
/// `?` does not convert other errors into an `HttpError`: no status would be right for all of them.
/// [`http_error`](HttpErrorExt::http_error) gives an error its status before the `?`. In a function that returns
/// [`BoxError`], `?` takes every error; one without a status is answered with 500.
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
        }
    }

    /// With the status in words.
    fn of_status(status: impl TryInto<StatusCode>) -> Self {
        let mut error = Self::new(status, "");
        error.message = error
            .status
            .canonical_reason()
            .unwrap_or("error")
            .to_owned();
        error
    }

    /// Replaces the JSON of the answer.
    #[must_use]
    pub fn with_body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Names the cause, for the log; the caller does not see it.
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
        response.with_status(self.status).with_failure(self)
    }
}

/// A short way from a [`Result`] or an [`Option`] to an [`HttpError`] with a status.
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
    /// For a client error (400–499) the caller sees the error's text. For every other status the text may tell what is no
    /// business of the caller's; the caller sees the status in words, such as `Service Unavailable`, and the log has the error.
    /// For `None` the caller sees the status in words.
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

/// Keeps [`HttpErrorExt`] to the types that it is for.
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

/// The reply for an error that a handler returned: its own status where it, or a cause of it, is an [`HttpError`];
/// 500 otherwise.
pub(crate) fn error_response(error: &BoxError) -> Response {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&**error);
    while let Some(current) = cause {
        if let Some(http) = current.downcast_ref::<HttpError>() {
            return http.to_response();
        }
        cause = current.source();
    }
    Response::error(error.to_string())
        .with_status(StatusCode::INTERNAL_SERVER_ERROR)
        .with_failure(&**error)
}

/// `error: cause: deeper cause`, for one log line.
pub(crate) fn with_causes(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        let more = current.to_string();
        // Many libraries repeat their cause's text in their own.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = current.source();
    }
    text
}

/// The JSON of every error that the server itself answers with; a struct, so that its keys keep this order.
pub(crate) struct ErrorBody<'a> {
    pub(crate) error: &'a str,
    pub(crate) details: Option<&'a str>,
    pub(crate) path: Option<&'a str>,
}

fields! { ErrorBody<'a> { error, details?, path? } }

/// Why an agent could not start, or did not stop cleanly.
///
/// The text (`Display`) is meant for the person who started the program and may change between versions; ask the
/// `is_*` methods to decide something in code.
///
/// ```no_run
/// # async fn example() {
/// match agentcore::App::from_registry().serve().await {
///     Ok(()) => println!("stopped, everything finished"),
///     Err(error) if error.is_address_in_use() => eprintln!("already running? {error}"),
///     Err(error) => eprintln!("{error}"),
/// }
/// # }
/// ```
pub struct Error {
    /// Of the first problem, and of others if they are of another.
    kinds: Vec<Kind>,
    problems: Vec<String>,
    source: Option<BoxError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The registry or the `App` names no entrypoint, too many, or handlers that do not fit together.
    Registration,
    /// A configuration value does not parse.
    Config,
    /// The address cannot be bound, or the runtime cannot be built.
    Io,
    /// A start hook failed.
    Start,
    /// Something was still running when its time ended.
    CutOff,
}

impl Error {
    pub(crate) fn new(kind: Kind, problem: impl Into<String>) -> Self {
        Self::several(kind, vec![problem.into()])
    }

    pub(crate) fn several(kind: Kind, problems: Vec<String>) -> Self {
        debug_assert!(!problems.is_empty());
        Self {
            kinds: vec![kind],
            problems,
            source: None,
        }
    }

    /// Both results, or everything that is wrong with either.
    pub(crate) fn both<A, B>(one: Result<A, Self>, other: Result<B, Self>) -> Result<(A, B), Self> {
        match (one, other) {
            (Ok(one), Ok(other)) => Ok((one, other)),
            (Err(mut error), Err(more)) => {
                error.kinds.extend(more.kinds);
                error.problems.extend(more.problems);
                Err(error)
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The registered functions do not make an agent: no entrypoint, two of them, two ping handlers, ….
    #[must_use]
    pub fn is_registration(&self) -> bool {
        self.kinds.contains(&Kind::Registration)
    }

    /// An environment variable or a builder value is not valid.
    #[must_use]
    pub fn is_config(&self) -> bool {
        self.kinds.contains(&Kind::Config)
    }

    /// A start hook failed or took too long.
    #[must_use]
    pub fn is_start_hook(&self) -> bool {
        self.kinds.contains(&Kind::Start)
    }

    /// The address is taken by another process.
    #[must_use]
    pub fn is_address_in_use(&self) -> bool {
        self.source
            .as_ref()
            .and_then(|source| source.downcast_ref::<std::io::Error>())
            .is_some_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
    }

    /// The server stopped, and cut off what did not finish within the shutdown grace, or before a second signal: work,
    /// shutdown hooks, or drops of what belongs to the agent.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.kinds.contains(&Kind::CutOff)
    }

    /// Each problem on its own; at least one.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("; "))
    }
}

impl fmt::Debug for Error {
    /// For people: this is what a `main` that returns the error prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What cannot be bound or read says its cause already.
        if self.kinds.contains(&Kind::Io) {
            fmt::Display::fmt(self, f)
        } else {
            f.write_str(&with_causes(self))
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            // These have no words of their own, or are no status.
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
