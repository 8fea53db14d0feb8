//! Requests that end early, come all at once, or arrive in tiny chunks.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::{Scene, echo, echo_request, exchange, expect_echo};
use crate::client::{Connection, get, invocation};
use crate::random::Random;
use crate::report::Report;
use crate::websocket;

/// The number of attackers at a time. Each repeats its attack.
const CLIENTS: u64 = 50;

/// A chunked invocation with `chunks` as its body.
fn chunked(chunks: &str) -> Vec<u8> {
    let head = "POST /invocations HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    (head.to_owned() + chunks).into_bytes()
}

/// The body of an echo in chunks of one byte.
fn single_bytes(id: u64) -> String {
    let body = echo(id).to_string();
    body.chars()
        .map(|byte| format!("1\r\n{byte}\r\n"))
        .collect()
}

/// Clients that close their sending side. A whole request is answered; the agent does not wait for the rest of a part.
pub(super) async fn half_closed(scene: &mut Scene, report: &mut Report) {
    let address = scene.address;
    let clients = (1..=CLIENTS).map(|id| async move {
        for _ in 0..10 {
            let whole = echo_request(id);
            for part in [0, 1, 30, whole.len() - 1] {
                let rest = exchange(address, whole[..part].to_vec()).await?;
                if !(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4")) {
                    return Err(answered(&rest));
                }
            }
            let mut connection = Connection::open(address).await?;
            connection.send(&whole).await?;
            connection.finish_sending().await?;
            expect_echo(id, &connection.reply().await?)?;
        }
        Ok(())
    });
    let clients: Vec<_> = clients.collect();
    scene.run_all(clients).await;
    report.figure(scene.label("connections"), CLIENTS * 10 * 5);
}

/// Valid requests of every kind, reset after any number of bytes.
pub(super) async fn resets(scene: &mut Scene, report: &mut Report, mut random: Random) {
    let address = scene.address;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| reset_often(address, random.fork()))
        .collect();
    scene.run_all(clients).await;
    report.figure(scene.label("connections"), CLIENTS * 100);
}

async fn reset_often(address: SocketAddr, mut random: Random) -> Result<()> {
    let stream = json!({ "action": "stream", "items": 100, "ms": 1, "panics": false });
    let requests = [
        echo_request(1),
        invocation(&json!({ "action": "task", "ms": 5 })),
        invocation(&json!({ "action": "spawn", "ms": 5, "keep": false, "panics": false })),
        invocation(&stream),
        chunked(&(single_bytes(1) + "0\r\n\r\n")),
        websocket::HANDSHAKE.to_vec(),
        get("/ping"),
    ];
    for _ in 0..100 {
        let request = &requests[random.within(0..requests.len() as u64) as usize];
        let length = random.within(1..request.len() as u64 + 1) as usize;
        let mut connection = Connection::open(address).await?;
        connection.send(&request[..length]).await?;
        if random.once_in(2) {
            sleep(Duration::from_micros(random.within(0..3_000))).await;
        }
        connection.reset();
    }
    Ok(())
}

/// Hundreds of requests in one write, which are answered in order.
pub(super) async fn pipelines(scene: &mut Scene, report: &mut Report) {
    const DEPTH: u64 = 200;
    let address = scene.address;
    let clients = (0..CLIENTS).map(|_| async move {
        let mut connection = Connection::open(address).await?;
        let all: Vec<_> = (1..=DEPTH).flat_map(echo_request).collect();
        connection.send(&all).await?;
        for id in 1..=DEPTH {
            expect_echo(id, &connection.reply().await?)?;
        }
        Ok(())
    });
    let clients: Vec<_> = clients.collect();
    scene.run_all(clients).await;
    report.figure(
        scene.label("requests in one write, each answered in its turn"),
        DEPTH,
    );
    report.figure(scene.label("connections"), CLIENTS);
}

/// Bodies in chunks that no honest client makes: valid ones are read, invalid ones are refused.
pub(super) async fn chunks(scene: &mut Scene, report: &mut Report) {
    let body = echo(1).to_string();
    let size = format!("{:x}", body.len());
    let long = |length: usize| "x".repeat(length);
    let many_trailers = "x-trailer: y\r\n".repeat(5_000);
    let valid = [
        single_bytes(1) + "0\r\n\r\n",
        format!("{size};name=value\r\n{body}\r\n0\r\n\r\n"),
        format!("{size}\r\n{body}\r\n0\r\nx-trailer: y\r\n\r\n"),
        format!("000{size}\r\n{body}\r\n000\r\n\r\n"),
    ];
    let invalid = [
        format!("{size};{}\r\n{body}\r\n0\r\n\r\n", long(1 << 20)),
        format!("1;{}\r\nx\r\n", long(100)).repeat(5_000),
        format!("{size}\r\n{body}\r\n0\r\n{many_trailers}\r\n"),
        format!(
            "{size}\r\n{body}\r\n0\r\nx-trailer: {}\r\n\r\n",
            long(1 << 20)
        ),
        format!("{size}\r\n{body}XX0\r\n\r\n"),
        format!("-1\r\n{body}\r\n0\r\n\r\n"),
        format!("+{size}\r\n{body}\r\n0\r\n\r\n"),
        format!("0x{size}\r\n{body}\r\n0\r\n\r\n"),
        format!("ffffffffffffffff\r\n{body}\r\n0\r\n\r\n"),
        format!("fffffffffffffffff\r\n{body}\r\n0\r\n\r\n"),
        format!("\r\n{body}\r\n0\r\n\r\n"),
        format!("zz\r\n{body}\r\n0\r\n\r\n"),
        format!("{size}\r\n{body}\r\n"),
    ];
    let address = scene.address;
    let good = valid.into_iter().map(|chunks| async move {
        let mut connection = Connection::open(address).await?;
        expect_echo(1, &connection.ask(&chunked(&chunks)).await?)
    });
    let bad = invalid.into_iter().map(|chunks| async move {
        let rest = exchange(address, chunked(&chunks)).await?;
        if rest.is_empty() || rest.starts_with(b"HTTP/1.1 4") {
            return Ok(());
        }
        let shown: String = chunks.chars().take(40).collect();
        Err(Error::other(format!("{shown:?}: {}", answered(&rest))))
    });
    let (good, bad): (Vec<_>, Vec<_>) = (good.collect(), bad.collect());
    report.figure(scene.label("valid bodies, each read"), good.len());
    report.figure(scene.label("invalid bodies, each refused"), bad.len());
    scene.run_all(good).await;
    scene.run_all(bad).await;
}

fn answered(rest: &[u8]) -> Error {
    let shown = &rest[..rest.len().min(200)];
    Error::other(format!("answered with {}", String::from_utf8_lossy(shown)))
}
