struct Event<'a>(&'a str);

#[agentcore::entrypoint]
async fn handler(_: &str, _: &[Vec<u8>], _: Vec<&mut String>, _: Event<'_>) -> u32 {
    0
}
