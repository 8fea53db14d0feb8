#[agentcore::entrypoint]
async fn handler<T: Default>(event: String) -> String {
    event
}

mod bounded {
    #[agentcore::entrypoint(main = false)]
    async fn handler(event: String) -> String
    where
        String: Clone,
    {
        event
    }
}
