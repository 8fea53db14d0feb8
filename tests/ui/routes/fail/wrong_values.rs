#[agentcore::routes(port = 0)]
fn zero() -> axum::Router {
    axum::Router::new()
}

#[agentcore::routes(port = 65536)]
fn too_large() -> axum::Router {
    axum::Router::new()
}

#[agentcore::routes(port = "8081")]
fn text() -> axum::Router {
    axum::Router::new()
}

#[agentcore::routes(idle = "/health")]
fn no_list() -> axum::Router {
    axum::Router::new()
}

#[agentcore::routes(idle = ["health", "/a*", 5, "/ok"])]
fn no_patterns() -> axum::Router {
    axum::Router::new()
}

#[agentcore::routes(main = false)]
fn of_another() -> axum::Router {
    axum::Router::new()
}

fn main() {}
