//! Sockets, tested frame by frame.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::websocket::{
    BINARY, CLOSE, CONTINUATION, FINAL, PING, PONG, Peer, TEXT, assert_accepted, close, handshake,
    header, masked, unmasked,
};
use crate::support::{Agent, DEADLINE, failed_start, said, wait_until};

fn agent(environment: &[(&str, &str)]) -> Agent {
    Agent::start(env!("CARGO_BIN_EXE_sockets"), environment)
}

fn becomes_idle(agent: &Agent) {
    agent.until("the agent is idle", |agent| !agent.ping().busy);
}

mod opening {
    use super::*;

    #[test]
    fn a_handshake_is_answered_whatever_the_case_of_its_words() {
        let agent = agent(&[]);
        let request = "GET /ws?from=test HTTP/1.1\r\nHost: agent\r\nCONNECTION: keep-alive, uPGRADE\r\n\
             Upgrade: WEBSOCKET\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: base64UrlBearerAuthorization.e30, base64UrlBearerAuthorization\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\nOrigin: https://anywhere.example\r\n\r\n";
        let mut client = agent.connect().send(request.as_bytes());
        let reply = client.next_reply();
        assert_eq!(reply.status, 101, "{reply:?}");
        assert_accepted(&reply);
        assert_eq!(reply.header("sec-websocket-protocol"), None, "{reply:?}");
        assert_eq!(reply.header("sec-websocket-extensions"), None, "{reply:?}");
        Peer::upgraded(client).echoes("hello");
    }

    #[test]
    fn frames_may_follow_the_handshake_at_once() {
        let agent = agent(&[]);
        let mut bytes = handshake("").into_bytes();
        bytes.extend(masked(FINAL | TEXT, b"early"));
        bytes.extend(masked(FINAL | PING, b"!"));
        let mut client = agent.connect().send(&bytes);
        assert_eq!(client.next_reply().status, 101);
        let mut peer = Peer::upgraded(client);
        let (one, other) = (peer.next(), peer.next());
        // The pong need not wait for the handler.
        let mut texts = [one.text(), other.text()];
        texts.sort_unstable();
        assert_eq!(texts, ["!", "early"]);
    }

    /// The messages come while the server still answers the request before them and looks for the end of the connection.
    #[test]
    fn a_handshake_and_frames_may_come_before_the_reply_to_an_invocation() {
        let agent = agent(&[]);
        let mut client = agent.connect().send_post(b"\"wait\"");
        agent.until("the invocation runs", |agent| agent.ping().busy);
        // More than hyper reads at once, and less than the server reads while it looks for the end.
        let texts = ["a", "b", "c"].map(|letter| letter.repeat(4000));
        client.write(handshake("").as_bytes());
        for text in &texts {
            client.write(&masked(FINAL | TEXT, text.as_bytes()));
        }
        // One thread reads from all connections, so it has read what was sent before this ping.
        agent.ping();
        assert_eq!(agent.invoke(json!({})).status, 200);
        assert_eq!(client.next_reply().status, 200);
        assert_eq!(client.next_reply().status, 101);
        let mut peer = Peer::upgraded(client);
        for text in &texts {
            assert_eq!(peer.next_text(), *text);
        }
    }

    #[test]
    fn what_is_no_handshake_is_told_why() {
        let agent = agent(&[]);
        for (from, to, status) in [
            ("upgrade: websocket\r\n", "", 426),
            ("upgrade: websocket", "upgrade: h2c", 426),
            ("connection: Upgrade\r\n", "", 426),
            ("connection: Upgrade", "connection: keep-alive", 426),
            ("version: 13", "version: 8", 426),
            ("sec-websocket-version: 13\r\n", "", 426),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dG9vIHNob3J0", 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "!", 400),
            ("sec-websocket-key", "sec-websocket-kay", 400),
            ("host: agent", "host: agent\r\ncontent-length: 2", 400),
            ("GET", "POST", 405),
            ("GET", "HEAD", 405),
            ("HTTP/1.1", "HTTP/1.0", 400),
            ("/ws", "/ws/", 404),
        ] {
            let request = handshake("").replacen(from, to, 1);
            let head = request.starts_with("HEAD");
            let mut client = agent.connect().send(request.as_bytes());
            if head {
                let rest = client.finish_sending().rest();
                assert!(
                    rest.starts_with(b"HTTP/1.1 405"),
                    "{}",
                    String::from_utf8_lossy(&rest)
                );
                continue;
            }
            let reply = client.next_reply();
            assert_eq!(reply.status, status, "{to:?} for {from:?}: {reply:?}");
            assert!(reply.json()["error"].is_string(), "{reply:?}");
            if status == 426 {
                assert_eq!(reply.header("sec-websocket-version"), Some("13"));
                assert_eq!(reply.header("upgrade"), Some("websocket"));
            }
            if status == 405 {
                assert_eq!(reply.header("allow"), Some("GET"));
            }
        }
        becomes_idle(&agent);
    }

