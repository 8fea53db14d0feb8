use agentcore::{Stream, stream};

struct Step;

#[agentcore::tool]
async fn steps() -> impl Stream<Item = Step> {
    stream! {
        yield Step;
    }
}

fn main() {}
