//! [`Draft`]: a tool as it is registered. [`Registered`]: a tool that has been checked.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::argument;
use super::call::ToolCall;
use super::outcome::ToolOutcome;
use super::task_mode::TaskMode;
#[cfg(feature = "mcp")]
use super::uri::Template;
use crate::handler::extract::Requirements;
use crate::report::panics;
#[cfg(feature = "mcp")]
use crate::schema::Argument;
use crate::schema::{SchemaOf, Schemas};
use crate::util::package::Package;
use crate::util::{BoxFuture, meta::Meta};

/// The longest name that every model API takes.
const LONGEST_NAME: usize = 64;

/// The adapter that `#[tool]` generates.
pub trait ToolAdapter: 'static {
    /// Collects what the extractors need from the app.
    fn requires(requirements: &mut Requirements);

    /// Adds the schemas of the function's types.
    fn describe(schemas: &mut Schemas);

    /// Takes the arguments, calls the function and makes the result.
    fn call(call: ToolCall) -> impl Future<Output = ToolOutcome> + Send + 'static;
}

/// The hints of a tool, for clients that ask people before they call it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hints {
    pub(crate) read_only: Option<bool>,
    pub(crate) destructive: Option<bool>,
    pub(crate) idempotent: Option<bool>,
    pub(crate) open_world: Option<bool>,
}

/// What a function offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    Tool,
    /// A resource of the Model Context Protocol.
    Resource {
        uri: &'static str,
        mime_type: Option<&'static str>,
    },
    /// A prompt of the Model Context Protocol.
    Prompt,
}

impl Offer {
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Resource { .. } => "resource",
            Self::Prompt => "prompt",
        }
    }
}

/// A registered tool, resource or prompt.
#[derive(Clone, Debug)]
pub struct ToolDef {
    pub(crate) meta: Meta,
    pub(crate) package: Package,
    title: Option<&'static str>,
    description: &'static str,
    hints: Hints,
    timeout: Option<Duration>,
    task: TaskMode,
    offer: Offer,
    /// The path and the text of a schema.
    file: Option<(&'static str, &'static str)>,
    requires: fn(&mut Requirements),
    describe: fn(&mut Schemas),
    call: fn(ToolCall) -> BoxFuture<ToolOutcome>,
}

impl ToolDef {
    /// Describes the tool behind the adapter `A`.
    #[must_use]
    pub const fn new<A: ToolAdapter>(meta: Meta, package: Package) -> Self {
        Self {
            meta,
            package,
            title: None,
            description: "",
            hints: Hints {
                read_only: None,
                destructive: None,
                idempotent: None,
                open_world: None,
            },
            timeout: None,
            task: TaskMode::Never,
            offer: Offer::Tool,
            file: None,
            requires: A::requires,
            describe: A::describe,
            call: |call| Box::pin(A::call(call)),
        }
    }

    /// The name to show to people.
    #[must_use]
    pub const fn title(mut self, title: &'static str) -> Self {
        self.title = Some(title);
        self
    }

