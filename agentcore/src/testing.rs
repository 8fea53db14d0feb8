//! Testing agents in-process: no port, no process, any number of apps at once.
//!
//! [`TestClient`] speaks to an app as the platform would, with everything between the socket and the handler in place:
//! paths and methods, decoding, errors, time limits, streams, and a `/ping` whose status is the app's own, whatever other
//! tests do. It runs on the test's runtime, so that paused time works too.
//!
//! ```
//! use agentcore::testing::TestClient;
//! use agentcore::{App, Json};
//! use serde_json::{Value, json};
//!
//! async fn handler(Json(event): Json<Value>) -> Json<Value> {
//!     Json(json!({ "echo": event, "status": agentcore::current_ping_status() }))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), agentcore::Error> {
//! // In a test: #[tokio::test], and `TestClient::from_registry()` for an annotated agent.
//! let agent = TestClient::new(App::new().entrypoint("handler", handler)).await?;
//! let reply = agent.invoke(json!({ "question": "?" })).await;
//! assert_eq!(reply.status(), 200);
//! assert_eq!(reply.json::<Value>(), json!({ "echo": { "question": "?" }, "status": "Healthy" }));
//! assert!(!agent.ping().await.status.is_busy());
//! # Ok(())
//! # }
//! ```
//!
//! Code that the handler starts with `tokio::spawn` has no request around it, and tracks its tasks with the process
//! instead of the app under test, unless the task's function is called before: `tokio::spawn(task())`, not
//! `tokio::spawn(async { task().await })`. [`agentcore::spawn`](crate::spawn) always carries the request along.

#[cfg(feature = "ws")]
mod websocket;

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use serde_core::de::{DeserializeOwned, Error as _};
use serde_core::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

#[cfg(feature = "ws")]
pub use websocket::TestWebSocket;

use crate::app::App;
use crate::error::Error;
use crate::ping::PingStatus;
use crate::server::{InProcess, ReplyBody};
use crate::tasks::AsyncTaskInfo;

/// The header that names the session.
const SESSION_ID: &str = "x-amzn-bedrock-agentcore-runtime-session-id";

/// An app under test. See the [module](self).
///
/// ```
/// use agentcore::testing::TestClient;
/// use agentcore::{App, Config, Json};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), agentcore::Error> {
/// let app = App::new()
///     .entrypoint("shout", async |Json(text): Json<String>| Json(text.to_uppercase()))
///     .config(Config::new().max_body_bytes(100));
/// let agent = TestClient::new(app).await?;
/// assert_eq!(agent.invoke_as("session-1", "hey").await.json::<String>(), "HEY");
/// assert_eq!(agent.invoke("x".repeat(100)).await.status(), 413);
/// assert_eq!(agent.tasks().active_count, 0);
/// agent.idle().await;
/// agent.shutdown().await?;
/// assert_eq!(agent.invoke("hey").await.status(), 503);
/// # Ok(())
/// # }
/// ```
pub struct TestClient {
    server: InProcess,
}

impl TestClient {
    /// Checks `app` and runs its start hooks. Its configuration counts, the environment does not.
    ///
    /// # Errors
    ///
    /// What would keep the app from starting.
    pub async fn new(app: App) -> Result<Self, Error> {
        let (agent, settings) = app.into_agent_for_tests()?;
        Ok(Self {
            server: InProcess::start(agent, settings).await?,
        })
    }

    /// The agent that is annotated in this test's binary.
    ///
    /// # Errors
    ///
    /// What would keep it from starting.
    pub async fn from_registry() -> Result<Self, Error> {
        Self::new(App::from_registry()).await
    }

    /// `POST /invocations` with `event` as JSON; the whole reply.
    ///
    /// # Panics
    ///
    /// When `event` cannot be serialised.
    pub async fn invoke(&self, event: impl Serialize) -> TestResponse {
        self.send(invocation(event, None)).await
    }

    /// As [`invoke`](Self::invoke), in the session `session_id`.
    ///
    /// # Panics
    ///
    /// When `event` cannot be serialised, or the id is no header value.
    pub async fn invoke_as(&self, session_id: &str, event: impl Serialize) -> TestResponse {
        self.send(invocation(event, Some(session_id))).await
    }

