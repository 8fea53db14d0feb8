//! Counts and lists the work in progress, and derives the status that `/ping` reports.
//!
//! [`BusyTracker`] joins the [status word](status) with the [table](table) of tasks. It knows nothing of HTTP. [`Origin`] says
//! all that it knows of a task's request. The drop of a guard ends an activity. A task kept by hand ends by its ticket or its
//! id, and a task that is too old ends for its age. Nothing else lowers the count.

mod end;
mod id;
mod in_progress;
pub(crate) mod kept_results;
mod list;
mod names;
mod origin;
mod owner;
mod ping_status;
mod status;
mod table;
mod task;
mod walk;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::RangeBounds;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::config::LogLevel;
use crate::error::TimedOut;
use crate::otel::{self, Current, Span};
use crate::report::{self, Outcome};
use crate::util::text::cut;
use crate::util::time::unix_now;
pub(crate) use end::{Failure, TaskEnd};
use id::Ids;
pub use id::{ParseTaskIdError, TaskId};
use in_progress::InProgress;
use kept_results::Results;
pub use list::RunningJob;
use names::Names;
pub(crate) use origin::Origin;
pub(crate) use owner::Owner;
pub use ping_status::PingStatus;
pub(crate) use status::StatusView;
pub(crate) use table::Table;
pub(crate) use task::EndedByAge;
use task::{Rare, Task};
use walk::Slices;
pub(crate) use walk::{Oldest, walk};

/// The number of log lines when many tasks end for their age at once. More would only fill the log.
const MOST_NAMED: usize = 100;

/// The maximum length of a task's name in bytes. Lists show the name of each task, and a list may be long.
const LONGEST_NAME: usize = 256;

/// Counts the work in progress and lists the tasks in it.
#[derive(Debug)]
pub(crate) struct BusyTracker<O> {
    in_progress: InProgress,
    tasks: Table<Task<O>>,
    /// Its lock may be taken under the lock of a task. The reverse order would deadlock.
    ids: Ids,
    names: Names,
    /// Notified whenever the last activity ends.
    idle: Notify,
    /// The results of background tasks that have ended.
    results: Results,
    /// The maximum age of a task in milliseconds; 0 for no limit.
    max_age: AtomicU64,
    /// The level of the line that a task ends with, as the number of a [`LogLevel`].
    line_level: AtomicU8,
}

impl<O: Origin> BusyTracker<O> {
    pub(crate) fn new() -> Self {
        Self {
            in_progress: InProgress::new(unix_now()),
            tasks: Table::new(),
            ids: Ids::default(),
            names: Names::new(),
            idle: Notify::new(),
            results: Results::default(),
            max_age: AtomicU64::new(0),
            line_level: AtomicU8::new(LogLevel::Info as u8),
        }
    }

    pub(crate) fn status(&self) -> StatusView {
        self.in_progress.status.view()
    }

    fn begin(&self) {
        self.in_progress.status.begin(unix_now);
    }

    fn end(&self) {
        if self.in_progress.status.end(unix_now) {
            self.idle.notify_waiters();
        }
    }

    /// Begins an invocation. It makes the agent busy if `counts`.
    pub(crate) fn begin_invocation(&self, counts: bool) {
        if counts {
            self.begin();
        } else {
            self.in_progress.begin_uncounted();
        }
    }

    pub(crate) fn end_invocation(&self, counted: bool) {
        if counted {
            self.end();
        } else if self.in_progress.end_uncounted() {
            self.idle.notify_waiters();
        }
    }

    /// Begins a task. The count rises before the table has the task, and falls after the table has dropped it. So a reader that
    /// finds the task in the list also finds the agent busy.
    pub(crate) fn begin_task(
        &self,
        name: Cow<'static, str>,
        metadata: Option<Value>,
        origin: Option<&Arc<O>>,
    ) -> u64 {
        self.begin();
        let name = shortened(name);
        let span = Span::task(&name);
        self.tasks.insert(Task {
            place: self.names.begin(&name),
            name,
            started: Instant::now(),
            origin: origin.cloned(),
            span,
            is_named: AtomicBool::new(false),
            rare: metadata.map(|metadata| {
                Box::new(Rare {
                    metadata: Some(Arc::new(metadata)),
                    ..Rare::default()
                })
            }),
        })
    }

