//! How a handler's arguments are made from an [`Invocation`].

use std::any::{TypeId, type_name};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_core::de::DeserializeOwned;

use crate::context::Scope;
use crate::response::{IntoResponse, Json, Response};

/// One call of the entrypoint: the request's head, and its body, whole.
///
/// Extractors read from it; see [`FromInvocation`].
///
/// ```
/// use agentcore::{FromInvocation, Invocation};
///
/// /// How large the body is.
/// struct Size(usize);
///
/// impl FromInvocation for Size {
///     type Rejection = std::convert::Infallible;
///
///     fn from_invocation(invocation: &mut Invocation) -> Result<Self, Self::Rejection> {
///         Ok(Self(invocation.body().len()))
///     }
/// }
/// ```
pub struct Invocation {
    scope: Arc<Scope>,
    body: Bytes,
}

impl Invocation {
    pub(crate) fn new(scope: Arc<Scope>, body: Bytes) -> Self {
        Self { scope, body }
    }

    /// The request's headers, all of them.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.scope.headers()
    }

    /// The request's body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    pub(crate) fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }
}

impl fmt::Debug for Invocation {
    /// Neither headers nor body: both may carry secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A type that a handler may take as an argument besides its payload.
///
/// Arguments are recognised by type, in any order. Implement it for types of your own to keep handlers free of
/// plumbing:
///
/// ```
/// use agentcore::{FromInvocation, HttpError, Invocation};
///
/// /// The tenant that a gateway named in a header.
/// struct Tenant(String);
///
/// impl FromInvocation for Tenant {
///     type Rejection = HttpError;
///
///     fn from_invocation(invocation: &mut Invocation) -> Result<Self, HttpError> {
///         let header = invocation.headers().get("x-amzn-bedrock-agentcore-runtime-custom-tenant");
///         match header.and_then(|value| value.to_str().ok()) {
///             Some(name) => Ok(Self(name.to_owned())),
///             None => Err(HttpError::new(400, "the tenant header is missing")),
///         }
///     }
/// }
///
/// #[agentcore::entrypoint(main = false)]
/// async fn handler(question: String, tenant: Tenant) -> String {
///     format!("{} asked: {question}", tenant.0)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken from an invocation",
    note = "implement `agentcore::FromInvocation` for it, or wrap a payload as `agentcore::Json<{Self}>`"
)]
pub trait FromInvocation: Sized {
    /// The reply when the value cannot be had.
    type Rejection: IntoResponse;

    /// Makes the value. Runs on the workers, before the handler is called; may not wait.
    ///
    /// # Errors
    ///
    /// The rejection, which becomes the reply.
    fn from_invocation(invocation: &mut Invocation) -> Result<Self, Self::Rejection>;

    /// Names what has to be there when the server starts; nothing by default.
    fn requires(requirements: &mut Requirements) {
        let _ = requirements;
    }
}

/// What a handler's extractors need from the app, asked once before the server starts.
///
/// ```
/// use agentcore::{FromInvocation, Invocation, Requirements, Response, State};
///
/// struct Settings { model: String }
/// /// A part of the state; a start without `Settings` fails, and names them.
/// struct ModelName(String);
///
/// impl FromInvocation for ModelName {
///     type Rejection = Response;
///
///     fn from_invocation(invocation: &mut Invocation) -> Result<Self, Response> {
///         State::<Settings>::from_invocation(invocation).map(|settings| Self(settings.model.clone()))
///     }
///
///     fn requires(requirements: &mut Requirements) {
///         requirements.state::<Settings>();
///     }
/// }
/// ```
#[derive(Debug, Default)]
pub struct Requirements {
    states: Vec<(TypeId, &'static str)>,
    disconnects: bool,
}

impl Requirements {
    /// A state of type `S`, as [`State`](crate::State) needs it.
    pub fn state<S: 'static>(&mut self) {
        self.states.push((TypeId::of::<S>(), type_name::<S>()));
    }

    /// To notice a client that goes away, as [`CancellationToken`](crate::CancellationToken) needs it.
    pub fn disconnects(&mut self) {
        self.disconnects = true;
    }

    pub(crate) fn needs_disconnects(&self) -> bool {
        self.disconnects
    }

    pub(crate) fn states(&self) -> &[(TypeId, &'static str)] {
        &self.states
    }
}

impl FromInvocation for HeaderMap {
    type Rejection = std::convert::Infallible;

    fn from_invocation(invocation: &mut Invocation) -> Result<Self, Self::Rejection> {
        Ok(invocation.headers().clone())
    }
}

impl FromInvocation for Bytes {
    type Rejection = std::convert::Infallible;

