#[agentcore::entrypoint]
async fn handler(_: String) -> ! {
    loop {}
}
