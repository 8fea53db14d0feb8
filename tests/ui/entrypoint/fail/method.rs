struct Agent;

impl Agent {
    #[agentcore::entrypoint]
    async fn handler(&self, event: String) -> String {
        event
    }
}

fn main() {}
