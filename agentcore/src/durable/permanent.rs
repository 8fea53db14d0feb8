//! [`Permanent`]: errors after which no further attempt is made.

use std::error::Error as StdError;
use std::fmt;

use crate::error::BoxError;

/// An error after which a [durable task](macro@crate::async_task) is not tried again, whatever attempts are left.
///
/// It converts into [`BoxError`] and `anyhow::Error`, as every error does, and is found among the causes of another error too.
///
/// ```
/// use agentcore::{BoxError, Permanent};
///
/// fn check(url: &str) -> Result<(), BoxError> {
///     if url.starts_with("https://") {
///         Ok(())
///     } else {
///         Err(Permanent::new("only https URLs are fetched").into())
///     }
/// }
/// assert_eq!(check("ftp://example.com").unwrap_err().to_string(), "only https URLs are fetched");
/// ```
#[derive(Debug)]
pub struct Permanent(Inner);

impl Permanent {
    /// Makes a permanent error from an error or a text.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(Inner(error.into()))
    }

    /// The error that it was made from.
    #[must_use]
    pub fn into_inner(self) -> BoxError {
        self.0.0
    }
}

impl fmt::Display for Permanent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Permanent {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

/// The cause of a [`Permanent`]. A wrapper such as `anyhow::Error` hides the outermost error's type, and shows those of its
/// causes.
#[derive(Debug)]
struct Inner(BoxError);

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Inner {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// Whether the error, or one of its causes, is a [`Permanent`].
pub(super) fn is_permanent(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if current.is::<Permanent>() || current.is::<Inner>() {
            return true;
        }
        cause = current.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::with_causes;

    #[derive(Debug)]
    struct Outer(Permanent);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("outer")
        }
    }

    impl StdError for Outer {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            // A wrapper that hides the type, as in `anyhow`.
            self.0.source()
        }
    }

    #[test]
    fn a_permanent_error_is_found_below_others() {
        let error: BoxError = Permanent::new("no luck").into();
        assert!(is_permanent(&*error));
        assert_eq!(with_causes(&*error), "no luck");
        assert!(is_permanent(&Outer(Permanent::new("no luck"))));
        let other: BoxError = "no luck".into();
        assert!(!is_permanent(&*other));
        assert_eq!(
            Permanent::new("no luck").into_inner().to_string(),
            "no luck"
        );
    }
}
