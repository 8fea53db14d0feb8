//! A `#[cfg]` below an attribute removes all that the attribute emits, `main` too.

use agentcore::{
    PingStatus, RequestContext, WebSocket, async_task, entrypoint, on_shutdown, on_start, ping,
    websocket,
};

#[entrypoint]
#[cfg(any())]
async fn handler(event: String) -> String {
    event
}

#[entrypoint]
#[cfg_attr(all(), cfg(any()))]
async fn another(event: String) -> String {
    event
}

#[entrypoint(nam = "not there")]
#[cfg(any())]
async fn wrong(event: String) -> String {
    event
}

#[ping]
#[cfg(any())]
fn health() -> PingStatus {
    PingStatus::Healthy
}

#[on_start]
#[cfg(any())]
fn begin() {}

#[on_shutdown]
#[cfg(any())]
fn end() {}

#[websocket]
#[cfg(any())]
async fn socket(socket: WebSocket) {
    drop(socket);
}

#[async_task]
#[cfg(any())]
async fn task() {}

#[entrypoint(main = false)]
#[cfg(all())]
#[cfg_attr(all(), inline, cfg(all()))]
async fn there(_: RequestContext) {}

fn main() {
    let _ = (PingStatus::Healthy, std::mem::size_of::<WebSocket>());
}
