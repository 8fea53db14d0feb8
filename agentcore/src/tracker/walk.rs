//! Walks through all tasks or requests, on the front.
//!
//! There may be a million of them. So the front answers pings between two slices of a walk, and does not wait for a lock that
//! a worker holds: it comes back to that slice a moment later.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::task::yield_now;
use tokio::time::sleep;

use super::table::{Position, Table};

/// The pause before a slice is tried again whose lock a worker holds. An interrupted worker needs the processor to unlock it.
const TRY_AGAIN: Duration = Duration::from_millis(1);

/// Shows all values to `read`, which runs under a lock. May miss values that come or go meanwhile.
pub(crate) async fn walk<T>(table: &Table<T>, mut read: impl FnMut(u64, &T)) {
    let mut slices = Slices::of(table);
    while slices.next(&mut read).await {}
}

/// A walk through a table, slice by slice.
pub(super) struct Slices<'a, T> {
    table: &'a Table<T>,
    /// `None` after the last slice.
    position: Option<Position>,
}

impl<'a, T> Slices<'a, T> {
    pub(super) fn of(table: &'a Table<T>) -> Self {
        Self {
            table,
            position: Some(Position::default()),
        }
    }

    /// Yields, then shows the next slice to `read`, which runs under a lock. Returns false after the last slice.
    pub(super) async fn next(&mut self, mut read: impl FnMut(u64, &T)) -> bool {
        yield_now().await;
        while let Some(at) = self.position {
            match self.table.try_show(at, &mut read) {
                Ok(next) => {
                    self.position = next;
                    break;
                }
                Err(_) => sleep(TRY_AGAIN).await,
            }
        }
        self.position.is_some()
    }
}

/// The oldest of many things, up to a maximum number, and the count of all.
#[derive(Debug)]
pub(crate) struct Oldest<T> {
    most: usize,
    count: usize,
    /// By the time when each began. The number tells those apart that began at one time.
    kept: BTreeMap<(Instant, usize), T>,
}

impl<T> Oldest<T> {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            count: 0,
            kept: BTreeMap::new(),
        }
    }

    /// Counts one more; `make` is called only if it is one of the oldest so far.
    pub(crate) fn see(&mut self, began: Instant, make: impl FnOnce() -> T) {
        self.count += 1;
        if self.kept.len() == self.most {
            match self.kept.last_entry() {
                Some(youngest) if began < youngest.key().0 => youngest.remove(),
                _ => return,
            };
        }
        self.kept.insert((began, self.count), make());
    }

    /// How many there are in all.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// How many there are beyond those that are kept.
    pub(crate) fn more(&self) -> usize {
        self.count - self.kept.len()
    }

    /// The kept things, the oldest first.
    pub(crate) fn into_vec(self) -> Vec<(Instant, T)> {
        let kept = self.kept.into_iter();
        kept.map(|((began, _), what)| (began, what)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::super::table::SLICE;
    use super::*;

    #[test]
    fn only_the_oldest_are_kept_and_all_are_counted() {
        let now = Instant::now();
        let mut oldest = Oldest::new(3);
        for second in [5, 2, 9, 1, 7, 4] {
            oldest.see(now + Duration::from_secs(second), || second);
        }
        assert_eq!(oldest.more(), 3);
        let kept: Vec<_> = oldest
            .into_vec()
            .into_iter()
            .map(|(_, what)| what)
            .collect();
        assert_eq!(kept, [1, 2, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_walk_sees_every_value_once() {
        let table = Table::new();
        for number in 0..1000 {
            table.insert(number);
        }
        let mut seen = Vec::new();
        walk(&table, |_, value| seen.push(*value)).await;
        seen.sort_unstable();
        assert_eq!(seen, (0..1000).collect::<Vec<_>>());
    }

    /// Whatever else is ready on the front has its turn between two slices.
    #[test]
    fn a_walk_shows_one_slice_at_a_time() {
        let table = Table::new();
        for number in 0..10 * SLICE {
            table.insert(number);
        }
        let shown = Cell::new(0);
        let mut walking = pin!(walk(&table, |_, _| shown.set(shown.get() + 1)));
        let mut context = Context::from_waker(Waker::noop());
        let mut is_over = false;
        while !is_over {
            let before = shown.get();
            is_over = walking.as_mut().poll(&mut context).is_ready();
            assert!(
                shown.get() - before <= SLICE,
                "{} at a time",
                shown.get() - before
            );
        }
        assert_eq!(shown.get(), 10 * SLICE);
    }
}
