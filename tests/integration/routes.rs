//! Routes of the program's own, an axum router, on the agent's port and on one of their own.

use std::net::SocketAddr;

use serde_json::json;

use crate::support::websocket::{FINAL, Peer, TEXT, handshake};
use crate::support::{
    Agent, Client, DEADLINE, Latch, Reply, failed_start, free_port, get, run, wait_until,
};

fn agent(environment: &[(&str, &str)]) -> Agent {
    Agent::start(env!("CARGO_BIN_EXE_routes"), environment)
}

/// The port of routes alone.
pub(crate) fn own_port(agent: &Agent) -> SocketAddr {
    let address = agent.ready_line().split("routes http://").nth(1);
    let address = address.and_then(|rest| rest.split(['"', ' ']).next()?.parse().ok());
    address.unwrap_or_else(|| panic!("no port in {}", agent.ready_line()))
}

/// Both ports, with the name of each.
fn ports(agent: &Agent) -> [(&'static str, SocketAddr); 2] {
    [
        ("the agent's", agent.address()),
        ("its own", own_port(agent)),
    ]
}

fn ask(address: SocketAddr, request: &[u8]) -> Reply {
    Client::connect(address).send(request).reply()
}

fn upload(path: &str, length: usize) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n").into_bytes()
}

fn text(reply: &Reply) -> &str {
    std::str::from_utf8(&reply.body).expect("text")
}

#[test]
fn a_router_serves_what_the_contract_does_not_on_both_ports() {
    let agent = agent(&[]);
    for (name, address) in ports(&agent) {
        let reply = ask(address, &get("/hello"));
        assert_eq!((reply.status, text(&reply)), (200, "hello"), "{name}");
        // The router's own 404, which is empty.
        let reply = ask(address, &get("/nothing"));
        assert_eq!((reply.status, text(&reply)), (404, ""), "{name}");
        let reply = ask(
            address,
            b"PUT /hello HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
        );
        assert_eq!(
            (reply.status, reply.header("allow")),
            (405, Some("GET,HEAD")),
            "{name}"
        );
        assert_eq!(
            ask(address, &get("/ping")).json()["status"],
            "Healthy",
            "{name}"
        );
        let reply = ask(
            address,
            b"POST /ping HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
        );
        assert_eq!(
            (reply.status, reply.header("allow")),
            (405, Some("GET, HEAD")),
            "{name}"
        );
    }
    assert_eq!(
        agent.invoke(json!({ "a": 1 })).parts(),
        (200, json!({ "a": 1 }))
    );
    // On its own port, the router has this path too.
    assert_eq!(ask(own_port(&agent), &get("/invocations")).status, 404);
    assert_eq!(agent.get("/invocations").header("allow"), Some("POST"));
}

/// A path that the configuration takes from the contract is the router's. The warm-up path is not, although the agent has no hook: a
/// router that answers it would make the platform believe that something was warmed up.
#[test]
fn the_contracts_paths_are_those_that_are_configured() {
    let agent = agent(&[("AGENTCORE_INVOCATIONS_PATH", "/chat")]);
    let post = |path: &str| {
        let request = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{{}}");
        ask(agent.address(), request.as_bytes())
    };
    assert_eq!(post("/chat").json(), json!({}));
    let reply = post("/invocations");
    assert_eq!((reply.status, text(&reply)), (404, ""));
    let reply = post("/warmup");
    assert_eq!(reply.status, 404);
    assert!(
        text(&reply).contains("#[agentcore::on_warmup]"),
        "{reply:?}"
    );
    // On its own port, the router has this path too.
    let reply = ask(own_port(&agent), &get("/warmup"));
    assert_eq!((reply.status, text(&reply)), (404, ""));
}

#[test]
fn a_request_has_the_context_of_its_session() {
    let agent = agent(&[]);
    for (name, address) in ports(&agent) {
        let request = "GET /context HTTP/1.1\r\nhost: a\r\nx-amzn-bedrock-agentcore-runtime-session-id: s-1\r\n\
            x-amzn-bedrock-agentcore-runtime-request-id: r-1\r\n\r\n";
        let reply = ask(address, request.as_bytes());
        assert_eq!(text(&reply), "s-1 r-1", "{name}");
    }
}

#[test]
fn layers_are_around_routes_and_streams_and_sockets_pass_through_them() {
    let agent = agent(&[("LAYERED", "1")]);
    for (name, address) in ports(&agent) {
        for (path, status) in [("/hello", 200), ("/nothing", 404), ("/panic", 500)] {
            let reply = ask(address, &get(path));
            assert_eq!(
                (reply.status, reply.header("x-layer")),
                (status, Some("seen")),
                "{name}"
            );
        }
        assert_eq!(ask(address, &get("/ping")).header("x-layer"), None);
        let mut client = Client::connect(address).send(&upload("/count", 300_000));
        client.write(&[b'x'; 300_000]);
        assert_eq!(text(&client.next_reply()), "300000");
        socket(address).echoes("hello");
    }
    assert_eq!(agent.invoke(json!(1)).header("x-layer"), Some("seen"));
    agent.until_idle();
}