    /// Its description, for the model.
    #[must_use]
    pub const fn description(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// Says whether it changes nothing.
    #[must_use]
    pub const fn read_only(mut self, hint: bool) -> Self {
        self.hints.read_only = Some(hint);
        self
    }

    /// Says whether it may delete or overwrite something.
    #[must_use]
    pub const fn destructive(mut self, hint: bool) -> Self {
        self.hints.destructive = Some(hint);
        self
    }

    /// Says whether a second equal call changes nothing more.
    #[must_use]
    pub const fn idempotent(mut self, hint: bool) -> Self {
        self.hints.idempotent = Some(hint);
        self
    }

    /// Says whether it deals with anything outside of the agent.
    #[must_use]
    pub const fn open_world(mut self, hint: bool) -> Self {
        self.hints.open_world = Some(hint);
        self
    }

    /// Ends a call that takes longer.
    #[must_use]
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// 1 for `auto`, 2 for `always`, 3 for `on_demand`.
    #[must_use]
    pub const fn task(mut self, mode: u8) -> Self {
        self.task = match mode {
            1 => TaskMode::Auto,
            2 => TaskMode::Always,
            3 => TaskMode::OnDemand,
            _ => TaskMode::Never,
        };
        self
    }

    /// Makes it a resource. An empty `mime_type` stands for none.
    #[must_use]
    pub const fn resource(mut self, uri: &'static str, mime_type: &'static str) -> Self {
        let mime_type = if mime_type.is_empty() {
            None
        } else {
            Some(mime_type)
        };
        self.offer = Offer::Resource { uri, mime_type };
        self
    }

    /// Makes it a prompt.
    #[must_use]
    pub const fn prompt(mut self) -> Self {
        self.offer = Offer::Prompt;
        self
    }

    /// The schema of the arguments: the file's path, and its text.
    #[must_use]
    pub const fn schema(mut self, path: &'static str, text: &'static str) -> Self {
        self.file = Some((path, text));
        self
    }

    pub(crate) fn to_draft(&self) -> Draft {
        let call = self.call;
        Draft {
            meta: self.meta,
            title: self.title.map(Cow::Borrowed),
            description: self.description.into(),
            hints: self.hints,
            timeout: self.timeout,
            task: self.task,
            offer: self.offer,
            input: match self.file {
                Some((path, text)) => Input::File { path, text },
                None => Input::Arguments,
            },
            requires: self.requires,
            describe: self.describe,
            call: Arc::new(call),
        }
    }
}

inventory::collect!(ToolDef);

/// Where the input schema comes from.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// From the named arguments.
    Arguments,
    /// From one type that holds them.
    Type(SchemaOf),
    /// From a file, for the named arguments.
    File {
        path: &'static str,
        text: &'static str,
    },
}

/// Calls a tool.
pub(crate) type Call = Arc<dyn Fn(ToolCall) -> BoxFuture<ToolOutcome> + Send + Sync>;

/// A tool, annotated or added to an `App` by hand, not yet checked.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) meta: Meta,
    pub(crate) title: Option<Cow<'static, str>>,
    pub(crate) description: Cow<'static, str>,
    pub(crate) hints: Hints,
    pub(crate) timeout: Option<Duration>,
    pub(crate) task: TaskMode,
    pub(crate) offer: Offer,
    pub(crate) input: Input,
    pub(crate) requires: fn(&mut Requirements),
    pub(crate) describe: fn(&mut Schemas),
    pub(crate) call: Call,
}

/// A tool, a resource or a prompt as it is served.
pub(crate) struct Registered {
    pub(crate) meta: Meta,
    pub(crate) title: Option<Cow<'static, str>>,
    pub(crate) description: Cow<'static, str>,
    pub(crate) hints: Hints,
    pub(crate) timeout: Option<Duration>,
    pub(crate) task: TaskMode,
    pub(crate) offer: Offer,
    /// The URI of a resource.
    #[cfg(feature = "mcp")]
    pub(crate) uri: Option<Template>,
    /// The named arguments.
    #[cfg(feature = "mcp")]
    pub(crate) arguments: Vec<Argument>,
    pub(crate) input: Map<String, Value>,
    /// Whether the properties of `input` are all arguments that there are, though the type of the arguments accepts others.
    pub(crate) is_closed: bool,
    pub(crate) output: Option<Map<String, Value>>,
    /// Whether the data of a result becomes `{"result": ..}`.
    #[cfg_attr(
        not(feature = "mcp"),
        expect(dead_code, reason = "only clients of MCP need an object")
    )]
    pub(crate) wraps: bool,
    /// Whether the function takes a [`Client`](super::Client).
    #[cfg(feature = "mcp")]
    pub(crate) asks: bool,
    pub(crate) call: Call,
}

impl Draft {
    /// Checks the tool. The error is the problem.
    pub(crate) fn check(self) -> Result<Registered, String> {
        let (meta, noun) = (self.meta, self.offer.noun());
        // Schemas, and the values of defaults, are made by the user's code.
        let checked = panics::guard(|| self.checked());
        let checked = checked.unwrap_or_else(|panic| {
            Err(format!(
                "its schema cannot be made: the code panicked: {}",
                panic.message()
            ))
        });
        checked.map_err(|problem| format!("{noun} {meta}: {problem}"))
    }

