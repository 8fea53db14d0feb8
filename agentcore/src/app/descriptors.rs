//! The descriptors that the macros register.
//!
//! Every annotated function submits one descriptor through `inventory`; `App::from_registry` gathers them.

use std::any::TypeId;
use std::future::Future;
use std::time::Duration;

use crate::app::package::Package;
#[cfg(feature = "durable")]
use crate::durable::{Arguments, Durable, DurableRun, Encoded, RunFailure, Task};
use crate::error::BoxError;
use crate::handler::extract::{Invocation, Requirements};
use crate::handler::hook::HookCall;
use crate::handler::invoke::{self, Answer, Job, Options, RunIn};
use crate::handler::response::Response;
use crate::handler::routes::RouteService;
use crate::request::StateSlot;
use crate::schema::Schemas;
use crate::tracker::PingStatus;
use crate::util::BoxFuture;
#[cfg(feature = "ws")]
use crate::ws::{Opened, Opening};

pub use crate::util::meta::Meta;

/// The adapter that `#[entrypoint]` generates.
pub trait Entrypoint: 'static {
    /// What the arguments need from the app.
    fn requires(requirements: &mut Requirements);

    /// Adds the schemas of the function's types.
    fn describe(schemas: &mut Schemas);

    /// Makes the arguments, calls the function and makes the reply.
    fn call(invocation: Invocation) -> impl Future<Output = Response> + Send + 'static;
}

/// A registered entrypoint.
#[derive(Clone, Debug)]
pub struct EntrypointDef {
    pub(crate) meta: Meta,
    pub(crate) package: Package,
    pub(crate) options: Options,
    pub(crate) requires: fn(&mut Requirements),
    #[cfg(feature = "schema")]
    pub(crate) describe: fn(&mut Schemas),
    pub(crate) run: fn(Job, RunIn<'_>) -> Option<BoxFuture<Answer>>,
}

impl EntrypointDef {
    /// Describes the entrypoint behind the adapter `A`.
    #[must_use]
    pub const fn new<A: Entrypoint>(meta: Meta, package: Package) -> Self {
        Self {
            meta,
            package,
            options: Options::new(meta.name()),
            requires: A::requires,
            #[cfg(feature = "schema")]
            describe: A::describe,
            // The handler's future goes straight into its task, without a box in between.
            run: |job, run_in| invoke::start(job, run_in, A::call),
        }
    }

    /// Answers 504 after `limit`, and ends a streamed reply then.
    #[must_use]
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.options.timeout = Some(limit);
        self
    }

    /// Ends a streamed reply that has no new item for `limit`.
    #[must_use]
    pub const fn idle_timeout(mut self, limit: Duration) -> Self {
        self.options.idle_timeout = Some(limit);
        self
    }

    /// Drops the handler when its client goes away.
    #[must_use]
    pub const fn cancel_on_disconnect(mut self) -> Self {
        self.options.cancel_on_disconnect = true;
        self
    }
}

/// A registered async task.
#[derive(Clone, Debug)]
pub struct TaskDef {
    pub(crate) meta: Meta,
}

impl TaskDef {
    /// Describes an async task.
    #[must_use]
    pub const fn new(meta: Meta) -> Self {
        Self { meta }
    }
}

/// The adapter that `#[ping]` generates.
pub trait PingHandler: 'static {
    /// What the arguments need from the app.
    fn requires(requirements: &mut Requirements);

    /// Makes the arguments and calls the function.
    fn call(call: HookCall) -> impl Future<Output = Result<PingStatus, BoxError>> + Send + 'static;
}

/// A registered ping handler.
#[derive(Clone, Debug)]
pub struct PingDef {
    pub(crate) meta: Meta,
    pub(crate) requires: fn(&mut Requirements),
    pub(crate) call: fn(HookCall) -> BoxFuture<Result<PingStatus, BoxError>>,
}

impl PingDef {
    /// Describes the ping handler behind the adapter `A`.
    #[must_use]
    pub const fn new<A: PingHandler>(meta: Meta) -> Self {
        Self {
            meta,
            requires: A::requires,
            call: |call| Box::pin(A::call(call)),
        }
    }
}

