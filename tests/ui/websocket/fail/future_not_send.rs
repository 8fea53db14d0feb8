use std::rc::Rc;

use agentcore::WebSocket;

#[agentcore::websocket]
async fn handler(socket: WebSocket) {
    let shared = Rc::new(1);
    let _ = socket.send("hello").await;
    drop(shared);
}

fn main() {}
