struct Counter;

#[agentcore::on_start]
async fn count() -> Counter {
    Counter
}

#[agentcore::entrypoint]
async fn handler(event: String, counter: Counter) -> String {
    drop(counter);
    event
}
