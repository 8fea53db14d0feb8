//! [`Owner`]: the session that a task and its result belong to.

use crate::headers::is_equal_secret;

/// Which callers may ask for a task, and for its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Callers in this session; `None` stands for callers without one.
    Session(Option<Box<str>>),
    /// Every caller that has the task's id.
    Anyone,
}

impl Owner {
    /// The owner for a caller in `session`; `None` stands for callers without one.
    pub(crate) fn of(session: Option<&str>) -> Self {
        Self::Session(session.map(Into::into))
    }

    /// Whether a caller in this session may ask.
    pub(crate) fn admits(&self, caller: Option<&str>) -> bool {
        match self {
            Self::Session(own) => is_same(own.as_deref(), caller),
            Self::Anyone => true,
        }
    }

    /// Its share of the bytes that all results may have. The client chooses the length of the session's name.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Session(Some(session)) => session.len(),
            Self::Session(None) | Self::Anyone => 0,
        }
    }
}

/// Whether both callers are in one session, or both in none.
pub(super) fn is_same(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => is_equal_secret(one, other),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_equal_sessions_are_the_same() {
        for (one, other, expected) in [
            (None, None, true),
            (Some("a"), None, false),
            (None, Some("a"), false),
            (Some("alice"), Some("alice"), true),
            (Some("alice"), Some("alicf"), false),
            (Some("alice"), Some("blice"), false),
            (Some("alice"), Some("alic"), false),
            (Some("alic"), Some("alice"), false),
        ] {
            assert_eq!(is_same(one, other), expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_result_without_a_session_is_for_callers_without_one() {
        assert!(Owner::of(None).admits(None));
        assert!(!Owner::Session(Some("alice".into())).admits(None));
        assert!(Owner::Anyone.admits(None));
        assert_eq!(Owner::Session(Some("alice".into())).bytes(), 5);
    }
}
