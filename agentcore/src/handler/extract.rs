//! Makes a handler's arguments from an [`Invocation`].

mod checked;
mod document;
mod header;
mod locate;
mod mistake;
mod reader;
mod request;
#[cfg(feature = "garde")]
mod valid;

use std::any::{TypeId, type_name};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_core::de::DeserializeOwned;

use crate::handler::response::{IntoResponse, Json, Response};
use crate::report::Rejection;
use crate::report::panics;
use crate::request::Scope;
#[cfg(feature = "ws")]
use crate::request::with_scope;
use checked::{Budget, TooMany};
pub use header::{Header, NamedHeader};
#[cfg(feature = "garde")]
pub use valid::Valid;

/// One call of the entrypoint: the request's head, and its whole body.
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

    /// All headers of the request.
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
    /// Shows neither headers nor body, since both may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A type that a handler may take as an argument besides its payload.
///
/// Arguments are recognised by type, in any order. The library implements the trait for:
///
/// | type | value | otherwise |
/// | --- | --- | --- |
/// | [`RequestContext`](crate::RequestContext) | session, request id, tokens, headers | |
/// | [`State<S>`](crate::State) | the value that a start hook has made | the start fails |
/// | [`Header<N, T>`](crate::Header) and `Option` of it | one header | 400 |
/// | [`HeaderMap`] | all headers | |
/// | [`Bytes`] | the body, not decoded | |
/// | [`CancellationToken`](crate::CancellationToken) | a token that is cancelled when the reply is no longer wanted | |
/// | [`Json<T>`](crate::Json) | the payload, where a type has to say so | 400, 413, 422 |
/// | `Valid<T>`, with the feature `garde` | the payload, validated | 400, 413, 422 |
///
/// Implement it for a type of your own, to keep what many handlers need in one place. The implementation reads the headers and
/// the body. It runs before the handler, on the handler's thread, and may not block. If it returns an error, that is the
/// reply, and the handler is not called.
///
/// ```
/// use agentcore::{FromInvocation, HttpError, HttpErrorExt, Invocation};
///
/// /// The tenant and the region that a gateway named in a header, such as `acme/eu`.
/// struct Tenant {
///     name: String,
///     region: String,
/// }
///
/// impl FromInvocation for Tenant {
///     type Rejection = HttpError;
///
///     fn from_invocation(invocation: &mut Invocation) -> Result<Self, HttpError> {
///         let header = invocation.headers().get("x-amzn-bedrock-agentcore-runtime-custom-tenant");
///         let header = header.http_error_with(400, "the tenant header is missing")?;
///         let text = header.to_str().http_error(400)?;
///         let (name, region) = text.split_once('/').http_error_with(400, "a tenant has a region")?;
///         Ok(Self { name: name.to_owned(), region: region.to_owned() })
///     }
/// }
///
/// #[agentcore::entrypoint(main = false)]
/// async fn handler(question: String, tenant: Tenant) -> String {
///     format!("{} in {} asked: {question}", tenant.name, tenant.region)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken from an invocation",
    note = "implement `agentcore::FromInvocation` for it, or wrap a payload as `agentcore::Json<{Self}>`",
    note = "if a start hook or `App::state` makes it, take `agentcore::State<{Self}>`"
)]
pub trait FromInvocation: Sized {
    /// The reply if the value cannot be made.
    type Rejection: IntoResponse;

    /// Makes the value. Runs on the workers, before the handler is called; may not wait.
    ///
    /// # Errors
    ///
    /// The rejection, which becomes the reply.
    fn from_invocation(invocation: &mut Invocation) -> Result<Self, Self::Rejection>;

    /// Names what the app must have when the server starts; nothing by default.
    fn requires(requirements: &mut Requirements) {
        let _ = requirements;
    }
}

/// What a handler's extractors need from the app. Collected once, before the server starts.
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
    automatic_status: bool,
    #[cfg(feature = "mcp")]
    client: bool,
}

impl Requirements {
    /// Requires a state of type `S`, as [`State`](crate::State) does.
    pub fn state<S: 'static>(&mut self) {
        self.states.push((TypeId::of::<S>(), type_name::<S>()));
    }

    /// Requires that a client that goes away is noticed, as [`CancellationToken`](crate::CancellationToken) does.
    pub fn disconnects(&mut self) {
        self.disconnects = true;
    }

    /// Requires the automatic status. The answer of a ping handler that takes it replaces that status.
    pub(crate) fn automatic_status(&mut self) {
        self.automatic_status = true;
    }

    pub(crate) fn needs_automatic_status(&self) -> bool {
        self.automatic_status
    }

    /// Requires that the client of a tool can be asked, as far as its revision of the protocol allows.
    #[cfg(feature = "mcp")]
    pub(crate) fn client(&mut self) {
        self.client = true;
    }

    #[cfg(feature = "mcp")]
    pub(crate) fn needs_client(&self) -> bool {
        self.client
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
    decode(&invocation.body, invocation.scope.instance().max_json_nodes)
}

