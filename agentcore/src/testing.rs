//! Testing agents in-process: no port, no process, any number of apps at once.
//!
//! [`TestClient`] calls an app as the platform would. Everything between the socket and the handler takes part: paths and
//! methods, decoding, errors, time limits and streams. `/ping` reports the status of this app alone, whatever other tests do.
//! The app runs on the test's runtime, so that paused time works too.
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
//! A request with headers, in a session, or of a user begins with [`TestClient::post`] or [`TestClient::get`].
//!
//! When a call fails, it panics with the line of the test, and with the status and the body of the reply. A future that is
//! awaited names the line in the text of its panic.
//!
//! Code that the handler starts with `tokio::spawn` runs outside of the request, and tracks its tasks with the process
//! instead of the app under test. To avoid that, call the task's function first: `tokio::spawn(task())`, not
//! `tokio::spawn(async { task().await })`. [`agentcore::spawn`](crate::spawn) always stays in the request.

#[cfg(feature = "durable")]
mod durable;
mod request;
#[cfg(test)]
mod tests;
#[cfg(feature = "ws")]
mod websocket;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde_core::de::{DeserializeOwned, Error as _};
use serde_core::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

pub use request::TestRequest;
#[cfg(feature = "ws")]
pub use websocket::TestWebSocket;

use crate::app::App;
use crate::error::Error;
use crate::handler::body::Body;
use crate::server::{InProcess, ReplyBody};
use crate::tasks::{AsyncTaskInfo, info_of};
use crate::tracker::PingStatus;

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
    #[cfg(feature = "durable")]
    crashes: std::sync::Arc<durable::Crashes>,
}

impl TestClient {
    /// Checks `app` and runs its start hooks. Its configuration applies; the environment is ignored.
    ///
    /// # Errors
    ///
    /// The problems that would keep the app from starting.
    pub async fn new(app: App) -> Result<Self, Error> {
        let (agent, settings) = app.into_agent_for_tests()?;
        let server = InProcess::start(agent, settings).await?;
        Ok(Self {
            #[cfg(feature = "durable")]
            crashes: durable::Crashes::of(&server),
            server,
        })
    }

    /// A client of the agent that is annotated in this test's binary.
    ///
    /// # Errors
    ///
    /// The problems that would keep the agent from starting.
    pub async fn from_registry() -> Result<Self, Error> {
        Self::new(App::from_registry()).await
    }

