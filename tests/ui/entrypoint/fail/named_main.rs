#[agentcore::entrypoint]
async fn main(event: String) -> String {
    event
}
