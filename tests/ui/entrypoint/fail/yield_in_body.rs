use agentcore::async_task;
use futures_core::Stream;
use serde_json::{Value, json};

/// As in Python.
#[agentcore::entrypoint]
async fn handler(event: Value) -> Value {
    let prompt = event["prompt"].as_str().unwrap_or_default();
    for word in prompt.split(' ') {
        yield json!({ "token": word });
    }
}

#[agentcore::entrypoint(main = false)]
async fn streaming(event: Vec<String>) -> impl Stream<Item = String> {
    for word in event {
        tokio::task::yield_now().await;
        yield word.parse::<u32>()?;
        yield word;
    }
}

#[async_task]
async fn task(numbers: Vec<u32>) -> Vec<u32> {
    numbers.into_iter().for_each(|number| yield number)
}

async fn caller() -> usize {
    task(vec![1]).await.len()
}
