//! [`Template`]: the URI of a resource. A name in braces stands for a part of it, which is an argument.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// A URI, with or without names in braces. The macro has checked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    text: &'static str,
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// These characters.
    Fixed(&'static str),
    /// One character or more, up to the next fixed part or the end; see [`is_segment`].
    Argument(&'static str),
}

impl Template {
    pub(crate) fn of(text: &'static str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((fixed, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').unwrap_or((after, ""));
            parts.push(Part::Fixed(fixed));
            parts.push(Part::Argument(name));
            rest = behind;
        }
        parts.push(Part::Fixed(rest));
        parts.retain(|part| *part != Part::Fixed(""));
        Self { text, parts }
    }

    /// As it stands in the source.
    pub(crate) fn as_str(&self) -> &'static str {
        self.text
    }

    /// Whether it has no names in braces.
    pub(crate) fn is_fixed(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Fixed(_)))
    }

    /// The arguments in `uri`, percent-decoded; `None` if it does not fit.
    pub(crate) fn arguments(&self, uri: &str) -> Option<Map<String, Value>> {
        let mut arguments = Map::new();
        let mut rest = uri;
        let mut parts = self.parts.iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Fixed(fixed) => rest = rest.strip_prefix(fixed)?,
                Part::Argument(name) => {
                    let end = match parts.peek() {
                        Some(Part::Fixed(fixed)) => rest.find(fixed)?,
                        _ => rest.len(),
                    };
                    let (value, behind) = rest.split_at(end);
                    let value = decoded(value)?;
                    if !is_segment(&value) {
                        return None;
                    }
                    arguments.insert((*name).to_owned(), value.into_owned().into());
                    rest = behind;
                }
            }
        }
        rest.is_empty().then_some(arguments)
    }
}

/// `None` for a `%` without two hexadecimal digits behind it, and for what is no UTF-8.
fn decoded(value: &str) -> Option<Cow<'_, str>> {
    let is_code = |behind: &str| {
        let digits = behind.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let fits = value.split('%').skip(1).all(is_code);
    fits.then(|| percent_decode_str(value).decode_utf8().ok())?
}

/// Whether a decoded value is one segment of a path. A function may join it to a directory, and the path must not leave that.
fn is_segment(value: &str) -> bool {
    !matches!(value, "" | "." | "..") && !value.contains(['/', '\\', '\0'])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_uri_is_taken_apart() {
        let template = Template::of("test://template/{id}/data/{part}.md");
        assert!(!template.is_fixed());
        assert_eq!(
            template.arguments("test://template/12/data/a%20b.md"),
            json!({ "id": "12", "part": "a b" }).as_object().cloned()
        );
        for other in [
            "test://template/12/data/",
            "test://template//data/a.md",
            "test://template/1/2/data/a.md",
            "test://template/12/data/a.md/more",
            "test://template/12/data/%ff.md",
            "test://template/12/data/%zz.md",
            "test://template/%/data/a.md",
            "test://template/a%4/data/a.md",
            "test://template/12/data/..%2Fsecret.md",
            "",
        ] {
            assert_eq!(template.arguments(other), None, "{other}");
        }
    }

    #[test]
    fn an_argument_is_one_segment_of_a_path_after_decoding_too() {
        let template = Template::of("notes://{name}");
        for name in [
            "..",
            ".",
            "%2e%2e",
            "%2E",
            "..%2f..%2Fetc%2fpasswd",
            "a%2Fb",
            "/etc",
            "a\\b",
            "%5c",
            "a%00",
        ] {
            assert_eq!(
                template.arguments(&format!("notes://{name}")),
                None,
                "{name}"
            );
        }
        for name in ["...", ".profile", "a..b", "%252F"] {
            assert!(
                template.arguments(&format!("notes://{name}")).is_some(),
                "{name}"
            );
        }
        // What follows an argument does not make it a segment of its own.
        let template = Template::of("notes://{name}.md");
        assert_eq!(template.arguments("notes://..%2fa.md"), None);
    }

    #[test]
    fn a_fixed_uri_fits_itself() {
        let template = Template::of("notes://all");
        assert!(template.is_fixed());
        assert_eq!(template.arguments("notes://all"), Some(Map::new()));
        assert_eq!(template.arguments("notes://all/"), None);
    }
}
