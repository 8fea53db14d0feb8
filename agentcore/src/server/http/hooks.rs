//! Hooks that the platform causes to run, by its warm-up request or by a restore: one run of them, on the workers.
//!
//! The agent is busy while a hook runs. A hook that is not `async` cannot be stopped: after its time limit it goes on, the agent
//! stays busy with it, and no further run begins before it has ended.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::single_flight::Runner;
use crate::app::descriptors::Meta;
use crate::app::parts::PlatformHook;
use crate::error::with_causes;
use crate::handler::hook::HookCall;
use crate::report::{self, Kind, panics};
use crate::request::{self, Activity, Arrival, Instance, Scope};
use crate::server::threads::AbortOnDrop;

/// How often the end of a hook that cannot be stopped is checked. A wake-up would be one more thing that each request pays for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a hook that was given up may take to end before those that wait for the run get its result. A request that comes after
/// the result then begins another run.
const UNTIL_OVER: Duration = Duration::from_millis(100);

/// The hooks of one kind, and what their runs need.
pub(crate) struct Hooks {
    hooks: Vec<PlatformHook>,
    /// `warm-up hook` or `restore hook`.
    role: &'static str,
    instance: Arc<Instance>,
    workers: Handle,
}

/// The time limit of a run. A hook may have one of its own besides.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// For each hook that has none of its own.
    Each(Duration),
    /// For all hooks together.
    Whole { until: Instant, limit: Duration },
}

impl Limit {
    /// When a hook that begins now has to end, and the limit that this comes from.
    fn of_hook(self, hook: &PlatformHook, now: Instant) -> (Instant, Duration) {
        let own = hook.timeout.map(|own| (now + own, own));
        match self {
            Self::Each(usual) => own.unwrap_or((now + usual, usual)),
            Self::Whole { until, limit } => match own {
                Some(own) if own.0 < until => own,
                _ => (until, limit),
            },
        }
    }
}

/// Why a run has not succeeded.
pub(crate) enum Why {
    /// The hook returned an error with this text.
    Failed(String),
    /// The hook panicked with this text.
    Panicked(String),
    /// The hook exceeded this limit.
    TimedOut(Duration),
    /// The shutdown has not waited for the hook, or the runtime of the workers has ended.
    CutOff,
}

/// A run that has not succeeded.
pub(crate) struct Failure {
    pub(crate) why: Why,
    hook: Meta,
    role: &'static str,
    scope: Arc<Scope>,
}

