//! A tracked function drops its values exactly when, and in the order in which, the plain `async fn` would; and it
//! stays busy until the last of them is dropped.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Waker};

use super::running;

/// What was dropped, and the number of counted tasks at that moment.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<(&'static str, usize)>>>);

impl Log {
    fn value(&self, name: &'static str) -> Value {
        Value {
            name,
            log: self.clone(),
        }
    }

    fn names(&self) -> Vec<&'static str> {
        self.0.borrow().iter().map(|(name, _)| *name).collect()
    }
}

struct Value {
    name: &'static str,
    log: Log,
}

impl Value {
    /// A temporary that lives as long as the expression it stands in.
    fn temporary(&self) -> Self {
        self.log.value("temporary")
    }

    fn length(&self) -> usize {
        self.name.len()
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.log
            .0
            .borrow_mut()
            .push((self.name, running("drop_order")));
    }
}

/// The same functions, plain and tracked.
macro_rules! functions {
    ($(#[$attr:meta])*) => {
        use super::{Log, Value};

        pub(super) struct Owner {
            this: Value,
            _other: Value,
        }

        impl Owner {
            fn new(log: &Log) -> Self {
                Self { this: log.value("owner's this"), _other: log.value("owner's other") }
            }

            $(#[$attr])*
            async fn by_value(self, argument: Value, how: &'static str) -> usize {
                if how == "suspend" {
                    tokio::task::yield_now().await;
                }
                self.this.length() + argument.temporary().length()
            }
        }

        $(#[$attr])*
        async fn function(
            first: Value,
            _: Value,
            (left, _): (Value, Value),
            #[allow(unused_variables)] unused: Value,
            Owner { this, .. }: Owner,
            mut last: Value,
            how: &'static str,
        ) -> usize {
            let local = first.log.value("local");
            last.name = "last, by hand";
            drop(last);
            match how {
                "return" => return left.length(),
                "panic" => std::panic::resume_unwind(Box::new(())),
                "suspend" => tokio::task::yield_now().await,
                _ => {}
            }
            local.length() + this.temporary().length()
        }

        pub(super) fn call_function(log: &Log, how: &'static str) -> impl std::future::Future<Output = usize> + use<> {
            function(
                log.value("first"),
                log.value("ignored"),
                (log.value("left"), log.value("right")),
                log.value("unused"),
                Owner::new(log),
                log.value("last"),
                how,
            )
        }

        pub(super) fn call_method(log: &Log, how: &'static str) -> impl std::future::Future<Output = usize> + use<> {
            Owner::new(log).by_value(log.value("argument"), how)
        }
    };
}

mod plain {
    functions! {}
}

mod tracked {
    functions! { #[agentcore::async_task(name = "drop_order")] }
}

/// The log of drops when the future from `call` is polled `polls` times and then dropped.
fn observe<F: std::future::Future>(call: impl FnOnce(&Log) -> F, polls: usize) -> Log {
    let log = Log::default();
    let mut future = Box::pin(call(&log));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..polls {
        // The future may panic. It is dropped after a panic as after any other end.
        let _ = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)));
    }
    drop(future);
    log
}

/// One test for all cases, because the count of running tasks must not include another test's.
#[test]
fn a_tracked_function_drops_like_an_async_fn_and_is_busy_until_then() {
    for (how, polls) in [
        ("finish", 1),
        ("return", 1),
        ("panic", 1),
        ("suspend", 0),
        ("suspend", 1),
        ("suspend", 2),
    ] {
        let plain = observe(|log| plain::call_function(log, how), polls);
        let tracked = observe(|log| tracked::call_function(log, how), polls);
        assert_eq!(
            plain.names(),
            tracked.names(),
            "function, {how} after {polls} polls"
        );
        assert!(plain.names().len() >= 8, "{:?}", plain.names());
        assert_busy(&tracked, how);

        let plain = observe(|log| plain::call_method(log, how), polls);
        let tracked = observe(|log| tracked::call_method(log, how), polls);
        assert_eq!(
            plain.names(),
            tracked.names(),
            "method, {how} after {polls} polls"
        );
        assert_busy(&tracked, how);
    }
}

fn assert_busy(tracked: &Log, how: &str) {
    for (name, running) in tracked.0.borrow().iter() {
        assert_eq!(*running, 1, "{name}, {how}");
    }
    assert_eq!(running("drop_order"), 0);
}
