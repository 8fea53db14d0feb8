//! The attributes: what they understand, and what they are called in messages.

use crate::args::Key;

/// One attribute of the crate.
pub(crate) struct Role {
    /// `entrypoint`, as in `#[entrypoint]`.
    pub(crate) attribute: &'static str,
    /// What may stand in its parentheses.
    pub(crate) keys: &'static [Key],
    /// `an entrypoint`, as in "an entrypoint cannot be generic".
    pub(crate) noun: &'static str,
    /// What the attribute goes on.
    pub(crate) target: &'static str,
    /// What to return rather than `!`.
    pub(crate) instead_of_never: &'static str,
    /// The smallest complete example of its use.
    pub(crate) shape: &'static str,
}

pub(crate) const ENTRYPOINT: Role = Role {
    attribute: "entrypoint",
    keys: &[
        Key::Name,
        Key::Main,
        Key::Flags,
        Key::Timeout,
        Key::IdleTimeout,
        Key::OnDisconnect,
        Key::Crate,
    ],
    noun: "an entrypoint",
    target: "a free `fn` or `async fn`",
    instead_of_never: "every invocation needs a reply",
    shape: "    \
    #[agentcore::entrypoint]
    async fn handler(event: Event, context: RequestContext) -> Reply {
        // ..
    }",
};

pub(crate) const ASYNC_TASK: Role = Role {
    attribute: "async_task",
    keys: &[Key::Name, Key::Timeout, Key::Crate],
    noun: "a tracked task",
    target: "an `async fn`",
    instead_of_never: "return `()` or `Infallible`",
    shape: "    \
    #[agentcore::async_task]
    async fn task(input: Input) -> Output {
        // ..
    }",
};

pub(crate) const PING: Role = Role {
    attribute: "ping",
    keys: &[Key::Crate],
    noun: "a ping handler",
    target: "a free `fn` or `async fn`",
    instead_of_never: "return `agentcore::PingStatus`",
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
    shape: "    \
    #[agentcore::on_shutdown]
    async fn flush() -> Result<(), BoxError> {
        // ..
    }",
};
