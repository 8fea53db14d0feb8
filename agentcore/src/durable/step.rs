//! Steps: parts of a durable task that are recorded, and not run again.

use std::fmt::{self, Display, Write as _};
use std::future::Future;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

use super::run::JobRun;
use super::task::RunFailure;
use crate::engine::Json;
use crate::otel::Span;
use crate::report::Outcome;

/// The most bytes of a name that is kept as it is. A longer one is cut, and told from others by a hash.
const LONGEST: usize = 400;

/// Runs a part of a [durable task](macro@crate::async_task) once, and records its value. An attempt that comes later, as after a
/// crash, gets the recorded value, and `body` is not run.
///
/// A step is found by its `name`, and not by its position: code around it may change, and steps may run at once. The name is a
/// text, or a text and something that counts, as in `("page", 3)`. It may have 512 bytes. A name that has been used in this
/// attempt gets a number: `page`, `page#2`. In a loop, and in steps that run at once, a name with a count keeps them apart whatever
/// their order.
///
/// The value is stored as JSON, up to 1 MiB, and all steps of a job have up to 64 MiB together: a further attempt reads them first,
/// within its time limit, and keeps them in memory. An error is not recorded: a further call runs the step again, and keeps its
/// name. A value that cannot be stored fails the job, and one that cannot be read fails the attempt: give a step another name when
/// its type or its meaning changes.
///
/// A step may run more than once: the process may die between its effect and its record. Pass
/// [`TaskContext::id`](crate::TaskContext::id) and the step's name on to services that accept an idempotency key.
///
/// Outside of a durable task the body just runs. It does so too in work that outlives the attempt that started it, such as a detached
/// task: the job has ended then, and nothing is recorded.
///
/// ```
/// use agentcore::{BoxError, async_task, step};
///
/// #[async_task(durable)]
/// async fn transcribe(url: String, pages: u32) -> Result<Vec<String>, BoxError> {
///     let audio = step("fetch", || fetch(&url)).await?;
///     let mut texts = Vec::new();
///     for page in 0..pages {
///         texts.push(step(("page", page), || model(&audio, page)).await?);
///     }
///     Ok(texts)
/// }
///
/// async fn fetch(url: &str) -> Result<String, BoxError> {
///     Ok(url.to_owned())
/// }
///
/// async fn model(audio: &str, page: u32) -> Result<String, BoxError> {
///     Ok(format!("{audio}, page {page}"))
/// }
/// ```
///
/// # Errors
///
/// That of the body.
///
/// # Cancel safety
///
/// Dropping the future drops the body. Its value may have been recorded or not.
pub fn step<T, E, F>(
    name: impl Into<StepName>,
    body: impl FnOnce() -> F,
) -> impl Future<Output = Result<T, E>>
where
    T: Serialize + DeserializeOwned,
    F: Future<Output = Result<T, E>>,
{
    named(name.into().0, body)
}

/// The code of `#[step]`. Its body is a future that has not begun.
pub async fn keyed_step<T, E, F>(key: StepKey, body: F) -> Result<T, E>
where
    T: Serialize + DeserializeOwned,
    F: Future<Output = Result<T, E>>,
{
    named(key.into_name(), || body).await
}

async fn named<T, E, F>(name: String, body: impl FnOnce() -> F) -> Result<T, E>
where
    T: Serialize + DeserializeOwned,
    F: Future<Output = Result<T, E>>,
{
    let Some(run) = JobRun::current() else {
        return body().await;
    };
    let name = run.take_name(name);
    if let Some(recorded) = run.recorded(name.text()) {
        match recorded.read() {
            Ok(value) => {
                name.keep();
                return Ok(value);
            }
            Err(error) => {
                let why = format!(
                    "the recorded value of step `{}` does not fit its type: {error}; give a step another name when its type \
                     changes",
                    name.text()
                );
                run.fail(RunFailure::new("step", why)).await;
            }
        }
    }
    run.crash_point(name.text(), false).await;
    let value = {
        let span = Span::durable_step(name.text());
        let value = span.current().wrap(body()).await;
        value.inspect_err(|_| span.note(Outcome::Error))?
    };
    match Json::of(&value, "the value of a step") {
        Ok(json) => run.record(name.text(), json).await,
        Err(error) => {
            let why = format!("step `{}` cannot be recorded: {error}", name.text());
            run.fail(RunFailure::new("step", why).permanent()).await;
        }
    }
    run.crash_point(name.text(), true).await;
    name.keep();
    Ok(value)
}

/// The name of a [`step`]: a text, or a text with one or two values that tell steps of this name apart.
///
/// ```
/// use agentcore::StepName;
///
/// assert_eq!(StepName::from("fetch").to_string(), "fetch");
/// assert_eq!(StepName::from(("page", 3)).to_string(), "page:3");
/// assert_eq!(StepName::from(("page", "intro", 3)).to_string(), "page:intro:3");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepName(String);

impl StepName {
    fn new(name: String) -> Self {
        // Names with this beginning are the library's own.
        if name.starts_with('$') {
            return Self(shortened(format!("${name}")));
        }
        Self(shortened(name))
    }
}

impl Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for StepName {
    fn from(name: &str) -> Self {
        Self::new(name.to_owned())
    }
}

