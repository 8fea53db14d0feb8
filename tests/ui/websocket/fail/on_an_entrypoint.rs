use agentcore::WebSocket;

#[agentcore::entrypoint(main = false)]
#[agentcore::websocket]
async fn handler(socket: WebSocket) {
    let _ = socket;
}

fn main() {}
