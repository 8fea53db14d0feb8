//! What stands in a stream, and how it may end.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use agentcore::{BoxError, stream, try_stream};
use futures_core::Stream;

/// A crate that has `agentcore` under a name of its own.
mod sdk {
    pub use agentcore as core;
}

fn collect<S: Stream>(stream: S) -> Vec<S::Item> {
    let mut stream = pin!(stream);
    let mut cx = Context::from_waker(Waker::noop());
    let mut items = Vec::new();
    while let Poll::Ready(Some(item)) = Pin::new(&mut stream).poll_next(&mut cx) {
        items.push(item);
    }
    items
}

fn ends_well() -> impl Stream<Item = Result<u32, BoxError>> {
    try_stream! {
        yield "1".parse()?;
        Ok(())
    }
}

fn ends_badly(early: bool) -> impl Stream<Item = Result<u32, BoxError>> {
    try_stream! {
        if early {
            return Err("early".into());
        }
        yield 1;
        Err("late".into())
    }
}

fn goes_on() -> impl Stream<Item = Result<u32, BoxError>> {
    try_stream! {
        for number in 0.. {
            if number > 2 {
                return Ok(());
            }
            yield number;
        }
    }
}

fn reexported() -> impl Stream<Item = u32> {
    sdk::core::stream! {
        let sum = [1, 2].iter().map(|number| number + 1).fold(0, |a, b| a | b);
        match sum {
            | 0 | 1 => yield 1,
            2 | 3 => {
                yield 2;
            }
            _ => {}
        }
        tokio::select! {
            number = async { 4 } => yield number,
        }
    }
}

fn main() {
    let texts = |items: Vec<Result<u32, BoxError>>| -> Vec<String> {
        items
            .into_iter()
            .map(|item| item.map_or_else(|error| error.to_string(), |item| item.to_string()))
            .collect()
    };
    assert_eq!(texts(collect(ends_well())), ["1"]);
    assert_eq!(texts(collect(ends_badly(true))), ["early"]);
    assert_eq!(texts(collect(ends_badly(false))), ["1", "late"]);
    assert_eq!(texts(collect(goes_on())), ["0", "1", "2"]);
    assert_eq!(collect(reexported()), [2, 4]);
    let named = sdk::core::try_stream! {
        yield "3".parse::<u32>()?;
        Ok::<(), BoxError>(())
    };
    assert_eq!(texts(collect(named)), ["3"]);
}
