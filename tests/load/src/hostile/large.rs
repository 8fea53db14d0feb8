//! Several bodies of the largest allowed size at once.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;

use super::Scene;
use crate::client::Connection;
use crate::report::{Memory, Report};

const AT_ONCE: usize = 8;
const SIZE: usize = 100_000_000;

/// Each body is kept in a buffer that doubles when it is full, and then once more as the handler's text.
const COPIES: u64 = 3;

pub(super) async fn bodies(scene: &mut Scene, report: &mut Report) -> Result<()> {
    let (start, end) = (r#"{"action":"measure","text":""#, r#""}"#);
    let length = SIZE - start.len() - end.len();
    let body = Arc::new(format!("{start}{}{end}", "x".repeat(length)));
    let address = scene.address;
    let clients = (0..AT_ONCE).map(|_| upload(address, Arc::clone(&body), length));
    let clients: Vec<_> = clients.collect();
    scene.run_all(clients).await;
    report.figure(scene.label("of 100 MB, at once"), AT_ONCE);
    report.at_most(
        scene.label("most memory ever"),
        scene.agent.peak_memory()?,
        Memory(scene.memory.0 + COPIES * (AT_ONCE * SIZE) as u64),
    );
    Ok(())
}

async fn upload(address: SocketAddr, body: Arc<String>, length: usize) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    let head = format!(
        "POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.send(head.as_bytes()).await?;
    connection.send(body.as_bytes()).await?;
    let reply = connection.reply().await?;
    if reply.status == 200 && reply.json()? == json!({ "id": 0, "length": length }) {
        Ok(())
    } else {
        Err(Error::other(format!("a wrong reply: {reply:?}")))
    }
}
