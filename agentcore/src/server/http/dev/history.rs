//! The history of the status: busy or not, for each of the last 300 seconds.

use std::collections::VecDeque;

use crate::tracker::StatusView;
use crate::util::sync::Mutex;

const SECONDS: usize = 300;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct History(Mutex<Seconds>);

#[derive(Debug, Default)]
struct Seconds {
    /// `b` for busy, `h` for healthy; the oldest first.
    letters: VecDeque<char>,
    /// The stamp and the number of invocations at the last record.
    last: Option<(u32, u64)>,
}

impl History {
    /// Records one second. `invocations` counts those so far that make the agent busy.
    pub(super) fn note(&self, view: StatusView, invocations: u64) {
        let mut seconds = self.0.lock();
        // A change of either means that work began and ended between two records.
        let now = (view.stamp, invocations);
        let moved = seconds.last.is_some_and(|last| last != now);
        seconds.last = Some(now);
        let busy = view.effective().is_busy() || moved;
        if seconds.letters.len() == SECONDS {
            seconds.letters.pop_front();
        }
        seconds.letters.push_back(if busy { 'b' } else { 'h' });
    }

    pub(super) fn show(&self) -> String {
        self.0.lock().letters.iter().collect()
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
    fn work_between_two_looks_is_seen_by_what_it_moves() {
        let history = History::default();
        for (count, stamp) in [(0, 7), (0, 7), (1, 8), (1, 8), (0, 12), (0, 12), (0, 15)] {
            history.note(view(count, stamp), 3);
        }
        // Within the second of the stamp.
        history.note(view(0, 15), 4);
        history.note(view(0, 15), 4);
        assert_eq!(history.show(), "hhbbbhbbh");
    }

    #[test]
    fn it_goes_back_five_minutes() {
        let history = History::default();
        history.note(view(1, 1), 0);
        for _ in 0..SECONDS {
            history.note(view(0, 1), 0);
        }
        assert_eq!(history.show(), "h".repeat(300));
    }
}
