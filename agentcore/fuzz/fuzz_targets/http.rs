//! A connection, byte by byte: hyper as the server sets it up, the service, and an agent that does what it is told.
//!
//! The first two bytes of the input choose the agent and the client, see [`app`] and [`Reading`]; the others are a
//! [`script`].

#![no_main]

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentcore::__fuzz::Server;
use agentcore::{
    App, BusyWhile, CancellationToken, Config, ErrorMode, HttpError, IntoResponse as _, Json,
    PingStatus, Response, StatusCode, WebSocket, WebSocketError, stream,
};
use agentcore_fuzz::replies::{self, Reply};
use agentcore_fuzz::rt::{run, soon};
use agentcore_fuzz::script::{self, Reading, Step, Wire};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let &[agent, client, ref input @ ..] = input else {
        return;
    };
    run(connection(agent, client, input));
});

/// Statuses that a handler was told to answer with.
type Asked = Arc<Mutex<BTreeSet<u16>>>;

async fn connection(agent: u8, client: u8, input: &[u8]) {
    let asked = Asked::default();
    let app = app(agent, client, &asked);
    let server = Server::start(app).await.expect("an app that starts");
    let mut steps = script::parse(input);
    if client & 0x40 != 0 {
        steps = single_bytes(&steps);
    }
    let stops = steps.contains(&Step::Stop);
    let reading = Reading::of(client);
    let (wire, client_side) = Wire::new(steps, reading);
    let answered = Arc::new(Mutex::new(Vec::new()));
    let tell = {
        let answered = Arc::clone(&answered);
        move |method: &http::Method, status: StatusCode| {
            let is_head = method == http::Method::HEAD;
            answered.lock().unwrap().push((is_head, status.as_u16()));
        }
    };
    let is_crowded = client & 0x04 != 0;
    let served = server.serve(wire, is_crowded, client_side.stop(), tell);
    soon("the connection", served).await;
    soon("the work", server.idle()).await;
    assert_eq!(server.in_progress(), 0);
    assert_ne!(server.is_busy(), Some(true), "busy with nothing");

    let answered = answered.lock().unwrap();
    let is_head = |number: usize| answered.get(number).is_some_and(|(is_head, _)| *is_head);
    let replies = replies::parse(&client_side.received(), is_head);
    let can_be_cut = stops || client_side.has_vanished();
    for (number, reply) in replies.iter().enumerate() {
        match answered.get(number) {
            Some((is_head, status)) => {
                // KNOWN: what hyper has not sent of a reply when it meets garbage behind the head, it drops. A real
                // socket has room for some of it.
                let meets_garbage = reading != Reading::All && number + 1 == replies.len();
                assert!(
                    reply.whole || can_be_cut || meets_garbage || reply.is_stream(),
                    "a reply was cut short: {reply:?}"
                );
                if reply.status != 0 {
                    assert_eq!(reply.status, *status);
                    check(
                        reply,
                        *is_head,
                        agent,
                        &asked.lock().unwrap(),
                        stops || is_crowded,
                    );
                }
            }
            // KNOWN: hyper does not wait until a refusal of its own has been taken. A real socket has room for it.
            None if reading != Reading::All && !reply.whole => {}
            None => {
                // Of hyper's own, about what has not become a request.
                assert_eq!(number + 1, replies.len(), "goes on behind a refusal");
                assert_eq!(number, answered.len());
                assert!(matches!(reply.status, 400 | 414 | 431), "{reply:?}");
                assert_eq!(reply.header("content-length"), Some("0"));
            }
        }
    }
    let missing = answered.len().saturating_sub(replies.len());
    assert!(
        missing == 0 || can_be_cut || reading != Reading::All,
        "{missing} answers did not arrive"
    );
}

/// Whether a reply that our service has made is one.
fn check(reply: &Reply, is_head: bool, agent: u8, asked: &BTreeSet<u16>, unavailable: bool) {
    let known = match reply.status {
        200 | 101 | 400 | 403 | 404 | 405 | 408 | 413 | 422 | 426 | 505 => true,
        503 => unavailable,
        _ => false,
    };
    assert!(
        known || asked.contains(&reply.status),
        "nobody asked for {}",
        reply.status
    );
    assert_eq!(reply.all("date").count(), 1);
    if reply.status == 101 {
        assert!(reply.header("sec-websocket-accept").is_some());
        return;
    }
    if is_head || !reply.whole || matches!(reply.status, 204 | 304) {
        return;
    }
    if reply.is_stream() {
        assert!(reply.body.ends_with(b"\n\n") || reply.body.is_empty());
        return;
    }
    if reply.header("content-type") != Some("application/json") {
        assert_eq!(
            agent & 0b11,
            1,
            "no JSON from a handler that answers with nothing else"
        );
        return;
    }
    let json: Value = serde_json::from_slice(&reply.body).expect("JSON");
    if reply.status >= 400 && !asked.contains(&reply.status) {
        assert!(json["error"].is_string(), "{json}");
    }
}

