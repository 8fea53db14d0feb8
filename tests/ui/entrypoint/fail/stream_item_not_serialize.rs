use agentcore::stream;
use futures_core::Stream;

struct Token;

#[agentcore::entrypoint]
async fn handler() -> impl Stream<Item = Token> {
    stream! {
        yield Token;
    }
}
