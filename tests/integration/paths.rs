//! The path of invocations and the port, as settings.

use serde_json::json;

use crate::support::{Agent, failed_start, run};

const AGENT: &str = env!("CARGO_BIN_EXE_agent_macros");
const CHAT: (&str, &str) = ("AGENTCORE_INVOCATIONS_PATH", "/v1/chat");

/// A request with a body of JSON.
fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

#[test]
fn invocations_come_to_the_path_that_is_set_and_to_no_other() {
    for binary in [AGENT, env!("CARGO_BIN_EXE_dev_agent")] {
        let agent = Agent::start(binary, &[CHAT]);
        let ask = |method, path| agent.ask(&request(method, path, "", r#"{"fine":1}"#));
        assert_eq!(ask("POST", "/v1/chat").status, 200);
        assert_eq!(ask("POST", "/v1/chat?a=b").status, 200);
        assert_eq!(ask("POST", "/invocations").status, 404);
        assert_eq!(ask("POST", "/v1/chat/").status, 404);
        let other = ask("PUT", "/v1/chat");
        assert_eq!((other.status, other.header("allow")), (405, Some("POST")));
        assert!(
            agent.ready_line().contains("; invocations at /v1/chat"),
            "{}",
            agent.ready_line()
        );
    }
}

/// The entrypoint within layers is found by the path, too, and errors there are in-band.
#[test]
fn layers_and_errors_in_band_follow_the_path() {
    let in_band = ("AGENTCORE_ERRORS", "in-band");
    let agent = Agent::start(env!("CARGO_BIN_EXE_layers"), &[CHAT, in_band]);
    let ask = |path| agent.ask(&request("POST", path, "", "{")).status;
    assert_eq!(ask("/v1/chat"), 200);
    assert_eq!(ask("/invocations"), 404);
}

#[test]
fn the_dev_page_knows_the_path_and_records_its_invocations() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_dev_agent"),
        &[CHAT, ("AGENTCORE_DEV", "1")],
    );
    let get = |path| agent.ask(&request("GET", path, "", "")).json();
    assert_eq!(get("/_dev/agent")["invocations_path"], "/v1/chat");
    assert_eq!(
        agent.ask(&request("POST", "/v1/chat", "", "{}")).status,
        200
    );
    let recorded = || get("/_dev/state")["invocations"].as_array().map(Vec::len);
    agent.until("the invocation is recorded", |_| recorded() == Some(1));
}

/// A start and `--check` say one line for each, and exit with 1.
#[test]
fn a_wrong_path_is_one_line_at_the_start_and_in_the_check() {
    for (variables, line) in [
        (
            [("AGENTCORE_INVOCATIONS_PATH", "chat")],
            "AGENTCORE_INVOCATIONS_PATH is `chat`; it takes a path of up to 2048 characters: / and then letters, digits \
             and -._~/%",
        ),
        (
            [("AGENTCORE_INVOCATIONS_PATH", "/ping")],
            "AGENTCORE_INVOCATIONS_PATH is `/ping`; it takes a path that the agent does not serve itself",
        ),
        (
            [("AGENTCORE_WARMUP_PATH", "/warm up")],
            "AGENTCORE_WARMUP_PATH is `/warm up`; it takes a path of up to 32 characters: / and then letters, digits \
             and -._~/",
        ),
        (
            [("AGENTCORE_WARMUP_PATH", "/invocations")],
            "AGENTCORE_WARMUP_PATH is `/invocations`; it takes another path than AGENTCORE_INVOCATIONS_PATH",
        ),
        (
            [("AGENTCORE_PORT", "65536")],
            "AGENTCORE_PORT is `65536`; it takes a port number from 0 to 65535",
        ),
    ] {
        let pretty = ("AGENTCORE_LOG_FORMAT", "pretty");
        let expected = format!("error: cannot start: {line}\n");
        let (status, stderr) = failed_start(AGENT, &[variables[0], pretty]);
        assert_eq!((status.code(), stderr), (Some(1), expected.clone()));
        let checked = run(AGENT, &["--check"], &[variables[0], pretty]);
        assert_eq!((checked.code, checked.stderr), (Some(1), expected));
    }
}

#[test]
fn a_warm_up_that_may_take_longer_than_the_platform_waits_is_a_warning() {
    let checked = |environment: &[(&str, &str)]| {
        let agent = env!("CARGO_BIN_EXE_platform_hooks");
        let checked = run(agent, &["--check", "--json"], environment);
        let report: serde_json::Value = serde_json::from_str(&checked.stdout).expect("JSON");
        report["warnings"].clone()
    };
    let limit = ("AGENTCORE_WARMUP_TIMEOUT", "120s");
    let container = ("DOCKER_CONTAINER", "1");
    let warning =
        "AGENTCORE_WARMUP_TIMEOUT is 2m, and AgentCore Runtime gives up a warm-up after 2m";
    assert_eq!(checked(&[limit, container]), json!([warning]));
    assert_eq!(checked(&[container]), json!([]));
}

/// In a container the address is for the platform, which reaches few ports.
#[test]
fn a_port_that_the_platform_does_not_reach_is_a_warning() {
    let warning = "the agent listens on port 8443, which AgentCore Runtime does not reach";
    let container = ("DOCKER_CONTAINER", "1");
    let host = ("AGENTCORE_HOST", "0.0.0.0");
    let port = ("AGENTCORE_PORT", "8443");
    let checked = run(AGENT, &["--check", "--json"], &[container, host, port]);
    let report: serde_json::Value = serde_json::from_str(&checked.stdout).expect("JSON");
    assert_eq!((checked.code, &report["ok"]), (Some(0), &json!(true)));
    let warnings = report["warnings"].as_array().expect("a list");
    assert!(
        warnings[0].as_str().expect("a text").starts_with(warning),
        "{report}"
    );
    let checked = run(
        AGENT,
        &["--check"],
        &[container, host, ("AGENTCORE_PORT", "9000")],
    );
    assert!(!checked.stdout.contains("warning: "), "{}", checked.stdout);

    let port = crate::support::free_port().to_string();
    let agent = Agent::start(AGENT, &[container, host, ("AGENTCORE_PORT", &port)]);
    let warning = format!("the agent listens on port {port}, which AgentCore Runtime");
    assert!(
        agent.log_of_start().contains(&warning),
        "{}",
        agent.log_of_start()
    );
}
