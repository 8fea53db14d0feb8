//! An agent with routes of axum on its own port and on port `ROUTES_PORT`, handlers that spin, and a slow restore hook.

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use agentcore::{App, entrypoint, on_restore, stream};
use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::response::sse::{Event, Sse};
use axum::routing::{any, get, post};
use futures_core::Stream;
use serde_json::{Value, json};
use tokio::time::sleep;

/// The runs of the restore hook.
static RESTORES: AtomicU32 = AtomicU32::new(0);

/// Keeps its thread for `spin_ms` milliseconds.
#[entrypoint(main = false)]
async fn handle(event: Value) -> Value {
    let time = Duration::from_millis(event["spin_ms"].as_u64().unwrap_or_default());
    let began = Instant::now();
    while began.elapsed() < time {
        std::hint::spin_loop();
    }
    json!({ "restores": RESTORES.load(Ordering::Relaxed) })
}

/// Takes longer than libfaketime's cache lasts and 64 requests take to arrive.
#[on_restore]
async fn restore() {
    sleep(Duration::from_secs(3)).await;
    RESTORES.fetch_add(1, Ordering::Relaxed);
}

/// An event each millisecond, without an end.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream! {
        loop {
            yield Ok(Event::default().data("tick"));
            sleep(Duration::from_millis(1)).await;
        }
    })
}

/// Counts the bytes of an upload, and keeps none.
async fn count(body: Body) -> String {
    let mut body = std::pin::pin!(body);
    let mut bytes = 0;
    while let Some(Ok(frame)) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
    bytes.to_string()
}

async fn socket(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Message::Close(_)) || socket.send(message).await.is_err() {
            return;
        }
    }
}

fn router() -> Router {
    Router::new()
        .route("/events", get(events))
        .route("/count", post(count))
        .route("/ws", any(socket))
}

fn main() -> ExitCode {
    let port = std::env::var("ROUTES_PORT").map_or(0, |port| port.parse().expect("a port"));
    App::from_registry()
        .routes(router())
        .routes_on(port, router())
        .run()
}
