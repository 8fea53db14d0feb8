use agentcore::RequestContext;

#[agentcore::websocket]
async fn nothing() {}

mod another {
    use super::*;

    #[agentcore::websocket]
    async fn handler(context: RequestContext) {
        let _ = context;
    }
}

fn main() {}
