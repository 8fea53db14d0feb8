#[agentcore::on_shutdown]
async fn flush() -> Result<u32, std::fmt::Error> {
    Ok(1)
}

#[agentcore::on_shutdown]
fn count() -> Vec<u8> {
    Vec::new()
}

fn main() {}