    /// A `POST` of the [path of invocations](crate::Config::invocations_path) with `event` as JSON. Add headers to it, then send it.
    ///
    /// ```
    /// # use agentcore::testing::TestClient;
    /// # use agentcore::{App, Json};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), agentcore::Error> {
    /// # let app = App::new().entrypoint("double", async |Json(number): Json<u32>| Json(2 * number));
    /// # let agent = TestClient::new(app).await?;
    /// let reply = agent.post(21).session("session-1").header("x-tenant", "7").send().await;
    /// assert_eq!(reply.json::<u32>(), 42);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When `event` cannot be serialised.
    #[track_caller]
    pub fn post(&self, event: impl Serialize) -> TestRequest<'_> {
        self.request(Method::POST, self.server.invocations_path())
            .json(event)
    }

    /// A `GET` of `path`. Add headers to it, then send it; with the path `/ws`, open a [socket](TestRequest::websocket).
    ///
    /// # Panics
    ///
    /// When `path` does not begin with a `/`, or is not valid.
    #[track_caller]
    pub fn get(&self, path: &str) -> TestRequest<'_> {
        self.request(Method::GET, path)
    }

    /// A request with any method, without a body. Add headers and a body to it, then send it.
    ///
    /// # Panics
    ///
    /// When `method` or `path` is not valid, or `path` does not begin with a `/`.
    #[track_caller]
    pub fn request<M>(&self, method: M, path: &str) -> TestRequest<'_>
    where
        M: TryInto<Method, Error: fmt::Display>,
    {
        TestRequest::new(self, method, path)
    }

    /// Sends a `POST /invocations` with `event` as JSON, and reads the whole reply. [`post`](Self::post) also takes headers.
    ///
    /// # Panics
    ///
    /// When `event` cannot be serialised.
    #[track_caller]
    pub fn invoke(&self, event: impl Serialize) -> impl Future<Output = TestResponse> {
        self.post(event).send()
    }

    /// Does what [`invoke`](Self::invoke) does, in the session `session_id`.
    ///
    /// # Panics
    ///
    /// When `event` cannot be serialised, or the id cannot be the value of a header.
    #[track_caller]
    pub fn invoke_as(
        &self,
        session_id: &str,
        event: impl Serialize,
    ) -> impl Future<Output = TestResponse> {
        self.post(event).session(session_id).send()
    }

    /// Sends a `POST /invocations` with `event` as JSON, and reads the reply's events one by one. Dropping the stream closes the
    /// connection. [`post`](Self::post) also takes headers.
    ///
    /// # Panics
    ///
    /// When `event` cannot be serialised, or the reply is not a stream of events. The text has its status and the beginning of
    /// its body.
    #[track_caller]
    pub fn stream(&self, event: impl Serialize) -> impl Future<Output = TestStream> {
        self.post(event).stream()
    }

    /// Opens a socket at `/ws`, without a session. [`get`](Self::get) also takes headers.
    ///
    /// # Panics
    ///
    /// When the app refuses it, or has no websocket handler. The text has the status and the beginning of the body.
    #[cfg(feature = "ws")]
    #[track_caller]
    pub fn websocket(&self) -> impl Future<Output = TestWebSocket> {
        self.get("/ws").websocket()
    }

    /// Opens a socket at `/ws`, in the session `session_id`.
    ///
    /// # Panics
    ///
    /// When [`websocket`](Self::websocket) would panic, or the id cannot be the value of a header.
    #[cfg(feature = "ws")]
    #[track_caller]
    pub fn websocket_as(&self, session_id: &str) -> impl Future<Output = TestWebSocket> {
        self.get("/ws").session(session_id).websocket()
    }

    /// Sends a request of the `http` crate, and reads the whole reply. [`request`](Self::request) makes one without that crate.
    ///
    /// The body is a [`Body`], or anything that converts into one, such as a `String` or `()`.
    pub async fn send(&self, request: Request<impl Into<Body>>) -> TestResponse {
        TestResponse::read(self.answer(None, request).await).await
    }

    /// Answers a request to `port`, which is the agent's unless it is given.
    async fn answer(
        &self,
        port: Option<u16>,
        request: Request<impl Into<Body>>,
    ) -> http::Response<ReplyBody> {
        let request = request.map(Into::into);
        match (self.server.answer_on(port, request).await, port) {
            (Some(response), _) => response,
            (None, port) => panic!("no routes have the port {}", port.unwrap_or_default()),
        }
    }

    /// Sends a `GET /ping`.
    ///
    /// # Panics
    ///
    /// When the answer is not what the platform expects. The text has its status and the beginning of its body.
    #[track_caller]
    pub fn ping(&self) -> impl Future<Output = Ping> {
        let caller = Caller::here();
        async move {
            let reply = self.get("/ping").send().await;
            match reply.decode() {
                Ok(ping) if reply.status() == StatusCode::OK => ping,
                Ok(_) => caller.fail(format_args!("the answer to `/ping` is {reply}")),
                Err(why) => caller.fail(why),
            }
        }
    }

    /// Sends the platform's warm-up request, which runs the [warm-up hooks](macro@crate::on_warmup), and reads the reply: a 404
    /// if the app has neither such a hook nor routes that answer it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not end the run of the hooks. Another request joins it.
    ///
    /// ```
    /// # use agentcore::testing::TestClient;
    /// # use agentcore::{App, Json};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), agentcore::Error> {
    /// let app = App::new()
    ///     .entrypoint("handler", async || Json(1))
    ///     .on_warmup(async || ());
    /// let agent = TestClient::new(app).await?;
    /// let reply = agent.warm_up().await;
    /// assert_eq!(reply.status(), 200);
    /// assert_eq!(reply.json::<serde_json::Value>()["hooks"][0]["name"], "on_warmup");
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn warm_up(&self) -> impl Future<Output = TestResponse> {
        self.request(Method::POST, self.server.warmup_path()).send()
    }

    /// Does to the app what a restore from a snapshot does: the stamp of `/ping` starts anew, and the
    /// [restore hooks](macro@crate::on_restore) run. It does not wait for them; the next request does.
    ///
    /// ```
    /// # use agentcore::testing::TestClient;
    /// # use agentcore::{App, Json};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), agentcore::Error> {
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// static RESTORES: AtomicU32 = AtomicU32::new(0);
    ///
    /// let app = App::new()
    ///     .entrypoint("count", async || Json(RESTORES.load(Ordering::Relaxed)))
    ///     .on_restore(async || {
    ///         RESTORES.fetch_add(1, Ordering::Relaxed);
    ///     });
    /// let agent = TestClient::new(app).await?;
    /// agent.restore();
    /// assert_eq!(agent.invoke(()).await.json::<u32>(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn restore(&self) {
        self.server.restore();
    }

    /// The running tasks, as [`async_task_info`](crate::async_task_info) would list them for the handler.
    #[must_use]
    pub fn tasks(&self) -> AsyncTaskInfo {
        info_of(self.server.tracker())
    }

    /// Completes when no invocation, stream or task runs any more.
    pub async fn idle(&self) {
        self.server.tracker().idle().await;
    }

    /// Stops the app as SIGTERM would: new invocations are refused, work in progress gets the grace period to finish, the
    /// shutdown hooks run, and the work that they begin finishes. States are dropped with the client.
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

