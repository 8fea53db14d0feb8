use agentcore::{Stream, stream};

#[derive(serde::Serialize)]
struct Word;

#[agentcore::entrypoint(schema, main = false)]
async fn handler() -> impl Stream<Item = Word> {
    stream! {
        yield Word;
    }
}

fn main() {}