    fn checked(self) -> Result<Registered, String> {
        check_name(self.offer, self.meta.name())?;
        let mut schemas = Schemas::default();
        (self.describe)(&mut schemas);
        let (input, is_closed) = match self.input {
            Input::Arguments => (argument::of_arguments(&schemas.arguments), false),
            Input::Type(schema) => argument::of_type(schema)?,
            Input::File { path, text } => {
                let input = argument::of_file(path, text, &schemas.arguments)?;
                (input, false)
            }
        };
        let (output, wraps) = match argument::of_reply(&schemas) {
            Some((schema, wraps)) => (Some(schema), wraps),
            None => (None, false),
        };
        let title = self.title.or_else(|| first_line(&self.description));
        #[cfg(feature = "mcp")]
        let asks = {
            let mut requirements = Requirements::default();
            (self.requires)(&mut requirements);
            requirements.needs_client()
        };
        #[cfg(feature = "mcp")]
        if self.task == TaskMode::OnDemand && !asks {
            let problem = "`task = \"on_demand\"` needs an argument of the type `agentcore::tool::Client`, whose `begin_task` begins the task";
            return Err(problem.to_owned());
        }
        #[cfg(feature = "mcp")]
        let uri = match self.offer {
            Offer::Resource { uri, .. } => Some(Template::of(uri)),
            Offer::Tool | Offer::Prompt => None,
        };
        Ok(Registered {
            meta: self.meta,
            title,
            description: self.description,
            hints: self.hints,
            timeout: self.timeout,
            task: self.task,
            offer: self.offer,
            #[cfg(feature = "mcp")]
            uri,
            #[cfg(feature = "mcp")]
            arguments: schemas.arguments,
            input,
            is_closed,
            output,
            wraps,
            #[cfg(feature = "mcp")]
            asks,
            call: self.call,
        })
    }
}

/// The first line of a description, without the full stop.
fn first_line(description: &str) -> Option<Cow<'static, str>> {
    let line = description.lines().next()?.trim();
    let line = line.strip_suffix('.').unwrap_or(line);
    (!line.is_empty()).then(|| line.to_owned().into())
}

/// MCP and the model APIs take ASCII letters, digits, `_` and `-`.
fn check_name(offer: Offer, name: &str) -> Result<(), String> {
    let fits = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(fits) {
        let why = match offer {
            Offer::Tool => ", because models take no other",
            Offer::Resource { .. } | Offer::Prompt => "",
        };
        return Err(format!(
            "its name has to be 1 to {LONGEST_NAME} ASCII letters, digits, `_` and `-`{why}"
        ));
    }
    Ok(())
}

impl Registered {
    pub(crate) fn name(&self) -> &'static str {
        self.meta.name()
    }

    /// As MCP lists it.
    pub(crate) fn to_json(&self) -> Value {
        let mut tool = json!({ "name": self.name(), "inputSchema": self.input });
        if let Some(title) = &self.title {
            tool["title"] = title.as_ref().into();
        }
        if !self.description.is_empty() {
            tool["description"] = self.description.as_ref().into();
        }
        if let Some(output) = &self.output {
            tool["outputSchema"] = Value::Object(output.clone());
        }
        let hints = self.hints.to_json();
        if !hints.is_empty() {
            tool["annotations"] = hints.into();
        }
        tool
    }
}

impl Hints {
    /// As MCP calls them.
    pub(crate) fn to_json(self) -> Map<String, Value> {
        let hints = [
            ("readOnlyHint", self.read_only),
            ("destructiveHint", self.destructive),
            ("idempotentHint", self.idempotent),
            ("openWorldHint", self.open_world),
        ];
        hints
            .into_iter()
            .filter_map(|(name, hint)| Some((name.to_owned(), hint?.into())))
            .collect()
    }
}

/// In messages.
impl fmt::Display for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.offer.noun(), self.name())
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool")
            .field("name", &self.meta.name())
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.offer.noun())
            .field("name", &self.meta.name())
            .field("input", &self.input)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "mcp"))]
mod tests {
    use super::super::{Client, Tool};
    use super::*;
    use crate::Json;

    #[test]
    fn a_tool_that_is_to_begin_a_task_needs_a_client() {
        type Any = Json<Map<String, Value>>;
        let with = Tool::new("with", async |_: Any, _: Client| ());
        let without = Tool::new("without", async |_: Any| ());
        let check = |tool: Tool| tool.task(TaskMode::OnDemand).draft.check();
        check(with).expect("a tool");
        let problem = check(without).expect_err("no client");
        assert!(problem.contains("`without`") && problem.contains("`agentcore::tool::Client`"));
    }
}