    /// `POST /invocations` with `event` as JSON; the reply's events one by one. Dropping the stream is leaving it.
    ///
    /// # Panics
    ///
    /// When `event` cannot be serialised, or the reply is no stream.
    pub async fn stream(&self, event: impl Serialize) -> TestStream {
        let response = self.server.answer(invocation(event, None)).await;
        let content_type = response.headers().get(http::header::CONTENT_TYPE);
        assert_eq!(
            content_type.and_then(|value| value.to_str().ok()),
            Some("text/event-stream"),
            "the reply ({}) is no stream",
            response.status()
        );
        TestStream {
            body: Box::pin(response.into_body()),
            buffer: String::new(),
        }
    }

    /// A socket at `/ws`, in no session.
    ///
    /// # Panics
    ///
    /// When the app refuses it, or has no websocket handler.
    #[cfg(feature = "ws")]
    pub async fn websocket(&self) -> TestWebSocket {
        self.websocket_with(HeaderMap::new()).await
    }

    /// A socket at `/ws`, in the session `session_id`.
    ///
    /// # Panics
    ///
    /// As [`websocket`](Self::websocket), or when the id is no header value.
    #[cfg(feature = "ws")]
    pub async fn websocket_as(&self, session_id: &str) -> TestWebSocket {
        let session_id = session_id
            .parse()
            .expect("a session id that can be a header");
        let headers = [(http::HeaderName::from_static(SESSION_ID), session_id)];
        self.websocket_with(headers.into_iter().collect()).await
    }

    #[cfg(feature = "ws")]
    async fn websocket_with(&self, headers: HeaderMap) -> TestWebSocket {
        let (client, server) = tokio::io::duplex(websocket::PIPE_BYTES);
        if let Err(refused) = self.server.open_socket(headers, server).await {
            panic!("the app refused the socket: {refused:?}");
        }
        TestWebSocket::new(client)
    }

    /// Any request at all.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> TestResponse {
        let (head, body) = self.server.answer(request).await.into_parts();
        let body = match body.collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) => Err(error.to_string()),
        };
        TestResponse { head, body }
    }

    /// `GET /ping`.
    ///
    /// # Panics
    ///
    /// When the answer is not what the platform expects.
    pub async fn ping(&self) -> Ping {
        let reply = self.send(request(Method::GET, "/ping", Bytes::new())).await;
        assert_eq!(reply.status(), 200, "{reply:?}");
        reply.json()
    }

    /// The tasks that run, as [`async_task_info`](crate::async_task_info) would tell the handler.
    #[must_use]
    pub fn tasks(&self) -> AsyncTaskInfo {
        self.server.tracker().info()
    }

    /// Completes when nothing runs any more: no invocation, stream or task.
    pub async fn idle(&self) {
        self.server.tracker().idle().await;
    }

    /// Stops the app as SIGTERM would: new invocations are refused, work in progress has the grace to finish, the shutdown
    /// hooks run, and the work that they begin finishes. States are dropped with the client.
    ///
    /// # Errors
    ///
    /// Work or a shutdown hook was cut off.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.server.stop().await
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClient")
            .field("tasks", &self.tasks())
            .finish_non_exhaustive()
    }
}

fn invocation(event: impl Serialize, session_id: Option<&str>) -> Request<Full<Bytes>> {
    let body = serde_json::to_vec(&event).expect("an event that can be serialised");
    let mut request = request(Method::POST, "/invocations", body.into());
    if let Some(session_id) = session_id {
        let value = session_id
            .parse()
            .expect("a session id that can be a header");
        request.headers_mut().insert(SESSION_ID, value);
    }
    request
}

fn request(method: Method, path: &'static str, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = http::Uri::from_static(path);
    request
}

/// An answer to `/ping`.
///
/// ```
/// use agentcore::PingStatus;
/// use agentcore::testing::Ping;
///
/// let ping: Ping = serde_json::from_str(r#"{"status":"Healthy","time_of_last_update":7}"#).unwrap();
/// assert_eq!((ping.status, ping.time_of_last_update), (PingStatus::Healthy, 7));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ping {
    /// Whether anything runs.
    pub status: PingStatus,
    /// Unix seconds of the last change of `status`.
    pub time_of_last_update: u64,
}

impl<'de> Deserialize<'de> for Ping {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let said = Value::deserialize(deserializer)?;
        let stamp = said["time_of_last_update"].as_u64();
        Ok(Self {
            status: PingStatus::deserialize(&said["status"]).map_err(D::Error::custom)?,
            time_of_last_update: stamp
                .ok_or_else(|| D::Error::missing_field("time_of_last_update"))?,
        })
    }
}

