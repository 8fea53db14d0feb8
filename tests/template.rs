//! The crate that `examples/template` makes: it builds, passes its own tests, and would start.
//!
//! It is made by two rules of `cargo generate`: `{{name}}` is replaced, and `.liquid` is removed from file names.
//! cargo-generate has to make the same crate.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "not_tested.rs"]
mod not_tested;

use not_tested::not_tested;

const NAME: &str = "my-agent";

/// A directory outside of the workspace, which would claim a crate inside it. It is removed when the test has passed.
struct Scratch(PathBuf);

impl Scratch {
    fn new(what: &str) -> Self {
        let path = std::env::temp_dir().join(format!("agentcore-{what}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn template() -> PathBuf {
    root().join("examples/template")
}

/// The answer to the template's only question.
fn agentcore() -> String {
    format!("{{ path = {:?} }}", root().join("agentcore"))
}

/// All files in `top`, by their path from there.
fn files(top: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                found.insert(path.strip_prefix(top).unwrap().to_owned(), text);
            }
        }
    }
    found
}

fn made() -> BTreeMap<PathBuf, String> {
    made_with(&agentcore())
}

fn made_with(agentcore: &str) -> BTreeMap<PathBuf, String> {
    let mut files = files(&template());
    files
        .remove(Path::new("cargo-generate.toml"))
        .expect("the template's questions");
    files
        .into_iter()
        .map(|(path, text)| {
            let text = text
                .replace("{{project-name}}", NAME)
                .replace("{{agentcore}}", agentcore);
            for left in ["{{", "{%"] {
                assert!(!text.contains(left), "{path:?} has a {left} left:\n{text}");
            }
            let name = path.to_str().unwrap();
            (name.strip_suffix(".liquid").unwrap_or(name).into(), text)
        })
        .collect()
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// The output of a command.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{command:?}:\n{said}");
    said
}

#[test]
fn the_crate_builds_passes_its_tests_and_would_start() {
    let scratch = Scratch::new("template");
    for (path, text) in made() {
        let path = scratch.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    // The versions are those that are here already, so nothing is fetched.
    std::fs::copy(root().join("Cargo.lock"), scratch.0.join("Cargo.lock")).unwrap();
    let build = |arguments: &[&str]| {
        let mut command = cargo();
        command
            .args(arguments)
            .current_dir(&scratch.0)
            .env(
                "CARGO_TARGET_DIR",
                concat!(env!("CARGO_TARGET_TMPDIR"), "/template"),
            )
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("RUST_BACKTRACE", "0");
        command
    };

    let said = run(&mut build(&["test", "--offline"]));
    assert!(said.contains("test result: ok. 3 passed"), "{said}");
    assert!(!said.contains("warning"), "{said}");

    let said = run(&mut build(&[
        "run",
        "--offline",
        "--quiet",
        "--",
        "--check",
    ]));
    assert!(said.starts_with("my-agent 0.1.0 (agentcore "), "{said}");
    assert!(said.contains("can start"), "{said}");

    if Command::new("rustfmt").arg("--version").output().is_ok() {
        run(&mut build(&["fmt", "--check"]));
    } else {
        not_tested("rustfmt, which checks the template's layout, is not installed");
    }
}

#[test]
fn the_dockerfile_is_the_examples_one_with_other_defaults() {
    let container = files(&root().join("examples/deploy/container"));
    let template = files(&template());
    let ignore = Path::new("Dockerfile.dockerignore");
    assert_eq!(template[ignore], container[ignore]);

    // The commands after the comment, which says where to run them.
    let lines = |text: &str| {
        let lines = text
            .lines()
            .skip_while(|line| line.starts_with('#') || line.is_empty());
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let dockerfile = Path::new("Dockerfile");
    let expected = container[dockerfile]
        .replace("ARG CRATE=.\n", "ARG CRATE={{project-name}}\n")
        .replace("ARG KIND=example\n", "ARG KIND=bin\n")
        .replace(
            "ARG AGENT=async_processing\n",
            "ARG AGENT={{project-name}}\n",
        );
    assert_eq!(lines(&template[dockerfile]), lines(&expected));
}

/// Runs the commands of the examples' README as they are.
#[test]
fn the_copy_by_hand_is_the_same() {
    let page = std::fs::read_to_string(root().join("examples/README.md")).unwrap();
    let (_, page) = page.split_once("## A crate of your own").unwrap();
    let (_, page) = page.split_once("```sh\n").unwrap();
    let (commands, _) = page.split_once("cargo test\n```").unwrap();

    let scratch = Scratch::new("by-hand");
    let examples = scratch.0.join("agentcore/examples/template");
    for (path, text) in files(&template()) {
        let path = examples.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    run(Command::new("sh")
        .args(["-euc", commands])
        .current_dir(&scratch.0));
    let expected = made_with(r#"{ path = "../agentcore/agentcore" }"#);
    assert_eq!(files(&scratch.0.join(NAME)), expected);
}

#[test]
fn cargo_generate_makes_the_same() {
    let installed = cargo().args(["generate", "--version"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        not_tested("cargo-generate is not installed");
        return;
    }
    let scratch = Scratch::new("generated");
    run(cargo()
        .args(["generate", "--silent", "--vcs", "none", "--name", NAME])
        .arg("--path")
        .arg(template())
        .arg("--destination")
        .arg(&scratch.0)
        .arg("--define")
        .arg(format!("agentcore={}", agentcore())));
    let generated = files(&scratch.0.join(NAME));
    let expected = made();
    assert_eq!(
        generated.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (path, text) in expected {
        assert_eq!(generated[&path], text, "{path:?}");
    }
}
