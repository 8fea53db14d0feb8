//! A socket that echoes, streams, and knows its session.
//!
//! ```text
//! cargo run --example websocket_echo
//! python3 -m pip install websockets
//! python3 -m websockets ws://localhost:8080/ws
//! ```
//!
//! Type `hello` to get it back, `stream` for five chunks, or `session` for the session's id. A client on AgentCore Runtime always
//! has a session id; any other client has to send one:
//!
//! ```text
//! python3 - <<'END'
//! from websockets.sync.client import connect
//! headers = {"X-Amzn-Bedrock-AgentCore-Runtime-Session-Id": "session-7"}
//! with connect("ws://localhost:8080/ws", additional_headers=headers) as socket:
//!     socket.send("session")
//!     print(socket.recv())
//!     socket.send("stream")
//!     print([socket.recv() for _ in range(5)])
//! END
//! ```
//!
//! `curl localhost:8080/ping` says `HealthyBusy` as long as a socket is open.

use std::process::ExitCode;
use std::time::Duration;

use agentcore::{Message, RequestContext, WebSocket, WebSocketError, websocket};
use serde_json::json;

#[websocket]
async fn chat(mut socket: WebSocket) -> Result<(), WebSocketError> {
    while let Some(message) = socket.recv().await {
        match message? {
            Message::Text(text) => match text.as_str() {
                "stream" => stream(&socket).await?,
                "session" => socket.send(session()).await?,
                _ => socket.send(text).await?,
            },
            Message::Binary(bytes) => socket.send(bytes).await?,
            Message::Close(_) => println!("closed by the client"),
            _ => {}
        }
    }
    Ok(())
}

async fn stream(socket: &WebSocket) -> Result<(), WebSocketError> {
    for chunk in 1..=5 {
        socket
            .send_json(&json!({ "chunk": chunk, "of": 5 }))
            .await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Reads the context of the request that opened the socket, without an argument.
fn session() -> String {
    let context = RequestContext::current();
    let session = context.as_ref().and_then(RequestContext::session_id);
    session.unwrap_or("no session").to_owned()
}

// The program has no entrypoint, so no attribute writes `main`.
fn main() -> ExitCode {
    agentcore::run()
}

#[cfg(test)]
mod tests {
    use agentcore::testing::TestClient;
    use agentcore::{CloseCode, Message};
    use serde_json::{Value, json};

    #[tokio::test(start_paused = true)]
    async fn it_echoes_streams_and_knows_its_session() {
        let agent = TestClient::from_registry().await.unwrap();
        let mut socket = agent.websocket_as("session-7").await;
        socket.send("hello").await;
        assert_eq!(socket.recv().await, Some(Message::from("hello")));
        socket.send("session").await;
        assert_eq!(socket.recv().await, Some(Message::from("session-7")));
        socket.send("stream").await;
        for chunk in 1..=5 {
            assert_eq!(
                socket.recv_json::<Value>().await,
                Some(json!({ "chunk": chunk, "of": 5 }))
            );
        }
        assert!(agent.ping().await.status.is_busy());
        socket.close(CloseCode::NORMAL).await;
        assert!(matches!(socket.recv().await, Some(Message::Close(_))));
        agent.idle().await;
        assert!(!agent.ping().await.status.is_busy());
    }
}
