//! Decides whether a task has returned an error. A task may return any type, so only the type's name and the value's variant
//! tell.

use std::any::{Any, type_name};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::mem::{Discriminant, discriminant};

use serde_json::Value;

use crate::error::BoxError;
use crate::report::panics;
use crate::util::json::is_result;

fn is_error<T>(value: &T) -> bool {
    is_result::<T>() && hash(discriminant(value)) == hash(discriminant(&Err::<(), ()>(())))
}

fn hash<T>(variant: Discriminant<T>) -> u64 {
    let mut hasher = DefaultHasher::new();
    variant.hash(&mut hasher);
    hasher.finish()
}

/// The error's text, if `value` is one of the `Result` types that most tasks return.
macro_rules! text_of_common {
    ($value:expr, $($type:ty),+) => {
        None::<String>$(.or_else(|| {
            let result = $value.downcast_ref::<$type>()?;
            result.as_ref().err().map(ToString::to_string)
        }))+
    };
}

/// The text of the error; `None` if `value` is not an error.
pub(super) fn error_text<T: 'static>(value: &T) -> Option<String> {
    if !is_error(value) {
        return None;
    }
    let any: &dyn Any = value;
    // User code makes the text, so it may panic.
    let text = panics::guard(|| {
        text_of_common!(
            any,
            Result<(), BoxError>,
            Result<String, BoxError>,
            Result<Value, BoxError>,
            Result<(), String>,
            Result<String, String>,
            Result<Value, String>
        )
    });
    let unknown = || {
        format!(
            "an error (`{}`); to log its text, detach the task or make its function an `#[async_task]`",
            type_name::<T>()
        )
    };
    Some(text.unwrap_or_default().unwrap_or_else(unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_errors_of_results_are_errors() {
        assert!(is_error(&Err::<u8, u8>(1)));
        assert!(is_error(&Err::<std::convert::Infallible, String>(
            String::new()
        )));
        assert!(!is_error(&Ok::<u8, u8>(1)));
        assert!(!is_error(&Ok::<(), BoxError>(())));
        assert!(!is_error(&Some(1)));
        assert!(!is_error(&None::<u8>));
        assert!(!is_error(&"Err"));
        assert!(!is_error(&vec![Err::<u8, u8>(1)]));
    }

    #[test]
    fn an_error_has_its_text_or_its_type() {
        assert_eq!(error_text(&Ok::<(), BoxError>(())), None);
        let broken = Err::<(), BoxError>("it is broken".into());
        assert_eq!(error_text(&broken).as_deref(), Some("it is broken"));
        let number = error_text(&Err::<u8, std::num::ParseIntError>(
            "x".parse::<u8>().unwrap_err(),
        ));
        let number = number.expect("an error");
        assert!(
            number.contains("Result<u8, core::num::error::ParseIntError>"),
            "{number}"
        );
    }
}
