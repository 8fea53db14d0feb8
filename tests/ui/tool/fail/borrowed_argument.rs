use std::borrow::Cow;

#[agentcore::tool]
async fn text(city: &str) -> usize {
    city.len()
}

#[agentcore::tool]
async fn list(numbers: &[u8]) -> usize {
    numbers.len()
}

#[agentcore::tool]
async fn cow(city: Cow<'_, str>) -> usize {
    city.len()
}

#[agentcore::tool]
async fn anything(city: impl Into<String>) -> String {
    city.into()
}

fn main() {}
