//! Panics in user code: caught where the library calls it, logged once, with place and backtrace.

mod backtrace;

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::future::Future;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::stall;
use super::{Failure, Outcome};
use crate::error::TimedOut;

thread_local! {
    /// Whether this module would catch, and so log, a panic on this thread.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// What the hook recorded of the panic that is being caught.
    static HOOKED: Cell<Option<Panic>> = const { Cell::new(None) };
}

/// A caught panic; or the unwinding of code that awaits a task which exceeded its limit. Nothing else can stop that code.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panic {
    message: String,
    /// The file, line and column.
    pub(super) location: Option<String>,
    /// The program's frames, one or two lines each.
    pub(super) backtrace: Option<String>,
    limit: Option<TimedOut>,
}

/// The number of panics caught on this thread.
#[cfg(test)]
pub(crate) fn caught_here() -> usize {
    CAUGHT.get()
}

#[cfg(test)]
thread_local! {
    static CAUGHT: Cell<usize> = const { Cell::new(0) };
}

impl Panic {
    /// The unwinding of code that awaits a task which exceeded its limit. The limit has been reported already.
    pub(crate) fn of_limit(limit: TimedOut) -> Self {
        Self {
            message: format!("a task {limit}"),
            limit: Some(limit),
            ..Self::default()
        }
    }

    /// The exceeded limit, if that is the reason.
    pub(crate) fn limit(&self) -> Option<TimedOut> {
        self.limit
    }

    /// The message of the panic.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match self.limit {
            Some(_) => Outcome::Timeout,
            None => Outcome::Panic,
        }
    }

    fn caught(payload: Box<dyn Any + Send>) -> Self {
        #[cfg(test)]
        CAUGHT.set(CAUGHT.get() + 1);
        // Another thread has caught the panic before and passed it on.
        let payload = match payload.downcast::<Self>() {
            Ok(panic) => return *panic,
            Err(payload) => payload,
        };
        HOOKED.take().unwrap_or_else(|| Self::of(&*payload))
    }

    /// A panic that the library's hook has not seen.
    fn of(payload: &(dyn Any + Send)) -> Self {
        Self {
            message: message(payload),
            ..Self::default()
        }
    }

    /// Continues the panic on this thread.
    pub(crate) fn resume(self) -> ! {
        panic::resume_unwind(Box::new(self))
    }

    /// Writes a line for the panic alone; `what` names the code that panicked.
    pub(crate) fn log(&self, what: &str) {
        Failure::panic(what.to_owned(), self.clone()).log();
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a value that is not text").to_owned()
}

/// Replaces the process's panic hook by one that logs a panic as one structured line and not as two loose ones. Only
/// [`run`](crate::run) does this: it owns the process.
pub(crate) fn install_hook() {
    panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        let panic = Panic {
            message: message(info.payload()),
            location: info.location().map(ToString::to_string),
            backtrace: backtrace(),
            limit: None,
        };
        if CATCHING.get() {
            HOOKED.set(Some(panic));
        } else {
            let thread = std::thread::current();
            panic.log(&format!("thread `{}`", thread.name().unwrap_or("unnamed")));
        }
    }));
}

/// The program's own frames above the caller; all frames if `RUST_BACKTRACE` is `full`, none if it is 0. The first backtrace of a
/// process takes some ten megabytes, in which the standard library keeps the symbols.
fn backtrace() -> Option<String> {
    let wanted = std::env::var_os("RUST_BACKTRACE").unwrap_or_default();
    if wanted == "0" {
        return None;
    }
    let whole = whole_backtrace();
    if wanted == "full" {
        Some(whole)
    } else {
        backtrace::of_the_program(&whole)
    }
}

/// Captures all frames. On a busy machine the symbols of a debug build take seconds, which the stall detector must not count
/// against the code that panicked.
fn whole_backtrace() -> String {
    stall::outside_the_poll(|| Backtrace::force_capture().to_string())
}

