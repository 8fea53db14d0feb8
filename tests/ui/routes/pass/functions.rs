//! Everything a function that makes routes can be, called in-process.

use agentcore::testing::TestClient;
use agentcore::{Body, BoxError, State, on_start, routes};
use axum::Router;
use axum::routing::get;
use http::{Request, Response};

struct Greeting(&'static str);

#[on_start]
fn greeting() -> Greeting {
    Greeting("hello")
}

#[routes(idle = ["/health", "/assets/*"])]
fn web(greeting: State<Greeting>) -> Router {
    Router::new().route("/", get(async move || greeting.0.0))
}

#[routes(port = 8081, timeout = "10s")]
async fn fallible() -> Result<Router, BoxError> {
    tokio::task::yield_now().await;
    Ok(Router::new().route("/", get(async || "fallible")))
}

type Outcome<T> = Result<T, String>;

#[routes(port = 8082, idle = [], crate = ::agentcore)]
fn aliased() -> Outcome<Router> {
    Ok(Router::new().route("/", get(async || "aliased")))
}

macro_rules! at {
    ($port:literal, $idle:literal) => {
        #[routes(port = $port, idle = [$idle])]
        fn generated() -> Router {
            Router::new()
        }
    };
}

at!(8084, "/health");

/// No axum.
#[routes(port = 8083)]
fn service()
-> tower::util::BoxCloneService<Request<Body>, Response<String>, std::convert::Infallible> {
    tower::util::BoxCloneService::new(tower::service_fn(async |request: Request<Body>| {
        Ok(Response::new(format!("at {}", request.uri().path())))
    }))
}

#[tokio::main]
async fn main() {
    let agent = TestClient::from_registry().await.expect("an agent");
    assert_eq!(agent.get("/").send().await.text(), "hello");
    assert_eq!(agent.get("/nothing").send().await.status(), 404);
    assert_eq!(agent.get("/").port(8081).send().await.text(), "fallible");
    assert_eq!(agent.get("/").port(8082).send().await.text(), "aliased");
    assert_eq!(agent.get("/x").port(8083).send().await.text(), "at /x");
    assert!(!agent.ping().await.status.is_busy());
    assert_eq!(agent.get("/ping").port(8083).send().await.status(), 200);
    agent.shutdown().await.expect("a clean stop");
}
