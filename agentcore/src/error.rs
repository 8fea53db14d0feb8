//! Why an agent does not start or stop cleanly ([`Error`]), and any other error of a program ([`BoxError`], [`TimedOut`]).

mod timed_out;

use std::error::Error as StdError;
use std::fmt;

pub use timed_out::TimedOut;
pub(crate) use timed_out::timeout;

/// Any error that a handler, a hook or a task may end with.
///
/// ```
/// fn parse(text: &str) -> Result<u32, agentcore::BoxError> {
///     Ok(text.trim().parse()?)
/// }
/// assert!(parse("seven").is_err());
/// ```
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// The error and its causes on one log line: `error: cause: deeper cause`.
pub(crate) fn with_causes(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        let more = current.to_string();
        // Many libraries repeat the cause's text in their own.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = current.source();
    }
    text
}

/// Why an agent could not start, or did not stop cleanly.
///
/// The text (`Display`) is meant for the person who started the program and may change between versions; ask the
/// `is_*` methods to decide something in code.
///
/// ```no_run
/// # async fn example() {
/// match agentcore::App::from_registry().serve().await {
///     Ok(()) => println!("stopped, everything finished"),
///     Err(error) if error.is_address_in_use() => eprintln!("already running? {error}"),
///     Err(error) => eprintln!("{error}"),
/// }
/// # }
/// ```
pub struct Error {
    /// The kinds of the problems; more than one if [`both`](Self::both) has joined two errors.
    kinds: Vec<Kind>,
    problems: Vec<String>,
    source: Option<BoxError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The registry or the `App` names no entrypoint, too many, or handlers that do not fit together.
    Registration,
    /// A configuration value does not parse.
    Config,
    /// The address cannot be bound, or the runtime cannot be built.
    Io,
    /// A start hook failed.
    Start,
    /// Something was still running when its time ended.
    CutOff,
}

impl Error {
    pub(crate) fn new(kind: Kind, problem: impl Into<String>) -> Self {
        Self::several(kind, vec![problem.into()])
    }

    pub(crate) fn several(kind: Kind, problems: Vec<String>) -> Self {
        debug_assert!(!problems.is_empty());
        Self {
            kinds: vec![kind],
            problems,
            source: None,
        }
    }

    /// Both values, or the problems of both results.
    pub(crate) fn both<A, B>(one: Result<A, Self>, other: Result<B, Self>) -> Result<(A, B), Self> {
        match (one, other) {
            (Ok(one), Ok(other)) => Ok((one, other)),
            (Err(mut error), Err(more)) => {
                error.kinds.extend(more.kinds);
                error.problems.extend(more.problems);
                Err(error)
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The registered functions do not make an agent: no entrypoint, two of them, two ping handlers, ….
    #[must_use]
    pub fn is_registration(&self) -> bool {
        self.kinds.contains(&Kind::Registration)
    }

    /// An environment variable or a builder value is not valid.
    #[must_use]
    pub fn is_config(&self) -> bool {
        self.kinds.contains(&Kind::Config)
    }

    /// A start hook failed or took too long.
    #[must_use]
    pub fn is_start_hook(&self) -> bool {
        self.kinds.contains(&Kind::Start)
    }

    /// The address is taken by another process.
    #[must_use]
    pub fn is_address_in_use(&self) -> bool {
        self.source
            .as_ref()
            .and_then(|source| source.downcast_ref::<std::io::Error>())
            .is_some_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
    }

    /// The server stopped, and cut off what did not finish within the shutdown grace, or before a second signal: work, shutdown
    /// hooks, or destructors of the agent's values.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.kinds.contains(&Kind::CutOff)
    }

    /// Each problem on its own; at least one.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("; "))
    }
}

impl fmt::Debug for Error {
    /// For people: this is what a `main` that returns the error prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text of an I/O problem already names its cause.
        if self.kinds.contains(&Kind::Io) {
            fmt::Display::fmt(self, f)
        } else {
            f.write_str(&with_causes(self))
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}
