#[agentcore::ping]
static HEALTH: agentcore::PingStatus = agentcore::PingStatus::Healthy;

fn main() {}
