//! The kind of mistake in a payload, for the log.
//!
//! The text of an error of serde quotes the value that it is about, and a value may be a secret. So the log gets words of this
//! module. The text only selects them.

use std::borrow::Cow;

/// The first words of an error of serde, and the words for the log.
const KINDS: [(&str, &str); 16] = [
    ("invalid type: null", "wrong type: found null"),
    ("invalid type: unit value", "wrong type: found null"),
    ("invalid type: boolean", "wrong type: found a boolean"),
    ("invalid type: integer", "wrong type: found an integer"),
    ("invalid type: floating point", "wrong type: found a number"),
    ("invalid type: number", "wrong type: found a number"),
    ("invalid type: string", "wrong type: found a string"),
    ("invalid type: sequence", "wrong type: found a list"),
    ("invalid type: map", "wrong type: found an object"),
    ("invalid type: ", "wrong type"),
    ("invalid value: ", "invalid value"),
    ("invalid length ", "wrong length"),
    ("unknown variant ", "unknown variant"),
    ("unknown field ", "unknown field"),
    ("missing field ", "missing field"),
    ("duplicate field ", "duplicate field"),
];

/// Errors without a value, whose text is logged.
const WHOLE: [&str; 3] = [
    "more values than expected",
    "expected a variant: a string, or an object of one key",
    "number out of range",
];

/// The kind of the error `said`. Its text may quote the payload; the result does not. `missing` is the name of the missing
/// field, if the type itself has named it.
pub(super) fn kind(said: &str, missing: Option<&'static str>) -> Cow<'static, str> {
    if let Some(name) = missing {
        return format!("missing field `{name}`").into();
    }
    if said.starts_with("data did not match any variant") {
        return "no variant fits".into();
    }
    if let Some(whole) = WHOLE.iter().find(|text| said == **text) {
        return (*whole).into();
    }
    let kind = KINDS.iter().find(|(begin, _)| said.starts_with(begin));
    kind.map_or("refused by the payload's type", |(_, kind)| kind)
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_selects_the_words_and_is_in_none_of_them() {
        for (said, expected) in [
            (
                "invalid type: string \"hunter2\", expected f64",
                "wrong type: found a string",
            ),
            (
                "invalid type: integer `4711`, expected a string",
                "wrong type: found an integer",
            ),
            ("invalid type: newtype struct, expected u8", "wrong type"),
            (
                "invalid value: integer `4711`, expected u8",
                "invalid value",
            ),
            (
                "invalid length 3, expected a tuple of size 2",
                "wrong length",
            ),
            ("unknown variant `hunter2`, expected `a`", "unknown variant"),
            ("unknown field `hunter2`, expected `a`", "unknown field"),
            ("missing field `hunter2`", "missing field"),
            (
                "data did not match any variant of untagged enum Hunter2",
                "no variant fits",
            ),
            ("the code hunter2 is used", "refused by the payload's type"),
        ] {
            assert_eq!(kind(said, None), expected);
        }
        assert_eq!(
            kind("missing field `city`", Some("city")),
            "missing field `city`"
        );
    }
}
