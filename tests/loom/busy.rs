//! The tracker: the status word and the table of tasks.

use loom::sync::Arc;
use loom::thread;

use crate::ping::PingStatus::{Healthy, HealthyBusy};
use crate::tracker::in_progress::InProgress;
use crate::tracker::status::StatusCell;
use crate::tracker::table::Table;

fn at(seconds: u32) -> impl Fn() -> u32 {
    move || seconds
}

/// A thread that has begun work sees busy until it has ended the work, whatever another thread does meanwhile.
#[test]
fn the_status_never_says_healthy_while_anything_lives() {
    loom::model(|| {
        let cell = Arc::new(StatusCell::new(0));
        let other = thread::spawn({
            let cell = Arc::clone(&cell);
            move || {
                cell.begin(at(1));
                assert_eq!(cell.view().effective(), HealthyBusy);
                cell.end(at(2));
            }
        });
        cell.begin(at(3));
        assert_eq!(cell.view().effective(), HealthyBusy);
        cell.end(at(4));
        other.join().unwrap();
        let end = cell.view();
        assert_eq!((end.effective(), end.count), (Healthy, 0));
        assert!(end.stamp == 2 || end.stamp == 4, "{end:?}");
    });
}

/// A reader gets a status and the stamp of that status.
#[test]
fn status_and_stamp_are_read_as_one() {
    loom::model(|| {
        let cell = Arc::new(StatusCell::new(0));
        let writer = thread::spawn({
            let cell = Arc::clone(&cell);
            move || {
                cell.begin(at(1));
                cell.end(at(2));
                cell.force(Some(HealthyBusy), at(3));
            }
        });
        let view = cell.view();
        assert!(
            matches!(
                (view.effective(), view.stamp),
                (Healthy, 0 | 2) | (HealthyBusy, 1 | 3)
            ),
            "{view:?}"
        );
        writer.join().unwrap();
    });
}

/// One thread forces a status while another works: no event gets lost.
#[test]
fn overrides_and_activities_do_not_undo_each_other() {
    loom::model(|| {
        let cell = Arc::new(StatusCell::new(0));
        let other = thread::spawn({
            let cell = Arc::clone(&cell);
            move || {
                cell.force(Some(Healthy), at(1));
                cell.force(None, at(2));
            }
        });
        cell.begin(at(3));
        other.join().unwrap();
        let view = cell.view();
        assert_eq!(
            (view.effective(), view.count, view.forced),
            (HealthyBusy, 1, None)
        );
        assert!(view.stamp == 2 || view.stamp == 3, "{view:?}");
    });
}

/// An invocation that does not count begins a task and ends. Until the task ends, a stop sees work in progress.
#[test]
fn work_that_passes_from_an_invocation_to_a_task_is_always_in_progress() {
    loom::model(|| {
        let progress = Arc::new(InProgress::new(0));
        progress.begin_uncounted();
        let handler = thread::spawn({
            let progress = Arc::clone(&progress);
            move || {
                progress.status.begin(at(1));
                assert!(progress.end_uncounted());
            }
        });
        assert_ne!(progress.total(), 0, "the task runs, or its invocation does");
        handler.join().unwrap();
        assert_eq!(progress.total(), 1);
        assert!(progress.status.end(at(2)));
        assert_eq!(progress.total(), 0);
    });
}

/// Two threads have the same ticket: one ends the task, the other learns that it is over.
#[test]
fn a_task_is_ended_once() {
    loom::model(|| {
        let table = Arc::new(Table::new());
        let ticket = table.insert("task");
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || table.remove(ticket)
        });
        let (mine, theirs) = (table.remove(ticket), other.join().unwrap());
        assert_eq!([mine, theirs].into_iter().flatten().count(), 1);
    });
}

/// A stale ticket is used while its slot is in use again.
#[test]
fn a_stale_ticket_never_ends_another_task() {
    loom::model(|| {
        let table = Arc::new(Table::new());
        let stale = table.insert("old");
        assert_eq!(table.remove(stale), Some("old"));
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || table.insert("new")
        });
        assert_eq!(table.remove(stale), None);
        let fresh = other.join().unwrap();
        assert_eq!(table.remove(fresh), Some("new"));
    });
}
