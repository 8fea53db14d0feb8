//! [`Tools`]: the tools for the agent's own loop, which describes them to a model and makes the calls that the model asks for.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::call::list;
use super::content::Content;
use super::outcome::{ToolFailure, ToolFailureKind};
use super::registered::Registered;
use super::run::run;
use super::set::{ToolSet, outside_of_an_app};
use crate::report::panics::Panic;
use crate::report::{self, Kind, stall};
use crate::request::{self, Scope, Work};
use crate::tasks::{track, tracked};
use crate::tracker::{self, TaskEnd};

/// The tools of this agent, for its own code: descriptions for a model, and the calls that the model asks for.
///
/// Below a request, and in hooks, these are the tools of the app. Elsewhere, such as in a unit test, they are those that are
/// annotated in the program, and a tool that takes a [`State`](crate::State) fails.
///
/// ```
/// use agentcore::tool;
/// use serde_json::json;
///
/// /// The temperature in a city.
/// #[tool]
/// async fn temperature(
///     /// As a traveller would write it.
///     city: String,
/// ) -> f64 {
///     city.len() as f64
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let tools = agentcore::tools();
/// let for_the_model = tools.anthropic();
/// assert!(for_the_model.iter().any(|tool| tool["name"] == "temperature"));
/// let result = tools.call("temperature", json!({ "city": "Bergen" })).await.unwrap();
/// assert_eq!(result.to_value(), json!(6.0));
///
/// let error = tools.call("temperature", json!({ "town": "Bergen" })).await.unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "invalid arguments: `city` is missing; unknown argument `town`; the tool takes `city`"
/// );
/// # });
/// ```
#[must_use]
pub fn tools() -> Tools {
    let set = match request::current() {
        Some(scope) => ToolSet::of(scope.instance()),
        None => ToolSet::of(&outside_of_an_app()),
    };
    Tools { set }
}

/// The tools of an agent, in the order of their names; see [`tools`].
#[derive(Clone, Debug)]
pub struct Tools {
    set: ToolSet,
}

impl Tools {
    /// The tools.
    pub fn iter(&self) -> impl Iterator<Item = ToolInfo<'_>> {
        self.set.iter().map(|tool| ToolInfo { tool })
    }

    /// The tool of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<ToolInfo<'_>> {
        self.set.find(name).map(|tool| ToolInfo { tool })
    }

    /// The tools as the Converse API of Amazon Bedrock takes them, in `toolConfig.tools`:
    /// `{"toolSpec": {"name": .., "description": .., "inputSchema": {"json": ..}}}`.
    #[must_use]
    pub fn bedrock(&self) -> Vec<Value> {
        self.each(|tool| {
            let mut spec =
                json!({ "name": tool.name(), "inputSchema": { "json": tool.input_schema() } });
            // The API takes no empty one.
            if !tool.description().is_empty() {
                spec["description"] = tool.description().into();
            }
            json!({ "toolSpec": spec })
        })
    }

    /// The tools as the Chat Completions API of OpenAI, and the many that follow it, take them, in `tools`:
    /// `{"type": "function", "function": {"name": .., "description": .., "parameters": ..}}`.
    #[must_use]
    pub fn openai(&self) -> Vec<Value> {
        self.each(|tool| {
            json!({
                "type": "function",
                "function": {
                    "name": tool.name(),
                    "description": tool.description(),
                    "parameters": tool.input_schema(),
                },
            })
        })
    }

    /// The tools as the Messages API of Anthropic takes them, in `tools`:
    /// `{"name": .., "description": .., "input_schema": ..}`.
    #[must_use]
    pub fn anthropic(&self) -> Vec<Value> {
        self.each(|tool| {
            json!({
                "name": tool.name(),
                "description": tool.description(),
                "input_schema": tool.input_schema(),
            })
        })
    }

    /// Calls a tool with an object of its arguments; `null` stands for none.
    ///
    /// The call is a task of the tool's name, from now until the future has ended: it makes the agent busy, is in the list of
    /// tasks, and ends with a line and a span as an [`async_task`](macro@crate::async_task) does. The tool's `timeout` holds. Of a
    /// stream the last item is the result. The tool sees the request that calls it: its session, its headers, its cancellation.
    ///
    /// When the future is dropped, the function is dropped too, and the call is cancelled. A function that is not `async` runs
    /// on to its end, and keeps the agent busy until then.
    ///
    /// # Errors
    ///
    /// There is no such tool, its arguments do not fit, it has failed, or its time was up. The error's text is for the model, which
    /// may correct itself. That of a panic says nothing of it; the log does.
    pub fn call(
        &self,
        name: &str,
        arguments: Value,
    ) -> impl Future<Output = Result<Content, ToolError>> + Send + 'static {
        let prepared = self.prepare(name, arguments);
        // A task from here on.
        let task = prepared.map(|(tool, arguments)| {
            let guard = track(tool.name());
            let (tracker, ticket) = (guard.tracker().clone(), guard.ticket());
            let work = async move {
                let (part, _work) = Work::awaited(&scope());
                let panicked = |panic: Panic| {
                    let what = format!("tool `{}`", tool.name());
                    let failure = report::Failure::panic(what, panic);
                    tracker.note_failure(ticket, failure);
                };
                let call = run(&tool, Arc::clone(&part), arguments, |_, _| None, panicked);
                let done = request::in_scope(part, call).await;
                if let Err(failure) = &done {
                    tracker.note_end(ticket, end_of(failure));
                }
                done.map_err(|failure| ToolError { failure })
            };
            tracked(guard, work)
        });
        async move { task?.await }
    }

    /// The tools as the Model Context Protocol lists them:
    /// `{"name": .., "title": .., "description": .., "inputSchema": .., "outputSchema": .., "annotations": ..}`.
    #[must_use]
    pub fn mcp(&self) -> Vec<Value> {
        self.each(|tool| tool.tool.to_json())
    }

    fn prepare(
        &self,
        name: &str,
        arguments: Value,
    ) -> Result<(Arc<Registered>, Map<String, Value>), ToolError> {
        let refused = |text: String| ToolError {
            failure: ToolFailure::new(ToolFailureKind::Arguments, text),
        };
        let Some(tool) = self.set.find(name) else {
            let names: Vec<_> = self.set.iter().map(|tool| tool.name()).collect();
            return Err(refused(match &names[..] {
                [] => format!("there is no tool `{name}`, and no other"),
                names => format!("there is no tool `{name}`; there is {}", list(names)),
            }));
        };
        match arguments {
            Value::Object(arguments) => Ok((Arc::clone(tool), arguments)),
            Value::Null => Ok((Arc::clone(tool), Map::new())),
            _ => Err(refused(
                "invalid arguments: they have to be an object".to_owned(),
            )),
        }
    }

    fn each(&self, shape: impl Fn(&ToolInfo<'_>) -> Value) -> Vec<Value> {
        self.iter().map(|tool| shape(&tool)).collect()
    }
}

