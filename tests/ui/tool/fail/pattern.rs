#[agentcore::tool]
async fn forecast((city, days): (String, u8)) -> String {
    format!("{city} {days}")
}

fn main() {}
