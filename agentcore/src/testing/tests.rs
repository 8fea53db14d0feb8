//! What a failing test reports: the line, and the reply.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::task::{Context, Poll};

use http::HeaderMap;
use serde_json::{Value, json};

use super::*;
use crate::{App, HttpError, Json, RequestContext, Response};

thread_local! {
    /// Whether a panic of this thread is expected, and the line and the text of the last one.
    static LAST: RefCell<(bool, Option<(u32, String)>)> = const { RefCell::new((false, None)) };
}

/// `PanicHookInfo::payload_as_str` needs a newer compiler than the MSRV.
fn text_of(payload: &dyn Any) -> Option<String> {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref().cloned())
}

/// The line at which `call` panics, and its text.
fn panic_of<T>(call: impl FnOnce() -> T) -> (u32, String) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if let (true, Some(place), Some(text)) = (
                LAST.with_borrow(|last| last.0),
                info.location(),
                text_of(info.payload()),
            ) {
                // A panic in another file has no line in this one.
                let line = if place.file() == file!() {
                    place.line()
                } else {
                    0
                };
                LAST.set((true, Some((line, text))));
                return;
            }
            others(info);
        }));
    });
    LAST.set((true, None));
    let called = panic::catch_unwind(AssertUnwindSafe(call));
    let (_, last) = LAST.take();
    assert!(called.is_err());
    last.expect("a text")
}

/// The text of a panic in a future, without the line at its beginning. That line is the one before `line`.
async fn awaited<F>(line: u32, future: F) -> String
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let panic = match tokio::spawn(future).await {
        Ok(_) => panic!("it has not panicked"),
        Err(error) => error.into_panic(),
    };
    let text = *panic.downcast::<String>().expect("a text");
    let place = format!("at {}:{}:", file!(), line - 1);
    let rest = text
        .strip_prefix(&place)
        .unwrap_or_else(|| panic!("{place} {text}"));
    rest.split_once(": ").expect("a column").1.to_owned()
}

async fn client() -> &'static TestClient {
    let app = App::new().entrypoint("fails", async |Json(bytes): Json<usize>| {
        Err::<Json<()>, _>(HttpError::new(422, "x".repeat(bytes)))
    });
    Box::leak(Box::new(TestClient::new(app).await.unwrap()))
}

