//! [`Handler`]: the answers to `rmcp`'s questions: the server's name, its tools, and the result of a call.

use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::ServerHandler;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams,
    ClientCapabilities, CompleteRequestMethod, CompleteRequestParams, CompleteResult, ContentBlock,
    GetPromptRequestMethod, GetPromptRequestParams, GetPromptResponse, GetTaskParams,
    GetTaskResult, Implementation, InputRequiredResult, ListPromptsRequestMethod,
    ListPromptsResult, ListResourceTemplatesRequestMethod, ListResourceTemplatesResult,
    ListResourcesRequestMethod, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ProgressNotificationParam, ProtocolVersion, ReadResourceRequestMethod,
    ReadResourceRequestParams, ReadResourceResponse, ResourcesCapability, ServerCapabilities,
    ServerConfig, SetLevelRequestMethod, SubscribeRequestMethod, SubscribeRequestParams,
    SubscriptionFilter, Tool, UnsubscribeRequestMethod, UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{RequestContext, RoleServer, SubscriptionContext};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::asking::{self, Asked, Called, Conversation, Input, Way};
use super::logging::{Logging, SessionLevel};
use super::sessions::SessionsFor;
use super::state::Sealer;
use super::subscriptions::OfSession;
use super::task::Tasks;
use super::{Caller, completion, prompts, resources, subscriptions, task};
use crate::app::parts::Agent;
use crate::config::{Settings, StateKey};
use crate::headers;
use crate::report::panics::{self, Panic};
use crate::report::{self, Outcome};
use crate::request::{self, Scope};
use crate::tools::{
    Block, Content, Registered, TaskMode, ToolFailure, ToolFailureKind, ToolSet, Updates, run,
};

/// How long a client may keep the list, in milliseconds. The list does not change while the agent runs.
const LIST_LASTS: u64 = 60_000;

/// The maximum length of a progress message in bytes.
const LONGEST_MESSAGE: usize = 256;

#[derive(Clone)]
pub(super) struct Handler {
    agent: Arc<Offers>,
    level: SessionLevel,
    subscriptions: OfSession,
}

/// What all sessions share.
struct Offers {
    tools: ToolSet,
    listed: Vec<Tool>,
    resources: ToolSet,
    prompts: ToolSet,
    info: ServerConfig,
    sealer: Sealer,
    tasks: Tasks,
    updates: Updates,
    /// Streams without another end are over then.
    ended: CancellationToken,
}

impl Handler {
    pub(super) fn new(agent: &Agent, settings: &Settings, ended: &CancellationToken) -> Self {
        let version = agent.package.version().unwrap_or("0.0.0");
        let mut capabilities = ServerCapabilities::default();
        if agent.tools.iter().any(|tool| tool.task != TaskMode::Never) {
            capabilities = ServerCapabilities::builder().enable_tasks().build();
        }
        capabilities.tools = (!agent.tools.is_empty()).then(Default::default);
        capabilities.resources = (!agent.resources.is_empty()).then(|| {
            let mut resources = ResourcesCapability::default();
            resources.subscribe = Some(true);
            resources
        });
        capabilities.prompts = (!agent.prompts.is_empty()).then(Default::default);
        let offered = || [&agent.tools, &agent.resources, &agent.prompts].into_iter();
        let asks = offered().any(|offered| offered.iter().any(|offered| offered.asks));
        capabilities.logging = asks.then(Default::default);
        let has_arguments = |offered: &Arc<Registered>| !offered.arguments.is_empty();
        let completes =
            agent.prompts.iter().any(has_arguments) || agent.resources.iter().any(has_arguments);
        capabilities.completions = completes.then(Default::default);
        let mut info = ServerConfig::new(capabilities);
        info.server_info = Implementation::new(agent.package.name(), version);
        let offers = Offers {
            listed: agent.tools.iter().map(|tool| listed(tool)).collect(),
            tools: agent.tools.clone(),
            resources: agent.resources.clone(),
            prompts: agent.prompts.clone(),
            info,
            sealer: Sealer::new(settings.mcp_state_key.as_ref().map(StateKey::as_str)),
            tasks: Tasks::default(),
            updates: agent.updates.clone(),
            ended: ended.clone(),
        };
        Self::of(Arc::new(offers))
    }

