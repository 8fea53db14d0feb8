use agentcore::WebSocket;

struct Agent;

impl Agent {
    #[agentcore::websocket]
    async fn handler(&self, socket: WebSocket) {
        let _ = socket;
    }
}

fn main() {}
