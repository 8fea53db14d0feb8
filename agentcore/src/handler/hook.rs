//! Hooks and ping handlers: their arguments, their return types, and the traits by which plain functions become them.
//!
//! The macros and [`App`](crate::App) share the arguments. The traits over functions are for `App`: a macro knows the
//! function's signature and needs no trait.

use std::any::{TypeId, type_name};
use std::future::Future;
use std::sync::Arc;

use crate::error::BoxError;
use crate::handler::extract::Requirements;
use crate::handler::ping::PingReply;
use crate::handler::returned;
use crate::handler::routes::{RouteService, RoutesReply};
use crate::handler::state::State;
use crate::request::Instance;
use crate::request::StateSlot;
use crate::request::blocking;
use crate::tracker::PingStatus;
use crate::util::BoxFuture;
use crate::util::sealed::{Awaited, Blocking, Seal};

/// The source of the arguments of one call.
#[derive(Debug)]
pub struct HookCall {
    instance: Arc<Instance>,
    automatic: PingStatus,
}

impl HookCall {
    /// A call of a hook.
    pub(crate) fn of_hook(instance: Arc<Instance>) -> Self {
        Self::of_ping(instance, PingStatus::default())
    }

    /// A call of a ping handler.
    pub(crate) fn of_ping(instance: Arc<Instance>, automatic: PingStatus) -> Self {
        Self {
            instance,
            automatic,
        }
    }
}

mod argument {
    pub trait Sealed {}
}

impl<S> argument::Sealed for State<S> {}
impl argument::Sealed for PingStatus {}

/// An argument of a hook, or of a function that makes [routes](crate::Routes::from_fn): [`State<S>`](State). A function may take
/// any number of them, in any order.
///
/// A start hook that takes a `State<S>` runs after the one that returns the `S`. If nothing provides the `S`, the start fails
/// with a message that names it. The trait is sealed.
///
/// ```
/// use agentcore::{App, BoxError, State};
///
/// struct Url(String);
/// struct Pool(String);
///
/// async fn connect(State(url): State<Url>) -> Result<Pool, BoxError> {
///     Ok(Pool(url.0.clone()))
/// }
///
/// async fn close(State(pool): State<Pool>) {
///     println!("closing {}", pool.0);
/// }
///
/// let app = App::new().state(Url("db:5432".to_owned())).on_start(connect).on_shutdown(close);
/// # let _ = app;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a hook",
    label = "not shared state",
    note = "a hook takes `agentcore::State<S>`, for an `S` that a start hook returns or `App::state` shares"
)]
pub trait HookArgument: argument::Sealed + Sized + Send + 'static {
    /// What the argument needs from the app.
    #[doc(hidden)]
    fn __agentcore_requires(requirements: &mut Requirements);

    /// Makes the argument. Runs on the workers.
    #[doc(hidden)]
    fn __agentcore_take(call: &HookCall) -> Result<Self, BoxError>;
}

impl<S: Send + Sync + 'static> HookArgument for State<S> {
    fn __agentcore_requires(requirements: &mut Requirements) {
        requirements.state::<S>();
    }

    fn __agentcore_take(call: &HookCall) -> Result<Self, BoxError> {
        // The start has checked that the state exists, and the states are dropped after the last hook.
        let state = call.instance.states.find();
        state
            .map(Self::from)
            .ok_or_else(|| format!("no state of type `{}`", type_name::<S>()).into())
    }
}

/// An argument of a ping handler: [`State<S>`](State), and the automatic status as a [`PingStatus`].
///
/// If a handler takes the automatic status, its answer replaces that status, even if it is `Healthy` while work runs. The answer
/// of a handler that does not take it is combined with the automatic status: busy if either is. The trait is sealed.
///
/// ```
/// use agentcore::{App, PingStatus, State};
///
/// struct Queue(std::sync::Mutex<Vec<String>>);
///
/// fn health(automatic: PingStatus, State(queue): State<Queue>) -> PingStatus {
///     let waiting = queue.0.lock().map_or(0, |queue| queue.len());
///     if waiting > 0 { PingStatus::HealthyBusy } else { automatic }
/// }
///
/// let app = App::new().state(Queue(Vec::new().into())).ping(health);
/// # let _ = app;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a ping handler",
    label = "neither the automatic status nor shared state",
    note = "a ping handler takes the automatic status as `agentcore::PingStatus`, and `agentcore::State<S>`"
)]
pub trait PingArgument: argument::Sealed + Sized + Send + 'static {
    /// What the argument needs from the app.
    #[doc(hidden)]
    fn __agentcore_requires(requirements: &mut Requirements);

    /// Makes the argument. Runs on the workers.
    #[doc(hidden)]
    fn __agentcore_take(call: &HookCall) -> Result<Self, BoxError>;
}

