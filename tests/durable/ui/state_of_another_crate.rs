use agentcore::{BoxError, async_task};

struct State<S>(S);

#[async_task(durable)]
async fn transcribe(database: State<String>) -> Result<(), BoxError> {
    let _ = database.0;
    Ok(())
}

fn main() {}
