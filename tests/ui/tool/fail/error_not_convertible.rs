struct Failure;

#[agentcore::tool]
async fn forecast() -> Result<String, Failure> {
    Err(Failure)
}

#[agentcore::tool]
async fn not_send() -> Result<String, Box<dyn std::error::Error>> {
    Err("no".into())
}

fn main() {}
