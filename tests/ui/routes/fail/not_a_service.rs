#[agentcore::routes]
fn web() -> String {
    String::new()
}

fn main() {}
