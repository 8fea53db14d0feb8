//! The end: work in progress finishes, or is named as cut off.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::front::Front;
use super::stalls::whole_milliseconds;
use crate::context;
use crate::error::{Error, Kind};

/// What shutdown hooks get when the work in progress has used up the grace.
const LEAST_FOR_HOOKS: Duration = Duration::from_secs(2);

/// What is cut off is named up to so many; beyond that a log would be lost rather than read.
const MOST_NAMED: usize = 500;

impl Front {
    /// Lets work in progress finish within `grace`, then runs the shutdown hooks.
    pub(super) async fn drain(&self, grace: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + grace;
        let finished = match timeout_at(deadline, self.instance.tracker.idle()).await {
            Ok(()) => Ok(()),
            Err(_) => self.report_cut_off(),
        };
        let until = deadline.max(Instant::now() + LEAST_FOR_HOOKS);
        self.run_shutdown_hooks(until).await;
        finished
    }

    /// Names everything that still runs, and ends it as far as possible; an error if anything does.
    pub(super) fn report_cut_off(&self) -> Result<(), Error> {
        let requests = self
            .instance
            .requests
            .filter_map(|_, scope| Some((scope.age(), scope.to_string(), Some(Arc::clone(scope)))));
        let tasks = self.instance.tracker.described();
        let mut cut_off: Vec<_> = requests.into_iter().chain(tasks).collect();
        if cut_off.is_empty() {
            return Ok(());
        }
        cut_off.sort_unstable_by(|(one, ..), (other, ..)| other.cmp(one));
        let count = cut_off.len();
        let mut lines: Vec<_> = cut_off
            .into_iter()
            .take(MOST_NAMED)
            .map(|(age, what, scope)| {
                let age = humantime::format_duration(whole_milliseconds(age));
                let line = format!("{what} after {age}");
                context::below(scope.as_ref(), || tracing::error!("cut off: {line}"));
                line
            })
            .collect();
        if count > lines.len() {
            lines.push(format!("{} more", count - lines.len()));
            tracing::error!("cut off: {} more", count - MOST_NAMED);
        }
        self.instance.cut_off();
        self.connections.look_again();
        let problem = format!(
            "stopped before everything was finished; cut off: {}",
            lines.join(", ")
        );
        Err(Error::new(Kind::CutOff, problem))
    }
}
