//! What each thread is at, so that code which blocks its thread can be named.
//!
//! Each thread has a slot. Code that polls the user's code notes on the slot of its thread what it polls, and takes the note
//! away when the poll is over. The front looks at all slots: a poll that stays on one for a second blocks its thread (see
//! `server::stalls`). A note is four plain stores, since only the thread itself writes it.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::sync::Mutex;

/// What is being polled: the tickets of a request in flight and of a running task, and the number of a hook or of the ping
/// handler; 0 where there is none.
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

    /// A hook, or the ping handler, that a log line calls `name`.
    pub(crate) fn hook(name: &str) -> Self {
        let mut hooks = HOOKS.lock();
        let known = hooks.iter().position(|known| known == name);
        let place = known.unwrap_or_else(|| {
            hooks.push(name.to_owned());
            hooks.len() - 1
        });
        Self {
            hook: place as u64 + 1,
            ..Self::default()
        }
    }
}

/// The names of hooks and ping handlers that have run. A program has few of them, and they are not made up as it runs.
static HOOKS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The name that [`At::hook`] was given.
pub(crate) fn hook_name(number: u64) -> Option<String> {
    let place = usize::try_from(number.checked_sub(1)?).ok()?;
    HOOKS.lock().get(place).cloned()
}

/// One thread's note.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// Odd during a poll; one more at its beginning and at its end.
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

    /// How many polls have begun or ended.
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

    /// Only the slot's own thread does this: what was read is what is there.
    fn begin_or_end_poll(&self) {
        let polls = self.polls.load(Ordering::Relaxed);
        self.polls.store(polls + 1, Ordering::Release);
    }
}

/// The slots of all threads that have polled anything.
static SLOTS: Mutex<Vec<Weak<Slot>>> = Mutex::new(Vec::new());

/// Those of threads that live.
pub(crate) fn slots() -> Vec<Arc<Slot>> {
    let mut slots = SLOTS.lock();
    slots.retain(|slot| slot.strong_count() > 0);
    slots.iter().filter_map(Weak::upgrade).collect()
}

struct Thread {
    slot: Arc<Slot>,
    /// Polls within polls.
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

/// A note that is taken away by its drop.
struct Noted {
    before: At,
}

impl Noted {
    /// `None` on a thread that is ending.
    fn new(at: At) -> Option<Self> {
        let note = |thread: &Thread| {
            let before = thread.slot.at();
            // A task within a request or a hook is both; a request within anything is only itself.
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

/// Does `work` with a note of what it is for.
pub(crate) fn noted<R>(at: At, work: impl FnOnce() -> R) -> R {
    let _noted = Noted::new(at);
    work()
}

/// `future`, noted whenever it is polled.
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
            // The outer poll is still the same one.
            assert_eq!(THREAD.with(|thread| thread.slot.poll_in_progress()), number);
        });
        assert_eq!(seen(), None);
    }

    #[test]
    fn a_hook_keeps_its_number_and_its_name() {
        let hook = At::hook("hook `load`");
        assert_eq!(At::hook("hook `load`"), hook);
        assert_ne!(At::hook("hook `other`"), hook);
        assert_eq!(hook_name(hook.hook).as_deref(), Some("hook `load`"));
        assert_eq!(hook_name(0), None);
        assert_eq!(noted(hook, seen), Some(hook));
    }

    #[test]
    fn a_panic_takes_the_note_away() {
        let caught = crate::panics::guard(|| noted(At::task(1), || panic!("on purpose")));
        assert!(caught.is_err());
        assert_eq!(seen(), None);
    }
}
