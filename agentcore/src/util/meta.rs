//! [`Meta`]: the name and the source location of a function.

use std::fmt;

/// The name and source location of a registered function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Meta {
    // The order of the fields is the order in which lists are sorted.
    file: &'static str,
    line: u32,
    name: &'static str,
    module: &'static str,
}

impl Meta {
    /// The place of a function; the macros fill it in.
    #[must_use]
    pub const fn new(
        name: &'static str,
        module: &'static str,
        file: &'static str,
        line: u32,
    ) -> Self {
        Self {
            file,
            line,
            name,
            module,
        }
    }

    /// The function's name, unless its attribute says `name = ".."`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) const fn file(&self) -> &'static str {
        self.file
    }

    pub(crate) const fn line(&self) -> u32 {
        self.line
    }
}

impl fmt::Display for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.file.is_empty() {
            return write!(f, "`{}`", self.name);
        }
        write!(f, "`{}` ({}:{})", self.name, self.file, self.line)
    }
}
