//! What the compiler says about each misuse of durable tasks and steps; see `../../ui.rs`.
//!
//! ```text
//! TRYBUILD=overwrite cargo test -p agentcore-durable-tests --features durable --test ui
//! ```

#[path = "../../not_tested.rs"]
mod not_tested;

#[test]
fn ui() {
    if !rustversion::cfg!(stable(1.95)) {
        not_tested::not_tested("the expected messages are those of Rust 1.95, stable");
        return;
    }
    let cases = trybuild::TestCases::new();
    cases.pass("ui/pass/*.rs");
    cases.compile_fail("ui/fail/*.rs");
}