#[test]
fn the_agent_is_busy_with_a_request_unless_its_path_is_idle() {
    let agent = agent(&[]);
    for (name, address) in ports(&agent) {
        for (path, busy) in [("hold", true), ("idle", false)] {
            let latch = Latch::new();
            let mut client = Client::connect(address);
            client.write(&get(&format!("/{path}/{}", latch.port())));
            let held = latch.held();
            assert_eq!(agent.ping().busy, busy, "{path} on {name}");
            drop(held);
            assert_eq!(text(&client.next_reply()), "held");
            agent.until_idle();
        }
    }
}

#[test]
fn a_stream_of_events_arrives_as_it_is_made_and_ends_with_its_client() {
    let agent = agent(&[]);
    for (_, address) in ports(&agent) {
        let latch = Latch::new();
        let request = get(&format!("/events/{}", latch.port()));
        let mut client = Client::connect(address).send(&request);
        assert_eq!(client.head().0, 200);
        assert_eq!(client.chunk(), b"data: first\n\n");
        let held = latch.held();
        assert!(agent.ping().busy);
        drop(held);
        assert_eq!(client.chunk(), b"data: last\n\n");
        assert!(client.chunk().is_empty());
        agent.line_with("dropped the stream on");
        let mut client = Client::connect(address).send(&request);
        assert_eq!(client.head().0, 200);
        let held = latch.held();
        drop(client);
        // Nothing but the client's departure ends it.
        agent.line_with("dropped the stream on agentcore-worker");
        agent.until_idle();
        drop(held);
    }
}

/// 100 MB go through the agent, which holds a small part of them at a time.
#[test]
fn a_large_upload_is_streamed() {
    const MEGABYTE: usize = 1_000_000;
    let agent = agent(&[]);
    for (name, address) in ports(&agent) {
        let before = agent.resident_kib();
        let mut client = Client::connect(address).send(&upload("/count", 100 * MEGABYTE));
        let piece = vec![b'x'; MEGABYTE];
        let mut most = 0;
        for _ in 0..100 {
            client.write(&piece);
            most = most.max(agent.resident_kib());
        }
        assert_eq!(text(&client.next_reply()), (100 * MEGABYTE).to_string());
        assert!(
            most < before + 20 * 1024,
            "{most} KiB after {before} KiB on {name}"
        );
    }
    agent.until_idle();
}

/// A service that does not read stops its client.
#[cfg(target_os = "linux")]
#[test]
fn a_client_sends_no_faster_than_the_service_reads() {
    const LENGTH: usize = 60 << 20;
    let agent = agent(&[]);
    let latch = Latch::new();
    let before = agent.resident_kib();
    let path = format!("/pause/{}", latch.port());
    let client = agent.connect().send(&upload(&path, LENGTH));
    let (sender, sent) = std::sync::mpsc::channel();
    let sending = std::thread::spawn(move || {
        let mut client = client;
        client.write(&vec![b'x'; LENGTH]);
        let _ = sender.send(());
        client.next_reply()
    });
    let held = latch.held();
    let mut last = 0;
    // The agent takes no more once its own buffers and the kernel's are full.
    wait_until(DEADLINE, "the memory stops to grow", || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let now = agent.resident_kib();
        std::mem::replace(&mut last, now) == now
    });
    assert!(sent.try_recv().is_err(), "all was sent");
    assert!(last < before + 10 * 1024, "{last} KiB after {before} KiB");
    assert!(agent.ping().busy);
    drop(held);
    assert_eq!(text(&sending.join().expect("a reply")), LENGTH.to_string());
}

#[test]
fn a_body_can_be_sent_back_as_it_comes() {
    let agent = agent(&[]);
    let head = "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut client = agent.connect().send(head.as_bytes());
    client.write(b"5\r\nfirst\r\n");
    assert_eq!(client.head().0, 200);
    assert_eq!(client.chunk(), b"first");
    client.write(b"4\r\nlast\r\n0\r\n\r\n");
    assert_eq!(client.chunk(), b"last");
    assert!(client.chunk().is_empty());
    // The connection goes on.
    client.write(&get("/hello"));
    assert_eq!(text(&client.next_reply()), "hello");
}

