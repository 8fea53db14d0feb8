//! Clean debug builds of the smallest programs that have `/ping` and `/invocations`.

use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// A program, and its dependencies besides serde_json.
struct Hello {
    source: &'static str,
    dependencies: &'static str,
}

/// In the order of the table. The versions are those in the workspace's lock file.
const HELLOS: [Hello; 3] = [
    Hello {
        source: include_str!("../../peers/hello/agent.rs"),
        dependencies: concat!(
            "agentcore = { path = \"",
            env!("CARGO_MANIFEST_DIR"),
            "/../../agentcore\" }"
        ),
    },
    Hello {
        source: include_str!("../../peers/hello/axum.rs"),
        dependencies: "axum = \"0.8\"\ntokio = { version = \"1\", features = [\"macros\", \"net\", \"rt-multi-thread\"] }",
    },
    Hello {
        source: include_str!("../../peers/hello/hyper.rs"),
        dependencies: "http-body-util = \"0.1\"\nhyper = { version = \"1\", features = [\"http1\", \"server\"] }\n\
                       hyper-util = { version = \"0.1\", features = [\"tokio\"] }\n\
                       tokio = { version = \"1\", features = [\"macros\", \"net\", \"rt-multi-thread\"] }",
    },
];

/// The programs in their own folder, which is removed with this value.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Writes the programs, and fetches their dependencies.
    pub(super) fn make() -> Result<Self> {
        let name = format!("agentcore-load-hello.{}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
        for (number, hello) in HELLOS.iter().enumerate() {
            let package = folder.package(number);
            fs::create_dir_all(package.join("src"))?;
            let manifest = format!(
                "[package]\nname = \"hello\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
                 serde_json = \"1\"\n{}\n",
                hello.dependencies
            );
            fs::write(package.join("Cargo.toml"), manifest)?;
            fs::write(package.join("src/main.rs"), hello.source)?;
            fs::copy(&lock, package.join("Cargo.lock"))?;
            cargo(&["fetch", "--quiet"], &package)?;
        }
        Ok(folder)
    }

    fn package(&self, number: usize) -> PathBuf {
        self.0.join(number.to_string())
    }

    /// Builds a program from nothing. Returns the seconds that it took.
    pub(super) fn build(&self, number: usize) -> Result<f64> {
        let package = self.package(number);
        match fs::remove_dir_all(package.join("target")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let began = Instant::now();
        cargo(&["build", "--quiet", "--offline"], &package)?;
        Ok(began.elapsed().as_secs_f64())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs cargo in `package`, with its own target folder and without this process's cargo variables.
fn cargo(arguments: &[&str], package: &Path) -> Result<()> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments)
        .current_dir(package)
        .env("CARGO_TARGET_DIR", package.join("target"))
        .env_remove("CARGO_INCREMENTAL")
        .env_remove("RUSTFLAGS")
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::other(format!("cargo {arguments:?} failed")))
    }
}
