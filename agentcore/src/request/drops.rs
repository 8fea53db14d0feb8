//! [`DropOnWorkers`]: drops the user's values on the workers, whichever thread has the last reference.
//!
//! The front sends replies and waits for sockets, so at times it holds the last reference to a value of the user's. A drop is
//! user code: it may block, panic or never return. So the blocking pool of the workers drops such a value, and its request
//! stays in progress until then.

use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::{local, scope::Scope};
use crate::report::panics;
use crate::util::spawn;
use crate::util::sync::Mutex;

/// A value whose drop runs on the blocking pool of a runtime. See the [module](self).
pub(crate) struct DropOnWorkers<T: Send + 'static> {
    value: Option<T>,
    /// Names the value in the log.
    what: &'static str,
    /// The request that the value belongs to: log lines of its drop carry its ids.
    scope: Option<Arc<Scope>>,
    workers: Handle,
}

impl<T: Send + 'static> DropOnWorkers<T> {
    /// Wraps `value`, which log lines call `what`. The current runtime drops it, in the current scope.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub(crate) fn new(value: T, what: &'static str) -> Self {
        let mut value = Self::on(&Handle::current(), value, what);
        value.scope = local::current();
        value
    }

    /// Wraps `value`, which log lines call `what`, to be dropped on `workers`.
    pub(crate) fn on(workers: &Handle, value: T, what: &'static str) -> Self {
        Self {
            value: Some(value),
            what,
            scope: None,
            workers: workers.clone(),
        }
    }

    /// Gives the value back.
    pub(crate) fn take(&mut self) -> Option<T> {
        self.value.take()
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.value.as_ref()
    }
}

impl<T: Send + 'static> Drop for DropOnWorkers<T> {
    fn drop(&mut self) {
        let Some(value) = self.value.take() else {
            return;
        };
        let (what, scope) = (self.what, self.scope.take());
        let drop = move || local::below(scope.as_ref(), || panics::drop_caught(value, what));
        // A runtime that refuses a task drops it on this thread. So `place` keeps the value until the task takes it.
        let place = Arc::new(Mutex::new(Some(drop)));
        let take = {
            let place = Arc::clone(&place);
            move || {
                let drop = place.lock().take();
                drop.into_iter().for_each(|drop| drop());
            }
        };
        // In two steps: `spawn_blocking` locks the blocking pool, and panics if no thread can be started. Both belong on a
        // worker.
        let dropping = take.clone();
        let task = spawn::boxed_on(&self.workers, async move {
            tokio::task::spawn_blocking(dropping);
        });
        if task.is_finished() && place.lock().is_some() {
            // The runtime has ended.
            let helper = std::thread::Builder::new().name("agentcore-helper".to_owned());
            if helper.spawn(take).is_err() {
                // There is no thread that may drop it, so it leaks.
                let _kept = ManuallyDrop::new(place);
            }
        }
    }
}

impl<T: Send + 'static> fmt::Debug for DropOnWorkers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DropOnWorkers")
            .field("what", &self.what)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread::{self, ThreadId};
    use std::time::Duration;

    use super::*;

    struct TellsThread(mpsc::Sender<ThreadId>);

    impl Drop for TellsThread {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }

    #[test]
    fn a_value_is_dropped_on_another_thread_than_the_one_that_lets_go_of_it() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let (sender, dropped) = mpsc::channel();
        let value = runtime.block_on(async { DropOnWorkers::new(TellsThread(sender), "a value") });
        drop(value);
        let dropping = dropped.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_ne!(dropping, thread::current().id());
    }

    #[test]
    fn a_value_is_dropped_elsewhere_even_when_the_runtime_has_ended() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let (sender, dropped) = mpsc::channel();
        let value = runtime.block_on(async { DropOnWorkers::new(TellsThread(sender), "a value") });
        drop(runtime);
        drop(value);
        let dropping = dropped.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_ne!(dropping, thread::current().id());
    }

    #[tokio::test]
    async fn a_value_that_is_taken_back_is_the_callers() {
        let (sender, dropped) = mpsc::channel();
        let mut value = DropOnWorkers::new(TellsThread(sender), "a value");
        drop(value.take());
        assert_eq!(dropped.try_recv(), Ok(thread::current().id()));
    }
}
