#![doc = include_str!("../docs/guide.md")]
//!
//! Only documentation: in a build this module is not there.

pub mod quick_start {
    #![doc = include_str!("../docs/guide/quick_start.md")]
}
pub mod concepts {
    #![doc = include_str!("../docs/guide/concepts.md")]
}
pub mod errors {
    #![doc = include_str!("../docs/guide/errors.md")]
}
pub mod streaming {
    #![doc = include_str!("../docs/guide/streaming.md")]
}
pub mod websockets {
    #![doc = include_str!("../docs/guide/websockets.md")]
}
pub mod background {
    #![doc = include_str!("../docs/guide/background.md")]
}
pub mod state {
    #![doc = include_str!("../docs/guide/state.md")]
}
pub mod configuration {
    #![doc = include_str!("../docs/guide/configuration.md")]
}
pub mod limits {
    #![doc = include_str!("../docs/guide/limits.md")]
}
pub mod testing {
    #![doc = include_str!("../docs/guide/testing.md")]
}
pub mod from_python {
    #![doc = include_str!("../docs/guide/from_python.md")]
}
pub mod faq {
    #![doc = include_str!("../docs/guide/faq.md")]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// All sources below a folder, one behind the other.
    fn sources(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(&path).expect("a source"));
            }
        }
    }

    /// A bound that nothing holds is none.
    #[test]
    fn the_tests_that_hold_the_limits_exist() {
        let mut text = String::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        sources(&root.join("src"), &mut text);
        sources(&root.join("../tests/integration"), &mut text);
        let page = include_str!("../docs/guide/limits.md");
        let rows = page.lines().filter(|line| line.starts_with("| "));
        let tests = rows
            .filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next())
            .flat_map(|cell| cell.split('`'))
            .filter_map(|code| code.split_once("::"))
            .filter(|(_, name)| !name.contains([':', ' ', '(']));
        let mut count = 0;
        for (module, name) in tests {
            assert!(text.contains(&format!("fn {name}(")), "{module}::{name}");
            count += 1;
        }
        assert!(count > 20, "this test no longer finds them");
    }
}
