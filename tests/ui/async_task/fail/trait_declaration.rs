trait Work {
    #[agentcore::async_task]
    async fn work(&self) -> u32;
}

fn main() {}
