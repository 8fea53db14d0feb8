#[agentcore::async_task]
async fn work(input: &str) -> usize {
    input.len()
}

fn main() {
    let future = {
        let input = String::from("gone before the task runs");
        work(&input)
    };
    drop(future);
}
