use agentcore::WebSocket;

type Another = WebSocket;

#[agentcore::websocket]
async fn handler(one: WebSocket, other: Another) {
    let _ = (one, other);
}

fn main() {}