#[test]
fn a_body_is_asked_for_only_if_the_service_reads_it() {
    let agent = agent(&[]);
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n"
        )
    };
    let mut client = agent.connect().send(head("/ignore").as_bytes());
    assert_eq!(text(&client.next_reply()), "ignored");
    let mut client = agent.connect().send(head("/count").as_bytes());
    assert_eq!(client.head().0, 100);
    client.write(b"abc");
    assert_eq!(text(&client.next_reply()), "3");
    // A body that nothing reads does not get into the way of the next request.
    let mut client = agent.connect().send(&upload("/ignore", 200_000));
    client.write(&[b'x'; 200_000]);
    assert_eq!(text(&client.next_reply()), "ignored");
    client.write(&get("/hello"));
    assert_eq!(text(&client.next_reply()), "hello");
}

#[test]
fn bodies_have_the_limits_of_invocations() {
    let agent = agent(&[
        ("AGENTCORE_MAX_BODY_BYTES", "1000"),
        ("AGENTCORE_BODY_TIMEOUT", "1s"),
    ]);
    let reply = ask(agent.address(), &upload("/count", 1001));
    assert_eq!(reply.status, 413);
    // Without an announced length, the service gets the error. axum's own extractor knows it.
    let chunk = format!("{:x}\r\n{}\r\n0\r\n\r\n", 1001, "x".repeat(1001));
    for (path, status) in [("/count", 500), ("/whole", 413)] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
        let reply = ask(agent.address(), (head + &chunk).as_bytes());
        assert_eq!(reply.status, status, "{}", text(&reply));
    }
    agent.line_with("the body failed: length limit exceeded");
    let mut client = agent.connect().send(&upload("/count", 10));
    let reply = client.next_reply();
    assert_eq!(text(&reply), "the body paused for 1s, or came too slowly");
}

#[test]
fn a_client_that_leaves_in_its_upload_is_an_error_of_the_body() {
    let agent = agent(&[]);
    for (_, address) in ports(&agent) {
        for closes in [true, false] {
            let client = Client::connect(address).send(&upload("/count", 100));
            let client = client.send(b"a part");
            if closes {
                drop(client);
            } else {
                // It still reads.
                let mut client = client.finish_sending();
                let reply = client.next_reply();
                assert_eq!(
                    (reply.status, text(&reply)),
                    (500, "the body was cut short")
                );
            }
            agent.line_with("the body failed: ");
            agent.until_idle();
        }
    }
}

/// The end comes while the agent already waits for the next piece.
#[test]
fn a_body_that_is_cut_short_later_fails_at_once() {
    // Longer than the test waits.
    let agent = agent(&[("AGENTCORE_BODY_TIMEOUT", "300s")]);
    for (_, address) in ports(&agent) {
        let latch = Latch::new();
        let head = upload(&format!("/pause/{}", latch.port()), 100);
        let client = Client::connect(address).send(&head).send(b"a part");
        let held = latch.held();
        let client = client.finish_sending();
        drop(held);
        assert_eq!(text(&client.reply()), "the body was cut short");
    }
}

#[test]
fn what_a_service_does_wrong_is_as_with_a_handler() {
    let agent = agent(&[("ROUTES_TIMEOUT", "200")]);
    for (_, address) in ports(&agent) {
        let reply = ask(address, &get("/panic"));
        assert_eq!(
            reply.parts(),
            (500, json!({ "error": "Internal server error" }))
        );
        let line = agent.line_with("router `routes` panicked: a secret detail");
        assert!(line.contains("/panic"), "{line}");
        let reply = ask(address, &get("/hang"));
        assert_eq!(
            reply.parts(),
            (504, json!({ "error": "timed out after 200ms" }))
        );
        let reply = ask(address, &get("/switches"));
        assert_eq!(reply.status, 500);
        let line = agent.line_with("a reply cannot have the status 101");
        assert!(line.contains("500") && line.contains("ERROR"), "{line}");
        let tunnel = b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n";
        assert_eq!(Client::connect(address).send(tunnel).reply().status, 501);
        for path in ["/broken", "/panics_later"] {
            let client = Client::connect(address).send(&get(path));
            let rest = client.rest();
            assert!(!rest.ends_with(b"0\r\n\r\n"), "it looks whole");
        }
        agent.lines_with(["the disk is gone", "in the body"]);
        // A flood waits for its client.
        let mut client = Client::connect(address).send(&get("/flood"));
        assert_eq!(client.head().0, 200);
        client.take(1_000_000);
        assert!(agent.ping().busy);
        drop(client);
        agent.until_idle();
        assert_eq!(ask(address, &get("/hello")).status, 200);
    }
}

