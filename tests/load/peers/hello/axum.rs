use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

async fn ping() -> Json<Value> {
    Json(json!({ "status": "Healthy" }))
}

async fn invoke(Json(event): Json<Value>) -> Json<Value> {
    Json(json!({ "echo": event }))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let routes = Router::new()
        .route("/ping", get(ping))
        .route("/invocations", post(invoke));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    axum::serve(listener, routes).await
}
