//! Whatever is a stream of something that can be sent.

use std::pin::Pin;

use agentcore::sse::Event;
use agentcore::{BoxError, HttpError, stream, try_stream};
use futures_core::Stream;
use serde::Serialize;

#[derive(Serialize)]
struct Token {
    text: String,
}

#[agentcore::entrypoint(main = false)]
async fn values() -> impl Stream<Item = Token> {
    stream! {
        yield Token { text: "a".to_owned() };
    }
}

#[agentcore::entrypoint(main = false)]
async fn results() -> impl Stream<Item = Result<Token, HttpError>> {
    try_stream! {
        yield Token { text: "a".to_owned() };
    }
}

#[agentcore::entrypoint(main = false)]
async fn fallible(ok: bool) -> Result<impl Stream<Item = Result<Event, BoxError>>, String> {
    if !ok {
        return Err("not ok".to_owned());
    }
    Ok(try_stream! {
        yield Event::comment("a");
    })
}

#[agentcore::entrypoint(main = false)]
async fn boxed() -> Pin<Box<dyn Stream<Item = u32> + Send>> {
    Box::pin(stream! {
        for number in 0..3 {
            yield number;
        }
    })
}

#[agentcore::entrypoint(main = false)]
fn from_a_sync_function() -> impl Stream<Item = u32> {
    stream! {
        yield 1;
    }
}

fn main() {}
