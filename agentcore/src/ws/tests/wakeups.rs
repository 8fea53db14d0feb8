//! Which of the two tasks is woken. `tests/loom.rs` of the workspace checks every order of events of two threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::task::{Wake, Waker};
use std::time::Duration;

use crate::ws::wakeups::{Found, Wakeups};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Both {
    wakeups: Arc<Wakeups>,
    handler: Arc<Count>,
    driver: Arc<Count>,
}

impl Both {
    fn new() -> Self {
        let both = Self {
            wakeups: Arc::default(),
            handler: Arc::default(),
            driver: Arc::default(),
        };
        both.looks();
        both
    }

    fn waits(&self) {
        self.wakeups.wait(&Waker::from(Arc::clone(&self.handler)));
    }

    fn looks(&self) -> Found {
        self.wakeups.look(&Waker::from(Arc::clone(&self.driver)))
    }

    fn connection_wakes(&self) {
        Waker::from(Arc::clone(&self.wakeups)).wake_by_ref();
    }

    /// How often the handler and the driver have been woken since the last call.
    fn woken(&self) -> (usize, usize) {
        let woken = |count: &Count| count.0.swap(0, Ordering::Relaxed);
        (woken(&self.handler), woken(&self.driver))
    }
}

const NOTHING: Found = Found {
    watching: false,
    handler_is_woken: false,
};

#[test]
fn a_handler_that_waits_is_woken_alone_but_for_the_first_time() {
    let both = Both::new();
    both.waits();
    both.connection_wakes();
    assert_eq!(both.woken(), (1, 1));
    for _ in 0..10 {
        both.wakeups.handled();
        both.waits();
        both.connection_wakes();
        assert_eq!(both.woken(), (1, 0));
    }
}

#[test]
fn the_driver_is_woken_while_the_handler_is_absent() {
    let both = Both::new();
    for _ in 0..3 {
        both.connection_wakes();
        assert_eq!(both.woken(), (0, 1));
    }
}

#[test]
fn a_handler_that_has_been_woken_and_does_not_come_back_is_absent_after_the_watch() {
    let both = Both::new();
    both.waits();
    both.connection_wakes();
    both.connection_wakes();
    assert_eq!(both.woken(), (1, 1), "the second wake-up is dropped");
    assert_eq!(
        both.looks(),
        Found {
            watching: true,
            handler_is_woken: true
        }
    );
    both.wakeups.stop_watching();
    assert_eq!(both.looks(), NOTHING);
    both.connection_wakes();
    assert_eq!(both.woken(), (0, 1));
}

#[test]
fn the_driver_goes_on_watching_behind_a_message_that_was_handled() {
    let both = Both::new();
    both.waits();
    both.connection_wakes();
    both.wakeups.handled();
    assert_eq!(
        both.looks(),
        Found {
            watching: true,
            handler_is_woken: false
        }
    );
}

#[test]
fn only_the_driver_is_woken_once_it_has_left_wherever_the_handler_was() {
    for come in [Both::waits, Both::connection_wakes, |_: &Both| {}] {
        let both = Both::new();
        both.waits();
        come(&both);
        both.wakeups.leave();
        both.woken();
        both.waits();
        both.connection_wakes();
        both.wakeups.handled();
        both.connection_wakes();
        assert_eq!(both.woken(), (0, 2));
    }
}

#[test]
fn each_can_be_woken_alone() {
    let both = Both::new();
    both.waits();
    both.wakeups.wake_driver();
    assert_eq!(both.woken(), (0, 1));
    both.wakeups.wake_handler();
    assert_eq!(both.woken(), (1, 0));
    both.wakeups.wake_handler();
    assert_eq!(both.woken(), (0, 0), "it does not wait any more");
}

/// Its drop takes the lock that it was kept under, as the drop of a task that owns the socket does.
struct Owner(std::sync::Weak<Wakeups>);

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(wakeups) = self.0.upgrade() {
            wakeups.wake_driver();
        }
    }
}

type Call = fn(&Wakeups, &Waker);

/// Runs on a separate thread: a drop under the lock would deadlock.
#[test]
fn a_waker_is_dropped_outside_the_lock() {
    let (sender, done) = channel();
    std::thread::spawn(move || {
        let wakeups = Arc::<Wakeups>::default();
        let owner = || Waker::from(Arc::new(Owner(Arc::downgrade(&wakeups))));
        let calls: [(&str, Call); 4] = [
            ("look", |wakeups, owner| {
                wakeups.look(owner);
            }),
            ("wait", Wakeups::wait),
            ("handled", |wakeups, _| wakeups.handled()),
            ("leave", |wakeups, _| wakeups.leave()),
        ];
        for (name, call) in calls {
            wakeups.look(&owner());
            wakeups.wait(&owner());
            call(&wakeups, &owner());
            let _ = sender.send(name);
        }
    });
    for name in ["look", "wait", "handled", "leave"] {
        let ended = done.recv_timeout(Duration::from_secs(60));
        assert_eq!(ended, Ok(name), "`{name}` has not returned");
    }
}
