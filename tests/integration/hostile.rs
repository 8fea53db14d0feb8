//! Requests that no honest client sends, as raw bytes. After each, the agent works as before.

use std::fmt::Write as _;

use serde_json::json;

use crate::support::{Agent, get, post};

fn agent(environment: &[(&str, &str)]) -> Agent {
    Agent::start(env!("CARGO_BIN_EXE_agent_macros"), environment)
}

fn still_well(agent: &Agent) {
    agent.until_idle();
    assert_eq!(
        agent.invoke(json!({ "still": "well" })).parts(),
        (200, json!({ "still": "well" }))
    );
}

#[test]
fn a_body_that_announces_too_much_is_refused_before_it_is_sent() {
    let agent = agent(&[]);
    let request = "POST /invocations HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 101000000\r\n\r\n";
    let reply = agent.connect().send(request.as_bytes()).reply();
    assert_eq!(
        (reply.status, reply.json()["error"].as_str()),
        (413, Some("Payload Too Large"))
    );
    still_well(&agent);
}

/// The client gets its reply, but its body is read only in part: the rest would keep the front busy for nothing.
#[test]
fn a_client_that_sends_101_mb_without_asking_is_told_so() {
    let agent = agent(&[]);
    let head =
        "POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: 101000000\r\n\r\n".as_bytes();
    let mut client = agent.connect().send(head);
    assert_eq!(client.next_reply().status, 413);
    let piece = vec![b'1'; 1_000_000];
    let sent = (0..101).take_while(|_| client.try_write(&piece)).count();
    // 16 MiB are read. The kernel keeps some more on both sides.
    assert!((10..70).contains(&sent), "{sent} MB");
    still_well(&agent);
}

#[test]
fn a_chunked_body_is_counted_as_it_comes() {
    let agent = agent(&[("AGENTCORE_MAX_BODY_BYTES", "10000")]);
    let mut request =
        b"POST /invocations HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..30 {
        request.extend_from_slice(b"200\r\n");
        request.extend_from_slice(&[b' '; 0x200]);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(agent.connect().send(&request).reply().status, 413);
    still_well(&agent);
}

#[test]
fn a_body_of_exactly_the_limit_is_welcome() {
    let agent = agent(&[("AGENTCORE_MAX_BODY_BYTES", "10000")]);
    let fits = format!("\"{}\"", "x".repeat(9_998));
    assert_eq!(agent.post(&fits).status, 200);
    assert_eq!(agent.post(format!("{fits} ")).status, 413);
}

#[test]
fn a_body_that_stands_still_is_given_up() {
    let agent = agent(&[("AGENTCORE_BODY_TIMEOUT", "50ms")]);
    let request = "POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{";
    let reply = agent.connect().send(request.as_bytes()).reply();
    assert_eq!(
        (reply.status, reply.json()["error"].as_str()),
        (408, Some("Request Timeout"))
    );
    still_well(&agent);
}

#[test]
fn a_head_that_does_not_come_is_given_up() {
    let agent = agent(&[("AGENTCORE_HEADER_TIMEOUT", "50ms")]);
    let rest = agent
        .connect()
        .send(b"POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-")
        .rest();
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"),
        "{}",
        String::from_utf8_lossy(&rest)
    );
    let mut client = agent.answering(&post(b"{}"));
    assert_eq!(client.next_reply().parts(), (200, json!({})));
}

#[test]
fn who_is_refused_may_send_the_rest_without_haste() {
    let agent = agent(&[
        ("AGENTCORE_HEADER_TIMEOUT", "100ms"),
        ("AGENTCORE_MAX_BODY_BYTES", "100"),
    ]);
    for (path, status) in [("/nowhere", 404), ("/invocations", 413)] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 200\r\n\r\n");
        let mut client = agent.answering(head.as_bytes());
        assert_eq!(client.next_reply().status, status);
        for _ in 0..2 {
            // Meanwhile a connection that sends nothing is closed.
            assert_eq!(agent.connect().rest(), b"");
        }
        // In one piece: the time for the next head begins with the end of the body.
        client.write(&[&[b'x'; 200][..], &get("/ping")].concat());
        assert_eq!(client.next_reply().status, 200);
    }
    let mut client = agent.answering(&post(b"{}"));
    assert_eq!(client.next_reply().parts(), (200, json!({})));
}

#[test]
fn half_a_request_and_gone_leaves_nothing_behind() {
    let agent = agent(&[]);
    for bytes in [
        &b"POST"[..],
        b"POST /invocations HTTP/1.1\r\nhost: a\r\n",
        b"POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{\"a\"",
        b"POST /invocations HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"a",
    ] {
        drop(agent.connect().send(bytes));
        still_well(&agent);
        // A client that closes its sending side and still reads.
        let rest = agent.connect().send(bytes).finish_sending().rest();
        assert!(
            rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"),
            "{}",
            String::from_utf8_lossy(&rest)
        );
        still_well(&agent);
    }
}

#[test]
fn headers_of_64_kib_are_refused() {
    let agent = agent(&[]);
    let request = format!(
        "GET /ping HTTP/1.1\r\nhost: a\r\nx-long: {}\r\n\r\n",
        "x".repeat(64 * 1024)
    );
    assert_eq!(
        agent.connect().try_send(request.as_bytes()).reply().status,
        431
    );
    let mut many = "GET /ping HTTP/1.1\r\nhost: a\r\n".to_owned();
    for number in 0..200 {
        let _ = write!(many, "x-{number}: y\r\n");
    }
    assert_eq!(
        agent
            .connect()
            .try_send((many + "\r\n").as_bytes())
            .reply()
            .status,
        431
    );
    still_well(&agent);
}

