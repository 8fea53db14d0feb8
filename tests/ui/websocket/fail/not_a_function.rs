#[agentcore::websocket]
struct Handler;

fn main() {}
