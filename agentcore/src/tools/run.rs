//! [`run()`]: one call of a tool, with its steps, its time limit and its panic.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::call::ToolCall;
use super::content::Content;
use super::outcome::{Reply, ToolFailure, ToolFailureKind};
use super::registered::{Offer, Registered};
use crate::error::timeout;
use crate::report::panics::{self, Panic};
use crate::request::{CancelOnDrop, Scope};
use crate::util::BoxFuture;

/// Runs `tool` for the request, or the part of one, of `scope`, which has to be current. If the call is dropped or its time is up,
/// `scope` is cancelled, because a function that is not `async` runs on. `progress` gets every item of a stream, and how many came
/// before it; what it returns is awaited before the next item. A panic is told to `panicked`.
pub(crate) async fn run(
    tool: &Registered,
    scope: Arc<Scope>,
    arguments: Map<String, Value>,
    mut progress: impl FnMut(usize, &Content) -> Option<BoxFuture<()>> + Send,
    panicked: impl FnOnce(Panic) + Send,
) -> Result<Content, ToolFailure> {
    let cancel = CancelOnDrop::new(&scope);
    let work = async {
        let call = ToolCall::new(scope, tool, arguments);
        // Clients refuse a result without data from a tool that declares a schema of it.
        let has_schema = tool.offer == Offer::Tool && tool.output.is_some();
        let fitting = |content: Content| match has_schema {
            true => content,
            false => content.without_repeated_text(),
        };
        let mut steps = match (tool.call)(call).await? {
            Reply::Done(content) => return Ok(fitting(content)),
            Reply::Steps(steps) => steps,
        };
        let mut last = Content::default();
        let mut count = 0;
        while let Some(item) = poll_fn(|cx| steps.as_mut().poll_next(cx)).await {
            last = item?;
            if let Some(told) = progress(count, &last) {
                told.await;
            }
            count += 1;
        }
        if count == 0 && has_schema {
            let text = "the stream has ended without an item, so there is no result";
            return Err(ToolFailure::new(ToolFailureKind::Failed, text));
        }
        Ok(fitting(last))
    };
    let mut work = pin!(panics::catch(work));
    let done = match tool.timeout {
        None => work.await,
        Some(limit) => match Box::pin(timeout(limit, work.as_mut())).await {
            Ok(done) => done,
            Err(late) => {
                drop(cancel);
                work.give_up(&tool.to_string());
                return Err(ToolFailure::new(
                    ToolFailureKind::TimedOut,
                    late.to_string(),
                ));
            }
        },
    };
    cancel.disarm();
    match done {
        Ok(done) => done,
        Err(panic) => {
            let kind = match panic.limit() {
                Some(_) => ToolFailureKind::TimedOut,
                None => ToolFailureKind::Panicked,
            };
            panicked(panic);
            // The text of the panic is for the log only.
            let text = format!("Internal error of the {}", tool.offer.noun());
            Err(ToolFailure::new(kind, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use futures_core::Stream;
    use schemars::JsonSchema;
    use serde_json::json;

    use super::super::handler::Tool;
    use super::super::set::outside_of_an_app;
    use super::*;
    use crate::report::{Kind, stall};
    use crate::request::in_scope;
    use crate::{CancellationToken, Json};

    /// Any arguments.
    type Any = Json<Map<String, Value>>;

    /// A stream without items.
    struct Empty<T>(PhantomData<fn() -> T>);

    impl<T> Stream for Empty<T> {
        type Item = T;

        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<T>> {
            Poll::Ready(None)
        }
    }

    async fn call(tool: Tool, arguments: Value) -> Result<Content, ToolFailure> {
        let Value::Object(arguments) = arguments else {
            panic!("no object: {arguments}");
        };
        let tool = tool.draft.check().expect("a tool");
        let (instance, at) = (outside_of_an_app(), stall::At::hook_number(None));
        let scope = Scope::outside_requests(instance, Kind::Hook, "tools", at);
        let panicked = |panic: Panic| panic!("{}", panic.message());
        let done = run(&tool, Arc::clone(&scope), arguments, |_, _| None, panicked);
        in_scope(scope, done).await
    }

    #[tokio::test]
    async fn data_is_there_if_and_only_if_a_schema_says_so() {
        let maybe = Tool::new("maybe", async |_: Any| Json(Some("mild")));
        let content = call(maybe, json!({})).await.expect("a result");
        assert_eq!(content.data(), Some(&json!("mild")));
        assert_eq!(content.to_text(), "mild");
        let text = Tool::new("text", async |_: Any| Json("mild"));
        let content = call(text, json!({})).await.expect("a result");
        assert_eq!(content, Content::new().text("mild"));
    }

    #[tokio::test]
    async fn a_stream_without_items_has_no_result() {
        let data = Tool::new("data", async |_: Any| Empty::<Json<u8>>(PhantomData));
        let failure = call(data, json!({})).await.expect_err("no result");
        assert_eq!(failure.kind, ToolFailureKind::Failed);
        assert!(failure.text.contains("without an item"), "{failure}");
        let text = Tool::new("text", async |_: Any| Empty::<String>(PhantomData));
        let content = call(text, json!({})).await.expect("a result");
        assert_eq!(content, Content::new());
    }

    #[derive(serde::Deserialize, JsonSchema)]
    struct Sum {
        numbers: Vec<f64>,
    }

    #[tokio::test]
    async fn a_type_that_holds_all_arguments_has_no_others() {
        let sum = || {
            Tool::new("sum", async |Json(sum): Json<Sum>| {
                Json(sum.numbers.iter().sum::<f64>())
            })
        };
        let content = call(sum(), json!({ "numbers": [1] })).await;
        assert_eq!(content.expect("a result").to_value(), json!(1.0));
        let failure = call(sum(), json!({ "numbers": [1], "typo": 2 })).await;
        assert_eq!(
            failure.expect_err("refused").text,
            "invalid arguments: unknown argument `typo`; the tool takes `numbers`"
        );
    }

    #[tokio::test]
    async fn a_time_limit_cancels_a_function_that_is_not_async() {
        let (sender, mut stopped) = tokio::sync::mpsc::unbounded_channel();
        let slow = Tool::new("slow", move |_: Any, cancelled: CancellationToken| {
            while !cancelled.is_cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
            sender.send(()).expect("a receiver");
        });
        let slow = slow.timeout(Duration::from_millis(20));
        let failure = call(slow, json!({})).await.expect_err("too late");
        assert_eq!(failure.kind, ToolFailureKind::TimedOut);
        stopped.recv().await.expect("it has stopped");
    }
}
