//! [`Sessions`]: the sessions of clients of earlier revisions, which can be asked only in one.
//!
//! Without sessions a server has nowhere to put the answer of a client: it comes with a request of its own. So an agent with a tool
//! that asks gives a session to each client that can be asked, and one with resources, which clients may subscribe to, to all. No
//! client needs one, and the platform's probe has none.
//!
//! `rmcp` keeps the messages of a session. Its idle clock also counts while a call runs, and starts anew with each message to a client
//! that has gone, so the clock is here. A session belongs to the session of the platform that it has begun in.

mod known;
mod stream;

use std::collections::hash_map::Entry;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use rmcp::transport::streamable_http_server::session::SessionManager as _;
use rmcp::transport::streamable_http_server::session::local::{LocalSessionManager, SessionConfig};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::known::{Known, Session};
use self::stream::read_ahead;
use super::caller::{Caller, SessionTokens};
use super::handler::Handler;
use super::message::MOST_READ;
use crate::handler::body::Body;
use crate::headers;
use crate::report::Outcome;
use crate::request::Scope;
use crate::util::sync::Mutex;

/// How many sessions there are at a time. A further one takes the place of the one that has been silent for longest. If all are in use,
/// its client is served without one, and cannot be asked.
const MOST_SESSIONS: usize = 1000;

/// The longest `initialize` in bytes that begins a session, because `rmcp` keeps it.
const LONGEST_BEGIN: usize = 16 << 10;

/// The header that names a session of the protocol.
pub(crate) const SESSION_ID: &str = "mcp-session-id";

/// The clients that get a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionsFor {
    All,
    /// The clients that can be asked.
    ThoseThatAnswer,
}

/// The sessions of clients.
pub(super) struct Sessions {
    clients: SessionsFor,
    known: Arc<Mutex<Known>>,
    manager: Arc<LocalSessionManager>,
    service: StreamableHttpService<Handler, LocalSessionManager>,
    /// The service for requests that are no messages. Its streams end with the agent.
    others: StreamableHttpService<Handler, LocalSessionManager>,
    ended: CancellationToken,
}

/// A request of a session, until its reply has ended.
pub(super) struct Open {
    known: Weak<Mutex<Known>>,
    session: Bytes,
    id: Option<String>,
    /// Cancelled when nobody can answer questions of the call any more: its client has left, or the agent has ended.
    over: CancellationToken,
    /// Cancelled when the session has ended.
    ended: CancellationToken,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.over.cancel();
        let Some(known) = self.known.upgrade() else {
            return;
        };
        if let Some(session) = known.lock().live.get_mut(&self.session) {
            session.open -= 1;
            session.seen = Instant::now();
            if let Some(id) = &self.id {
                session.calls.remove(id);
            }
        }
    }
}

/// What becomes of a request with the id of a session.
enum Found {
    /// The id is the platform's.
    Foreign,
    Ended,
    /// The session has a request with this id.
    Repeated(Value),
    Live(Open),
}

impl Sessions {
    pub(super) fn new(
        clients: SessionsFor,
        handler: &Handler,
        config: StreamableHttpServerConfig,
        ended: &CancellationToken,
    ) -> Self {
        let mut sessions = SessionConfig::default();
        sessions.keep_alive = None;
        // What a stream has delivered is not kept for a client that asks for it again: it would have no bound.
        sessions.completed_cache_ttl = Duration::ZERO;
        let mut manager = LocalSessionManager::default();
        manager.session_config = sessions;
        let manager = Arc::new(manager);
        let service = |config: StreamableHttpServerConfig| {
            let handler = handler.clone();
            StreamableHttpService::new(
                move || Ok(handler.for_session()),
                Arc::clone(&manager),
                config.with_legacy_session_mode(true),
            )
        };
        Self {
            clients,
            known: Arc::default(),
            service: service(config.clone()),
            others: service(config.with_cancellation_token(ended.clone())),
            manager,
            ended: ended.clone(),
        }
    }

