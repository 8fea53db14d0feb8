//! Stop requests: the channel from the owner of the server, and signals.

use tokio::sync::watch;

use crate::platform::Signals;

/// The owner's end. It can ask for a drain, and its drop asks for an immediate stop. The value says whether a drain is asked for.
#[derive(Debug)]
pub(crate) struct Control(watch::Sender<bool>);

/// The server's end of [`Control`].
#[derive(Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Control {
    pub(crate) fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Stop(receiver))
    }

    pub(crate) fn drain(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Completes when a drain is asked for; never if the [`Control`] is dropped first.
    pub(crate) async fn drain_wanted(&self) {
        if self.0.clone().wait_for(|wanted| *wanted).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Completes when the [`Control`] has been dropped.
    pub(crate) async fn abandoned(&self) {
        // One receiver for all changes: each new clone would see the last change again.
        let mut wishes = self.0.clone();
        while wishes.changed().await.is_ok() {}
    }
}

/// Completes at the next signal, with its name; never if the program handles signals itself.
pub(crate) async fn next_signal(signals: &mut Option<Signals>) -> &'static str {
    match signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    }
}
