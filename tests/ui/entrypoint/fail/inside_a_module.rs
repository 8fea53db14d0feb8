mod agent {
    #[agentcore::entrypoint]
    async fn handler(event: String) -> String {
        event
    }
}
