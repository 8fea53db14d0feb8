use agentcore::WebSocket;

#[agentcore::websocket]
async fn plain(_: WebSocket) -> String {
    String::new()
}

mod fallible {
    use super::*;

    #[agentcore::websocket]
    async fn handler(_: WebSocket) -> Result<Vec<u8>, agentcore::BoxError> {
        Ok(Vec::new())
    }
}

fn main() {}
