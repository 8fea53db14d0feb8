//! The end of a call: what `rmcp` sends to the client, and what the line at its end says.

use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, ProgressNotificationParam};
use rmcp::service::{RequestContext, RoleServer};

use super::asking;
use super::caller::reads_events;
use crate::report::panics::Panic;
use crate::report::{self, Outcome};
use crate::request::Scope;
use crate::tools::{Block, Content, Registered, ToolFailure, ToolFailureKind};
use crate::util::BoxFuture;

/// The maximum length of a progress message in bytes.
const LONGEST_MESSAGE: usize = 256;

/// Returns a function that records a panic of `tool`, which runs in `scope`.
pub(super) fn told(
    scope: &Arc<Scope>,
    tool: &Arc<Registered>,
) -> impl FnOnce(Panic) + Send + use<> {
    let (scope, tool) = (Arc::clone(scope), Arc::clone(tool));
    move |panic| {
        let outcome = panic.outcome();
        let failure = report::Failure::panic(tool.to_string(), panic);
        record(&scope, outcome, Some(failure));
    }
}

/// Records how a function in `scope` has failed, for the line at the end of the call. The failure of a task, which goes on when the
/// call has ended, has a line of its own.
fn record(scope: &Scope, outcome: Outcome, failure: Option<report::Failure>) {
    match failure {
        Some(failure) if scope.is_detached() => failure.log(),
        None if scope.is_detached() => {}
        failure => {
            scope.note(outcome, None);
            if let Some(failure) = failure {
                scope.observed().fail(failure);
            }
        }
    }
}

/// The result of a call, and of one that has failed a text that the model reads.
pub(super) fn result_of(
    scope: &Arc<Scope>,
    tool: &Registered,
    done: Result<Content, ToolFailure>,
) -> CallToolResult {
    match done {
        Ok(content) => result(content.wrapped(tool.wraps)),
        Err(failure) => {
            tell(scope, tool, &failure);
            CallToolResult::error(vec![ContentBlock::text(failure.text)])
        }
    }
}

/// The result of a call over the protocol. If the client does not answer what the function has asked, a client that knows the error
/// for that gets it, and another one the text.
pub(super) fn result_of_call(
    scope: &Arc<Scope>,
    tool: &Registered,
    done: Result<Content, ToolFailure>,
    is_modern: bool,
) -> Result<CallToolResponse, ErrorData> {
    if let Err(failure) = &done
        && let ToolFailureKind::Unsupported(kind) = failure.kind
        && is_modern
    {
        scope.note(Outcome::ClientError, None);
        return Err(asking::lacks(kind));
    }
    Ok(result_of(scope, tool, done).into())
}

/// Sends the items of a stream to the client, where that asks for progress.
pub(super) fn progress(
    context: &RequestContext<RoleServer>,
) -> impl FnMut(usize, &Content) -> Option<BoxFuture<()>> + Send + use<> {
    let token = context.meta.get_progress_token();
    let wanted = token
        .filter(|_| reads_events(context))
        .map(|token| (token, context.peer.clone()));
    move |count, content| {
        let (token, peer) = wanted.as_ref()?;
        let mut told = ProgressNotificationParam::new(token.clone(), (count + 1) as f64);
        let mut message = content.to_text();
        if message.len() > LONGEST_MESSAGE {
            let end = (0..=LONGEST_MESSAGE)
                .rev()
                .find(|&at| message.is_char_boundary(at));
            message.truncate(end.unwrap_or_default());
        }
        told.message = (!message.is_empty()).then_some(message);
        let peer = peer.clone();
        Some(Box::pin(async move {
            // A client that has left needs no progress.
            let _ = peer.notify_progress(told).await;
        }))
    }
}

/// Records why the function in `scope` has failed. Invalid arguments are the model's mistake and not the agent's.
pub(super) fn tell(scope: &Scope, tool: &Registered, failure: &ToolFailure) {
    let (outcome, told) = match failure.kind {
        ToolFailureKind::Arguments | ToolFailureKind::Unsupported(_) => {
            (Outcome::ClientError, None)
        }
        ToolFailureKind::Failed => {
            let told = report::Failure::error(tool.to_string(), failure.for_log());
            (Outcome::Error, Some(told))
        }
        ToolFailureKind::TimedOut => {
            let told = report::Failure::stopped(tool.to_string(), failure.for_log());
            (Outcome::Timeout, Some(told))
        }
        // It has been recorded.
        ToolFailureKind::Panicked => return,
    };
    record(scope, outcome, told);
}

/// A block as `rmcp` has it.
pub(super) fn block_of(block: Block) -> Option<ContentBlock> {
    match block.into_text() {
        Ok(text) => Some(ContentBlock::text(text)),
        Err(block) => serde_json::from_value(block.to_json()).ok(),
    }
}

fn result(content: Content) -> CallToolResult {
    let (blocks, structured) = content.into_parts();
    let blocks = blocks.into_iter().filter_map(block_of);
    let mut result = CallToolResult::success(blocks.collect());
    result.structured_content = structured;
    result
}