/// hyper panics at a version that it does not speak, and takes the end of the connection for that of the body in 1.0.
#[test]
fn the_version_of_a_reply_is_the_servers() {
    let agent = agent(&[]);
    for (_, address) in ports(&agent) {
        for number in [9, 10, 2, 3] {
            let latch = Latch::new();
            let path = format!("/version/{number}/{}", latch.port());
            let mut client = Client::connect(address).send(&get(&path));
            let (status, headers) = client.head();
            assert_eq!(status, 200);
            let chunked = ("transfer-encoding".to_owned(), "chunked".to_owned());
            assert!(headers.contains(&chunked), "{headers:?}");
            assert_eq!(client.chunk(), b"a beginning");
            drop(latch.held());
            assert_eq!(client.rest(), b"", "it looks whole");
        }
    }
    agent.signal("TERM");
    let (_, log) = agent.wait();
    assert!(log.contains("the disk is gone"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

/// They are about another connection than the client's, or would make one reply run into the next.
#[test]
fn headers_about_a_connection_are_the_servers() {
    let agent = agent(&[]);
    for (_, address) in ports(&agent) {
        let mut client = Client::connect(address);
        for _ in 0..2 {
            client = client.send(&get("/connection_headers"));
            let reply = client.next_reply();
            assert_eq!(reply.status, 200);
            for name in ["connection", "keep-alive", "transfer-encoding", "upgrade"] {
                assert_eq!(reply.header(name), None, "{name}");
            }
            assert_eq!(reply.header("x-kept"), Some("yes"));
            assert_eq!(reply.header("content-length"), Some("5"));
            assert_eq!(reply.body, b"whole");
        }
    }
}

#[test]
fn a_stream_has_the_length_that_its_reply_announces() {
    let agent = agent(&[]);
    for (_, address) in ports(&agent) {
        let ask = |announced: &str| {
            let latch = Latch::new();
            let path = format!("/announced/{announced}/{}", latch.port());
            let mut client = Client::connect(address).send(&get(&path));
            let (status, headers) = client.head();
            assert_eq!(status, 200);
            let length = headers.iter().find(|(name, _)| name == "content-length");
            assert_eq!(length.map(|(_, length)| length.as_str()), Some(announced));
            client.take(3);
            drop(latch.held());
            client
        };
        let mut client = ask("5");
        client.take(2);
        assert_eq!(client.send(&get("/hello")).next_reply().status, 200);
        // All that was announced has left, so the reply is good, and the body is wrong.
        let client = ask("3");
        assert_eq!(client.send(&get("/hello")).next_reply().status, 200);
        agent.line_with("the body is longer than its `content-length` of 3");
        for (announced, why) in [
            (
                "9",
                "the body ends 4 bytes short of its `content-length` of 9",
            ),
            ("4", "the body is longer than its `content-length` of 4"),
        ] {
            let rest = ask(announced).rest();
            assert!(b"de".starts_with(&rest), "{rest:?}");
            assert!(3 + rest.len() < announced.parse().expect("a number"));
            agent.line_with(why);
        }
    }
}

/// The end is told by chunks.
#[test]
fn an_announcement_that_is_no_number_does_not_count() {
    let agent = agent(&[]);
    let latch = Latch::new();
    let mut client = agent
        .connect()
        .send(&get(&format!("/announced/five/{}", latch.port())));
    let (_, headers) = client.head();
    assert!(!headers.iter().any(|(name, _)| name == "content-length"));
    assert_eq!(client.chunk(), b"abc");
    drop(latch.held());
    assert_eq!(client.chunk(), b"de");
    assert_eq!(client.chunk(), b"");
}

/// hyper lets go of a body with its last byte, and what the program still does is no less its work.
#[test]
fn a_body_goes_on_behind_its_last_byte() {
    let agent = agent(&[("AGENTCORE_LOG_INVOCATIONS", "info")]);
    for (_, address) in ports(&agent) {
        let latch = Latch::new();
        let path = format!("/ends_later/{}", latch.port());
        let mut client = Client::connect(address).send(&get(&path));
        assert_eq!(text(&client.next_reply()), "abc");
        let held = latch.held();
        // On this connection the reply is over.
        assert_eq!(client.send(&get("/hello")).next_reply().status, 200);
        assert!(agent.ping().busy);
        drop(held);
        agent.line_with("the body has ended");
        let line = agent.line_with("/ends_later/");
        assert!(line.contains("success"), "{line}");
        agent.until_idle();
    }
}

/// The client has the body already, so none is missing.
#[test]
fn a_304_may_have_the_length_of_the_reply_that_it_stands_for() {
    for environment in [&[][..], &[("LAYERED", "1")]] {
        let agent = agent(&[environment, &[("AGENTCORE_LOG_INVOCATIONS", "info")]].concat());
        let mut client = agent.connect().send(&get("/not_modified"));
        assert_eq!(client.head().0, 304);
        let line = agent.line_with("/not_modified");
        assert!(line.contains("success"), "{line}");
        assert_eq!(client.send(&get("/hello")).next_reply().status, 200);
    }
}

#[test]
fn a_reply_to_head_has_the_length_and_no_body() {
    let lines = ("AGENTCORE_LOG_INVOCATIONS", "info");
    head(&agent(&[lines]));
    head(&agent(&[lines, ("LAYERED", "1")]));
}

fn head(agent: &Agent) {
    for (_, address) in ports(agent) {
        for path in ["/hello", "/announced/5/9"] {
            let head = format!("HEAD {path} HTTP/1.1\r\nhost: a\r\n\r\n");
            // The next reply begins where the body would.
            let mut client = Client::connect(address).send(head.as_bytes());
            let (status, headers) = client.head();
            let length = ("content-length".to_owned(), "5".to_owned());
            assert_eq!(status, 200);
            assert!(headers.contains(&length), "{headers:?}");
            let line = agent.line_with(&format!("HEAD {path}"));
            assert!(line.contains("success"), "{line}");
            assert_eq!(client.send(&get("/hello")).next_reply().status, 200);
        }
    }
}

#[test]
fn a_line_has_the_method_and_the_path_without_the_query() {
    let agent = agent(&[
        ("AGENTCORE_LOG_FORMAT", "json"),
        ("AGENTCORE_LOG_INVOCATIONS", "info"),
    ]);
    for character in ["x", "é"] {
        // An é begins before the limit and ends after it.
        agent.get(&format!("/{}", character.repeat(500)));
        let line = agent.line_with("answered 404");
        assert!(line.len() < 600, "{line}");
    }
    agent.get("/hello?token=secret");
    agent.get("/fails");
    let line = agent.line_with("answered 200");
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let fields = (
        &line["kind"],
        &line["name"],
        &line["route"],
        &line["status"],
    );
    let expected = (
        &json!("route"),
        &json!("routes"),
        &json!("GET /hello"),
        &json!(200),
    );
    assert_eq!(fields, expected, "{line}");
    assert!(!line.to_string().contains("secret"), "{line}");
    let line = agent.line_with("answered 502");
    assert!(line.contains("ERROR"), "{line}");
    // An idle path has a line only if it fails.
    agent.get("/health");
    agent.get("/hello");
    let line = agent.line_with("router");
    assert!(line.contains("GET /hello"), "{line}");
}

fn socket(address: SocketAddr) -> Peer {
    let request = handshake("").replace("/ws", "/socket");
    let mut client = Client::connect(address).send(request.as_bytes());
    let reply = client.next_reply();
    assert_eq!(reply.status, 101, "{reply:?}");
    assert_eq!(reply.header("upgrade"), Some("websocket"));
    assert_eq!(reply.header("connection"), Some("upgrade"));
    Peer::upgraded(client)
}

/// A peer that vanishes says nothing, and nothing is sent to it. Without a timer the agent would be busy with it for ever.
#[cfg(target_os = "linux")]
#[test]
fn the_kernel_asks_silent_peers_for_a_sign_of_life() {
    let agent = agent(&[]);
    let latch = Latch::new();
    for (_, address) in ports(&agent) {
        let mut socket = socket(address);
        socket.echoes("hello");
        let path = format!("/events/{}", latch.port());
        let mut stream = Client::connect(address).send(&get(&path));
        assert_eq!(stream.head().0, 200);
        assert_eq!(stream.chunk(), b"data: first\n\n");
        wait_until(DEADLINE, "both have a timer", || {
            let of_port = timers(address.port());
            of_port.len() >= 2 && of_port.iter().all(|timer| timer == KEEP_ALIVE)
        });
    }
}

#[cfg(target_os = "linux")]
const KEEP_ALIVE: &str = "02";

/// The kinds of the timers of the connections that were accepted on a port, from the kernel's table of connections.
#[cfg(target_os = "linux")]
fn timers(port: u16) -> Vec<String> {
    const ESTABLISHED: &str = "01";
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let of_port = format!(":{port:04X}");
    let rows = table
        .lines()
        .map(|row| row.split_whitespace().collect::<Vec<_>>());
    let rows = rows.filter(|row| row[1].ends_with(&of_port) && row[3] == ESTABLISHED);
    rows.filter_map(|row| Some(row[5].split_once(':')?.0.to_owned()))
        .collect()
}

#[test]
fn an_upgraded_connection_is_the_services_and_the_agent_is_busy_with_it() {
    let agent = agent(&[("AGENTCORE_LOG_INVOCATIONS", "info")]);
    for (_, address) in ports(&agent) {
        let mut peer = socket(address);
        peer.echoes("hello");
        assert!(agent.ping().busy);
        let long = "x".repeat(300_000);
        peer.echoes(&long);
        peer.send(FINAL | 0x8, []);
        agent.line_with("dropped the socket on agentcore-worker");
        agent.line_with("answered 101");
        agent.until_idle();
        // A client that leaves without a word.
        let mut peer = socket(address);
        peer.echoes("hello");
        drop(peer);
        agent.line_with("dropped the socket on agentcore-worker");
        agent.until_idle();
    }
    // Frames that come together with the handshake are not lost.
    let mut request = handshake("").replace("/ws", "/socket").into_bytes();
    request.extend(crate::support::websocket::masked(FINAL | TEXT, b"early"));
    let mut client = agent.connect().send(&request);
    assert_eq!(client.next_reply().status, 101);
    assert_eq!(Peer::upgraded(client).next_text(), "early");
}

#[test]
fn an_upgrade_that_is_refused_leaves_the_connection_usable() {
    let agent = agent(&[]);
    let request = handshake("").replace("/ws", "/hello");
    let mut client = agent.connect().send(request.as_bytes());
    assert_eq!(text(&client.next_reply()), "hello");
    client.write(&get("/hello"));
    assert_eq!(text(&client.next_reply()), "hello");
    agent.until_idle();
    // Not a WebSocket of a version that axum knows.
    let request = handshake("")
        .replace("/ws", "/socket")
        .replace("version: 13", "version: 12");
    assert_eq!(ask(agent.address(), request.as_bytes()).status, 400);
}

#[test]
fn a_stop_ends_what_routes_have_open() {
    for what in ["upload", "stream", "socket", "hold"] {
        let agent = agent(&[("AGENTCORE_SHUTDOWN_GRACE", "30s")]);
        let latch = Latch::new();
        let port = latch.port();
        match what {
            "upload" => {
                let client = agent.connect().send(&upload(&format!("/pause/{port}"), 6));
                let mut client = client.send(b"abc");
                let held = latch.held();
                agent.signal("TERM");
                agent.line_with("stopping");
                drop(held);
                // What has begun may finish.
                client.write(b"def");
                assert_eq!(text(&client.next_reply()), "6");
            }
            "stream" => {
                let client = agent.connect();
                let mut client = client.send(&get(&format!("/events/{port}")));
                assert_eq!(client.head().0, 200);
                let held = latch.held();
                agent.signal("TERM");
                agent.line_with("stopping");
                drop(held);
                assert_eq!(client.chunk(), b"data: first\n\n");
                assert_eq!(client.chunk(), b"data: last\n\n");
            }
            "socket" => {
                let mut peer = socket(agent.address());
                peer.echoes("hello");
                agent.signal("TERM");
                agent.lines_with(["stopping", "dropped the socket on"]);
                peer.ends();
            }
            _ => {
                let client = agent.connect();
                let mut client = client.send(&get(&format!("/hold/{port}")));
                let held = latch.held();
                agent.signal("TERM");
                agent.line_with("stopping");
                let reply = agent.get("/hello");
                assert_eq!(
                    (reply.status, reply.header("retry-after")),
                    (503, Some("1"))
                );
                assert_eq!(ask(own_port(&agent), &get("/hello")).status, 503);
                assert!(ask(own_port(&agent), &get("/ping")).status == 200);
                drop(held);
                assert_eq!(text(&client.next_reply()), "held");
            }
        }
        let (status, stderr) = agent.wait();
        assert_eq!(status.code(), Some(0), "{what}: {stderr}");
    }
}

#[test]
fn what_does_not_end_within_the_grace_is_cut_off_and_named() {
    let agent = agent(&[("AGENTCORE_SHUTDOWN_GRACE", "200ms")]);
    let client = agent.connect().send(&get("/hang"));
    agent.until("it is busy", |agent| agent.ping().busy);
    agent.signal("TERM");
    let reply = client.reply();
    assert_eq!(reply.status, 503);
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(1));
    assert!(
        stderr.contains("cut off: request ") && stderr.contains("of `routes`"),
        "{stderr}"
    );
}

#[test]
fn as_many_requests_run_at_once_as_invocations_may() {
    let agent = agent(&[("AGENTCORE_MAX_INVOCATIONS", "1")]);
    let latch = Latch::new();
    let mut client = agent.connect();
    client.write(&get(&format!("/hold/{}", latch.port())));
    let held = latch.held();
    for reply in [agent.get("/hello"), agent.invoke(json!(1))] {
        assert_eq!(
            (reply.status, reply.header("retry-after")),
            (503, Some("1"))
        );
    }
    // An idle path takes no place.
    assert_eq!(agent.get("/health").status, 404);
    drop(held);
    assert_eq!(text(&client.next_reply()), "held");
}

/// While eight handlers occupy all workers, pings are answered on both ports, also behind uploads, streams and sockets.
#[test]
fn pings_are_answered_while_all_workers_spin() {
    let agent = agent(&[("AGENTCORE_WORKER_THREADS", "2")]);
    let address = own_port(&agent);
    let stream = Latch::new();
    let streams = [agent.address(), address].map(|address| {
        let mut client = Client::connect(address);
        client.write(&get(&format!("/events/{}", stream.port())));
        assert_eq!(client.head().0, 200);
        assert_eq!(client.chunk(), b"data: first\n\n");
        client
    });
    let mut sockets = [agent.address(), address].map(socket);
    sockets.iter_mut().for_each(|peer| peer.echoes("before"));
    let latch = Latch::new();
    let event = json!({ "action": "spin", "port": latch.port() });
    let running: Vec<_> = (0..8).map(|_| agent.invoke_later(event.clone())).collect();
    let held = [latch.held(), latch.held()];
    let uploads = [agent.address(), address].map(|address| {
        let client = Client::connect(address).send(&upload("/count", 100_000));
        client.send(&[b'x'; 50_000])
    });
    sockets.iter_mut().for_each(|peer| peer.text("during"));
    let mut clients = [agent.connect(), Client::connect(address)];
    for _ in 0..100 {
        for client in &mut clients {
            client.write(&get("/ping"));
            assert_eq!(client.next_reply().json()["status"], "HealthyBusy");
        }
    }
    drop((held, latch));
    for reply in running {
        assert_eq!(reply.join().expect("a reply").status, 200);
    }
    for mut client in uploads {
        client.write(&[b'x'; 50_000]);
        assert_eq!(text(&client.next_reply()), "100000");
    }
    for mut peer in sockets {
        assert_eq!(peer.next_text(), "during");
    }
    drop(stream);
    for mut client in streams {
        assert_eq!(client.chunk(), b"data: last\n\n");
    }
}

#[test]
fn a_client_that_leaves_does_not_end_a_plain_reply() {
    let agent = agent(&[]);
    let latch = Latch::new();
    let client = agent
        .connect()
        .send(&get(&format!("/hold/{}", latch.port())));
    let held = latch.held();
    drop(client);
    assert!(agent.ping().busy);
    drop(held);
    agent.line_with("dropped the handler on agentcore-worker");
    agent.until_idle();
}

#[test]
fn metrics_count_requests_to_routes() {
    let agent = agent(&[("AGENTCORE_METRICS", "true")]);
    agent.get("/hello");
    agent.get("/health");
    let page = agent.get("/metrics");
    let page = text(&page);
    assert!(page.contains("agentcore_routes_total 2\n"), "{page}");
    assert!(page.contains("agentcore_routes_open 0\n"), "{page}");
    agent.get("/panic");
    let page = agent.get("/metrics");
    let page = text(&page);
    for line in [
        "agentcore_route_outcomes_total{outcome=\"success\"} 1\n",
        "agentcore_route_outcomes_total{outcome=\"client_error\"} 1\n",
        "agentcore_route_outcomes_total{outcome=\"panic\"} 1\n",
        "agentcore_route_duration_seconds_count 3\n",
    ] {
        assert!(page.contains(line), "{page}");
    }
    assert!(
        page.contains("agentcore_invocations_in_flight 0\n"),
        "{page}"
    );
}

const BINARY: &str = env!("CARGO_BIN_EXE_routes");

/// How often a problem is said in the lines for people. Where the log is JSON, each has a line for machines before them.
fn times(said: &str, problem: &str) -> usize {
    let lines = said.lines().filter(|line| line.starts_with("error: "));
    lines.filter(|line| line.contains(problem)).count()
}

#[test]
fn everything_that_is_wrong_has_one_line_at_the_start_and_in_the_check() {
    let wrong = [("ROUTES_WRONG", "1")];
    let (status, at_start) = failed_start(BINARY, &wrong);
    assert_eq!(status.code(), Some(1));
    let checked = run(BINARY, &["--check"], &wrong);
    assert_eq!(checked.code, Some(1));
    for said in [at_start, checked.stderr] {
        for problem in [
            "`health` is no pattern for `idle`: write a path that begins with `/`",
            "found 2 routers for the agent's own port, expected at most one: `routes` (tests/fixtures/routes.rs:",
            "found 2 routers for port 9, expected at most one: `routes` (tests/fixtures/routes.rs:",
        ] {
            assert_eq!(times(&said, problem), 1, "{problem} in {said}");
        }
    }
}

#[test]
fn a_port_of_another_listener_is_refused() {
    let port = free_port().to_string();
    for variable in ["AGENTCORE_PORT", "AGENTCORE_ADMIN_PORT"] {
        let environment = [("ROUTES_PORT", &*port), (variable, &*port)];
        let (status, said) = failed_start(BINARY, &environment);
        assert_eq!(status.code(), Some(1));
        let checked = run(BINARY, &["--check"], &environment);
        assert_eq!(checked.code, Some(1));
        for said in [said, checked.stderr] {
            let problem = format!("have port {port}, which is {variable}; give them another port");
            assert_eq!(times(&said, &problem), 1, "{said}");
        }
    }
}

#[test]
fn a_port_that_another_process_uses_is_refused() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let environment = [("AGENTCORE_HOST", "127.0.0.1"), ("ROUTES_PORT", &port)];
    let (status, said) = failed_start(BINARY, &environment);
    assert_eq!(status.code(), Some(1));
    let checked = run(BINARY, &["--check"], &environment);
    assert_eq!(checked.code, Some(1));
    let problem = format!(
        "cannot listen on 127.0.0.1:{port}: another process uses the port; stop it, or give routes `routes`"
    );
    for said in [said, checked.stderr] {
        assert_eq!(times(&said, &problem), 1, "{said}");
    }
}

/// The agent that uses its own port has the others too.
#[test]
fn a_check_beside_the_running_agent_succeeds() {
    let [port, own] = [(); 2].map(|()| free_port().to_string());
    let environment = [("ROUTES_PORT", &*port), ("AGENTCORE_PORT", &*own)];
    let agent = agent(&environment);
    let checked = run(BINARY, &["--check"], &environment);
    assert_eq!((checked.code, &*checked.stderr), (Some(0), ""));
    drop(agent);
}

#[test]
fn a_check_tries_the_admin_port() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let environment = [
        ("AGENTCORE_HOST", "127.0.0.1"),
        ("AGENTCORE_PORT", "0"),
        ("AGENTCORE_ADMIN_PORT", &port),
    ];
    let checked = run(BINARY, &["--check"], &environment);
    assert_eq!(checked.code, Some(1));
    let problem =
        "another process uses the port; stop it, or set AGENTCORE_ADMIN_PORT to another port";
    assert_eq!(times(&checked.stderr, problem), 1, "{}", checked.stderr);
}

