//! When a task counts, and which properties of the written function the rewritten one keeps.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use agentcore::{BoxError, TimedOut, async_task};

use super::running;

#[async_task(name = "tracking::called")]
async fn called() {}

#[tokio::test]
async fn a_task_counts_from_the_call_on() {
    let task = called();
    assert_eq!(running("tracking::called"), 1, "before the first poll");
    task.await;
    assert_eq!(running("tracking::called"), 0);
}

#[test]
fn a_task_that_is_never_polled_ends_when_it_is_dropped() {
    #[async_task(name = "tracking::unpolled")]
    async fn unpolled(_: String) {}

    let task = unpolled("input".to_owned());
    assert_eq!(running("tracking::unpolled"), 1);
    drop(task);
    assert_eq!(running("tracking::unpolled"), 0);
}

#[tokio::test]
async fn a_task_ends_when_it_fails_panics_or_is_aborted() {
    #[async_task(name = "tracking::ends")]
    async fn ends(how: &'static str) -> Result<(), BoxError> {
        match how {
            "failure" => Err(how.into()),
            "panic" => panic!("a test panics on purpose"),
            _ => std::future::pending().await,
        }
    }

    assert!(ends("failure").await.is_err());
    assert!(tokio::spawn(ends("panic")).await.unwrap_err().is_panic());
    let task = tokio::spawn(ends("abortion"));
    tokio::task::yield_now().await;
    assert_eq!(running("tracking::ends"), 1);
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(running("tracking::ends"), 0);
}

#[tokio::test]
async fn every_call_counts() {
    #[async_task]
    async fn recursive(depth: usize) -> usize {
        let running = running("recursive");
        if depth == 0 {
            running
        } else {
            Box::pin(recursive(depth - 1)).await
        }
    }

    assert_eq!(recursive(4).await, 5);
    assert_eq!(running("recursive"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_time_limit_ends_the_task_and_its_guard() {
    #[async_task(name = "tracking::limited", timeout = "1h 30m")]
    async fn limited(text: &str, duration: Duration) -> Result<usize, TimedOut> {
        tokio::time::sleep(duration).await;
        Ok(text.len())
    }

    assert_eq!(limited("four", Duration::from_secs(5_399)).await, Ok(4));

    let late = limited("four", Duration::from_secs(5_401))
        .await
        .unwrap_err();
    assert_eq!(late.limit(), Duration::from_secs(5_400));
    assert_eq!(running("tracking::limited"), 0);
}

#[tokio::test]
async fn a_limited_task_counts_from_the_call_on() {
    #[async_task(name = "tracking::limited_call", timeout = "1h")]
    async fn limited() -> anyhow::Result<()> {
        Ok(())
    }

    let task = limited();
    assert_eq!(running("tracking::limited_call"), 1);
    drop(task);
    assert_eq!(running("tracking::limited_call"), 0);
}

struct Worker {
    done: Vec<String>,
}

trait Work {
    async fn work(&mut self, what: &str) -> &str;
}

impl Work for Worker {
    #[async_task(name = "tracking::work")]
    async fn work(&mut self, what: &str) -> &str {
        assert_eq!(running("tracking::work"), 1);
        tokio::task::yield_now().await;
        self.done.push(what.to_uppercase());
        &self.done[self.done.len() - 1]
    }
}

#[tokio::test]
async fn methods_of_traits_are_tracked_and_borrow() {
    let mut worker = Worker { done: Vec::new() };
    assert_eq!(worker.work("a").await, "A");
    assert_eq!(worker.work("b").await, "B");
    assert_eq!(worker.done, ["A", "B"]);
    assert_eq!(running("tracking::work"), 0);
}

/// Inference reaches into the body as it does in an `async fn`.
#[tokio::test]
async fn the_declared_type_is_known_in_the_body() {
    #[async_task]
    async fn inferred(text: &str) -> Result<Vec<u8>, BoxError> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let numbers = text.split(',').map(|number| Ok(number.parse()?));
        numbers.collect()
    }

    assert_eq!(inferred("1,2").await.unwrap(), [1, 2]);
    assert!(inferred("").await.unwrap().is_empty());
    assert!(inferred("x").await.is_err());
}

#[tokio::test]
async fn an_unfinished_task_keeps_its_place_between_polls() {
    #[async_task(name = "tracking::polled")]
    async fn polled() -> u32 {
        tokio::task::yield_now().await;
        1
    }

    let mut task = pin!(polled());
    let first = poll_fn(|context| Poll::Ready(task.as_mut().poll(context))).await;
    assert!(first.is_pending());
    assert_eq!(running("tracking::polled"), 1);
    assert_eq!(task.await, 1);
    assert_eq!(running("tracking::polled"), 0);
}