/// A whole reply.
///
/// ```
/// # use agentcore::{App, testing::TestClient};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), agentcore::Error> {
/// # let agent = TestClient::new(App::new().entrypoint("x", async || agentcore::Json(1))).await?;
/// let reply = agent.invoke(()).await;
/// assert_eq!(reply.status(), 200);
/// assert_eq!(reply.headers()["content-type"], "application/json");
/// assert_eq!(reply.text(), "1");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TestResponse {
    head: http::response::Parts,
    body: Result<Bytes, String>,
}

impl TestResponse {
    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The body.
    ///
    /// # Panics
    ///
    /// When it broke off.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        self.body.as_ref().expect("a whole body")
    }

    /// The body as text.
    ///
    /// # Panics
    ///
    /// When it broke off or is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.bytes()).expect("a body in UTF-8")
    }

    /// The body, decoded from JSON.
    ///
    /// # Panics
    ///
    /// When it is no JSON of this shape.
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(self.bytes())
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }
}

/// The events of a streamed reply.
///
/// ```
/// use agentcore::testing::TestClient;
/// use agentcore::{App, Response, stream};
///
/// async fn count() -> Response {
///     Response::stream(stream! {
///         yield 1;
///         yield 2;
///     })
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), agentcore::Error> {
/// let agent = TestClient::new(App::new().entrypoint("count", count)).await?;
/// let mut stream = agent.stream(()).await;
/// assert_eq!(stream.next().await.unwrap().json::<u32>(), 1);
/// assert_eq!(stream.collect::<u32>().await, [2]);
/// # Ok(())
/// # }
/// ```
pub struct TestStream {
    body: Pin<Box<ReplyBody>>,
    /// What has arrived of the next event.
    buffer: String,
}

impl TestStream {
    /// The next event; `None` when the stream has ended. Comments are passed over.
    ///
    /// # Cancel safety
    ///
    /// Safe: no event is lost.
    ///
    /// # Panics
    ///
    /// When the stream breaks off or is not in the format.
    pub async fn next(&mut self) -> Option<TestEvent> {
        loop {
            if let Some(event) = self.take() {
                return Some(event);
            }
            let Some(frame) = self.body.frame().await else {
                assert_eq!(self.buffer, "", "the stream ended within an event");
                return None;
            };
            let data = frame.expect("a stream that does not break off").into_data();
            let text = String::from_utf8(data.unwrap_or_default().into()).expect("events in UTF-8");
            self.buffer.push_str(&text);
        }
    }

    /// All that is still to come, decoded from JSON.
    ///
    /// # Panics
    ///
    /// As [`next`](Self::next), and when an event is no JSON of this shape.
    pub async fn collect<T: DeserializeOwned>(mut self) -> Vec<T> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event.json());
        }
        events
    }

    /// Takes a whole event out of the buffer, if there is one that says anything.
    fn take(&mut self) -> Option<TestEvent> {
        while let Some(end) = self.buffer.find("\n\n") {
            let text: String = self.buffer.drain(..end + 2).collect();
            let event = TestEvent::parse(&text);
            if event != TestEvent::default() {
                return Some(event);
            }
        }
        None
    }
}

impl fmt::Debug for TestStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestStream")
            .field("is_end_stream", &self.body.is_end_stream())
            .finish_non_exhaustive()
    }
}

/// One server-sent event.
///
/// ```
/// use agentcore::sse::Event;
/// use agentcore::testing::TestClient;
/// use agentcore::{App, Response, stream};
///
/// async fn one() -> Response {
///     Response::stream(stream! {
///         yield Event::text("hello").id("7").event("greeting");
///     })
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), agentcore::Error> {
/// let agent = TestClient::new(App::new().entrypoint("one", one)).await?;
/// let event = agent.stream(()).await.next().await.unwrap();
/// assert_eq!((event.data.as_str(), event.id.as_deref()), ("hello", Some("7")));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TestEvent {
    /// Its data, the lines joined by line feeds.
    pub data: String,
    /// Its name.
    pub event: Option<String>,
    /// Its id.
    pub id: Option<String>,
}

impl TestEvent {
    fn parse(text: &str) -> Self {
        let mut event = Self::default();
        let mut data = Vec::new();
        for line in text.lines() {
            let (field, value) = line.split_once(": ").unwrap_or((line, ""));
            match field {
                "data" => data.push(value),
                "event" => event.event = Some(value.to_owned()),
                "id" => event.id = Some(value.to_owned()),
                _ => {}
            }
        }
        event.data = data.join("\n");
        event
    }

    /// Its data, decoded from JSON.
    ///
    /// # Panics
    ///
    /// When it is no JSON of this shape.
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.data)
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.data))
    }
}