    #[test]
    fn a_connection_that_failed_to_upgrade_goes_on_with_http() {
        let agent = agent(&[]);
        let mut client = agent.connect().send(b"GET /ws HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(client.next_reply().status, 426);
        client = client.send(handshake("").as_bytes());
        assert_eq!(client.next_reply().status, 101);
        Peer::upgraded(client).echoes("hello");
    }

    #[test]
    fn without_a_handler_there_is_no_such_path() {
        let agent = Agent::start(env!("CARGO_BIN_EXE_agent_macros"), &[]);
        let reply = agent.connect().send(handshake("").as_bytes()).reply();
        assert_eq!(reply.parts(), (404, json!({ "error": "Not Found" })));
    }

    #[test]
    fn an_argument_that_refuses_is_the_answer() {
        let agent = agent(&[("AGENTCORE_ERRORS", "in-band")]);
        let refused = |header| {
            agent
                .connect()
                .send(handshake(header).as_bytes())
                .reply()
                .parts()
        };
        assert_eq!(
            refused("x-refuse: yes\r\n"),
            (401, json!({ "error": "who is it?" }))
        );
        assert_eq!(
            refused("x-panic: yes\r\n"),
            (500, json!({ "error": "Internal server error" }))
        );
        agent.line_with("websocket handler `obey` panicked: a secret detail");
        becomes_idle(&agent);
    }

    /// The body of the refusal is user code, and pings must not wait for it. The server decides its lengths.
    #[test]
    fn the_body_of_a_refusal_is_made_on_the_workers() {
        let agent = agent(&[]);
        let handshake = handshake("x-where: here\r\n");
        let reply = agent.connect().send(handshake.as_bytes()).reply();
        assert_eq!(
            (reply.status, reply.body.as_slice()),
            (403, &b"agentcore-worker;agentcore-worker;"[..])
        );
        becomes_idle(&agent);
    }

    #[test]
    fn only_pages_on_the_list_may_open_sockets() {
        let allowed = [(
            "AGENTCORE_WS_ORIGINS",
            "https://app.example.com,http://localhost:3000",
        )];
        let agent = agent(&allowed);
        for origin in ["https://app.example.com", "http://localhost:3000"] {
            Peer::open_with(&agent, &format!("origin: {origin}\r\n")).echoes("hello");
        }
        Peer::open(&agent).echoes("no browser");
        for origin in ["https://evil.example", "http://localhost", "null"] {
            let request = handshake(&format!("origin: {origin}\r\n"));
            let reply = agent.connect().send(request.as_bytes()).reply();
            assert_eq!(
                (reply.status, &reply.json()["error"]),
                (403, &json!("Forbidden"))
            );
        }
    }

    #[test]
    fn a_socket_alone_is_an_agent() {
        let agent = Agent::start(env!("CARGO_BIN_EXE_sockets_app"), &[]);
        let mut peer = Peer::open_with(&agent, "x-greeting: good day\r\n");
        assert_eq!(peer.next_text(), "good day");
        peer.echoes("by hand");
        assert_eq!(
            agent.invoke(json!({})).parts(),
            (404, json!({ "error": "Not Found" }))
        );
        assert_eq!(agent.get("/invocations").status, 404);
        let elsewhere = handshake("origin: https://evil.example\r\n");
        assert_eq!(
            agent.connect().send(elsewhere.as_bytes()).reply().status,
            403
        );
    }

    #[test]
    fn sockets_are_among_the_connections_that_are_counted() {
        let agent = agent(&[("AGENTCORE_MAX_CONNECTIONS", "2")]);
        let held = [Peer::open(&agent), Peer::open(&agent)];
        let reply = agent.connect().send(handshake("").as_bytes()).reply();
        assert_eq!(
            (reply.status, reply.header("retry-after")),
            (503, Some("1"))
        );
        assert_eq!(agent.get("/ping").status, 200);
        drop(held);
        agent.until("there is room again", |agent| {
            agent
                .connect()
                .send(handshake("").as_bytes())
                .reply()
                .status
                == 101
        });
    }

    #[test]
    fn the_start_line_names_the_handler() {
        let (mut child, stderr) = crate::support::spawn(env!("CARGO_BIN_EXE_sockets"), &[]);
        let line = stderr
            .recv_timeout(crate::support::DEADLINE)
            .expect("a line");
        child.kill().expect("the agent is stopped");
        child.wait().expect("the agent has stopped");
        assert!(
            line.contains("), websocket `obey` (tests/fixtures/sockets.rs:"),
            "{line}"
        );
    }

    #[test]
    fn wrong_settings_stop_the_start() {
        let (status, stderr) = failed_start(
            env!("CARGO_BIN_EXE_sockets"),
            &[
                ("AGENTCORE_LOG_FORMAT", "pretty"),
                ("AGENTCORE_WS_PING_INTERVAL", "0s"),
                ("AGENTCORE_WS_MAX_MESSAGE_BYTES", "16MiB"),
                ("AGENTCORE_WS_FRAME_BYTES", "100"),
                ("AGENTCORE_WS_FRAMES_PER_SECOND", "3"),
                ("AGENTCORE_WS_ORIGINS", "app.example.com"),
            ],
        );
        assert_eq!(status.code(), Some(1));
        assert_eq!(
            stderr,
            "error: cannot start: AGENTCORE_WS_PING_INTERVAL is `0s`; it takes a duration with its unit, such as \
             500ms, 10s or 2h, up to a year\n\
             error: cannot start: AGENTCORE_WS_MAX_MESSAGE_BYTES is `16MiB`; it takes a number of bytes from 1 up\n\
             error: cannot start: AGENTCORE_WS_FRAME_BYTES is `100`; it takes a number of bytes from 128 up\n\
             error: cannot start: AGENTCORE_WS_FRAMES_PER_SECOND is `3`; it takes a number from 4 up\n\
             error: cannot start: AGENTCORE_WS_ORIGINS is `app.example.com`; it takes * or origins with commas \
             between them, such as https://app.example.com,http://localhost:3000\n"
        );
    }
}

mod protocol {
    use super::*;

