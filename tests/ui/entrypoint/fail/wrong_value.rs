#[agentcore::entrypoint(
    name = 3,
    main = "no",
    timeout = 90,
    on_disconnect = "maybe",
    crate = 7,
)]
async fn handler(event: String) -> String {
    event
}

#[agentcore::entrypoint(main = false, name = "", timeout = "90 parsecs", on_disconnect = )]
async fn other(event: String) -> String {
    event
}

#[agentcore::entrypoint(main = false, timeout = "0s")]
async fn hurried(event: String) -> String {
    event
}
