//! Everything that can be a reply or an error.

use std::convert::Infallible;

use agentcore::{BoxError, HttpError, Json, Response, entrypoint};
use serde::Serialize;
use serde_json::Value;

#[derive(Serialize)]
struct Reply;

type Outcome<T> = Result<T, BoxError>;

#[entrypoint(main = false)]
async fn value(event: Value) -> Value {
    event
}

#[entrypoint(main = false)]
async fn derived() -> Reply {
    Reply
}

#[entrypoint(main = false)]
async fn constant() -> &'static str {
    "text"
}

#[entrypoint(main = false)]
async fn unnamed() -> impl Serialize {
    [1, 2, 3]
}

#[entrypoint(main = false)]
async fn aliased() -> Outcome<Reply> {
    Err("no".into())
}

#[entrypoint(main = false)]
async fn anyhow() -> anyhow::Result<u32> {
    Ok(1)
}

#[entrypoint(main = false)]
async fn text_as_error() -> Result<u32, String> {
    Ok(1)
}

/// An error of the program that says which status it has.
struct Missing(String);

impl From<Missing> for HttpError {
    fn from(Missing(what): Missing) -> Self {
        Self::new(404, format!("no {what}"))
    }
}

#[entrypoint(main = false)]
async fn converted_error() -> Result<(), HttpError> {
    Err(Missing("city".to_owned()))?
}

#[entrypoint(main = false)]
async fn http_error() -> Result<(), HttpError> {
    Err(HttpError::new(404, "nothing here"))
}

#[entrypoint(main = false)]
async fn infallible() -> Result<u32, Infallible> {
    Ok(1)
}

#[entrypoint(main = false)]
async fn response() -> http::Response<String> {
    http::Response::new(String::new())
}

#[entrypoint(main = false)]
async fn own_response() -> Result<Response, Response> {
    Ok(Response::text("fine"))
}

#[entrypoint(main = false)]
async fn json_with_status() -> (http::StatusCode, Json<Reply>) {
    (http::StatusCode::ACCEPTED, Json(Reply))
}

fn main() {}
