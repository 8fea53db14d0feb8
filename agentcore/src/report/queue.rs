//! The tracing events of the front's thread.
//!
//! A program may set any subscriber, and a subscriber may block: `tracing_subscriber::fmt` waits in `write(2)` while nothing
//! reads stderr. So the front's thread never calls the subscriber. [`emit`] puts each of its events into a bounded queue, and
//! a thread that may block emits them. On every other thread [`emit`] emits at once.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};

use tracing::level_filters::LevelFilter;

use super::panics;
use crate::util::queue;

/// The most events that wait for the subscriber. Each is a sentence of the server's with names and ids of bounded length.
const MOST_WAITING: usize = 1024;

type Event = Box<dyn FnOnce() + Send>;

static QUEUE: OnceLock<Queue> = OnceLock::new();

thread_local! {
    static QUEUED: Cell<bool> = const { Cell::new(false) };
}

/// Queues the events of this thread from now on.
pub(crate) fn queue_here() {
    QUEUED.set(true);
}

/// The queue. The first event starts its thread, so that an idle agent saves the memory. `None` if the system refuses a thread.
fn queue() -> Option<&'static Queue> {
    if QUEUE.get().is_none() {
        let queue = Queue::start().ok()?;
        // If two threads start a queue at once, one queue is dropped and its thread ends.
        QUEUE.get_or_init(|| queue);
    }
    QUEUE.get()
}

/// Runs `event`, which calls a macro of `tracing`, on a thread that may block. A panic of the subscriber ends here, because the
/// caller may be about to lower the count of running work.
pub(crate) fn emit(event: impl FnOnce() + Send + 'static) {
    if !QUEUED.get() {
        let has_panicked = panics::silenced(event);
        if let (true, Some(queue)) = (has_panicked, queue()) {
            queue.lose();
        }
    } else if let Some(queue) = queue() {
        queue.push(Box::new(event));
    }
}

/// Whether any subscriber may want events of this level. It reads a number that tracing keeps, and calls no subscriber.
pub(crate) fn is_wanted(level: LevelFilter) -> bool {
    LevelFilter::current() >= level
}

/// Waits until the subscriber has all events that are queued now, at most one second. It blocks the thread.
pub(crate) fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue::flush(&queue.events, |done| {
            Box::new(move || {
                let _ = done.try_send(());
            })
        });
    }
}

struct Queue {
    events: SyncSender<Event>,
    /// The number of events that found the queue full and have not been reported.
    lost: Arc<AtomicUsize>,
}

impl Queue {
    fn start() -> io::Result<Self> {
        let (sender, events) = sync_channel(MOST_WAITING);
        let lost = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&lost);
        let thread = std::thread::Builder::new().name("agentcore-events".to_owned());
        thread.spawn(move || emit_all(&events, &counted))?;
        Ok(Self {
            events: sender,
            lost,
        })
    }

    fn push(&self, event: Event) {
        if let Err(TrySendError::Full(_)) = self.events.try_send(event) {
            self.lose();
        }
    }

    /// Counts a lost event. The next queued event reports it.
    fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }
}

fn emit_all(events: &Receiver<Event>, lost: &AtomicUsize) {
    for event in events {
        if panics::guard(event).is_err() {
            lost.fetch_add(1, Ordering::Relaxed);
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = panics::guard(|| {
                tracing::warn!(
                    "{lost} events of the server were lost: the subscriber takes too long, or panics"
                );
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(60);

    #[test]
    fn an_event_of_any_other_thread_is_emitted_at_once() {
        let (sender, ran) = channel();
        emit(move || sender.send(thread::current().id()).unwrap());
        assert_eq!(ran.try_recv(), Ok(thread::current().id()));
    }

    #[test]
    fn a_panic_of_the_subscriber_ends_with_the_event() {
        emit(|| panic!("a subscriber's own"));
        // A panic in a destructor while the thread unwinds would end the process.
        struct Emits;
        impl Drop for Emits {
            fn drop(&mut self) {
                emit(|| panic!("a subscriber's own"));
            }
        }
        let panic = panics::guard(|| {
            let _emits = Emits;
            panic!("the program's own");
        });
        assert_eq!(panic.unwrap_err().message(), "the program's own");
    }

    #[test]
    fn an_event_of_the_front_is_emitted_by_another_thread() {
        let (sender, ran) = channel();
        let front = thread::spawn(move || {
            queue_here();
            emit(move || sender.send(thread::current().id()).unwrap());
            thread::current().id()
        });
        assert_ne!(ran.recv_timeout(DEADLINE), Ok(front.join().unwrap()));
    }

    #[test]
    fn a_full_queue_loses_events_and_holds_nothing_up() {
        let queue = Queue::start().unwrap();
        let (blocker, blocked) = channel::<()>();
        let (sender, ran) = channel();
        queue.push(Box::new(move || {
            let _ = blocked.recv_timeout(DEADLINE);
        }));
        for _ in 0..MOST_WAITING + 10 {
            let sender = sender.clone();
            queue.push(Box::new(move || sender.send(()).unwrap()));
        }
        let lost = queue.lost.load(Ordering::Relaxed);
        assert!(lost >= 9, "{lost}");
        drop((blocker, sender));
        assert_eq!(ran.iter().count() + lost, MOST_WAITING + 10);
    }

    #[test]
    fn an_event_that_panics_is_not_the_last() {
        let queue = Queue::start().unwrap();
        queue.push(Box::new(|| panic!("a subscriber's own")));
        let (sender, ran) = channel();
        queue.push(Box::new(move || sender.send(()).unwrap()));
        assert_eq!(ran.recv_timeout(DEADLINE), Ok(()));
    }
}
