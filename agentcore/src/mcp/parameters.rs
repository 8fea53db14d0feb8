//! Says what is wrong with the parameters of a request that `rmcp` cannot read.

use rmcp::model::{
    CallToolRequestParams, CancelTaskParams, CompleteRequestParams, GetPromptRequestParams,
    GetTaskParams, ReadResourceRequestParams, SubscribeRequestParams,
    SubscriptionsListenRequestParams, UnsubscribeRequestParams, UpdateTaskParams,
};
use serde_core::de::DeserializeOwned;
use serde_json::Value;

/// Why the parameters do not fit the method, with their place. `None` if they fit, or the method has none that matter here.
pub(super) fn misfit(method: &str, params: Value) -> Option<String> {
    let check = match method {
        "tools/call" => check::<CallToolRequestParams>,
        "resources/read" => check::<ReadResourceRequestParams>,
        "resources/subscribe" => check::<SubscribeRequestParams>,
        "resources/unsubscribe" => check::<UnsubscribeRequestParams>,
        "prompts/get" => check::<GetPromptRequestParams>,
        "completion/complete" => check::<CompleteRequestParams>,
        "subscriptions/listen" => check::<SubscriptionsListenRequestParams>,
        "tasks/get" => check::<GetTaskParams>,
        "tasks/update" => check::<UpdateTaskParams>,
        "tasks/cancel" => check::<CancelTaskParams>,
        _ => return None,
    };
    check(params)
}

fn check<T: DeserializeOwned>(params: Value) -> Option<String> {
    let error = serde_path_to_error::deserialize::<_, T>(params).err()?;
    let path = error.path().to_string();
    let why = error.into_inner();
    Some(match &*path {
        "." => format!("params: {why}"),
        path => format!("params.{path}: {why}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_fit_has_its_place() {
        let why = |method: &str, params: Value| misfit(method, params).expect("a misfit");
        for (method, params, place) in [
            ("tools/call", json!({ "name": 5 }), "params.name: "),
            (
                "tools/call",
                json!({ "name": "a", "arguments": [] }),
                "params.arguments: ",
            ),
            ("tools/call", Value::Null, "params: "),
            ("tools/call", json!({}), "missing field `name`"),
            ("tasks/get", json!({}), "missing field `taskId`"),
            ("resources/read", json!({ "uri": 1 }), "params.uri: "),
        ] {
            let why = why(method, params);
            assert!(why.contains(place), "{why}");
        }
        assert_eq!(misfit("tools/call", json!({ "name": "a" })), None);
        assert_eq!(misfit("no/such/method", Value::Null), None);
    }
}
