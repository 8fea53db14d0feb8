//! Shared state: what start hooks return, and handlers take as [`State`].

use std::any::{Any, TypeId, type_name};
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

use crate::context;
use crate::extract::{FromInvocation, Invocation, Requirements};
use crate::response::Response;

/// Shared state as a handler's argument: what an `#[on_start]` hook, or [`App::state`](crate::App::state), made once.
///
/// A handler that asks for a type that nothing provides stops the start with a message that names both.
///
/// It dereferences to the value. As a pattern, `State(model): State<Model>` gives the `Arc<Model>` itself, to keep or to send
/// elsewhere, and so does the field: a field `.0` of the value is `state.0.0`.
///
/// ```
/// use agentcore::State;
///
/// struct Model { name: &'static str }
///
/// #[agentcore::on_start]
/// async fn load() -> Model {
///     Model { name: "small" }
/// }
///
/// #[agentcore::entrypoint(main = false)]
/// async fn handler(model: State<Model>) -> String {
///     format!("answered by {}", model.name)
/// }
/// ```
///
/// A test that calls the handler makes one:
///
/// ```
/// use agentcore::State;
/// use std::sync::Arc;
///
/// async fn handler(State(greeting): State<String>, name: String) -> String {
///     format!("{greeting}, {name}")
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let reply = handler(State(Arc::new("hello".to_owned())), "Ada".to_owned()).await;
/// assert_eq!(reply, "hello, Ada");
/// # });
/// ```
pub struct State<S>(pub Arc<S>);

impl<S> State<S> {
    /// A value to share: what a start hook of an [`App`](crate::App) that cannot fail returns.
    ///
    /// ```
    /// use agentcore::{App, State};
    ///
    /// struct Model { name: &'static str }
    ///
    /// let app = App::new().on_start(async || State::new(Model { name: "small" }));
    /// # let _ = app;
    /// ```
    #[must_use]
    pub fn new(value: S) -> Self {
        Self(Arc::new(value))
    }

    /// The shared value, to keep or to send elsewhere.
    #[must_use]
    pub fn into_inner(self) -> Arc<S> {
        self.0
    }
}

impl<S> From<Arc<S>> for State<S> {
    fn from(shared: Arc<S>) -> Self {
        Self(shared)
    }
}

impl<S: Send + Sync + 'static> State<S> {
    /// The state of this type, anywhere in the agent's work; `None` if there is none, or the caller is no part of an agent's
    /// work.
    ///
    /// It is there below a request: in handlers, in [`async_task`](macro@crate::async_task) functions, in what
    /// [`spawn`](crate::spawn) started, in streams, sockets and layers; in hooks that run after the one that made it; and in the
    /// ping handler. In what `tokio::spawn` or a thread of the program's own runs, there is none, unless it is an async task: take
    /// a `State` along there, which is cheap to clone. Once the shutdown drops the states, there is none any more.
    ///
    /// Unlike an argument, it is not checked at the start that a hook makes it.
    ///
    /// ```
    /// use agentcore::{State, async_task, on_start};
    ///
    /// struct Model { name: &'static str }
    ///
    /// #[on_start]
    /// async fn load() -> Model {
    ///     Model { name: "small" }
    /// }
    ///
    /// #[async_task]
    /// async fn summarise(text: String) -> String {
    ///     let model = State::<Model>::current().expect("made at the start");
    ///     format!("{} words, says {}", text.split(' ').count(), model.name)
    /// }
    /// # assert!(State::<Model>::current().is_none());
    /// ```
    #[must_use]
    pub fn current() -> Option<Self> {
        context::with_scope(|_, scope| scope?.instance().states.find()).map(Self)
    }

    pub(crate) fn into_slot(self) -> StateSlot {
        StateSlot::shared(self.0)
    }
}

impl<S> Deref for State<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

impl<S> Clone for State<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: fmt::Debug> fmt::Debug for State<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("State").field(&self.0).finish()
    }
}

impl<S: Send + Sync + 'static> FromInvocation for State<S> {
    type Rejection = Response;

    fn from_invocation(invocation: &mut Invocation) -> Result<Self, Response> {
        let state = invocation.scope().instance().states.find();
        state.map(Self).ok_or_else(|| {
            // A start checks what the entrypoint asks for; an extractor that forgot to name it in `requires` comes here.
            Response::error(format!("no state of type `{}`", type_name::<S>())).with_status(500)
        })
    }

    fn requires(requirements: &mut Requirements) {
        requirements.state::<S>();
    }
}

/// One value that a start hook returned, of any type; nothing when it returned `()`.
#[derive(Default)]
pub struct StateSlot(Option<Shared>);

impl StateSlot {
    /// Nothing to share.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// A value to share.
    #[must_use]
    pub fn new<S: Send + Sync + 'static>(value: S) -> Self {
        Self::shared(Arc::new(value))
    }

    fn shared<S: Send + Sync + 'static>(value: Arc<S>) -> Self {
        Self(Some(Shared {
            id: TypeId::of::<S>(),
            type_name: type_name::<S>(),
            value,
        }))
    }
}

impl fmt::Debug for StateSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StateSlot").field(&self.0.is_some()).finish()
    }
}

/// A shared value, with its type.
pub(crate) struct Shared {
    id: TypeId,
    type_name: &'static str,
    value: Arc<dyn Any + Send + Sync>,
}

impl Shared {
    /// What a log calls it.
    pub(crate) fn name(&self) -> String {
        format!("state `{}`", self.type_name)
    }
}

/// All shared values of an app, in the order in which they were made.
///
/// They are behind a lock, since they come one by one, from the workers, and are taken out at the end, while the server still
/// answers pings. The front never takes the lock, and no value is dropped under it.
#[derive(Default)]
pub(crate) struct States(RwLock<Vec<Shared>>);

impl States {
    pub(crate) fn insert(&self, slot: StateSlot) {
        let mut states = self.0.write().unwrap_or_else(PoisonError::into_inner);
        states.extend(slot.0);
    }

    /// Takes all values out, the one that was made last first: it may need those that were there before it.
    pub(crate) fn take(&self) -> Vec<Shared> {
        let mut states = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut taken = std::mem::take(&mut *states);
        taken.reverse();
        taken
    }

    pub(crate) fn find<S: Send + Sync + 'static>(&self) -> Option<Arc<S>> {
        let states = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let state = states.iter().find(|state| state.id == TypeId::of::<S>())?;
        Arc::clone(&state.value).downcast().ok()
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States").finish_non_exhaustive()
    }
}
