//! Spawned tasks, their handles and their results.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::*;
use crate::RequestContext;
use crate::error::TimedOut;
use crate::headers::session_id;
use crate::report::Kind;
use crate::request::Instance;
use crate::request::TrackerHandle;
use crate::request::{Activity, Arrival};
use crate::tasks::{TaskGuard, TaskStatus, task_status};
use crate::tracker::EndedByAge as _;

/// A request of `session`.
fn request(session: &str) -> Activity {
    let instance = Arc::new(Instance::new(TrackerHandle::Process, Arc::default()));
    let mut headers = http::HeaderMap::new();
    let key = "x-amzn-bedrock-agentcore-runtime-session-id";
    headers.insert(key, session.parse().unwrap());
    assert_eq!(session_id(&headers), Some(session));
    Activity::begin(
        instance,
        Arrival::uncounted(Kind::Invocation, "handler", headers),
    )
}

#[tokio::test]
async fn a_task_runs_below_the_request_that_it_began_in_and_belongs_to_it() {
    let (alice, bob) = (request("alice"), request("bob"));
    let future = alice.scope().enter(|| {
        track("begun by alice").wrap(async {
            let context = RequestContext::current().unwrap();
            context.session_id().map(str::to_owned)
        })
    });
    let id = bob.scope().enter(|| spawn(future).detach());
    let status = |request: &Activity| request.scope().enter(|| task_status(id));
    while status(&alice) == TaskStatus::Running {
        assert_eq!(status(&bob), TaskStatus::Unknown);
        tokio::task::yield_now().await;
    }
    assert_eq!(status(&alice), TaskStatus::Completed("alice".into()));
    assert_eq!(status(&bob), TaskStatus::Unknown);
}

#[tokio::test]
async fn a_task_that_began_in_no_request_belongs_to_the_one_that_spawns_it() {
    let bob = request("bob");
    let future = track("begun by nobody").wrap(async {
        let context = RequestContext::current();
        context.and_then(|context| context.session_id().map(str::to_owned))
    });
    let id = bob.scope().enter(|| spawn(future).detach());
    let status = || bob.scope().enter(|| task_status(id));
    while status() == TaskStatus::Running {
        assert_eq!(task_status(id), TaskStatus::Unknown);
        tokio::task::yield_now().await;
    }
    assert_eq!(status(), TaskStatus::Completed("bob".into()));
    assert_eq!(task_status(id), TaskStatus::Unknown);
}

/// Returns a task that blocks its thread until `release` is dropped, and the runtime of that thread.
fn blocking() -> (
    tokio::runtime::Runtime,
    TaskHandle<u32>,
    u64,
    std::sync::mpsc::Sender<()>,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (sender, runs) = std::sync::mpsc::channel();
    let guard = track("blocks its thread");
    let ticket = guard.ticket();
    let future = guard.wrap(async move {
        sender.send(()).unwrap();
        assert!(released.recv().is_err());
        7
    });
    let within = runtime.enter();
    let task = spawn(future);
    drop(within);
    runs.recv().unwrap();
    (runtime, task, ticket, release)
}

const AGE: Duration = Duration::from_secs(60);

#[test]
fn a_detached_task_that_is_too_old_has_timed_out_while_its_code_runs_and_afterwards() {
    for detaches_first in [true, false] {
        let (runtime, task, ticket, release) = blocking();
        let id = task.id();
        if detaches_first {
            assert_eq!(task.0.detach(), id);
            assert_eq!(task_status(id), TaskStatus::Running);
        }
        TrackerHandle::Process.end_old(&[ticket], AGE);
        if !detaches_first {
            assert_eq!(task.0.detach(), id);
        }
        assert_eq!(task_status(id), TaskStatus::TimedOut);
        // The runtime waits for the blocked thread.
        drop(release);
        drop(runtime);
        assert_eq!(task_status(id), TaskStatus::TimedOut);
    }
}

/// The line about the end of the task says `timeout`, and so does the result.
#[test]
fn the_handle_of_a_task_that_was_too_old_has_timed_out_though_its_code_has_ended() {
    let (runtime, task, ticket, release) = blocking();
    TrackerHandle::Process.end_old(&[ticket], AGE);
    drop(release);
    let error = runtime.block_on(task).unwrap_err();
    assert_eq!(error, TaskError::TimedOut(TimedOut::new(AGE)));
}

/// The other way round: the result is there, so the task is not ended for its age.
#[tokio::test]
async fn a_task_whose_result_is_settled_is_not_ended_for_its_age() {
    let guard = track("settled");
    let ticket = guard.ticket();
    let task = spawn(guard.wrap(async { 7 }));
    let shared = Arc::clone(&task.shared);
    assert_eq!(task.await, Ok(7));
    assert!(!shared.ended_by_age(TimedOut::new(AGE)), "it is settled");
    TrackerHandle::Process.end_old(&[ticket], AGE);
}

