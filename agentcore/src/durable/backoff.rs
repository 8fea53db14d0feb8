//! How long to wait before the next attempt.

use std::time::Duration;

use crate::platform;

/// The upper bounds of the first pause and of any pause.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// The pause after failed attempt number `attempt`, counted from 1: a random time of up to 1 s · 2ⁿ⁻¹, at most a minute.
///
/// The whole pause is random, so that jobs that failed together in an outage do not come back together.
pub(crate) fn after_attempt(attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    let most = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    most.mul_f64(fraction())
}

/// A random time within a fifth of `about`, so that processes that poll one store do not do so together.
pub(crate) fn around(about: Duration) -> Duration {
    about.mul_f64(0.8 + 0.4 * fraction())
}

/// A random number from 0 to 1.
fn fraction() -> f64 {
    let mut bytes = [0; 4];
    // Without random numbers the pause has its full length, which is safe.
    if platform::random(&mut bytes) {
        f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_are_random() {
        for (attempt, most) in [(1, 1), (2, 2), (4, 8), (7, 60), (40, 60), (u32::MAX, 60)] {
            let drawn: Vec<_> = (0..200).map(|_| after_attempt(attempt)).collect();
            let most = Duration::from_secs(most);
            assert!(drawn.iter().all(|pause| *pause <= most), "{attempt}");
            // By chance 200 of them lie in one half in one run of 2²⁰⁰.
            assert!(drawn.iter().any(|pause| *pause > most / 2), "{attempt}");
            assert!(drawn.iter().any(|pause| *pause < most / 2), "{attempt}");
        }
    }

    #[test]
    fn polls_are_spread() {
        let second = Duration::from_secs(1);
        for _ in 0..100 {
            let pause = around(second);
            assert!(pause >= second.mul_f64(0.79) && pause <= second.mul_f64(1.21));
        }
    }
}
