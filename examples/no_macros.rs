//! The async-processing agent without macros: the same behaviour through [`App`].
//!
//! ```text
//! cargo run --example no_macros
//! curl -X POST localhost:8080/invocations -d '{"action": "process", "data_id": "a1"}'
//! curl -X POST localhost:8080/invocations -d '{"action": "cleanup"}'
//! curl -X POST localhost:8080/invocations -d '{"action": "status"}'
//! curl localhost:8080/ping
//! ```

use std::future::Future;
use std::time::{Duration, SystemTime};

use agentcore::{App, Json};
use serde_json::{Value, json};

fn now() -> impl std::fmt::Display {
    humantime::format_rfc3339_millis(SystemTime::now())
}

// Not an `async fn`: `track` runs when the function is called, so the task counts from the call, even if its future is spawned
// and not yet polled.
fn process_data(data_id: String) -> impl Future<Output = String> {
    agentcore::track("process_data").wrap(async move {
        println!("[{}] processing of {data_id} started", now());
        tokio::time::sleep(Duration::from_secs(30)).await;
        println!("[{}] processing of {data_id} completed", now());
        format!("Processed {data_id}")
    })
}

fn cleanup_task() -> impl Future<Output = ()> {
    agentcore::track("cleanup_task").wrap(async move {
        println!("[{}] cleanup started", now());
        tokio::time::sleep(Duration::from_secs(10)).await;
        println!("[{}] cleanup completed", now());
    })
}

async fn handler(Json(event): Json<Value>) -> Json<Value> {
    Json(match event["action"].as_str() {
        Some("process") => {
            let data_id = event["data_id"]
                .as_str()
                .unwrap_or("default_data")
                .to_owned();
            process_data(data_id.clone()).await;
            json!({ "message": format!("Processing {data_id}"), "status": "completed" })
        }
        Some("cleanup") => {
            cleanup_task().await;
            json!({ "message": "Cleanup completed" })
        }
        Some("status") => {
            let tasks = agentcore::async_task_info();
            json!({
                "ping_status": agentcore::current_ping_status(),
                "active_tasks": tasks.active_count,
                "running_jobs": tasks.running_jobs,
            })
        }
        _ => json!({
            "message": "Async processing agent",
            "available_actions": ["process", "cleanup", "status"],
            "usage": "Send {\"action\": \"process\", \"data_id\": \"a1\"}",
        }),
    })
}

#[tokio::main]
async fn main() -> Result<(), agentcore::Error> {
    println!("Async processing agent, without macros");
    println!("Actions: process, cleanup, status");
    let server = App::new()
        .entrypoint("handler", handler)
        .task("process_data")
        .task("cleanup_task")
        .bind()
        .await?;
    println!("Listening on http://{}", server.local_addr());
    server.with_signals().serve().await
}