    fn from_invocation(invocation: &mut Invocation) -> Result<Self, Self::Rejection> {
        Ok(invocation.body().clone())
    }
}

impl<T: DeserializeOwned> FromInvocation for Json<T> {
    type Rejection = Response;

    fn from_invocation(invocation: &mut Invocation) -> Result<Self, Response> {
        decode_payload(invocation).map(Json)
    }
}

/// Decodes the body into the payload type.
pub(crate) fn decode_payload<T: DeserializeOwned>(invocation: &Invocation) -> Result<T, Response> {
    decode(&invocation.body)
}

/// Straight into the user's type; only a failure is worth a second pass, which finds out where it is.
fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Response> {
    // Checked once for the whole body: `from_str` then skips the check per string, and a bad byte in a field that `T`
    // ignores is found too.
    let text = std::str::from_utf8(body).map_err(|error| {
        invalid(
            "Invalid encoding",
            &format!("the body is not UTF-8: {error}"),
        )
    })?;
    // Allowed by the JSON standard to be ignored, and sent by some clients.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(text).map_err(|error| explain::<T>(text, &error))
}

#[cold]
fn explain<T: DeserializeOwned>(text: &str, error: &serde_json::Error) -> Response {
    if !error.is_data() {
        return invalid("Invalid JSON", &error.to_string());
    }
    // The body may be broken behind the place where its shape was wrong; broken JSON is the more useful answer.
    if let Err(syntax) = serde_json::from_str::<serde_core::de::IgnoredAny>(text) {
        return invalid("Invalid JSON", &syntax.to_string());
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let (details, path) = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(error) => (error.inner().to_string(), error.path().to_string()),
        Ok(_) => (error.to_string(), ".".to_owned()),
    };
    Response::rejection(
        StatusCode::UNPROCESSABLE_ENTITY,
        "Invalid payload",
        &details,
        Some(&path),
    )
}

fn invalid(error: &str, details: &str) -> Response {
    Response::rejection(StatusCode::BAD_REQUEST, error, details, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::{Value, json};

    #[derive(Debug, Deserialize, PartialEq)]
    struct Order {
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Item {
        price: f64,
    }

    fn rejected<T: DeserializeOwned + fmt::Debug>(body: &[u8]) -> (u16, Value) {
        let response = decode::<T>(body).expect_err("a rejection");
        (
            response.status().as_u16(),
            serde_json::from_slice(response.body().unwrap()).unwrap(),
        )
    }

    #[test]
    fn a_good_body_is_decoded() {
        let order = decode::<Order>(br#"{"items":[{"price":1.5}],"more":true}"#).unwrap();
        assert_eq!(
            order,
            Order {
                items: vec![Item { price: 1.5 }]
            }
        );
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert_eq!(decode::<Value>("\u{feff}{}".as_bytes()).unwrap(), json!({}));
    }

    #[test]
    fn an_empty_body_is_invalid_json() {
        let (status, body) = rejected::<Value>(b"");
        assert_eq!(status, 400);
        assert_eq!(
            body,
            json!({"error": "Invalid JSON", "details": "EOF while parsing a value at line 1 column 0"})
        );
    }

    #[test]
    fn broken_json_names_line_and_column() {
        let (status, body) = rejected::<Value>(b"{\n  \"a\": nope}");
        assert_eq!(
            (status, &body["details"]),
            (400, &json!("expected ident at line 2 column 9"))
        );
    }

    #[test]
    fn broken_json_behind_a_wrong_shape_is_still_broken_json() {
        let (status, body) = rejected::<Order>(br#"{"items":[{"price":"free"}]"#);
        assert_eq!((status, &body["error"]), (400, &json!("Invalid JSON")));
    }

    #[test]
    fn bad_utf8_is_found_even_where_nothing_reads_it() {
        let (status, body) = rejected::<Order>(b"{\"items\":[],\"ignored\":\"\xff\"}");
        assert_eq!((status, &body["error"]), (400, &json!("Invalid encoding")));
    }

    #[test]
    fn a_wrong_shape_names_the_path() {
        let (status, body) = rejected::<Order>(
            br#"{"items":[{"price":1},{"price":2},{"price":3},{"price":"free"}]}"#,
        );
        assert_eq!((status, &body["error"]), (422, &json!("Invalid payload")));
        assert_eq!(body["path"], "items[3].price");
        assert!(
            body["details"]
                .as_str()
                .unwrap()
                .starts_with("invalid type: string \"free\", expected f64")
        );
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused_without_a_crash() {
        let (status, body) = rejected::<Value>("[".repeat(100_000).as_bytes());
        assert_eq!(status, 400);
        assert!(
            body["details"]
                .as_str()
                .unwrap()
                .starts_with("recursion limit exceeded")
        );
    }
}
