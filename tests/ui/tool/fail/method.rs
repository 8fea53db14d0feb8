struct Agent;

impl Agent {
    #[agentcore::tool]
    async fn forecast(&self, city: String) -> String {
        city
    }
}

fn main() {}