/// Decodes a message of a socket, within the bounds of payloads. An error of shape begins with the JSON path.
#[cfg(feature = "ws")]
pub(crate) fn decode_message<T: DeserializeOwned>(message: &[u8]) -> serde_json::Result<T> {
    let most = with_scope(|_, scope| scope.map(|scope| scope.instance().max_json_nodes));
    let most = most.unwrap_or(usize::MAX);
    let budget = Budget::new(most);
    whole(serde_json::Deserializer::from_slice(message), &budget).map_err(|error| {
        match std::str::from_utf8(message) {
            Ok(text) if error.is_data() && !budget.is_exceeded() => {
                let Misfit { details, path, .. } = misfit::<T>(text, &error, most);
                serde_core::de::Error::custom(format_args!("{path}: {details}"))
            }
            _ => error,
        }
    })
}

/// Decodes the whole text as one value.
fn whole<'de, R, T>(
    mut deserializer: serde_json::Deserializer<R>,
    budget: &Budget,
) -> serde_json::Result<T>
where
    R: serde_json::de::Read<'de>,
    T: DeserializeOwned,
{
    let value = T::deserialize(budget.check(&mut deserializer))?;
    deserializer.end()?;
    Ok(value)
}

/// Decodes straight into the user's type. Only a failure takes a second pass, which finds the place of the error.
fn decode<T: DeserializeOwned>(body: &[u8], most_nodes: usize) -> Result<T, Response> {
    // Checked once for the whole body. `from_str` then skips the check per string, and a bad byte in a field that `T`
    // ignores is found too.
    let text = std::str::from_utf8(body).map_err(|error| {
        invalid(
            "Invalid encoding",
            &format!("the body is not UTF-8: {error}"),
        )
    })?;
    // Some clients send a byte order mark. The JSON standard allows ignoring it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let budget = Budget::new(most_nodes);
    whole(serde_json::Deserializer::from_str(text), &budget).map_err(|error| {
        if budget.is_exceeded() {
            too_many(most_nodes)
        } else {
            explain::<T>(text, &error, most_nodes)
        }
    })
}

/// The refusal of a payload of more than `most` values and keys.
#[cold]
pub(crate) fn too_many(most: usize) -> Response {
    let details = TooMany(most).to_string();
    let status = StatusCode::PAYLOAD_TOO_LARGE;
    Response::rejection(status, "Payload Too Large", &details, None)
        .with_rejection(Rejection::new(details))
}

#[cold]
fn explain<T: DeserializeOwned>(
    text: &str,
    error: &serde_json::Error,
    most_nodes: usize,
) -> Response {
    if !error.is_data() && shape_error(error).is_none() {
        return invalid("Invalid JSON", &error.to_string());
    }
    // The body may be broken after the place where its shape was wrong. Broken JSON is the more useful answer.
    if let Err(syntax) = serde_json::from_str::<serde_core::de::IgnoredAny>(text) {
        return invalid("Invalid JSON", &syntax.to_string());
    }
    let misfit = misfit::<T>(text, error, most_nodes);
    let response = Response::rejection(
        StatusCode::UNPROCESSABLE_ENTITY,
        "Invalid payload",
        &misfit.details,
        Some(&misfit.path),
    );
    let kind = mistake::kind(&misfit.said, misfit.missing);
    response.with_rejection(Rejection::new(kind).at(misfit.path))
}

/// The mismatch between a text and the payload's type.
struct Misfit {
    /// The error, with line and column where they are known.
    details: String,
    /// The error without the position.
    said: String,
    path: String,
    /// The name of a missing field, if the type itself has named it.
    missing: Option<&'static str>,
}

impl Misfit {
    fn new(details: String, error: &serde_json::Error, path: String) -> Self {
        Self {
            said: without_position(&details, error).to_owned(),
            details,
            path,
            missing: None,
        }
    }
}

/// Finds the place of `error`. When the error came, the text had at most `most_nodes` values and keys, and that holds in any
/// other pass.
#[cold]
fn misfit<T: DeserializeOwned>(text: &str, error: &serde_json::Error, most_nodes: usize) -> Misfit {
    let budget = Budget::new(most_nodes);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let checked = budget.check(&mut deserializer);
    // The user's `Deserialize` has already reported the error, so there is a reply. A panic in a pass that only looks for the
    // place must not change that. It ends the search and is not logged.
    let decoded = panics::guard(|| serde_path_to_error::deserialize::<_, T>(checked));
    let Ok(Err(error)) = decoded else {
        return Misfit::new(error.to_string(), error, ".".to_owned());
    };
    let path = error.path().to_string();
    if let Some(details) = shape_error(error.inner()) {
        return Misfit::new(details, error.inner(), path);
    }
    let mut misfit = Misfit::new(error.inner().to_string(), error.inner(), path);
    let located = locate::locate(text, error.path(), &misfit.said, &|reader| {
        let budget = Budget::new(most_nodes);
        T::deserialize(budget.check(reader)).err()
    });
    misfit.missing = located.missing;
    if let Some(path) = located.path {
        let (line, column) = located.position;
        misfit.details = format!("{} at line {line} column {column}", misfit.said);
        misfit.path = path;
    }
    misfit
}

