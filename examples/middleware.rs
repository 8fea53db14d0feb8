//! Middleware: any tower layer around the agent, here CORS for a page in development and a trace of each request.
//!
//! ```text
//! cargo run --example middleware
//! curl -i -X POST localhost:8080/invocations -d '"hello"' -H 'origin: http://localhost:3000'
//! curl -i -X OPTIONS localhost:8080/invocations -H 'origin: http://localhost:3000' \
//!     -H 'access-control-request-method: POST'
//! ```
//!
//! Layers see everything but `/ping`, which nothing may delay, and `/ws`.

use std::process::ExitCode;

use agentcore::{App, entrypoint};
use tower_http::cors::CorsLayer;
use tower_http::trace::TraceLayer;

// This `main` runs the app by hand, to add the layers.
#[entrypoint(main = false)]
async fn handler(text: String) -> String {
    text.to_uppercase()
}

fn app() -> App {
    // The last layer is the outermost: it also traces the replies of CORS.
    App::from_registry()
        .layer(CorsLayer::permissive())
        .layer(TraceLayer::new_for_http())
}

fn main() -> ExitCode {
    app().run()
}

#[cfg(test)]
mod tests {
    use agentcore::testing::TestClient;

    #[tokio::test]
    async fn replies_and_preflights_go_through_the_layers() {
        let agent = TestClient::new(super::app()).await.unwrap();
        let reply = agent.invoke("hello").await;
        assert_eq!(reply.json::<String>(), "HELLO");
        assert_eq!(reply.headers()["access-control-allow-origin"], "*");

        let reply = agent
            .request("OPTIONS", "/invocations")
            .header("origin", "http://localhost:3000")
            .header("access-control-request-method", "POST")
            .send()
            .await;
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.headers()["access-control-allow-methods"], "*");
    }
}
