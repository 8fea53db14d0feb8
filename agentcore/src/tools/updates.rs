//! [`Updates`]: news of resources, from the code that changes them to the clients that have subscribed.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::request::{self, StateSlot, States};

/// How much news waits for a client that is slow. One that has missed some is told that all its resources have changed.
const MOST_WAITING: usize = 256;

/// The longest URI in bytes that there is news of. No client can subscribe to a longer one.
const LONGEST_URI: usize = 2048;

/// The news of an app. The states of the app hold it.
#[derive(Clone, Debug)]
pub(crate) struct Updates(broadcast::Sender<Arc<str>>);

impl Default for Updates {
    fn default() -> Self {
        Self(broadcast::Sender::new(MOST_WAITING))
    }
}

impl Updates {
    /// Makes it known to the app that `states` belongs to.
    pub(crate) fn share(&self, states: &States) {
        states.insert(StateSlot::new(self.clone()));
    }

    pub(crate) fn tell(&self, uri: &str) {
        // Nobody may have subscribed.
        let _ = self.0.send(uri.into());
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<str>> {
        self.0.subscribe()
    }
}

/// Tells clients of the Model Context Protocol that a [`resource`](macro@crate::resource) has changed, if they have subscribed to its
/// URI. They read it again.
///
/// It can be called in a request, a task or a hook of the agent; elsewhere it does nothing. Since revision 2026-07-28 a client
/// subscribes by `subscriptions/listen`; before, by `resources/subscribe` in a session. A client that falls 256 messages behind is told
/// that all its resources have changed. A URI of more than 2048 bytes is ignored, because nobody can have subscribed to it.
///
/// ```
/// use agentcore::tool::resource_changed;
/// use agentcore::{BoxError, resource, tool};
/// use std::sync::Mutex;
///
/// static NOTES: Mutex<String> = Mutex::new(String::new());
///
/// /// What has been noted.
/// #[resource(uri = "notes://all", mime_type = "text/plain")]
/// fn notes() -> String {
///     NOTES.lock().unwrap().clone()
/// }
///
/// /// Notes something.
/// #[tool]
/// fn note(text: String) {
///     NOTES.lock().unwrap().push_str(&text);
///     resource_changed("notes://all");
/// }
/// ```
pub fn resource_changed(uri: &str) {
    if uri.len() > LONGEST_URI {
        return;
    }
    let scope = request::current();
    let updates = scope.and_then(|scope| scope.instance().states.find::<Updates>());
    if let Some(updates) = updates {
        updates.tell(uri);
    }
}
