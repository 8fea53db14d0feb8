//! Busy or not, second by second, for the last five minutes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::tasks::StatusView;

const SECONDS: usize = 300;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct History(Mutex<Seconds>);

#[derive(Debug, Default)]
struct Seconds {
    /// `b` for busy, `h` for healthy; the oldest first.
    letters: VecDeque<char>,
    stamp: Option<u32>,
}

impl History {
    /// Takes note of one second.
    pub(super) fn note(&self, view: StatusView) {
        let mut seconds = self.seconds();
        // A stamp that has moved tells of work that began and ended unseen.
        let moved = seconds.stamp.is_some_and(|stamp| stamp != view.stamp);
        seconds.stamp = Some(view.stamp);
        let busy = view.effective().is_busy() || moved;
        if seconds.letters.len() == SECONDS {
            seconds.letters.pop_front();
        }
        seconds.letters.push_back(if busy { 'b' } else { 'h' });
    }

    pub(super) fn show(&self) -> String {
        self.seconds().letters.iter().collect()
    }

    fn seconds(&self) -> MutexGuard<'_, Seconds> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(count: u32, stamp: u32) -> StatusView {
        StatusView {
            count,
            forced: None,
            custom: None,
            stamp,
        }
    }

    #[test]
    fn work_between_two_looks_is_seen_by_its_stamp() {
        let history = History::default();
        for (count, stamp) in [(0, 7), (0, 7), (1, 8), (1, 8), (0, 12), (0, 12), (0, 15)] {
            history.note(view(count, stamp));
        }
        assert_eq!(history.show(), "hhbbbhb");
    }

    #[test]
    fn it_goes_back_five_minutes() {
        let history = History::default();
        history.note(view(1, 1));
        for _ in 0..SECONDS {
            history.note(view(0, 1));
        }
        assert_eq!(history.show(), "h".repeat(300));
    }
}
