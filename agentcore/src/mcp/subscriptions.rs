//! News of resources for clients that have subscribed to them.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use rmcp::ErrorData;
use rmcp::model::{ResourceUpdatedNotificationParam, SubscriptionFilter};
use rmcp::service::{Peer, RoleServer, SubscriptionContext};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::tools::Updates;
use crate::util::spawn;
use crate::util::sync::Mutex;

/// How many resources a session may subscribe to.
const MOST: usize = 1000;

/// The longest URI of a subscription in bytes.
const LONGEST_URI: usize = 2048;

/// The part of a filter that an agent has news for.
pub(super) fn accepted(requested: &SubscriptionFilter) -> SubscriptionFilter {
    let mut accepted = SubscriptionFilter::new();
    let uris = requested.resource_subscriptions.clone();
    accepted.resource_subscriptions = uris.map(|uris| {
        let uris = uris.into_iter().filter(|uri| uri.len() <= LONGEST_URI);
        uris.take(MOST).collect()
    });
    accepted
}

/// Sends the client of a stream the news that it has asked for, until it leaves or the agent stops.
pub(super) async fn listen(
    mut news: broadcast::Receiver<Arc<str>>,
    ended: &CancellationToken,
    context: SubscriptionContext,
) -> Result<(), ErrorData> {
    let uris = context.accepted().resource_subscriptions.clone();
    let uris: BTreeSet<_> = uris.unwrap_or_default().into_iter().collect();
    loop {
        let changed = tokio::select! {
            () = context.cancelled() => return Ok(()),
            () = ended.cancelled() => return Ok(()),
            changed = next(&mut news, &uris) => changed,
        };
        for uri in changed {
            if context.sink().notify_resource_updated(uri).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// The resources that have changed: one, or all of them if there was more news than could wait.
async fn next(news: &mut broadcast::Receiver<Arc<str>>, uris: &BTreeSet<String>) -> Vec<String> {
    loop {
        match news.recv().await {
            Ok(uri) if uris.contains(&*uri) => return vec![uri.to_string()],
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return uris.iter().cloned().collect(),
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// The subscriptions of one session of an earlier revision, or of one request of a later one. Dropping the last clone ends the task
/// that sends a session its news.
#[derive(Clone, Debug, Default)]
pub(super) struct Subscriptions(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    uris: Arc<Mutex<BTreeSet<String>>>,
    /// The end of the task that sends the news.
    sends: OnceLock<DropGuard>,
    /// The news since a request was told that it listens.
    listens: Mutex<Option<broadcast::Receiver<Arc<str>>>>,
}

impl Subscriptions {
    /// Keeps the news from now on, for [`Self::news`].
    pub(super) fn listen_from_now(&self, updates: &Updates) {
        *self.0.listens.lock() = Some(updates.subscribe());
    }

    /// The news since [`Self::listen_from_now`].
    pub(super) fn news(&self, updates: &Updates) -> broadcast::Receiver<Arc<str>> {
        let kept = self.0.listens.lock().take();
        kept.unwrap_or_else(|| updates.subscribe())
    }

    /// # Errors
    ///
    /// The session has too many subscriptions, or the URI is too long.
    pub(super) fn add(
        &self,
        uri: String,
        updates: &Updates,
        peer: &Peer<RoleServer>,
    ) -> Result<(), ErrorData> {
        if uri.len() > LONGEST_URI {
            let message = format!("the URI of a subscription has {LONGEST_URI} bytes at most");
            return Err(ErrorData::invalid_request(message, None));
        }
        let mut uris = self.0.uris.lock();
        if uris.len() >= MOST && !uris.contains(&uri) {
            let message = format!("a session subscribes to {MOST} resources at most");
            return Err(ErrorData::invalid_request(message, None));
        }
        uris.insert(uri);
        drop(uris);
        self.0.sends.get_or_init(|| {
            let (uris, news) = (Arc::clone(&self.0.uris), updates.subscribe());
            let (end, peer) = (CancellationToken::new(), peer.clone());
            let sends = end.clone();
            spawn::boxed(async move {
                sends.run_until_cancelled(send(uris, news, peer)).await;
            });
            end.drop_guard()
        });
        Ok(())
    }

    pub(super) fn remove(&self, uri: &str) {
        self.0.uris.lock().remove(uri);
    }
}

/// Sends the client of a session its news.
async fn send(
    subscribed: Arc<Mutex<BTreeSet<String>>>,
    mut news: broadcast::Receiver<Arc<str>>,
    peer: Peer<RoleServer>,
) {
    loop {
        let changed: Vec<_> = match news.recv().await {
            Ok(uri) if subscribed.lock().contains(&*uri) => vec![uri.to_string()],
            Ok(_) => Vec::new(),
            Err(RecvError::Lagged(_)) => subscribed.lock().iter().cloned().collect(),
            Err(RecvError::Closed) => return,
        };
        for uri in changed {
            let told = ResourceUpdatedNotificationParam::new(uri);
            if peer.notify_resource_updated(told).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_is_kept_from_the_moment_in_which_a_client_is_accepted() {
        let updates = Updates::default();
        let subscriptions = Subscriptions::default();
        updates.tell("notes://before");
        subscriptions.listen_from_now(&updates);
        updates.tell("notes://all");
        let mut news = subscriptions.news(&updates);
        assert_eq!(news.try_recv().as_deref(), Ok("notes://all"));
    }
}
