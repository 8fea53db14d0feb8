//! One clock for two processes: the machine's monotonic clock, which the agent under load and the judge both read.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock. std's `Instant` hides the number, which means the same in all processes of one
/// machine.
pub type Nanos = u64;

/// In nanoseconds.
pub const MILLISECOND: Nanos = 1_000_000;
/// In nanoseconds.
pub const SECOND: Nanos = 1_000 * MILLISECOND;

/// The time now.
#[must_use]
pub fn now() -> Nanos {
    let time = clock_gettime(ClockId::Monotonic);
    // Neither is ever negative, because the clock starts with the machine.
    time.tv_sec.unsigned_abs() * SECOND + time.tv_nsec.unsigned_abs()
}

/// The difference between nanoseconds since 1970 and the monotonic time, at this moment.
#[must_use]
pub fn wall_offset() -> Nanos {
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(wall.as_nanos())
        .unwrap_or(u64::MAX)
        .saturating_sub(now())
}
