//! What each thread is polling, so that code which blocks its thread can be named.
//!
//! Each thread has a slot. Before a thread polls user code, it notes in its slot what it polls; after the poll it removes the
//! note. The front looks at all slots: if one poll stays for a second, it blocks its thread (see `server::stalls`). A note is
//! four plain stores, since only the thread itself writes it.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::util::sync::Mutex;

/// What is being polled: the ticket of a request in flight, the ticket of a running task, and the number of a hook or the ping
/// handler. 0 stands for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) request: u64,
    pub(crate) task: u64,
    pub(crate) hook: u64,
}

impl At {
    pub(crate) fn request(ticket: Option<u64>) -> Self {
        Self {
            request: ticket.unwrap_or_default(),
            ..Self::default()
        }
    }

    pub(crate) fn task(ticket: u64) -> Self {
        Self {
            task: ticket,
            ..Self::default()
        }
    }

    /// A hook or the ping handler that log lines call `name`. The number of a name is looked up once, before the hook runs.
    pub(crate) fn hook(name: &str) -> Self {
        let (mut place, mut number) = (&HOOKS, 1);
        loop {
            let known = place.get_or_init(|| {
                let (name, next) = (name.to_owned(), OnceLock::new());
                Box::new(HookName { name, next })
            });
            if known.name == name {
                break;
            }
            (place, number) = (&known.next, number + 1);
        }
        Self::hook_number(Some(number))
    }

    /// A hook or the ping handler, by the number from [`hook`](Self::hook).
    pub(crate) fn hook_number(number: Option<u64>) -> Self {
        Self {
            hook: number.unwrap_or_default(),
            ..Self::default()
        }
    }
}

/// The names of hooks and ping handlers, in a list that only grows; a program has few of them. It has no lock, since the front
/// reads it and adds to it while workers run.
static HOOKS: OnceLock<Box<HookName>> = OnceLock::new();

#[derive(Debug)]
struct HookName {
    name: String,
    next: OnceLock<Box<Self>>,
}

/// The name that [`At::hook`] was given. Does not wait.
pub(crate) fn hook_name(number: u64) -> Option<&'static str> {
    let mut known = HOOKS.get().filter(|_| number > 0)?;
    for _ in 1..number {
        known = known.next.get()?;
    }
    Some(&known.name)
}

/// One thread's note.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// Odd during a poll. It grows by one at the beginning and at the end of each.
    polls: AtomicU64,
    request: AtomicU64,
    task: AtomicU64,
    hook: AtomicU64,
}

impl Slot {
    /// The number of the poll that is in progress, if one is.
    pub(crate) fn poll_in_progress(&self) -> Option<u64> {
        let polls = self.polls.load(Ordering::Acquire);
        (polls % 2 == 1).then_some(polls)
    }

    /// The number of beginnings and ends of polls.
    pub(crate) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }

    pub(crate) fn at(&self) -> At {
        At {
            request: self.request.load(Ordering::Relaxed),
            task: self.task.load(Ordering::Relaxed),
            hook: self.hook.load(Ordering::Relaxed),
        }
    }

    fn note(&self, at: At) {
        self.request.store(at.request, Ordering::Relaxed);
        self.task.store(at.task, Ordering::Relaxed);
        self.hook.store(at.hook, Ordering::Relaxed);
    }

    /// The load is up to date without ordering, because only the slot's own thread writes it.
    fn begin_or_end_poll(&self) {
        let polls = self.polls.load(Ordering::Relaxed);
        self.polls.store(polls + 1, Ordering::Release);
    }
}

/// The slots of all threads that have polled anything.
static SLOTS: Mutex<Vec<Weak<Slot>>> = Mutex::new(Vec::new());

/// The slots of threads that live.
pub(crate) fn slots() -> Vec<Arc<Slot>> {
    let mut slots = SLOTS.lock();
    slots.retain(|slot| slot.strong_count() > 0);
    slots.iter().filter_map(Weak::upgrade).collect()
}

struct Thread {
    slot: Arc<Slot>,
    /// The depth of nested polls.
    depth: Cell<u32>,
}

thread_local! {
    static THREAD: Thread = {
        let slot = Arc::default();
        let mut slots = SLOTS.lock();
        slots.push(Arc::downgrade(&slot));
        Thread { slot, depth: Cell::new(0) }
    };
}

/// A note. Its drop restores the note before it.
struct Noted {
    before: At,
}

