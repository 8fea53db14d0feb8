//! [`TaskMode`].

/// When a call of a [`Tool`](super::Tool) over the Model Context Protocol becomes a task, which its client polls instead of waiting for
/// the reply.
///
/// A client that can poll declares the extension `io.modelcontextprotocol/tasks`.
///
/// ```
/// use agentcore::Json;
/// use agentcore::tool::{TaskMode, Tool};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Report {
///     year: u16,
/// }
///
/// let write = async |Json(report): Json<Report>| format!("the report of {}", report.year);
/// let tool = Tool::new("write", write).task(TaskMode::Auto);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskMode {
    /// Never.
    #[default]
    Never,
    /// At once, if the client can poll.
    Auto,
    /// At once. Clients that cannot poll are refused.
    Always,
    /// If the client can poll, when the function calls `Client::begin_task`. A tool that takes no `Client` fails the start.
    OnDemand,
}

impl TaskMode {
    /// As the attribute says it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Auto => "auto",
            Self::Always => "always",
            Self::OnDemand => "on_demand",
        }
    }
}
