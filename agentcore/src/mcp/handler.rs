//! [`Handler`]: the answers to `rmcp`'s questions: the server's name, its tools, and the result of a call.

use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::ServerHandler;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CancelTaskParams, ClientCapabilities,
    CompleteRequestMethod, CompleteRequestParams, CompleteResult, GetPromptRequestMethod,
    GetPromptRequestParams, GetPromptResponse, GetTaskParams, GetTaskResult, Implementation,
    InputRequiredResult, ListPromptsRequestMethod, ListPromptsResult,
    ListResourceTemplatesRequestMethod, ListResourceTemplatesResult, ListResourcesRequestMethod,
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, ReadResourceRequestMethod,
    ReadResourceRequestParams, ReadResourceResponse, ResourcesCapability, ServerCapabilities,
    ServerConfig, SetLevelRequestMethod, SubscribeRequestMethod, SubscribeRequestParams,
    SubscriptionFilter, Tool, UnsubscribeRequestMethod, UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{RequestContext, RoleServer, SubscriptionContext};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::asking::{self, Called, Conversation, Ended, Input, Way};
use super::caller::{in_session, is_modern, known, reads_events};
use super::logging::{Logging, SessionLevel};
use super::outcome::{progress, result_of_call, told};
use super::sessions::SessionsFor;
use super::state::Sealer;
use super::subscriptions::Subscriptions;
use super::task::Tasks;
use super::{completion, prompts, resources, subscriptions, task};
use crate::app::parts::Agent;
use crate::config::{Settings, StateKey};
use crate::headers;
use crate::report::Outcome;
use crate::report::panics::Panic;
use crate::tools::{Content, Registered, TaskMode, ToolFailureKind, ToolSet, Updates, run};

/// How long a client may keep the list, in milliseconds. The list does not change while the agent runs.
const LIST_LASTS: u64 = 60_000;

#[derive(Clone)]
pub(super) struct Handler {
    agent: Arc<Offers>,
    level: SessionLevel,
    subscriptions: Subscriptions,
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
            subscriptions: Subscriptions::default(),
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
        let conversation = conversation.inspect_err(|_| scope.note(Outcome::ClientError, None))?;
        // The client may leave, and the function not stop: the agent is busy until it has.
        let _hold = scope.hold();
        let progress = progress(&context);
        let panicked = told(&scope, tool);
        let work = run(tool, Arc::clone(&scope), arguments, progress, panicked);
        let ended = conversation.run(work, &context, &scope, tool).await;
        match ended {
            Ok(Ended::Done(done)) => result_of_call(&scope, tool, done, is_modern(&context)),
            Ok(Ended::Asks(questions)) => Ok(questions.into()),
            Err(unfinished) => {
                scope.note(unfinished.outcome(), None);
                Err(unfinished.into())
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
        // The client is told that it listens before `listen` is called.
        self.subscriptions.listen_from_now(&self.agent.updates);
        Some(subscriptions::accepted(requested))
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let news = self.subscriptions.news(&self.agent.updates);
        subscriptions::listen(news, &self.agent.ended, context).await
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
        let conversation = self.converse(context, offered, &called, input)?;
        let what = offered.to_string();
        let panicked = move |panic: Panic| panic.log(&what);
        let no_progress = |_, _: &Content| None;
        let work = run(
            offered,
            Arc::clone(&scope),
            arguments,
            no_progress,
            panicked,
        );
        let done = match conversation.run(work, context, &scope, offered).await? {
            Ended::Done(done) => done,
            Ended::Asks(questions) => return Ok(Made::Questions(questions)),
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
            Some(over) => Way::Session(over.clone()),
            None => Way::None,
        };
        let level = reads_events(context).then_some(&self.level);
        let logging = Logging::new(context, is_modern, level, offered.name());
        Conversation::begin(&self.agent.sealer, context, way, called, input, logging)
    }
}
