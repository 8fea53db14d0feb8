//! As for an entrypoint, rustc has to say that the function cannot be found.

struct Agent;

impl Agent {
    #[agentcore::tool]
    async fn forecast(city: String) -> String {
        city
    }
}

fn main() {}
