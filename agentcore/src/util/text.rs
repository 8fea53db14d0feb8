//! Bounds on texts.

/// Stands for the rest of a text.
const CUT: &str = "…";

/// `text`, up to `most` bytes of it. The last of them, `…`, tell that it was longer.
pub(crate) fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(boundary(&text, most - CUT.len()));
        text.push_str(CUT);
    }
    text
}

/// The end of the last character that ends within the first `most` bytes of `text`.
pub(crate) fn boundary(text: &str, most: usize) -> usize {
    if most >= text.len() {
        return text.len();
    }
    let is_end = |end: &usize| text.is_char_boundary(*end);
    (0..=most).rev().find(is_end).unwrap_or(0)
}
