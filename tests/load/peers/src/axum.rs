//! A hand-written axum server, which `compare` measures beside the agent and the bare server.

mod shared;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use shared::Agent;

/// The agent's default limit.
const LARGEST_BODY: usize = 100 << 20;

async fn ping(State(agent): State<Arc<Agent>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], agent.ping())
}

async fn invoke(State(agent): State<Arc<Agent>>, body: Bytes) -> Response {
    let event: Value = match serde_json::from_slice(&body) {
        Ok(event) => event,
        Err(error) => {
            let error = Json(json!({ "error": error.to_string() }));
            return (StatusCode::BAD_REQUEST, error).into_response();
        }
    };
    drop(body);
    match shared::asks_for_events(&event) {
        None => Json(agent.reply(event).await).into_response(),
        Some(count) => {
            let events = shared::values(count).map(|value| Event::default().json_data(value));
            Sse::new(events).into_response()
        }
    }
}

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket: WebSocket| {
        while let Some(Ok(message)) = socket.recv().await {
            let is_data = matches!(message, Message::Text(_) | Message::Binary(_));
            if is_data && socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = shared::listen().await?.tap_io(|stream| {
        // A connection that has already ended reports it later.
        let _ = stream.set_nodelay(true);
    });
    let routes = Router::new()
        .route("/ping", get(ping))
        .route("/invocations", post(invoke))
        .route("/ws", get(echo))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(Agent::new());
    axum::serve(listener, routes).await
}
