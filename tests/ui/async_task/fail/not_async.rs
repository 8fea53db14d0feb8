#[agentcore::async_task]
fn work(input: String) -> String {
    input
}

fn main() {}
