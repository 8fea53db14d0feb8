#[derive(serde::Deserialize)]
struct City {
    name: String,
}

#[agentcore::tool]
async fn forecast(city: City) -> String {
    city.name
}

#[agentcore::tool]
async fn perhaps(city: Option<City>) -> bool {
    city.is_some()
}

#[agentcore::tool]
async fn several(cities: Vec<City>) -> usize {
    cities.len()
}

fn main() {}
