//! Tools, from their registration to the end of a call.
//!
//! ```text
//! #[tool] ──▶ ToolDef ─┐
//!                      ├─▶ Draft ── check ─▶ Registered, in a ToolSet
//! App::tool ─▶ Tool ───┘                         │
//!                 inside (the agent's own loop) ─┴─▶ run ─▶ ToolCall ─▶ the function ─▶ Content or ToolFailure
//! ```

mod argument;
mod call;
mod content;
mod handler;
mod inside;
mod outcome;
mod registered;
mod run;
mod set;

pub use call::ToolCall;
pub use content::Content;
pub(crate) use content::content_of;
pub use handler::{Tool, ToolHandler, ToolResult};
pub use inside::{ToolError, ToolInfo, Tools, tools};
#[cfg(feature = "mcp")]
pub(crate) use outcome::ToolFailureKind;
pub use outcome::ToolOutcome;
pub(crate) use outcome::{Reply, ToolFailure, mapped};
#[cfg(feature = "mcp")]
pub(crate) use registered::TaskMode;
pub(crate) use registered::{Draft, Registered};
pub use registered::{ToolAdapter, ToolDef};
#[cfg(feature = "mcp")]
pub(crate) use run::run;
pub(crate) use set::ToolSet;
