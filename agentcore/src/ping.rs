//! [`PingStatus`]: the two answers that the platform knows.

use std::fmt;

use serde_core::de::Error as _;
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::BoxError;
use crate::sealed::Seal;

/// What `GET /ping` reports.
///
/// There is no third value in the platform's contract: an agent that is unhealthy does not answer 200.
///
/// ```
/// use agentcore::PingStatus;
///
/// assert_eq!(PingStatus::HealthyBusy.to_string(), "HealthyBusy");
/// assert_eq!(serde_json::to_string(&PingStatus::Healthy).unwrap(), r#""Healthy""#);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PingStatus {
    /// Nothing is running: the platform may end the session once it has been idle long enough.
    #[default]
    Healthy,
    /// Work is running: the platform keeps the session, and bills it.
    HealthyBusy,
}

impl PingStatus {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::HealthyBusy => "HealthyBusy",
        }
    }

    /// Whether this is [`HealthyBusy`](Self::HealthyBusy).
    #[must_use]
    pub const fn is_busy(self) -> bool {
        matches!(self, Self::HealthyBusy)
    }

    pub(crate) const fn busy_if(busy: bool) -> Self {
        if busy {
            Self::HealthyBusy
        } else {
            Self::Healthy
        }
    }
}

impl fmt::Display for PingStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for PingStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_str().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PingStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let both = [Self::Healthy, Self::HealthyBusy];
        let status = both.into_iter().find(|status| status.as_str() == word);
        status.ok_or_else(|| D::Error::unknown_variant(&word, &["Healthy", "HealthyBusy"]))
    }
}

/// What a ping handler may return: a [`PingStatus`], a value that converts into one, or a `Result` of these and any error.
///
/// After an error, a panic or an answer that takes longer than 250 ms, the automatic status is answered. If it is another one
/// than the answer before, `time_of_last_update` moves, once, as with every change. The trait is sealed.
///
/// ```
/// use agentcore::{BoxError, PingReply, PingStatus};
///
/// struct Queue(usize);
///
/// impl From<Queue> for PingStatus {
///     fn from(queue: Queue) -> Self {
///         if queue.0 > 0 { Self::HealthyBusy } else { Self::Healthy }
///     }
/// }
///
/// fn check<R: PingReply>(_: R) {}
/// check(PingStatus::Healthy);
/// check(Queue(3));
/// check(Err::<Queue, BoxError>("no answer".into()));
/// ```
#[diagnostic::on_unimplemented(
    message = "a ping handler returns `PingStatus` (or a value that converts into it); found `{Self}`",
    label = "not a status",
    note = "it may also return a `Result` of that and any error"
)]
pub trait PingReply {
    /// The status, or why there is none.
    #[doc(hidden)]
    fn into_status(self, seal: Seal) -> Result<PingStatus, BoxError>;
}

#[diagnostic::do_not_recommend]
impl<T: Into<PingStatus>> PingReply for T {
    fn into_status(self, _: Seal) -> Result<PingStatus, BoxError> {
        Ok(self.into())
    }
}

impl<T: Into<PingStatus>, E: Into<BoxError>> PingReply for Result<T, E> {
    fn into_status(self, _: Seal) -> Result<PingStatus, BoxError> {
        self.map(Into::into).map_err(Into::into)
    }
}