#[test]
fn an_idle_path_that_the_agent_serves_itself_is_refused() {
    for variable in ["AGENTCORE_INVOCATIONS_PATH", "AGENTCORE_WARMUP_PATH"] {
        let environment = [(variable, "/health")];
        let (status, said) = failed_start(BINARY, &environment);
        assert_eq!(status.code(), Some(1));
        let checked = run(BINARY, &["--check"], &environment);
        assert_eq!(checked.code, Some(1));
        for said in [said, checked.stderr] {
            let problem = format!(
                "{variable} is `/health`, which routes `routes` (tests/fixtures/routes.rs:"
            );
            assert_eq!(times(&said, &problem), 1, "{said}");
            assert!(
                said.contains(") name in `idle`; it takes another path"),
                "{said}"
            );
        }
    }
}

/// Each port has a line of its own.
#[test]
fn every_port_that_another_process_uses_is_named() {
    let taken = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").expect("a port"));
    let ports = taken.each_ref().map(|taken| {
        let address = taken.local_addr().expect("an address");
        address.port().to_string()
    });
    let environment = [
        ("AGENTCORE_HOST", "127.0.0.1"),
        ("AGENTCORE_PORT", &ports[0]),
        ("ROUTES_PORT", &ports[1]),
    ];
    let (status, said) = failed_start(BINARY, &environment);
    assert_eq!(status.code(), Some(1));
    for port in ports {
        let problem = format!("cannot listen on 127.0.0.1:{port}: another process uses the port");
        assert_eq!(times(&said, &problem), 1, "{said}");
    }
}

#[test]
fn a_function_that_makes_no_service_stops_the_start() {
    let (status, said) = failed_start(BINARY, &[("ROUTES_FAIL", "1")]);
    assert_eq!(status.code(), Some(1));
    assert_eq!(times(&said, "failed: no assets"), 1, "{said}");
    assert!(
        said.contains("routes `routes` (tests/fixtures/routes.rs:"),
        "{said}"
    );
}

#[test]
fn the_check_lists_routes_and_what_does_not_make_the_agent_busy() {
    let checked = run(BINARY, &["--check"], &[("ROUTES_PORT", "8081")]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert!(
        checked
            .stdout
            .contains("on port 8081, not busy with /health, /idle/*"),
        "{}",
        checked.stdout
    );
    let checked = run(BINARY, &["--check", "--json"], &[("ROUTES_PORT", "8081")]);
    let report: serde_json::Value = serde_json::from_str(&checked.stdout).expect("JSON");
    let routes = &report["routes"];
    assert_eq!(
        (&routes[0]["port"], &routes[1]["port"]),
        (&json!(null), &json!(8081))
    );
    assert_eq!(routes[1]["idle"], json!(["/health", "/idle/*"]));
}
