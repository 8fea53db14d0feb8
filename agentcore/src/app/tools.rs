//! Tools and schemas of an [`App`] that is built by hand.

#[cfg(feature = "mcp")]
use http::Request;
use schemars::JsonSchema;
#[cfg(feature = "mcp")]
use tower_service::Service;

use super::App;
#[cfg(feature = "mcp")]
use crate::error::BoxError;
#[cfg(feature = "mcp")]
use crate::handler::{body::Body, layer::Endpoint};
use crate::schema::schema_of;
use crate::tools::Tool;

impl App {
    /// Adds a tool, as [`tool`](macro@crate::tool) does.
    ///
    /// Two tools of one name, an invalid name, and arguments that are no object fail the start.
    ///
    /// ```
    /// use agentcore::tool::Tool;
    /// use agentcore::{App, Json};
    ///
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Numbers {
    ///     numbers: Vec<f64>,
    /// }
    ///
    /// async fn handler(event: Json<serde_json::Value>) -> Json<serde_json::Value> {
    ///     event
    /// }
    ///
    /// let sum = async |Json(all): Json<Numbers>| Json(all.numbers.iter().sum::<f64>());
    /// let app = App::new()
    ///     .entrypoint("handler", handler)
    ///     .tool(Tool::new("sum", sum).description("Adds numbers."));
    /// # let _ = app;
    /// ```
    pub fn tool(mut self, tool: Tool) -> Self {
        self.parts.tools.push(tool.draft);
        self
    }

    /// Gives the last entrypoint that was added the [schemas](crate::run#flags) of its types: `P` is its payload, and `R` its reply,
    /// or an item of a streamed reply. Has no effect if there is no entrypoint.
    ///
    /// [`entrypoint`](macro@crate::entrypoint) finds both schemas itself.
    ///
    /// ```
    /// use agentcore::{App, Json};
    ///
    /// async fn double(Json(number): Json<i64>) -> Json<i64> {
    ///     Json(number * 2)
    /// }
    ///
    /// let app = App::new().entrypoint("double", double).entrypoint_schema::<i64, i64>();
    /// # let _ = app;
    /// ```
    pub fn entrypoint_schema<P, R>(mut self) -> Self
    where
        P: JsonSchema,
        R: JsonSchema,
    {
        if let Some(entrypoint) = self.parts.entrypoints.last_mut() {
            entrypoint.describe = |schemas| {
                schemas.payload = Some(schema_of::<P>);
                schemas.reply = Some(schema_of::<R>);
            };
        }
        self
    }

    /// Mounts a server of the Model Context Protocol that is made with another library, for example `StreamableHttpService` of the
    /// official SDK, in place of the [tools](Self::tool). An app has either tools or one such service.
    ///
    /// The service answers `POST` requests to the [path](crate::Config::mcp_path) on the [port](crate::Config::mcp_port). It runs on
    /// the workers. The library does for it what it does for tools: it answers the platform's probe, a `tools/call` makes the agent
    /// busy until its last byte has left, messages from web pages of other machines get 403, and the limits of bodies, connections and
    /// the shutdown apply. A request has been read completely when the service gets it, and has passed the
    /// [layers](Self::layer). With [errors in-band](crate::Config::errors), every error becomes one of JSON-RPC with status 200,
    /// except a 401.
    ///
    /// A service of the SDK has to take requests for any host (`disable_allowed_hosts`) and has to do without sessions
    /// (`with_legacy_session_mode(false)`), because the platform sends session ids of its own.
    ///
    /// In the service, [`RequestContext::current`](crate::RequestContext::current) returns the request. Tasks that the service
    /// starts do not have it; the SDK starts one for each call.
    ///
    /// ```
    /// use agentcore::{App, Body};
    /// use http::{Request, Response};
    ///
    /// use std::convert::Infallible;
    /// use std::future::{Ready, ready};
    /// use std::task::{Context, Poll};
    /// use tower_service::Service;
    ///
    /// #[derive(Clone)]
    /// struct NoTools;
    ///
    /// impl Service<Request<Body>> for NoTools {
    ///     type Response = Response<Body>;
    ///     type Error = Infallible;
    ///     type Future = Ready<Result<Response<Body>, Infallible>>;
    ///
    ///     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
    ///         Poll::Ready(Ok(()))
    ///     }
    ///
    ///     fn call(&mut self, _: Request<Body>) -> Self::Future {
    ///         let list = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#;
    ///         ready(Ok(Response::new(Body::from(list))))
    ///     }
    /// }
    ///
    /// let app = App::new().mcp_service(NoTools);
    /// # let _ = app;
    /// ```
    #[cfg(feature = "mcp")]
    pub fn mcp_service<S, B>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.parts.mcp_services.push(Endpoint::layered(service));
        self
    }
}
