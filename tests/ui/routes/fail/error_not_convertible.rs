struct Failure;

#[agentcore::routes]
fn web() -> Result<axum::Router, Failure> {
    Err(Failure)
}

fn main() {}