/// Says when its text is being made, and waits until it may go on.
struct Slow(std::sync::mpsc::Sender<()>, std::sync::mpsc::Receiver<()>);

impl serde::Serialize for Slow {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.send(()).unwrap();
        assert!(self.1.recv().is_err());
        serializer.serialize_u32(7)
    }
}

#[test]
fn a_task_that_becomes_too_old_while_its_result_is_made_into_text_has_timed_out() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let (sender, begun) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let guard = track("made into text");
    let ticket = guard.ticket();
    let id = {
        let _within = runtime.enter();
        spawn(guard.wrap(async move { Slow(sender, released) })).detach()
    };
    begun.recv().unwrap();
    TrackerHandle::Process.end_old(&[ticket], AGE);
    drop(release);
    // It waits for its thread.
    drop(runtime);
    assert_eq!(task_status(id), TaskStatus::TimedOut);
}

#[tokio::test]
async fn the_handle_of_a_task_that_is_aborted_for_its_age_says_so() {
    let guard = track("too old");
    let ticket = guard.ticket();
    let task = spawn(guard.wrap(std::future::pending::<()>()));
    TrackerHandle::Process.end_old(&[ticket], AGE);
    let error = task.await.unwrap_err();
    assert_eq!(error, TaskError::TimedOut(TimedOut::new(AGE)));
}

/// Ends these tasks for their age. Returns the lines about tasks that were not named.
fn lines_about_more(tickets: &[u64]) -> Vec<String> {
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    struct Catch(std::sync::mpsc::Sender<String>);
    impl<S: tracing::Subscriber> Layer<S> for Catch {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            let _ = self.0.send(format!("{event:?}"));
        }
    }
    let (sender, lines) = std::sync::mpsc::channel();
    let subscriber = tracing_subscriber::registry().with(Catch(sender));
    tracing::subscriber::with_default(subscriber, || {
        TrackerHandle::Process.end_old(tickets, AGE);
    });
    lines
        .iter()
        .filter(|line| line.contains("more tasks"))
        .collect()
}

#[test]
fn of_many_old_tasks_only_those_that_were_ended_are_counted() {
    let over = (0..50).map(|_| track("over").ticket());
    let runs: Vec<_> = (0..102).map(|_| track("runs")).collect();
    let tickets = |runs: &[TaskGuard]| -> Vec<_> {
        over.clone()
            .chain(runs.iter().map(TaskGuard::ticket))
            .collect()
    };
    let lines = lines_about_more(&tickets(&runs));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("2 more tasks were cancelled"),
        "{lines:?}"
    );
    let runs: Vec<_> = (0..100).map(|_| track("runs")).collect();
    assert_eq!(lines_about_more(&tickets(&runs)), Vec::<String>::new());
}

/// Completes at once, and still holds a value.
struct Full(Option<tokio::sync::oneshot::Sender<bool>>);

impl Future for Full {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        let name = "full of what it holds";
        let runs = crate::async_task_info().running_jobs;
        let counts = runs.iter().any(|job| job.name == name);
        let _ = self.0.take().map(|told| told.send(counts));
    }
}

#[tokio::test]
async fn what_a_future_still_holds_when_it_is_over_is_a_part_of_the_task() {
    let (sender, counts) = tokio::sync::oneshot::channel();
    let task = TaskBuilder::new("full of what it holds").spawn(Full(Some(sender)));
    task.await.unwrap();
    assert_eq!(counts.await, Ok(true));
}

/// A result whose drop reports whether its task still counts.
struct Noisy(&'static str, Option<tokio::sync::oneshot::Sender<bool>>);

impl Drop for Noisy {
    fn drop(&mut self) {
        let runs = crate::async_task_info().running_jobs;
        let counts = runs.iter().any(|job| job.name == self.0);
        let _ = self.1.take().map(|told| told.send(counts));
    }
}

#[tokio::test]
async fn a_result_that_nobody_takes_is_dropped_as_a_part_of_the_task() {
    let (sender, counts) = tokio::sync::oneshot::channel();
    let result = Noisy("nobody", Some(sender));
    drop(TaskBuilder::new("nobody").spawn(async move { result }));
    assert_eq!(counts.await, Ok(true));
}

#[tokio::test]
async fn a_result_that_is_awaited_belongs_to_its_handle() {
    let (sender, mut counts) = tokio::sync::oneshot::channel();
    let result = Noisy("handle", Some(sender));
    let task = TaskBuilder::new("handle").spawn(async move { result });
    while !task.is_finished() {
        tokio::task::yield_now().await;
    }
    assert!(counts.try_recv().is_err(), "it is kept for the handle");
    drop(task);
    assert_eq!(counts.await, Ok(false));
}
