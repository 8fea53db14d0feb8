use agentcore::WebSocket;

#[agentcore::websocket]
async fn handler(socket: &mut WebSocket) {
    let _ = socket;
}

fn main() {}
