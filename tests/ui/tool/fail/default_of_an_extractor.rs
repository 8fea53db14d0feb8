use agentcore::State;
use std::sync::Arc;

#[agentcore::tool]
async fn forecast(#[default(State(Arc::new(3)))] days: State<u8>) -> u8 {
    *days
}

fn main() {}
