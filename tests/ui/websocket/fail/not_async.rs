use agentcore::WebSocket;

#[agentcore::websocket]
fn handler(socket: WebSocket) {
    let _ = socket;
}

fn main() {}
