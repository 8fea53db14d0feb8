//! [`run()`]: one call of a tool, with its steps, its time limit and its panic.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::call::ToolCall;
use super::content::Content;
use super::outcome::{Reply, ToolFailure, ToolFailureKind};
use super::registered::{Offer, Registered};
use crate::error::timeout;
use crate::report::panics::{self, Panic};
use crate::request::Scope;
use crate::util::BoxFuture;

/// Runs `tool` for the request of `scope`, which has to be current. `progress` gets every item of a stream, and how many came
/// before it; what it returns is awaited before the next item. A panic is told to `panicked`.
pub(crate) async fn run(
    tool: &Registered,
    scope: Arc<Scope>,
    arguments: Map<String, Value>,
    mut progress: impl FnMut(usize, &Content) -> Option<BoxFuture<()>> + Send,
    panicked: impl FnOnce(Panic) + Send,
) -> Result<Content, ToolFailure> {
    let work = async {
        let call = ToolCall::new(scope, tool, arguments);
        // Clients refuse a result without data from a tool that declares a schema of it.
        let has_schema = tool.offer == Offer::Tool && tool.output.is_some();
        let fitting = |content: Content| match has_schema {
            true => content,
            false => content.without_repeated_text(),
        };
        let mut steps = match (tool.call)(call).await? {
            Reply::Done(content) => return Ok(fitting(content)),
            Reply::Steps(steps) => steps,
        };
        let mut last = Content::default();
        let mut count = 0;
        while let Some(item) = poll_fn(|cx| steps.as_mut().poll_next(cx)).await {
            last = item?;
            if let Some(told) = progress(count, &last) {
                told.await;
            }
            count += 1;
        }
        if count == 0 && has_schema {
            let text = "the stream has ended without an item, so there is no result";
            return Err(ToolFailure::new(ToolFailureKind::Failed, text));
        }
        Ok(fitting(last))
    };
    let mut work = pin!(panics::catch(work));
    let done = match tool.timeout {
        None => work.await,
        Some(limit) => match Box::pin(timeout(limit, work.as_mut())).await {
            Ok(done) => done,
            Err(late) => {
                work.give_up(&tool.to_string());
                return Err(ToolFailure::new(
                    ToolFailureKind::TimedOut,
                    late.to_string(),
                ));
            }
        },
    };
    match done {
        Ok(done) => done,
        Err(panic) => {
            let kind = match panic.limit() {
                Some(_) => ToolFailureKind::TimedOut,
                None => ToolFailureKind::Panicked,
            };
            panicked(panic);
            // The text of the panic is for the log only.
            let text = format!("Internal error of the {}", tool.offer.noun());
            Err(ToolFailure::new(kind, text))
        }
    }
}