    type Frames = Vec<Vec<u8>>;

    #[test]
    fn messages_arrive_whole_however_they_are_cut() {
        let agent = agent(&[]);
        let bytes: Vec<u8> = (0..=255).collect();
        let long = "ü".repeat(40_000);
        let cases: [(&str, Frames, u8, &[u8]); 9] = [
            (
                "one frame",
                vec![masked(FINAL | TEXT, b"hello")],
                TEXT,
                b"hello",
            ),
            ("nothing", vec![masked(FINAL | TEXT, b"")], TEXT, b""),
            (
                "bytes",
                vec![masked(FINAL | BINARY, &bytes)],
                BINARY,
                &bytes,
            ),
            (
                "64 KiB and more",
                vec![masked(FINAL | TEXT, long.as_bytes())],
                TEXT,
                long.as_bytes(),
            ),
            (
                "three fragments, one of them empty",
                vec![
                    masked(TEXT, b"hel"),
                    masked(CONTINUATION, b""),
                    masked(FINAL | CONTINUATION, b"lo"),
                ],
                TEXT,
                b"hello",
            ),
            (
                "a character in two fragments",
                vec![
                    masked(TEXT, b"gr\xc3"),
                    masked(FINAL | CONTINUATION, b"\xbc\xc3\x9f"),
                ],
                TEXT,
                "grüß".as_bytes(),
            ),
            (
                "a character in four fragments",
                vec![
                    masked(TEXT, b"\xf0"),
                    masked(CONTINUATION, b"\x9f"),
                    masked(CONTINUATION, b"\x8d"),
                    masked(FINAL | CONTINUATION, b"\xb5"),
                ],
                TEXT,
                "🍵".as_bytes(),
            ),
            (
                "a pong that nobody asked for",
                vec![masked(FINAL | PONG, b"?"), masked(FINAL | TEXT, b"hello")],
                TEXT,
                b"hello",
            ),
            (
                "bytes that are no text, in fragments",
                vec![
                    masked(BINARY, b"\xff"),
                    masked(FINAL | CONTINUATION, b"\xfe"),
                ],
                BINARY,
                b"\xff\xfe",
            ),
        ];
        for (name, frames, opcode, expected) in cases {
            let mut peer = Peer::open(&agent);
            frames.iter().for_each(|frame| peer.send_bytes(frame));
            let (payload, frames) = peer.message();
            assert_eq!(
                (frames[0].opcode(), &payload[..]),
                (opcode, expected),
                "{name}"
            );
            // The short ones byte by byte as well.
            if payload.len() < 300 {
                let frame = masked(FINAL | opcode, expected);
                frame.iter().for_each(|byte| peer.send_bytes(&[*byte]));
                assert_eq!(peer.message().0, expected, "{name}");
            }
        }
        becomes_idle(&agent);
    }

    #[test]
    fn control_frames_may_come_between_fragments() {
        let agent = agent(&[]);
        let mut peer = Peer::open(&agent);
        peer.send(TEXT, "hel");
        peer.send(FINAL | PING, [b'p'; 125]);
        let pong = peer.next();
        assert_eq!((pong.first, pong.payload), (FINAL | PONG, vec![b'p'; 125]));
        peer.send(FINAL | PONG, "");
        peer.send(FINAL | CONTINUATION, "lo");
        assert_eq!(peer.next_text(), "hello");
        peer.send(TEXT, "cut ");
        peer.send(FINAL | CLOSE, close(1000, "bye"));
        assert_eq!(peer.expect_close(1000), "");
        agent.line_with("received a close: 1000: bye");
    }