    /// Answers a message that belongs to a session or begins one; gives back any other. Only a client that reads event streams may begin
    /// one, because everything in it is answered by a stream. A session id that is none of these sessions' is the platform's.
    pub(super) async fn answer(
        &self,
        mut request: Request<Bytes>,
        scope: &Arc<Scope>,
        may_begin: bool,
    ) -> Result<Response<Body>, Request<Bytes>> {
        self.end_idle_ones().await;
        if may_begin && begins_one(self.clients, request.body()) {
            if !self.make_room().await {
                return Err(request);
            }
            request.headers_mut().remove(SESSION_ID);
            request.extensions_mut().insert(Caller::of(scope, None));
            let response = Box::pin(self.service.handle(request.map(Full::new))).await;
            if let Some(id) = response.headers().get(SESSION_ID) {
                let id = Bytes::copy_from_slice(id.as_bytes());
                let of_platform = headers::session_id(scope.headers());
                let session = Session::new(of_platform);
                self.known.lock().live.insert(id, session);
            }
            return Ok(response.map(Body::new));
        }
        let open = match self.find(request.headers(), scope, id_of_request(request.body())) {
            Found::Foreign => return Err(request),
            Found::Ended => return Ok(not_found()),
            Found::Repeated(id) => return Ok(repeated(&id)),
            Found::Live(open) => open,
        };
        let tokens = SessionTokens {
            over: open.over.clone(),
            ended: open.ended.clone(),
        };
        request
            .extensions_mut()
            .insert(Caller::of(scope, Some(tokens)));
        let response = Box::pin(self.service.handle(request.map(Full::new))).await;
        Ok(response.map(|body| read_ahead(body, open)))
    }

    /// Answers a request that is no message.
    pub(super) async fn answer_other(
        &self,
        request: Request<Full<Bytes>>,
        scope: &Arc<Scope>,
    ) -> Response<Body> {
        let open = match self.find(request.headers(), scope, None) {
            Found::Foreign | Found::Ended | Found::Repeated(_) => return not_found(),
            Found::Live(open) => open,
        };
        if request.method() == Method::DELETE {
            self.end(&open.session).await;
            return Response::new(Body::default());
        }
        let response = Box::pin(self.others.handle(request)).await;
        response.map(|body| read_ahead(body, open))
    }

    /// The session that a head names, for the session of the platform that `scope` belongs to.
    fn find(&self, headers: &HeaderMap, scope: &Arc<Scope>, id: Option<Value>) -> Found {
        let Some(name) = headers.get(SESSION_ID) else {
            return Found::Foreign;
        };
        let mut known = self.known.lock();
        if known.past.contains(name.as_bytes()) {
            return Found::Ended;
        }
        let Some((name, _)) = known.live.get_key_value(name.as_bytes()) else {
            return Found::Foreign;
        };
        let name = name.clone();
        let Some(session) = known.live.get_mut(&name) else {
            return Found::Foreign;
        };
        if session.of_platform.as_deref() != headers::session_id(scope.headers()) {
            return Found::Ended;
        }
        if let Some(id) = id.as_ref() {
            match session.calls.entry(id.to_string()) {
                Entry::Occupied(_) => return Found::Repeated(id.clone()),
                Entry::Vacant(entry) => entry.insert(Arc::clone(scope)),
            };
        }
        session.open += 1;
        session.seen = Instant::now();
        Found::Live(Open {
            known: Arc::downgrade(&self.known),
            session: name,
            id: id.map(|id| id.to_string()),
            over: self.ended.child_token(),
            ended: session.ended.clone(),
        })
    }

