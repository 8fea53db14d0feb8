//! Nothing in the tokens of an associated function without `self` tells the macro where it stands. rustc at least
//! underlines the right things.

struct Agent;

impl Agent {
    #[agentcore::entrypoint(main = false)]
    async fn handler(event: String) -> String {
        event
    }
}

fn main() {}
