//! The time of day.

use std::time::{SystemTime, UNIX_EPOCH};

/// Whole Unix seconds, as the platform wants them; 0 before 1970.
pub(crate) fn unix_now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u32::try_from(since.unwrap_or_default().as_secs()).unwrap_or(u32::MAX)
}