    #[test]
    fn pings_are_answered_while_the_handler_is_busy() {
        let agent = agent(&[]);
        let mut peer = Peer::open(&agent);
        peer.text("wait");
        agent.line_with("waiting");
        for number in 0..100 {
            peer.send(FINAL | PING, number.to_string());
        }
        for number in 0..100 {
            let pong = peer.next();
            assert_eq!(
                (pong.first, pong.text()),
                (FINAL | PONG, &*number.to_string())
            );
        }
        agent.invoke(json!(null));
        assert_eq!(peer.next_text(), "waited");
    }

    #[test]
    fn what_breaks_the_protocol_closes_with_the_code_for_it() {
        let agent = agent(&[("AGENTCORE_WS_MAX_MESSAGE_BYTES", "1000")]);
        let bad_text = |name, parts: &[&[u8]]| {
            let last = parts.len() - 1;
            let frames = parts.iter().enumerate().map(|(number, part)| {
                let opcode = if number == 0 { TEXT } else { CONTINUATION };
                masked(
                    if number == last {
                        FINAL | opcode
                    } else {
                        opcode
                    },
                    part,
                )
            });
            (name, frames.collect::<Vec<_>>().concat(), 1007)
        };
        let mut cases: Vec<(&str, Vec<u8>, u16)> = vec![
            bad_text("not UTF-8", &[b"gr\xff"]),
            bad_text("an overlong form", &[b"\xc0\xaf"]),
            bad_text("half a surrogate pair", &[b"\xed\xa0\x80"]),
            bad_text("beyond Unicode", &[b"\xf4\x90\x80\x80"]),
            bad_text("a character that does not end", &[b"gr\xc3"]),
            bad_text("… nor in the last of two fragments", &[b"gr\xc3", b""]),
            bad_text("not UTF-8, cut within the character", &[b"gr\xc3", b"\x28"]),
            (
                "a reason that is not UTF-8",
                masked(FINAL | CLOSE, b"\x03\xe8\xff"),
                1007,
            ),
            ("not masked", unmasked(FINAL | TEXT, b"hello"), 1002),
            ("not masked, empty", unmasked(FINAL | PING, b""), 1002),
            ("a fragment of a ping", masked(PING, b""), 1002),
            ("a fragment of a close", masked(CLOSE, b""), 1002),
            ("a ping of 126 bytes", masked(FINAL | PING, &[0; 126]), 1002),
            (
                "a close of 126 bytes",
                masked(FINAL | CLOSE, &close(1000, &"x".repeat(124))),
                1002,
            ),
            ("a close of one byte", masked(FINAL | CLOSE, b"\x03"), 1002),
            ("a continuation of nothing", masked(CONTINUATION, b""), 1002),
            ("an end of nothing", masked(FINAL | CONTINUATION, b""), 1002),
            (
                "a message within another",
                [masked(TEXT, b"a"), masked(FINAL | TEXT, b"b")].concat(),
                1002,
            ),
            (
                "a length in a needlessly long form",
                {
                    let mut frame = vec![FINAL | TEXT, 0x80 | 126, 0, 1];
                    frame.extend_from_slice(&[0; 5]);
                    frame
                },
                1002,
            ),
            (
                "a length in the longest form, needlessly",
                {
                    let mut frame = vec![FINAL | TEXT, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 1];
                    frame.extend_from_slice(&[0; 5]);
                    frame
                },
                1002,
            ),
            ("1001 bytes", masked(FINAL | BINARY, &[0; 1001]), 1009),
            (
                "1001 bytes in two fragments",
                [
                    masked(BINARY, &[0; 1000]),
                    masked(FINAL | CONTINUATION, &[0]),
                ]
                .concat(),
                1009,
            ),
            (
                "a promise of 4 GiB",
                header(FINAL | BINARY, 1 << 32, true),
                1009,
            ),
            (
                "a promise of everything",
                header(FINAL | BINARY, usize::MAX >> 1, true),
                1009,
            ),
        ];
        for bit in [0x40, 0x20, 0x10] {
            cases.push(("a reserved bit", masked(FINAL | bit | TEXT, b"hello"), 1002));
        }
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            cases.push(("a reserved opcode", masked(FINAL | opcode, b"hello"), 1002));
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
            let frame = masked(FINAL | CLOSE, &close(code, ""));
            cases.push(("a close code that may not be sent", frame, 1002));
        }
        for (name, bytes, code) in cases {
            let mut peer = Peer::open(&agent);
            peer.send_bytes(&bytes);
            let (closed, reason) = peer.next_close();
            assert_eq!(closed, code, "{name}: {reason}");
            // Everything that is sent after that gets no answer.
            peer.try_send_bytes(&masked(FINAL | TEXT, b"hello"));
            drop(peer);
            agent.line_with("received an error: the client ");
        }
        becomes_idle(&agent);
    }

