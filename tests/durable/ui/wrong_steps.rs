use agentcore::{BoxError, step};

struct Client;

#[step]
async fn fetch(client: &Client, url: &str) -> Result<String, BoxError> {
    let _ = client;
    Ok(url.to_owned())
}

#[step]
async fn cannot_fail() -> u32 {
    1
}

#[step]
fn blocks() -> Result<u32, BoxError> {
    Ok(1)
}

fn main() {}
