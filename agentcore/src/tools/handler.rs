//! Tools without the macro: [`Tool`], and the functions that it takes.

use std::borrow::Cow;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use schemars::JsonSchema;
use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

use super::call::ToolCall;
use super::content::{Content, content_of};
use super::outcome::{Reply, ToolFailure, ToolOutcome, mapped};
use super::registered::{Draft, Hints, Input, Offer};
use super::task_mode::TaskMode;
use crate::error::BoxError;
use crate::handler::extract::{FromInvocation, Requirements};
use crate::handler::response::Json;
use crate::handler::returned;
use crate::request::blocking;
use crate::schema::{SchemaOf, Schemas, schema_of};
use crate::util::meta::Meta;
use crate::util::sealed::{Awaited, Blocking, Seal};

/// A tool for [`App::tool`](crate::App::tool) that is built by hand. [`tool`](macro@crate::tool) makes one of a function.
///
/// Its function takes one type that holds all arguments, as [`Json<T>`](crate::Json); after it, anything that is
/// [`FromInvocation`](crate::FromInvocation). It returns a [`ToolResult`].
///
/// The type is a struct, or an enum whose variants are objects. Model APIs refuse variants at the root of a schema, so the schema has
/// the properties of all variants in one object, and the description of the tag says what each needs. A call with an argument that the
/// type does not name is refused, unless the type takes any, as a map does. A type that is no object fails the start.
///
/// ```
/// use agentcore::tool::Tool;
/// use agentcore::{App, BoxError, Json, RequestContext};
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Question {
///     /// As a traveller would write it.
///     city: String,
/// }
///
/// async fn temperature(Json(question): Json<Question>, _: RequestContext) -> Result<Json<f64>, BoxError> {
///     Ok(Json(question.city.len() as f64))
/// }
///
/// async fn handler(event: Json<serde_json::Value>) -> Json<serde_json::Value> {
///     event
/// }
///
/// let app = App::new()
///     .entrypoint("handler", handler)
///     .tool(Tool::new("temperature", temperature).description("The temperature in a city.").read_only(true));
/// # let _ = app;
/// ```
#[derive(Clone, Debug)]
pub struct Tool {
    pub(crate) draft: Draft,
}

impl Tool {
    /// A tool that calls `handler`. The name is 1 to 64 ASCII letters, digits, `_` and `-`; another one, and one that is there
    /// twice, fail the start.
    #[track_caller]
    #[must_use]
    pub fn new<H, Args>(name: &'static str, handler: H) -> Self
    where
        H: ToolHandler<Args>,
    {
        let place = Location::caller();
        Self {
            draft: Draft {
                meta: Meta::new(name, "", place.file(), place.line()),
                title: None,
                description: Cow::Borrowed(""),
                hints: Hints::default(),
                timeout: None,
                task: TaskMode::Never,
                offer: Offer::Tool,
                input: Input::Type(H::arguments(Seal)),
                requires: |requirements| H::requires(requirements, Seal),
                describe: |schemas| H::describe(schemas, Seal),
                call: Arc::new(move |call| Box::pin(handler.clone().call(call, Seal))),
            },
        }
    }

    /// What the tool does, for the model. The first line is its title, unless there is another.
    #[must_use]
    pub fn description(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.draft.description = text.into();
        self
    }

    /// The name to show to people.
    #[must_use]
    pub fn title(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.draft.title = Some(text.into());
        self
    }

    /// Says whether the tool changes nothing.
    #[must_use]
    pub fn read_only(mut self, hint: bool) -> Self {
        self.draft.hints.read_only = Some(hint);
        self
    }

    /// Says whether the tool may delete or overwrite something.
    #[must_use]
    pub fn destructive(mut self, hint: bool) -> Self {
        self.draft.hints.destructive = Some(hint);
        self
    }

    /// Says whether a second call with equal arguments changes nothing more.
    #[must_use]
    pub fn idempotent(mut self, hint: bool) -> Self {
        self.draft.hints.idempotent = Some(hint);
        self
    }

    /// Says whether the tool deals with anything outside of the agent, such as the web.
    #[must_use]
    pub fn open_world(mut self, hint: bool) -> Self {
        self.draft.hints.open_world = Some(hint);
        self
    }

    /// Ends a call that takes longer than `limit`; unlimited by default. The function is dropped, and the caller gets an error.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.draft.timeout = Some(limit);
        self
    }

    /// Says when a call over the Model Context Protocol becomes a task, which its client polls; never by default.
    #[must_use]
    pub fn task(mut self, mode: TaskMode) -> Self {
        self.draft.task = mode;
        self
    }
}

/// A function or closure that [`Tool::new`] takes.
///
/// Implemented for `async` and other functions whose first argument is [`Json<T>`](crate::Json) with a `T` that is
/// `serde::Deserialize` and `schemars::JsonSchema`, and holds all arguments of the tool; up to four more are
/// [`FromInvocation`](crate::FromInvocation). One that is not `async` runs on the blocking pool. `Args` is inferred. The trait is
/// sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a tool",
    note = "it takes a function whose first argument is `agentcore::Json<T>`, where `T` is `serde::Deserialize` and \
            `schemars::JsonSchema`; further ones implement `FromInvocation`. Its result is an `agentcore::tool::ToolResult`: \
            `Json<T>`, a `String`, an `agentcore::tool::Content`, a `Stream` of these, or a `Result` of these"
)]
pub trait ToolHandler<Args>: Clone + Send + Sync + 'static {
    /// Collects what the extractors need from the app.
    #[doc(hidden)]
    fn requires(requirements: &mut Requirements, seal: Seal);

    /// Makes the schema of the arguments.
    #[doc(hidden)]
    fn arguments(seal: Seal) -> SchemaOf;

    /// Adds the schema of the result.
    #[doc(hidden)]
    fn describe(schemas: &mut Schemas, seal: Seal);

    /// Takes the arguments, calls the function and makes the result.
    #[doc(hidden)]
    fn call(self, call: ToolCall, seal: Seal)
    -> impl Future<Output = ToolOutcome> + Send + 'static;
}

