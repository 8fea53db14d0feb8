//! A bare hyper server: the floor that `compare` takes ratios to. It has no timeouts, no limits and no shutdown.

mod shared;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use shared::Agent;

type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, Infallible>>;

fn reply(status: StatusCode, json: Vec<u8>) -> Response<Body> {
    let mut reply = Response::new(Either::Left(Full::from(json)));
    *reply.status_mut() = status;
    let json = hyper::header::HeaderValue::from_static("application/json");
    reply.headers_mut().insert(CONTENT_TYPE, json);
    reply
}

fn json_reply(status: StatusCode, value: &Value) -> Response<Body> {
    // Every `Value` can be serialised.
    reply(status, serde_json::to_vec(value).unwrap_or_default())
}

/// Server-sent events, as a body's frames.
fn frames(count: u64) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
    shared::values(count).map(|value| {
        let mut event = Vec::with_capacity(32);
        event.extend_from_slice(b"data: ");
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut event, &value);
        event.extend_from_slice(b"\n\n");
        Ok(Frame::data(Bytes::from(event)))
    })
}

async fn invoke(request: Request<Incoming>, agent: &Agent) -> hyper::Result<Response<Body>> {
    let body = request.into_body().collect().await?.to_bytes();
    let event: Value = match serde_json::from_slice(&body) {
        Ok(event) => event,
        Err(error) => {
            let error = json!({ "error": error.to_string() });
            return Ok(json_reply(StatusCode::BAD_REQUEST, &error));
        }
    };
    drop(body);
    let Some(count) = shared::asks_for_events(&event) else {
        return Ok(json_reply(StatusCode::OK, &agent.reply(event).await));
    };
    let body = StreamBody::new(frames(count)).boxed_unsync();
    let mut reply = Response::new(Either::Right(body));
    let events = hyper::header::HeaderValue::from_static("text/event-stream");
    reply.headers_mut().insert(CONTENT_TYPE, events);
    Ok(reply)
}

async fn answer(request: Request<Incoming>, agent: Arc<Agent>) -> hyper::Result<Response<Body>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/ping") => Ok(reply(StatusCode::OK, agent.ping())),
        (&Method::POST, "/invocations") => invoke(request, &agent).await,
        _ => {
            let error = json!({ "error": "Not Found" });
            Ok(json_reply(StatusCode::NOT_FOUND, &error))
        }
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = shared::listen().await?;
    let agent = Agent::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let agent = Arc::clone(&agent);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&agent)));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A client that leaves is no error here.
            let _ = connection.await;
        });
    }
}
