//! Calls of tools, and of the functions that make resources and prompts.

use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientCapabilities, InputRequiredResult,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Map, Value};

use super::Handler;
use crate::headers;
use crate::mcp::asking::{self, Called, Conversation, Ended, Input, Unfinished, Way};
use crate::mcp::caller::{in_session, is_modern, known, reads_events};
use crate::mcp::logging::Logging;
use crate::mcp::outcome::{progress, result_of_call, told};
use crate::mcp::task;
use crate::report::Outcome;
use crate::report::panics::Panic;
use crate::tools::{Content, Registered, TaskMode, ToolFailureKind, run};

/// The end of the function of a resource or a prompt.
pub(super) enum Produced {
    Content(Content),
    Questions(InputRequiredResult),
}

impl Handler {
    /// Calls a tool.
    pub(super) async fn call(
        &self,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let scope = known(context)?;
        let Some(tool) = self.agent.tools.find(&request.name) else {
            scope.note(Outcome::ClientError, None);
            let message = format!("there is no tool `{}`", request.name);
            return Err(ErrorData::invalid_params(message, None));
        };
        let arguments = request.arguments.unwrap_or_default();
        let can_poll = context.client_capabilities();
        let can_poll = can_poll.is_some_and(|capabilities| capabilities.supports_tasks());
        let (tasks, stops) = (&self.agent.tasks, &self.agent.ended);
        match tool.task {
            TaskMode::Auto | TaskMode::Always if can_poll => {
                let can = asking::can_do(context);
                let call = task::call(tool, &scope, arguments, can);
                let task = tasks.begin(tool, call, stops);
                return Ok(CallToolResponse::Task(task));
            }
            TaskMode::Always => {
                scope.note(Outcome::ClientError, None);
                let needed = ClientCapabilities::builder().enable_tasks().build();
                return Err(ErrorData::missing_required_client_capability(needed));
            }
            TaskMode::Auto | TaskMode::OnDemand | TaskMode::Never => {}
        }
        let called = Called {
            method: "tools/call",
            name: &request.name,
            arguments: &arguments,
            session: headers::session_id(scope.headers()),
            asks: tool.asks,
        };
        let input = (request.input_responses, request.request_state);
        let conversation = self.converse(context, tool, &called, input);
        let mut conversation =
            conversation.inspect_err(|_| scope.note(Outcome::ClientError, None))?;
        // The client may leave, and the function not stop: the agent is busy until it has.
        let _hold = scope.hold();
        // A question in a session waits for its answer on the stream of the call, which ends when the task begins.
        let may_begin = can_poll && is_modern(context);
        let part = match tool.task {
            TaskMode::OnDemand if may_begin => conversation.may_begin_task(&scope),
            _ => Arc::clone(&scope),
        };
        let function = {
            let (tool, part) = (Arc::clone(tool), Arc::clone(&part));
            let (progress, panicked) = (progress(context), told(&part, &tool));
            async move { run(&tool, part, arguments, progress, panicked).await }
        };
        match conversation.run(function, context, &part, tool).await {
            Ok(Ended::Done(done)) => result_of_call(&scope, tool, done, is_modern(context)),
            Ok(Ended::Asks(questions)) => Ok(questions.into()),
            Ok(Ended::GoesOn(call)) => {
                let task = tasks.begin(tool, call, stops);
                Ok(CallToolResponse::Task(task))
            }
            Err(unfinished) => {
                if let Unfinished::Cancelled = unfinished {
                    scope.cancel();
                }
                scope.note(unfinished.outcome(), None);
                Err(unfinished.into())
            }
        }
    }

    /// Calls the function of a resource or a prompt. It does not make the agent busy. A failure is an error of the protocol, because
    /// a program reads it and not a model.
    pub(super) async fn make(
        &self,
        offered: &Arc<Registered>,
        (method, name): (&'static str, &str),
        arguments: Map<String, Value>,
        input: Input,
        context: &RequestContext<RoleServer>,
    ) -> Result<Produced, ErrorData> {
        let scope = known(context)?;
        let called = Called {
            method,
            name,
            arguments: &arguments,
            session: headers::session_id(scope.headers()),
            asks: offered.asks,
        };
        let conversation = self.converse(context, offered, &called, input)?;
        let function = {
            let (offered, scope) = (Arc::clone(offered), Arc::clone(&scope));
            async move {
                let panicked = |panic: Panic| panic.log(&offered.to_string());
                let no_progress = |_, _: &Content| None;
                run(&offered, scope, arguments, no_progress, panicked).await
            }
        };
        let done = match conversation.run(function, context, &scope, offered).await? {
            Ended::Done(done) => done,
            Ended::Asks(questions) => return Ok(Produced::Questions(questions)),
            Ended::GoesOn(_) => return Err(ErrorData::internal_error("no tool, no task", None)),
        };
        done.map(Produced::Content).map_err(|failure| {
            let text = failure.text.clone();
            match failure.kind {
                ToolFailureKind::Arguments => ErrorData::invalid_params(text, None),
                ToolFailureKind::Unsupported(kind) if is_modern(context) => asking::lacks(kind),
                ToolFailureKind::Unsupported(_) => ErrorData::invalid_request(text, None),
                // It has been logged.
                ToolFailureKind::Panicked => ErrorData::internal_error(text, None),
                ToolFailureKind::Failed | ToolFailureKind::TimedOut => {
                    tracing::error!("{offered} failed: {}", failure.for_log());
                    ErrorData::internal_error(text, None)
                }
            }
        })
    }

    /// The conversation of a call with its client.
    fn converse<'a>(
        &'a self,
        context: &'a RequestContext<RoleServer>,
        offered: &Registered,
        called: &Called<'_>,
        input: Input,
    ) -> Result<Conversation<'a>, ErrorData> {
        let is_modern = is_modern(context);
        let way = match in_session(context) {
            _ if is_modern => Way::Rounds,
            Some(session) => Way::Session(session.clone()),
            None => Way::None,
        };
        let level = reads_events(context).then_some(&self.level);
        let logging = Logging::new(context, is_modern, level, offered.name());
        Conversation::begin(&self.agent.sealer, context, way, called, input, logging)
    }
}
