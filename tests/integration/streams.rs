//! Streamed replies, event by event.

use serde_json::json;

use crate::support::{Agent, Client, DEADLINE, wait_until};

fn agent() -> Agent {
    Agent::start(env!("CARGO_BIN_EXE_streams"), &[])
}

#[test]
fn every_item_arrives_in_order_and_the_agent_is_idle_afterwards() {
    let agent = agent();
    let reply = agent.invoke(json!({ "kind": "count", "count": 100_000 }));
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert_eq!(reply.header("cache-control"), Some("no-cache"));
    let events = reply.events();
    assert_eq!(events.len(), 100_000);
    assert!(
        events
            .iter()
            .enumerate()
            .all(|(number, event)| event["i"] == number)
    );
    assert!(!agent.ping().busy);
}

#[test]
fn an_error_is_the_last_event() {
    let events = agent()
        .invoke(json!({ "kind": "fails", "count": 2 }))
        .events();
    assert_eq!(events[..2], [json!(0), json!(1)]);
    let message = "An error occurred during streaming";
    assert_eq!(
        events[2],
        json!({ "error": "enough", "error_type": "HttpError", "message": message })
    );
    assert_eq!(events.len(), 3);
}

#[test]
fn an_error_before_the_stream_chooses_the_status() {
    assert_eq!(
        agent().invoke(json!({ "kind": "before" })).parts(),
        (409, json!({ "error": "not now" }))
    );
}

#[test]
fn a_panic_is_the_last_event_without_its_text() {
    let agent = agent();
    let events = agent.invoke(json!({ "kind": "panics" })).events();
    assert_eq!(
        (&events[0], &events[1]["error"]),
        (&json!(1), &json!("Internal server error"))
    );
    agent.line_with("the stream of entrypoint `handler` panicked: a secret detail");
    assert!(!agent.ping().busy);
}

#[test]
fn events_keep_their_fields() {
    let reply = agent().invoke(json!({ "kind": "events" }));
    assert_eq!(
        String::from_utf8(reply.body).expect("text"),
        "event: token\nid: 7\ndata: {\"a\":1}\n\n: idle\n\n"
    );
}

#[test]
fn a_stream_knows_its_request_and_does_not_count_itself() {
    let request = "POST /invocations HTTP/1.1\r\nhost: a\r\n\
        x-amzn-bedrock-agentcore-runtime-session-id: s-1\r\ncontent-length: 18\r\n\r\n{\"kind\":\"context\"}";
    let reply = agent().connect().send(request.as_bytes()).reply();
    assert_eq!(reply.events(), [json!("s-1"), json!("Healthy")]);
}

#[test]
fn an_open_stream_is_busy_and_its_first_event_is_there_at_once() {
    let agent = agent();
    let mut client = agent.connect().send_post(br#"{"kind":"silent"}"#);
    assert_eq!(client.head().0, 200);
    assert_eq!(client.chunk(), b"data: \"one\"\n\n");
    assert!(agent.ping().busy);
    drop(client);
    agent.line_with("the producer was dropped");
    agent.until_idle();
}

#[cfg(target_os = "linux")]
#[test]
fn a_reader_that_stops_stops_its_producer_and_nobody_else() {
    let agent = agent();
    let mut client = agent.connect().send_post(br#"{"kind":"endless"}"#);
    assert_eq!(client.head().0, 200);
    let produced = || {
        agent
            .invoke(json!({ "kind": "produced" }))
            .json()
            .as_u64()
            .expect("a number")
    };
    // The buffers between producer and reader fill up. From then on nothing is produced.
    wait_until(DEADLINE, "the client's buffers are full", || {
        client.is_full()
    });
    let (mut last, mut unchanged) = (produced(), 0);
    wait_until(DEADLINE, "the producer stands still", || {
        let now = produced();
        unchanged = if now == last { unchanged + 1 } else { 0 };
        last = now;
        unchanged == 20
    });
    assert!(last > 10 && last < 100_000, "{last}");
    // Meanwhile others stream. When the reader reads, the producer continues.
    assert_eq!(
        agent
            .invoke(json!({ "kind": "count", "count": 10 }))
            .events()
            .len(),
        10
    );
    for _ in 0..last {
        client.chunk();
    }
    agent.until("the producer goes on", |_| produced() > last);
    drop(client);
    agent.line_with("the producer was dropped");
}

#[test]
fn clients_that_vanish_leave_nothing_behind() {
    let agent = agent();
    let before = agent.descriptors();
    for _ in 0..10 {
        let clients: Vec<_> = (0..100)
            .map(|_| Client::connect(agent.address()).send_post(br#"{"kind":"endless"}"#))
            .collect();
        drop(clients);
    }
    agent.until_idle();
    assert_eq!(
        agent.invoke(json!({})).json(),
        json!({ "ping_status": "Healthy", "active_tasks": 0 })
    );
    agent.until("all descriptors are closed", |agent| {
        agent.descriptors() <= before + 1
    });
}
