//! The agent that the benchmarks drive: one action for each thing that is measured.
//!
//! ```text
//! cargo run --release --example bench_agent
//! curl -X POST localhost:8080/invocations -d '{"action": "process", "seconds": 1}'
//! curl -X POST localhost:8080/invocations -d '{"action": "block", "seconds": 2}'
//! ```

use std::hint::black_box;
use std::time::{Duration, Instant};

use agentcore::{
    Message, Response, WebSocket, WebSocketError, async_task, entrypoint, stream, websocket,
};
use serde_json::{Value, json};

/// The system's allocator returns memory to the system after every large request, and gets it filled with zeros again for
/// the next one. Any agent may choose another allocator in these two lines.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[async_task]
async fn process_data(seconds: f64) {
    work(seconds).await;
}

#[async_task]
async fn cleanup_data(seconds: f64) {
    work(seconds).await;
}

async fn work(seconds: f64) {
    if seconds > 0.0 {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    } else {
        tokio::task::yield_now().await;
    }
}

/// Occupies its thread, like a handler that computes.
fn burn(seconds: f64) {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut number = 1_u64;
    while Instant::now() < end {
        for _ in 0..100_000 {
            number = black_box(
                number
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1),
            );
        }
    }
}

#[entrypoint]
async fn handler(event: Value) -> Response {
    let seconds = event["seconds"].as_f64().unwrap_or(0.0);
    match event["action"].as_str().unwrap_or("info") {
        "process" => {
            process_data(seconds).await;
            Response::json(&json!({ "message": "Processing completed" }))
        }
        "cleanup" => {
            cleanup_data(seconds).await;
            Response::json(&json!({ "message": "Cleanup completed" }))
        }
        "status" => {
            let tasks = agentcore::async_task_info();
            Response::json(&json!({
                "ping_status": agentcore::current_ping_status(),
                "active_tasks": tasks.active_count,
                "running_jobs": tasks.running_jobs,
            }))
        }
        "echo" => Response::json(&event),
        "stream" => {
            let events = event["events"].as_u64().unwrap_or(10);
            let delay = event["delay"].as_f64().unwrap_or(0.0);
            Response::stream(stream! {
                for number in 0..events {
                    if delay > 0.0 && number > 0 {
                        tokio::time::sleep(Duration::from_secs_f64(delay)).await;
                    }
                    yield json!({ "i": number });
                }
            })
        }
        "cpu" => {
            burn(seconds);
            Response::json(&json!({ "message": "burnt" }))
        }
        "block" => {
            std::thread::sleep(Duration::from_secs_f64(seconds));
            Response::json(&json!({ "message": "blocked" }))
        }
        _ => Response::json(&json!({
            "message": "Async status demo agent",
            "available_actions": ["process", "cleanup", "status"],
            "usage": "Send {\"action\": \"process\"} to start a tracked task",
        })),
    }
}

#[websocket]
async fn echo(mut socket: WebSocket) -> Result<(), WebSocketError> {
    while let Some(message) = socket.recv().await {
        match message? {
            Message::Close(_) => break,
            message => socket.send(message).await?,
        }
    }
    Ok(())
}
