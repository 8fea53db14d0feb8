//! Bounds the length of texts.

/// Stands for the rest of a text.
const CUT: &str = "…";

/// Shortens `text` to at most `most` bytes. A shortened text ends in `…`, which counts.
pub(crate) fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(boundary(&text, most - CUT.len()));
        text.push_str(CUT);
    }
    text
}

/// The largest character boundary in `text` that is not above `most`.
pub(crate) fn boundary(text: &str, most: usize) -> usize {
    if most >= text.len() {
        return text.len();
    }
    let is_end = |end: &usize| text.is_char_boundary(*end);
    (0..=most).rev().find(is_end).unwrap_or(0)
}
