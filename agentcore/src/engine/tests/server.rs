//! A PostgreSQL server for the tests of this process.
//!
//! It is started by the first test that needs it. A shell waits until this process ends, even by a crash, and then
//! stops the server.

use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;

use super::not_tested::not_tested;
use super::world::Folder;

/// The programs of Absurd that are installed, of the release that messages of the engine name.
const ABSURD: [&str; 2] = ["absurdctl==0.5.1", "absurd-sdk==0.5.1"];

pub(super) struct Server {
    folder: PathBuf,
    programs: PathBuf,
    port: u16,
    /// The shell's input, which ends with this process.
    _end: Option<ChildStdin>,
}

/// The server; `None` where PostgreSQL is not installed, which is said then.
pub(super) fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
    match SERVER.get_or_init(Server::start) {
        Ok(server) => Some(server),
        Err(why) => {
            not_tested(why);
            None
        }
    }
}

impl Server {
    pub(super) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/jobs", self.port)
    }

    /// A server of the caller's own, which stops when it is dropped.
    pub(super) fn start() -> Result<Self, String> {
        let programs = programs().ok_or("PostgreSQL is not installed")?;
        let python = absurd_python()?;
        let folder = Folder::new().keep();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(|error| error.to_string())?
            .port();
        // PostgreSQL does not run as root. Then it runs as the user that its package made.
        let is_root = output("id", &["-u"])?.trim() == "0";
        if is_root {
            output("chown", &["postgres", &folder.display().to_string()])?;
        }
        let user = if is_root {
            "runuser -u postgres --"
        } else {
            ""
        };
        let script = format!(
            "cd {folder} && {user} {programs}/initdb -D {folder}/data -U postgres -A trust -N --no-locale -E UTF8 >log 2>&1
             {user} {programs}/postgres -D {folder}/data -p {port} -k {folder} -c listen_addresses=127.0.0.1 >>log 2>&1 &
             read end
             {user} {programs}/pg_ctl -D {folder}/data -m immediate stop >>log 2>&1
             wait; cd /; rm -rf {folder}",
            folder = folder.display(),
            programs = programs.display(),
        );
        let shell = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let server = Self {
            folder,
            programs,
            port,
            _end: shell.stdin,
        };
        server.wait_until_ready()?;
        server.psql("postgres", "CREATE DATABASE jobs")?;
        let port = port.to_string();
        let mut init = Command::new(python);
        init.args([
            "-c",
            "import absurdctl; absurdctl.main()",
            "init",
            "-d",
            "jobs",
        ])
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", port)
        .env("PGUSER", "postgres")
        .env_remove("ABSURD_DATABASE_URL");
        run(&mut init)?;
        Ok(server)
    }

    fn wait_until_ready(&self) -> Result<(), String> {
        for _ in 0..600 {
            if self.psql("postgres", "SELECT 1").is_ok() {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        Err(format!("PostgreSQL does not start: {log}"))
    }

    /// What statements answer that `psql` makes.
    pub(super) fn psql(&self, database: &str, statements: &str) -> Result<String, String> {
        let psql = self.programs.join("psql").display().to_string();
        let port = self.port.to_string();
        output(
            &psql,
            &[
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-U",
                "postgres",
                "-d",
                database,
                "-v",
                "ON_ERROR_STOP=1",
                "-Atqc",
                statements,
            ],
        )
    }
}

/// The folder of the newest PostgreSQL.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    let installed = folders.filter(|folder| folder.join("initdb").exists());
    installed.max_by_key(|folder| {
        let version = folder.parent().and_then(Path::file_name);
        version.and_then(|name| name.to_str()?.parse::<u32>().ok())
    })
}

/// The Python that has Absurd's programs.
pub(super) fn absurd_python() -> Result<PathBuf, String> {
    Ok(absurd()?.join("bin/python"))
}

/// An environment with Absurd's programs, which is kept.
fn absurd() -> Result<PathBuf, String> {
    let folder = std::env::temp_dir().join("agentcore-absurd-0.5.1");
    if !folder.exists() {
        // It is made apart, so that no other process finds half of it. Its Python does not mind the move.
        let made = Folder::new().keep();
        output("python3", &["-m", "venv", &made.display().to_string()])?;
        let python = made.join("bin/python").display().to_string();
        output(
            &python,
            &["-m", "pip", "install", "-q", ABSURD[0], ABSURD[1]],
        )?;
        if std::fs::rename(&made, &folder).is_err() {
            // Another process was quicker.
            let _ = std::fs::remove_dir_all(&made);
        }
    }
    Ok(folder)
}

fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    run(Command::new(program).args(arguments))
}

fn run(command: &mut Command) -> Result<String, String> {
    let made = command.output();
    let Output {
        status,
        stdout,
        stderr,
    } = made.map_err(|error| format!("{command:?}: {error}"))?;
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        return Err(format!("{command:?}: {status}: {stderr}"));
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}
