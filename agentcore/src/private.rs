//! The items that the macros' expansions name. **Not public API**: any release may change or remove them.
//!
//! `agentcore-macros` is pinned to the exact version of this crate, so both change together. Expansions reach everything
//! through this module by absolute path, the standard library too, so that a user's own `Result`, `Send` or `core` cannot
//! replace it.
//!
//! The kind of an argument or a return value is decided by its type. The expansion asks the type by a [`Probe`]; see `args`
//! and `reply`.

#![expect(
    missing_debug_implementations,
    reason = "for expansions, not for people"
)]
#![expect(clippy::unused_self, reason = "of a tag, only the type matters")]

// `lib.rs` gives this module another name than its file's, so rustc would look for its submodules beside the file.
#[path = "private/args.rs"]
mod args;
#[path = "private/bounds.rs"]
mod bounds;
#[path = "private/checks.rs"]
mod checks;
#[cfg(feature = "durable")]
#[path = "private/durable.rs"]
mod durable;
#[path = "private/outcome.rs"]
mod outcome;
#[path = "private/probe.rs"]
mod probe;
#[path = "private/reply.rs"]
mod reply;
#[cfg_attr(feature = "schema", path = "private/schema.rs")]
#[cfg_attr(not(feature = "schema"), path = "private/no_schema.rs")]
mod schema;
#[path = "private/state.rs"]
mod state;
#[cfg(feature = "schema")]
#[path = "private/tool.rs"]
mod tool;
#[cfg(feature = "ws")]
#[path = "private/websocket.rs"]
mod websocket;

pub use ::core;
pub use ::inventory;
pub use agentcore_macros::{__stream, __try_stream};

pub use core::any::TypeId;
pub use core::future::Future;
pub use core::marker::Send;
pub use core::mem::drop;
pub use core::option::Option;
pub use core::primitive::str;
pub use core::result::Result::{self, Err, Ok};
pub use core::time::Duration;
pub use std::process::ExitCode;

#[cfg(feature = "durable")]
pub use crate::app::descriptors::{DurableDef, DurableTask, durable};
pub use crate::app::descriptors::{
    Entrypoint, EntrypointDef, Meta, PingDef, PingHandler, PlatformHook, RestoreDef, Routes,
    RoutesDef, ShutdownDef, ShutdownHook, StartDef, StartHook, TaskDef, WarmupDef,
};
#[cfg(feature = "ws")]
pub use crate::app::descriptors::{WebSocketDef, WebSocketEndpoint};
pub use crate::app::package::Package;
#[cfg(feature = "durable")]
pub use crate::durable::{
    Arguments, Durable, DurableRun, Encoded, RunFailure, StepKey, keyed_step,
};
pub use crate::error::BoxError;
pub use crate::handler::extract::{Invocation, Requirements};
pub use crate::handler::hook::{HookArgument, HookCall, PingArgument};
pub use crate::handler::response::Response;
pub use crate::handler::routes::RouteService;
pub use crate::handler::stream_macro::{Generator, Yielder, generator, try_generator};
pub use crate::request::StateSlot;
pub use crate::run::{main, main_without_flags};
pub use crate::schema::Schemas;
pub use crate::tasks::{track, tracked};
#[cfg(feature = "schema")]
pub use crate::tools::{ToolAdapter, ToolCall, ToolDef, ToolOutcome};
pub use crate::tracker::PingStatus;
#[cfg(feature = "ws")]
pub use crate::ws::Opening;

pub use bounds::{
    Captures, FromTimedOut, HookError, PingReply, PlatformReply, RoutesService, ShutdownReply,
};
#[cfg(feature = "durable")]
pub use checks::durable_task_future_must_be_send;
#[cfg(feature = "schema")]
pub use checks::tool_future_must_be_send;
#[cfg(feature = "ws")]
pub use checks::websocket_future_must_be_send;
pub use checks::{
    entrypoint_future_must_be_send, is_in_a_module, never, ping_future_must_be_send,
    restore_hook_future_must_be_send, routes_future_must_be_send,
    shutdown_hook_future_must_be_send, start_hook_future_must_be_send,
    sync_function_runs_on_another_thread, time_limited, timed_out, warmup_hook_future_must_be_send,
};
#[cfg(feature = "durable")]
pub use durable::{
    DurableOutput, RunArgument, StepArgument, StoredArgument, StoredValue, TaskFailure,
};
pub use probe::Probe;
pub use schema::HAS_SCHEMAS;
#[cfg(feature = "schema")]
pub use tool::{ToolErrorTag, Written};
#[cfg(feature = "ws")]
pub use websocket::{SocketError, SocketReply};

/// The traits whose methods expansions call on a [`Probe`]. They have no names here: a glob import brings only their methods
/// into scope, so that no user type can be mistaken for one of them.
pub mod probes {
    pub use super::args::{ExtractorProbe as _, PayloadCount as _, PayloadProbe as _};
    pub use super::bounds::{ErrorReply as _, JsonReply as _, Payload as _};
    pub use super::outcome::{NoErrorProbe as _, SilentProbe as _, TextProbe as _};
    pub use super::probe::{PlainProbe as _, ResultProbe as _};
    pub use super::reply::{
        ErrorProbe as _, FailureResponseProbe as _, JsonProbe as _, OwnErrorProbe as _,
        ResponseProbe as _, StreamProbe as _, TryStreamProbe as _,
    };
    #[cfg(all(feature = "schema", feature = "garde"))]
    pub use super::schema::ValidPayloadProbe as _;
    #[cfg(feature = "schema")]
    pub use super::schema::{
        ExtractedProbe as _, ItemsProbe as _, NoPayloadSchemaProbe as _, NoReplySchemaProbe as _,
        OpaqueItemsProbe as _, PayloadSchemaProbe as _, ReplySchemaProbe as _,
        RequiredPayload as _, RequiredReply as _, ResponseSchemaProbe as _, TryItemsProbe as _,
        WrappedPayloadProbe as _, WrappedReplyProbe as _,
    };
    #[cfg(not(feature = "schema"))]
    pub use super::schema::{PayloadSchemaProbe as _, ReplySchemaProbe as _};
    pub use super::state::{SharedProbe as _, StateProbe as _, UnitProbe as _};
    #[cfg(feature = "schema")]
    pub use super::tool::{
        HiddenDefaultProbe as _, ShownDefaultProbe as _, ToolArgument as _, ToolArgumentProbe as _,
        ToolArgumentSchema as _, ToolError as _, ToolExtractorProbe as _, ToolOptionProbe as _,
        ToolReply as _, ToolStreamProbe as _, ToolTryStreamProbe as _, ToolValueProbe as _,
    };
    #[cfg(feature = "ws")]
    pub use super::websocket::{
        HandshakeArgument as _, HandshakeProbe as _, SocketCount as _, SocketProbe as _,
        StrangerProbe as _,
    };
}