    #[test]
    fn a_client_that_closes_gets_its_code_back() {
        let agent = agent(&[]);
        for code in [
            1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999,
        ] {
            let mut peer = Peer::open(&agent);
            peer.send(FINAL | CLOSE, close(code, "enough"));
            assert_eq!(peer.next_close(), (code, String::new()));
            peer.ends();
            agent.line_with(&format!("received a close: {code}: enough"));
            agent.line_with("received the end");
        }
        let mut peer = Peer::open(&agent);
        peer.send(FINAL | CLOSE, "");
        assert_eq!(peer.next().payload, b"");
        peer.ends();
        agent.line_with("received a close: nothing");
        becomes_idle(&agent);
    }

    #[test]
    fn a_client_that_vanishes_ends_its_handler() {
        let agent = agent(&[]);
        let mut half_frame = Peer::open(&agent);
        half_frame.send_bytes(&header(FINAL | TEXT, 100, true));
        for peer in [Peer::open(&agent), half_frame] {
            drop(peer);
            agent.line_with("received an error: the connection was lost");
        }
        let closed = Peer::open(&agent).finish_sending();
        agent.line_with("received an error: the connection was lost");
        closed.ends();
        becomes_idle(&agent);
    }

    #[test]
    fn a_client_that_vanishes_ends_its_producer() {
        let agent = agent(&[("AGENTCORE_WS_FRAMES_PER_SECOND", "100000")]);
        let mut peer = Peer::open(&agent);
        peer.text("produce");
        peer.message();
        drop(peer);
        agent.line_with("cannot produce: the socket is closed");
        becomes_idle(&agent);
    }

    #[test]
    fn the_largest_message_goes_both_ways() {
        let agent = agent(&[("AGENTCORE_WS_FRAMES_PER_SECOND", "100000")]);
        let mut peer = Peer::open(&agent);
        let largest = vec![42; 16 << 20];
        peer.send(FINAL | BINARY, &largest);
        assert!(peer.message().0 == largest);
        peer.send_bytes(&header(FINAL | BINARY, (16 << 20) + 1, true));
        assert_eq!(peer.next_close().0, 1009);
    }

    /// A client that keeps sending can still read why it should stop.
    #[test]
    fn the_reason_survives_what_the_client_is_still_sending() {
        let agent = agent(&[]);
        let mut peer = Peer::open(&agent);
        peer.send_bytes(&header(FINAL | BINARY, 64 << 20, true));
        peer.try_send_bytes(&vec![0; 1 << 20]);
        assert_eq!(peer.next_close().0, 1009);
    }
}

mod sending {
    use super::*;

    #[test]
    fn a_large_message_is_cut_into_frames_of_32_kib() {
        let agent = agent(&[]);
        let mut peer = Peer::open(&agent);
        peer.text("large 1048576");
        let (payload, frames) = peer.message();
        assert_eq!(payload, vec![7; 1 << 20]);
        assert_eq!(
            frames.len(),
            33,
            "header and payload of 32 make more than a MiB"
        );
        assert!(frames.iter().all(|frame| frame.length <= 32 << 10));
        assert_eq!(frames[0].first, BINARY);
        assert_eq!(frames[32].first, FINAL | CONTINUATION);
        assert!(
            frames[1..32]
                .iter()
                .all(|frame| frame.first == CONTINUATION)
        );
    }

    #[test]
    fn frames_are_as_large_as_configured() {
        for (limit, first) in [
            ("128", 128),
            ("65539", 65_539),
            ("65540", 65_540),
            ("100000", 100_000),
        ] {
            let agent = agent(&[
                ("AGENTCORE_WS_FRAME_BYTES", limit),
                ("AGENTCORE_WS_FRAMES_PER_SECOND", "100000"),
            ]);
            let mut peer = Peer::open(&agent);
            peer.text("large 300000");
            let (payload, frames) = peer.message();
            assert_eq!(payload.len(), 300_000);
            assert!(
                frames.iter().all(|frame| frame.length <= first),
                "{limit}: {:?}",
                frames[0]
            );
            assert!(first - frames[0].length <= 6, "{limit}: {:?}", frames[0]);
        }
    }

    /// Time is the subject: 20 frames a second, of which 5 may leave at once, then 15 a second.
    #[test]
    fn frames_are_paced() {
        let agent = agent(&[("AGENTCORE_WS_FRAMES_PER_SECOND", "20")]);
        let mut peer = Peer::open(&agent);
        for (command, frames) in [("many 20", 20), ("large 640000", 20)] {
            // At most five of the twenty are available at once; the frames before may have used them.
            let least = Duration::from_secs(15) / 15;
            let began = Instant::now();
            peer.text(command);
            for _ in 0..frames {
                peer.next();
            }
            let took = began.elapsed();
            assert!(took >= least.mul_f64(0.9), "{command} took {took:?}");
        }
    }

