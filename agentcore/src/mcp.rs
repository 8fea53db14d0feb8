//! Tools over the Model Context Protocol, with the feature `mcp`.
//!
//! The official SDK, `rmcp`, implements the protocol: messages, revisions, negotiation. Its service runs on the workers, as a handler
//! that makes a reply of a request. So a call of a tool is counted, limited, logged and drained as an invocation is. `rmcp` starts
//! tasks of its own, which have no task-locals of ours: the request's scope travels in the extensions of the request, and becomes
//! current again around the user's function.
//!
//! ```text
//! front: server/mcp ── message (which kind is it?) ─┬─ the platform's probe: answered there
//!                                                   └─▶ workers: rmcp ─▶ handler ─▶ tools::run ─▶ the function
//! ```

mod asking;
mod caller;
mod completion;
mod handler;
mod logging;
mod message;
mod nodes;
mod outcome;
mod parameters;
mod prompts;
mod resources;
mod sessions;
mod state;
mod subscriptions;
mod task;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::Full;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use self::caller::{Caller, accepts_events};
use self::handler::Handler;
pub(crate) use self::message::{LARGEST_PROBE, MOST_READ, Message, MessageKind};
pub(crate) use self::sessions::SESSION_ID;
use self::sessions::Sessions;
use crate::app::parts::Agent;
use crate::config::Settings;
use crate::handler::body::Body;
use crate::handler::extract::{self, Invocation};
use crate::handler::invoke::{self, Run};
use crate::handler::layer::Endpoint;
use crate::handler::response::{IntoResponse, Response, internal_error};
use crate::report::Kind;
use crate::request::Scope;

/// The media types that a client of MCP has to accept. `rmcp` refuses other clients with 406, and some clients of legacy revisions
/// accept only JSON.
const BOTH: &str = "application/json, text/event-stream";

/// The two kinds of servers behind the port.
enum McpServer {
    /// The agent's own tools.
    Tools(Box<OwnTools>),
    /// The service that the program has mounted.
    Mounted(Endpoint),
}

/// The services of the agent's own tools.
struct OwnTools {
    service: StreamableHttpService<Handler, NeverSessionManager>,
    /// Where there is a function that asks its client.
    sessions: Option<Sessions>,
}

/// What runs the requests to the port on the workers.
#[derive(Clone)]
pub(crate) struct Runs {
    message: Run,
    of_session: Option<[Run; 2]>,
}

/// A request that is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfSession {
    /// `GET`: opens the stream of messages that belong to no call.
    Open,
    /// `DELETE`.
    End,
}

impl OfSession {
    /// The request with this method and these headers, if it may be one.
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Option<Self> {
        let kind = match *method {
            Method::GET => Self::Open,
            Method::DELETE => Self::End,
            _ => return None,
        };
        headers.contains_key(SESSION_ID).then_some(kind)
    }
}

impl Runs {
    /// Streams that would have no other end are over when `ended` is.
    pub(crate) fn new(agent: &Agent, settings: &Settings, ended: &CancellationToken) -> Self {
        let server = match &agent.mcp_service {
            Some(service) => McpServer::Mounted(service.clone()),
            None => McpServer::Tools(Box::new(OwnTools::new(agent, settings, ended))),
        };
        let server = Arc::new(server);
        let has_sessions = matches!(&*server, McpServer::Tools(tools) if tools.sessions.is_some());
        let of_session = has_sessions.then(|| {
            [Method::GET, Method::DELETE].map(|method| {
                let server = Arc::clone(&server);
                run(move |invocation| {
                    let (server, method) = (Arc::clone(&server), method.clone());
                    async move { server.answer_of_session(invocation, method).await }
                })
            })
        });
        Self {
            message: run(move |invocation| Arc::clone(&server).answer(invocation)),
            of_session,
        }
    }

    /// Runs messages.
    pub(crate) fn message(&self) -> Run {
        Arc::clone(&self.message)
    }

