//! Names of the holders of jobs, each of which is used for one claim.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::platform;
use crate::util::sync::Mutex;

/// The source of a process's names.
#[derive(Debug)]
pub(super) struct Holders(Mutex<Names>);

#[derive(Debug)]
struct Names {
    process: String,
    claims: u64,
}

impl Names {
    /// A name starts with the host and the process, for people. Random bits tell processes apart, because in each container of
    /// a host the process has number 1.
    fn new() -> Self {
        let mut process = std::env::var("HOSTNAME").unwrap_or_default();
        process.retain(|letter| letter.is_ascii_alphanumeric() || letter == '-');
        process.truncate(40);
        let mut random = [0; 8];
        platform::random(&mut random);
        let _ = write!(process, ":{}:", std::process::id());
        for byte in random {
            let _ = write!(process, "{byte:02x}");
        }
        Self { process, claims: 0 }
    }
}

impl Holders {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Names::new()))
    }

    /// A name that no claim has had, of this or of another process.
    pub(super) fn next(&self) -> Arc<str> {
        let mut names = self.0.lock();
        names.claims += 1;
        format!("{}/{}", names.process, names.claims).into()
    }

    /// Whether this process has given out the name, since the last [`renew`](Self::renew).
    #[cfg(feature = "durable-postgres")]
    pub(super) fn has_named(&self, holder: &str) -> bool {
        let names = self.0.lock();
        let rest = holder.strip_prefix(&names.process);
        rest.is_some_and(|rest| rest.starts_with('/'))
    }

    /// Draws new random bits. Two processes that were restored from one snapshot would give out equal names otherwise.
    pub(super) fn renew(&self) {
        *self.0.lock() = Names::new();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_comes_twice() {
        let (a, b) = (Holders::new(), Holders::new());
        let mut names: HashSet<_> = (0..3).flat_map(|_| [a.next(), b.next()]).collect();
        a.renew();
        names.extend((0..3).map(|_| a.next()));
        assert_eq!(names.len(), 9, "{names:?}");
    }
}
