//! [`Handler`]: the answers to `rmcp`'s questions: the server's name, its tools, and the result of a call.

use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::ServerHandler;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams,
    ClientCapabilities, ContentBlock, GetPromptRequestMethod, GetPromptRequestParams,
    GetPromptResponse, GetTaskParams, GetTaskResult, Implementation, ListPromptsRequestMethod,
    ListPromptsResult, ListResourceTemplatesRequestMethod, ListResourceTemplatesResult,
    ListResourcesRequestMethod, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ProgressNotificationParam, ProtocolVersion, ReadResourceRequestMethod,
    ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig, Tool,
    UpdateTaskParams,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Map, Value, json};

use super::{Caller, prompts, resources, task};
use crate::app::parts::Agent;
use crate::report::panics::{self, Panic};
use crate::report::{self, Outcome};
use crate::request::{self, Scope};
use crate::tools::{
    Block, Content, Registered, TaskMode, ToolFailure, ToolFailureKind, ToolSet, run,
};

/// How long a client may keep the list, in milliseconds. The list does not change while the agent runs.
const LIST_LASTS: u64 = 60_000;

/// The maximum length of a progress message in bytes.
const LONGEST_MESSAGE: usize = 256;

#[derive(Clone)]
pub(super) struct Handler {
    tools: ToolSet,
    listed: Arc<[Tool]>,
    resources: ToolSet,
    prompts: ToolSet,
    info: ServerConfig,
}

impl Handler {
    pub(super) fn new(agent: &Agent) -> Self {
        let version = agent.package.version().unwrap_or("0.0.0");
        let mut capabilities = ServerCapabilities::default();
        if agent.tools.iter().any(|tool| tool.task != TaskMode::Never) {
            capabilities = ServerCapabilities::builder().enable_tasks().build();
        }
        capabilities.tools = (!agent.tools.is_empty()).then(Default::default);
        capabilities.resources = (!agent.resources.is_empty()).then(Default::default);
        capabilities.prompts = (!agent.prompts.is_empty()).then(Default::default);
        let mut info = ServerConfig::new(capabilities);
        info.server_info = Implementation::new(agent.package.name(), version);
        Self {
            listed: agent.tools.iter().map(|tool| listed(tool)).collect(),
            tools: agent.tools.clone(),
            resources: agent.resources.clone(),
            prompts: agent.prompts.clone(),
            info,
        }
    }
}