    /// The task's id, drawn at the first call; `None` if the task is over.
    pub(crate) fn id(&self, ticket: u64) -> Option<TaskId> {
        match self.tasks.with_value(ticket, |task| task.id())? {
            Some(known) => Some(known),
            // Drawn without the lock, because drawing is a system call.
            None => self.id_or(ticket, TaskId::draw()),
        }
    }

    /// The task's id, which becomes `fresh` if the task has none; `None` if the task is over.
    pub(crate) fn id_or(&self, ticket: u64, fresh: TaskId) -> Option<TaskId> {
        self.tasks.with_value(ticket, |task| {
            *task.rare().id.get_or_insert_with(|| {
                // Under the task's lock, so that the task cannot end before its id is in the map.
                self.ids.insert(fresh, ticket);
                fresh
            })
        })
    }

    /// Ends the task that `ticket` was given for; `false` if it is over already.
    pub(crate) fn end_task(&self, ticket: u64) -> bool {
        let Some(task) = self.forget(ticket) else {
            return false;
        };
        // Before the count falls, so that a stop that waits for the last task also waits for its line.
        self.report(&task);
        self.end();
        drop(task);
        true
    }

    /// Removes a task from the table, the ids and the names, but not from the count.
    fn forget(&self, ticket: u64) -> Option<Task<O>> {
        let task = self.tasks.remove(ticket)?;
        if let Some(id) = task.id() {
            self.ids.remove(id);
        }
        self.names.end(task.place);
        Some(task)
    }

    fn report(&self, task: &Task<O>) {
        let level = LogLevel::of_number(self.line_level.load(Ordering::Relaxed));
        end::report(task, level.level());
    }

    /// Ends the task with this id; `false` if there is none.
    pub(crate) fn complete(&self, id: TaskId) -> bool {
        let ticket = self.ids.ticket(id);
        ticket.is_some_and(|ticket| self.end_task(ticket))
    }

    /// The number of tasks and invocations in progress, whether or not they count as busy.
    pub(crate) fn in_progress(&self) -> usize {
        self.in_progress.total()
    }

    /// Makes it possible to abort a task from outside. `spawned` is called when the task is ended for its age.
    pub(crate) fn make_abortable(
        &self,
        ticket: u64,
        abort: AbortHandle,
        spawned: Weak<dyn EndedByAge>,
    ) {
        self.tasks.with_value(ticket, |task| {
            let rare = task.rare();
            rare.abort = Some(abort);
            rare.spawned = Some(spawned);
        });
    }

    /// Lets callers of every session ask for a task.
    pub(crate) fn allow_any_session(&self, ticket: u64) {
        self.tasks
            .with_value(ticket, |task| task.rare().any_session = true);
    }

    pub(crate) fn is_running(&self, ticket: u64) -> bool {
        self.tasks.with_value(ticket, |_| ()).is_some()
    }

    /// Whether the task with this id runs and a caller in `session` may know it.
    pub(crate) fn is_running_for(&self, id: TaskId, session: Option<&str>) -> bool {
        let ticket = self.ids.ticket(id);
        let admits = |ticket| self.tasks.with_value(ticket, |task| task.admits(session));
        ticket.and_then(admits).unwrap_or(false)
    }

    /// Aborts a spawned task; `false` if it is over or was not spawned.
    pub(crate) fn abort(&self, ticket: u64) -> bool {
        self.abort_if(ticket, |_| true)
    }

    /// Aborts a spawned task for a caller in `session`; `false` if the caller may not do it, or the task is over or was not
    /// spawned.
    pub(crate) fn abort_for(&self, id: TaskId, session: Option<&str>) -> bool {
        let ticket = self.ids.ticket(id);
        ticket.is_some_and(|ticket| self.abort_if(ticket, |task| task.admits(session)))
    }

    fn abort_if(&self, ticket: u64, may: impl FnOnce(&Task<O>) -> bool) -> bool {
        let abort = |task: &mut Task<O>| may(task).then(|| task.abort().cloned());
        let abort = self.tasks.with_value(ticket, abort).flatten().flatten();
        abort.inspect(AbortHandle::abort).is_some()
    }

    /// The time when the task began.
    pub(crate) fn started(&self, ticket: u64) -> Option<Instant> {
        self.tasks.with_value(ticket, |task| task.started)
    }

