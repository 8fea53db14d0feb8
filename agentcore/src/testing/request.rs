//! A request to the app under test, built step by step.

use std::fmt;
use std::future::Future;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use serde_core::Serialize;

#[cfg(feature = "ws")]
use super::websocket::{self, TestWebSocket};
use super::{Caller, TestClient, TestResponse, TestStream};
use crate::headers;

/// A request that has not been sent, made by [`TestClient::post`], [`TestClient::get`] and [`TestClient::request`].
///
/// ```
/// use agentcore::testing::TestClient;
/// use agentcore::{App, Json, RequestContext};
/// use serde_json::{Value, json};
///
/// async fn whoami(Json(_): Json<Value>, context: RequestContext) -> Json<Value> {
///     let tenant = context.headers().get("x-amzn-bedrock-agentcore-runtime-custom-tenant");
///     Json(json!({
///         "session": context.session_id(),
///         "user": context.user_id(),
///         "tenant": tenant.and_then(|tenant| tenant.to_str().ok()),
///     }))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), agentcore::Error> {
/// let agent = TestClient::new(App::new().entrypoint("whoami", whoami)).await?;
/// let reply = agent
///     .post(json!({ "question": "?" }))
///     .session("session-1")
///     .user("ann")
///     .header("x-amzn-bedrock-agentcore-runtime-custom-tenant", "7")
///     .send()
///     .await;
/// assert_eq!(reply.json::<Value>(), json!({ "session": "session-1", "user": "ann", "tenant": "7" }));
///
/// assert_eq!(agent.request("PUT", "/invocations").send().await.status(), 405);
/// assert_eq!(agent.request("POST", "/invocations").body("{").send().await.status(), 400);
/// assert_eq!(agent.get("/nothing").send().await.status(), 404);
/// # Ok(())
/// # }
/// ```
#[must_use = "it is not sent before `send`, `stream` or `websocket` is called and awaited"]
pub struct TestRequest<'a> {
    client: &'a TestClient,
    request: Request<Bytes>,
    port: Option<u16>,
}

impl<'a> TestRequest<'a> {
    #[track_caller]
    pub(super) fn new<M>(client: &'a TestClient, method: M, path: &str) -> Self
    where
        M: TryInto<Method, Error: fmt::Display>,
    {
        let mut request = Request::default();
        match method.try_into() {
            Ok(method) => *request.method_mut() = method,
            Err(error) => panic!("the method of the request is not valid: {error}"),
        }
        match path.parse::<Uri>() {
            Ok(uri) if path.starts_with('/') => *request.uri_mut() = uri,
            Ok(_) => panic!("the path of the request is `{path}`, which does not begin with a `/`"),
            Err(error) => panic!("the path of the request is `{path}`: {error}"),
        }
        Self {
            client,
            request,
            port: None,
        }
    }

    /// Sends the request to the [routes on](crate::App::routes_on) `port`, instead of the agent's own port.
    ///
    /// ```
    /// use agentcore::testing::TestClient;
    /// use agentcore::{App, Body};
    /// use http::{Request, Response};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), agentcore::Error> {
    /// let service = tower::service_fn(async |request: Request<Body>| {
    ///     Ok::<_, std::convert::Infallible>(Response::new(request.into_body()))
    /// });
    /// let agent = TestClient::new(App::new().routes_on(8081, service)).await?;
    /// let reply = agent.request("PUT", "/any").port(8081).body("hello").send().await;
    /// assert_eq!(reply.text(), "hello");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The call that sends the request panics when no routes have the port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Sets a header, and replaces its earlier values.
    ///
    /// # Panics
    ///
    /// When `name` or `value` is not valid.
    #[track_caller]
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: fmt::Display>,
        V: TryInto<HeaderValue, Error: fmt::Display>,
    {
        let name = match name.try_into() {
            Ok(name) => name,
            Err(error) => panic!("the name of a header is not valid: {error}"),
        };
        let value = match value.try_into() {
            Ok(value) => value,
            Err(error) => panic!("the value of the header `{name}` is not valid: {error}"),
        };
        self.request.headers_mut().insert(name, value);
        self
    }

    /// Sets the session, as the platform does: in `X-Amzn-Bedrock-AgentCore-Runtime-Session-Id`.
    ///
    /// # Panics
    ///
    /// When `id` cannot be the value of a header.
    #[track_caller]
    pub fn session(self, id: &str) -> Self {
        self.header(headers::SESSION_ID, id)
    }

    /// Sets the user, as the platform does: in `X-Amzn-Bedrock-AgentCore-Runtime-User-Id`.
    ///
    /// # Panics
    ///
    /// When `id` cannot be the value of a header.
    #[track_caller]
    pub fn user(self, id: &str) -> Self {
        self.header(headers::USER_ID, id)
    }

    /// Sets the body to `value` as JSON, and `content-type` to `application/json`.
    ///
    /// # Panics
    ///
    /// When `value` cannot be serialised.
    #[track_caller]
    pub fn json(mut self, value: impl Serialize) -> Self {
        let json = HeaderValue::from_static("application/json");
        self.request
            .headers_mut()
            .insert(header::CONTENT_TYPE, json);
        match serde_json::to_vec(&value) {
            Ok(body) => self.body(body),
            Err(error) => panic!("the body of the request cannot be serialised: {error}"),
        }
    }

    /// Sets the body to these bytes.
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        *self.request.body_mut() = bytes.into();
        self
    }

