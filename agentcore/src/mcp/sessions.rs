//! [`Sessions`]: the sessions of clients of earlier revisions, which can be asked only in one.
//!
//! Without sessions a server has nowhere to put the answer of a client: it comes with a request of its own. So an agent with a tool
//! that asks gives a session to each client that can be asked, and one with resources, which clients may subscribe to, to all. No
//! client needs one, and the platform's probe has none.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use http_body_util::combinators::BoxBody;
use rmcp::transport::streamable_http_server::session::local::{LocalSessionManager, SessionConfig};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::handler::Handler;
use super::message::MOST_READ;
use crate::util::sync::Mutex;

/// How many sessions there are at a time. A further client is served without one, and cannot be asked.
const MOST_SESSIONS: usize = 1000;

/// How many ids are known as those of sessions that there have been. A client has to begin another one when it gets a 404 for its own.
const MOST_IDS: usize = 10_000;

/// A session ends when its client has sent nothing for so long. A person may take as long to answer.
const IDLE: Duration = Duration::from_secs(3600);

/// The header that names a session of the protocol.
pub(super) const SESSION_ID: &str = "mcp-session-id";

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
    issued: Mutex<Issued>,
    manager: Arc<LocalSessionManager>,
    service: StreamableHttpService<Handler, LocalSessionManager>,
    /// The service for requests that are no messages.
    others: StreamableHttpService<Handler, LocalSessionManager>,
}

impl Sessions {
    /// Streams that belong to no call end with `ended`.
    pub(super) fn new(
        clients: SessionsFor,
        handler: &Handler,
        config: StreamableHttpServerConfig,
        ended: &CancellationToken,
    ) -> Self {
        let mut sessions = SessionConfig::default();
        sessions.keep_alive = Some(IDLE);
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
            issued: Mutex::default(),
            service: service(config.clone()),
            others: service(config.with_cancellation_token(ended.clone())),
            manager,
        }
    }

    /// Answers a request that is no message.
    pub(super) async fn answer_other(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Response<BoxBody<Bytes, Infallible>> {
        self.others.handle(request).await
    }

    /// Answers a message that belongs to a session or begins one; gives back any other. Only a client that reads event streams
    /// may begin one, because everything in it is answered by a stream. A session id that is none of these sessions' is
    /// the platform's.
    pub(super) async fn answer(
        &self,
        mut request: Request<Bytes>,
        may_begin: bool,
    ) -> Result<Response<BoxBody<Bytes, Infallible>>, Request<Bytes>> {
        if may_begin && begins_one(self.clients, request.body()) {
            if self.manager.sessions.read().await.len() >= MOST_SESSIONS {
                return Err(request);
            }
            request.headers_mut().remove(SESSION_ID);
            let response = Box::pin(self.service.handle(request.map(Full::new))).await;
            if let Some(id) = response.headers().get(SESSION_ID) {
                let id = Bytes::copy_from_slice(id.as_bytes());
                self.issued.lock().add(id);
            }
            return Ok(response);
        }
        match request.headers().get(SESSION_ID) {
            Some(id) if self.issued.lock().ids.contains(id.as_bytes()) => {
                Ok(Box::pin(self.service.handle(request.map(Full::new))).await)
            }
            _ => Err(request),
        }
    }
}

/// The ids that have been given out.
#[derive(Debug, Default)]
struct Issued {
    ids: HashSet<Bytes>,
    /// The oldest first.
    order: VecDeque<Bytes>,
}

impl Issued {
    fn add(&mut self, id: Bytes) {
        if self.order.len() >= MOST_IDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        self.order.push_back(id.clone());
        self.ids.insert(id);
    }
}

/// Whether a message is the `initialize` of a client that gets a session.
fn begins_one(clients: SessionsFor, body: &[u8]) -> bool {
    if body.len() > MOST_READ || memchr::memmem::find(body, b"initialize").is_none() {
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
    use serde_json::json;

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
        assert!(!begins_one(b"{\"method\":\"initialize\""));
        assert!(!begins_one(b"[\"initialize\"]"));
    }
}
