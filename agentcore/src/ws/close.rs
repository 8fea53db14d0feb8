//! Why a socket is closed.

use std::fmt;

use crate::util::text::boundary;

/// The number in a close frame.
///
/// Codes from 3000 on are for libraries, from 4000 on for applications. The numbers that may not be sent (1005, 1006
/// and so on) are no `CloseCode`.
///
/// ```
/// use agentcore::CloseCode;
///
/// assert_eq!(CloseCode::NORMAL.as_u16(), 1000);
/// assert_eq!(CloseCode::new(4001).unwrap().to_string(), "4001");
/// assert_eq!(CloseCode::new(1006), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The normal end: nothing is left to be said.
    pub const NORMAL: Self = Self(1000);
    /// The server stops, or the user has left the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// The other side does not speak the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of message that is not accepted.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// A text message that is not UTF-8, or data that its receiver cannot read.
    pub const INVALID_DATA: Self = Self(1007);
    /// A rule without a code of its own was broken. The platform closes with it when frames come too fast.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// A message is too large, or for the platform a frame.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// The handler failed.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The server restarts.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// The server is overloaded.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// The code for `number`, if it may stand in a close frame.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(number)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The content of a close frame: a code, and a reason for people, which may be empty.
///
/// ```
/// use agentcore::{CloseCode, CloseFrame};
///
/// let frame = CloseFrame::new(CloseCode::POLICY_VIOLATION, "one question at a time");
/// assert_eq!(frame.to_string(), "1008: one question at a time");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    code: CloseCode,
    reason: String,
}

/// The longest reason in bytes: the payload of a control frame, less the code.
const LONGEST_REASON: usize = 123;

impl CloseFrame {
    /// A frame with `code` and `reason`. The reason is cut to 123 bytes, the most that a close frame can hold.
    #[must_use]
    pub fn new(code: CloseCode, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(boundary(&reason, LONGEST_REASON));
        Self { code, reason }
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> CloseCode {
        self.code
    }

    /// The reason.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.reason {
            "" => self.code.fmt(f),
            reason => write!(f, "{}: {reason}", self.code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_may_not_be_sent_are_none() {
        let refused = [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX];
        assert!(
            refused
                .iter()
                .all(|&number| CloseCode::new(number).is_none())
        );
        let accepted = [1000, 1003, 1007, 1011, 1014, 3000, 4999];
        assert!(
            accepted
                .iter()
                .all(|&number| CloseCode::new(number).is_some())
        );
    }

    #[test]
    fn a_long_reason_is_cut_between_two_characters() {
        let frame = CloseFrame::new(CloseCode::NORMAL, "ü".repeat(100));
        assert_eq!(frame.reason(), "ü".repeat(61));
    }
}
