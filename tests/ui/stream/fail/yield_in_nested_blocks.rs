use agentcore::{BoxError, spawn, stream, try_stream};
use futures_core::Stream;

fn spawned() -> impl Stream<Item = u32> {
    stream! {
        spawn(async move {
            yield 1;
        });
    }
}

fn in_a_closure(numbers: Vec<u32>) -> impl Stream<Item = Result<u32, BoxError>> {
    try_stream! {
        numbers.into_iter().for_each(|number| yield number);
    }
}

fn in_a_function() -> impl Stream<Item = u32> {
    stream! {
        fn helper() -> u32 {
            yield 1;
            2
        }
        yield helper();
    }
}

fn main() {}