    /// The task's span as the current one; `None` while tracing is off.
    pub(crate) fn current(&self, ticket: u64) -> Option<Current> {
        let of_span = |task: &mut Task<O>| task.span.current();
        otel::is_on()
            .then(|| self.tasks.with_value(ticket, of_span))
            .flatten()
    }

    /// Records how a task ends. An error is recorded twice: first its text, and later whether any code receives it. The first
    /// text stays, because it is the better one.
    pub(crate) fn note_end(&self, ticket: u64, end: TaskEnd) {
        self.tasks.with_value(ticket, |task| {
            let is_cut_off = task.is_named();
            let known = &mut task.rare().end;
            let end = match end {
                TaskEnd::Cancelled if is_cut_off => TaskEnd::CutOff,
                TaskEnd::Failed(later) => match known {
                    TaskEnd::Completed => TaskEnd::Failed(later),
                    TaskEnd::Failed(known) => {
                        known.is_received = later.is_received;
                        return;
                    }
                    _ => return,
                },
                other => other,
            };
            let outcome = end.outcome();
            *known = end;
            match outcome {
                // The span does not record an error that the task returns.
                Outcome::Success | Outcome::Error => {}
                outcome => task.span.note(outcome),
            }
        });
    }

    /// Records the details for the line about the task's end.
    pub(crate) fn note_failure(&self, ticket: u64, failure: report::Failure) {
        let failure = Box::new(failure);
        self.tasks
            .with_value(ticket, |task| task.rare().failure = Some(failure));
    }

    /// The request that the task was started in.
    pub(crate) fn origin(&self, ticket: u64) -> Option<Arc<O>> {
        self.tasks
            .with_value(ticket, |task| task.origin.clone())
            .flatten()
    }

    /// The request that the task was started in. A task from outside of requests belongs to `otherwise` from now on.
    pub(crate) fn origin_or(&self, ticket: u64, otherwise: Option<Arc<O>>) -> Option<Arc<O>> {
        let own = self.tasks.with_value(ticket, |task| {
            if task.origin.is_none() {
                task.origin.clone_from(&otherwise);
            }
            task.origin.clone()
        });
        own.unwrap_or(otherwise)
    }

    /// Shows `oldest` every running task whose start lies in `began`: its name for the log, and the request it was started in.
    /// For the front; see [`walk`].
    pub(crate) async fn describe(
        &self,
        oldest: &mut Oldest<(String, Option<Arc<O>>)>,
        began: impl RangeBounds<Instant>,
    ) {
        let read = |_, task: &Task<O>| {
            if began.contains(&task.started) {
                task.is_named.store(true, Ordering::Relaxed);
                oldest.see(task.started, || (task.called(), task.origin.clone()));
            }
        };
        walk(&self.tasks, read).await;
    }

    /// Aborts all spawned tasks whose start lies in `began`. For the front; see [`walk`].
    pub(crate) async fn abort_all(&self, began: impl RangeBounds<Instant>) {
        let mut slices = Slices::of(&self.tasks);
        loop {
            let mut aborts = Vec::new();
            let read = |_, task: &Task<O>| {
                let abort = task.abort().filter(|_| began.contains(&task.started));
                aborts.extend(abort.cloned());
            };
            let goes_on = slices.next(read).await;
            // Without the lock of the table: `abort` takes locks of the workers' runtime.
            aborts.iter().for_each(AbortHandle::abort);
            if !goes_on {
                return;
            }
        }
    }

    /// Whether a running task began at `since` or later. For the front; see [`walk`].
    pub(crate) async fn has_later_than(&self, since: Instant) -> bool {
        let mut found = false;
        let read = |_, task: &Task<O>| found |= task.started >= since;
        walk(&self.tasks, read).await;
        found
    }