/// The line of a test that made a call.
///
/// A function panics at the line of its caller. A future cannot, so it names the line in the text of its panic.
#[derive(Clone, Copy)]
struct Caller(&'static Location<'static>);

impl Caller {
    #[track_caller]
    fn here() -> Self {
        Self(Location::caller())
    }

    fn fail(self, why: impl fmt::Display) -> ! {
        panic!("at {}: {why}", self.0)
    }
}

/// At most the first 1000 bytes of a reply or an event, for the text of a panic.
fn cut(bytes: &[u8]) -> String {
    const SHOWN: usize = 1000;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    if bytes.len() <= SHOWN {
        text.into_owned()
    } else {
        format!("{text} [cut: {SHOWN} of {} bytes]", bytes.len())
    }
}

/// Decodes the JSON of a reply, an event or a message. The error shows it.
fn from_json<T>(what: &str, json: &[u8], shown: impl fmt::Display) -> Result<T, String>
where
    T: DeserializeOwned,
{
    serde_json::from_slice(json).map_err(|error| {
        let name = std::any::type_name::<T>();
        format!("the {what} is not JSON of `{name}` ({error}): {shown}")
    })
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
    /// `HealthyBusy` if anything runs.
    pub status: PingStatus,
    /// The time of the last change of `status`, in Unix seconds.
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
    async fn read<B>(response: http::Response<B>) -> Self
    where
        B: http_body::Body<Error: fmt::Display>,
    {
        let (head, body) = response.into_parts();
        let body = match body.collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) => Err(error.to_string()),
        };
        Self { head, body }
    }

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
    /// When the body broke off.
    #[must_use]
    #[track_caller]
    pub fn bytes(&self) -> &Bytes {
        match &self.body {
            Ok(bytes) => bytes,
            Err(_) => panic!("the body of the reply is incomplete: {self}"),
        }
    }

    /// The body as text.
    ///
    /// # Panics
    ///
    /// When the body broke off or is not UTF-8. The text has the status.
    #[must_use]
    #[track_caller]
    pub fn text(&self) -> &str {
        match std::str::from_utf8(self.bytes()) {
            Ok(text) => text,
            Err(error) => panic!("the body of the reply is not UTF-8 ({error}): {self}"),
        }
    }

    /// The body, decoded from JSON.
    ///
    /// # Panics
    ///
    /// When the body broke off or is not JSON of this shape. The text has the status and the beginning of the body.
    #[must_use]
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        match self.decode() {
            Ok(value) => value,
            Err(why) => panic!("{why}"),
        }
    }

    fn decode<T: DeserializeOwned>(&self) -> Result<T, String> {
        let bytes = self
            .body
            .as_deref()
            .map_err(|_| format!("the body of the reply is incomplete: {self}"))?;
        from_json("reply", bytes, self)
    }
}

