#[agentcore::on_start]
async fn connect() -> Result<impl Send + Sync, std::fmt::Error> {
    Ok(1)
}

fn main() {}
