//! [`Restorable`]: an agent whose wall clock jumps ahead, as it does after a restore from a snapshot. libfaketime moves the clock.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::not_tested::not_tested;
use crate::support::Agent;

/// An agent whose wall clock the test moves.
pub(crate) struct Restorable {
    pub(crate) agent: Agent,
    pub(crate) clock: Clock,
}

/// The file with the offset of the wall clock.
pub(crate) struct Clock {
    offset: PathBuf,
    ahead: Duration,
}

impl Restorable {
    /// Starts `binary`; `None` if this machine cannot move its clock.
    pub(crate) fn start(binary: &str, environment: &[(&str, &str)]) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let Some(library) = libfaketime() else {
            not_tested("libfaketime is not installed");
            return None;
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("agentcore-restored-{}-{number}", std::process::id());
        let offset = std::env::temp_dir().join(name);
        fs::write(&offset, "+0").expect("a file");
        let (library, file) = (
            library.to_string_lossy(),
            offset.to_string_lossy().into_owned(),
        );
        let faked = [
            ("LD_PRELOAD", &*library),
            ("FAKETIME_TIMESTAMP_FILE", &*file),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_NO_CACHE", "1"),
        ];
        Some(Self {
            agent: Agent::start(binary, &[&faked, environment].concat()),
            clock: Clock {
                offset,
                ahead: Duration::ZERO,
            },
        })
    }

    /// The session begins two hours after the snapshot.
    pub(crate) fn restore(&mut self) {
        self.clock.move_on(Duration::from_secs(2 * 3600));
    }
}

impl Clock {
    /// Moves the clock ahead.
    pub(crate) fn move_on(&mut self, by: Duration) {
        self.ahead += by;
        let seconds = format!("+{}", self.ahead.as_secs());
        // In one step: the agent must not read half a number.
        let written = self.offset.with_extension("new");
        fs::write(&written, seconds).expect("a file");
        fs::rename(&written, &self.offset).expect("a file");
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.offset);
    }
}

pub(crate) fn libfaketime() -> Option<PathBuf> {
    let library = |folder: &Path| folder.join("faketime/libfaketimeMT.so.1");
    let folders = fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    folders
        .map(|folder| library(&folder.path()))
        .find(|library| library.exists())
}
