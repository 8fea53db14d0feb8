#[agentcore::on_restore]
async fn reconnect() -> Result<u32, std::fmt::Error> {
    Ok(1)
}

#[agentcore::on_restore]
fn count() -> Vec<u8> {
    Vec::new()
}

fn main() {}
