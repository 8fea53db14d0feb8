//! What a runtime of November 2026 can be told: a warm-up hook, a restore hook, and axum routers beside the entrypoint, on the
//! agent's port and on one more.
//!
//! ```text
//! cargo run --example platform
//! curl -X POST localhost:8080/warmup                     # {"duration_ms":0.3,"hooks":[{"duration_ms":0.2,"name":"load"}]}
//! curl -X POST localhost:8080/invocations -d '"hello"'   # "warmed up\nhello"
//! curl -N localhost:8080/count/3                         # data: 1, data: 2, data: 3
//! curl localhost:8080/length --data-binary @/bin/ls      # 151344 bytes, for instance
//! curl localhost:8080/health                             # well
//! curl localhost:8081/notes -d 'buy milk'                # noted
//! curl localhost:8081/notes                              # warmed up, hello, buy milk
//! curl localhost:8081/ping                               # {"status":"Healthy","time_of_last_update":1795353188}
//! python3 -m websockets ws://localhost:8080/echo         # what you type; needs `pip install websockets`
//! ```
//!
//! The router gets every path that the contract does not serve. `/health` does not make the agent busy. With
//! `AGENTCORE_INVOCATIONS_PATH=/chat` the entrypoint is at `/chat`, and `/invocations` is the router's. The page `snapshots` of
//! the guide says how to try a restore on the running agent, with libfaketime.

use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Duration;

use agentcore::{BoxError, State, Stream, entrypoint, on_restore, on_start, on_warmup, routes};
use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{DefaultBodyLimit, Path};
use axum::response::Response;
use axum::response::sse::{Event, Sse};
use axum::routing::{any, get, post};

/// What the entrypoint and both routers share.
struct Notes(Mutex<Vec<String>>);

impl Notes {
    fn add(&self, note: String) {
        if let Ok(mut notes) = self.0.lock() {
            notes.push(note);
        }
    }

    fn clear(&self) {
        if let Ok(mut notes) = self.0.lock() {
            notes.clear();
        }
    }

    fn all(&self) -> String {
        self.0
            .lock()
            .map_or_else(|_| String::new(), |notes| notes.join("\n"))
    }
}

#[on_start]
fn notes() -> Notes {
    Notes(Mutex::new(Vec::new()))
}

/// The platform posts to `/warmup` when a runtime is created or updated, before any session. Whether its snapshot has what this
/// has loaded is not documented: it is taken at a healthy ping, which may come before.
#[on_warmup]
async fn load(notes: State<Notes>) -> Result<(), BoxError> {
    notes.add("warmed up".to_owned());
    Ok(())
}

/// Every session begins as a copy of the snapshot. This runs in each, before its first request: what the copies must not share
/// is made anew, such as connections and secrets.
#[on_restore]
async fn forget(notes: State<Notes>) {
    notes.clear();
}

#[entrypoint]
async fn handler(note: String, notes: State<Notes>) -> String {
    notes.add(note);
    notes.all()
}

/// Serves what the contract does not, on the agent's port.
#[routes(idle = ["/health"])]
fn web() -> Router {
    Router::new()
        .route("/health", get(async || "well"))
        .route("/count/{to}", get(count))
        // axum reads up to 2 MB into memory by default.
        .route("/length", post(length).layer(DefaultBodyLimit::disable()))
        .route("/echo", any(echo))
}

/// Serves another port. An error would stop the start.
#[routes(port = 8081, timeout = "10s")]
async fn admin(notes: State<Notes>) -> Result<Router, BoxError> {
    let read = notes.clone();
    let list = get(async move || read.all());
    let add = move |note: String| async move {
        notes.add(note);
        "noted"
    };
    Ok(Router::new().route("/notes", list.post(add)))
}

async fn count(Path(to): Path<u32>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(agentcore::stream! {
        for number in 1..=to {
            yield Ok(Event::default().data(number.to_string()));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
}

async fn length(body: Bytes) -> String {
    format!("{} bytes", body.len())
}

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket: WebSocket| {
        // axum answers pings and the client's close itself, while the socket is read. An echo of the close would be an error.
        while let Some(Ok(message)) = socket.recv().await {
            let is_data = matches!(message, Message::Text(_) | Message::Binary(_));
            if is_data && socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use agentcore::testing::TestClient;

    #[tokio::test(start_paused = true)]
    async fn the_routers_answer_beside_the_entrypoint() {
        let agent = TestClient::from_registry().await.unwrap();
        assert_eq!(agent.warm_up().await.status(), 200);
        assert_eq!(
            agent.get("/notes").port(8081).send().await.text(),
            "warmed up"
        );
        // The router waits for the restore hook, as the entrypoint does.
        agent.restore();
        assert_eq!(agent.get("/notes").port(8081).send().await.text(), "");
        assert_eq!(agent.invoke("first").await.json::<String>(), "first");
        assert_eq!(agent.get("/health").send().await.text(), "well");
        let events = agent.get("/count/2").send().await;
        assert_eq!(events.text(), "data: 1\n\ndata: 2\n\n");
        let body = "x".repeat(5_000_000);
        let length = agent.request("POST", "/length").body(body).send().await;
        assert_eq!(length.text(), "5000000 bytes");
        assert_eq!(agent.get("/nothing").send().await.status(), 404);

        let added = agent.request("POST", "/notes").port(8081).body("second");
        assert_eq!(added.send().await.text(), "noted");
        let notes = agent.get("/notes").port(8081).send().await;
        assert_eq!(notes.text(), "first\nsecond");
        assert!(!agent.ping().await.status.is_busy());
        agent.shutdown().await.unwrap();
    }
}
