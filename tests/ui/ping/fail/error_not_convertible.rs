struct Failure;

#[agentcore::ping]
async fn health() -> Result<agentcore::PingStatus, Failure> {
    Err(Failure)
}

fn main() {}
