//! Submitting from every kind of code that the server calls.

use std::time::Duration;

use agentcore::testing::TestClient;
use agentcore::{App, BoxError, WebSocket, async_task};
use axum::Router;
use axum::routing::post;

use crate::in_process::{ran, what_ran};

const TEST: &str = "everywhere";

#[async_task(durable)]
async fn note(place: String) -> Result<(), BoxError> {
    ran(TEST, place);
    Ok(())
}

async fn submit(place: &'static str) -> Result<(), BoxError> {
    note(place.to_owned()).submit().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn hooks_routes_and_sockets_submit_jobs() {
    let web = Router::new().route(
        "/submit",
        post(|| async { submit("routes").await.map_err(|error| error.to_string()) }),
    );
    let app = App::from_registry()
        .on_start(|| submit("start hook"))
        .on_warmup(|| submit("warm-up hook"))
        .on_restore(|| submit("restore hook"))
        .on_shutdown(|| async {
            submit("shutdown hook").await?;
            // It stays in the store: the process runs no more jobs.
            ran(TEST, "submitted by the shutdown hook");
            Ok::<_, BoxError>(())
        })
        .routes(web)
        .websocket("socket", |socket: WebSocket| async move {
            submit("socket").await?;
            socket.send("submitted").await?;
            Ok::<_, BoxError>(())
        });
    let agent = TestClient::new(app).await.expect("an agent");
    // The time is paused, so it goes on only when nothing else is left to do.
    let until = async |place: &str| {
        tokio::time::sleep(Duration::from_secs(2)).await;
        agent.idle().await;
        assert_eq!(what_ran(TEST).last().map(String::as_str), Some(place));
    };
    until("start hook").await;
    assert_eq!(agent.warm_up().await.status(), 200);
    until("warm-up hook").await;
    let reply = agent.request("POST", "/submit").send().await;
    assert_eq!(reply.status(), 200, "{}", reply.text());
    until("routes").await;
    let mut socket = agent.websocket().await;
    assert!(socket.recv().await.is_some());
    drop(socket);
    until("socket").await;
    agent.restore();
    until("restore hook").await;
    agent.shutdown().await.expect("a clean stop");
    until("submitted by the shutdown hook").await;
}
