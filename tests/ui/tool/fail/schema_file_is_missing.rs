#[agentcore::tool(schema = "nowhere.json")]
async fn forecast(city: String) -> String {
    city
}

fn main() {}
