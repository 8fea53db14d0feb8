struct Failure;

#[agentcore::on_start]
fn connect() -> Result<String, Failure> {
    Err(Failure)
}

fn main() {}