/// The adapter that `#[on_start]` generates.
pub trait StartHook: 'static {
    /// What the arguments need from the app.
    fn requires(requirements: &mut Requirements);

    /// The type of the state that it makes, if any.
    fn provides() -> Option<(TypeId, &'static str)>;

    /// Makes the arguments and calls the function.
    fn call(call: HookCall) -> impl Future<Output = Result<StateSlot, BoxError>> + Send + 'static;
}

/// A registered start hook.
#[derive(Clone, Debug)]
pub struct StartDef {
    pub(crate) meta: Meta,
    pub(crate) timeout: Option<Duration>,
    pub(crate) requires: fn(&mut Requirements),
    pub(crate) provides: fn() -> Option<(TypeId, &'static str)>,
    pub(crate) call: fn(HookCall) -> BoxFuture<Result<StateSlot, BoxError>>,
}

impl StartDef {
    /// Describes the hook behind the adapter `A`.
    #[must_use]
    pub const fn new<A: StartHook>(meta: Meta) -> Self {
        Self {
            meta,
            timeout: None,
            requires: A::requires,
            provides: A::provides,
            call: |call| Box::pin(A::call(call)),
        }
    }

    /// Fails the start when the hook takes longer than `limit`.
    #[must_use]
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }
}

/// The adapter that `#[on_shutdown]` generates.
pub trait ShutdownHook: 'static {
    /// What the arguments need from the app.
    fn requires(requirements: &mut Requirements);

    /// Makes the arguments and calls the function.
    fn call(call: HookCall) -> impl Future<Output = Result<(), BoxError>> + Send + 'static;
}

/// A registered shutdown hook.
#[derive(Clone, Debug)]
pub struct ShutdownDef {
    pub(crate) meta: Meta,
    pub(crate) requires: fn(&mut Requirements),
    pub(crate) call: fn(HookCall) -> BoxFuture<Result<(), BoxError>>,
}

impl ShutdownDef {
    /// Describes the hook behind the adapter `A`.
    #[must_use]
    pub const fn new<A: ShutdownHook>(meta: Meta) -> Self {
        Self {
            meta,
            requires: A::requires,
            call: |call| Box::pin(A::call(call)),
        }
    }
}

/// The adapter that `#[on_warmup]` and `#[on_restore]` generate.
pub trait PlatformHook: 'static {
    /// What the arguments need from the app.
    fn requires(requirements: &mut Requirements);

    /// Makes the arguments and calls the function.
    fn call(call: HookCall) -> impl Future<Output = Result<(), BoxError>> + Send + 'static;
}

/// Declares the descriptor of a hook that the platform causes to run.
macro_rules! platform_hook {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            pub(crate) meta: Meta,
            pub(crate) timeout: Option<Duration>,
            pub(crate) requires: fn(&mut Requirements),
            pub(crate) call: fn(HookCall) -> BoxFuture<Result<(), BoxError>>,
        }

        impl $name {
            /// Describes the hook behind the adapter `A`.
            #[must_use]
            pub const fn new<A: PlatformHook>(meta: Meta) -> Self {
                Self {
                    meta,
                    timeout: None,
                    requires: A::requires,
                    call: |call| Box::pin(A::call(call)),
                }
            }

            /// Gives the hook up when it takes longer than `limit`.
            #[must_use]
            pub const fn timeout(mut self, limit: Duration) -> Self {
                self.timeout = Some(limit);
                self
            }
        }

        inventory::collect!($name);
    };
}

platform_hook! {
    /// A registered warm-up hook.
    WarmupDef
}

platform_hook! {
    /// A registered restore hook.
    RestoreDef
}

/// The adapter that `#[routes]` generates.
pub trait Routes: 'static {
    /// What the arguments need from the app.
    fn requires(requirements: &mut Requirements);

    /// Makes the arguments and calls the function.
    fn call(
        call: HookCall,
    ) -> impl Future<Output = Result<RouteService, BoxError>> + Send + 'static;
}

/// A registered router.
#[derive(Clone, Debug)]
pub struct RoutesDef {
    pub(crate) meta: Meta,
    pub(crate) package: Package,
    pub(crate) port: Option<u16>,
    pub(crate) idle: &'static [&'static str],
    pub(crate) timeout: Option<Duration>,
    pub(crate) requires: fn(&mut Requirements),
    pub(crate) call: fn(HookCall) -> BoxFuture<Result<RouteService, BoxError>>,
}

