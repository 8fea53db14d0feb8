//! The number of values in a message, before `rmcp` makes a tree of them.

/// Whether JSON has more than `most` values and keys. Text that is not JSON gets some answer, because `rmcp` refuses it.
pub(super) fn are_more_than(most: usize, json: &[u8]) -> bool {
    // Each value or key has a byte at least, so that most messages are not read here.
    if json.len() <= most {
        return false;
    }
    let mut nodes = 0;
    let mut in_word = false;
    let mut bytes = json.iter();
    while let Some(&byte) = bytes.next() {
        let is_word = !matches!(
            byte,
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' | b'[' | b']' | b'{' | b'}' | b'"'
        );
        if matches!(byte, b'[' | b'{' | b'"') || is_word && !in_word {
            nodes += 1;
            if nodes > most {
                return true;
            }
        }
        in_word = is_word;
        if byte == b'"' {
            skip_string(&mut bytes);
        }
    }
    false
}

/// Skips a string to behind its closing quote.
fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_keys_are_counted() {
        for (json, nodes) in [
            ("3", 1),
            ("[]", 1),
            (" [ 1.5e3 , true,null ] ", 4),
            (r#"{"a":{"":0},"b":[{}]}"#, 8),
            (r#"["a,b:[{\"","\\",-1]"#, 4),
        ] {
            assert!(!are_more_than(nodes, json.as_bytes()), "{json}");
            assert!(are_more_than(nodes - 1, json.as_bytes()), "{json}");
        }
    }
}