/// Wraps `future`, so that a panic in it becomes an error.
pub(crate) fn catch<F: Future>(future: F) -> Catch<F> {
    Catch {
        future: Some(future),
    }
}

pin_project! {
    pub(crate) struct Catch<F> {
        // `None` after `give_up`.
        #[pin]
        future: Option<F>,
    }
}

impl<F> Catch<F> {
    /// Drops the future in place, and catches a panic of its destructor. `what` names it, for the log.
    pub(crate) fn give_up(self: Pin<&mut Self>, what: &str) {
        let mut future = self.project().future;
        if let Err(panic) = guard(|| future.set(None)) {
            panic.log(&format!("{what}, when it was dropped,"));
        }
    }
}

impl<F: Future> Future for Catch<F> {
    type Output = Result<F::Output, Panic>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = self.project().future.as_pin_mut() else {
            return Poll::Pending;
        };
        match guard(|| future.poll(cx)) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

/// Runs `work`, and returns a panic in it as an error.
pub(crate) fn guard<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    let outer = CATCHING.replace(true);
    // The panic may leave only the work's own values half changed: it shares no reference with the library.
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(outer);
    if done.is_ok() {
        // The work has caught a panic itself. The panic is still logged.
        if let Some(panic) = HOOKED.take() {
            Failure::caught_panic(panic).log();
        }
    }
    done.map_err(Panic::caught)
}

/// Runs `work`, and returns whether it has panicked. The panic is not logged: the work calls the program's subscriber, which
/// would have to log it. It may be called while the thread unwinds, and leaves the first panic as it is.
pub(crate) fn silenced(work: impl FnOnce()) -> bool {
    let outer = (CATCHING.replace(true), HOOKED.take());
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    // The destructor of a panic's payload may panic, too.
    let has_panicked = done.is_err();
    let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(done)));
    CATCHING.set(outer.0);
    HOOKED.set(outer.1);
    has_panicked
}

/// Runs `work`, and lets a panic in it continue. `tell` gets the panic first, unless an outer call on this thread catches it.
pub(crate) fn told<T>(tell: impl FnOnce(Panic), work: impl FnOnce() -> T) -> T {
    if CATCHING.get() || !cfg!(panic = "unwind") {
        return work();
    }
    CATCHING.set(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(false);
    let hooked = HOOKED.take();
    match done {
        Ok(value) => {
            if let Some(panic) = hooked {
                Failure::caught_panic(panic).log();
            }
            value
        }
        Err(payload) => {
            let panic = match payload.downcast_ref::<Panic>() {
                Some(passed_on) => passed_on.clone(),
                None => hooked.unwrap_or_else(|| Panic::of(&*payload)),
            };
            // A panic of a limit was reported when the limit was exceeded.
            if panic.limit.is_none() {
                tell(panic);
            }
            panic::resume_unwind(payload)
        }
    }
}

/// Drops `value`, whose destructor may be user code, and catches a panic; `what` names it, for the log.
pub(crate) fn drop_caught<T>(value: T, what: &str) {
    if let Err(panic) = guard(|| drop(value)) {
        panic.log(&format!("{what}, when it was dropped,"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::stall::At;

    #[test]
    fn a_backtrace_is_no_part_of_the_poll_that_panicked() {
        stall::noted(At::task(1), || {
            let before = stall::poll_here();
            assert_ne!(whole_backtrace(), "");
            assert!(stall::poll_here() > before, "{before:?}");
        });
    }

    #[tokio::test]
    async fn a_panic_becomes_an_error_with_its_message() {
        let panic = catch(async { panic!("no {}", "luck") })
            .await
            .map(|(): ()| ())
            .unwrap_err();
        assert_eq!(panic.message, "no luck");
    }

    #[tokio::test]
    async fn a_payload_that_is_not_text_is_survived() {
        let panic = catch(async { panic::panic_any(7_u8) })
            .await
            .map(|(): ()| ())
            .unwrap_err();
        assert_eq!(panic.message, "a value that is not text");
    }
}
