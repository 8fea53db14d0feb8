#[agentcore::on_shutdown]
async fn flush(_: u32) {}

fn main() {}