    fn of(agent: Arc<Offers>) -> Self {
        Self {
            agent,
            level: SessionLevel::default(),
            subscriptions: OfSession::default(),
        }
    }

    /// The clients of earlier revisions that get a session, because something is offered that they get in sessions only: functions
    /// that ask them, and subscriptions.
    pub(super) fn needs_sessions(&self) -> Option<SessionsFor> {
        let capabilities = &self.agent.info.capabilities;
        match (&capabilities.resources, &capabilities.logging) {
            (Some(_), _) => Some(SessionsFor::All),
            (None, Some(_)) => Some(SessionsFor::ThoseThatAnswer),
            (None, None) => None,
        }
    }

    /// The handler of another session.
    pub(super) fn for_session(&self) -> Self {
        Self::of(Arc::clone(&self.agent))
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
        self.agent.info.clone()
    }

    /// `rmcp` reads the input schema alone.
    fn get_tool(&self, name: &str) -> Option<Tool> {
        let found = self.agent.listed.iter().find(|tool| tool.name == name)?;
        Some(Tool::new_with_raw(
            "",
            None,
            Arc::clone(&found.input_schema),
        ))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut list = ListToolsResult::with_all_items(self.agent.listed.clone());
        list.ttl_ms = Some(LIST_LASTS);
        list.cache_scope = Some(CacheScope::Public);
        Ok(list)
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        if self.agent.resources.is_empty() {
            return Err(ErrorData::method_not_found::<ListResourcesRequestMethod>());
        }
        let mut list = ListResourcesResult::with_all_items(resources::fixed(&self.agent.resources));
        list.ttl_ms = Some(LIST_LASTS);
        list.cache_scope = Some(CacheScope::Public);
        Ok(list)
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        if self.agent.resources.is_empty() {
            return Err(ErrorData::method_not_found::<
                ListResourceTemplatesRequestMethod,
            >());
        }
        let templates = resources::templates(&self.agent.resources);
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
        if self.agent.resources.is_empty() {
            return Err(ErrorData::method_not_found::<ReadResourceRequestMethod>());
        }
        let Some((resource, arguments)) = self.agent.resources.find_uri(&request.uri) else {
            let data = json!({ "uri": request.uri });
            let message = format!("there is no resource `{}`", request.uri);
            return Err(ErrorData::resource_not_found(message, Some(data)));
        };
        let called = ("resources/read", &*request.uri);
        let input = (request.input_responses, request.request_state);
        let made = self.made(resource, called, arguments, input, &context);
        Ok(match made.await? {
            Made::Content(content) => resources::result(resource, &request.uri, content).into(),
            Made::Questions(questions) => questions.into(),
        })
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        if self.agent.prompts.is_empty() {
            return Err(ErrorData::method_not_found::<ListPromptsRequestMethod>());
        }
        let mut list = ListPromptsResult::with_all_items(prompts::listed(&self.agent.prompts));
        list.ttl_ms = Some(LIST_LASTS);
        list.cache_scope = Some(CacheScope::Public);
        Ok(list)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        if self.agent.prompts.is_empty() {
            return Err(ErrorData::method_not_found::<GetPromptRequestMethod>());
        }
        let Some(prompt) = self.agent.prompts.find(&request.name) else {
            let message = format!("there is no prompt `{}`", request.name);
            return Err(ErrorData::invalid_params(message, None));
        };
        let arguments = request.arguments.unwrap_or_default();
        let called = ("prompts/get", &*request.name);
        let input = (request.input_responses, request.request_state);
        let made = self.made(prompt, called, arguments, input, &context);
        Ok(match made.await? {
            Made::Content(content) => prompts::result(prompt, content).into(),
            Made::Questions(questions) => questions.into(),
        })
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let scope = known(&context)?;
        let Some(tool) = self.agent.tools.find(&request.name) else {
            scope.note(Outcome::ClientError, None);
            let message = format!("there is no tool `{}`", request.name);
            return Err(ErrorData::invalid_params(message, None));
        };
        let arguments = request.arguments.unwrap_or_default();
        let can_poll = context.client_capabilities();
        let can_poll = can_poll.is_some_and(|capabilities| capabilities.supports_tasks());
        match tool.task {
            TaskMode::Auto | TaskMode::Always if can_poll => {
                let can = asking::can_do(&context);
                let ended = &self.agent.ended;
                let task = self.agent.tasks.begin(tool, &scope, arguments, can, ended);
                return Ok(CallToolResponse::Task(task));
            }
            TaskMode::Always => {
                scope.note(Outcome::ClientError, None);
                let needed = ClientCapabilities::builder().enable_tasks().build();
                return Err(ErrorData::missing_required_client_capability(needed));
            }
            TaskMode::Auto | TaskMode::Never => {}
        }
        let called = Called {
            method: "tools/call",
            name: &request.name,
            arguments: &arguments,
            session: headers::session_id(scope.headers()),
            asks: tool.asks,
        };
        let input = (request.input_responses, request.request_state);
        let conversation = self.converse(&context, tool, &called, input);
        let mut conversation =
            conversation.inspect_err(|_| scope.note(Outcome::ClientError, None))?;
        // The client may leave, and the function not stop: the agent is busy until it has.
        let _hold = scope.hold();
        let progress = progress(&context);
        let panicked = told(&scope, tool);
        let work = run(tool, Arc::clone(&scope), arguments, progress, panicked);
        let work = conversation.client().scope(work);
        let mut work = Box::pin(request::within(Arc::clone(&scope), work));
        let driven = tokio::select! {
            biased;
            driven = conversation.drive(work.as_mut()) => driven,
            () = cancelled(&context) => {
                scope.cancel();
                scope.note(Outcome::Cancelled, None);
                panics::drop_caught(work, &named(tool));
                return Err(ErrorData::internal_error("cancelled", None));
            }
        };
        match driven {
            Ok(Asked::Done(done)) => result_of_call(&scope, tool, done, is_modern(&context)),
            Ok(Asked::Waits) => {
                panics::drop_caught(work, &named(tool));
                Ok(conversation.into_questions()?.into())
            }
            Err(error) => {
                panics::drop_caught(work, &named(tool));
                scope.note(Outcome::ClientError, None);
                Err(error)
            }
        }
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        if self.agent.info.capabilities.completions.is_none() {
            return Err(ErrorData::method_not_found::<CompleteRequestMethod>());
        }
        completion::of(&request, &self.agent.prompts, &self.agent.resources)
            .ok_or_else(|| ErrorData::invalid_params("there is no such argument to complete", None))
    }