#[diagnostic::do_not_recommend]
impl<T: HookArgument> PingArgument for T {
    fn __agentcore_requires(requirements: &mut Requirements) {
        T::__agentcore_requires(requirements);
    }

    fn __agentcore_take(call: &HookCall) -> Result<Self, BoxError> {
        T::__agentcore_take(call)
    }
}

impl PingArgument for PingStatus {
    fn __agentcore_requires(requirements: &mut Requirements) {
        requirements.automatic_status();
    }

    fn __agentcore_take(call: &HookCall) -> Result<Self, BoxError> {
        Ok(call.automatic)
    }
}

/// What a start hook that [`App::on_start`](crate::App::on_start) takes may return.
///
/// - `()`: nothing to share.
/// - `Result<S, E>`: the `S` is shared state, unless it is `()`. It is the bare value, not a `State<S>`. An error stops the
///   start. `E` is anything that converts into [`BoxError`].
/// - [`State<S>`](State), made by [`State::new`]: the `S` is shared state.
///
/// A bare `S` is not possible here, although [`on_start`](macro@crate::on_start) takes it: a generic function cannot tell it
/// from a `Result`. The trait is sealed.
///
/// ```
/// use agentcore::{BoxError, StartReply, State};
///
/// fn check<R: StartReply>(_: R) {}
/// check(());
/// check(State::new("a model"));
/// check(Ok::<&str, BoxError>("a model"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned from a start hook of an `App`",
    label = "not `()`, `State<S>` or `Result<S, E>`",
    note = "to share a value, return `agentcore::State::new(value)`, or a `Result` of the value and an error"
)]
pub trait StartReply {
    /// The type of the state that it makes, if any.
    #[doc(hidden)]
    fn provides(seal: Seal) -> Option<(TypeId, &'static str)>;

    /// The state, or the error.
    #[doc(hidden)]
    fn into_slot(self, seal: Seal) -> Result<StateSlot, BoxError>;
}

impl StartReply for () {
    fn provides(_: Seal) -> Option<(TypeId, &'static str)> {
        None
    }

    fn into_slot(self, _: Seal) -> Result<StateSlot, BoxError> {
        Ok(StateSlot::none())
    }
}

impl<S: Send + Sync + 'static> StartReply for State<S> {
    fn provides(_: Seal) -> Option<(TypeId, &'static str)> {
        Some((TypeId::of::<S>(), type_name::<S>()))
    }

    fn into_slot(self, _: Seal) -> Result<StateSlot, BoxError> {
        Ok(self.into_slot())
    }
}

impl<S, E> StartReply for Result<S, E>
where
    S: Send + Sync + 'static,
    E: Into<BoxError>,
{
    fn provides(_: Seal) -> Option<(TypeId, &'static str)> {
        let is_unit = TypeId::of::<S>() == TypeId::of::<()>();
        (!is_unit).then(|| (TypeId::of::<S>(), type_name::<S>()))
    }

    fn into_slot(self, _: Seal) -> Result<StateSlot, BoxError> {
        self.map(StateSlot::new).map_err(Into::into)
    }
}

/// What a shutdown hook may return: `()`, or a `Result` of `()` and any error, which is logged.
///
/// The trait is sealed.
///
/// ```
/// use agentcore::{BoxError, ShutdownReply};
///
/// fn check<R: ShutdownReply>(_: R) {}
/// check(());
/// check(Err::<(), BoxError>("the disk is full".into()));
/// ```
#[diagnostic::on_unimplemented(
    message = "a shutdown hook returns `()` or `Result<(), E>`; found `{Self}`",
    label = "this value would be dropped"
)]
pub trait ShutdownReply {
    /// The result, with the error in a box.
    #[doc(hidden)]
    fn into_end(self, seal: Seal) -> Result<(), BoxError>;
}

impl ShutdownReply for () {
    fn into_end(self, _: Seal) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError>> ShutdownReply for Result<(), E> {
    fn into_end(self, _: Seal) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

/// What a warm-up hook or a restore hook may return: `()`, or a `Result` of `()` and any error.
///
/// The trait is sealed.
///
/// ```
/// use agentcore::{BoxError, PlatformReply};
///
/// fn check<R: PlatformReply>(_: R) {}
/// check(());
/// check(Err::<(), BoxError>("the weights are not there".into()));
/// ```
#[diagnostic::on_unimplemented(
    message = "a warm-up or restore hook returns `()` or `Result<(), E>`; found `{Self}`",
    label = "this value would be dropped"
)]
pub trait PlatformReply {
    /// The result, with the error in a box.
    #[doc(hidden)]
    fn into_end(self, seal: Seal) -> Result<(), BoxError>;
}

