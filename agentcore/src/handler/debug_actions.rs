//! Debug actions: invocations that read or change the status, with the answers of Python's SDK.
//!
//! Off by default, because anyone who may invoke the agent could keep its session alive, and billed. `AGENTCORE_DEBUG` and
//! [`Config::debug`](crate::Config::debug) switch them on.

use http::StatusCode;
use serde_json::{Value, json};

use crate::handler::response::Response;
use crate::request::with_scope;
use crate::tasks::{
    async_task_info, clear_forced_ping_status, current_ping_status, force_ping_status,
};
use crate::tracker::PingStatus;

/// The key that makes an invocation a debug action.
const ACTION: &str = "_agent_core_app_action";

/// The answer, if `body` is a debug action.
pub(crate) fn answer(body: &[u8]) -> Option<Response> {
    // A byte order mark is skipped, as for payloads.
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let event: Value = serde_json::from_slice(body).ok()?;
    let action = event.get(ACTION).filter(|action| !is_false(action))?;
    Some(match action.as_str() {
        Some("ping_status") => Response::json(&json!({
            "status": current_ping_status(),
            "time_of_last_update": with_scope(|tracker, _| tracker.status().stamp),
        })),
        Some("job_status") => Response::json(&async_task_info()),
        Some("force_healthy") => forced(PingStatus::Healthy),
        Some("force_busy") => forced(PingStatus::HealthyBusy),
        Some("clear_forced_status") => {
            clear_forced_ping_status();
            Response::json(&json!({ "forced_status": "Cleared" }))
        }
        name => {
            let name = name.map_or_else(|| action.to_string(), ToOwned::to_owned);
            Response::error(format!("Unknown action: {name}")).with_status(StatusCode::BAD_REQUEST)
        }
    })
}

fn forced(status: PingStatus) -> Response {
    force_ping_status(status);
    Response::json(&json!({ "forced_status": status }))
}

/// Whether Python counts the value as false, so that there is no action.
fn is_false(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_does_not_hide_an_action() {
        let body = "\u{feff}{\"_agent_core_app_action\":\"ping_status\"}";
        let response = answer(body.as_bytes()).expect("an action");
        assert_eq!(response.status(), 200);
        assert!(answer("\u{feff}{}".as_bytes()).is_none());
    }
}