fn listed(tool: &Registered) -> Tool {
    let description = (!tool.description.is_empty()).then(|| tool.description.clone());
    let mut listed = Tool::new_with_raw(tool.name(), description, Arc::new(tool.input.clone()));
    listed.title = tool.title.as_ref().map(ToString::to_string);
    listed.output_schema = tool.output.clone().map(Arc::new);
    // The same keys, which are all of them.
    listed.annotations = serde_json::from_value(tool.hints.to_json().into()).ok();
    listed
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        self.info.clone()
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.listed.iter().find(|tool| tool.name == name).cloned()
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut list = ListToolsResult::with_all_items(self.listed.to_vec());
        list.ttl_ms = Some(LIST_LASTS);
        list.cache_scope = Some(CacheScope::Public);
        Ok(list)
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        if self.resources.is_empty() {
            return Err(ErrorData::method_not_found::<ListResourcesRequestMethod>());
        }
        let mut list = ListResourcesResult::with_all_items(resources::fixed(&self.resources));
        list.ttl_ms = Some(LIST_LASTS);
        list.cache_scope = Some(CacheScope::Public);
        Ok(list)
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        if self.resources.is_empty() {
            return Err(ErrorData::method_not_found::<
                ListResourceTemplatesRequestMethod,
            >());
        }
        let templates = resources::templates(&self.resources);
        let mut list = ListResourceTemplatesResult::with_all_items(templates);
        list.ttl_ms = Some(LIST_LASTS);
        list.cache_scope = Some(CacheScope::Public);
        Ok(list)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        if self.resources.is_empty() {
            return Err(ErrorData::method_not_found::<ReadResourceRequestMethod>());
        }
        let Some((resource, arguments)) = self.resources.find_uri(&request.uri) else {
            let data = json!({ "uri": request.uri });
            let message = format!("there is no resource `{}`", request.uri);
            return Err(ErrorData::resource_not_found(message, Some(data)));
        };
        let content = self.made(resource, arguments, &context).await?;
        Ok(resources::result(resource, &request.uri, content).into())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        if self.prompts.is_empty() {
            return Err(ErrorData::method_not_found::<ListPromptsRequestMethod>());
        }
        let mut list = ListPromptsResult::with_all_items(prompts::listed(&self.prompts));
        list.ttl_ms = Some(LIST_LASTS);
        list.cache_scope = Some(CacheScope::Public);
        Ok(list)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        if self.prompts.is_empty() {
            return Err(ErrorData::method_not_found::<GetPromptRequestMethod>());
        }
        let Some(prompt) = self.prompts.find(&request.name) else {
            let message = format!("there is no prompt `{}`", request.name);
            return Err(ErrorData::invalid_params(message, None));
        };
        let arguments = request.arguments.unwrap_or_default();
        let content = self.made(prompt, arguments, &context).await?;
        Ok(prompts::result(prompt, content).into())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = self.tools.find(&request.name) else {
            let message = format!("there is no tool `{}`", request.name);
            return Err(ErrorData::invalid_params(message, None));
        };
        let scope = known(&context)?;
        let arguments = request.arguments.unwrap_or_default();
        let can_poll = context.client_capabilities();
        let can_poll = can_poll.is_some_and(|capabilities| capabilities.supports_tasks());
        match tool.task {
            TaskMode::Auto | TaskMode::Always if can_poll => {
                return Ok(CallToolResponse::Task(task::begin(tool, &scope, arguments)));
            }
            TaskMode::Always => {
                let needed = ClientCapabilities::builder().enable_tasks().build();
                return Err(ErrorData::missing_required_client_capability(needed));
            }
            TaskMode::Auto | TaskMode::Never => {}
        }
        // The client may leave, and the function not stop: the agent is busy until it has.
        let _hold = scope.hold();
        let progress = progress(&context);
        let panicked = told(&scope, tool);
        let work = run(tool, Arc::clone(&scope), arguments, progress, panicked);
        let mut work = Box::pin(request::within(Arc::clone(&scope), work));
        let left = async {
            if is_cancelled_by_leaving(&context) {
                context.ct.cancelled().await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let done = tokio::select! {
            biased;
            done = &mut work => done,
            () = left => {
                scope.cancel();
                scope.note(Outcome::Cancelled, None);
                panics::drop_caught(work, &named(tool));
                return Err(ErrorData::internal_error("cancelled", None));
            }
        };
        Ok(result_of(&scope, tool, done).into())
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        task::get(&request.task_id, &known(&context)?)
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        // No tool asks its client for input.
        task::is_known(&request.task_id, &known(&context)?)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        task::cancel(&request.task_id, &known(&context)?)
    }
}

impl Handler {
    /// Calls the function of a resource or a prompt. It does not make the agent busy. A failure is an error of the protocol, because
    /// a program reads it and not a model.
    async fn made(
        &self,
        offered: &Registered,
        arguments: Map<String, Value>,
        context: &RequestContext<RoleServer>,
    ) -> Result<Content, ErrorData> {
        let scope = known(context)?;
        let what = offered.to_string();
        let panicked = move |panic: Panic| panic.log(&what);
        let work = run(
            offered,
            Arc::clone(&scope),
            arguments,
            |_, _| None,
            panicked,
        );
        let done = Box::pin(request::within(scope, work)).await;
        done.map_err(|failure| {
            let text = failure.text.clone();
            match failure.kind {
                ToolFailureKind::Arguments => ErrorData::invalid_params(text, None),
                // It has been logged.
                ToolFailureKind::Panicked => ErrorData::internal_error(text, None),
                ToolFailureKind::Failed | ToolFailureKind::TimedOut => {
                    tracing::error!("{offered} failed: {}", failure.for_log());
                    ErrorData::internal_error(text, None)
                }
            }
        })
    }
}

/// The request. It is missing only if `rmcp` has lost it.
fn known(context: &RequestContext<RoleServer>) -> Result<Arc<Scope>, ErrorData> {
    caller(context).ok_or_else(|| ErrorData::internal_error("the request is not known", None))
}

/// Returns a function that records a panic of `tool` for the line at the end of the call.
pub(super) fn told(scope: &Arc<Scope>, tool: &Registered) -> impl FnOnce(Panic) + Send + use<> {
    let (scope, what) = (Arc::clone(scope), named(tool));
    move |panic| {
        scope.note(panic.outcome(), None);
        scope.observed().fail(report::Failure::panic(what, panic));
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

/// The request as the agent knows it.
fn caller(context: &RequestContext<RoleServer>) -> Option<Arc<Scope>> {
    let parts = context.extensions.get::<http::request::Parts>()?;
    parts
        .extensions
        .get::<Caller>()
        .map(|Caller(scope)| Arc::clone(scope))
}

/// Since 2026-07-28 a client that leaves cancels its call; before, it did not.
fn is_cancelled_by_leaving(context: &RequestContext<RoleServer>) -> bool {
    let version = context.protocol_version();
    version.is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

fn named(tool: &Registered) -> String {
    tool.to_string()
}

/// Sends the items of a stream to the client, where that asks for progress.
fn progress(
    context: &RequestContext<RoleServer>,
) -> impl FnMut(usize, &Content) -> Option<crate::util::BoxFuture<()>> + Send + use<> {
    let token = context.meta.get_progress_token();
    let peer = context.peer.clone();
    move |count, content| {
        let mut told = ProgressNotificationParam::new(token.clone()?, (count + 1) as f64);
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

/// Records why the call failed, for the line at its end. Invalid arguments are the model's mistake and not the agent's.
fn tell(scope: &Arc<Scope>, tool: &Registered, failure: &ToolFailure) {
    let (outcome, told) = match failure.kind {
        ToolFailureKind::Arguments => (Outcome::ClientError, None),
        ToolFailureKind::Failed => {
            let told = report::Failure::error(named(tool), failure.for_log());
            (Outcome::Error, Some(told))
        }
        ToolFailureKind::TimedOut => {
            let told = report::Failure::stopped(named(tool), failure.for_log());
            (Outcome::Timeout, Some(told))
        }
        // It has been recorded.
        ToolFailureKind::Panicked => return,
    };
    scope.note(outcome, None);
    if let Some(told) = told {
        scope.observed().fail(told);
    }
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
