#[agentcore::ping(name = "health", crat = ::agentcore)]
fn health() -> agentcore::PingStatus {
    agentcore::PingStatus::Healthy
}

fn main() {}
