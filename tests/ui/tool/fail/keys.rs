#[agentcore::tool(nmae = "weather")]
async fn unknown() {}

#[agentcore::tool(main = false)]
async fn of_another_attribute() {}

#[agentcore::tool(timeout = 5)]
async fn without_a_unit() {}

#[agentcore::tool(timeout = "0s")]
async fn no_time() {}

#[agentcore::tool(task = "sometimes")]
async fn no_mode() {}

#[agentcore::tool(schema)]
async fn no_file() {}

#[agentcore::tool(title = 3)]
async fn no_text() {}

#[agentcore::tool(read_only = "yes")]
async fn no_truth() {}

#[agentcore::tool(idempotent, idempotent)]
async fn twice() {}

#[agentcore::tool(read_only, destructive)]
async fn contradiction() {}

fn main() {}
