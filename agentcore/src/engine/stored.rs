//! The text that stores keep for headers and failures.

use serde_json::{Map, Value, json};

use super::{Failure, Headers, Json};

pub(super) fn of_headers(headers: &Headers) -> String {
    let headers = headers.iter();
    let map: Map<_, _> = headers
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
        .collect();
    Value::Object(map).to_string()
}

/// The headers of a stored object. Another client of the store may have put values in that are not text; they are left out.
pub(super) fn headers(text: &str) -> Headers {
    let Ok(Value::Object(map)) = serde_json::from_str(text) else {
        return Headers::new();
    };
    map.into_iter()
        .filter_map(|(name, value)| match value {
            Value::String(value) => Some((name, value)),
            _ => None,
        })
        .collect()
}

pub(super) fn of_failure(failure: &Failure) -> String {
    json!({ "name": failure.name, "message": failure.message }).to_string()
}

/// The failure of a stored text. Another client of the store may have put any JSON there.
pub(super) fn failure(text: &str) -> Failure {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let field = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    Failure {
        name: field("name").unwrap_or_else(|| "error".to_owned()),
        message: field("message").unwrap_or_else(|| text.to_owned()),
    }
}

/// The value of a column that may be null in a store of another client.
pub(super) fn value(text: Option<String>) -> Json {
    Json::stored(text.unwrap_or_else(|| "null".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_client_stored_is_read_as_far_as_possible() {
        assert_eq!(
            headers(r#"{"a":"b","c":1}"#),
            [("a".to_owned(), "b".to_owned())].into()
        );
        assert_eq!(headers("null"), Headers::new());
        let read = failure(r#"{"name":"ValueError","message":"no","traceback":".."}"#);
        assert_eq!((&*read.name, &*read.message), ("ValueError", "no"));
        assert_eq!(failure("\"text\"").message, "\"text\"");
        assert_eq!(failure(&of_failure(&read)), read);
    }
}
