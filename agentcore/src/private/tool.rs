//! The kinds of a tool's arguments, values and errors.
//!
//! An argument is an extractor, or may be missing because it is an `Option`, or has to be there. A value is a stream of steps, or
//! is the result. These choices are told apart by the number of `&`s before the probe: the first has the most.

use futures_core::Stream;
use schemars::JsonSchema;
use serde_core::Serialize;
use serde_core::de::DeserializeOwned;
use serde_json::Value;

use super::probe::Probe;
use crate::error::BoxError;
use crate::handler::extract::FromInvocation;
use crate::schema::{Argument, Schemas, schema_of};
use crate::tools::{Content, Reply, ToolCall, ToolFailure, ToolOutcome, content_of, mapped};

/// First choice for an argument: the type says itself how it is made.
pub trait ToolExtractorProbe {
    fn __agentcore_tool_argument(&self) -> ToolExtractorTag {
        ToolExtractorTag
    }
}

impl<T: FromInvocation> ToolExtractorProbe for &&Probe<T> {}

/// Second choice for an argument: it may be missing.
pub trait ToolOptionProbe {
    fn __agentcore_tool_argument(&self) -> ToolOptionTag {
        ToolOptionTag
    }
}

impl<T> ToolOptionProbe for &Probe<Option<T>> {}

/// Last choice for an argument: it has to be there.
pub trait ToolArgumentProbe {
    fn __agentcore_tool_argument(&self) -> ToolArgumentTag {
        ToolArgumentTag
    }
}

impl<T> ToolArgumentProbe for Probe<T> {}

/// First choice for a value: a stream that may fail.
pub trait ToolTryStreamProbe {
    fn __agentcore_tool_reply(&self) -> ToolTryStreamTag {
        ToolTryStreamTag
    }
}

impl<S: Stream<Item = Result<T, E>>, T, E> ToolTryStreamProbe for &&Probe<S> {}

/// Second choice for a value: a stream.
pub trait ToolStreamProbe {
    fn __agentcore_tool_reply(&self) -> ToolStreamTag {
        ToolStreamTag
    }
}

impl<S: Stream> ToolStreamProbe for &Probe<S> {}

/// Last choice for a value: it is the result.
pub trait ToolValueProbe {
    fn __agentcore_tool_reply(&self) -> ToolValueTag {
        ToolValueTag
    }
}

impl<T> ToolValueProbe for Probe<T> {}

/// First choice for the default of an argument: the schema can show it.
pub trait ShownDefaultProbe {
    type Value;

    fn __agentcore_shown(&self, default: fn() -> Self::Value) -> Option<Value>;
}

impl<T: Serialize> ShownDefaultProbe for &Probe<T> {
    type Value = T;

    fn __agentcore_shown(&self, default: fn() -> T) -> Option<Value> {
        serde_json::to_value(default()).ok()
    }
}

/// Second choice for the default of an argument: it cannot be shown.
pub trait HiddenDefaultProbe {
    type Value;

    fn __agentcore_shown(&self, default: fn() -> Self::Value) -> Option<Value>;
}

impl<T> HiddenDefaultProbe for Probe<T> {
    type Value = T;

    fn __agentcore_shown(&self, _: fn() -> T) -> Option<Value> {
        None
    }
}

/// The name, the doc comment and the default of an argument, from the source.
pub struct Written {
    pub name: &'static str,
    pub description: &'static str,
    /// Where it has a default: the value, if that can be shown.
    pub default: Option<Option<Value>>,
}

impl Written {
    fn into_argument(self, is_option: bool) -> Argument {
        Argument {
            name: self.name,
            description: self.description,
            is_required: !is_option && self.default.is_none(),
            default: self.default.flatten(),
            schema: None,
        }
    }
}

pub struct ToolExtractorTag;

impl ToolExtractorTag {
    pub fn __agentcore_describe<T>(self, _: Probe<T>, _: &mut Schemas, _: Written) {}

    pub fn __agentcore_name<T>(self, _: Probe<T>, _: &mut Schemas, _: Written) {}

    pub fn __agentcore_take<T: FromInvocation>(
        self,
        _: Probe<T>,
        call: &mut ToolCall,
        _: &'static str,
    ) -> Option<T> {
        call.extract()
    }

    /// For code that a compile error of the expansion refuses.
    pub fn __agentcore_take_or<T: FromInvocation>(
        self,
        probe: Probe<T>,
        call: &mut ToolCall,
        name: &'static str,
        _: fn() -> T,
    ) -> Option<T> {
        self.__agentcore_take(probe, call, name)
    }
}

/// [`ToolArgumentSchema`] has its `__agentcore_describe`, and [`ToolArgument`] its `__agentcore_take`.
pub struct ToolOptionTag;

impl ToolOptionTag {
    pub fn __agentcore_name<T>(self, _: Probe<T>, to: &mut Schemas, written: Written) {
        to.arguments.push(written.into_argument(true));
    }
}

/// [`ToolArgumentSchema`] has its `__agentcore_describe`, and [`ToolArgument`] its `__agentcore_take`.
pub struct ToolArgumentTag;

impl ToolArgumentTag {
    pub fn __agentcore_name<T>(self, _: Probe<T>, to: &mut Schemas, written: Written) {
        to.arguments.push(written.into_argument(false));
    }
}

#[diagnostic::on_unimplemented(
    message = "the argument `{T}` of a tool has no schema",
    label = "not `schemars::JsonSchema`",
    note = "put `#[derive(schemars::JsonSchema)]` on every type of yours in it, or take `serde_json::Value`",
    note = "with `#[agentcore::tool(schema = \"file.json\")]` the schema is in a file, and no type needs one"
)]
pub trait ToolArgumentSchema<T> {
    fn __agentcore_describe(self, _: Probe<T>, to: &mut Schemas, written: Written);
}

