//! Noticing that the process was restored from a snapshot.
//!
//! Platform version V2 starts every session from a snapshot that was taken at the first healthy ping. A restored
//! process sees its wall clock jump ahead while the monotonic clock goes on as if nothing had happened; a stamp from
//! before the snapshot would make a new session look as if it had been idle for hours.
//!
//! Two things look alike and are none: corrections of the wall clock, and nights in which a machine sleeps and its monotonic
//! clock stands still for a while. Each look is compared with the one before it, so that they do not add up. A single step
//! of more than [`JUMP`] cannot be told from a restore.

use std::time::{Duration, Instant, SystemTime};

/// By how much the wall clock has to get ahead between two looks. Corrections (NTP) stay far below it; snapshots are far
/// older.
const JUMP: Duration = Duration::from_secs(30);

/// Compares the two clocks each time it is asked.
#[derive(Debug)]
pub(crate) struct RestoreDetector {
    /// Both clocks at the last look.
    wall: SystemTime,
    monotonic: Instant,
}

impl RestoreDetector {
    pub(crate) fn new() -> Self {
        Self {
            wall: SystemTime::now(),
            monotonic: Instant::now(),
        }
    }

    /// Whether the process was restored since the last look.
    pub(crate) fn restored(&mut self, now: Instant) -> bool {
        self.restored_at(SystemTime::now(), now)
    }

    fn restored_at(&mut self, wall: SystemTime, monotonic: Instant) -> bool {
        let wall_passed = wall.duration_since(self.wall).unwrap_or_default();
        let passed = monotonic.saturating_duration_since(self.monotonic);
        *self = Self { wall, monotonic };
        wall_passed.saturating_sub(passed) > JUMP
    }
}

/// Whether the wall clock shows a date that HTTP can name. hyper panics for each connection when its first date is before
/// 1970, so a server that starts then would answer nothing. A clock that steps back later is no harm: hyper keeps the date
/// that it has.
pub(crate) fn has_a_date() -> bool {
    SystemTime::now() >= SystemTime::UNIX_EPOCH
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn a_jump_of_the_wall_clock_alone_is_a_restore_and_is_told_once() {
        let (wall, monotonic) = (SystemTime::now(), Instant::now());
        let mut detector = RestoreDetector { wall, monotonic };
        assert!(!detector.restored_at(wall + seconds(7200), monotonic + seconds(7200)));
        assert!(detector.restored_at(wall + seconds(10_000), monotonic + seconds(7201)));
        assert!(!detector.restored_at(wall + seconds(10_002), monotonic + seconds(7203)));
        assert!(detector.restored_at(wall + seconds(20_000), monotonic + seconds(7300)));
    }

    #[test]
    fn small_corrections_and_steps_back_are_not() {
        let (wall, monotonic) = (SystemTime::now(), Instant::now());
        let mut detector = RestoreDetector { wall, monotonic };
        assert!(!detector.restored_at(wall + seconds(35), monotonic + seconds(10)));
        assert!(!detector.restored_at(wall - seconds(500), monotonic + seconds(20)));
    }

    #[test]
    fn small_corrections_do_not_add_up() {
        let (wall, monotonic) = (SystemTime::now(), Instant::now());
        let mut detector = RestoreDetector { wall, monotonic };
        for look in 1..100 {
            // Each is ahead of the last by 29 s more than has passed.
            assert!(!detector.restored_at(wall + seconds(30 * look), monotonic + seconds(look)));
        }
        // A step back is not made up for by what follows it.
        assert!(!detector.restored_at(wall, monotonic + seconds(100)));
        assert!(!detector.restored_at(wall + seconds(30), monotonic + seconds(101)));
        assert!(detector.restored_at(wall + seconds(62), monotonic + seconds(102)));
    }
}