impl Hooks {
    pub(crate) fn new(
        hooks: Vec<PlatformHook>,
        role: &'static str,
        instance: Arc<Instance>,
        workers: Handle,
    ) -> Self {
        Self {
            hooks,
            role,
            instance,
            workers,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// Runs all hooks, one after the other, and returns how long each has taken. Stops at the first that does not succeed, which
    /// is logged.
    pub(crate) async fn run(&self, limit: Limit) -> Result<Vec<(&'static str, Duration)>, Failure> {
        let mut ran = Vec::with_capacity(self.hooks.len());
        // Keeps the agent busy between two hooks.
        let mut held = None;
        for hook in &self.hooks {
            let meta = hook.callback.meta;
            let began = Instant::now();
            let (deadline, limit) = limit.of_hook(hook, began);
            let arrival = Arrival {
                counts: true,
                ..Arrival::uncounted(Kind::Hook, meta.name(), HeaderMap::new())
            };
            let activity = Activity::begin(Arc::clone(&self.instance), arrival);
            let scope = Arc::clone(activity.scope());
            let next = scope.hold();
            drop(std::mem::replace(&mut held, next));
            let ended = tokio::select! {
                ended = self.on_workers(hook, activity) => ended,
                () = sleep_until(deadline) => Err(Why::TimedOut(limit)),
                () = self.instance.until_cut_off() => Err(Why::CutOff),
            };
            if let Err(why) = ended {
                let failure = Failure {
                    why,
                    hook: meta,
                    role: self.role,
                    scope,
                };
                failure.log();
                return Err(failure);
            }
            ran.push((meta.name(), began.elapsed()));
        }
        Ok(ran)
    }

    /// Runs one hook. Dropping the future aborts it.
    async fn on_workers(&self, hook: &PlatformHook, activity: Activity) -> Result<(), Why> {
        let (meta, role) = (hook.callback.meta, self.role);
        let call = Arc::clone(&hook.callback.call);
        let arguments = HookCall::of_hook(Arc::clone(&self.instance));
        let scope = Arc::clone(activity.scope());
        let run = async move {
            // Dropped after the hook's own values.
            let _activity = activity;
            let hook = async move {
                let ended = call(arguments).await;
                ended.map_err(|error| Why::Failed(with_causes(&*error)))
            };
            panics::catch(hook).await.unwrap_or_else(|panic| {
                panic.log(&format!("{role} {meta}"));
                Err(Why::Panicked(panic.message().to_owned()))
            })
        };
        let run = request::spawn_boxed(&self.workers, scope, run);
        match AbortOnDrop(run).await {
            Ok(ended) => ended,
            Err(_) => Err(Why::CutOff),
        }
    }
}

impl Failure {
    /// The hook, and why it has not succeeded.
    pub(crate) fn text(&self) -> String {
        let (role, hook) = (self.role, self.hook);
        match &self.why {
            Why::Panicked(why) => format!("{role} {hook} panicked: {why}"),
            Why::Failed(why) => format!("{role} {hook} failed: {why}"),
            Why::TimedOut(limit) => {
                let limit = humantime::format_duration(*limit);
                format!("{role} {hook} took longer than {limit}")
            }
            Why::CutOff => format!("{role} {hook} was cut off by the shutdown"),
        }
    }

    fn log(&self) {
        if let Why::Panicked(_) = self.why {
            // The panic has a line of its own, with its place.
            return;
        }
        let text = self.text();
        report::emit(move || tracing::error!("{text}"));
    }

    /// Ends the run with `result` when nothing of the hook runs any more. If that takes long, those that wait get the result before.
    /// After a cut-off they get it at once, since there is no next request.
    pub(crate) async fn settle<T: Clone>(self, run: Runner<T>, result: T) {
        let patience = match self.why {
            Why::CutOff => Duration::ZERO,
            _ => UNTIL_OVER,
        };
        let over = self.over();
        tokio::pin!(over);
        if timeout(patience, &mut over).await.is_err() {
            run.tell(result.clone());
            over.await;
        }
        run.end(result);
    }

    /// Completes when nothing of the hook runs any more.
    async fn over(&self) {
        while self.scope.is_counted() {
            sleep(LOOK_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::TrackerHandle;
    use crate::server::http::single_flight::SingleFlight;

    #[tokio::test(start_paused = true)]
    async fn a_hook_that_cannot_be_stopped_holds_up_the_result_for_a_moment_and_the_next_run_to_its_end()
     {
        let instance = Arc::new(Instance::new(TrackerHandle::default(), Arc::default()));
        let arrival = Arrival {
            counts: true,
            ..Arrival::uncounted(Kind::Hook, "renew", HeaderMap::new())
        };
        let hook = Activity::begin(instance, arrival);
        let failure = Failure {
            why: Why::TimedOut(Duration::from_secs(1)),
            hook: Meta::new("renew", "", file!(), line!()),
            role: "restore hook",
            scope: Arc::clone(hook.scope()),
        };
        let (flight, mut runner) = (SingleFlight::default(), None);
        let run = flight.join_or_begin(|_| false, |begun| runner = Some(begun));
        let runner = runner.expect("a run begins");
        let began = Instant::now();
        let settled = tokio::spawn(failure.settle(runner, 7));
        assert_eq!(run.result().await, Some(7));
        assert_eq!(began.elapsed(), Duration::from_millis(100));
        let joined = flight.join_or_begin(|_| false, |_| panic!("a second run begins"));
        assert_eq!(joined.result().await, Some(7));
        drop(hook);
        settled.await.expect("it ends");
        let mut begins = false;
        flight.join_or_begin(|_| false, |_| begins = true);
        assert!(begins);
    }
}
