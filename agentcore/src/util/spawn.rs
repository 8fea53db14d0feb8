//! Starting tasks in boxes.
//!
//! For every type of future that is spawned the compiler writes tokio's tasks anew, once for each of tokio's schedulers. That
//! was a sixth of what a debug build of this library had to compile. Invocations and the user's own tasks are worth it;
//! whatever is started once, or once for a connection, has the same type here.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::BoxFuture;

/// As [`tokio::spawn`].
pub(crate) fn boxed<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    boxed_on(&Handle::current(), future)
}

/// As [`Handle::spawn`].
pub(crate) fn boxed_on<T: Send + 'static>(
    runtime: &Handle,
    future: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let future: BoxFuture<T> = Box::pin(future);
    runtime.spawn(future)
}
