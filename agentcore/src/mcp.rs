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

mod handler;
mod message;
mod nodes;
mod prompts;
mod resources;
mod task;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::Full;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tower_service::Service as _;

use self::handler::Handler;
pub(crate) use self::message::{LARGEST_PROBE, MOST_READ, Message, MessageKind};
use crate::app::parts::Agent;
use crate::config::Settings;
use crate::handler::body::Body;
use crate::handler::extract::{self, Invocation};
use crate::handler::invoke::{self, Run};
use crate::handler::layer::Endpoint;
use crate::handler::response::{IntoResponse, Response};
use crate::request::Scope;

/// The media types that a client of MCP has to accept. `rmcp` refuses other clients with 406, and some clients of legacy revisions
/// accept only JSON.
const BOTH: &str = "application/json, text/event-stream";

/// The request that a call belongs to, in the extensions of the request that `rmcp` gets.
#[derive(Clone)]
struct Caller(Arc<Scope>);

/// The two kinds of servers behind the port.
enum McpServer {
    /// The agent's own tools.
    Tools(StreamableHttpService<Handler, NeverSessionManager>),
    /// The service that the program has mounted.
    Mounted(Endpoint),
}

/// Runs the requests to the port on the workers.
pub(crate) fn run(agent: &Agent, settings: &Settings) -> Run {
    let server = match &agent.mcp_service {
        Some(service) => McpServer::Mounted(service.clone()),
        None => McpServer::Tools(tools(agent, settings)),
    };
    let server = Arc::new(server);
    Arc::new(move |job, run_in| {
        let server = Arc::clone(&server);
        invoke::start(job, run_in, |invocation| server.answer(invocation))
    })
}

/// The service for the agent's own tools.
fn tools(
    agent: &Agent,
    settings: &Settings,
) -> StreamableHttpService<Handler, NeverSessionManager> {
    let handler = Handler::new(agent);
    let config = StreamableHttpServerConfig::default()
        // The platform forwards session ids that this server has not given out.
        .with_legacy_session_mode(false)
        .with_json_response(true)
        // Behind a gateway the host is the gateway's. The front keeps pages of the web out by their origin.
        .disable_allowed_hosts()
        // The body has been read, within the limit of every body.
        .with_max_request_body_bytes(settings.max_body_bytes);
    StreamableHttpService::new(move || Ok(handler.clone()), Arc::default(), config)
}

impl McpServer {
    async fn answer(self: Arc<Self>, invocation: Invocation) -> Response {
        let scope = Arc::clone(invocation.scope());
        let mut request = Request::new(Bytes::clone(invocation.body()));
        *request.method_mut() = http::Method::POST;
        drop(invocation);
        *request.headers_mut() = scope.headers().clone();
        let accept = HeaderValue::from_static(BOTH);
        request.headers_mut().insert(header::ACCEPT, accept);
        request.extensions_mut().insert(Caller(Arc::clone(&scope)));
        let mut response = match &*self {
            Self::Tools(service) => {
                let most = scope.instance().max_json_nodes;
                if nodes::are_more_than(most, request.body()) {
                    return extract::too_many(most);
                }
                let response = service.handle(request.map(Full::new)).await;
                response.map(Body::new)
            }
            Self::Mounted(service) => {
                let mut service = service.clone();
                let Ok(response) = service.call(request.map(Body::from)).await;
                response
            }
        };
        let is_stream = response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if is_stream {
            // A proxy that collects a stream keeps its progress back.
            let no = HeaderValue::from_static("no");
            response.headers_mut().insert("x-accel-buffering", no);
        }
        response.into_response()
    }
}
