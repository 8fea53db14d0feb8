//! [`Place`]: the guard that counts an open connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::request::Instance;

/// Counts one open connection, in the limit and in the metrics, until it is dropped.
pub(crate) struct Place {
    /// The count of connections with `Admission::Full`, if this is one.
    full: Option<Arc<AtomicUsize>>,
    instance: Arc<Instance>,
}

impl Place {
    pub(crate) fn take(full: Option<&Arc<AtomicUsize>>, instance: &Arc<Instance>) -> Self {
        if let Some(metrics) = &instance.metrics {
            metrics.connections.begin();
        }
        Self {
            instance: Arc::clone(instance),
            full: full.map(|full| {
                full.fetch_add(1, Ordering::Relaxed);
                Arc::clone(full)
            }),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(full) = &self.full {
            full.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(metrics) = &self.instance.metrics {
            metrics.connections.end();
        }
    }
}
