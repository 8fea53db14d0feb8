//! One suite for annotated agents and for agents built by hand.
//!
//! The two fixtures of a pair differ only in how they declare their functions.

use serde_json::{Value, json};

use crate::support::{Agent, Client, DEADLINE, unix_now};

macro_rules! both {
    (
        $macros:literal, $app:literal;
        $($(#[$doc:meta])* fn $name:ident($agent:ident: Agent) $body:block)+
    ) => {
        $($(#[$doc])* fn $name($agent: Agent) $body)+

        mod annotated {
            use crate::support::Agent;
            $(#[test] fn $name() { super::$name(Agent::start(env!($macros), &[])) })+
        }

        mod by_hand {
            use crate::support::Agent;
            $(#[test] fn $name() { super::$name(Agent::start(env!($app), &[])) })+
        }
    };
}

both! {
    "CARGO_BIN_EXE_agent_macros", "CARGO_BIN_EXE_agent_app";

    fn an_idle_agent_is_healthy_and_its_stamp_stands_still(agent: Agent) {
        let first = agent.ping();
        assert!(!first.busy);
        assert!(unix_now() - first.stamp <= DEADLINE.as_secs(), "the stamp is the start: {first:?}");
        first.until_its_second_is_over();
        assert_eq!(agent.ping(), first);
    }

    fn the_reply_is_the_handlers_value(agent: Agent) {
        let reply = agent.invoke(json!({ "greeting": "grüß dich", "nested": [1, 2.5, null] }));
        assert_eq!(reply.parts(), (200, json!({ "greeting": "grüß dich", "nested": [1, 2.5, null] })));
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }

    fn the_content_type_of_the_request_does_not_matter(agent: Agent) {
        let request = "POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(agent.connect().send(request.as_bytes()).reply().parts(), (200, json!({})));
    }

    fn an_invocation_is_busy_until_its_answer(agent: Agent) {
        let before = agent.ping();
        let running = agent.invoke_later(json!({ "action": "wait", "gate": "g" }));
        agent.until("the invocation runs", |agent| agent.ping().busy);
        agent.until_tasks(1);
        let tasks = agent.tasks();
        assert_eq!(tasks["ping_status"], "HealthyBusy");
        assert_eq!(tasks["running_jobs"][0]["name"], "gated");
        let duration = tasks["running_jobs"][0]["duration"].as_f64().expect("a duration");
        agent.until("the duration grows", |agent| {
            agent.tasks()["running_jobs"][0]["duration"].as_f64().is_some_and(|now| now > duration)
        });

        let opened = unix_now();
        agent.invoke(json!({ "action": "open", "gate": "g" }));
        assert_eq!(running.join().expect("a reply").parts(), (200, json!({ "passed": "g" })));
        let after = agent.ping();
        assert!(!after.busy);
        assert!(after.stamp >= opened && after.stamp <= unix_now(), "{before:?} {after:?}");
        assert_eq!(agent.ping(), after);
    }

    fn a_status_invocation_does_not_count_itself(agent: Agent) {
        assert_eq!(
            agent.tasks(),
            json!({ "ping_status": "Healthy", "active_tasks": 0, "running_jobs": [] })
        );
    }

    fn each_task_ends_on_its_own_and_the_status_falls_with_the_last(agent: Agent) {
        let running: Vec<_> =
            ["a", "b", "c"].map(|gate| agent.invoke_later(json!({ "action": "wait", "gate": gate }))).into();
        agent.until_tasks(3);
        for (left, gate) in [(2, "b"), (1, "a"), (0, "c")] {
            agent.invoke(json!({ "action": "open", "gate": gate }));
            agent.until_tasks(left);
            if left > 0 {
                assert!(agent.ping().busy);
            }
        }
        running.into_iter().for_each(|reply| assert_eq!(reply.join().expect("a reply").status, 200));
        assert!(!agent.ping().busy);
    }

    fn a_task_that_is_only_spawned_is_busy_before_its_first_poll(agent: Agent) {
        // The reply is the first event after the spawn; no ping may find the agent idle after it.
        for number in 0..50 {
            let gate = format!("g{number}");
            assert_eq!(agent.invoke(json!({ "action": "spawn", "gate": gate })).status, 200);
            assert!(agent.ping().busy);
            agent.invoke(json!({ "action": "open", "gate": gate }));
        }
        agent.until_idle();
        assert_eq!(agent.tasks()["active_tasks"], 0);
    }

    fn an_aborted_task_is_over_at_once(agent: Agent) {
        assert_eq!(agent.invoke(json!({ "action": "abort", "gate": "g" })).json(), json!({ "cancelled": true }));
        assert_eq!(agent.tasks()["active_tasks"], 0);
        assert!(!agent.ping().busy);
    }

    fn a_task_dropped_before_its_first_poll_is_over_at_once(agent: Agent) {
        assert_eq!(agent.invoke(json!({ "action": "drop", "gate": "g" })).status, 200);
        assert_eq!(agent.tasks()["active_tasks"], 0);
        assert!(!agent.ping().busy);
    }

    fn a_tasks_error_reaches_whoever_awaits_it(agent: Agent) {
        let reply = agent.invoke(json!({ "action": "task_error" }));
        assert_eq!(reply.parts(), (500, json!({ "error": "the task failed" })));
        assert_eq!(agent.tasks()["active_tasks"], 0);
        assert!(!agent.ping().busy);
    }

    fn a_tasks_panic_reaches_whoever_joins_it(agent: Agent) {
        assert_eq!(agent.invoke(json!({ "action": "task_panic" })).parts(), (200, json!({ "panicked": true })));
        assert_eq!(agent.tasks()["active_tasks"], 0);
        assert!(!agent.ping().busy);
    }

    fn an_error_is_500_with_its_text(agent: Agent) {
        let reply = agent.invoke(json!({ "action": "error" }));
        assert_eq!(reply.parts(), (500, json!({ "error": "it is broken" })));
        assert!(!agent.ping().busy);
    }

    fn an_http_error_chooses_its_status_through_a_question_mark(agent: Agent) {
        let reply = agent.invoke(json!({ "action": "http_error", "status": 429 }));
        assert_eq!(reply.parts(), (429, json!({ "error": "on purpose" })));
    }

    fn a_panic_is_500_without_its_text_and_the_agent_goes_on(agent: Agent) {
        for _ in 0..3 {
            let reply = agent.invoke(json!({ "action": "panic" }));
            assert_eq!(reply.parts(), (500, json!({ "error": "Internal server error" })));
            assert!(!agent.ping().busy);
        }
        assert_eq!(agent.invoke(json!({})).status, 200);
    }

    fn tasks_kept_by_hand_end_once(agent: Agent) {
        let id = agent.invoke(json!({ "action": "add" })).json()["id"].clone();
        assert!(id.is_string(), "{id}");
        assert!(agent.ping().busy);
        assert_eq!(agent.tasks()["running_jobs"][0]["name"], "by hand");
        let complete = json!({ "action": "complete", "id": id });
        assert_eq!(agent.invoke(complete.clone()).json(), json!({ "completed": true }));
        assert!(!agent.ping().busy);
        assert_eq!(agent.invoke(complete).json(), json!({ "completed": false }));
        assert!(!agent.ping().busy);
    }

    fn a_stale_id_never_ends_a_strangers_task(agent: Agent) {
        let stale = agent.invoke(json!({ "action": "add" })).json()["id"].clone();
        agent.invoke(json!({ "action": "complete", "id": stale }));
        // Enough ids to use every slot again, whichever threads take them.
        let ids: Vec<Value> =
            (0..200).map(|_| agent.invoke(json!({ "action": "add" })).json()["id"].clone()).collect();
        assert_eq!(
            agent.invoke(json!({ "action": "complete", "id": stale })).json(),
            json!({ "completed": false })
        );
        assert_eq!(agent.tasks()["active_tasks"], 200);
        for id in ids {
            agent.invoke(json!({ "action": "complete", "id": id }));
        }
        assert!(!agent.ping().busy);
    }

    fn a_forced_status_holds_until_it_is_cleared(agent: Agent) {
        agent.invoke(json!({ "action": "force", "status": "HealthyBusy" }));
        assert!(agent.ping().busy);
        assert_eq!(agent.tasks()["ping_status"], "HealthyBusy");
        agent.invoke(json!({ "action": "unforce" }));
        assert!(!agent.ping().busy);

        agent.invoke(json!({ "action": "force", "status": "Healthy" }));
        agent.invoke(json!({ "action": "spawn", "gate": "g" }));
        assert!(!agent.ping().busy, "forced Healthy wins over a running task");
        agent.invoke(json!({ "action": "unforce" }));
        assert!(agent.ping().busy);
    }

    fn bad_bodies_are_told_what_is_wrong_with_them(agent: Agent) {
        let cases: [(&[u8], u16, &str); 5] = [
            (b"", 400, "Invalid JSON"),
            (b"{\"action\":", 400, "Invalid JSON"),
            (b"{} trailing", 400, "Invalid JSON"),
            (b"\xff\xfe", 400, "Invalid encoding"),
            (b"{\"a\": \"\xc3\x28\"}", 400, "Invalid encoding"),
        ];
        for (body, status, error) in cases {
            let reply = agent.post(body);
            assert_eq!((reply.status, reply.json()["error"].as_str()), (status, Some(error)), "{body:?}");
            assert!(reply.json()["details"].is_string());
            assert!(!agent.ping().busy);
        }
    }

    fn a_missing_body_is_an_empty_one(agent: Agent) {
        let reply = agent.connect().send(b"POST /invocations HTTP/1.1\r\nhost: a\r\n\r\n").reply();
        assert_eq!(reply.status, 400);
    }

    fn other_paths_and_methods_are_told_so(agent: Agent) {
        let send = |request: &str| agent.connect().send(request.as_bytes()).reply();
        assert_eq!(agent.get("/").parts(), (404, json!({ "error": "Not Found" })));
        assert_eq!(agent.get("/ws").status, 404);
        let reply = send("PUT /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}");
        assert_eq!(reply.parts(), (405, json!({ "error": "Method Not Allowed" })));
        assert_eq!(reply.header("allow"), Some("POST"));
        let reply = send("POST /ping HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")));
        assert_eq!(agent.get("/ping?from=probe").status, 200);
    }

    fn head_on_ping_has_a_length_and_no_body(agent: Agent) {
        let client = agent.connect().send(b"HEAD /ping HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let text = String::from_utf8(client.rest()).expect("text");
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n") && text.contains("content-length: "), "{text}");
    }

    fn a_connection_serves_many_requests_one_after_the_other_and_pipelined(agent: Agent) {
        let mut client = agent.connect();
        for number in 0..3 {
            client = client.send_post(json!({ "number": number }).to_string().as_bytes());
            assert_eq!(client.next_reply().json(), json!({ "number": number }));
        }
        for number in 0..3 {
            client = client.send_post(json!({ "number": number }).to_string().as_bytes());
        }
        for number in 0..3 {
            assert_eq!(client.next_reply().json(), json!({ "number": number }));
        }
    }

    fn a_client_that_leaves_does_not_stop_its_invocation(agent: Agent) {
        let client = Client::connect(agent.address()).send_post(br#"{"action":"wait","gate":"g"}"#);
        agent.until_tasks(1);
        drop(client);
        // The gate is still needed, because nothing else ends the task.
        assert_eq!(agent.tasks()["active_tasks"], 1);
        agent.invoke(json!({ "action": "open", "gate": "g" }));
        agent.until_idle();
        assert_eq!(agent.tasks()["active_tasks"], 0);
    }

    fn a_client_that_only_stops_sending_gets_its_reply(agent: Agent) {
        let client = agent.connect().send_post(br#"{"action":"wait","gate":"g"}"#).finish_sending();
        agent.until_tasks(1);
        agent.invoke(json!({ "action": "open", "gate": "g" }));
        assert_eq!(client.reply().json(), json!({ "passed": "g" }));
    }

    fn a_thousand_invocations_leave_nothing_behind(agent: Agent) {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let address = agent.address();
                std::thread::spawn(move || {
                    let mut client = Client::connect(address);
                    for number in 0..125 {
                        client = client.send_post(json!({ "number": number }).to_string().as_bytes());
                        assert_eq!(client.next_reply().json(), json!({ "number": number }));
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("all replies right"));
        assert_eq!(agent.tasks()["active_tasks"], 0);
        assert!(!agent.ping().busy);
    }
}

mod streaming {
    use super::*;
    use crate::support::Latch;
    use crate::support::websocket::Peer;

    fn first_and(last: &Value) -> Vec<Value> {
        vec![json!("first"), last.clone()]
    }

    both! {
        "CARGO_BIN_EXE_streaming_macros", "CARGO_BIN_EXE_streaming_app";

        fn a_stream_in_a_result_is_sent_as_events(agent: Agent) {
            let reply = agent.invoke(json!({ "action": "count" }));
            assert_eq!(reply.status, 200);
            assert_eq!(reply.header("content-type"), Some("text/event-stream"));
            assert_eq!(reply.events(), first_and(&json!("last")));
        }

        fn a_streams_error_is_its_last_event(agent: Agent) {
            let events = agent.invoke(json!({ "action": "fail" })).events();
            assert_eq!(events[0], "first");
            assert_eq!(events[1]["error"], "no more numbers");
            assert_eq!(events[1]["error_type"], "Error");
            assert_eq!(events.len(), 2);
        }

        fn an_error_that_knows_its_reply_sends_it(agent: Agent) {
            let reply = agent.invoke(json!({ "action": "sing" }));
            assert_eq!(reply.parts(), (404, json!({ "error": "there is no sing" })));
            assert_eq!(reply.header("x-try"), Some("count"));
        }

        fn a_payload_of_the_wrong_shape_is_422(agent: Agent) {
            assert_eq!(agent.invoke(json!({ "action": 7 })).status, 422);
        }

        fn a_start_hook_takes_what_a_later_one_makes(agent: Agent) {
            let events = agent.invoke(json!({ "action": "url" })).events();
            assert_eq!(events, ["first", "db:5432", "last"]);
        }

        fn a_ping_handler_adds_to_the_status(agent: Agent) {
            assert!(!agent.ping().busy);
            assert_eq!(agent.invoke(json!({ "action": "push" })).status, 200);
            // The invocation may end after its reply was read, so the first stamp may be of that change. The queue stays filled.
            let first = agent.ping();
            first.until_its_second_is_over();
            agent.until("the handler says busy, and nothing runs", |agent| agent.ping().busy);
        }

        fn a_ping_handler_that_says_healthy_hides_no_stream(agent: Agent) {
            let latch = Latch::new();
            let request = json!({ "action": "wait", "port": latch.port() });
            let mut client = agent.connect().send_post(request.to_string().as_bytes());
            assert_eq!(client.head().0, 200);
            let held = latch.held();
            for _ in 0..3 {
                assert!(agent.ping().busy);
            }
            drop(held);
            agent.until_idle();
        }

        fn a_ping_handler_that_says_healthy_hides_no_socket(agent: Agent) {
            let mut peer = Peer::open(&agent);
            assert_eq!(peer.next_text(), "nobody at db:5432");
            for _ in 0..3 {
                assert!(agent.ping().busy);
            }
            drop(peer);
            agent.until_idle();
        }

        fn a_ping_handler_that_says_healthy_hides_no_task(agent: Agent) {
            let latch = Latch::new();
            let request = json!({ "action": "task", "port": latch.port() });
            assert_eq!(agent.invoke(request).events(), first_and(&json!("last")));
            let held = latch.held();
            for _ in 0..3 {
                assert!(agent.ping().busy);
            }
            drop(held);
            agent.until_idle();
        }

        fn a_socket_may_stand_between_the_other_arguments(agent: Agent) {
            let session = "x-amzn-bedrock-agentcore-runtime-session-id: anna\r\n";
            let mut peer = Peer::open_with(&agent, session);
            assert_eq!(peer.next_text(), "anna at db:5432");
            peer.echoes("hello");
        }

        fn a_shutdown_hook_takes_the_state(agent: Agent) {
            agent.invoke(json!({ "action": "push" }));
            agent.invoke(json!({ "action": "push" }));
            agent.signal("TERM");
            let (status, log) = agent.wait();
            assert!(status.success(), "{log}");
            assert!(log.contains("2 waiting at db:5432"), "{log}");
        }
    }

    /// Pings are answered while the states are dropped. A ping handler whose state is gone is not called.
    #[test]
    fn a_ping_handler_is_not_asked_once_its_state_is_dropped() {
        for binary in [
            env!("CARGO_BIN_EXE_streaming_macros"),
            env!("CARGO_BIN_EXE_streaming_app"),
        ] {
            let latch = Latch::new();
            let port = latch.port().to_string();
            let agent = Agent::start(binary, &[("DROP_AT", &port)]);
            assert_eq!(agent.invoke(json!({ "action": "count" })).status, 200);
            agent.until_idle();
            agent.signal("TERM");
            let held = latch.held();
            for _ in 0..3 {
                assert!(!agent.ping().busy);
            }
            drop(held);
            let (status, log) = agent.wait();
            assert!(status.success(), "{log}");
            assert!(!log.contains("ping handler"), "{log}");
        }
    }
}

mod blocking {
    use super::*;
    use crate::support::{Latch, failed_start};

    both! {
        "CARGO_BIN_EXE_blocking_macros", "CARGO_BIN_EXE_blocking_app";

        fn a_function_that_blocks_answers(agent: Agent) {
            assert_eq!(agent.invoke(json!({ "mode": "calm" })).parts(), (200, json!("calm")));
            let refused = agent.invoke(json!("refuse"));
            assert_eq!(refused.parts(), (422, json!({ "error": "not like this" })));
            let panicked = agent.invoke(json!("panic"));
            assert_eq!(panicked.parts(), (500, json!({ "error": "Internal server error" })));
            assert_eq!(agent.invoke(json!("status")).json(), json!("Healthy"));
            assert!(!agent.ping().busy);
        }

        fn a_ping_handler_with_the_automatic_status_has_the_last_word(agent: Agent) {
            let latch = Latch::new();
            let running = agent.invoke_later(json!({ "hold": { "port": latch.port() } }));
            let held = latch.held();
            assert!(agent.ping().busy, "it returns what it was given");
            agent.invoke(json!({ "mode": "healthy" }));
            agent.until("the handler says Healthy, and an invocation runs", |agent| !agent.ping().busy);
            agent.invoke(json!({ "mode": "error" }));
            assert!(agent.ping().busy, "after an error the automatic status stands");
            agent.invoke(json!({ "mode": "automatic" }));
            assert!(agent.ping().busy);
            drop(held);
            assert_eq!(running.join().expect("a reply").parts(), (200, json!("held")));
            agent.until_idle();
            agent.invoke(json!({ "mode": "busy" }));
            agent.until("the handler says busy, and nothing runs", |agent| agent.ping().busy);
        }

        fn a_forced_status_stands_above_the_last_word(agent: Agent) {
            agent.invoke(json!({ "mode": "busy" }));
            agent.until("the handler says busy", |agent| agent.ping().busy);
            agent.invoke(json!({ "force": "Healthy" }));
            assert!(!agent.ping().busy);
        }

        fn a_shutdown_hook_that_fails_is_logged(agent: Agent) {
            agent.signal("TERM");
            let (status, log) = agent.wait();
            assert!(status.success(), "{log}");
            assert!(log.contains("failed: the disk is full"), "{log}");
        }
    }

    #[test]
    fn a_start_hook_that_takes_too_long_fails_the_start() {
        for binary in [
            env!("CARGO_BIN_EXE_blocking_macros"),
            env!("CARGO_BIN_EXE_blocking_app"),
        ] {
            let (status, log) = failed_start(binary, &[("HANGING_START", "1")]);
            assert_eq!(status.code(), Some(1));
            assert!(log.contains("took longer than 3s"), "{log}");
        }
    }
}