#[diagnostic::do_not_recommend]
impl<T: JsonSchema> ToolArgumentSchema<T> for ToolArgumentTag {
    fn __agentcore_describe(self, _: Probe<T>, to: &mut Schemas, written: Written) {
        to.arguments.push(Argument {
            schema: Some(schema_of::<T>),
            ..written.into_argument(false)
        });
    }
}

#[diagnostic::do_not_recommend]
impl<T: JsonSchema> ToolArgumentSchema<Option<T>> for ToolOptionTag {
    fn __agentcore_describe(self, _: Probe<Option<T>>, to: &mut Schemas, written: Written) {
        to.arguments.push(Argument {
            schema: Some(schema_of::<Option<T>>),
            ..written.into_argument(true)
        });
    }
}

#[diagnostic::on_unimplemented(
    message = "`{T}` cannot be an argument of a tool",
    label = "not `serde::Deserialize`, and not an extractor",
    note = "put `#[derive(serde::Deserialize)]` on every type of yours in it, or take `serde_json::Value`",
    note = "if a start hook makes it, take `agentcore::State<{T}>`"
)]
pub trait ToolArgument<T> {
    fn __agentcore_take(self, _: Probe<T>, call: &mut ToolCall, name: &'static str) -> Option<T>;

    fn __agentcore_take_or(
        self,
        _: Probe<T>,
        call: &mut ToolCall,
        name: &'static str,
        default: fn() -> T,
    ) -> Option<T>;
}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> ToolArgument<T> for ToolArgumentTag {
    fn __agentcore_take(self, _: Probe<T>, call: &mut ToolCall, name: &'static str) -> Option<T> {
        call.required(name)
    }

    fn __agentcore_take_or(
        self,
        _: Probe<T>,
        call: &mut ToolCall,
        name: &'static str,
        default: fn() -> T,
    ) -> Option<T> {
        call.optional(name, default)
    }
}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> ToolArgument<Option<T>> for ToolOptionTag {
    fn __agentcore_take(
        self,
        _: Probe<Option<T>>,
        call: &mut ToolCall,
        name: &'static str,
    ) -> Option<Option<T>> {
        call.optional(name, || None)
    }

    fn __agentcore_take_or(
        self,
        _: Probe<Option<T>>,
        call: &mut ToolCall,
        name: &'static str,
        default: fn() -> Option<T>,
    ) -> Option<Option<T>> {
        call.optional(name, default)
    }
}

pub struct ToolTryStreamTag;

impl ToolTryStreamTag {
    pub fn __agentcore_finish<S, T, E>(self, stream: S) -> ToolOutcome
    where
        S: Stream<Item = Result<T, E>> + Send + 'static,
        ToolValueTag: ToolReply<T>,
        ToolErrorTag: ToolError<E>,
    {
        Ok(Reply::Steps(Box::pin(mapped(
            stream,
            |item: Result<T, E>| match item {
                Ok(value) => ToolValueTag.__agentcore_content(value),
                Err(error) => Err(ToolErrorTag.__agentcore_failure(error)),
            },
        ))))
    }
}

pub struct ToolStreamTag;

impl ToolStreamTag {
    pub fn __agentcore_finish<S>(self, stream: S) -> ToolOutcome
    where
        S: Stream + Send + 'static,
        ToolValueTag: ToolReply<S::Item>,
    {
        Ok(Reply::Steps(Box::pin(mapped(stream, |item| {
            ToolValueTag.__agentcore_content(item)
        }))))
    }
}

/// [`ToolReply`] has its `__agentcore_finish`.
pub struct ToolValueTag;

/// [`ToolError`] has its `__agentcore_fail`.
pub struct ToolErrorTag;

#[diagnostic::on_unimplemented(
    message = "`{T}` cannot be returned from a tool",
    label = "not `serde::Serialize`, and no other kind of result",
    note = "put `#[derive(serde::Serialize)]` on every type of yours in it",
    note = "a result may also be an `agentcore::tool::Content`, a `Stream` whose last item is the result, or a `Result` of these"
)]
pub trait ToolReply<T> {
    fn __agentcore_content(self, value: T) -> Result<Content, ToolFailure>;
    fn __agentcore_finish(self, value: T) -> ToolOutcome;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + 'static> ToolReply<T> for ToolValueTag {
    fn __agentcore_content(self, value: T) -> Result<Content, ToolFailure> {
        content_of(value)
    }

    fn __agentcore_finish(self, value: T) -> ToolOutcome {
        content_of(value).map(Reply::Done)
    }
}

#[diagnostic::on_unimplemented(
    message = "`{E}` cannot be the error type of a tool",
    label = "does not convert into `agentcore::BoxError`",
    note = "implement `std::error::Error` for it, or use `anyhow::Error` or `agentcore::BoxError`",
    note = "a `Box<dyn Error>` has to be a `Box<dyn Error + Send + Sync>`, which is `agentcore::BoxError`"
)]
pub trait ToolError<E> {
    fn __agentcore_failure(self, error: E) -> ToolFailure;
    fn __agentcore_fail(self, error: E) -> ToolOutcome;
}

#[diagnostic::do_not_recommend]
impl<E: Into<BoxError>> ToolError<E> for ToolErrorTag {
    fn __agentcore_failure(self, error: E) -> ToolFailure {
        ToolFailure::of_error(&error.into())
    }

    fn __agentcore_fail(self, error: E) -> ToolOutcome {
        Err(ToolFailure::of_error(&error.into()))
    }
}
