//! What the compiler says about each misuse of durable tasks and steps; see `../../ui.rs`. The uses that it takes are in
//! `accepted.rs`: a case that has to be built would make each of these a build, and none of them is more than checked so.
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
    cases.compile_fail("ui/*.rs");
}