/// The result of a [`ToolHandler`]. `Kind` is inferred, and the trait is sealed.
///
/// | type | result |
/// | --- | --- |
/// | [`Json<T>`](crate::Json), where `T` is `serde::Serialize` and `schemars::JsonSchema` | data, and its JSON as a text |
/// | `String`, `&'static str` | a text |
/// | [`Content`] | as it says |
/// | `()` | nothing |
/// | a `Stream` of these, or of `Result`s of these | the last item; the others are progress. Without an item: an error for [`Json<T>`](crate::Json), else nothing |
/// | a `Result` of one of these and an error that converts into [`BoxError`] | for an error: its text, which the model reads |
///
/// ```
/// use agentcore::tool::{Content, ToolResult};
/// use agentcore::{BoxError, Json};
///
/// fn check<Kind, R: ToolResult<Kind>>(_: R) {}
/// check(Json(7));
/// check("mild");
/// check(Ok::<_, BoxError>(Content::new().text("mild")));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned from a tool of an `App`",
    label = "not a result",
    note = "return `agentcore::Json(value)`, a `String`, an `agentcore::tool::Content`, a `Stream` of these, or a `Result` of \
            these whose error converts into `agentcore::BoxError`"
)]
pub trait ToolResult<Kind> {
    /// Adds its schema.
    #[doc(hidden)]
    fn describe(schemas: &mut Schemas, seal: Seal);

    /// Makes the outcome of the call.
    #[doc(hidden)]
    fn into_outcome(self, seal: Seal) -> ToolOutcome;
}

/// A result, or an item of a stream.
trait Value: 'static {
    fn schema() -> Option<SchemaOf> {
        None
    }

    fn content(self) -> Result<Content, ToolFailure>;
}

impl<T: Serialize + JsonSchema + 'static> Value for Json<T> {
    fn schema() -> Option<SchemaOf> {
        Some(schema_of::<T>)
    }

    fn content(self) -> Result<Content, ToolFailure> {
        content_of(self.0)
    }
}

macro_rules! values {
    ($($type:ty),+) => {$(
        impl Value for $type {
            fn content(self) -> Result<Content, ToolFailure> {
                content_of(self)
            }
        }
    )+};
}

