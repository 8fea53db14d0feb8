use agentcore::WebSocket;

#[agentcore::websocket]
async fn handler<T: Default>(socket: WebSocket) {
    let _ = (socket, T::default());
}

fn main() {}
