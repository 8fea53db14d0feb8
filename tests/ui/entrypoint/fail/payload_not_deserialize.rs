struct Event {
    _text: String,
}

#[agentcore::entrypoint]
async fn handler(event: Vec<Event>) -> usize {
    event.len()
}
