//! The reference agent: two async tasks, and an entrypoint that dispatches on `action`.
//!
//! ```text
//! cargo run --example async_processing
//! curl -X POST localhost:8080/invocations -d '{"action": "process", "data_id": "a1"}'
//! curl -X POST localhost:8080/invocations -d '{"action": "cleanup"}'
//! curl -X POST localhost:8080/invocations -d '{"action": "status"}'
//! curl localhost:8080/ping
//! ```

use std::time::{Duration, SystemTime};

use agentcore::{async_task, entrypoint, on_start};
use serde_json::{Value, json};

fn now() -> impl std::fmt::Display {
    humantime::format_rfc3339_millis(SystemTime::now())
}

/// Takes 30 s; the agent is busy from the call to the end.
#[async_task]
async fn process_data(data_id: String) -> String {
    println!("[{}] processing of {data_id} started", now());
    tokio::time::sleep(Duration::from_secs(30)).await;
    println!("[{}] processing of {data_id} completed", now());
    format!("Processed {data_id}")
}

/// Takes 10 s.
#[async_task]
async fn cleanup_task() {
    println!("[{}] cleanup started", now());
    tokio::time::sleep(Duration::from_secs(10)).await;
    println!("[{}] cleanup completed", now());
}

#[entrypoint]
async fn handler(event: Value) -> Value {
    match event["action"].as_str() {
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
    }
}

#[on_start]
fn announce() {
    println!("Async processing agent");
    println!("Actions: process, cleanup, status");
}
