#[agentcore::tool]
async fn forecast(city) -> usize {
    0
}

fn main() {}