impl RoutesDef {
    /// Describes the router behind the adapter `A`.
    #[must_use]
    pub const fn new<A: Routes>(meta: Meta, package: Package) -> Self {
        Self {
            meta,
            package,
            port: None,
            idle: &[],
            timeout: None,
            requires: A::requires,
            call: |call| Box::pin(A::call(call)),
        }
    }

    /// Serves a port of its own.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Sets the patterns of idle paths. A request to an idle path does not make the agent busy.
    #[must_use]
    pub const fn idle(mut self, patterns: &'static [&'static str]) -> Self {
        self.idle = patterns;
        self
    }

    /// Answers 504 after `limit`.
    #[must_use]
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }
}

/// The adapter that `#[websocket]` generates.
#[cfg(feature = "ws")]
pub trait WebSocketEndpoint: 'static {
    /// What the arguments need from the app.
    fn requires(requirements: &mut Requirements);

    /// Makes the arguments and calls the function. The error is the reply of an argument that refused the request.
    fn open(
        opening: Opening,
    ) -> Result<impl Future<Output = Result<(), BoxError>> + Send + 'static, Response>;
}

/// A registered websocket handler.
#[cfg(feature = "ws")]
#[derive(Clone, Debug)]
pub struct WebSocketDef {
    pub(crate) meta: Meta,
    pub(crate) package: Package,
    pub(crate) requires: fn(&mut Requirements),
    pub(crate) open: fn(Opening) -> Opened,
}

#[cfg(feature = "ws")]
impl WebSocketDef {
    /// Describes the handler behind the adapter `A`.
    #[must_use]
    pub const fn new<A: WebSocketEndpoint>(meta: Meta, package: Package) -> Self {
        Self {
            meta,
            package,
            requires: A::requires,
            open: |opening| Ok(Box::pin(A::open(opening)?)),
        }
    }
}

/// The adapter that `#[async_task(durable)]` generates.
#[cfg(feature = "durable")]
pub trait DurableTask: 'static {
    /// What the arguments need from the app.
    fn requires(requirements: &mut Requirements);

    /// Makes the arguments, calls the function and encodes its result.
    fn run(run: DurableRun) -> impl Future<Output = Result<Encoded, RunFailure>> + Send + 'static;
}

/// A registered durable task.
#[cfg(feature = "durable")]
#[derive(Clone, Copy, Debug)]
pub struct DurableDef {
    pub(crate) meta: Meta,
    pub(crate) requires: fn(&mut Requirements),
    pub(crate) task: Task,
}

#[cfg(feature = "durable")]
impl DurableDef {
    /// Describes the task behind the adapter `A`.
    #[must_use]
    pub const fn new<A: DurableTask>(meta: Meta) -> Self {
        Self {
            meta,
            requires: A::requires,
            task: Task::new(meta.name(), |run| Box::pin(A::run(run))),
        }
    }

    /// Sets the maximum number of attempts. The first one counts.
    #[must_use]
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.task.attempts = attempts;
        self
    }

    /// Fails an attempt that takes longer than `limit`.
    #[must_use]
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.task.timeout = Some(limit);
        self
    }

    /// Fails a job if its attempts together take longer than `limit`.
    #[must_use]
    pub const fn deadline(mut self, limit: Duration) -> Self {
        self.task.deadline = Some(limit);
        self
    }

    /// Runs at most `most` of its jobs at once in one process.
    #[must_use]
    pub const fn concurrency(mut self, most: u32) -> Self {
        self.task.concurrency = Some(most);
        self
    }
}

/// The call of a durable task, as its function makes it.
#[cfg(feature = "durable")]
pub fn durable<T>(definition: DurableDef, arguments: Arguments) -> Durable<T> {
    Durable::new(definition.task, arguments)
}

inventory::collect!(EntrypointDef);
inventory::collect!(TaskDef);
#[cfg(feature = "durable")]
inventory::collect!(DurableDef);
inventory::collect!(PingDef);
inventory::collect!(StartDef);
inventory::collect!(ShutdownDef);
inventory::collect!(RoutesDef);
#[cfg(feature = "ws")]
inventory::collect!(WebSocketDef);
