#[agentcore::on_warmup]
async fn warm_up() -> Result<u32, std::fmt::Error> {
    Ok(1)
}

#[agentcore::on_warmup]
fn count() -> Vec<u8> {
    Vec::new()
}

fn main() {}
