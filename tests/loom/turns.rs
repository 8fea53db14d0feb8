//! The turns of a session whose invocations come, wait and leave on different threads.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Waker};

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::admission::turns::{Turn, Turns};
use crate::executor::{block_on, explore};

/// The work that only the holder of the turn may do.
fn work(turn: &mut Turn, working: &AtomicUsize) {
    block_on(poll_fn(|cx| turn.poll(cx)));
    assert_eq!(working.fetch_add(1, Ordering::SeqCst), 0);
    working.fetch_sub(1, Ordering::SeqCst);
}

#[test]
fn each_gets_its_turn_and_no_two_have_it() {
    explore(3, || {
        let (turns, working) = (Arc::<Turns>::default(), Arc::new(AtomicUsize::new(0)));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let (turns, working) = (Arc::clone(&turns), Arc::clone(&working));
                thread::spawn(move || work(&mut turns.take("a", 2).unwrap(), &working))
            })
            .collect();
        work(&mut turns.take("a", 2).unwrap(), &working);
        for other in others {
            other.join().unwrap();
        }
        assert!(turns.is_empty());
    });
}

/// A waiting invocation leaves at the moment at which it gets the turn: the next invocation gets the turn.
#[test]
fn a_turn_that_is_not_taken_goes_on() {
    explore(3, || {
        let turns = Arc::<Turns>::default();
        let first = turns.take("a", 2).unwrap();
        let mut leaves = turns.take("a", 2).unwrap();
        let mut last = turns.take("a", 2).unwrap();
        assert!(turns.take("a", 2).is_none());
        let leaving = thread::spawn(move || {
            let _ = leaves.poll(&mut Context::from_waker(Waker::noop()));
            drop(leaves);
        });
        let working = thread::spawn(move || drop(first));
        block_on(poll_fn(|cx| last.poll(cx)));
        drop(last);
        leaving.join().unwrap();
        working.join().unwrap();
        assert!(turns.is_empty());
    });
}

/// An invocation comes while the last one leaves: it finds the session free, or gets the turn.
#[test]
fn a_session_is_forgotten_by_the_last_and_not_before() {
    explore(3, || {
        let turns = Arc::<Turns>::default();
        let last = turns.take("a", 1).unwrap();
        let leaving = thread::spawn(move || drop(last));
        let mut comes = turns.take("a", 1).unwrap();
        block_on(poll_fn(|cx| comes.poll(cx)));
        assert!(turns.take("a", 0).is_none());
        drop(comes);
        leaving.join().unwrap();
        assert!(turns.is_empty());
    });
}
