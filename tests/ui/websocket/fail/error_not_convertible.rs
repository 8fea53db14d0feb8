use agentcore::WebSocket;

struct Failure;

#[agentcore::websocket]
async fn handler(_: WebSocket) -> Result<(), Failure> {
    Err(Failure)
}

fn main() {}
