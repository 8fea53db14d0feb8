//! Which code sees that a request was cancelled, and when.

use serde_json::json;

use crate::support::{Agent, Client};

fn agent() -> Agent {
    agent_with(&[])
}

fn agent_with(environment: &[(&str, &str)]) -> Agent {
    Agent::start(env!("CARGO_BIN_EXE_cancellation"), environment)
}

#[test]
fn a_client_that_leaves_is_told_to_the_handler() {
    let agent = agent();
    let client = Client::connect(agent.address()).send_post(b"\"wait\"");
    agent.line_with("the handler runs");
    drop(client);
    agent.line_with("the handler was told");
    agent.until_idle();
}

#[test]
fn a_shutdown_is_told_to_the_handler_and_its_reply_still_arrives() {
    let agent = agent();
    let running = agent.invoke_later(json!("wait"));
    agent.line_with("the handler runs");
    agent.signal("TERM");
    assert_eq!(
        running.join().expect("a reply").parts(),
        (200, json!("never mind"))
    );
    assert_eq!(agent.wait().0.code(), Some(0));
}

#[test]
fn a_timeout_is_told_to_what_the_handler_left_behind() {
    let agent = agent_with(&[("ENTRYPOINT_TIMEOUT_MS", "500")]);
    assert_eq!(agent.invoke(json!("spawn and hang")).status, 504);
    agent.line_with("the background task was told");
    agent.until_idle();
}

#[test]
fn a_shutdown_is_told_to_background_tasks() {
    let agent = agent();
    assert_eq!(
        agent.invoke(json!("spawn")).parts(),
        (200, json!("spawned"))
    );
    assert!(agent.ping().busy);
    agent.signal("TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("the background task was told"), "{stderr}");
}
