//! Opening the file: its settings and its tables.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::engine::error::EngineError;
use crate::platform;

/// The version of the tables, which the file keeps as `user_version`.
const VERSION: i64 = 1;
/// What tells such a file from another program's: "agnt" in ASCII, as `application_id`.
const APPLICATION: i64 = 0x6167_6e74;
/// How long a lock of another process is waited for while the file is opened.
const PATIENCE: Duration = Duration::from_secs(4);

/// How processes that use one file exclude each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locks {
    /// By locks of the file system: several processes of one host may use the file.
    File,
    /// By the promise that one process uses the file. For a mount without locks, such as AgentCore's session storage, which
    /// one microVM has at a time.
    None,
}

/// Each makes the tables of its version out of those of the one before.
const MIGRATIONS: [&str; VERSION as usize] = ["
    CREATE TABLE jobs (
        job INTEGER PRIMARY KEY,
        task TEXT NOT NULL,
        id BLOB NOT NULL,
        input TEXT NOT NULL,
        headers TEXT NOT NULL,
        key TEXT,
        max_attempts INTEGER NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 1,
        claims INTEGER NOT NULL DEFAULT 0,
        status INTEGER NOT NULL DEFAULT 0,
        due INTEGER NOT NULL,
        run BLOB NOT NULL,
        holder TEXT,
        until INTEGER,
        leased INTEGER,
        result TEXT,
        failure TEXT,
        submitted INTEGER NOT NULL,
        started INTEGER,
        ended INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX jobs_id ON jobs (task, id);
    CREATE UNIQUE INDEX jobs_key ON jobs (task, key) WHERE key IS NOT NULL;
    CREATE INDEX jobs_waiting ON jobs (task, due, run) WHERE status = 0;
    CREATE INDEX jobs_running ON jobs (task, until, run) WHERE status = 1;
    CREATE INDEX jobs_ended ON jobs (task, ended) WHERE ended IS NOT NULL;
    CREATE TABLE steps (
        step INTEGER PRIMARY KEY,
        job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        UNIQUE (job, name)
    ) STRICT;
    CREATE TABLE failures (
        job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
        run BLOB NOT NULL,
        holder TEXT NOT NULL,
        failure TEXT NOT NULL,
        PRIMARY KEY (job, run)
    ) STRICT, WITHOUT ROWID;
"];

/// A file that is open.
pub(super) struct Opened {
    pub(super) file: Connection,
    /// Tells the file from another one at its path.
    identity: Option<(u64, u64)>,
    /// Keeps other processes out of a file without locks. It is closed after the connection.
    _owner: Option<File>,
}

impl Opened {
    /// Whether the file is the one at its path. SQLite goes on with a file that has been moved or deleted, and no other process would
    /// find the jobs in it.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.identity == platform::identity_of_file(path)
    }
}

/// The version of what is in the file. Changes nothing, and makes no file.
pub(super) fn look(path: &Path) -> Result<i64, EngineError> {
    in_a_folder(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = Connection::open_with_flags(path, flags)?;
    file.busy_timeout(PATIENCE)?;
    found(&file, path)
}

/// Checks that the folder of the file is there. It is not made: in place of an unmounted volume it would hold jobs that do not last.
fn in_a_folder(path: &Path) -> Result<(), EngineError> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        return Err(EngineError::Unreachable(format!(
            "{}: there is no such folder, or it is not mounted yet",
            path.display()
        )));
    }
    Ok(())
}

/// Opens the file, and makes or brings up to date what is in it.
pub(super) fn open(path: &Path, locks: Locks) -> Result<Opened, EngineError> {
    in_a_folder(path)?;
    // SQLite would make a file that every user can read.
    platform::make_private_file(path).map_err(|error| unreachable(path, &error))?;
    let owner = match locks {
        Locks::File => None,
        Locks::None => own(path)?,
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = match locks {
        Locks::File => Connection::open_with_flags(path, flags),
        Locks::None => Connection::open_with_flags_and_vfs(path, flags, c"unix-none"),
    };
    let prepared = opened.map_err(EngineError::from).and_then(|mut file| {
        set_up(&file, locks)?;
        migrate(&mut file, path)?;
        Ok(Opened {
            file,
            identity: platform::identity_of_file(path),
            _owner: owner,
        })
    });
    prepared.map_err(|error| match error {
        EngineError::Unreachable(why) => unreachable(path, &why),
        other => other,
    })
}

/// Keeps other processes out of a file without locks, as long as the answer lives. Two of them would destroy each other's jobs: the
/// one that ends first takes itself for the last user, and removes the journal. A mount may have such locks although it
/// has none for parts of files, which SQLite uses. Where it has neither, nothing is kept out.
fn own(path: &Path) -> Result<Option<File>, EngineError> {
    let file = File::open(path).map_err(|error| unreachable(path, &error))?;
    match platform::lock_file(&file) {
        Ok(()) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            let why = "another process uses the file, and with `?locks=none` only one may";
            Err(unreachable(path, &why))
        }
        Err(_) => Ok(None),
    }
}