fn single_bytes(steps: &VecDeque<Step>) -> VecDeque<Step> {
    let mut single = VecDeque::new();
    for step in steps {
        match step {
            Step::Send(piece) => single.extend(piece.iter().map(|byte| Step::Send(vec![*byte]))),
            other => single.push_back(other.clone()),
        }
    }
    single
}

/// The agent under test. Bits of `agent`: two for the handler, then errors in band, busy while tasks, debug actions, a
/// layer, a websocket handler, a small limit for bodies. Of `client`, whose other bits are the client's: a time-out (8)
/// and two for a ping handler.
fn app(agent: u8, client: u8, asked: &Asked) -> App {
    let has = |bit: u8| agent & bit != 0;
    let mut config = Config::new().debug(has(0x10));
    if has(0x04) {
        config = config.errors(ErrorMode::InBand);
    }
    if has(0x08) {
        config = config.busy_while(BusyWhile::Tasks);
    }
    if has(0x80) {
        config = config.max_body_bytes(64);
    }
    let asked = Arc::clone(asked);
    let mut app = App::new().config(config);
    app = match agent & 0b11 {
        1 => app.entrypoint("echo", async |body: Bytes| Response::bytes(body)),
        2 => {
            let handler = move |Json(event): Json<Value>, token: CancellationToken| {
                let asked = Arc::clone(&asked);
                async move {
                    tokio::select! {
                        reply = act(event, &asked) => reply,
                        () = token.cancelled() => Ok(Json("cancelled").into_response()),
                    }
                }
            };
            app.entrypoint("act", handler)
        }
        kind => {
            if client & 0x08 != 0 {
                asked.lock().unwrap().insert(504);
                app = app.timeout(Duration::from_secs(5));
            }
            if kind == 3 {
                app = app.cancel_on_disconnect();
            }
            let handler = move |Json(event): Json<Value>| {
                let asked = Arc::clone(&asked);
                async move { act(event, &asked).await }
            };
            app.entrypoint("act", handler)
        }
    };
    if has(0x20) {
        app = app.layer(tower_layer::Identity::new());
    }
    if has(0x40) {
        app = app.websocket("echo", echo);
    }
    match client >> 4 & 0b11 {
        1 => app.ping(async || PingStatus::Healthy),
        2 => app.ping(async || Err::<PingStatus, _>(HttpError::new(500, "unwell"))),
        3 => app.ping(async || {
            tokio::time::sleep(Duration::from_secs(1)).await;
            PingStatus::Healthy
        }),
        _ => app,
    }
}

/// Does what the event says: `status`, `error`, `sleep`, `task`, `stream`, `big`, `headers`; else echoes it.
async fn act(event: Value, asked: &Asked) -> Result<Response, HttpError> {
    let number = |key: &str, most: u64| event.get(key).and_then(Value::as_u64).map(|n| n.min(most));
    let status = |key: &str| {
        let status = u16::try_from(number(key, 999)?).unwrap_or_default();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Informational ones are no replies.
        let sent = if status.is_informational() {
            500
        } else {
            status.as_u16()
        };
        asked.lock().unwrap().insert(sent);
        Some(status)
    };
    if let Some(time) = number("task", 60_000) {
        drop(agentcore::spawn(tokio::time::sleep(Duration::from_millis(
            time,
        ))));
    }
    if let Some(time) = number("sleep", 60_000) {
        tokio::time::sleep(Duration::from_millis(time)).await;
    }
    if let Some(status) = status("error") {
        return Err(HttpError::new(status, "as you wish"));
    }
    let mut reply = if let Some(count) = number("stream", 40) {
        let every = Duration::from_millis(number("every", 20_000).unwrap_or_default());
        Response::stream(stream! {
            for number in 0..count {
                tokio::time::sleep(every).await;
                yield number;
            }
        })
    } else if let Some(size) = number("big", 200_000) {
        Response::json(&"x".repeat(usize::try_from(size).unwrap_or_default()))
    } else {
        Response::json(&event)
    };
    if let Some(status) = status("status") {
        reply = reply.with_status(status);
    }
    if let Some(Value::Object(headers)) = event.get("headers") {
        for (name, value) in headers {
            let name = name.parse::<http::HeaderName>();
            let value = value
                .as_str()
                .unwrap_or_default()
                .parse::<http::HeaderValue>();
            if let (Ok(name), Ok(value)) = (name, value)
                && name != "date"
                && name != "content-type"
            {
                reply = reply.with_header(name, value);
            }
        }
    }
    Ok(reply)
}

async fn echo(mut socket: WebSocket) -> Result<(), WebSocketError> {
    while let Some(message) = socket.recv().await {
        socket.send(message?).await?;
    }
    Ok(())
}
