//! [`Names`]: counts the running tasks under each name.
//!
//! A name is counted when its task begins and when it ends, so that the cost of a scrape does not grow with the number of
//! tasks. A program may make up names as it runs, and a metrics store keeps each for ever. So the first [`MOST`] names are
//! counted one by one, and all others together.
//!
//! There is no lock. A place that has a name keeps it, so a reader only loads it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of names that are counted one by one.
pub(super) const MOST: usize = 100;

/// The name that all other names are counted under.
const OTHERS: &str = "(others)";

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Names {
    places: [OnceLock<Box<str>>; MOST],
    /// One more than there are names: the last count is for all other names.
    counts: [AtomicU64; MOST + 1],
}

/// The place where a name is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(u8);

impl Names {
    pub(super) fn new() -> Self {
        Self {
            places: [const { OnceLock::new() }; MOST],
            counts: [const { AtomicU64::new(0) }; MOST + 1],
        }
    }

    /// Counts one more task of this name.
    pub(super) fn begin(&self, name: &str) -> Place {
        let place = self.place(name);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        Place(place as u8)
    }

    pub(super) fn end(&self, Place(place): Place) {
        self.counts[usize::from(place)].fetch_sub(1, Ordering::Relaxed);
    }

    /// The names of running tasks, in the order of their first use.
    pub(super) fn list(&self) -> Vec<(&str, u64)> {
        let names = self.places.iter().map_while(|place| place.get());
        let names = names.map(|name| &**name);
        let mut listed: Vec<_> = names
            .zip(&self.counts)
            .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
            .collect();
        listed.push((OTHERS, self.counts[MOST].load(Ordering::Relaxed)));
        listed.retain(|(_, count)| *count > 0);
        listed
    }

    fn place(&self, name: &str) -> usize {
        let is_here = |place: &OnceLock<Box<str>>| match place.get() {
            Some(known) => **known == *name,
            // Another thread may take the place in between, for this name or for another.
            None => {
                place.set(name.into()).is_ok() || place.get().is_some_and(|known| **known == *name)
            }
        };
        // Without a place of its own, the name is one of the others.
        self.places.iter().position(is_here).unwrap_or(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_listed_while_one_of_its_tasks_runs() {
        let names = Names::new();
        let first = names.begin("a");
        let other = names.begin("b");
        let second = names.begin("a");
        assert_eq!(names.list(), [("a", 2), ("b", 1)]);
        names.end(first);
        names.end(other);
        assert_eq!(names.list(), [("a", 1)]);
        names.end(second);
        assert!(names.list().is_empty());
    }

    #[test]
    fn names_without_end_are_not_listed_without_end() {
        let names = Names::new();
        for number in 0..1000 {
            names.begin(&format!("job {number}"));
        }
        let listed = names.list();
        assert_eq!(listed.len(), MOST + 1);
        assert_eq!(listed[0], ("job 0", 1));
        assert_eq!(listed[MOST], (OTHERS, 900));
        // Later ones are not listed either; and a name keeps its place.
        names.begin("job 1000");
        names.begin("job 99");
        let listed = names.list();
        assert_eq!(listed[99], ("job 99", 2));
        assert_eq!(listed[MOST], (OTHERS, 901));
    }

    #[test]
    fn threads_agree_on_the_places() {
        let names = Names::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in 0..MOST {
                        names.begin(&format!("job {number}"));
                    }
                });
            }
        });
        let listed = names.list();
        assert_eq!(listed.len(), MOST);
        assert!(listed.iter().all(|(_, count)| *count == 4), "{listed:?}");
    }
}
