//! Compares the tracker with a model that is simple enough to be checked by reading.

use proptest::prelude::*;

use super::origin::NoRequest;
use super::status::StatusCell;
use super::{BusyTracker, PingStatus};

/// One event, from any thread.
#[derive(Clone, Debug)]
enum Event {
    Begin,
    /// Ends one of the running tasks.
    End(usize),
    /// Ends a task that is over already.
    EndAgain(usize),
    Force(Option<PingStatus>),
    Custom(PingStatus),
    CustomFails,
}

fn status() -> impl Strategy<Value = PingStatus> {
    prop_oneof![Just(PingStatus::Healthy), Just(PingStatus::HealthyBusy)]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Begin),
        4 => any::<usize>().prop_map(Event::End),
        1 => any::<usize>().prop_map(Event::EndAgain),
        1 => proptest::option::of(status()).prop_map(Event::Force),
        1 => status().prop_map(Event::Custom),
        1 => Just(Event::CustomFails),
    ]
}

/// The rule of the status, as the design states it.
#[derive(Default)]
struct Model {
    living: usize,
    forced: Option<PingStatus>,
    custom: Option<PingStatus>,
    stamp: u32,
}

impl Model {
    fn effective(&self) -> PingStatus {
        match (self.forced, self.custom, self.living) {
            (Some(forced), ..) => forced,
            (None, Some(custom), _) => custom,
            (None, None, 0) => PingStatus::Healthy,
            (None, None, _) => PingStatus::HealthyBusy,
        }
    }

    fn event(&mut self, now: u32, change: impl FnOnce(&mut Self)) {
        let before = self.effective();
        change(self);
        if self.effective() != before {
            self.stamp = now;
        }
    }
}

proptest! {
    /// Applies events in every order, each at its own time, and compares status, count and stamp with the model after each.
    #[test]
    fn the_status_word_follows_the_rule(events in proptest::collection::vec(event(), 1..200)) {
        let cell = StatusCell::new(0);
        let mut model = Model::default();
        for (now, event) in (1..).zip(events) {
            let clock = || now;
            match event {
                Event::Begin => {
                    cell.begin(clock);
                    model.event(now, |model| model.living += 1);
                }
                Event::End(_) if model.living > 0 => {
                    let last = cell.end(clock);
                    model.event(now, |model| model.living -= 1);
                    prop_assert_eq!(last, model.living == 0);
                }
                Event::End(_) | Event::EndAgain(_) => {}
                Event::Force(status) => {
                    cell.force(status, clock);
                    model.event(now, |model| model.forced = status);
                }
                Event::Custom(status) => {
                    cell.set_custom(Some(status), clock);
                    model.event(now, |model| model.custom = Some(status));
                }
                Event::CustomFails => {
                    cell.set_custom(None, clock);
                    model.event(now, |model| model.custom = None);
                }
            }
            let view = cell.view();
            prop_assert_eq!(view.effective(), model.effective());
            prop_assert_eq!(view.count as usize, model.living);
            prop_assert_eq!(view.stamp, model.stamp);
        }
    }

    /// Several threads begin and end tasks in any order, also each other's. At every step each thread knows some of the running
    /// tasks; at the end none runs.
    #[test]
    fn threads_never_see_healthy_while_they_hold_a_task(
        threads in proptest::collection::vec(proptest::collection::vec(event(), 1..60), 2..5),
    ) {
        let tracker = BusyTracker::<NoRequest>::new();
        let over = std::thread::scope(|scope| {
            let running: Vec<_> = threads
                .into_iter()
                .map(|events| scope.spawn(|| one_thread(&tracker, events)))
                .collect();
            running.into_iter().flat_map(|thread| thread.join().expect("no violation")).collect::<Vec<_>>()
        });
        prop_assert_eq!(tracker.in_progress(), 0);
        prop_assert_eq!(tracker.status().effective(), PingStatus::Healthy);
        prop_assert_eq!(tracker.list().len(), 0);
        prop_assert_eq!(tracker.ids.len(), 0);
        // The tickets of all threads, all of ended tasks: none ends anything, and all are different.
        let mut tickets = over.clone();
        tickets.sort_unstable();
        tickets.dedup();
        prop_assert_eq!(tickets.len(), over.len());
        for ticket in over {
            prop_assert!(!tracker.end_task(ticket));
        }
    }
}

/// Applies a thread's events without the overrides, and ends all its tasks. Returns the tickets of all tasks that it ended.
fn one_thread(tracker: &BusyTracker<NoRequest>, events: Vec<Event>) -> Vec<u64> {
    let (mut living, mut over) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Begin => {
                let ticket = tracker.begin_task("task".into(), None, None);
                // Some tasks have an id, drawn here or by another thread's list.
                if living.len() % 2 == 0 {
                    let id = tracker.id(ticket).expect("it runs");
                    assert_eq!(tracker.id(ticket), Some(id));
                    assert!(tracker.is_running_for(id, None));
                }
                living.push(ticket);
            }
            Event::End(which) if !living.is_empty() => {
                let ticket = living.swap_remove(which % living.len());
                assert!(tracker.end_task(ticket), "a living task was over");
                over.push(ticket);
            }
            Event::EndAgain(which) if !over.is_empty() => {
                assert!(
                    !tracker.end_task(over[which % over.len()]),
                    "a stale ticket ended a task"
                );
            }
            _ => {}
        }
        if !living.is_empty() {
            assert_eq!(tracker.status().effective(), PingStatus::HealthyBusy);
            assert!(tracker.list().len() >= living.len());
        }
    }
    for ticket in living {
        assert!(tracker.end_task(ticket));
        over.push(ticket);
    }
    over
}
