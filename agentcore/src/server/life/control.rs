//! From start to stop: what may be served when, and who decides.

use tokio::sync::watch;

use crate::platform::Signals;

/// What the owner of the server wants of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Run,
    Drain,
}

/// The owner's end: asks for a drain, and for an immediate stop when dropped.
#[derive(Debug)]
pub(crate) struct Control(watch::Sender<Wish>);

/// The server's end of [`Control`].
#[derive(Debug)]
pub(crate) struct Stop(watch::Receiver<Wish>);

impl Control {
    pub(crate) fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(Wish::Run);
        (Self(sender), Stop(receiver))
    }

    pub(crate) fn drain(&self) {
        self.0.send_replace(Wish::Drain);
    }
}

impl Stop {
    /// Completes when a drain is asked for; never if the owner leaves first.
    pub(crate) async fn drain_wanted(&self) {
        if self
            .0
            .clone()
            .wait_for(|wish| *wish == Wish::Drain)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }

    /// Completes when the owner has gone.
    pub(crate) async fn abandoned(&self) {
        // One receiver for all changes: a fresh one would see the last of them again and again.
        let mut wishes = self.0.clone();
        while wishes.changed().await.is_ok() {}
    }
}

/// Completes at the next signal, with its name; never where signals are left to the program.
pub(crate) async fn next_signal(signals: &mut Option<Signals>) -> &'static str {
    match signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    }
}
