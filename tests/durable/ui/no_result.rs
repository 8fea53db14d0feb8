use agentcore::async_task;

type Words = usize;

#[async_task(durable)]
async fn count(text: String) -> Words {
    text.len()
}

fn main() {}
