//! The number of files that this process may open. Every connection is one.

use std::io::{Error, Result};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are not connections under test.
const OTHERS: usize = 200;

/// Makes room for `connections`. The agent does so itself, up to the limit that it inherits.
pub(crate) fn make_room_for(connections: usize) -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?;
    let enough = (connections + OTHERS) as u64;
    match maximum {
        Some(maximum) if maximum < enough => Err(Error::other(format!(
            "{enough} files are needed and {maximum} allowed: raise the hard limit (ulimit -Hn)"
        ))),
        _ => Ok(()),
    }
}
