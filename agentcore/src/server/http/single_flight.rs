//! [`SingleFlight`]: at most one run of something at a time; those that ask for it meanwhile get its result.

use tokio::sync::watch;
use tokio::time::Instant;

use crate::util::sync::Mutex;

/// The last run, if there was one.
#[derive(Debug)]
pub(crate) struct SingleFlight<T>(Mutex<Option<Run<T>>>);

/// One run, as those see it that wait for its result.
#[derive(Clone, Debug)]
pub(crate) struct Run<T> {
    began: Instant,
    progress: watch::Receiver<Progress<T>>,
}

/// The other end of a [`Run`]. Its drop ends the run.
#[derive(Debug)]
pub(crate) struct Runner<T>(watch::Sender<Progress<T>>);

#[derive(Debug)]
enum Progress<T> {
    Running,
    /// The result is known, and something of the run goes on.
    Ending(T),
    Over(T),
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> SingleFlight<T> {
    /// Joins the last run if it is in progress, or if it is over with a result that `keeps` accepts. Otherwise `begin` begins
    /// another one.
    pub(crate) fn join_or_begin(
        &self,
        keeps: impl FnOnce(&T) -> bool,
        begin: impl FnOnce(Runner<T>),
    ) -> Run<T> {
        let mut last = self.0.lock();
        if let Some(run) = last.as_ref().filter(|run| run.may_be_joined(keeps)) {
            return run.clone();
        }
        let (sender, progress) = watch::channel(Progress::Running);
        let run = last.insert(Run {
            began: Instant::now(),
            progress,
        });
        begin(Runner(sender));
        run.clone()
    }
}

impl<T: Clone> Run<T> {
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Waits for the result; `None` if the run has ended without one.
    pub(crate) async fn result(mut self) -> Option<T> {
        let is_known = |progress: &Progress<T>| progress.result().is_some();
        let progress = self.progress.wait_for(is_known).await;
        progress.ok()?.result().cloned()
    }

    fn may_be_joined(&self, keeps: impl FnOnce(&T) -> bool) -> bool {
        match &*self.progress.borrow() {
            Progress::Running | Progress::Ending(_) => self.progress.has_changed().is_ok(),
            Progress::Over(result) => keeps(result),
        }
    }
}

impl<T> Runner<T> {
    /// Tells the result, while something of the run goes on.
    pub(crate) fn tell(&self, result: T) {
        self.0.send_replace(Progress::Ending(result));
    }

    /// Ends the run with its result.
    pub(crate) fn end(self, result: T) {
        self.0.send_replace(Progress::Over(result));
    }
}

impl<T> Progress<T> {
    fn result(&self) -> Option<&T> {
        match self {
            Self::Running => None,
            Self::Ending(result) | Self::Over(result) => Some(result),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks, and returns the run; and its runner if it began now.
    fn ask(flight: &SingleFlight<u8>) -> (Run<u8>, Option<Runner<u8>>) {
        let mut runner = None;
        let run = flight.join_or_begin(|_| false, |begun| runner = Some(begun));
        (run, runner)
    }

    #[tokio::test]
    async fn a_run_is_joined_until_it_is_over() {
        let flight = SingleFlight::default();
        let (first, runner) = ask(&flight);
        let runner = runner.expect("the first to ask begins a run");
        let (second, joined) = ask(&flight);
        assert!(joined.is_none());
        runner.tell(7);
        let (third, joined) = ask(&flight);
        assert!(joined.is_none(), "something of it goes on");
        assert_eq!(third.clone().result().await, Some(7));
        runner.end(8);
        assert!(ask(&flight).1.is_some(), "another run begins");
        for run in [first, second, third] {
            assert_eq!(run.result().await, Some(8));
        }
    }

    #[tokio::test]
    async fn a_run_that_ends_without_a_result_keeps_nobody_waiting() {
        let flight = SingleFlight::default();
        let (run, runner) = ask(&flight);
        drop(runner);
        assert_eq!(run.result().await, None);
        assert!(ask(&flight).1.is_some(), "another run begins");
    }

    #[tokio::test]
    async fn a_result_may_be_kept() {
        let flight = SingleFlight::default();
        let (_, runner) = ask(&flight);
        runner.expect("a new run").end(7);
        let kept = flight.join_or_begin(|result| *result == 7, |_| unreachable!());
        assert_eq!(kept.result().await, Some(7));
        assert!(ask(&flight).1.is_some(), "another run begins");
    }
}
