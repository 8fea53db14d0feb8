#[derive(serde::Deserialize)]
struct Country;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct City {
    country: Country,
}

#[agentcore::tool]
async fn forecast(city: City) -> bool {
    matches!(city.country, Country)
}

fn main() {}