impl From<String> for StepName {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl<A: Display> From<(&str, A)> for StepName {
    fn from((name, one): (&str, A)) -> Self {
        Self::new(format!("{name}:{one}"))
    }
}

impl<A: Display, B: Display> From<(&str, A, B)> for StepName {
    fn from((name, one, other): (&str, A, B)) -> Self {
        Self::new(format!("{name}:{one}:{other}"))
    }
}

/// The name of the step of a `#[step]` function: the function's name and its arguments as JSON.
#[derive(Debug)]
pub struct StepKey {
    text: String,
    has_arguments: bool,
}

impl StepKey {
    /// Of a function of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            text: name.to_owned(),
            has_arguments: false,
        }
    }

    pub(crate) fn add<T: Serialize + ?Sized>(&mut self, argument: &T) {
        self.text.push(if self.has_arguments { ',' } else { '(' });
        self.has_arguments = true;
        match serde_json::to_string(argument) {
            Ok(json) => {
                sorted(&json, &mut self.text);
            }
            // Deterministic as well.
            Err(error) => {
                let _ = write!(self.text, "<{error}>");
            }
        }
    }

    fn into_name(mut self) -> String {
        if self.has_arguments {
            self.text.push(')');
        }
        StepName::new(self.text).0
    }
}

/// Writes a value of compact JSON with the keys of its objects in order, because a `HashMap` has another order in each process. Works
/// on the text: a parsed value would round large numbers. Returns the rest behind the value.
fn sorted<'a>(json: &'a str, to: &mut String) -> &'a str {
    let (open, close) = match json.as_bytes().first() {
        Some(b'{') => ('{', '}'),
        Some(b'[') => ('[', ']'),
        _ => {
            let (value, rest) = json.split_at(end_of_scalar(json));
            to.push_str(value);
            return rest;
        }
    };
    let mut rest = &json[1..];
    let mut items = Vec::new();
    while !rest.starts_with(close) && !rest.is_empty() {
        let mut item = String::new();
        if open == '{' {
            let (key, value) = rest.split_at(end_of_scalar(rest));
            item.push_str(key);
            item.push(':');
            rest = value.strip_prefix(':').unwrap_or(value);
        }
        rest = sorted(rest, &mut item);
        rest = rest.strip_prefix(',').unwrap_or(rest);
        items.push(item);
    }
    if open == '{' {
        items.sort();
    }
    to.push(open);
    to.push_str(&items.join(","));
    to.push(close);
    rest.get(1..).unwrap_or_default()
}

/// The length of the text, number or word at the beginning of compact JSON.
fn end_of_scalar(json: &str) -> usize {
    let Some(text) = json.strip_prefix('"') else {
        return json.find([',', ':', ']', '}']).unwrap_or(json.len()).max(1);
    };
    let mut is_escaped = false;
    let end = text.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(json.len(), |end| end + 2)
}

/// The name as the store takes it: a long one is its beginning, and a hash of all of it.
fn shortened(name: String) -> String {
    let name = if name.contains('\0') {
        name.replace('\0', "\u{FFFD}")
    } else {
        name
    };
    if name.len() <= LONGEST {
        return name;
    }
    let hash = sha1_smol::Sha1::from(name.as_bytes()).digest().to_string();
    let mut end = LONGEST - hash.len() - 1;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}~{hash}", &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let long = "ü".repeat(400);
        let (one, other) = (
            StepName::from(format!("{long}a")),
            StepName::from(format!("{long}b")),
        );
        assert_ne!(one, other);
        assert!(one.0.len() <= LONGEST && one.0.starts_with("üüü"), "{one}");
        assert_eq!(StepName::from(long.clone()), StepName::from(long));
    }

    #[test]
    fn names_of_the_librarys_own_are_not_to_be_had() {
        assert_eq!(StepName::from("$progress").0, "$$progress");
        assert_eq!(StepName::from("a\0b").0, "a\u{FFFD}b");
    }

    #[test]
    fn a_key_has_the_arguments_in_it() {
        let mut key = StepKey::new("fetch");
        key.add("https://example.com");
        key.add(&Some(3));
        assert_eq!(key.into_name(), r#"fetch("https://example.com",3)"#);
        assert_eq!(StepKey::new("fetch").into_name(), "fetch");
    }

    #[test]
    fn a_key_does_not_depend_on_the_order_of_a_map() {
        let texts = ["plain", "a \"quoted\" one: {,}[]", "\\", "ü\n", ""];
        let of = |names: Vec<&str>| {
            // A new map has a new order.
            let map: std::collections::HashMap<_, _> =
                names.into_iter().map(|name| (name, [name, name])).collect();
            let mut key = StepKey::new("fetch");
            key.add(&(1, map, u128::MAX, ()));
            key.into_name()
        };
        let name = of(texts.to_vec());
        for _ in 0..20 {
            assert_eq!(of(texts.iter().rev().copied().collect()), name);
        }
        let json = name
            .strip_prefix("fetch(")
            .and_then(|name| name.strip_suffix(')'));
        let value: serde_json::Value = serde_json::from_str(json.unwrap()).unwrap();
        assert_eq!(value[1]["\\"], serde_json::json!(["\\", "\\"]), "{name}");
        assert!(
            name.ends_with(",340282366920938463463374607431768211455,null])"),
            "{name}"
        );
        assert!(name.starts_with(r#"fetch([1,{"":["",""],"\\":["#), "{name}");
    }

    proptest::proptest! {
        #[test]
        fn a_sorted_text_is_the_same_value(texts: Vec<(String, Option<i64>, f64)>) {
            let value = serde_json::json!([{ "b": texts, "a": {} }, [[]], true]);
            let (json, mut text) = (value.to_string(), String::new());
            proptest::prop_assert_eq!(sorted(&json, &mut text), "");
            let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            proptest::prop_assert_eq!(read(&text), read(&json));
        }
    }

    #[tokio::test]
    async fn outside_of_a_durable_task_the_body_just_runs() {
        let value: Result<u32, std::convert::Infallible> = step("one", async || Ok(1)).await;
        assert_eq!(value, Ok(1));
        let error: Result<u32, &str> = step(("one", 2), async || Err("no luck")).await;
        assert_eq!(error, Err("no luck"));
    }
}