    /// Ends the session with this id, and its calls.
    async fn end(&self, id: &Bytes) {
        let ended = self.known.lock().end(id);
        if let Some(session) = ended {
            // The streams of the calls end with the session, before their functions do.
            for call in session.calls.values() {
                call.note(Outcome::Cancelled, None);
            }
            // Before the streams end, because a question whose stream ends looks whether the session has ended.
            session.ended.cancel();
            if let Ok(id) = std::str::from_utf8(id) {
                let _ = self.manager.close_session(&id.into()).await;
            }
        }
    }

    /// Ends the sessions whose clients have been silent for too long.
    async fn end_idle_ones(&self) {
        let idle = self.known.lock().idle(Instant::now());
        for id in idle {
            self.end(&id).await;
        }
    }

    /// Whether there is room for another session. The one that has been silent for longest ends if there is none.
    async fn make_room(&self) -> bool {
        let silent = {
            let known = self.known.lock();
            if known.live.len() < MOST_SESSIONS {
                return true;
            }
            known.longest_silent()
        };
        match silent {
            Some(id) => {
                self.end(&id).await;
                true
            }
            None => false,
        }
    }
}

/// Tells a client to begin another session.
fn not_found() -> Response<Body> {
    let mut response = Response::new(Body::from("Not Found: there is no such session"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// Refuses a request that has the id of another one: `rmcp` would answer one of them alone.
fn repeated(id: &Value) -> Response<Body> {
    let error = json!({ "code": -32600, "message": "a request of the session has this id, and has not ended" });
    let body = json!({ "jsonrpc": "2.0", "id": id, "error": error });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let json = http::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, json);
    response
}

/// The id of a request; `None` for another message, and for one that is too long to be read twice.
fn id_of_request(body: &[u8]) -> Option<Value> {
    if body.len() > MOST_READ {
        return None;
    }
    let mut message = serde_json::from_slice::<Value>(body).ok()?;
    message.get("method")?;
    message.get_mut("id").map(Value::take)
}

/// Whether a message is the `initialize` of a client that gets a session.
fn begins_one(clients: SessionsFor, body: &[u8]) -> bool {
    if body.len() > LONGEST_BEGIN || memchr::memmem::find(body, b"initialize").is_none() {
        return false;
    }
    let Ok(message) = serde_json::from_slice::<Value>(body) else {
        return false;
    };
    let capabilities = message.pointer("/params/capabilities");
    let can =
        |what: &str| capabilities.is_some_and(|can| can.get(what).is_some_and(Value::is_object));
    message["method"] == "initialize"
        && (clients == SessionsFor::All
            || ["elicitation", "sampling", "roots"].into_iter().any(can))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_that_can_be_asked_begins_a_session() {
        let begins_one = |body: &[u8]| begins_one(SessionsFor::ThoseThatAnswer, body);
        let begins = |method: &str, capabilities: Value| {
            let message =
                json!({ "method": method, "id": 1, "params": { "capabilities": capabilities } });
            begins_one(message.to_string().as_bytes())
        };
        for can in ["elicitation", "sampling", "roots"] {
            assert!(begins("initialize", json!({ can: {} })), "{can}");
            assert!(!begins("tools/list", json!({ can: {} })), "{can}");
        }
        assert!(!begins("initialize", json!({})));
        assert!(!begins("initialize", json!({ "elicitation": null })));
        let long = "x".repeat(LONGEST_BEGIN);
        assert!(!begins(
            "initialize",
            json!({ "elicitation": {}, "experimental": { "x": long } })
        ));
        assert!(!begins_one(b"{\"method\":\"initialize\""));
        assert!(!begins_one(b"[\"initialize\"]"));
    }

    #[test]
    fn requests_alone_have_ids_that_count() {
        let id = |body: Value| id_of_request(body.to_string().as_bytes());
        assert_eq!(
            id(json!({ "id": 3, "method": "tools/list" })),
            Some(json!(3))
        );
        assert_eq!(id(json!({ "id": 3, "result": {} })), None);
        assert_eq!(id(json!({ "method": "notifications/initialized" })), None);
        assert_eq!(id_of_request(b"{"), None);
    }
}
