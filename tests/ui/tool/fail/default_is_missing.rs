#[derive(serde::Deserialize, schemars::JsonSchema)]
struct City(String);

#[agentcore::tool]
async fn forecast(#[default] city: City) -> String {
    city.0
}

fn main() {}
