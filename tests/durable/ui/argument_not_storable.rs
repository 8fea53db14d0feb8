use agentcore::{BoxError, State, async_task};

struct Audio;

#[derive(serde::Serialize)]
struct OneWay;

type Database = State<String>;

#[async_task(durable)]
async fn transcribe(audio: Audio, one_way: Vec<OneWay>, database: Database) -> Result<(), BoxError> {
    let _ = (audio, one_way, database);
    Ok(())
}

fn main() {}
