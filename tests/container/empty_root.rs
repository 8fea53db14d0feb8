//! An agent that is PID 1 in a root that contains only the agent.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::not_tested::not_tested;
use crate::support::{Agent, signal_to};

/// A drop ends the agent, as a drop of `Agent` does.
pub(crate) struct Container {
    agent: Agent,
    root: PathBuf,
}

impl Deref for Container {
    type Target = Agent;

    fn deref(&self) -> &Agent {
        &self.agent
    }
}

impl Container {
    /// `name` is the name of the root's folder, so it differs from test to test. `None` if there are no namespaces.
    pub(crate) fn start(name: &str, environment: &[(&str, &str)]) -> Option<Self> {
        Self::start_as("/agent", name, environment)
    }

    /// Starts the agent as `program`: by its path, or by its name if `PATH` says where it is.
    pub(crate) fn start_as(
        program: &str,
        name: &str,
        environment: &[(&str, &str)],
    ) -> Option<Self> {
        if !unshare().arg("true").status().is_ok_and(|it| it.success()) {
            not_tested("`unshare` may not make namespaces here");
            return None;
        }
        let binary = super::build::static_agent()?;
        let root = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("roots")
            .join(name);
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).expect("a folder");
        // Another process makes the copy. A file that this process has open for writing is inherited by the processes of other
        // tests, and cannot be executed until they have closed it ("text file busy").
        let copied = Command::new("cp")
            .arg(binary)
            .arg(root.join("agent"))
            .status();
        assert!(copied.expect("a cp command").success());

        let mut command = unshare();
        command
            .arg("--root")
            .arg(&root)
            .args(["--wd", "/", program]);
        // An empty variable counts as not set: the address is the agent's own choice.
        let environment = [&[("AGENTCORE_HOST", "")], environment].concat();
        let agent = Agent::start_command(command, &environment);
        Some(Self { agent, root })
    }

    /// The number of PID 1 outside of its namespace.
    fn pid_1(&self) -> String {
        children(&self.pid().to_string())
    }

    /// Sends a signal to PID 1 from outside of its namespace.
    pub(crate) fn signal(&self, name: &str) {
        signal_to(&self.pid_1(), name);
    }

    /// Whether PID 1 has started another process.
    pub(crate) fn has_init(&self) -> bool {
        !children(&self.pid_1()).is_empty()
    }

    /// Waits for the end. Returns the exit code and the rest of the log, and checks that the root is unchanged.
    pub(crate) fn wait(self) -> (Option<i32>, String) {
        let (status, log) = self.agent.wait();
        let files: Vec<_> = fs::read_dir(&self.root)
            .expect("the root")
            .map(|file| file.expect("a file").file_name())
            .collect();
        assert_eq!(files, ["agent"], "{log}");
        (status.code(), log)
    }
}

/// The children of `process`, separated by spaces.
fn children(process: &str) -> String {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    children
        .expect("the children of a process")
        .trim()
        .to_owned()
}

/// New PIDs and mounts, as a user that no file lists. The network is the test's, because the test has to reach the agent.
fn unshare() -> Command {
    // `unshare` by its path, because a test may give the agent another `PATH`.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path)
        .map(|folder| folder.join("unshare"))
        .find(|program| program.exists());
    let mut command = Command::new(program.unwrap_or_else(|| "unshare".into()));
    command.args(["--user", "--map-user=1000", "--map-group=1000"]);
    command.args(["--pid", "--mount", "--fork", "--kill-child"]);
    command
}
