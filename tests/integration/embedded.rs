//! Agents that are served on a program's own runtime.

use crate::support::{Outcome, run};

fn embedded(how: &str) -> String {
    let outcome = run(env!("CARGO_BIN_EXE_embedded"), &[how], &[]);
    let Outcome {
        code: Some(0),
        stdout,
        ..
    } = outcome
    else {
        panic!("{how}: {outcome:?}");
    };
    stdout.trim().to_owned()
}

#[test]
fn no_task_is_left_on_the_runtime_behind_a_server() {
    assert_eq!(embedded("tasks alive"), "0");
}

#[test]
fn a_drop_may_need_the_one_thread_that_waits_for_the_server() {
    assert_eq!(
        embedded("one thread waits"),
        "agentcore-helper agentcore-helper"
    );
}

#[test]
fn states_are_not_dropped_on_the_front_when_nobody_waits_for_the_server() {
    for how in ["given up", "runtime ends", "one thread ends"] {
        assert_eq!(embedded(how), "agentcore-helper", "{how}");
    }
}
