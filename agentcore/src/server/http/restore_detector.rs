//! Detects that the process was restored from a snapshot.
//!
//! Platform version V2 starts every session from a snapshot that was taken at the first healthy ping. It is the default for new
//! runtimes in many regions since November 2026. In a restored process the wall clock has jumped ahead, while the monotonic clock
//! goes on from the snapshot. A stamp from before the snapshot would make a new session look as if it had been idle for hours.
//!
//! Two other things look like a restore: corrections of the wall clock, and a machine that sleeps while its monotonic clock
//! stands still. Each check is compared with the one before it, so that small steps do not add up. A single step of more than
//! [`JUMP`] cannot be told from a restore.

use std::time::{Duration, Instant, SystemTime};

/// How far the wall clock has to get ahead between two checks. Corrections (NTP) stay far below it; snapshots are far older.
const JUMP: Duration = Duration::from_secs(30);

/// Compares the two clocks each time it is asked.
#[derive(Debug)]
pub(crate) struct RestoreDetector {
    /// The wall clock at the last check.
    wall: SystemTime,
    /// The monotonic clock at the last check.
    monotonic: Instant,
}

impl RestoreDetector {
    pub(crate) fn new() -> Self {
        Self {
            wall: SystemTime::now(),
            monotonic: Instant::now(),
        }
    }

    /// Whether the process was restored since the last check.
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

/// Whether the wall clock shows a date that HTTP can express. hyper panics for each connection if its first date is before
/// 1970, so a server that starts then would answer nothing. A later step back does no harm: hyper keeps the date that it has.
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
            // At each check the wall clock has gained 29 s on the monotonic clock.
            assert!(!detector.restored_at(wall + seconds(30 * look), monotonic + seconds(look)));
        }
        // After a step back, the next check starts from the new time.
        assert!(!detector.restored_at(wall, monotonic + seconds(100)));
        assert!(!detector.restored_at(wall + seconds(30), monotonic + seconds(101)));
        assert!(detector.restored_at(wall + seconds(62), monotonic + seconds(102)));
    }
}