/// The status and the beginning of the body, for the message of a failing test.
impl fmt::Display for TestResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status();
        match &self.body {
            Ok(bytes) => write!(f, "{status}: {}", cut(bytes)),
            Err(error) => write!(f, "{status}, and a body that broke off: {error}"),
        }
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
    /// The part of the next event that has arrived.
    buffer: String,
}

impl TestStream {
    fn new(body: ReplyBody) -> Self {
        Self {
            body: Box::pin(body),
            buffer: String::new(),
        }
    }

    /// The next event; `None` when the stream has ended. Comments are skipped.
    ///
    /// # Cancel safety
    ///
    /// Safe: no event is lost.
    ///
    /// # Panics
    ///
    /// When the stream breaks off or is not in the format.
    #[expect(
        clippy::should_implement_trait,
        reason = "it is awaited, as the `next` of other streams"
    )]
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Option<TestEvent>> {
        let caller = Caller::here();
        async move {
            match self.read().await {
                Ok(event) => event,
                Err(why) => caller.fail(why),
            }
        }
    }

    /// All events that are still to come, decoded from JSON.
    ///
    /// # Panics
    ///
    /// When [`next`](Self::next) would panic, or an event is not JSON of this shape.
    #[track_caller]
    pub fn collect<T: DeserializeOwned>(mut self) -> impl Future<Output = Vec<T>> {
        let caller = Caller::here();
        async move {
            let mut events = Vec::new();
            loop {
                let event = match self.read().await {
                    Ok(Some(event)) => event.decode(),
                    Ok(None) => return events,
                    Err(why) => Err(why),
                };
                match event {
                    Ok(event) => events.push(event),
                    Err(why) => caller.fail(why),
                }
            }
        }
    }

    /// The next event, or the error of the stream.
    async fn read(&mut self) -> Result<Option<TestEvent>, String> {
        loop {
            if let Some(event) = self.take() {
                return Ok(Some(event));
            }
            let Some(frame) = self.body.frame().await else {
                return match self.buffer.as_str() {
                    "" => Ok(None),
                    rest => Err(format!(
                        "the stream ended within an event: {}",
                        cut(rest.as_bytes())
                    )),
                };
            };
            let frame = frame.map_err(|error| format!("the stream broke off: {error}"))?;
            let data = frame.into_data().unwrap_or_default();
            let text = std::str::from_utf8(&data)
                .map_err(|error| format!("the stream is not UTF-8 ({error}): {}", cut(&data)))?;
            self.buffer.push_str(text);
        }
    }

    /// Takes the next whole event out of the buffer. Skips comments.
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
    /// The event's data. Lines are joined by line feeds.
    pub data: String,
    /// The event's name.
    pub event: Option<String>,
    /// The event's id.
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

    /// The event's data, decoded from JSON.
    ///
    /// # Panics
    ///
    /// When the data is not JSON of this shape.
    #[must_use]
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        match self.decode() {
            Ok(value) => value,
            Err(why) => panic!("{why}"),
        }
    }

    fn decode<T: DeserializeOwned>(&self) -> Result<T, String> {
        let json = self.data.as_bytes();
        from_json("event", json, cut(json))
    }
}
