//! Starting tasks in boxes.
//!
//! For every type of future that is spawned the compiler writes tokio's tasks anew, once for each of tokio's schedulers. That
//! was a sixth of what a debug build of this library had to compile. Invocations and the user's own tasks are worth it;
//! whatever is started once, or once for a connection, has the same type here.

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::context::{self, Scope};
use crate::registry::BoxFuture;

/// As [`tokio::spawn`].
pub(crate) fn spawn<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    spawn_on(&Handle::current(), future)
}

/// As [`Handle::spawn`].
pub(crate) fn spawn_on<T: Send + 'static>(
    runtime: &Handle,
    future: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let future: BoxFuture<T> = Box::pin(future);
    runtime.spawn(future)
}

/// The same, below `scope`.
pub(crate) fn spawn_within<T: Send + 'static>(
    runtime: &Handle,
    scope: Arc<Scope>,
    future: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let future: BoxFuture<T> = Box::pin(future);
    runtime.spawn(context::within(scope, future))
}