values!(String, &'static str, Content, ());

/// Types that distinguish the implementations of [`ToolResult`].
mod kind {
    #[derive(Debug)]
    pub enum Whole {}
    #[derive(Debug)]
    pub enum Items {}
    #[derive(Debug)]
    pub enum FallibleItems {}
    #[derive(Debug)]
    pub struct Fallible<Kind>(std::marker::PhantomData<Kind>);
}

impl<V: Value> ToolResult<kind::Whole> for V {
    fn describe(schemas: &mut Schemas, _: Seal) {
        schemas.reply = V::schema();
    }

    fn into_outcome(self, _: Seal) -> ToolOutcome {
        self.content().map(Reply::Done)
    }
}

impl<S, V> ToolResult<kind::Items> for S
where
    S: Stream<Item = V> + Send + 'static,
    V: Value,
{
    fn describe(schemas: &mut Schemas, _: Seal) {
        schemas.reply = V::schema();
        schemas.is_stream = true;
    }

    fn into_outcome(self, _: Seal) -> ToolOutcome {
        Ok(Reply::Steps(Box::pin(mapped(self, V::content))))
    }
}

impl<S, V, E> ToolResult<kind::FallibleItems> for S
where
    S: Stream<Item = Result<V, E>> + Send + 'static,
    V: Value,
    E: Into<BoxError>,
{
    fn describe(schemas: &mut Schemas, _: Seal) {
        schemas.reply = V::schema();
        schemas.is_stream = true;
    }

    fn into_outcome(self, _: Seal) -> ToolOutcome {
        let turn = |item: Result<V, E>| match item {
            Ok(value) => value.content(),
            Err(error) => Err(ToolFailure::of_error(&error.into())),
        };
        Ok(Reply::Steps(Box::pin(mapped(self, turn))))
    }
}

impl<R, E, Kind> ToolResult<kind::Fallible<Kind>> for Result<R, E>
where
    R: ToolResult<Kind>,
    E: Into<BoxError>,
{
    fn describe(schemas: &mut Schemas, seal: Seal) {
        R::describe(schemas, seal);
    }

    fn into_outcome(self, seal: Seal) -> ToolOutcome {
        match self {
            Ok(value) => value.into_outcome(seal),
            Err(error) => Err(ToolFailure::of_error(&error.into())),
        }
    }
}

/// Implements the trait for the functions of one form, with one number of further arguments.
macro_rules! tool {
    ($form:ident $($future:ident)? -> $result:ident where [$($bounds:tt)*]; $($argument:ident),*) => {
        impl<F, $($future,)? R, Kind, P, $($argument),*> ToolHandler<($form, Kind, P, $($argument,)*)> for F
        where
            F: Fn(Json<P>, $($argument),*) -> $result + Clone + Send + Sync + 'static,
            $($bounds)*,
            R: ToolResult<Kind>,
            P: DeserializeOwned + JsonSchema + Send + 'static,
            $($argument: FromInvocation + Send + 'static,)*
        {
            fn requires(requirements: &mut Requirements, _: Seal) {
                let _ = &requirements;
                $($argument::requires(requirements);)*
            }

            fn arguments(_: Seal) -> SchemaOf {
                schema_of::<P>
            }

            fn describe(schemas: &mut Schemas, seal: Seal) {
                R::describe(schemas, seal);
            }

            #[allow(non_snake_case, reason = "the type parameters double as variables")]
            fn call(
                self,
                mut call: ToolCall,
                seal: Seal,
            ) -> impl Future<Output = ToolOutcome> + Send + 'static {
                async move {
                    $(let $argument = call.extract::<$argument>();)*
                    let payload = call.all::<P>();
                    let (Some(payload), $(Some($argument),)*) = (payload, $($argument,)*) else {
                        return call.refused();
                    };
                    drop(call);
                    returned!($form self(Json(payload), $($argument),*)).into_outcome(seal)
                }
            }
        }
    };
}

macro_rules! tools {
    ($(($($argument:ident),*)),+) => {$(
        tool! { Awaited Fut -> Fut where [Fut: Future<Output = R> + Send + 'static]; $($argument),* }
        tool! { Blocking -> R where [R: Send + 'static]; $($argument),* }
    )+};
}

tools!((), (A), (A, B), (A, B, C), (A, B, C, D));