fn unreachable(path: &Path, why: &dyn std::fmt::Display) -> EngineError {
    EngineError::Unreachable(format!("{}: {why}", path.display()))
}

fn set_up(file: &Connection, locks: Locks) -> Result<(), EngineError> {
    file.busy_timeout(PATIENCE)?;
    file.set_prepared_statement_cache_capacity(64);
    // Before the journal: with it, a WAL needs no memory that processes share.
    if locks == Locks::None {
        file.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    }
    // A file system that cannot have it keeps another journal, which is as safe, and slower.
    file.pragma_update(None, "journal_mode", "WAL")?;
    file.pragma_update(None, "synchronous", "FULL")?;
    file.pragma_update(None, "foreign_keys", true)?;
    // After a burst of large values the journal shrinks again.
    file.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    Ok(())
}

pub(super) fn version(file: &Connection) -> Result<i64, EngineError> {
    Ok(file.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn migrate(file: &mut Connection, path: &Path) -> Result<(), EngineError> {
    if found(file, path)? == VERSION {
        return Ok(());
    }
    // Another process may do it too: the lock is taken before the version is read again.
    let change = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = found(&change, path)?;
    for migration in &MIGRATIONS[usize::try_from(version).unwrap_or(0)..] {
        change.execute_batch(migration)?;
    }
    change.pragma_update(None, "application_id", APPLICATION)?;
    change.pragma_update(None, "user_version", VERSION)?;
    change.commit()?;
    Ok(())
}

/// The version of what is in the file, if this program can go on from there.
fn found(file: &Connection, path: &Path) -> Result<i64, EngineError> {
    let application: i64 = file.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version = version(file)?;
    let tables: i64 = file.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION && tables > 0 {
        return Err(EngineError::Schema(format!(
            "{} is a database of another program; give durable jobs a file of their own",
            path.display()
        )));
    }
    if version > VERSION {
        return Err(EngineError::Schema(format!(
            "{} has version {version} of the tables of durable jobs, and this program knows versions up to {VERSION}; \
             start the newer program, or use another file",
            path.display()
        )));
    }
    Ok(version)
}

impl From<rusqlite::Error> for EngineError {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Unreachable("another process keeps the file locked".to_owned())
            }
            Some(ErrorCode::FileLockingProtocolFailed) => Self::Unreachable(no_locks(&text)),
            Some(ErrorCode::SystemIoFailure) if is_about_locks(&error) => {
                Self::Unreachable(no_locks(&text))
            }
            Some(
                ErrorCode::CannotOpen
                | ErrorCode::DiskFull
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationInterrupted
                | ErrorCode::PermissionDenied
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure,
            ) => Self::Unreachable(text),
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Schema(format!(
                "the file of durable jobs is damaged, or no SQLite database ({text}); restore it, or use another file"
            )),
            _ => Self::Refused(format!("SQLite refused a statement: {text}")),
        }
    }
}

fn is_about_locks(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi;
    let about_locks = [
        ffi::SQLITE_IOERR_LOCK,
        ffi::SQLITE_IOERR_RDLOCK,
        ffi::SQLITE_IOERR_UNLOCK,
        ffi::SQLITE_IOERR_CHECKRESERVEDLOCK,
        ffi::SQLITE_IOERR_SHMOPEN,
        ffi::SQLITE_IOERR_SHMLOCK,
        ffi::SQLITE_IOERR_SHMMAP,
    ];
    error
        .sqlite_error()
        .is_some_and(|error| about_locks.contains(&error.extended_code))
}

fn no_locks(text: &str) -> String {
    format!(
        "the file cannot be locked ({text}); if its mount has no locks and one process uses it, append `?locks=none` to the path"
    )
}