impl PlatformReply for () {
    fn into_end(self, _: Seal) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError>> PlatformReply for Result<(), E> {
    fn into_end(self, _: Seal) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

/// A function or closure that [`App::ping`](crate::App::ping) takes.
///
/// Implemented for functions of up to six [`PingArgument`]s, `async` or not, that return a [`PingReply`]. A function that is
/// not `async` runs on the blocking pool. `Args` is inferred. The trait is sealed.
///
/// ```
/// use agentcore::{App, PingStatus};
///
/// let app = App::new().ping(|automatic: PingStatus| automatic);
/// let app = App::new().ping(async || PingStatus::HealthyBusy);
/// # let _ = app;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a ping handler",
    note = "a ping handler is a function that takes `PingStatus` or `State<S>`, and returns `PingStatus`, a value that \
            converts into it, or a `Result` of these"
)]
pub trait PingHandler<Args>: Send + Sync + 'static {
    /// What the arguments need from the app.
    #[doc(hidden)]
    fn requires(requirements: &mut Requirements, seal: Seal);

    /// Makes the arguments and calls the function. Runs on the workers.
    #[doc(hidden)]
    fn call(self: Arc<Self>, call: HookCall, seal: Seal)
    -> BoxFuture<Result<PingStatus, BoxError>>;
}

/// A function or closure that [`App::on_start`](crate::App::on_start) takes.
///
/// Implemented for functions of up to six [`HookArgument`]s, `async` or not, that return a [`StartReply`]. A function that is
/// not `async` runs on the blocking pool. `Args` is inferred. The trait is sealed.
///
/// ```
/// use agentcore::{App, BoxError, State};
///
/// let app = App::new()
///     .on_start(|| std::fs::read_to_string("prompt.txt"))
///     .on_start(async |prompt: State<String>| println!("the prompt has {} bytes", prompt.len()));
/// # let _ = app;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a start hook",
    note = "a start hook is a function that takes `State<S>`, and returns `()`, `State<S>` or `Result<S, E>`"
)]
pub trait StartHook<Args>: Send + Sync + 'static {
    /// What the arguments need from the app.
    #[doc(hidden)]
    fn requires(requirements: &mut Requirements, seal: Seal);

    /// The type of the state that it makes, if any.
    #[doc(hidden)]
    fn provides(seal: Seal) -> Option<(TypeId, &'static str)>;

    /// Makes the arguments and calls the function. Runs on the workers.
    #[doc(hidden)]
    fn call(self: Arc<Self>, call: HookCall, seal: Seal) -> BoxFuture<Result<StateSlot, BoxError>>;
}

/// A function or closure that [`App::on_shutdown`](crate::App::on_shutdown) takes.
///
/// Implemented for functions of up to six [`HookArgument`]s, `async` or not, that return a [`ShutdownReply`]. A function that
/// is not `async` runs on the blocking pool. `Args` is inferred. The trait is sealed.
///
/// ```
/// use agentcore::{App, State};
///
/// let app = App::new()
///     .state(vec![1, 2, 3])
///     .on_shutdown(|numbers: State<Vec<i32>>| println!("{} were left", numbers.len()));
/// # let _ = app;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a shutdown hook",
    note = "a shutdown hook is a function that takes `State<S>`, and returns `()` or `Result<(), E>`"
)]
pub trait ShutdownHook<Args>: Send + Sync + 'static {
    /// What the arguments need from the app.
    #[doc(hidden)]
    fn requires(requirements: &mut Requirements, seal: Seal);

    /// Makes the arguments and calls the function. Runs on the workers.
    #[doc(hidden)]
    fn call(self: Arc<Self>, call: HookCall, seal: Seal) -> BoxFuture<Result<(), BoxError>>;
}

