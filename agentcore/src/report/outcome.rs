//! The kind of a request, and how it ended.

use std::sync::atomic::{AtomicU32, Ordering};

use http::StatusCode;

/// What user code is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Invocation,
    #[cfg(feature = "ws")]
    Socket,
    /// A request to the program's own routes.
    Route,
    /// A request to a path of these routes that does not make the agent busy.
    IdleRoute,
    /// A call of a tool over the Model Context Protocol.
    #[cfg(feature = "mcp")]
    Tool,
    /// A request that goes through the layers, and is no invocation and for no route.
    Other,
    /// The custom ping handler. It is asked *for* the status, so the status that it sees does not include its own last answer.
    Ping,
    /// A start or shutdown hook.
    Hook,
}

impl Kind {
    /// Whether it is an invocation or a call of a tool.
    pub(crate) fn is_call(self) -> bool {
        #[cfg(feature = "mcp")]
        if self == Self::Tool {
            return true;
        }
        self == Self::Invocation
    }

    pub(crate) fn is_route(self) -> bool {
        matches!(self, Self::Route | Self::IdleRoute)
    }

    pub(crate) fn is_request(self) -> bool {
        !matches!(self, Self::Ping | Self::Hook)
    }
}

/// How a request or a task ended. A later variant outweighs an earlier one: a stream that breaks after its 200 has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Outcome {
    Success = 1,
    /// The reply's status is a 4xx.
    ClientError,
    /// The reply's status is a 5xx, or the stream or the socket failed.
    Error,
    /// Its caller no longer waited for it.
    Cancelled,
    Timeout,
    Panic,
    /// The shutdown did not wait for its end.
    CutOff,
}

impl Outcome {
    pub(crate) const ALL: [Self; 7] = [
        Self::Success,
        Self::ClientError,
        Self::Error,
        Self::Cancelled,
        Self::Timeout,
        Self::Panic,
        Self::CutOff,
    ];

    pub(crate) fn of(status: StatusCode) -> Self {
        if status.is_server_error() {
            Self::Error
        } else if status.is_client_error() {
            Self::ClientError
        } else {
            Self::Success
        }
    }

    /// The name in metrics and spans.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::ClientError => "client_error",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
            Self::Panic => "panic",
            Self::CutOff => "cut_off",
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize - 1
    }
}

/// What is known so far of how a request ended: the outcome in the upper 16 bits, the reply's status in the lower ones.
#[derive(Debug, Default)]
pub(crate) struct Findings(AtomicU32);

const STATUS_BITS: u32 = 16;

impl Findings {
    pub(crate) fn add(&self, outcome: Outcome, status: Option<StatusCode>) {
        let status = status.map_or(0, |status| u32::from(status.as_u16()));
        // The gravest outcome stays, and so does the status that the client has seen.
        let join = |word: u32| {
            let known = word & ((1 << STATUS_BITS) - 1);
            let status = if status == 0 { known } else { status };
            let outcome = (word >> STATUS_BITS).max(outcome as u32);
            Some(outcome << STATUS_BITS | status)
        };
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, join);
    }

    /// The outcome, if there is one, and the reply's status.
    pub(crate) fn get(&self) -> (Option<Outcome>, Option<u16>) {
        let word = self.0.load(Ordering::Relaxed);
        let number = word >> STATUS_BITS;
        let outcome = Outcome::ALL
            .into_iter()
            .find(|outcome| *outcome as u32 == number);
        let status = (word & ((1 << STATUS_BITS) - 1)) as u16;
        (outcome, (status != 0).then_some(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_graver_finding_counts_and_the_last_status_is_the_clients() {
        let findings = Findings::default();
        assert_eq!(findings.get(), (None, None));
        findings.add(Outcome::Success, Some(StatusCode::OK));
        assert_eq!(findings.get(), (Some(Outcome::Success), Some(200)));
        findings.add(Outcome::Error, None);
        assert_eq!(findings.get(), (Some(Outcome::Error), Some(200)));
        findings.add(Outcome::Panic, Some(StatusCode::INTERNAL_SERVER_ERROR));
        findings.add(Outcome::Success, Some(StatusCode::ACCEPTED));
        assert_eq!(findings.get(), (Some(Outcome::Panic), Some(202)));
    }

    #[test]
    fn indices_are_places_in_the_list() {
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome.index(), place);
        }
    }
}
