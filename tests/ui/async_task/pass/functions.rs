//! Everything an `async fn` can be.

#![deny(warnings)]

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::Display;
use std::str::Chars;

use agentcore::{BoxError, TimedOut, async_task};

#[async_task]
async fn borrowed(text: &str, list: &mut Vec<u8>) -> usize {
    list.push(1);
    text.len()
}

#[async_task]
async fn elided(text: &str) -> &str {
    text
}

#[async_task]
async fn named<'a, 'b: 'a>(first: &'a str, second: &'b str) -> &'a str {
    if first.is_empty() { second } else { first }
}

#[async_task]
async fn partly_named<'a>(first: &'a str, second: &str, _second: &&mut u8) -> &'a str {
    if second.is_empty() { "" } else { first }
}

#[async_task]
async fn borrowed_in_types(
    r#type: Cow<'_, str>,
    pair: (&str, [&str; 1]),
    list: &[Option<&dyn Display>],
    boxed: Box<dyn Display + '_>,
    names: impl Iterator<Item = &str>,
    call: &dyn Fn(&str) -> &str,
    pointer: fn(&str) -> &str,
    each: &dyn for<'x> PartialEq<&'x str>,
) -> usize {
    let _ = (list, pair, boxed, each);
    names.map(call).map(pointer).map(str::len).sum::<usize>() + r#type.len()
}

#[async_task]
async fn hidden(text: Chars, other: &str) -> usize {
    text.as_str().len() + other.len()
}

#[async_task]
async fn generic<T: Clone, const N: usize>(value: T) -> [T; N]
where
    T: Send,
{
    std::array::from_fn(|_| value.clone())
}

#[async_task]
async fn unnamed_argument(value: impl Display, mut times: u32) -> String {
    times += 1;
    value.to_string().repeat(times as usize)
}

#[async_task]
async fn unnamed_result(value: u32) -> Result<impl Display, BoxError> {
    if value == 0 {
        return Err("zero".into());
    }
    Ok(value)
}

#[async_task]
async fn patterns((a, _): (u32, String), [b, ref c @ ..]: [u32; 3], _: String) -> u32 {
    a + b + c.len() as u32
}

#[async_task]
async fn recursive(n: u32) -> u32 {
    if n == 0 { 0 } else { Box::pin(recursive(n - 1)).await + 1 }
}

#[async_task]
async fn never_returns() -> Infallible {
    std::future::pending().await
}

#[async_task]
async fn lints(#[allow(unused_variables)] unused: u32, #[expect(unused_variables)] expected: u32) {
    #![allow(unused_mut)]
    //! Documented from inside.
    let mut nothing = ();
    nothing
}

#[async_task]
async fn sometimes(#[cfg(any())] value: NoSuchType, #[cfg(all())] value: u32) -> u32 {
    value
}

#[async_task(timeout = "1m 30s", name = "a task with a limit")]
async fn limited(text: &str) -> Result<&str, TimedOut> {
    Ok(text)
}

#[async_task]
async fn empty() {}

struct Worker(u32);

impl Worker {
    #[async_task]
    async fn by_reference(&self) -> u32 {
        self.0
    }

    #[async_task]
    async fn by_mutable_reference(&mut self, more: u32) -> &mut Self {
        self.0 += more;
        self
    }

    #[async_task]
    async fn by_value(mut self) -> Self {
        self.0 += 1;
        self
    }

    #[async_task]
    async fn boxed(self: Box<Self>) -> u32 {
        self.0
    }

    #[async_task]
    async fn associated() -> u32 {
        1
    }
}

struct Holder<'a, 'text>(&'a str, &'text str);

impl<'a, 'text> Holder<'a, 'text> {
    #[async_task]
    async fn replace(self: &mut Self, held: &'a str, text: &str) -> &'a str {
        let _ = text;
        std::mem::replace(&mut self.0, held)
    }

    #[async_task]
    async fn first(&self, text: &'text str) -> &str {
        if text.is_empty() { self.0 } else { self.1 }
    }
}

trait Work {
    async fn work(&self, text: &str) -> usize;
    async fn without_self(text: &str) -> &str;
    fn sent(&self) -> impl Future<Output = u32> + Send;
}

impl Work for Worker {
    #[async_task]
    async fn work(&self, text: &str) -> usize {
        text.len()
    }

    #[async_task]
    async fn without_self(text: &str) -> &str {
        text
    }

    #[async_task]
    async fn sent(&self) -> u32 {
        self.0
    }
}

async fn everything() {
    let mut list = Vec::new();
    borrowed("a", &mut list).await;
    elided("a").await;
    named("a", "b").await;
    partly_named("a", "b", &&mut 1).await;
    let pair = ("a", ["b"]);
    let names = ["a"].into_iter();
    borrowed_in_types("a".into(), pair, &[], Box::new(1), names, &|a| a, |a| a, &"a").await;
    hidden("a".chars(), "b").await;
    let [_, _] = generic::<u8, 2>(1).await;
    unnamed_argument("a", 1).await;
    let _ = unnamed_result(1).await.map(|value| value.to_string());
    patterns((1, String::new()), [1, 2, 3], String::new()).await;
    recursive(1).await;
    lints(1, 2).await;
    sometimes(1).await;
    let _ = limited("a").await;
    empty().await;
    Worker(1).by_reference().await;
    let mut worker = Worker(1).by_value().await;
    worker.by_mutable_reference(1).await;
    Box::new(worker).boxed().await;
    Worker::associated().await;
    Holder("a", "b").replace("c", "d").await;
    Holder("a", "b").first("c").await;
    Worker(1).work("a").await;
    Worker::without_self("a").await;
    Worker(1).sent().await;
    match never_returns().await {}
}

fn main() {
    drop(everything());
}