    /// Time is the subject: a quarter of a second's frames are sent without a pause; so a chat never feels the limit. One quick
    /// socket tells, since any may be slow on a busy machine.
    #[test]
    fn a_few_small_messages_do_not_wait() {
        let agent = agent(&[]);
        wait_until(DEADLINE, "messages come at once", || {
            let mut peer = Peer::open(&agent);
            let began = Instant::now();
            peer.text("many 60");
            for number in 0..60 {
                assert_eq!(peer.next_text(), number.to_string());
            }
            // Sixty of them at the rate would be a third of a second.
            began.elapsed() < Duration::from_millis(250)
        });
    }

    #[test]
    fn json_of_too_many_values_is_a_mistake_and_no_end() {
        let agent = agent(&[("AGENTCORE_MAX_JSON_NODES", "4")]);
        let mut peer = Peer::open(&agent);
        peer.text("json");
        peer.text("[1,2,3]");
        assert_eq!(peer.next_text(), "6");
        peer.text("json");
        peer.text("[1,2,3,4]");
        assert_eq!(peer.next_text(), "\"the message is not the expected JSON\"");
        peer.echoes("still well");
    }

    #[test]
    fn json_goes_both_ways_and_a_mistake_in_it_is_no_end() {
        let agent = agent(&[]);
        let mut peer = Peer::open(&agent);
        peer.text("json");
        peer.text("[1, 2, 3]");
        assert_eq!(peer.next_text(), "6");
        peer.text("json");
        peer.send(FINAL | BINARY, "[40, 2]");
        assert_eq!(peer.next_text(), "42");
        peer.text("json");
        peer.text("[1, \"two\"]");
        assert_eq!(peer.next_text(), "\"the message is not the expected JSON\"");
        peer.echoes("still here");
    }

    #[test]
    fn the_halves_work_from_two_tasks() {
        let agent = agent(&[("AGENTCORE_WS_FRAMES_PER_SECOND", "100000")]);
        let mut peer = Peer::open(&agent);
        peer.text("split");
        for number in 0..1000 {
            peer.text("ping");
            assert_eq!(peer.next_text(), number.to_string());
        }
        peer.text("done");
        assert_eq!(peer.next_text(), r#"{"received":1000}"#);
        peer.expect_close(1000);
    }

    #[test]
    fn two_hundred_sockets_at_once() {
        let agent = agent(&[]);
        let peers: Vec<_> = (0..200).map(|_| Peer::open(&agent)).collect();
        assert!(agent.ping().busy);
        let threads: Vec<_> = peers
            .into_iter()
            .enumerate()
            .map(|(number, mut peer)| {
                std::thread::spawn(move || {
                    for round in 0..20 {
                        peer.echoes(&format!("{number}, {round}"));
                    }
                    peer
                })
            })
            .collect();
        for thread in threads {
            let mut peer = thread.join().expect("all echoes right");
            peer.send(FINAL | CLOSE, close(1000, ""));
            peer.expect_close(1000);
        }
        becomes_idle(&agent);
    }
}

mod ending {
    use super::*;

    #[test]
    fn a_handler_that_returns_closes_with_1000() {
        let agent = agent(&[]);
        let mut peer = Peer::open(&agent);
        peer.text("return");
        assert_eq!(peer.expect_close(1000), "");
        becomes_idle(&agent);
    }