    /// The name of a running task.
    pub(crate) fn task_name(&self, ticket: u64) -> Option<Cow<'static, str>> {
        self.tasks.with_value(ticket, |task| task.name.clone())
    }

    /// The number of running tasks under each name.
    pub(crate) fn task_names(&self) -> Vec<(&str, u64)> {
        self.names.list()
    }

    /// The maximum age of a task.
    pub(crate) fn max_age(&self) -> Option<Duration> {
        match self.max_age.load(Ordering::Relaxed) {
            0 => None,
            milliseconds => Some(Duration::from_millis(milliseconds)),
        }
    }

    /// Sets the maximum age of a task. The poll of a task checks it; for tasks that are not polled, see
    /// [`older_than`](Self::older_than).
    pub(crate) fn set_max_age(&self, limit: Option<Duration>) {
        let milliseconds = limit.map_or(0, |limit| (limit.as_millis() as u64).max(1));
        self.max_age.store(milliseconds, Ordering::Relaxed);
    }

    /// Sets the level of the line that each task ends with.
    pub(crate) fn set_line_level(&self, level: LogLevel) {
        self.line_level.store(level as u8, Ordering::Relaxed);
    }

    /// The tasks older than `age`. For the front; see [`walk`].
    pub(crate) async fn older_than(&self, age: Duration) -> Vec<u64> {
        let (now, mut old) = (Instant::now(), Vec::new());
        let read = |ticket, task: &Task<O>| {
            if now.saturating_duration_since(task.started) > age {
                old.push(ticket);
            }
        };
        walk(&self.tasks, read).await;
        old
    }

    /// Ends tasks that are older than `limit`: they stop counting, and are aborted if they were spawned. Drops what belongs to
    /// them, so this is not for the front. All of them end before any is logged, since a log may block.
    pub(crate) fn end_old(&self, tickets: &[u64], limit: Duration) {
        let (mut named, mut unnamed) = (Vec::new(), 0_usize);
        for &ticket in tickets {
            let abort = self.tasks.with_value(ticket, |task| task.abort().cloned());
            if let Some(old) = self.take_old(ticket, limit) {
                if named.len() < MOST_NAMED {
                    named.push(old);
                } else {
                    unnamed += 1;
                }
            }
            abort.flatten().inspect(AbortHandle::abort);
        }
        named.iter().for_each(|old| self.report(old));
        if unnamed > 0 {
            tracing::error!("{unnamed} more tasks were cancelled for their age");
        }
    }

    /// Ends a task that is older than `limit`, and logs it.
    pub(crate) fn end_by_age(&self, ticket: u64, limit: Duration) {
        if let Some(old) = self.take_old(ticket, limit) {
            self.report(&old);
        }
    }

    /// Ends a task that is older than `limit`; the caller logs it. `None` if the task is over: if two threads notice its age,
    /// one of them ends it.
    fn take_old(&self, ticket: u64, limit: Duration) -> Option<Task<O>> {
        let name = self.task_name(ticket)?;
        let spawned = |task: &mut Task<O>| task.rare.as_ref()?.spawned.clone();
        let spawned = self.tasks.with_value(ticket, spawned).flatten();
        // Before the table drops the task, so that its status is never unknown in between.
        if let Some(spawned) = spawned.and_then(|spawned| spawned.upgrade()) {
            if !spawned.ended_by_age(TimedOut::new(limit)) {
                return None;
            }
        }
        let limit = humantime::format_duration(limit);
        self.note_end(ticket, TaskEnd::TimedOut);
        self.note_failure(
            ticket,
            report::Failure::stopped(
                format!("task `{name}`"),
                format!("was cancelled: it ran for longer than {limit}, the maximum age of tasks"),
            ),
        );
        let old = self.forget(ticket)?;
        self.end();
        Some(old)
    }

    pub(crate) fn results(&self) -> &Results {
        &self.results
    }

    /// Completes when nothing is in progress; at once if nothing is.
    pub(crate) async fn idle(&self) {
        loop {
            // Registered before the check, so that an end between the two is not missed.
            let ended = self.idle.notified();
            if self.in_progress() == 0 {
                return;
            }
            ended.await;
        }
    }

    pub(crate) fn force(&self, status: Option<PingStatus>) {
        self.in_progress.status.force(status, unix_now);
    }

    pub(crate) fn set_custom(&self, status: Option<PingStatus>) {
        self.in_progress.status.set_custom(status, unix_now);
    }

    /// Starts the idle clock and the tickets anew. The process has been restored from a snapshot, possibly as one of several.
    pub(crate) fn restored(&self) {
        self.in_progress.status.restamp(unix_now());
        self.tasks.begin_anew();
    }
}

/// `name`, cut to [`LONGEST_NAME`].
fn shortened(name: Cow<'static, str>) -> Cow<'static, str> {
    if name.len() <= LONGEST_NAME {
        return name;
    }
    Cow::Owned(cut(name.into_owned(), LONGEST_NAME))
}
