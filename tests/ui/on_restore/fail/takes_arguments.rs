#[agentcore::on_restore]
async fn reconnect(_: u32) {}

fn main() {}
