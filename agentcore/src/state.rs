//! Shared state: what start hooks return, and handlers take as [`State`].

use std::any::{Any, TypeId, type_name};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::extract::{FromInvocation, Invocation, Requirements};
use crate::response::Response;

/// Shared state as a handler's argument: what an `#[on_start]` hook, or [`App::state`](crate::App::state), made once.
///
/// A handler that asks for a type nobody provides stops the start with a message that names both.
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
pub struct State<S>(Arc<S>);

impl<S> State<S> {
    /// The shared value, to keep or to send elsewhere.
    #[must_use]
    pub fn into_inner(self) -> Arc<S> {
        self.0
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
        let states = invocation.scope().instance().states.get();
        states.and_then(States::find).map(Self).ok_or_else(|| {
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
pub struct StateSlot(Option<(TypeId, Arc<dyn Any + Send + Sync>)>);

impl StateSlot {
    /// Nothing to share.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// A value to share.
    #[must_use]
    pub fn new<S: Send + Sync + 'static>(value: S) -> Self {
        Self(Some((TypeId::of::<S>(), Arc::new(value))))
    }
}

impl fmt::Debug for StateSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StateSlot").field(&self.0.is_some()).finish()
    }
}

/// All shared values of an app, by type.
///
/// Not a `HashMap`: it would take its seed at start, and every session restored from a snapshot would share it.
#[derive(Default)]
pub(crate) struct States(BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl States {
    pub(crate) fn insert(&mut self, slot: StateSlot) {
        self.0.extend(slot.0);
    }

    fn find<S: Send + Sync + 'static>(&self) -> Option<Arc<S>> {
        Arc::clone(self.0.get(&TypeId::of::<S>())?).downcast().ok()
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States")
            .field("count", &self.0.len())
            .finish()
    }
}
