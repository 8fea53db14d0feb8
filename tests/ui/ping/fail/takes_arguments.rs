#[agentcore::ping]
fn health(_: bool) -> agentcore::PingStatus {
    agentcore::PingStatus::Healthy
}

fn main() {}
