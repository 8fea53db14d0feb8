#[agentcore::tool]
struct Forecast;

fn main() {}
