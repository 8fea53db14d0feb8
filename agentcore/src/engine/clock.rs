//! The time of day by which an engine of this process decides what is due.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A source of the time of day.
#[derive(Debug, Clone)]
pub(super) enum Clock {
    /// The operating system's.
    System,
    /// The operating system's at one moment, and tokio's since then: it stands still where that one is paused.
    Tokio { start: SystemTime, since: Instant },
    /// The one that a test sets.
    #[cfg(test)]
    Set(std::sync::Arc<crate::util::sync::Mutex<SystemTime>>),
}

impl Clock {
    /// Tokio's clock, as it goes where this is called.
    pub(super) fn tokio() -> Self {
        Self::Tokio {
            start: SystemTime::now(),
            since: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        match self {
            Self::System => SystemTime::now(),
            Self::Tokio { start, since } => *start + since.elapsed(),
            #[cfg(test)]
            Self::Set(time) => *time.lock(),
        }
    }
}

/// The microseconds of a time since 1970, which is what a store keeps of it.
pub(super) fn micros(time: SystemTime) -> i64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// The time of these microseconds since 1970.
pub(super) fn from_micros(micros: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros.try_into().unwrap_or(0))
}

/// A time that is `after` later. What lies beyond all times is the last one.
pub(super) fn later(time: SystemTime, after: Duration) -> SystemTime {
    time.checked_add(after.min(MOST_DELAY)).unwrap_or(time)
}

/// A hundred years. PostgreSQL's times end before those of the operating system.
const MOST_DELAY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
