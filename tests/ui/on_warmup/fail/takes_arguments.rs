#[agentcore::on_warmup]
async fn warm_up(_: u32) {}

fn main() {}
