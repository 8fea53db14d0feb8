//! Helper threads, for work that runs or drops user code.
//!
//! The front must not do such work: it may take any time, and pings and signals would wait for it. The workers may be unable
//! to do it: all of them may be blocked, or their runtime may be shutting down. A new thread is always free. It runs inside
//! the workers' runtime, so that the code may spawn tasks and use timers. Nothing has to wait for it.

use std::any::Any;
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::platform;
use crate::report;
use crate::report::panics;
use crate::request::Shared;
use crate::util::spawn;
use crate::util::sync::Mutex;

/// Runs `work` on a thread of its own. The receiver completes when `work` has returned or panicked.
pub(crate) fn offload(
    workers: &Handle,
    work: impl FnOnce() + Send + 'static,
) -> oneshot::Receiver<()> {
    let (sender, done) = oneshot::channel();
    let runtime = workers.clone();
    let run = move || {
        let _inside = runtime.enter();
        if let Err(panic) = panics::guard(work) {
            panic.log("work beside the server");
        }
        let _ = sender.send(());
    };
    // If no thread can be started, `spawn` drops its closure on this thread. So the closure does not own the work.
    let slot = Arc::new(Mutex::new(Some(run)));
    let start = {
        let slot = Arc::clone(&slot);
        move || {
            let run = slot.lock().take();
            run.into_iter().for_each(|run| run());
        }
    };
    let on_thread = start.clone();
    let started = thread::Builder::new()
        .name("agentcore-helper".to_owned())
        .spawn(move || {
            platform::step_back();
            on_thread();
        });
    if let Err(error) = started {
        report::emit(move || tracing::error!("cannot start a thread: {error}"));
        // Not `spawn_blocking` from here: it locks the workers' pool, and panics if the pool cannot start a thread either.
        spawn::boxed_on(workers, async move {
            tokio::task::spawn_blocking(start);
        });
        // If the pool does not run the work either, it is leaked rather than dropped on this thread.
        let _kept = ManuallyDrop::new(slot);
    }
    done
}

/// A value of the user's with its name.
pub(crate) struct Owned {
    pub(crate) name: String,
    pub(crate) value: Box<dyn Any + Send>,
}

impl From<Shared> for Owned {
    fn from(state: Shared) -> Self {
        Self {
            name: state.name(),
            value: Box::new(state),
        }
    }
}

/// Drops of user values that run on a helper thread.
pub(crate) struct Drops {
    done: oneshot::Receiver<()>,
    is_done: bool,
    left: Arc<Mutex<VecDeque<String>>>,
    what: &'static str,
}

impl Drops {
    /// Drops the values that `take` returns, one after the other. `take` runs on the helper thread too. `what` names all values
    /// together.
    pub(crate) fn begin(
        workers: &Handle,
        what: &'static str,
        take: impl FnOnce() -> Vec<Owned> + Send + 'static,
    ) -> Self {
        let left = Arc::new(Mutex::new(VecDeque::new()));
        let done = {
            let left = Arc::clone(&left);
            offload(workers, move || {
                let all = take();
                left.lock()
                    .extend(all.iter().map(|owned| owned.name.clone()));
                for Owned { name, value } in all {
                    panics::drop_caught(value, &name);
                    left.lock().pop_front();
                }
            })
        };
        Self {
            done,
            is_done: false,
            left,
            what,
        }
    }

    /// Completes when everything has been dropped.
    pub(crate) async fn finished(&mut self) {
        if !self.is_done {
            let _ = (&mut self.done).await;
            self.is_done = true;
        }
    }

    /// Names what has not been dropped yet.
    pub(crate) fn left(&self) -> Vec<String> {
        if self.is_done {
            return Vec::new();
        }
        let left = self.left.lock();
        if left.is_empty() {
            // The thread does not know the names yet, or is about to end.
            return vec![format!("the drop of {}", self.what)];
        }
        left.iter()
            .map(|name| format!("the drop of {name}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Recorded(std::sync::mpsc::Sender<Option<String>>);

    impl Drop for Recorded {
        fn drop(&mut self) {
            // User code may need the runtime.
            tokio::spawn(async {});
            let name = thread::current().name().map(str::to_owned);
            let _ = self.0.send(name);
        }
    }

    fn owned(value: impl Any + Send) -> Owned {
        Owned {
            name: "it".to_owned(),
            value: Box::new(value),
        }
    }

    #[test]
    fn drops_run_on_a_thread_of_their_own_even_when_the_runtime_is_gone() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let workers = runtime.handle().clone();
        let (sender, dropped) = std::sync::mpsc::channel();
        let value = Recorded(sender.clone());
        let mut drops = Drops::begin(&workers, "it", || vec![owned(value)]);
        runtime.block_on(drops.finished());
        assert!(drops.left().is_empty());
        drop(runtime);
        let value = Recorded(sender);
        Drops::begin(&workers, "it", || vec![owned(value)]);
        let names = [dropped.recv().unwrap(), dropped.recv().unwrap()];
        assert_eq!(
            names,
            [const { Some("agentcore-helper") }; 2].map(|name| name.map(str::to_owned))
        );
    }

    #[test]
    fn what_is_left_is_named() {
        struct Blocks(std::sync::mpsc::Receiver<()>);
        impl Drop for Blocks {
            fn drop(&mut self) {
                let _ = self.0.recv();
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (release, blocked) = std::sync::mpsc::channel();
        let (sender, dropped) = std::sync::mpsc::channel();
        let values = vec![owned(Recorded(sender)), owned(Blocks(blocked)), owned(())];
        let mut drops = Drops::begin(runtime.handle(), "it", || values);
        dropped.recv().unwrap();
        // The first name is removed a moment later.
        while drops.left().len() != 2 {
            thread::yield_now();
        }
        assert_eq!(drops.left()[0], "the drop of it");
        release.send(()).unwrap();
        runtime.block_on(drops.finished());
        assert!(drops.left().is_empty());
    }
}
