//! [`Handler`]: the answers to `rmcp`'s questions: the server's name, its tools, and the result of a call.

mod calls;

use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::ServerHandler;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CancelTaskParams, CompleteRequestMethod,
    CompleteRequestParams, CompleteResult, CustomRequest, CustomResult, ErrorCode,
    GetPromptRequestMethod, GetPromptRequestParams, GetPromptResponse, GetTaskParams,
    GetTaskResult, Implementation, ListPromptsRequestMethod, ListPromptsResult,
    ListResourceTemplatesRequestMethod, ListResourceTemplatesResult, ListResourcesRequestMethod,
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, ReadResourceRequestMethod,
    ReadResourceRequestParams, ReadResourceResponse, ResourcesCapability, ServerCapabilities,
    ServerConfig, SetLevelRequestMethod, SubscribeRequestMethod, SubscribeRequestParams,
    SubscriptionFilter, Tool, UnsubscribeRequestMethod, UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{RequestContext, RoleServer, SubscriptionContext};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use self::calls::Produced;
use super::caller::{in_session, is_modern, known};
use super::logging::SessionLevel;
use super::sessions::SessionsFor;
use super::state::Sealer;
use super::subscriptions::Subscriptions;
use super::task::Tasks;
use super::{completion, parameters, prompts, resources, subscriptions, task};
use crate::app::parts::Agent;
use crate::config::{Settings, StateKey};
use crate::report::Outcome;
use crate::tools::{Registered, TaskMode, ToolSet, Updates};

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
        let made = self.make(resource, called, arguments, input, &context);
        Ok(match made.await? {
            Produced::Content(content) => resources::result(resource, &request.uri, content).into(),
            Produced::Questions(questions) => questions.into(),
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
        let made = self.make(prompt, called, arguments, input, &context);
        Ok(match made.await? {
            Produced::Content(content) => prompts::result(prompt, content).into(),
            Produced::Questions(questions) => questions.into(),
        })
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.call(request, &context).await
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

    /// Answers a request that `rmcp` cannot read: its method is unknown, or its parameters do not fit.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let params = request.params.unwrap_or_default();
        let is_there = self.has_method(&request.method, &context);
        let misfit = is_there.then(|| parameters::misfit(&request.method, params));
        Err(match misfit.flatten() {
            Some(why) => {
                known(&context)?.note(Outcome::ClientError, None);
                ErrorData::invalid_params(why, None)
            }
            None => ErrorData::new(ErrorCode::METHOD_NOT_FOUND, request.method, None),
        })
    }
}

impl Handler {
    /// Whether there is a method with parameters in the revision of the request, and something to use it on.
    fn has_method(&self, method: &str, context: &RequestContext<RoleServer>) -> bool {
        let capabilities = &self.agent.info.capabilities;
        match method {
            "resources/read" => capabilities.resources.is_some(),
            "resources/subscribe" | "resources/unsubscribe" => {
                capabilities.resources.is_some() && in_session(context).is_some()
            }
            "subscriptions/listen" => capabilities.resources.is_some() && is_modern(context),
            "prompts/get" => capabilities.prompts.is_some(),
            "completion/complete" => capabilities.completions.is_some(),
            _ => true,
        }
    }
}
