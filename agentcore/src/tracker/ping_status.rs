//! [`PingStatus`]: the two answers that the platform knows.

use std::fmt;

use serde_core::de::Error as _;
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};

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