/// A function or closure that [`App::on_warmup`](crate::App::on_warmup) and [`App::on_restore`](crate::App::on_restore) take.
///
/// Implemented for functions of up to six [`HookArgument`]s, `async` or not, that return a [`PlatformReply`]. A function that
/// is not `async` runs on the blocking pool. `Args` is inferred. The trait is sealed.
///
/// ```
/// use agentcore::{App, State};
///
/// let app = App::new()
///     .state(vec![1, 2, 3])
///     .on_warmup(async |numbers: State<Vec<i32>>| println!("{} numbers", numbers.len()))
///     .on_restore(|| println!("restored"));
/// # let _ = app;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a warm-up or restore hook",
    note = "such a hook is a function that takes `State<S>`, and returns `()` or `Result<(), E>`"
)]
pub trait PlatformHook<Args>: Send + Sync + 'static {
    /// What the arguments need from the app.
    #[doc(hidden)]
    fn requires(requirements: &mut Requirements, seal: Seal);

    /// Makes the arguments and calls the function. Runs on the workers.
    #[doc(hidden)]
    fn call(self: Arc<Self>, call: HookCall, seal: Seal) -> BoxFuture<Result<(), BoxError>>;
}

/// A function or closure that [`Routes::from_fn`](crate::Routes::from_fn) takes.
///
/// Implemented for functions of up to six [`HookArgument`]s, `async` or not, that return a [`RoutesReply`]. A function that is
/// not `async` runs on the blocking pool. `Args` is inferred. The trait is sealed.
///
/// ```
/// use agentcore::{Body, BoxError, Routes};
/// use http::{Request, Response};
///
/// let routes = Routes::from_fn(async || {
///     let text = std::fs::read_to_string("index.html")?;
///     Ok::<_, BoxError>(tower::service_fn(move |_: Request<Body>| {
///         std::future::ready(Ok::<_, BoxError>(Response::new(Body::from(text.clone()))))
///     }))
/// });
/// # let _ = routes;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot make routes",
    note = "it is a function that takes `State<S>`, and returns a `Result` of a tower service"
)]
pub trait RoutesFunction<Args>: Send + Sync + 'static {
    /// What the arguments need from the app.
    #[doc(hidden)]
    fn requires(requirements: &mut Requirements, seal: Seal);

    /// Makes the arguments and calls the function. Runs on the workers.
    #[doc(hidden)]
    fn call(
        self: Arc<Self>,
        call: HookCall,
        seal: Seal,
    ) -> BoxFuture<Result<RouteService, BoxError>>;
}

/// Implements one trait for the functions of one form, with one number of arguments.
macro_rules! hook {
    (
        $handler:ident($argument:ident) -> $reply:ident { $made:ident: $output:ty $(, $provides:ident)? };
        $form:ident $($future:ident)? -> $result:ident where [$($bounds:tt)*];
        $($name:ident),*
    ) => {
        impl<F, $($future,)? R, $($name),*> $handler<($form, $($name,)*)> for F
        where
            F: Fn($($name),*) -> $result + Send + Sync + 'static,
            $($bounds)*,
            R: $reply,
            $($name: $argument,)*
        {
            fn requires(requirements: &mut Requirements, _: Seal) {
                let _ = &requirements;
                $(<$name as $argument>::__agentcore_requires(requirements);)*
            }

            $(
                fn $provides(seal: Seal) -> Option<(TypeId, &'static str)> {
                    R::$provides(seal)
                }
            )?

            #[allow(non_snake_case, unused_variables, reason = "the type parameters double as variables; there may be none")]
            fn call(self: Arc<Self>, call: HookCall, seal: Seal) -> BoxFuture<Result<$output, BoxError>> {
                Box::pin(async move {
                    $(let $name = <$name as $argument>::__agentcore_take(&call)?;)*
                    drop(call);
                    returned!($form self($($name),*)).$made(seal)
                })
            }
        }
    };
}

macro_rules! hooks {
    ($(($($name:ident),*)),+ $(,)?) => {$(
        hooks! { PingHandler(PingArgument) -> PingReply { into_status: PingStatus }; $($name),* }
        hooks! { StartHook(HookArgument) -> StartReply { into_slot: StateSlot, provides }; $($name),* }
        hooks! { ShutdownHook(HookArgument) -> ShutdownReply { into_end: () }; $($name),* }
        hooks! { RoutesFunction(HookArgument) -> RoutesReply { into_service: RouteService }; $($name),* }
        hooks! { PlatformHook(HookArgument) -> PlatformReply { into_end: () }; $($name),* }
    )+};
    ($handler:ident($argument:ident) -> $reply:ident $made:tt; $($name:ident),*) => {
        hook! {
            $handler($argument) -> $reply $made;
            Awaited Fut -> Fut where [Fut: Future<Output = R> + Send + 'static]; $($name),*
        }
        hook! { $handler($argument) -> $reply $made; Blocking -> R where [R: Send + 'static]; $($name),* }
    };
}

hooks!(
    (),
    (A),
    (A, B),
    (A, B, C),
    (A, B, C, D),
    (A, B, C, D, E),
    (A, B, C, D, E, G),
);