    #[test]
    fn an_error_is_1011_for_the_client_and_has_its_causes_in_the_log() {
        let agent = agent(&[]);
        let mut peer = Peer::open(&agent);
        peer.text("fail");
        assert_eq!(peer.expect_close(1011), "internal error");
        let line = agent.line_with("it is broken");
        assert!(
            said(&line).contains("websocket handler `obey` failed: it is broken: the cause"),
            "{line}"
        );
        assert!(line.contains(r#""level":"ERROR""#), "{line}");
        becomes_idle(&agent);
    }

    #[test]
    fn a_panic_is_1011_for_the_client_and_has_its_place_in_the_log() {
        let agent = agent(&[]);
        let mut peer = Peer::open(&agent);
        peer.text("panic");
        assert_eq!(peer.expect_close(1011), "internal error");
        let line = agent.line_with("a secret detail");
        assert!(
            said(&line).contains("websocket handler `obey` panicked: a secret detail"),
            "{line}"
        );
        assert!(line.contains("tests/fixtures/sockets.rs:"), "{line}");
        becomes_idle(&agent);
        Peer::open(&agent).echoes("still well");
    }

    #[test]
    fn a_client_that_left_is_no_error_in_the_log() {
        let agent = agent(&[("AGENTCORE_LOG", "debug")]);
        drop(Peer::open(&agent));
        let line = agent.line_with("websocket handler `obey` ended: the connection was lost");
        assert!(line.contains(r#""level":"DEBUG""#), "{line}");
    }

    #[test]
    fn what_was_sent_before_the_end_arrives_before_it() {
        let agent = agent(&[("AGENTCORE_WS_FRAMES_PER_SECOND", "1000")]);
        let mut peer = Peer::open(&agent);
        peer.text("many 400");
        peer.text("large 5000000");
        peer.text("return");
        for number in 0..400 {
            assert_eq!(peer.next_text(), number.to_string());
        }
        assert_eq!(peer.message().0.len(), 5_000_000);
        peer.expect_close(1000);
    }

    #[test]
    fn a_handler_may_close_and_go_on() {
        let agent = agent(&[]);
        let mut peer = Peer::open(&agent);
        peer.text("close 4001");
        assert_eq!(peer.expect_close(4001), "as told");
        agent.line_with("closed: true, received: None");
        assert!(agent.ping().busy, "the handler has not ended");
        agent.invoke(json!(null));
        becomes_idle(&agent);
    }

    #[test]
    fn a_socket_is_busy_until_its_handler_has_ended_and_the_close_has_left() {
        let agent = agent(&[]);
        assert!(!agent.ping().busy);
        let mut peer = Peer::open_with(
            &agent,
            "x-amzn-bedrock-agentcore-runtime-session-id: session-7\r\n",
        );
        assert!(agent.ping().busy);
        peer.text("session");
        assert_eq!(
            peer.next_text(),
            r#"{"session":"session-7","status":"Healthy"}"#
        );
        peer.text("return");
        assert_eq!(peer.next_close().0, 1000);
        // This holds although the client has not answered.
        becomes_idle(&agent);
        peer.send(FINAL | CLOSE, close(1000, ""));
        peer.ends();

        let mut peer = Peer::open(&agent);
        peer.text("ignore");
        agent.line_with("ignoring");
        drop(peer);
        agent.line_with("cancelled");
        assert!(agent.ping().busy, "the handler has not ended");
        agent.invoke(json!(null));
        becomes_idle(&agent);
    }

    #[test]
    fn busy_while_tasks_leaves_sockets_out() {
        let agent = agent(&[("AGENTCORE_BUSY_WHILE", "tasks")]);
        let mut peer = Peer::open(&agent);
        peer.echoes("hello");
        assert!(!agent.ping().busy);
    }

    /// Time is the subject of this test and the next: a client is given up after two silent intervals.
    #[test]
    fn a_client_that_answers_pings_stays_and_one_that_does_not_goes() {
        let agent = agent(&[("AGENTCORE_WS_PING_INTERVAL", "2s")]);
        let mut peer = Peer::open(&agent);
        for _ in 0..3 {
            let ping = peer.next();
            assert_eq!(ping.first, FINAL | PING, "{ping:?}");
            peer.send(FINAL | PONG, &ping.payload);
        }
        assert!(agent.ping().busy);
        while let Some(frame) = peer.try_next() {
            assert_eq!(frame.first, FINAL | PING, "{frame:?}");
        }
        agent.line_with("received an error: the client has not answered pings");
        becomes_idle(&agent);
    }

    #[test]
    fn a_client_that_does_not_even_read_goes() {
        let agent = agent(&[
            ("AGENTCORE_WS_PING_INTERVAL", "100ms"),
            ("AGENTCORE_WS_FRAMES_PER_SECOND", "100000"),
        ]);
        let mut peer = Peer::open(&agent);
        peer.text("produce");
        agent.line_with("cannot produce: the socket is closed");
        becomes_idle(&agent);
        drop(peer);
    }
}

mod reading_ahead {
    use std::io::Write as _;
    use std::net::Shutdown;

    use super::*;

    /// Larger than the bound of what is read ahead, and smaller than the largest message.
    const LARGE: usize = 4 << 20;

    /// Ten clients send messages of 4 MiB to handlers that do not receive. The kernel's buffers between the two sides do not
    /// count; only the agent's own memory does.
    #[test]
    fn handlers_that_do_not_receive_hold_little_and_get_everything_later() {
        const SOCKETS: usize = 10;
        let agent = agent(&[("AGENTCORE_WS_FRAMES_PER_SECOND", "100000")]);
        let mut peers: Vec<_> = (0..SOCKETS).map(|_| Peer::open(&agent)).collect();
        for peer in &mut peers {
            peer.text("wait");
            agent.line_with("waiting");
        }
        let before = agent.resident_kib();
        let message = masked(FINAL | BINARY, &vec![7; LARGE]);
        // Each client sends two messages, and is done when its handler has received them.
        let senders: Vec<_> = peers
            .iter()
            .map(|peer| {
                let mut stream = peer.stream();
                let message = message.clone();
                std::thread::spawn(move || {
                    for _ in 0..2 {
                        stream.write_all(&message).expect("a reader at last");
                    }
                })
            })
            .collect();
        // Without the bound it would be 8 MiB for each socket, as fast as they can be read.
        for _ in 0..300 {
            assert!(agent.ping().busy);
            let grown = agent.resident_kib().saturating_sub(before);
            assert!(grown < SOCKETS * 1024, "{grown} KiB");
        }
        assert!(senders.iter().any(|sender| !sender.is_finished()));
        // A message of any size is echoed once the handler receives it.
        for _ in 0..SOCKETS {
            assert_eq!(agent.invoke(json!({})).status, 200);
        }
        for peer in &mut peers {
            assert_eq!(peer.next_text(), "waited");
            for _ in 0..2 {
                let mut received = 0;
                while received < LARGE {
                    received += peer.next().payload.len();
                }
                assert_eq!(received, LARGE);
            }
        }
        for sender in senders {
            sender.join().unwrap();
        }
        for peer in peers {
            peer.stream().shutdown(Shutdown::Both).unwrap();
        }
        becomes_idle(&agent);
    }
}

mod stopping {
    use super::*;

    #[test]
    fn a_handler_that_only_waits_sees_the_end_at_once() {
        let agent = agent(&[("AGENTCORE_SHUTDOWN_GRACE", "10min")]);
        let mut peer = Peer::open(&agent);
        peer.echoes("hello");
        agent.signal("TERM");
        assert_eq!(peer.expect_close(1001), "");
        let (status, stderr) = agent.wait();
        assert_eq!(status.code(), Some(0), "{stderr}");
        assert!(stderr.contains("received the end"), "{stderr}");
    }

    #[test]
    fn a_handler_at_work_finishes_it_and_new_sockets_are_refused() {
        let agent = agent(&[("AGENTCORE_SHUTDOWN_GRACE", "10min")]);
        let mut peer = Peer::open(&agent);
        peer.text("wait");
        agent.line_with("waiting");
        // This opens the gate, so it has to be in flight before the signal.
        let opener = agent.connect().begin_post().send(b"1\r\n0\r\n");
        agent.signal("TERM");
        agent.line_with("SIGTERM: stopping");
        let refused = agent.connect().send(handshake("").as_bytes()).reply();
        assert_eq!(
            (refused.status, refused.header("retry-after")),
            (503, Some("1"))
        );
        assert_eq!(refused.json()["error"], "Shutting down");
        peer.text("too late");
        assert!(agent.ping().busy);
        assert_eq!(opener.send(b"0\r\n\r\n").reply().status, 200);
        assert_eq!(peer.next_text(), "waited");
        peer.expect_close(1001);
        let (status, stderr) = agent.wait();
        assert_eq!(status.code(), Some(0), "{stderr}");
    }

    /// The work is over when the close frame has left. A grace shorter than the closing handshake would cut it off.
    #[test]
    fn clients_that_do_not_answer_do_not_hold_the_stop() {
        for grace in ["4s", "10min"] {
            // One quick stop tells, since any may be slow on a busy machine.
            wait_until(DEADLINE, "the stop is quick", || {
                let agent = agent(&[("AGENTCORE_SHUTDOWN_GRACE", grace)]);
                let mut peers: Vec<_> = (0..3).map(|_| Peer::open(&agent)).collect();
                peers.iter_mut().for_each(|peer| peer.echoes("hello"));
                let began = Instant::now();
                agent.signal("TERM");
                for peer in &mut peers {
                    assert_eq!(peer.next_close().0, 1001);
                }
                let (status, stderr) = agent.wait();
                assert_eq!(status.code(), Some(0), "{stderr}");
                assert!(!stderr.contains("cut off"), "{stderr}");
                // Less than the handshake is waited for elsewhere.
                began.elapsed() < Duration::from_secs(5)
            });
        }
    }

    /// The handler's messages are part of the work: more than fits between the two sides leaves before the process ends.
    #[test]
    fn what_was_sent_leaves_before_the_process_ends() {
        const LARGE: usize = 12 << 20;
        let agent = agent(&[
            ("AGENTCORE_WS_FRAMES_PER_SECOND", "100000"),
            ("AGENTCORE_SHUTDOWN_GRACE", "10min"),
        ]);
        let mut peer = Peer::open(&agent);
        peer.text(&format!("large {LARGE}"));
        peer.text("return");
        let first = peer.next();
        agent.signal("TERM");
        let mut received = first.payload.len();
        while received < LARGE {
            received += peer.next().payload.len();
        }
        assert_eq!(received, LARGE);
        let (code, reason) = peer.next_close();
        assert!([1000, 1001].contains(&code), "{code} {reason}");
        let (status, stderr) = agent.wait();
        assert_eq!(status.code(), Some(0), "{stderr}");
    }

    #[test]
    fn a_handler_that_does_not_end_is_told_closed_at_the_last_moment_and_named() {
        // The close leaves a second before the end.
        let agent = agent(&[("AGENTCORE_SHUTDOWN_GRACE", "3s")]);
        let mut peer = Peer::open(&agent);
        peer.text("ignore");
        agent.line_with("ignoring");
        agent.signal("TERM");
        agent.line_with("cancelled");
        assert_eq!(peer.expect_close(1001), "");
        let (status, stderr) = agent.wait();
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert!(
            stderr.contains("cut off: socket ") && stderr.contains(" of `obey` after "),
            "{stderr}"
        );
    }
}
