use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::prelude::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::handler::extract::decode;

/// The answer to a body that does not fit: its details and its path.
#[track_caller]
fn refused<T: DeserializeOwned + Debug>(body: &str) -> (String, String) {
    let reply = decode::<T>(body.as_bytes(), usize::MAX).expect_err("a body of the wrong shape");
    let status = reply.status();
    let reply: Value = serde_json::from_slice(reply.body().unwrap()).unwrap();
    assert_eq!(status, 422, "{body}: {reply}");
    let text = |name| reply[name].as_str().unwrap().to_owned();
    (text("details"), text("path"))
}

#[track_caller]
fn path_of<T: DeserializeOwned + Debug>(body: &str) -> String {
    refused::<T>(body).1
}

#[derive(Debug, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum Action {
    Add { items: Vec<Item> },
    Total { prices: Vec<f64> },
    Send(Mail),
    Ratio { of: (u8, u8) },
    Named { by: BTreeMap<String, f64> },
    Strict(Strict),
}

#[derive(Debug, Deserialize)]
struct Item {
    name: String,
    price: f64,
    #[serde(default)]
    count: u8,
    note: Option<String>,
    size: Option<Size>,
    code: Option<Code>,
    way: Option<Way>,
    at: Option<std::net::Ipv4Addr>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", content = "content", rename_all = "lowercase")]
enum Size {
    Exact(u8),
    Range { from: u8, to: u8 },
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Code {
    Number(u64),
    Text { code: String },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Way {
    Air,
    Sea { ship: String },
    Road(u8),
}

#[derive(Debug, Deserialize)]
struct Mail {
    #[serde(flatten)]
    head: Head,
    #[serde(flatten)]
    part: Part,
    body: String,
    urgent: Option<bool>,
    subject: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Head {
    from: String,
    to: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "part", rename_all = "lowercase")]
enum Part {
    Plain { text: String },
    File { bytes: Vec<u8> },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    level: u8,
}

#[test]
fn a_value_of_the_wrong_type_is_found_in_an_enum_with_a_tag() {
    let body = r#"{"action":"add","items":[{"name":"tea","price":2},{"name":"tea","price":"x"}]}"#;
    let (details, path) = refused::<Action>(body);
    assert_eq!(path, "items[1].price");
    assert_eq!(
        details,
        r#"invalid type: string "x", expected f64 at line 1 column 75"#
    );
    assert!(body[..75].ends_with(r#""x""#));
    // The tag may come last.
    for (body, path) in [
        (r#"{"prices":[1,2,"3",4],"action":"total"}"#, "prices[2]"),
        (r#"{"prices":[1,2,true,4],"action":"total"}"#, "prices[2]"),
        (r#"{"prices":[1,2,null,4],"action":"total"}"#, "prices[2]"),
        (r#"{"prices":[1,2,[],4],"action":"total"}"#, "prices[2]"),
        (r#"{"prices":[1,2,{},4],"action":"total"}"#, "prices[2]"),
        (r#"{"prices":{"a":1},"action":"total"}"#, "prices"),
        (r#"{"prices":null,"action":"total"}"#, "prices"),
        (
            r#"{"items":[{"name":"a","price":1,"count":300}],"action":"add"}"#,
            "items[0].count",
        ),
        (
            r#"{"items":[{"name":"a","price":300,"count":300}],"action":"add"}"#,
            "items[0].count",
        ),
        (
            r#"{"items":[{"price":7,"name":7}],"action":"add"}"#,
            "items[0].name",
        ),
        (
            r#"{"items":[{"price":7.5,"name":7.5}],"action":"add"}"#,
            "items[0].name",
        ),
        (
            r#"{"items":[{"price":7,"name":"a","note":null},{"note":null,"price":7,"name":null}],"action":"add"}"#,
            "items[1].name",
        ),
        (
            r#"{"items":[3,{"price":7,"name":"a"}],"action":"add"}"#,
            "items[0]",
        ),
        (
            r#"{"by":{"a":1,"b.c":"2","d":3},"action":"named"}"#,
            "by.b.c",
        ),
    ] {
        assert_eq!(path_of::<Action>(body), path, "{body}");
    }
}

#[test]
fn a_missing_field_is_named_where_it_is_missing() {
    for (body, path) in [
        (r#"{"action":"add"}"#, "."),
        (
            r#"{"action":"add","items":[{"name":"a","price":1},{"price":1},{"name":"b"}]}"#,
            "items[1]",
        ),
        (
            r#"{"action":"add","items":[{"name":"a","price":1,"size":{"type":"range","content":{"from":1}}}]}"#,
            "items[0].size.content",
        ),
        (
            r#"{"action":"add","items":[{"name":"a","price":1,"size":{"content":{"from":1,"to":2}}}]}"#,
            "items[0].size",
        ),
        (
            r#"{"action":"add","items":[{"name":"a","price":1,"way":{"sea":{}}}]}"#,
            "items[0].way.sea",
        ),
        (
            r#"{"action":"send","part":"plain","text":"","body":"","from":"a"}"#,
            ".",
        ),
    ] {
        assert_eq!(path_of::<Action>(body), path, "{body}");
    }
}

#[test]
fn names_that_there_are_not_are_found() {
    for (body, path) in [
        (r#"{"action":"sell"}"#, "action"),
        (
            r#"{"action":"add","items":[{"name":"a","price":1,"way":"rail"}]}"#,
            "items[0].way",
        ),
        (
            r#"{"action":"add","items":[{"name":"rail","price":1,"way":{"r\u0061il":1}}]}"#,
            "items[0].way.rail",
        ),
        (
            r#"{"action":"add","items":[{"name":"a","price":1,"size":{"type":"big","content":1}}]}"#,
            "items[0].size.type",
        ),
        (r#"{"action":"strict","level":1,"levle":2}"#, "levle"),
    ] {
        assert_eq!(path_of::<Action>(body), path, "{body}");
    }
}

#[test]
fn what_an_untagged_enum_refuses_is_the_value_that_it_is_made_of() {
    for (body, path) in [
        (
            r#"{"action":"add","items":[{"name":"a","price":1,"code":1},{"name":"a","price":1,"code":"x"}]}"#,
            "items[1].code",
        ),
        (
            r#"{"action":"add","items":[{"name":"a","price":1,"code":{"code":1}}]}"#,
            "items[0].code",
        ),
        (
            r#"{"action":"add","items":[{"name":"a","code":[[[]]],"price":1}]}"#,
            "items[0].code",
        ),
    ] {
        assert_eq!(path_of::<Action>(body), path, "{body}");
    }
    assert_eq!(
        path_of::<Vec<Code>>(r#"[1,{"code":"a"},{"code":[1,2,3]},4]"#),
        "[2]"
    );
    assert_eq!(path_of::<Code>(r#"{"code":[1,2,3]}"#), ".");
}

#[test]
fn flattened_fields_are_found() {
    let body = |more: &str| format!(r#"{{"action":"send",{more}}}"#);
    for (more, path) in [
        (
            r#""to":["a",1],"from":"a","part":"plain","text":"","body":"""#,
            "to[1]",
        ),
        (
            r#""to":null,"urgent":null,"subject":null,"from":"a","part":"plain","text":"","body":"""#,
            "to",
        ),
        (
            r#""from":null,"subject":null,"to":[],"part":"plain","text":"","body":"""#,
            "from",
        ),
        (
            r#""bytes":[1,2,256,4],"to":[],"from":"a","part":"file","body":"""#,
            "bytes[2]",
        ),
        (
            r#""bytes":[1],"to":[],"from":"a","part":"file","body":"","urgent":1"#,
            "urgent",
        ),
        (r#""part":"letter","to":[],"from":"a","body":"""#, "part"),
    ] {
        assert_eq!(path_of::<Action>(&body(more)), path, "{more}");
    }
}

#[test]
fn a_type_that_parses_text_is_found_by_its_own_error() {
    for (body, path) in [
        (
            r#"{"action":"add","items":[{"name":"a","price":1,"at":"1.2.3.4"},{"name":"a","at":"1.2.3","price":1}]}"#,
            "items[1].at",
        ),
        (
            r#"{"items":[{"at":"no","name":"a","price":1}],"action":"add"}"#,
            "items[0].at",
        ),
    ] {
        assert_eq!(path_of::<Action>(body), path, "{body}");
    }
    let tuples = [
        (r#"{"action":"ratio","of":[1]}"#, "of"),
        (r#"{"of":[1,2,3],"action":"ratio"}"#, "of"),
    ];
    for (body, path) in tuples {
        assert_eq!(path_of::<Action>(body), path, "{body}");
    }
}

#[test]
fn a_type_that_is_made_of_another_is_found_by_its_own_error() {
    #[derive(Debug, Deserialize)]
    #[serde(try_from = "u8")]
    struct Even(u8);
    impl TryFrom<u8> for Even {
        type Error = &'static str;
        fn try_from(number: u8) -> Result<Self, &'static str> {
            (number % 2 == 0).then_some(Self(number)).ok_or("odd")
        }
    }
    #[derive(Debug, Deserialize)]
    struct Bounds {
        from: u8,
        to: u8,
    }
    #[derive(Debug, Deserialize)]
    #[serde(try_from = "Bounds")]
    struct Span(Bounds);
    impl TryFrom<Bounds> for Span {
        type Error = &'static str;
        fn try_from(bounds: Bounds) -> Result<Self, &'static str> {
            (bounds.from <= bounds.to)
                .then_some(Self(bounds))
                .ok_or("ends before it begins")
        }
    }
    #[derive(Debug, Deserialize)]
    #[serde(tag = "type")]
    enum Tagged {
        Made {
            even: Vec<Even>,
            spans: BTreeMap<String, Span>,
        },
    }
    for (body, path) in [
        (
            r#"{"even":[2,4,5,6,7],"spans":{},"type":"Made"}"#,
            "even[2]",
        ),
        (
            r#"{"even":[2],"spans":{"a":{"from":1,"to":1},"b":{"from":2,"to":1},"c":{"from":1,"to":1}},"type":"Made"}"#,
            "spans.b",
        ),
        (
            r#"{"even":[2],"spans":{"a":{"from":1,"to":1},"b":{"to":1}},"type":"Made"}"#,
            "spans.b",
        ),
    ] {
        assert_eq!(path_of::<Tagged>(body), path, "{body}");
    }
}

#[test]
fn one_of_many_equal_values_is_found() {
    let item = |at: usize| {
        let note = match at {
            4_321 => "2",
            _ => "null",
        };
        format!(r#"{{"price":2,"note":{note},"name":"a"}}"#)
    };
    let items: Vec<_> = (0..5_000).map(item).collect();
    let body = format!(r#"{{"items":[{}],"action":"add"}}"#, items.join(","));
    let (details, path) = refused::<Action>(&body);
    assert_eq!(path, "items[4321].note", "{details}");
}

#[test]
fn an_enum_in_a_list_is_searched_on_its_own() {
    let body = r#"[{"action":"total","prices":["1"]},{"action":"total","prices":[]}]"#;
    assert_eq!(path_of::<Vec<Action>>(body), "[0].prices[0]");
}

#[test]
fn keys_of_every_type_are_read_again() {
    #[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
    struct Name(String);
    #[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
    enum Side {
        Left,
    }
    fn path_in<K: DeserializeOwned + Debug + Ord>(key: &str) -> String {
        let body = format!(r#"{{"{key}":{{"action":"total","prices":[1,"1"]}}}}"#);
        path_of::<BTreeMap<K, Action>>(&body)
    }
    assert_eq!(path_in::<String>("a"), "a.prices[1]");
    assert_eq!(path_in::<u8>("7"), "7.prices[1]");
    assert_eq!(path_in::<i64>("-7"), "-7.prices[1]");
    assert_eq!(path_in::<bool>("true"), "true.prices[1]");
    assert_eq!(path_in::<Option<char>>("x"), "x.prices[1]");
    assert_eq!(path_in::<Name>("7"), "7.prices[1]");
    assert_eq!(path_in::<Side>("Left"), "Left.prices[1]");
}

#[test]
fn of_equal_keys_the_later_one_is_searched() {
    let body = r#"{"a":{"action":"total","prices":[]},"a":{"action":"total","prices":[null]}}"#;
    assert_eq!(path_of::<BTreeMap<String, Action>>(body), "a.prices[0]");
}

#[test]
fn a_null_is_found_among_many_that_are_allowed() {
    // An `Option` takes the others.
    let after =
        r#"{"name":"a","price":1,"note":null,"size":null,"code":null,"way":null,"at":null},"#
            .repeat(50);
    let before = after.trim_end_matches(',');
    let body = format!(
        r#"{{"items":[{after}{{"note":null,"size":null,"count":null,"name":"a","price":1}},{before}],"action":"add"}}"#
    );
    assert_eq!(path_of::<Action>(&body), "items[50].count");
}

#[test]
fn white_space_and_escapes_move_no_position() {
    let body =
        "[ { \"action\" : \"strict\",\r\n\t\"level\":1, \"l\\u00e9vle\\\"\" : [ 2 , { } ] } ]";
    let (details, path) = refused::<Vec<Action>>(body);
    assert_eq!(path, "[0].l\u{e9}vle\"");
    assert!(details.ends_with(" at line 2 column 27"), "{details}");
    // The key, and the space up to its colon.
    let line = body.lines().nth(1).unwrap();
    assert_eq!(&line[27..28], ":");
}

#[test]
fn line_and_column_are_those_of_the_value() {
    let body = "{\n \"action\": \"total\",\n \"prices\": [\n  1,\n  false ]\n}";
    let (details, path) = refused::<Action>(body);
    assert_eq!(path, "prices[1]");
    assert_eq!(
        details,
        "invalid type: boolean `false`, expected f64 at line 5 column 7"
    );
    // The position is that of a type that is decoded without a buffer.
    #[derive(Debug, Deserialize)]
    struct Plain {
        prices: Vec<f64>,
    }
    assert_eq!(refused::<Plain>(body), (details, path));
}

#[test]
fn a_body_that_is_too_large_to_search_keeps_the_path_that_serde_knows() {
    let name = "x".repeat(super::MOST_BYTES);
    let body = format!(r#"[{{"action":"add","items":[{{"name":"{name}","price":"x"}}]}}]"#);
    assert_eq!(path_of::<Vec<Action>>(&body), "[0]");
}

#[test]
fn a_search_in_many_values_is_bounded() {
    thread_local! {
        static DECODED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }
    #[derive(Debug)]
    struct Counted;
    impl<'de> Deserialize<'de> for Counted {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            DECODED.set(DECODED.get() + 1);
            u8::deserialize(deserializer).map(|_| Self)
        }
    }
    #[derive(Debug, Deserialize)]
    #[serde(tag = "action")]
    enum Counts {
        Count { these: Vec<Counted> },
    }
    // All are equal, except the last.
    let many = 50_000;
    let body = format!(r#"{{"action":"Count","these":[{}"x"]}}"#, "1,".repeat(many));
    assert_eq!(path_of::<Counts>(&body), format!("these[{many}]"));
    let body = format!(r#"{{"action":"Count","these":[{}[]]}}"#, "1,".repeat(many));
    DECODED.set(0);
    path_of::<Counts>(&body);
    assert!(
        DECODED.get() < super::MOST_VALUES + 3 * many,
        "{}",
        DECODED.get()
    );
}

#[test]
fn the_limit_of_values_and_keys_holds_in_every_pass() {
    let body = r#"{"action":"total","prices":[1,2,3,"x"]}"#;
    let reply = decode::<Action>(body.as_bytes(), 9).unwrap_err();
    let reply: Value = serde_json::from_slice(reply.body().unwrap()).unwrap();
    assert_eq!(reply["path"], "prices[3]");
    let reply = decode::<Action>(body.as_bytes(), 8).unwrap_err();
    assert_eq!(reply.status(), 413);
}

#[cfg(feature = "ws")]
#[test]
fn the_error_of_a_message_begins_with_the_path() {
    use crate::handler::extract::decode_message;
    let error = decode_message::<Action>(br#"{"action":"total","prices":[1,"x"]}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"prices[1]: invalid type: string "x", expected f64 at line 1 column 33"#
    );
    let broken = decode_message::<Action>(b"{").unwrap_err();
    assert_eq!(
        broken.to_string(),
        "EOF while parsing an object at line 1 column 1"
    );
}

/// The shape that a part of a document must have.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Number,
    Byte,
    Flag,
    /// An `Ipv4Addr`.
    Address,
    Choice(&'static [&'static str]),
    Maybe(&'static Self),
    List(&'static Self),
    Map(&'static [Field]),
    /// A map with a tag, and the fields of one variant.
    Tagged(&'static str, &'static [(&'static str, &'static [Field])]),
    /// A map with a tag, and a content.
    Adjacent(&'static str, &'static str, &'static [(&'static str, Self)]),
    /// [`Code`].
    Code,
}

type Field = (&'static str, Shape);

const ITEM: Shape = Shape::Map(&[
    ("name", Shape::Text),
    ("price", Shape::Number),
    ("count", Shape::Byte),
    ("note", Shape::Maybe(&Shape::Text)),
    (
        "size",
        Shape::Maybe(&Shape::Adjacent(
            "type",
            "content",
            &[
                ("exact", Shape::Byte),
                (
                    "range",
                    Shape::Map(&[("from", Shape::Byte), ("to", Shape::Byte)]),
                ),
            ],
        )),
    ),
    ("code", Shape::Maybe(&Shape::Code)),
    ("way", Shape::Maybe(&Shape::Choice(&["air"]))),
    ("at", Shape::Maybe(&Shape::Address)),
]);

const ACTION: Shape = Shape::Tagged(
    "action",
    &[
        ("add", &[("items", Shape::List(&ITEM))]),
        ("total", &[("prices", Shape::List(&Shape::Number))]),
        (
            "send",
            &[
                ("from", Shape::Text),
                ("to", Shape::List(&Shape::Text)),
                ("part", Shape::Choice(&["plain"])),
                ("text", Shape::Text),
                ("body", Shape::Text),
                ("urgent", Shape::Maybe(&Shape::Flag)),
                ("subject", Shape::Maybe(&Shape::Text)),
            ],
        ),
    ],
);

/// JSON whose maps have an order.
#[derive(Clone, Debug)]
enum Json {
    Scalar(Value),
    List(Vec<Self>),
    Map(Vec<(&'static str, Self)>),
}

impl Json {
    fn text(&self) -> String {
        match self {
            Self::Scalar(value) => value.to_string(),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Self::text).collect();
                format!("[{}]", items.join(","))
            }
            Self::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| format!("{key:?}:{}", value.text()))
                    .collect();
                format!("{{{}}}", entries.join(","))
            }
        }
    }
}

/// Makes documents of a shape, and counts the places where a fault may be put.
struct Maker<'r> {
    random: &'r mut dyn FnMut(usize) -> usize,
    /// The number of the place that gets the fault.
    wrong: usize,
    places: usize,
    /// The path of the fault.
    path: Option<String>,
}

impl Maker<'_> {
    fn is_wrong_here(&mut self, path: &str) -> bool {
        let is_it = self.places == self.wrong;
        self.places += 1;
        if is_it {
            self.path = Some(if path.is_empty() { "." } else { path }.to_owned());
        }
        is_it
    }

    fn any_of(&mut self, values: Vec<Value>) -> Json {
        let at = (self.random)(values.len());
        Json::Scalar(values.into_iter().nth(at).unwrap())
    }

    fn wrong(&mut self, shape: Shape) -> Json {
        let json = serde_json::json!([null, true, false, 1, 2, -1, 300, 1.5, "a", "b", "", [], {}]);
        let Value::Array(mut values) = json else {
            unreachable!()
        };
        values.retain(|value| match shape {
            Shape::Text => !value.is_string(),
            Shape::Number => !value.is_number(),
            Shape::Byte => value.as_u64().is_none_or(|number| number > 255),
            Shape::Flag => !value.is_boolean(),
            Shape::Code => !value.is_u64(),
            Shape::Maybe(_) => unreachable!(),
            Shape::List(_) => !value.is_array(),
            // An empty list would be a map without fields.
            Shape::Map(_) | Shape::Tagged(..) | Shape::Adjacent(..) => {
                !value.is_object() && !value.is_array()
            }
            // Serde also takes the number of a variant, and an empty map for a missing one.
            Shape::Choice(_) => !value.is_object() && !value.is_u64(),
            Shape::Address => true,
        });
        self.any_of(values)
    }

    fn make(&mut self, shape: Shape, path: &str) -> Json {
        if let Shape::Maybe(shape) = shape {
            return match (self.random)(3) {
                0 => Json::Scalar(Value::Null),
                _ => self.make_wrong_or_right(*shape, path, true),
            };
        }
        self.make_wrong_or_right(shape, path, false)
    }

    fn make_wrong_or_right(&mut self, shape: Shape, path: &str, may_be_null: bool) -> Json {
        // A fault of the whole document is found without a search.
        if !path.is_empty() && self.is_wrong_here(path) {
            loop {
                let wrong = self.wrong(shape);
                if !(may_be_null && matches!(wrong, Json::Scalar(Value::Null))) {
                    return wrong;
                }
            }
        }
        match shape {
            Shape::Text => self.any_of(vec!["a".into(), "b".into(), "".into(), "1.2.3".into()]),
            Shape::Number => self.any_of(vec![1.into(), 2.into(), 1.5.into(), 300.into()]),
            Shape::Byte => self.any_of(vec![0.into(), 1.into(), 2.into(), 255.into()]),
            Shape::Flag => self.any_of(vec![true.into(), false.into()]),
            Shape::Address => self.any_of(vec!["1.2.3.4".into()]),
            Shape::Choice(names) => self.any_of(names.iter().map(|name| (*name).into()).collect()),
            Shape::Code => match (self.random)(2) {
                0 => self.any_of(vec![1.into(), 300.into()]),
                _ => Json::Map(vec![("code", self.any_of(vec!["a".into()]))]),
            },
            Shape::Maybe(_) => unreachable!(),
            Shape::List(items) => {
                let length = (self.random)(5);
                let items = (0..length).map(|at| self.make(*items, &format!("{path}[{at}]")));
                Json::List(items.collect())
            }
            Shape::Map(fields) => self.map(fields, Vec::new(), path),
            Shape::Tagged(tag, variants) => {
                let (name, fields) = variants[(self.random)(variants.len())];
                let tag = vec![(tag, Json::Scalar(name.into()))];
                self.map(fields, tag, path)
            }
            Shape::Adjacent(tag, content, variants) => {
                let (name, shape) = variants[(self.random)(variants.len())];
                let tag = vec![(tag, Json::Scalar(name.into()))];
                self.map(&[(content, shape)], tag, path)
            }
        }
    }

    fn map(
        &mut self,
        fields: &[Field],
        mut entries: Vec<(&'static str, Json)>,
        path: &str,
    ) -> Json {
        for (name, shape) in fields {
            let is_required = !matches!(shape, Shape::Maybe(_)) && *name != "count";
            if is_required && self.is_wrong_here(path) {
                continue;
            }
            let dot = if path.is_empty() { "" } else { "." };
            entries.push((name, self.make(*shape, &format!("{path}{dot}{name}"))));
        }
        for at in (1..entries.len()).rev() {
            entries.swap(at, (self.random)(at + 1));
        }
        Json::Map(entries)
    }
}

/// A document of the shape of an [`Action`], with one fault; and the fault's path.
fn with_a_fault(seed: u64) -> Option<(String, String)> {
    let make = |wrong| {
        // An xorshift generator: the document is the same twice, except for the fault.
        let mut state = seed | 1;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as usize % below
        };
        let mut maker = Maker {
            random: &mut random,
            wrong,
            places: 0,
            path: None,
        };
        let json = maker.make(ACTION, "");
        (json.text(), maker.path, maker.places)
    };
    let (_, _, places) = make(usize::MAX);
    // A fault may change what follows, and leave fewer places.
    let (text, path, _) = make(seed as usize % places.max(1));
    path.map(|path| (text, path))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_fault_in_a_document_is_found(seed: u64) {
        let Some((text, path)) = with_a_fault(seed) else { return Ok(()) };
        let result = std::panic::catch_unwind(|| refused::<Action>(&text));
        let Ok((details, found)) = result else {
            return Err(TestCaseError::fail(format!("{text} fits")));
        };
        prop_assert_eq!(found, path, "{}: {}", text, details);
    }
}
