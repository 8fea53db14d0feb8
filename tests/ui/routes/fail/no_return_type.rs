#[agentcore::routes]
fn web() {}

fn main() {}