impl Noted {
    /// `None` on a thread that is ending.
    fn new(at: At) -> Option<Self> {
        let note = |thread: &Thread| {
            let before = thread.slot.at();
            // A task in a request or a hook is noted together with it; a request replaces any note.
            let noted = match at {
                At {
                    request: 0,
                    hook: 0,
                    task,
                } => At { task, ..before },
                at => at,
            };
            thread.slot.note(noted);
            if thread.depth.replace(thread.depth.get() + 1) == 0 {
                thread.slot.begin_or_end_poll();
            }
            Self { before }
        };
        THREAD.try_with(note).ok()
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        let _ = THREAD.try_with(|thread| {
            thread.slot.note(self.before);
            thread.depth.set(thread.depth.get() - 1);
            if thread.depth.get() == 0 {
                thread.slot.begin_or_end_poll();
            }
        });
    }
}

/// Runs `work` with the note `at`.
pub(crate) fn noted<R>(at: At, work: impl FnOnce() -> R) -> R {
    let _noted = Noted::new(at);
    work()
}

/// Does `work` outside of the poll that this thread is in. `work` is the library's and may take seconds; meanwhile the code that
/// is polled does not block the thread. The rest of the poll counts as a new poll.
pub(crate) fn outside_the_poll<R>(work: impl FnOnce() -> R) -> R {
    /// Within a poll: ends it, or begins the next one.
    fn turn() {
        let _ = THREAD.try_with(|thread| {
            if thread.depth.get() > 0 {
                thread.slot.begin_or_end_poll();
            }
        });
    }
    struct Behind;
    impl Drop for Behind {
        fn drop(&mut self) {
            turn();
        }
    }
    turn();
    let _behind = Behind;
    work()
}

/// Polls `future` with the note `at`.
pub(crate) fn watch<F: Future>(at: At, future: F) -> Watched<F> {
    Watched { future, at }
}

pin_project! {
    #[derive(Debug)]
    pub(crate) struct Watched<F> {
        #[pin]
        future: F,
        at: At,
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        noted(*this.at, || this.future.poll(cx))
    }
}

/// The number of the poll that this thread is in.
#[cfg(test)]
pub(crate) fn poll_here() -> Option<u64> {
    THREAD.with(|thread| thread.slot.poll_in_progress())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Option<At> {
        THREAD.with(|thread| thread.slot.poll_in_progress().map(|_| thread.slot.at()))
    }

    #[test]
    fn a_note_is_there_during_its_poll_and_what_was_before_comes_back() {
        let (request, task) = (At::request(Some(7)), At::task(9));
        assert_eq!(seen(), None);
        noted(request, || {
            let number = THREAD.with(|thread| thread.slot.poll_in_progress());
            assert_eq!(seen(), Some(request));
            let both = At {
                request: 7,
                task: 9,
                hook: 0,
            };
            assert_eq!(noted(task, seen), Some(both));
            assert_eq!(seen(), Some(request));
            // The outer poll is still in progress.
            assert_eq!(THREAD.with(|thread| thread.slot.poll_in_progress()), number);
        });
        assert_eq!(seen(), None);
    }

    #[test]
    fn what_is_done_outside_of_a_poll_ends_it_and_begins_another() {
        let request = At::request(Some(7));
        noted(request, || {
            let before = poll_here();
            // In an inner poll, too.
            assert_eq!(noted(At::task(9), || outside_the_poll(seen)), None);
            assert_eq!(seen(), Some(request));
            assert!(poll_here() > before, "{before:?}");
            let panicked =
                crate::report::panics::guard(|| outside_the_poll(|| panic!("on purpose")));
            assert!(panicked.is_err());
            assert_eq!(seen(), Some(request));
        });
        assert_eq!(outside_the_poll(seen), None);
        assert_eq!(seen(), None);
    }

    #[test]
    fn a_hook_keeps_its_number_and_its_name() {
        let hook = At::hook("hook `load`");
        assert_eq!(At::hook("hook `load`"), hook);
        assert_ne!(At::hook("hook `other`"), hook);
        assert_eq!(hook_name(hook.hook), Some("hook `load`"));
        assert_eq!(hook_name(0), None);
        assert_eq!(hook_name(u64::MAX), None);
        assert_eq!(noted(hook, seen), Some(hook));
    }

    #[test]
    fn threads_that_name_hooks_at_once_agree_on_the_numbers() {
        let names: Vec<_> = (0..8).map(|n| format!("hook of many {n}")).collect();
        let number = || names.iter().map(|name| At::hook(name)).collect::<Vec<_>>();
        let all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(number)).collect();
            let numbers = threads.into_iter().map(|thread| thread.join().unwrap());
            numbers.collect()
        });
        for numbers in &all {
            assert_eq!(numbers, &all[0]);
            for (at, name) in numbers.iter().zip(&names) {
                assert_eq!(hook_name(at.hook), Some(&**name));
            }
        }
    }

    #[test]
    fn a_panic_takes_the_note_away() {
        let caught = crate::report::panics::guard(|| noted(At::task(1), || panic!("on purpose")));
        assert!(caught.is_err());
        assert_eq!(seen(), None);
    }
}
