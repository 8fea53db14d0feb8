use agentcore::stream;
use futures_core::Stream;

fn numbers() -> impl Stream<Item = u32> {
    stream! {
        yield 1;
        yield "two";
    }
}

fn no_result() -> impl Stream<Item = u32> {
    stream! {
        yield "one".parse::<u32>()?;
    }
}

fn main() {
    drop((numbers(), no_result()));
}