#[tokio::test]
async fn a_reply_of_another_shape_is_told_with_its_status_and_body_at_the_callers_line() {
    let reply = client().await.invoke(3).await;
    let (line, text) = panic_of(|| reply.json::<u32>());
    assert_eq!(line, line!() - 1);
    assert!(
        text.starts_with("the reply is not JSON of `u32` (invalid type: map"),
        "{text}"
    );
    assert!(
        text.ends_with(r#": 422 Unprocessable Entity: {"error":"xxx"}"#),
        "{text}"
    );

    let broken = TestResponse {
        head: http::Response::new(()).into_parts().0,
        body: Err("the reply was cut off".to_owned()),
    };
    for (line, text) in [
        panic_of(|| broken.bytes().len()),
        panic_of(|| broken.text().len()),
        panic_of(|| broken.json::<Value>()),
    ] {
        assert!((line!() - 5..line!() - 1).contains(&line));
        assert!(
            text.ends_with("200 OK, and a body that broke off: the reply was cut off"),
            "{text}"
        );
    }

    let bytes = TestResponse {
        head: http::Response::new(()).into_parts().0,
        body: Ok(Bytes::from_static(b"a\xff")),
    };
    let (line, text) = panic_of(|| bytes.text().len());
    assert_eq!(line, line!() - 1);
    assert!(
        text.starts_with("the body of the reply is not UTF-8"),
        "{text}"
    );

    let event = TestEvent {
        data: "{}".to_owned(),
        ..TestEvent::default()
    };
    let (line, text) = panic_of(|| event.json::<u32>());
    assert_eq!(line, line!() - 1);
    assert!(
        text.starts_with("the event is not JSON of `u32`") && text.ends_with(": {}"),
        "{text}"
    );
}

#[tokio::test]
async fn a_long_body_is_cut() {
    let reply = client().await.invoke(100_000).await;
    let (_, text) = panic_of(|| reply.json::<u32>());
    assert!(
        text.len() < 1500 && text.ends_with(" [cut: 1000 of 100012 bytes]"),
        "{text}"
    );
}

#[tokio::test]
async fn a_reply_that_is_no_stream_is_told_with_its_status_and_body_and_the_callers_line() {
    let agent = client().await;
    let future = agent.stream(3);
    let text = awaited(line!(), future).await;
    assert_eq!(
        text,
        r#"the reply is not a stream of events: 422 Unprocessable Entity: {"error":"xxx"}"#
    );
    let future = agent.post(3).session("session-1").stream();
    let text = awaited(line!(), future).await;
    assert!(
        text.starts_with("the reply is not a stream of events: 422"),
        "{text}"
    );
}

#[cfg(feature = "ws")]
#[tokio::test]
async fn a_socket_that_is_refused_is_told_with_its_status_and_body_and_the_callers_line() {
    let agent = client().await;
    let future = agent.websocket();
    let text = awaited(line!(), future).await;
    assert_eq!(
        text,
        r#"the app refused the socket: 404 Not Found: {"error":"Not Found"}"#
    );
    let future = agent.websocket_as("session-1");
    awaited(line!(), future).await;

    let (line, text) = panic_of(|| agent.post(1).websocket());
    assert_eq!(line, line!() - 1);
    assert_eq!(
        text,
        "a socket is opened with `GET /ws`, not with `POST /invocations`"
    );
}

#[tokio::test]
async fn an_event_that_is_of_another_shape_is_told_at_the_callers_line() {
    struct One(Option<u32>);
    impl crate::Stream for One {
        type Item = u32;
        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u32>> {
            Poll::Ready(self.0.take())
        }
    }
    let app = App::new().entrypoint("one", async || Response::stream(One(Some(1))));
    let agent = TestClient::new(app).await.unwrap();
    let stream = agent.stream(()).await;
    let future = stream.collect::<String>();
    let text = awaited(line!(), future).await;
    assert!(
        text.starts_with("the event is not JSON of `alloc::string::String`"),
        "{text}"
    );
    assert!(text.ends_with(": 1"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_sent_panics_at_the_callers_line() {
    let agent = client().await;
    let no_key = std::collections::BTreeMap::from([((1, 2), 3)]);
    // `rustfmt` decides how many lines a call of the macro takes.
    macro_rules! panics {
        ($call:expr, $expected:expr) => {{
            let (line, text) = panic_of(|| drop($call));
            assert_eq!(text, $expected);
            assert!((line!()..line!() + 5).contains(&line), "{line}: {text}");
        }};
    }
    let key = "the body of the request cannot be serialised: key must be a string";
    panics!(agent.invoke(&no_key), key);
    panics!(agent.stream(&no_key), key);
    panics!(agent.post(&no_key), key);
    panics!(
        agent.invoke_as("a\nb", 1),
        "the value of the header `x-amzn-bedrock-agentcore-runtime-session-id` is not valid: failed to parse header value"
    );
    panics!(
        agent.post(1).user("a\0"),
        "the value of the header `x-amzn-bedrock-agentcore-runtime-user-id` is not valid: failed to parse header value"
    );
    panics!(
        agent.post(1).header("a b", "c"),
        "the name of a header is not valid: invalid HTTP header name"
    );
    panics!(
        agent.get("ws"),
        "the path of the request is `ws`, which does not begin with a `/`"
    );
    panics!(
        agent.get("/a b"),
        "the path of the request is `/a b`: invalid uri character"
    );
    panics!(
        agent.request("A B", "/"),
        "the method of the request is not valid: invalid HTTP method"
    );
}

#[tokio::test]
async fn a_request_has_its_method_path_headers_and_body() {
    async fn told(
        Json(event): Json<Value>,
        headers: HeaderMap,
        context: RequestContext,
    ) -> Json<Value> {
        Json(json!([
            event,
            headers["content-type"].to_str().ok(),
            headers["x-tenant"].to_str().ok(),
            context.session_id(),
            context.user_id(),
        ]))
    }
    let agent = TestClient::new(App::new().entrypoint("told", told))
        .await
        .unwrap();
    let reply = agent
        .post(json!({ "a": 1 }))
        .header("x-tenant", "6")
        .header("x-tenant", 7)
        .session("s")
        .user("u")
        .send()
        .await;
    assert_eq!(
        reply.json::<Value>(),
        json!([{ "a": 1 }, "application/json", "7", "s", "u"])
    );
    let by_hand = agent
        .request("POST", "/invocations?a=b")
        .header("content-type", "text/plain")
        .header("x-tenant", "7")
        .body("\"text\"");
    assert_eq!(
        by_hand.send().await.json::<Value>(),
        json!(["text", "text/plain", "7", null, null])
    );
    let of_http = http::Request::post("/invocations").body("{").unwrap();
    assert_eq!(agent.send(of_http).await.status(), 400);
    let body = crate::Body::new(http_body_util::Full::new(Bytes::from_static(b"{")));
    let of_http = http::Request::post("/invocations").body(body).unwrap();
    assert_eq!(agent.send(of_http).await.status(), 400);
    assert_eq!(agent.get("/ping").send().await.status(), 200);
    assert_eq!(agent.request("DELETE", "/ping").send().await.status(), 405);
}
