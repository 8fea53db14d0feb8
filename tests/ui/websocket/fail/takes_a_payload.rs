use agentcore::WebSocket;

#[agentcore::websocket]
async fn handler(socket: WebSocket, event: serde_json::Value) {
    let _ = (socket, event);
}

fn main() {}
