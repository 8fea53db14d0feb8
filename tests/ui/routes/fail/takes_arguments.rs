#[agentcore::routes]
fn web(_: String) -> axum::Router {
    axum::Router::new()
}

fn main() {}
