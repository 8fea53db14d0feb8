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
mod prompts;
mod resources;
mod task;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Full;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tower_service::Service as _;

use self::handler::Handler;
pub(crate) use self::message::{Message, MessageKind};
use crate::app::parts::Agent;
use crate::config::{ErrorMode, Settings};
use crate::handler::body::Body;
use crate::handler::extract::Invocation;
use crate::handler::invoke::{self, Run};
use crate::handler::layer::Endpoint;
use crate::handler::response::{IntoResponse, Response};
use crate::request::Scope;

/// The media types that a client of MCP has to accept. `rmcp` refuses other clients with 406, and some clients of legacy revisions
/// accept only JSON.
const BOTH: &str = "application/json, text/event-stream";

/// Web pages of this machine. A browser sends the origin of the page, and a page from elsewhere may not call.
const ORIGINS: [&str; 6] = [
    "http://localhost:*",
    "http://127.0.0.1:*",
    "http://[::1]:*",
    "https://localhost:*",
    "https://127.0.0.1:*",
    "https://[::1]:*",
];

/// The request that a call belongs to, in the extensions of the request that `rmcp` gets.
#[derive(Clone)]
struct Caller(Arc<Scope>);

/// The service on the workers.
struct Service {
    server: McpServer,
    errors: ErrorMode,
}

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
    let service = Arc::new(Service {
        server,
        errors: settings.errors,
    });
    Arc::new(move |job, run_in| {
        let service = Arc::clone(&service);
        invoke::start(job, run_in, |invocation| service.answer(invocation))
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
        // Behind a gateway the host is the gateway's. Pages of the web are kept out by their origin.
        .disable_allowed_hosts()
        .with_allowed_origins(ORIGINS)
        // The body has been read, within the limit of every body.
        .with_max_request_body_bytes(settings.max_body_bytes);
    StreamableHttpService::new(move || Ok(handler.clone()), Arc::default(), config)
}

impl Service {
    async fn answer(self: Arc<Self>, invocation: Invocation) -> Response {
        let scope = Arc::clone(invocation.scope());
        let mut request = Request::new(Bytes::clone(invocation.body()));
        *request.method_mut() = http::Method::POST;
        drop(invocation);
        *request.headers_mut() = scope.headers().clone();
        let accept = HeaderValue::from_static(BOTH);
        request.headers_mut().insert(header::ACCEPT, accept);
        request.extensions_mut().insert(Caller(scope));
        let mut response = match &self.server {
            McpServer::Tools(service) => {
                let response = service.handle(request.map(Full::new)).await;
                response.map(Body::new)
            }
            McpServer::Mounted(service) => {
                let mut service = service.clone();
                let Ok(response) = service.call(request.map(Body::from)).await;
                response
            }
        };
        if self.errors == ErrorMode::InBand && response.status().is_client_error() {
            // The platform destroys the body of every other status, and the error is in the body.
            *response.status_mut() = StatusCode::OK;
        }
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
