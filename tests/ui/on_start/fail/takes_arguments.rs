#[agentcore::on_start]
async fn connect(_: String) {}

fn main() {}
