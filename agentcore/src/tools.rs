//! Tools, from their registration to the end of a call. Resources and prompts of the Model Context Protocol go the same way.
//!
//! ```text
//! #[tool] ──▶ ToolDef ─┐
//!                      ├─▶ Draft ── check ─▶ Registered, in a ToolSet
//! App::tool ─▶ Tool ───┘                         │
//!                 inside (the agent's own loop) ─┴─▶ run ─▶ ToolCall ─▶ the function ─▶ Content or ToolFailure
//! ```

mod argument;
mod call;
#[cfg(feature = "mcp")]
mod client;
mod content;
mod handler;
mod inside;
#[cfg(feature = "mcp")]
mod messages;
mod outcome;
mod registered;
mod run;
mod set;
mod task_mode;
#[cfg(feature = "mcp")]
mod updates;
#[cfg(feature = "mcp")]
mod uri;
mod variants;

pub use call::ToolCall;
#[cfg(feature = "mcp")]
pub(crate) use client::{Can, Kept, LogLevel, Question, QuestionKind, ToClient};
#[cfg(feature = "mcp")]
pub use client::{Client, ClientError, Elicited, Root, Sampled, Sampling};
#[cfg(feature = "mcp")]
pub(crate) use content::Block;
pub use content::Content;
pub(crate) use content::content_of;
pub use handler::{Tool, ToolHandler, ToolResult};
pub use inside::{ToolError, ToolInfo, Tools, tools};
#[cfg(feature = "mcp")]
pub use messages::Messages;
#[cfg(feature = "mcp")]
pub(crate) use outcome::ToolFailureKind;
pub use outcome::ToolOutcome;
pub(crate) use outcome::{Reply, ToolFailure, mapped};
#[cfg(feature = "mcp")]
pub(crate) use registered::Offer;
pub(crate) use registered::{Draft, Registered};
pub use registered::{ToolAdapter, ToolDef};
#[cfg(feature = "mcp")]
pub(crate) use run::run;
pub(crate) use set::{Offered, ToolSet};
pub use task_mode::TaskMode;
#[cfg(feature = "mcp")]
pub(crate) use updates::Updates;
#[cfg(feature = "mcp")]
pub use updates::resource_changed;