#[test]
fn what_is_not_http_is_refused() {
    let agent = agent(&[]);
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"hello\r\n\r\n",
        b"\0\0\0\0",
        b"GET\r\n\r\n",
    ] {
        let rest = agent.connect().try_send(garbage).finish_sending().rest();
        assert!(
            rest.is_empty() || rest.starts_with(b"HTTP/1.1 400"),
            "{}",
            String::from_utf8_lossy(&rest)
        );
    }
    still_well(&agent);
}

/// Request smuggling uses two lengths that disagree.
#[test]
fn ambiguous_lengths_are_refused() {
    let agent = agent(&[]);
    for headers in [
        "content-length: 2\r\ncontent-length: 40\r\n",
        "content-length: 2, 3\r\n",
        "content-length: +2\r\n",
        "content-length: -1\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "content-length: 99999999999999999999999\r\n",
        "host: b\r\ncontent-length: 2\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 2\r\n",
        "content-length: 2\r\ntransfer-encoding: chunked\r\n",
        "content-length: 2\n",
        "x: a\n b\r\ncontent-length: 2\r\n",
        "x: a\r\n b\r\ncontent-length: 2\r\n",
        "x : a\r\ncontent-length: 2\r\n",
    ] {
        // A lenient reader would expect this body, so only the head can be refused.
        let body = if headers.contains("transfer-encoding") {
            "2\r\n{}\r\n0\r\n\r\n"
        } else {
            "{}"
        };
        let request = format!("POST /invocations HTTP/1.1\r\nhost: a\r\n{headers}\r\n{body}");
        let rest = agent
            .connect()
            .try_send(request.as_bytes())
            .finish_sending()
            .rest();
        assert!(
            rest.starts_with(b"HTTP/1.1 400"),
            "{headers:?}: {}",
            String::from_utf8_lossy(&rest)
        );
    }
    still_well(&agent);
}

#[test]
fn a_request_without_a_host_is_refused_unless_it_is_an_old_one() {
    let agent = agent(&[]);
    let ping = |version: &str| {
        let request = format!("GET /ping {version}\r\nconnection: close\r\n\r\n");
        let rest = agent.connect().send(request.as_bytes()).rest();
        String::from_utf8(rest).expect("text")
    };
    let refused = ping("HTTP/1.1");
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
    assert!(refused.contains("one Host header"), "{refused}");
    assert!(ping("HTTP/1.0").starts_with("HTTP/1.0 200 "));
    still_well(&agent);
}

#[test]
fn lengths_that_no_body_has_are_too_large() {
    let agent = agent(&[]);
    for length in [u64::MAX, u64::MAX - 1, u64::MAX - 2, 1 << 63] {
        let request =
            format!("POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
        let reply = agent.connect().send(request.as_bytes()).reply();
        assert_eq!(
            (reply.status, reply.json()["error"].as_str()),
            (413, Some("Payload Too Large")),
            "{length}"
        );
    }
    still_well(&agent);
}

#[test]
fn http_2_is_told_that_it_is_not_spoken() {
    let agent = agent(&[]);
    // The preface of HTTP/2, and an empty settings frame.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let rest = agent.connect().send(preface).rest();
    let text = String::from_utf8(rest).expect("text");
    assert!(
        text.contains(" 505 ") && text.contains("HTTP/1.1"),
        "{text}"
    );
    still_well(&agent);
}

/// Requests before it on the connection are answered. Bytes after it are not read.
#[test]
fn a_request_that_could_be_read_in_two_ways_ends_its_connection() {
    let agent = agent(&[]);
    let good = "POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}";
    let smuggling = "POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n\
        0\r\n\r\nX";
    let all = [good, smuggling, good].concat();
    let mut client = agent.connect().try_send(all.as_bytes());
    assert_eq!(client.next_reply().parts(), (200, json!({})));
    let refused = client.next_reply();
    assert_eq!(
        (refused.status, refused.json()["error"].as_str()),
        (400, Some("Bad Request"))
    );
    assert_eq!(refused.header("connection"), Some("close"));
    assert_eq!(client.rest(), b"");
    still_well(&agent);
}

#[test]
fn a_chunk_size_that_lies_is_refused() {
    let agent = agent(&[]);
    for chunks in [
        "zz\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}XX0\r\n\r\n",
        "ffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    ] {
        let request = format!(
            "POST /invocations HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"
        );
        let rest = agent
            .connect()
            .try_send(request.as_bytes())
            .finish_sending()
            .rest();
        assert!(
            rest.starts_with(b"HTTP/1.1 400"),
            "{chunks:?}: {}",
            String::from_utf8_lossy(&rest)
        );
    }
    still_well(&agent);
}

#[test]
fn one_connection_too_many_may_ping_and_is_told_to_come_back() {
    let agent = agent(&[("AGENTCORE_MAX_CONNECTIONS", "3")]);
    let held: Vec<_> = (0..3)
        .map(|_| {
            let mut client = agent
                .connect()
                .send(b"GET /ping HTTP/1.1\r\nhost: a\r\n\r\n");
            assert_eq!(client.next_reply().status, 200);
            client
        })
        .collect();
    assert_eq!(agent.get("/ping").status, 200);
    let reply = agent.invoke(json!({}));
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(reply.header("connection"), Some("close"));
    drop(held);
    agent.until("there is room again", |agent| {
        agent.invoke(json!({})).status == 200
    });
}
