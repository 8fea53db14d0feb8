//! The life of the server: start hooks, serving, the drain, and the watches over the workers.

pub(crate) mod accept;
pub(crate) mod control;
mod hooks;
mod old_tasks;
mod shutdown;
mod stalls;
pub(crate) mod thread;