/// Rewords an error that `serde_json` reports as broken JSON, but which is one of shape if the JSON is whole: a list that is
/// longer than a tuple, or an enum made from a number.
fn shape_error(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let words = match without_position(&text, error) {
        "trailing characters" => "more values than expected",
        "expected value" => "expected a variant: a string, or an object of one key",
        _ => return None,
    };
    let (line, column) = (error.line(), error.column());
    Some(format!("{words} at line {line} column {column}"))
}

/// The text of an error, without the position that `serde_json` adds at its end.
fn without_position<'a>(text: &'a str, error: &serde_json::Error) -> &'a str {
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).unwrap_or(text)
}

/// The reply to a body that is not JSON. `details` quote nothing of the body.
fn invalid(error: &str, details: &str) -> Response {
    let reason = format!("{error}: {details}");
    Response::rejection(StatusCode::BAD_REQUEST, error, details, None)
        .with_rejection(Rejection::new(reason))
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
        rejected_within(body, usize::MAX, None::<T>)
    }

    fn rejected_within<T: DeserializeOwned + fmt::Debug>(
        body: &[u8],
        most: usize,
        _: Option<T>,
    ) -> (u16, Value) {
        let response = decode::<T>(body, most).expect_err("a rejection");
        (
            response.status().as_u16(),
            serde_json::from_slice(response.body().unwrap()).unwrap(),
        )
    }

    #[test]
    fn a_good_body_is_decoded() {
        let order = decode::<Order>(br#"{"items":[{"price":1.5}],"more":true}"#, 100).unwrap();
        assert_eq!(
            order,
            Order {
                items: vec![Item { price: 1.5 }]
            }
        );
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert_eq!(
            decode::<Value>("\u{feff}{}".as_bytes(), 1).unwrap(),
            json!({})
        );
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
    fn whole_json_of_a_wrong_shape_is_never_called_broken() {
        for (body, path, details) in [
            (
                r#"[[1,2],[1,2,3]]"#,
                "[1]",
                "more values than expected at line 1 column 13",
            ),
            (
                "[[1,2],[]]",
                "[1]",
                "invalid length 0, expected a tuple of size 2 at line 1 column 9",
            ),
        ] {
            let (status, reply) = rejected::<Vec<(u8, u8)>>(body.as_bytes());
            assert_eq!((status, &reply["path"]), (422, &json!(path)), "{body}");
            assert_eq!(reply["details"], details, "{body}");
        }
        for body in ["[7]", r#"[{"New":1,"Tuple":[1,2]}]"#, "[[]]", "[null]"] {
            let (status, reply) = rejected::<Vec<Variant>>(body.as_bytes());
            assert_eq!((status, &reply["path"]), (422, &json!("[0]")), "{body}");
            let details = reply["details"].as_str().unwrap();
            assert!(
                details.starts_with("expected a variant: a string"),
                "{details}"
            );
        }
        for body in ["[1,2] 3", "[[1,2,3]", "[7", "[{\"New\":1,}]"] {
            assert_eq!(rejected::<Vec<Variant>>(body.as_bytes()).0, 400, "{body}");
            assert_eq!(rejected::<(u8, u8)>(body.as_bytes()).0, 400, "{body}");
        }
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

    /// Every type that serde can make of JSON, and the number of values and keys in it.
    #[derive(Debug, Deserialize, PartialEq)]
    struct All {
        unit: (),
        truth: bool,
        small: i8,
        large: u128,
        single: f32,
        double: f64,
        letter: char,
        text: String,
        nothing: Option<u8>,
        something: Option<Wrapped>,
        list: Vec<u16>,
        pair: (u8, i64),
        variants: Vec<Variant>,
        raw: Number,
        map: std::collections::HashMap<u8, bool>,
        #[serde(default)]
        missing: Option<String>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Wrapped(u8);

    #[derive(Debug, Deserialize, PartialEq)]
    struct Number(serde_json::Number);

    #[derive(Debug, Deserialize, PartialEq)]
    enum Variant {
        Unit,
        New(u8),
        Tuple(u8, u8),
        Struct { x: u8 },
    }

    const ALL: &str = r#"{"unit":null,"truth":true,"small":-1,"large":18446744073709551616,"single":1.5,"double":1e300,
        "letter":"x","text":"a\"b","nothing":null,"something":7,"list":[1,2],"pair":[1,-2],
        "variants":["Unit",{"New":1},{"Tuple":[1,2]},{"Struct":{"x":1}}],"raw":12,"map":{"1":true},"ignored":[[],{}]}"#;

    #[test]
    fn what_is_counted_is_decoded_as_by_serde_itself() {
        let all = decode::<All>(ALL.as_bytes(), usize::MAX).unwrap();
        assert_eq!(all, serde_json::from_str(ALL).unwrap());
        let value = decode::<Value>(ALL.as_bytes(), usize::MAX).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(ALL).unwrap());
    }

    #[test]
    fn values_and_keys_are_counted_and_what_is_ignored_is_one() {
        // An object, two keys, a list of three and a value.
        let body = br#"{"a":[1,null,"x"],"b":{}}"#;
        assert!(decode::<Value>(body, 8).is_ok());
        let (status, reply) = rejected_within(body, 7, None::<Value>);
        assert_eq!(
            (status, &reply["error"]),
            (413, &json!("Payload Too Large"))
        );
        assert_eq!(reply["details"], "the JSON has more than 7 values and keys");
        // An order: itself, `items` and its list, an item, `price` and its value; `more` and the ignored value.
        let order = br#"{"items":[{"price":1.5}],"more":[[1,2,3],[4,5,6],7,8,9]}"#;
        assert!(decode::<Order>(order, 8).is_ok());
        assert_eq!(rejected_within(order, 7, None::<Order>).0, 413);
        // An option counts as its value.
        assert!(decode::<Vec<Option<u8>>>(b"[1,null]", 3).is_ok());
        assert_eq!(
            rejected_within(b"[1,null]", 2, None::<Vec<Option<u8>>>).0,
            413
        );
    }

    #[test]
    fn a_number_that_is_infinite_in_an_f32_is_refused_and_named() {
        #[derive(Debug, Deserialize)]
        struct Ratio {
            #[expect(dead_code, reason = "it is only decoded")]
            ratio: Option<f32>,
        }
        for (number, said) in [("1e39", "1e39"), ("-3.5e38", "-3.5e38")] {
            let body = format!(r#"[{{"ratio":1}},{{"ratio":{number}}}]"#);
            let (status, reply) = rejected::<Vec<Ratio>>(body.as_bytes());
            assert_eq!((status, &reply["path"]), (422, &json!("[1].ratio")));
            let details = reply["details"].as_str().unwrap();
            let expected = format!("number out of range: {said} does not fit into an f32");
            assert!(details.starts_with(&expected), "{details}");
        }
        assert_eq!(decode::<f32>(b"3.4028235e38", 1).unwrap(), f32::MAX);
        assert_eq!(decode::<f64>(b"1e39", 1).unwrap(), 1e39);
        // A number that is too large for any type cannot be read as JSON.
        assert_eq!(rejected::<f32>(b"1e999").0, 400);
    }

    /// A number. It panics if it is made from a value that JSON does not have.
    #[derive(Debug)]
    struct Careless;

    impl<'de> Deserialize<'de> for Careless {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Number;

            impl serde::de::Visitor<'_> for Number {
                type Value = Careless;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a number")
                }

                fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Careless, E> {
                    Ok(Careless)
                }

                fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Careless, E> {
                    unreachable!("JSON has no bytes")
                }
            }

            deserializer.deserialize_any(Number)
        }
    }

    #[test]
    fn a_panic_while_the_path_is_searched_takes_no_reply_away() {
        #[derive(Debug, Deserialize)]
        #[serde(tag = "kind")]
        enum Event {
            Ordered {
                #[expect(dead_code, reason = "it is only decoded")]
                number: Careless,
                #[expect(dead_code, reason = "it is only decoded")]
                total: Careless,
                #[expect(dead_code, reason = "it is only decoded")]
                paid: bool,
            },
        }
        let body = br#"[{"kind":"Ordered","number":1,"total":1,"paid":1}]"#;
        let caught = panics::caught_here();
        let (status, reply) = rejected::<Vec<Event>>(body);
        assert_eq!((status, &reply["error"]), (422, &json!("Invalid payload")));
        assert_eq!(reply["path"], "[0]");
        let details = reply["details"].as_str().unwrap();
        assert!(
            details.starts_with("invalid type: integer `1`, expected a boolean"),
            "{details}"
        );
        assert_eq!(panics::caught_here(), caught + 1);
    }

    #[test]
    fn there_is_one_value_in_a_body() {
        assert_eq!(rejected::<Value>(b"{} {}").0, 400);
    }
}