    /// Whether clients have sessions.
    pub(crate) fn has_sessions(&self) -> bool {
        self.of_session.is_some()
    }

    /// Runs requests that are no messages, if clients have sessions.
    pub(crate) fn of_session(&self, which: OfSession) -> Option<Run> {
        let [open, end] = self.of_session.as_ref()?;
        Some(Arc::clone(match which {
            OfSession::Open => open,
            OfSession::End => end,
        }))
    }
}

fn run<Fut>(answer: impl Fn(Invocation) -> Fut + Clone + Send + Sync + 'static) -> Run
where
    Fut: Future<Output = Response> + Send + 'static,
{
    Arc::new(move |job, run_in| invoke::start(job, run_in, answer.clone()))
}

impl OwnTools {
    fn new(agent: &Agent, settings: &Settings, ended: &CancellationToken) -> Self {
        let handler = Handler::new(agent, settings, ended);
        let config = StreamableHttpServerConfig::default()
            // The platform forwards session ids that this server has not given out.
            .with_legacy_session_mode(false)
            .with_json_response(true)
            // Behind a gateway the host is the gateway's. The front keeps pages of the web out by their origin.
            .disable_allowed_hosts()
            // The body has been read, within the limit of every body.
            .with_max_request_body_bytes(settings.max_body_bytes);
        let sessions = handler
            .needs_sessions()
            .map(|for_whom| Sessions::new(for_whom, &handler, config.clone(), ended));
        let service =
            StreamableHttpService::new(move || Ok(handler.for_session()), Arc::default(), config);
        Self { service, sessions }
    }

    async fn answer(&self, mut request: Request<Bytes>, scope: Arc<Scope>) -> http::Response<Body> {
        if let Some(sessions) = &self.sessions {
            // A call begins no session.
            let may_begin = scope.kind() != Kind::Tool && accepts_events(scope.headers());
            request = match sessions.answer(request, &scope, may_begin).await {
                Ok(response) => return response,
                Err(request) => request,
            };
        }
        request.extensions_mut().insert(Caller::of(&scope, None));
        // Boxed, because the future is large, and this one is moved into its task.
        let response = Box::pin(self.service.handle(request.map(Full::new))).await;
        response.map(Body::new)
    }
}

impl McpServer {
    /// Answers a request of a session that is no message.
    async fn answer_of_session(&self, invocation: Invocation, method: Method) -> Response {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = method;
        *request.headers_mut() = invocation.scope().headers().clone();
        let scope = Arc::clone(invocation.scope());
        drop(invocation);
        let sessions = match self {
            Self::Tools(tools) => tools.sessions.as_ref(),
            Self::Mounted(_) => None,
        };
        match sessions {
            Some(sessions) => {
                let response = sessions.answer_other(request, &scope).await;
                unbuffered(response).into_response()
            }
            None => internal_error(),
        }
    }

    async fn answer(self: Arc<Self>, invocation: Invocation) -> Response {
        let scope = Arc::clone(invocation.scope());
        let mut request = Request::new(Bytes::clone(invocation.body()));
        *request.method_mut() = Method::POST;
        drop(invocation);
        *request.headers_mut() = scope.headers().clone();
        let accept = HeaderValue::from_static(BOTH);
        request.headers_mut().insert(header::ACCEPT, accept);
        let response = match &*self {
            Self::Tools(tools) => {
                let most = scope.instance().max_json_nodes;
                if nodes::are_more_than(most, request.body()) {
                    return extract::too_many(most);
                }
                tools.answer(request, scope).await
            }
            Self::Mounted(service) => {
                let mut service = service.clone();
                let Ok(response) = service.call(request.map(Body::from)).await;
                response
            }
        };
        unbuffered(response).into_response()
    }
}

/// A proxy that collects a stream keeps its messages back.
fn unbuffered(mut response: http::Response<Body>) -> http::Response<Body> {
    let is_stream = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if is_stream {
        let no = HeaderValue::from_static("no");
        response.headers_mut().insert("x-accel-buffering", no);
    }
    response
}
