//! The gate before user code, as the worker sees it.

use crate::util::BoxFuture;

/// The gate before user code. A restore from a snapshot closes it until the restore hooks have run. The server implements it,
/// because only the front knows of restores.
pub(crate) trait Gate: Send + Sync {
    /// Checks whether the process has been restored. If so, [`Client::note_restored`](super::Client::note_restored) has been
    /// called when the future completes.
    fn notice_restore(&self) -> BoxFuture<()>;

    /// As [`notice_restore`](Self::notice_restore), and waits for the restore hooks. Returns `false` if they have failed: no user
    /// code may run then, and each further call begins another run of the hooks.
    fn pass(&self) -> BoxFuture<bool>;

    /// Completes when user code may run. Begins no run of the hooks.
    fn opened(&self) -> BoxFuture<()>;
}
