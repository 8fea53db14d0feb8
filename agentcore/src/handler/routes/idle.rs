//! [`Idle`]: the idle paths of a router. A request to one of them does not make the agent busy.

/// The patterns of one router.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Idle(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Whole(Box<str>),
    /// Everything that begins with this text, which ends with a `/`.
    Below(Box<str>),
}

impl Idle {
    /// Reads the patterns. Each problem is a sentence about one of them.
    pub(crate) fn parse<P: AsRef<str>>(patterns: &[P]) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut parsed = Vec::new();
        for pattern in patterns {
            match Pattern::parse(pattern.as_ref()) {
                Some(pattern) => parsed.push(pattern),
                None => problems.push(format!(
                    "`{}` is no pattern for `idle`: write a path that begins with `/`, such as `/health`, or one that \
                     ends with `/*`, such as `/assets/*`",
                    pattern.as_ref().escape_debug()
                )),
            }
        }
        if problems.is_empty() {
            Ok(Self(parsed))
        } else {
            Err(problems)
        }
    }

    /// Whether `path` is idle.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            Pattern::Whole(whole) => path == &**whole,
            Pattern::Below(prefix) => path.starts_with(&**prefix),
        })
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let path = text.strip_suffix('*').unwrap_or(text);
        let is_path = path.starts_with('/')
            && path
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'?' | b'#'));
        if path.len() == text.len() {
            is_path.then(|| Self::Whole(path.into()))
        } else {
            (is_path && path.ends_with('/')).then(|| Self::Below(path.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_whole_path_or_everything_below_one() {
        let idle = Idle::parse(&["/health", "/assets/*", "/"]).unwrap();
        for (path, expected) in [
            ("/health", true),
            ("/health/", false),
            ("/healthy", false),
            ("/assets/app.js", true),
            ("/assets/a/b", true),
            ("/assets/", true),
            ("/assets", false),
            ("/assetsx", false),
            ("/", true),
            ("/x", false),
        ] {
            assert_eq!(idle.has(path), expected, "{path}");
        }
        assert!(Idle::parse(&["/*"]).unwrap().has("/anything"));
        assert!(!Idle::default().has("/"));
    }

    #[test]
    fn each_pattern_that_is_not_valid_is_named() {
        let patterns = ["", "health", "/a*", "/a/*/b", "*", "/a?b", "/a b", "/ä"];
        let problems = Idle::parse(&patterns).unwrap_err();
        assert_eq!(problems.len(), patterns.len());
        for (pattern, problem) in patterns.iter().zip(&problems) {
            let begin = format!("`{pattern}` is no pattern for `idle`: ");
            assert!(problem.starts_with(&begin), "{problem}");
        }
    }
}
