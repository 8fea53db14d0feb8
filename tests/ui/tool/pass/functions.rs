//! Tools of every shape, and the functions as they are.

use agentcore::tool::Content;
use agentcore::{BoxError, HeaderMap, RequestContext, State, Stream, stream, tool, tools, try_stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
struct City {
    name: String,
}

impl Default for City {
    fn default() -> Self {
        Self {
            name: "Oslo".to_owned(),
        }
    }
}

/// A type of which only serde knows.
#[derive(Deserialize)]
struct Plain(u8);

type Outcome<T> = Result<T, BoxError>;

#[tool]
fn nothing() {}

#[tool]
pub(crate) async fn aliased(city: City) -> Outcome<City> {
    Ok(city)
}

#[tool]
async fn defaults(
    #[default] city: City,
    #[default(7)] days: u8,
    #[default = 'c'] unit: char,
    mut note: Option<String>,
) -> String {
    note.get_or_insert_default().push('!');
    format!("{} {days} {unit} {}", city.name, note.unwrap_or_default())
}

#[tool]
async fn raw(r#type: Value) -> Value {
    r#type
}

#[tool]
async fn extracted(_: RequestContext, headers: HeaderMap, #[cfg(any())] absent: Absent) -> usize {
    headers.len()
}

#[tool]
async fn stateful(State(city): State<City>) -> String {
    city.name.clone()
}

#[tool]
async fn counted(up_to: u8) -> impl Stream<Item = u8> {
    stream! {
        for number in 0..up_to {
            yield number;
        }
    }
}

#[tool]
fn fallible(text: String) -> impl Stream<Item = Result<u8, BoxError>> {
    try_stream! {
        yield text.parse::<u8>()?;
    }
}

#[tool(schema = "plain.json")]
async fn plain(number: Plain) -> u8 {
    number.0
}

#[tool]
async fn content() -> Content {
    Content::new().link("file:///a", "a")
}

#[tool]
async fn opaque() -> Result<impl Serialize, std::fmt::Error> {
    Ok("opaque")
}

mod inner {
    #[cfg(any())]
    #[agentcore::tool]
    async fn absent(absent: Absent) {}

    #[agentcore::tool(name = "inner-tool", crate = ::agentcore)]
    async fn tool() -> &'static str {
        "inner"
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let tools = tools();
    let mut names: Vec<_> = tools.iter().map(|tool| tool.name()).collect();
    names.retain(|name| *name != "stateful");
    assert_eq!(
        names,
        [
            "aliased", "content", "counted", "defaults", "extracted", "fallible", "inner-tool", "nothing", "opaque",
            "plain", "raw"
        ]
    );
    for (name, arguments, expected) in [
        ("nothing", json!({}), json!([])),
        ("aliased", json!({ "city": { "name": "Rome" } }), json!({ "name": "Rome" })),
        ("defaults", json!({}), json!("Oslo 7 c !")),
        ("defaults", json!({ "note": "n", "unit": "f" }), json!("Oslo 7 f n!")),
        ("raw", json!({ "type": [1] }), json!([1])),
        ("extracted", json!(null), json!(0)),
        ("counted", json!({ "up_to": 3 }), json!(2)),
        ("fallible", json!({ "text": "7" }), json!(7)),
        ("plain", json!({ "number": 9 }), json!(9)),
        ("opaque", json!({}), json!("opaque")),
        ("inner-tool", json!({}), json!("inner")),
    ] {
        let result = tools.call(name, arguments).await.expect(name);
        assert_eq!(result.to_value(), expected, "{name}");
    }
    let error = tools.call("fallible", json!({ "text": "x" })).await.unwrap_err();
    assert_eq!(error.to_string(), "invalid digit found in string");
    let error = tools.call("stateful", json!({})).await.unwrap_err();
    assert!(error.to_string().contains("no state of type"), "{error}");
    let schema = tools.get("defaults").expect("a tool").input_schema();
    assert_eq!(schema["properties"]["city"]["default"], json!({ "name": "Oslo" }));
    assert!(!schema.contains_key("required"));
    // The functions are still what they were.
    assert_eq!(aliased(City::default()).await.expect("a city").name, "Oslo");
    nothing();
}
