//! The attributes: their arguments, and their names in messages.

use crate::args::Key;

/// One of the attributes.
pub(crate) struct Role {
    /// `entrypoint`, as in `#[entrypoint]`.
    pub(crate) attribute: &'static str,
    /// The arguments that it takes.
    pub(crate) keys: &'static [Key],
    /// `an entrypoint`, as in "an entrypoint cannot be generic".
    pub(crate) noun: &'static str,
    /// The items that the attribute may be on.
    pub(crate) target: &'static str,
    /// The advice to a function that returns `!`.
    pub(crate) instead_of_never: &'static str,
    /// The advice to a function that contains `yield`.
    pub(crate) instead_of_yield: &'static str,
    /// The smallest complete example of its use.
    pub(crate) shape: &'static str,
}

/// All attributes.
pub(crate) const ALL: [&Role; 13] = [
    &ENTRYPOINT,
    &ASYNC_TASK,
    &PING,
    &WEBSOCKET,
    &ON_START,
    &ON_SHUTDOWN,
    &ON_WARMUP,
    &ON_RESTORE,
    &ROUTES,
    &STEP,
    &TOOL,
    &RESOURCE,
    &PROMPT,
];

pub(crate) const ENTRYPOINT: Role = Role {
    attribute: "entrypoint",
    keys: &[
        Key::Name,
        Key::Main,
        Key::Flags,
        Key::Timeout,
        Key::IdleTimeout,
        Key::OnDisconnect,
        Key::Schema,
        Key::Crate,
    ],
    noun: "an entrypoint",
    target: "a free `fn` or `async fn`",
    instead_of_never: "every invocation needs a reply",
    instead_of_yield: "write the code in `agentcore::stream!`, and return that stream\n\n\
    help: the expected shape is\n\n    \
    #[agentcore::entrypoint]
    async fn handler(event: Event) -> impl agentcore::Stream<Item = Reply> {
        agentcore::stream! {
            yield reply;
        }
    }\n\n\
    where the code uses `?`: `agentcore::try_stream!`, and `Item = Result<Reply, agentcore::BoxError>`\n",
    shape: "    \
    #[agentcore::entrypoint]
    async fn handler(event: Event, context: RequestContext) -> Reply {
        // ..
    }",
};

pub(crate) const ASYNC_TASK: Role = Role {
    attribute: "async_task",
    keys: &[
        Key::Name,
        Key::Timeout,
        Key::Crate,
        Key::Durable,
        Key::Attempts,
        Key::Deadline,
        Key::Concurrency,
    ],
    noun: "a tracked task",
    target: "an `async fn`",
    instead_of_never: "return `()` or `Infallible`",
    instead_of_yield: "it returns one value; send several through a channel, such as `tokio::sync::mpsc`",
    shape: "    \
    #[agentcore::async_task]
    async fn task(input: Input) -> Output {
        // ..
    }",
};

/// `async_task` with `durable`.
pub(crate) const DURABLE_TASK: Role = Role {
    attribute: "async_task",
    keys: ASYNC_TASK.keys,
    noun: "a durable task",
    target: "a free `async fn`",
    instead_of_never: "its result is stored",
    instead_of_yield: "it returns one value, which is stored",
    shape: "    \
    #[agentcore::async_task(durable)]
    async fn task(input: Input, database: State<Database>) -> Result<Output, BoxError> {
        // ..
    }",
};

pub(crate) const STEP: Role = Role {
    attribute: "step",
    keys: &[Key::Name, Key::Crate],
    noun: "a step",
    target: "a free `async fn`",
    instead_of_never: "its result is recorded",
    instead_of_yield: "it returns one value, which is recorded",
    shape: "    \
    #[agentcore::step]
    async fn step(input: Input) -> Result<Output, BoxError> {
        // ..
    }",
};

pub(crate) const PING: Role = Role {
    attribute: "ping",
    keys: &[Key::Crate],
    noun: "a ping handler",
    target: "a free `fn` or `async fn`",
    instead_of_never: "return `agentcore::PingStatus`",
    instead_of_yield: "it returns one `agentcore::PingStatus`",
    shape: "    \
    #[agentcore::ping]
    fn health() -> PingStatus {
        // ..
    }",
};

pub(crate) const WEBSOCKET: Role = Role {
    attribute: "websocket",
    keys: &[Key::Crate],
    noun: "a websocket handler",
    target: "a free `async fn`",
    instead_of_never: "the socket is closed when it has returned",
    instead_of_yield: "it sends each message with `socket.send(message).await`",
    shape: "    \
    #[agentcore::websocket]
    async fn chat(socket: WebSocket, context: RequestContext) -> Result<(), BoxError> {
        // ..
    }",
};

