struct Agent;

impl Agent {
    #[agentcore::ping]
    fn health(&self) -> agentcore::PingStatus {
        agentcore::PingStatus::Healthy
    }
}

fn main() {}