/// The request that calls; one without a head where none does.
fn scope() -> Arc<Scope> {
    request::current().unwrap_or_else(|| {
        let instance = outside_of_an_app();
        Scope::outside_requests(instance, Kind::Hook, "tools", stall::At::hook_number(None))
    })
}

/// How the task of a call has ended.
fn end_of(failure: &ToolFailure) -> TaskEnd {
    match failure.kind {
        ToolFailureKind::TimedOut => TaskEnd::TimedOut,
        ToolFailureKind::Panicked => TaskEnd::Panicked,
        #[cfg(feature = "mcp")]
        ToolFailureKind::Unsupported(_) => {
            TaskEnd::Failed(tracker::Failure::new(failure.for_log().to_owned(), true))
        }
        ToolFailureKind::Arguments | ToolFailureKind::Failed => {
            TaskEnd::Failed(tracker::Failure::new(failure.for_log().to_owned(), true))
        }
    }
}

/// The description of a tool.
///
/// ```
/// use agentcore::{tool, tools};
///
/// /// Adds two numbers.
/// #[tool]
/// fn add(a: f64, b: f64) -> f64 {
///     a + b
/// }
///
/// let tools = tools();
/// let add = tools.get("add").unwrap();
/// assert_eq!((add.name(), add.title()), ("add", Some("Adds two numbers")));
/// assert_eq!(add.input_schema()["required"], serde_json::json!(["a", "b"]));
/// assert_eq!(add.output_schema().unwrap()["properties"]["result"]["type"], "number");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ToolInfo<'a> {
    tool: &'a Arc<Registered>,
}

impl<'a> ToolInfo<'a> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.tool.name()
    }

    /// The name to show to people: the first line of its description, unless it has a title.
    #[must_use]
    pub fn title(&self) -> Option<&'a str> {
        self.tool.title.as_ref().map(Cow::as_ref)
    }

    /// Its description; empty if it has none.
    #[must_use]
    pub fn description(&self) -> &'a str {
        &self.tool.description
    }

    /// The JSON Schema of its arguments: always that of an object.
    #[must_use]
    pub fn input_schema(&self) -> &'a Map<String, Value> {
        &self.tool.input
    }

    /// The JSON Schema of its result's data, if its type has one: always that of an object.
    #[must_use]
    pub fn output_schema(&self) -> Option<&'a Map<String, Value>> {
        self.tool.output.as_ref()
    }
}

/// Why a tool has no result. Its text is for the model.
///
/// ```
/// use agentcore::{tool, tools};
/// use serde_json::json;
///
/// /// Divides.
/// #[tool]
/// async fn divide(a: i32, b: i32) -> Result<i32, &'static str> {
///     a.checked_div(b).ok_or("`b` is zero")
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let error = tools().call("divide", json!({ "a": 1, "b": 0 })).await.unwrap_err();
/// assert_eq!(error.to_string(), "`b` is zero");
/// assert!(!error.is_invalid_call() && !error.is_timeout() && !error.is_panic());
/// let error = tools().call("divide", json!({ "a": 1 })).await.unwrap_err();
/// assert!(error.is_invalid_call());
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct ToolError {
    failure: ToolFailure,
}

impl ToolError {
    /// Whether there is no such tool, or the arguments do not fit: the function has not been called.
    #[must_use]
    pub fn is_invalid_call(&self) -> bool {
        self.failure.kind == ToolFailureKind::Arguments
    }

    /// Whether its time was up.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.failure.kind == ToolFailureKind::TimedOut
    }

    /// Whether it has panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        self.failure.kind == ToolFailureKind::Panicked
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl std::error::Error for ToolError {}
