//! The dev page over HTTP: which requests get it, what it shows, and that reading it changes nothing.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use serde_json::{Value, json};

use crate::not_tested::not_tested;
use crate::support::{Agent, Client, Reply, failed_start, unix_now};

const AGENT: &str = env!("CARGO_BIN_EXE_dev_agent");
const DEV: (&str, &str) = ("AGENTCORE_DEV", "1");
const PATHS: [&str; 3] = ["/", "/_dev/agent", "/_dev/state"];

fn request(agent: &Agent, method: &str, path: &str, headers: &str, body: &str) -> Client {
    let length = body.len();
    agent.connect().send(
        format!("{method} {path} HTTP/1.1\r\n{headers}content-length: {length}\r\n\r\n{body}")
            .as_bytes(),
    )
}

fn ask(agent: &Agent, method: &str, path: &str) -> Reply {
    agent.ask(
        format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n")
            .as_bytes(),
    )
}

fn invoke(agent: &Agent, body: &str) -> Reply {
    request(agent, "POST", "/invocations", "host: localhost\r\n", body).reply()
}

fn state(agent: &Agent) -> Value {
    let reply = ask(agent, "GET", "/_dev/state");
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

fn ping(agent: &Agent) -> Value {
    ask(agent, "GET", "/ping").json()
}

/// The state of the agent as soon as `condition` holds.
fn until(agent: &Agent, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
    agent.until(what, |agent| condition(&state(agent)));
    state(agent)
}

#[test]
fn nobody_gets_it_who_has_not_asked_for_it() {
    let agent = Agent::start(AGENT, &[]);
    for path in PATHS
        .into_iter()
        .chain(["/_dev/tasks/1", "/_dev/", "/_dev"])
    {
        for method in ["GET", "POST", "DELETE"] {
            let reply = request(&agent, method, path, "host: agent\r\n", "").reply();
            assert_eq!(reply.parts(), (404, json!({ "error": "Not Found" })));
        }
    }
    assert!(!agent.ready_line().contains("dev page"));
    // Without the dev page, no request is refused for its host or origin.
    let foreign = "host: evil.example\r\norigin: https://evil.example\r\n";
    let reply = request(&agent, "POST", "/invocations", foreign, "{}").reply();
    assert_eq!(reply.status, 200);
}

#[test]
fn where_others_are_listened_to_there_is_no_start() {
    for host in ["0.0.0.0", "::", "10.1.2.3"] {
        let environment = [
            DEV,
            ("AGENTCORE_HOST", host),
            ("AGENTCORE_LOG_FORMAT", "pretty"),
        ];
        let (status, stderr) = failed_start(AGENT, &environment);
        assert_eq!(status.code(), Some(1));
        assert_eq!(
            stderr,
            format!(
                "error: cannot start: AGENTCORE_DEV is on, so only this machine may reach the agent. The environment \
                 sets AGENTCORE_HOST to `{host}`; set it to 127.0.0.1, or leave it out\n"
            )
        );
    }
}

/// In a container the default is every address, but with the dev page on it is 127.0.0.1.
#[test]
fn in_a_container_it_is_on_this_machine_only() {
    let agent = Agent::start(
        AGENT,
        &[DEV, ("AGENTCORE_HOST", ""), ("DOCKER_CONTAINER", "1")],
    );
    assert!(
        agent.ready_line().contains("http://127.0.0.1:"),
        "{}",
        agent.ready_line()
    );
    assert_eq!(ask(&agent, "GET", "/").status, 200);
}

#[test]
fn the_page_loads_nothing_from_elsewhere_and_no_two_have_the_same_nonce() {
    let agent = Agent::start(AGENT, &[DEV]);
    let page = format!("dev page http://{}/", agent.address());
    assert!(agent.ready_line().contains(&page), "{}", agent.ready_line());
    let nonces = [(); 2].map(|()| {
        let reply = ask(&agent, "GET", "/");
        assert_eq!(reply.status, 200);
        let header = |name| reply.header(name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin");
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        let nonce = policy.split("'nonce-").nth(1).expect("a nonce");
        let nonce = nonce.split('\'').next().expect("its end").to_owned();
        let text = String::from_utf8(reply.body.clone()).expect("text");
        assert!(!text.contains("{nonce}"));
        assert!(text.contains(&format!("<script nonce=\"{nonce}\">")));
        for elsewhere in ["src=", "@import", "url(", "https://"] {
            assert!(!text.contains(elsewhere), "{elsewhere}");
        }
        nonce
    });
    assert_ne!(nonces[0], nonces[1]);
}

#[test]
fn each_path_has_its_methods() {
    let agent = Agent::start(AGENT, &[DEV]);
    for path in PATHS {
        let mut client = request(&agent, "HEAD", path, "host: [::1]:1\r\n", "");
        assert_eq!(client.head().0, 200);
        for method in ["POST", "DELETE", "OPTIONS"] {
            let reply = ask(&agent, method, path);
            assert_eq!(reply.status, 405, "{method} {path}");
            assert_eq!(reply.header("allow"), Some("GET, HEAD"));
        }
    }
    let reply = ask(&agent, "GET", "/_dev/tasks/1");
    assert_eq!((reply.status, reply.header("allow")), (405, Some("DELETE")));
    for path in ["/_dev/", "/_dev/tasks/", "/_dev/tasks/x", "/_dev/other"] {
        assert_eq!(ask(&agent, "DELETE", path).status, 404, "{path}");
    }
    assert_eq!(ask(&agent, "DELETE", "/_dev/tasks/1").status, 404);
    assert_eq!(ask(&agent, "GET", "/_dev").status, 404);
}

#[test]
fn other_names_and_other_pages_get_nothing() {
    let agent = Agent::start(AGENT, &[DEV]);
    let own = format!("http://{}", agent.address());
    let host = format!("host: {}\r\n", agent.address());
    let status = |method: &str, path: &str, headers: &str| {
        let reply = request(&agent, method, path, headers, "{}").reply();
        if reply.status == 403 {
            assert_eq!(reply.json()["error"], "Forbidden");
            assert_eq!(reply.header("connection"), Some("close"));
        }
        reply.status
    };
    for (method, path, otherwise) in [
        ("GET", "/", 200),
        ("GET", "/_dev/state", 200),
        ("GET", "/_dev/agent", 200),
        ("DELETE", "/_dev/tasks/1", 404),
        ("GET", "/ping", 200),
        ("POST", "/invocations", 200),
        ("OPTIONS", "/invocations", 405),
        ("GET", "/ws", 400),
        ("GET", "/nowhere", 404),
    ] {
        for headers in [
            "",
            "host: evil.example\r\n",
            "host: agent\r\n",
            "host: 0.0.0.0\r\n",
            "host: localhost\r\nhost: localhost\r\n",
            "host: localhost\r\norigin: https://evil.example\r\n",
            "host: localhost\r\norigin: null\r\n",
        ] {
            // In HTTP/1.1 a request without a host, or with two, is invalid.
            let is_one = headers.matches("host:").count() == 1;
            assert_eq!(
                status(method, path, headers),
                if is_one { 403 } else { 400 },
                "{method} {path} {headers}"
            );
        }
        let absolute = format!("http://evil.example{path}");
        assert_eq!(status(method, &absolute, &host), 403);
        for headers in [host.clone(), format!("{host}origin: {own}\r\n")] {
            assert_eq!(status(method, path, &headers), otherwise, "{method} {path}");
        }
        // A page of the user's on another port may call the agent, but not its dev page.
        let neighbour = format!("{host}origin: http://localhost:3000\r\n");
        let is_page = path == "/" || path.starts_with("/_dev/");
        let expected = if is_page { 403 } else { otherwise };
        assert_eq!(
            status(method, path, &neighbour),
            expected,
            "{method} {path}"
        );
    }
}

/// The kernel accepts what comes from this machine's other addresses. It would also accept what comes from elsewhere, if the
/// machine forwards it.
#[cfg(target_os = "linux")]
#[test]
fn other_addresses_get_nothing() {
    let Some(address) = own_address() else {
        not_tested("this machine has no address but loopback");
        return;
    };
    let agent = Agent::start(AGENT, &[DEV]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket
            .bind(SocketAddr::new(address, 0))
            .expect("an address");
        let stream = socket.connect(agent.address()).await.expect("a connection");
        stream.into_std().expect("a stream")
    });
    stream.set_nonblocking(false).expect("a blocking stream");
    let reply = Client::over(stream)
        .send(b"GET /ping HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .reply();
    assert_eq!(reply.status, 403, "{reply:?}");
}

/// The address from which this machine would speak to others. Nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    Some(address).filter(|address| !address.is_loopback() && !address.is_unspecified())
}

#[test]
fn the_registry_is_what_a_check_prints() {
    let agent = Agent::start(AGENT, &[DEV]);
    let known = ask(&agent, "GET", "/_dev/agent").json();
    assert_eq!(known["name"], "agentcore-tests");
    let checked = crate::support::run(AGENT, &["--check", "--json"], &[]).stdout;
    let checked: Value = serde_json::from_str(&checked).expect("JSON");
    let settings = checked["settings"].as_array().expect("settings").iter();
    let mut paths = settings.filter(|setting| setting["name"] == "invocations_path");
    let path = &paths.next().expect("a path")["value"];
    for (name, value) in known.as_object().expect("an object") {
        // The page makes a form of the payload's schema, and `--check` does not print it.
        if name == "schema" {
            continue;
        }
        let expected = if name == "invocations_path" {
            path
        } else {
            &checked[name]
        };
        assert_eq!(value, expected, "{name}");
    }
    for name in [
        "entrypoint",
        "websocket",
        "ping",
        "tasks",
        "start_hooks",
        "shutdown_hooks",
        "layers",
        "agentcore",
        "version",
    ] {
        assert!(known.get(name).is_some(), "{name} in {known}");
    }
    assert_eq!(known["entrypoint"]["name"], "answer");
    assert!(known["entrypoint"]["line"].is_u64());
}

#[test]
fn looking_on_is_no_work() {
    let agent = Agent::start(AGENT, &[DEV]);
    let before = ping(&agent);
    // A stamp that moves by itself changes when the next second begins, so the last round begins after that.
    let mut is_last = false;
    while !is_last {
        is_last = before["time_of_last_update"].as_u64() < Some(unix_now());
        for path in PATHS {
            assert_eq!(ask(&agent, "GET", path).status, 200);
        }
        let state = state(&agent);
        assert_eq!(state["status"], "Healthy");
        assert_eq!(state["in_progress"], 0);
        assert_eq!(state["time_of_last_update"], before["time_of_last_update"]);
    }
    assert_eq!(ping(&agent), before);
    let seen = until(&agent, "there is a history", |state| {
        state["history"]
            .as_str()
            .is_some_and(|seconds| seconds.len() >= 2)
    });
    assert!(!seen["history"].as_str().expect("text").contains('b'));
}

#[test]
fn of_many_tasks_the_oldest_are_listed() {
    let agent = Agent::start(AGENT, &[DEV]);
    let start = |count: usize| {
        for _ in 0..count {
            assert_eq!(invoke(&agent, r#"{"action":"index"}"#).status, 200);
        }
        let state = state(&agent);
        let tasks = state["tasks"].as_array().expect("a list").clone();
        let ids = tasks.into_iter().map(|mut task| task["id"].take());
        let mut ids: Vec<_> = ids.map(|id| id.to_string()).collect();
        ids.sort_unstable();
        (ids, state["more_tasks"].clone())
    };
    let (oldest, more) = start(100);
    assert_eq!((oldest.len(), more), (100, json!(0)));
    assert_eq!(start(20), (oldest, json!(20)));
}

#[test]
fn tasks_are_listed_and_those_that_were_spawned_can_be_cancelled() {
    let agent = Agent::start(AGENT, &[DEV]);
    assert_eq!(invoke(&agent, r#"{"action":"index"}"#).status, 200);
    let waiting = request(
        &agent,
        "POST",
        "/invocations",
        "host: localhost\r\n",
        r#"{"action":"embed"}"#,
    );
    let busy = until(&agent, "two tasks run", |state| {
        state["tasks"].as_array().map(Vec::len) == Some(2)
    });
    assert_eq!(busy["status"], "HealthyBusy");
    assert_eq!(busy["in_progress"], 3);
    let mut tasks = busy["tasks"].as_array().expect("a list").clone();
    tasks.sort_by(|one, other| {
        other["seconds"]
            .as_f64()
            .partial_cmp(&one["seconds"].as_f64())
            .expect("numbers")
    });
    let described: Vec<_> = tasks
        .iter()
        .map(|task| (task["name"].as_str(), task["cancellable"].as_bool()))
        .collect();
    assert_eq!(
        described,
        [
            (Some("index_archive"), Some(true)),
            (Some("embed_documents"), Some(false))
        ]
    );
    let cancel = |task: &Value| {
        let id = task["id"].as_str().expect("an id");
        ask(&agent, "DELETE", &format!("/_dev/tasks/{id}"))
    };
    assert_eq!(cancel(&tasks[1]).status, 404);
    assert_eq!(
        cancel(&tasks[0]).parts(),
        (200, json!({ "cancelled": true }))
    );
    until(&agent, "one task runs", |state| {
        state["tasks"].as_array().map(Vec::len) == Some(1)
    });
    assert_eq!(cancel(&tasks[0]).status, 404);
    assert_eq!(invoke(&agent, r#"{"action":"open"}"#).status, 200);
    assert_eq!(waiting.reply().json(), json!({ "embedded": 12 }));
    until(&agent, "the agent is idle", |state| {
        state["status"] == "Healthy" && state["tasks"] == json!([])
    });
}

/// A page that may not read the agent may not read its admin port either.
#[test]
fn other_names_get_nothing_at_the_admin_port() {
    let agent = Agent::start(AGENT, &[DEV, ("AGENTCORE_ADMIN_PORT", "0")]);
    for (host, status) in [("localhost", 200), ("evil.example", 403)] {
        let livez = format!("GET /livez HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let reply = Client::connect(agent.admin_address()).send(livez.as_bytes());
        assert_eq!(reply.reply().status, status, "{host}");
    }
}

#[test]
fn invocations_are_remembered_with_their_end_and_without_what_was_said() {
    let agent = Agent::start(AGENT, &[DEV]);
    let secret = "host: localhost\r\nauthorization: Bearer hush\r\n";
    let hushed = request(&agent, "POST", "/invocations", secret, r#"{"x":"hush"}"#).reply();
    assert_eq!(hushed.json(), json!({ "x": "hush" }));
    assert_eq!(invoke(&agent, r#"{"action":"fail"}"#).status, 409);
    assert_eq!(invoke(&agent, "{").status, 400);
    assert_eq!(invoke(&agent, r#"{"action":"stream_fails"}"#).status, 200);
    let leaves = request(
        &agent,
        "POST",
        "/invocations",
        "host: localhost\r\n",
        r#"{"action":"stream"}"#,
    );
    until(&agent, "the stream has begun", |state| {
        state["invocations"][0]["status"] == 200
    });
    drop(leaves);
    let state = until(&agent, "it is broken off", |state| {
        state["invocations"][0]["end"] == "broken"
    });
    let calls = state["invocations"].as_array().expect("a list");
    let told: Vec<_> = calls
        .iter()
        .map(|call| {
            assert!(call["ms"].as_f64() >= call["head_ms"].as_f64(), "{call}");
            assert!(call["head_ms"].as_f64() > Some(0.0), "{call}");
            json!([call["number"], call["status"], call["end"], call["error"]])
        })
        .collect();
    let not_json = calls[2]["error"].as_str().expect("an error");
    assert!(not_json.starts_with("Invalid JSON: "), "{not_json}");
    assert_eq!(
        told,
        [
            json!([5, 200, "broken", null]),
            json!([4, 200, "complete", "the model is overloaded"]),
            json!([3, 400, "complete", not_json]),
            json!([2, 409, "complete", "the index is being rebuilt"]),
            json!([1, 200, "complete", null]),
        ]
    );
    assert!(!state.to_string().contains("hush"));
    // Only the latest requests are kept, however many there are.
    for _ in 0..60 {
        assert_eq!(invoke(&agent, "{}").status, 200);
    }
    let kept = self::state(&agent)["invocations"].clone();
    assert_eq!(kept.as_array().map(Vec::len), Some(50));
    assert_eq!(kept[0]["number"], 65);
}

#[test]
fn errors_in_band_are_errors_too() {
    let agent = Agent::start(AGENT, &[DEV, ("AGENTCORE_ERRORS", "in-band")]);
    assert_eq!(invoke(&agent, r#"{"action":"fail"}"#).status, 200);
    let call = state(&agent)["invocations"][0].clone();
    assert_eq!(call["error"], "the index is being rebuilt");
    assert_eq!(call["status"], 200);
}

#[test]
fn it_shows_a_stop_and_delays_none() {
    let agent = Agent::start(AGENT, &[DEV]);
    let waiting = request(
        &agent,
        "POST",
        "/invocations",
        "host: localhost\r\n",
        r#"{"action":"wait"}"#,
    );
    let mut looking = request(&agent, "GET", "/_dev/state", "host: localhost\r\n", "");
    assert_eq!(looking.next_reply().json()["phase"], "serving");
    until(&agent, "it waits", |state| state["in_progress"] == 1);
    agent.signal("TERM");
    agent.line_with("SIGTERM: stopping");
    assert_eq!(state(&agent)["phase"], "draining");
    agent.signal("TERM");
    drop(waiting);
    assert_eq!(agent.wait().0.code(), Some(1));
}

/// Layers see all requests but `/ping` and those of the dev page.
#[test]
fn layers_do_not_see_it() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_layers"), &[DEV]);
    for path in PATHS {
        assert_eq!(ask(&agent, "GET", path).status, 200, "{path}");
    }
    let reply = invoke(&agent, "{}");
    assert_eq!(state(&agent)["invocations"][0]["status"], reply.status);
}
