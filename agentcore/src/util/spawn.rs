//! Starts tasks from boxed futures.
//!
//! The compiler generates tokio's task code anew for every type of spawned future, once for each of tokio's schedulers. That was
//! a sixth of the code in a debug build of this library. Invocations and the user's own tasks are worth it. A future that is
//! started once, or once for a connection, is boxed to one type here.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::BoxFuture;

/// Like [`tokio::spawn`].
pub(crate) fn boxed<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    boxed_on(&Handle::current(), future)
}

/// Like [`Handle::spawn`].
pub(crate) fn boxed_on<T: Send + 'static>(
    runtime: &Handle,
    future: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let future: BoxFuture<T> = Box::pin(future);
    runtime.spawn(future)
}