    #[expect(deprecated, reason = "clients of earlier revisions send it")]
    async fn set_level(
        &self,
        request: rmcp::model::SetLevelRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if self.agent.info.capabilities.logging.is_none() {
            return Err(ErrorData::method_not_found::<SetLevelRequestMethod>());
        }
        self.level.set(request.level);
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        self.agent.info.capabilities.resources.as_ref()?;
        Some(subscriptions::accepted(requested))
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        subscriptions::listen(&self.agent.updates, &self.agent.ended, context).await
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if self.agent.info.capabilities.resources.is_none() || in_session(&context).is_none() {
            return Err(ErrorData::method_not_found::<SubscribeRequestMethod>());
        }
        self.subscriptions
            .add(request.uri, &self.agent.updates, &context.peer)
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if self.agent.info.capabilities.resources.is_none() || in_session(&context).is_none() {
            return Err(ErrorData::method_not_found::<UnsubscribeRequestMethod>());
        }
        self.subscriptions.remove(&request.uri);
        Ok(())
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        self.agent.tasks.get(&request.task_id, &known(&context)?)
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let scope = known(&context)?;
        self.agent
            .tasks
            .answer(&request.task_id, request.input_responses, &scope)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        task::cancel(&request.task_id, &known(&context)?)
    }
}

/// What a resource or a prompt has come to.
enum Made {
    Content(Content),
    Questions(InputRequiredResult),
}

