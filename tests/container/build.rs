//! Builds the agent as the Dockerfile does, but for this machine's own libc, whose target exists on every machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::not_tested::not_tested;

/// The static `agent_macros`, built once; `None` if it cannot be linked.
pub(crate) fn static_agent() -> Option<&'static Path> {
    static AGENT: OnceLock<Option<PathBuf>> = OnceLock::new();
    AGENT
        .get_or_init(|| match std::env::var_os("AGENTCORE_TEST_BINARY") {
            Some(binary) => Some(binary.into()),
            None if cfg!(target_env = "gnu") && !has_static_libc() => {
                not_tested("no static libc to link with (libc6-dev or glibc-static)");
                None
            }
            None => Some(build()),
        })
        .as_deref()
}

/// Some distributions have the static libc in a separate package.
fn has_static_libc() -> bool {
    let asked = Command::new("cc").arg("-print-file-name=libc.a").output();
    // The name comes back unchanged if nothing was found.
    asked.is_ok_and(|answer| String::from_utf8_lossy(&answer.stdout).trim() != "libc.a")
}

fn build() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("static");
    let target = host();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--quiet"])
        .args(["--package", "agentcore-tests", "--bin", "agent_macros"])
        // The target is named, so that build scripts and macros are not made static too.
        .args(["--target", &target])
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status();
    assert!(built.expect("cargo").success(), "the static agent is built");
    folder.join(target).join("release/agent_macros")
}

fn host() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = Command::new(rustc).arg("-vV").output().expect("rustc");
    let answer = String::from_utf8(asked.stdout).expect("text");
    answer
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("rustc's own target")
        .to_owned()
}