    /// Sends the request, and reads the whole reply, whatever its status.
    pub async fn send(self) -> TestResponse {
        let answer = self.client.answer(self.port, self.request);
        TestResponse::read(answer.await).await
    }

    /// Sends the request, and reads the reply's events one by one. Dropping the stream closes the connection.
    ///
    /// # Panics
    ///
    /// When the reply is not a stream of events. The text has its status and the beginning of its body.
    #[track_caller]
    pub fn stream(self) -> impl Future<Output = TestStream> + use<'a> {
        let caller = Caller::here();
        async move {
            let Self {
                client,
                request,
                port,
            } = self;
            let response = client.answer(port, request).await;
            let content_type = response.headers().get(header::CONTENT_TYPE);
            if content_type.is_some_and(|value| value == "text/event-stream") {
                return TestStream::new(response.into_body());
            }
            let reply = TestResponse::read(response).await;
            caller.fail(format_args!("the reply is not a stream of events: {reply}"))
        }
    }

    /// Opens a socket, with the request's headers. The request must be a [`get`](TestClient::get) of `/ws`.
    ///
    /// ```
    /// use agentcore::testing::TestClient;
    /// use agentcore::{App, BoxError, Message, RequestContext, WebSocket};
    ///
    /// async fn greet(socket: WebSocket, context: RequestContext) -> Result<(), BoxError> {
    ///     socket.send(context.user_id().unwrap_or("nobody")).await?;
    ///     Ok(())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), agentcore::Error> {
    /// let agent = TestClient::new(App::new().websocket("greet", greet)).await?;
    /// let mut socket = agent.get("/ws").session("session-1").user("ann").websocket().await;
    /// assert_eq!(socket.recv().await, Some(Message::from("ann")));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the request is another one, or the app refuses the socket. The text has the status and the beginning of the body.
    #[cfg(feature = "ws")]
    #[track_caller]
    pub fn websocket(self) -> impl Future<Output = TestWebSocket> + use<'a> {
        let caller = Caller::here();
        let Self {
            client, request, ..
        } = self;
        let (method, path) = (request.method(), request.uri().path());
        assert!(
            method == Method::GET && path == "/ws",
            "a socket is opened with `GET /ws`, not with `{method} {path}`"
        );
        async move {
            let (end, other_end) = tokio::io::duplex(websocket::PIPE_BYTES);
            let headers = request.into_parts().0.headers;
            if let Err(refused) = client.server.open_socket(headers, other_end).await {
                let reply = TestResponse::read(*refused).await;
                caller.fail(format_args!("the app refused the socket: {reply}"));
            }
            TestWebSocket::new(end)
        }
    }
}

impl fmt::Debug for TestRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestRequest")
            .field("method", self.request.method())
            .field("uri", self.request.uri())
            .finish_non_exhaustive()
    }
}