pub(crate) const ON_START: Role = Role {
    attribute: "on_start",
    keys: &[Key::Timeout, Key::Crate],
    noun: "a start hook",
    target: "a free `fn` or `async fn`",
    instead_of_never: "the server starts when it has returned",
    instead_of_yield: "it returns one value, or `()`",
    shape: "    \
    #[agentcore::on_start]
    async fn connect() -> Result<Database, BoxError> {
        // ..
    }",
};

pub(crate) const ON_SHUTDOWN: Role = Role {
    attribute: "on_shutdown",
    keys: &[Key::Crate],
    noun: "a shutdown hook",
    target: "a free `fn` or `async fn`",
    instead_of_never: "the server stops when it has returned",
    instead_of_yield: "it returns `()` or `Result<(), E>`",
    shape: "    \
    #[agentcore::on_shutdown]
    async fn flush() -> Result<(), BoxError> {
        // ..
    }",
};

pub(crate) const ON_WARMUP: Role = Role {
    attribute: "on_warmup",
    keys: &[Key::Timeout, Key::Crate],
    noun: "a warm-up hook",
    target: "a free `fn` or `async fn`",
    instead_of_never: "the warm-up is answered when it has returned",
    instead_of_yield: "it returns `()` or `Result<(), E>`",
    shape: "    \
    #[agentcore::on_warmup]
    async fn load(model: State<Model>) -> Result<(), BoxError> {
        // ..
    }",
};

pub(crate) const ON_RESTORE: Role = Role {
    attribute: "on_restore",
    keys: &[Key::Timeout, Key::Crate],
    noun: "a restore hook",
    target: "a free `fn` or `async fn`",
    instead_of_never: "requests wait until it has returned",
    instead_of_yield: "it returns `()` or `Result<(), E>`",
    shape: "    \
    #[agentcore::on_restore]
    async fn reconnect(pool: State<Pool>) -> Result<(), BoxError> {
        // ..
    }",
};

pub(crate) const ROUTES: Role = Role {
    attribute: "routes",
    keys: &[Key::Port, Key::Idle, Key::Timeout, Key::Crate],
    noun: "a function that makes routes",
    target: "a free `fn` or `async fn`",
    instead_of_never: "the server serves what it returns",
    instead_of_yield: "it returns one service, such as an `axum::Router`",
    shape: "    \
    #[agentcore::routes]
    fn web(database: State<Database>) -> axum::Router {
        // ..
    }",
};

pub(crate) const TOOL: Role = Role {
    attribute: "tool",
    keys: &[
        Key::Name,
        Key::Title,
        Key::ReadOnly,
        Key::Destructive,
        Key::Idempotent,
        Key::OpenWorld,
        Key::Timeout,
        Key::Task,
        Key::SchemaFile,
        Key::Crate,
    ],
    noun: "a tool",
    target: "a free `fn` or `async fn`",
    instead_of_never: "every call needs a result",
    instead_of_yield: "write the code in `agentcore::stream!`, and return that stream: its last item is the result, and \
    those before it are progress",
    shape: "    \
    /// What the tool does, for the model.
    #[agentcore::tool]
    async fn forecast(city: String, days: Option<u8>) -> Result<Forecast, BoxError> {
        // ..
    }",
};

pub(crate) const RESOURCE: Role = Role {
    attribute: "resource",
    keys: &[
        Key::Uri,
        Key::Name,
        Key::Title,
        Key::MimeType,
        Key::Timeout,
        Key::Crate,
    ],
    noun: "a resource",
    target: "a free `fn` or `async fn`",
    instead_of_never: "every read needs a result",
    instead_of_yield: "it returns the whole resource",
    shape: "    \
    /// What the resource holds.
    #[agentcore::resource(uri = \"notes://{name}\")]
    async fn note(name: String) -> Result<String, BoxError> {
        // ..
    }",
};

pub(crate) const PROMPT: Role = Role {
    attribute: "prompt",
    keys: &[Key::Name, Key::Title, Key::Timeout, Key::Crate],
    noun: "a prompt",
    target: "a free `fn` or `async fn`",
    instead_of_never: "every request needs a text",
    instead_of_yield: "it returns the whole text",
    shape: "    \
    /// What the prompt asks for.
    #[agentcore::prompt]
    fn review(code: String) -> String {
        // ..
    }",
};
