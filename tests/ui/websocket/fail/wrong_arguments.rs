use agentcore::WebSocket;

#[agentcore::websocket(path = "/chat")]
async fn handler(socket: WebSocket) {
    let _ = socket;
}

fn main() {}
