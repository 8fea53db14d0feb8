//! Shared state: what start hooks return, and handlers take as [`State`].

use std::any::type_name;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::handler::extract::{FromInvocation, Invocation, Requirements};
use crate::handler::response::Response;
use crate::request::{self, StateSlot};

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
            // A start checks what the entrypoint asks for; an extractor that forgot to name it in `requires` comes here.
            Response::error(format!("no state of type `{}`", type_name::<S>())).with_status(500)
        })
    }

    fn requires(requirements: &mut Requirements) {
        requirements.state::<S>();
    }
}
