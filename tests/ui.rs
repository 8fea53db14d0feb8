//! Every mistake that the macros detect has a file in `ui/`, named after it, with the compiler's whole answer beside it.
//!
//! The answers are those of one compiler version, which the test needs. After a change of the macros or of that version, read
//! what this command rewrites:
//!
//! ```text
//! TRYBUILD=overwrite cargo test -p agentcore-tests --test ui
//! ```
//!
//! One case alone: `cargo test -p agentcore-tests --test ui -- ui trybuild=second_payload.rs`.
//!
//! Files in a `pass` folder are run as well as built, so an entrypoint in one of them says `main = false`.

#[path = "not_tested.rs"]
mod not_tested;

#[test]
fn ui() {
    if !rustversion::cfg!(stable(1.95)) {
        not_tested::not_tested("the expected messages are those of Rust 1.95, stable");
        return;
    }
    let cases = trybuild::TestCases::new();
    for attribute in [
        "entrypoint",
        "async_task",
        "ping",
        "on_start",
        "on_shutdown",
        "on_warmup",
        "on_restore",
        "websocket",
        "routes",
        "stream",
        "tool",
        "resource",
        "prompt",
    ] {
        // Without the feature `mcp`, resources and prompts have no case that passes.
        if !["resource", "prompt"].contains(&attribute) {
            cases.pass(format!("ui/{attribute}/pass/*.rs"));
        }
        cases.compile_fail(format!("ui/{attribute}/fail/*.rs"));
    }
}

/// A message that quotes the sources of `std` would differ between machines with and without them.
#[test]
fn no_expected_message_quotes_std() {
    fn stderr_files(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                stderr_files(&path, found);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "stderr")
            {
                found.push(path);
            }
        }
    }
    let mut files = Vec::new();
    stderr_files("ui".as_ref(), &mut files);
    assert!(!files.is_empty(), "the files have moved");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("$RUST"), "{}", file.display());
    }
}