impl Handler {
    /// Calls the function of a resource or a prompt. It does not make the agent busy. A failure is an error of the protocol, because
    /// a program reads it and not a model.
    async fn made(
        &self,
        offered: &Registered,
        (method, name): (&'static str, &str),
        arguments: Map<String, Value>,
        input: Input,
        context: &RequestContext<RoleServer>,
    ) -> Result<Made, ErrorData> {
        let scope = known(context)?;
        let called = Called {
            method,
            name,
            arguments: &arguments,
            session: headers::session_id(scope.headers()),
            asks: offered.asks,
        };
        let mut conversation = self.converse(context, offered, &called, input)?;
        let what = offered.to_string();
        let panicked = move |panic: Panic| panic.log(&what);
        let work = run(
            offered,
            Arc::clone(&scope),
            arguments,
            |_, _| None,
            panicked,
        );
        let work = conversation.client().scope(work);
        let mut work = Box::pin(request::within(scope, work));
        let driven = tokio::select! {
            biased;
            driven = conversation.drive(work.as_mut()) => driven,
            () = cancelled(context) => {
                panics::drop_caught(work, &offered.to_string());
                return Err(ErrorData::internal_error("cancelled", None));
            }
        };
        let done = match driven {
            Ok(Asked::Done(done)) => done,
            Ok(Asked::Waits) => {
                panics::drop_caught(work, &offered.to_string());
                return conversation.into_questions().map(Made::Questions);
            }
            Err(error) => {
                panics::drop_caught(work, &offered.to_string());
                return Err(error);
            }
        };
        done.map(Made::Content).map_err(|failure| {
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

    /// A call whose function may ask the client.
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
            Some(over) => Way::Session(over.clone()),
            None => Way::None,
        };
        let level = reads_events(context).then_some(&self.level);
        let logging = Logging::new(context, is_modern, level, offered.name());
        Conversation::begin(&self.agent.sealer, context, way, called, input, logging)
    }
}

/// The request. It is missing only if `rmcp` has lost it.
fn known(context: &RequestContext<RoleServer>) -> Result<Arc<Scope>, ErrorData> {
    caller(context)
        .map(|caller| Arc::clone(&caller.scope))
        .ok_or_else(|| ErrorData::internal_error("the request is not known", None))
}

/// Returns a function that records a panic of `tool` for the line at the end of the call.
pub(super) fn told(
    scope: &Arc<Scope>,
    tool: &Arc<Registered>,
) -> impl FnOnce(Panic) + Send + use<> {
    let (scope, tool) = (Arc::clone(scope), Arc::clone(tool));
    move |panic| {
        scope.note(panic.outcome(), None);
        let failure = report::Failure::panic(named(&tool), panic);
        scope.observed().fail(failure);
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
fn result_of_call(
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

/// The request as the agent knows it.
fn caller(context: &RequestContext<RoleServer>) -> Option<&Caller> {
    let parts = context.extensions.get::<http::request::Parts>()?;
    parts.extensions.get::<Caller>()
}

/// Whether the client reads event streams: messages before the result make the reply one.
fn reads_events(context: &RequestContext<RoleServer>) -> bool {
    caller(context).is_some_and(|caller| super::reads_events(caller.scope.headers()))
}

/// Of a request in a session of the protocol: the token that is cancelled when its client cannot be asked any more.
fn in_session(context: &RequestContext<RoleServer>) -> Option<&CancellationToken> {
    caller(context)?.in_session.as_ref()
}

/// Completes when the client cancels the request: by leaving since 2026-07-28, and in a session by a message. A client of an earlier
/// revision without a session cannot.
async fn cancelled(context: &RequestContext<RoleServer>) {
    if is_modern(context) || in_session(context).is_some() {
        context.ct.cancelled().await;
    } else {
        std::future::pending::<()>().await;
    }
}

/// Whether the request is of revision 2026-07-28 or a later one. Since then a client that leaves cancels its call, no request goes
/// from the server to the client, and there are no sessions.
fn is_modern(context: &RequestContext<RoleServer>) -> bool {
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

/// Records why the call failed, for the line at its end. Invalid arguments are the model's mistake and not the agent's.
pub(super) fn tell(scope: &Arc<Scope>, tool: &Registered, failure: &ToolFailure) {
    let (outcome, told) = match failure.kind {
        ToolFailureKind::Arguments | ToolFailureKind::Unsupported(_) => {
            (Outcome::ClientError, None)
        }
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
