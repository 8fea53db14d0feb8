//! Shared state: the values that start hooks return, which handlers take as [`State`].

use std::any::type_name;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::handler::extract::{FromInvocation, Invocation, Requirements};
use crate::handler::response::Response;
use crate::request::{self, StateSlot};

/// Shared state as a handler's argument: a value that an `#[on_start]` hook, or [`App::state`](crate::App::state), made once.
///
/// If nothing provides the type that a handler takes, the start fails with a message that names both.
///
/// It dereferences to the value. As a pattern, `State(model): State<Model>` gives the `Arc<Model>` itself, to keep or to send
/// elsewhere. The field does so too; a field `.0` of the value is therefore `state.0.0`.
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
/// A test that calls the handler makes a `State` itself:
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
    /// A value to share. A start hook of an [`App`](crate::App) that cannot fail returns it.
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
    /// The state of this type, anywhere in the agent's work; `None` if there is none, or outside of the agent's work.
    ///
    /// It is found in requests: in handlers, in [`async_task`](macro@crate::async_task) functions, in what
    /// [`spawn`](crate::spawn) started, in streams, sockets and layers. It is also found in hooks that run after the one that
    /// made it, and in the ping handler. It is not found in what `tokio::spawn` or a thread of the program's own runs, unless
    /// that is an async task: move a `State` there, which is cheap to clone. Once the shutdown has dropped the states, none is
    /// found.
    ///
    /// The start does not check that a hook makes the state, as it does for an argument.
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
        request::with_scope(|_, scope| scope?.instance().states.find()).map(Self)
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
            // The start checks the states in `requires`. This is for an extractor that does not name its state there.
            Response::error(format!("no state of type `{}`", type_name::<S>())).with_status(500)
        })
    }

    fn requires(requirements: &mut Requirements) {
        requirements.state::<S>();
    }
}
