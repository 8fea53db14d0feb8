//! Functions that check a bound on the user's code. rustc shows their names at the end of its message.
//!
//! The type that they return is `Send` by declaration. So the adapter around them is `Send` too, and there is only one
//! message. They are functions because rustc would quote the code of a macro.

use std::future::Future;
use std::time::Duration;

use super::bounds::TimeLimited;
use crate::error::{TimedOut, timeout};
use crate::otel;
use crate::report::Outcome;
use crate::request::blocking;
use crate::tasks::ended_late;

pub fn entrypoint_future_must_be_send<F>(future: F) -> impl Future<Output = F::Output> + Send
where
    F: Future + Send + 'static,
{
    future
}

pub fn ping_future_must_be_send<F>(future: F) -> impl Future<Output = F::Output> + Send
where
    F: Future + Send + 'static,
{
    future
}

pub fn start_hook_future_must_be_send<F>(future: F) -> impl Future<Output = F::Output> + Send
where
    F: Future + Send + 'static,
{
    future
}

pub fn routes_future_must_be_send<F>(future: F) -> impl Future<Output = F::Output> + Send
where
    F: Future + Send + 'static,
{
    future
}

pub fn shutdown_hook_future_must_be_send<F>(future: F) -> impl Future<Output = F::Output> + Send
where
    F: Future + Send + 'static,
{
    future
}

#[cfg(feature = "durable")]
pub fn durable_task_future_must_be_send<F>(future: F) -> impl Future<Output = F::Output> + Send
where
    F: Future + Send + 'static,
{
    future
}

pub fn warmup_hook_future_must_be_send<F>(future: F) -> impl Future<Output = F::Output> + Send
where
    F: Future + Send + 'static,
{
    future
}

pub fn restore_hook_future_must_be_send<F>(future: F) -> impl Future<Output = F::Output> + Send
where
    F: Future + Send + 'static,
{
    future
}

#[cfg(feature = "schema")]
pub fn tool_future_must_be_send<F>(future: F) -> impl Future<Output = F::Output> + Send
where
    F: Future + Send + 'static,
{
    future
}

#[cfg(feature = "ws")]
pub fn websocket_future_must_be_send<F>(future: F) -> impl Future<Output = F::Output> + Send
where
    F: Future + Send + 'static,
{
    future
}

/// The function may block, so it runs on another thread.
pub fn sync_function_runs_on_another_thread<F, T>(call: F) -> impl Future<Output = T> + Send
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    blocking(call)
}

/// The body of a task with a `timeout`.
///
/// `late` is the value of [`timed_out`]. The bound stands there, because rustc would report one on this function twice.
pub async fn time_limited<R, E>(
    limit: Duration,
    late: Late<R, E>,
    task: impl Future<Output = R>,
) -> R {
    timeout(limit, task).await.unwrap_or_else(|error| {
        otel::note_here(Outcome::Timeout);
        let failed = (late.fail)((late.make)(error));
        ended_late();
        failed
    })
}

/// The result of a task whose time is over: the error from `make`.
pub fn timed_out<R: TimeLimited<E>, E>(make: fn(TimedOut) -> E) -> Late<R, E> {
    let fail = R::failed;
    Late { make, fail }
}

/// The two steps to the result of a task whose time is over.
pub struct Late<R, E> {
    make: fn(TimedOut) -> E,
    fail: fn(E) -> R,
}

/// Whether `path`, from `module_path!`, is that of a module of the binary `bin`, where a `main` would start nothing.
///
/// Outside of binaries the path tells nothing: documentation tests are modules of a larger program, and a `main` in a library
/// does no harm.
pub const fn is_in_a_module(path: &str, bin: Option<&str>) -> bool {
    let path = path.as_bytes();
    let mut at = 0;
    while at < path.len() {
        if path[at] == b':' {
            return bin.is_some();
        }
        at += 1;
    }
    false
}

/// A value of any type, for a `return` that is never reached and only gives the compiler the type.
pub fn never<T>() -> T {
    unreachable!("expansions call this behind `if false`")
}
