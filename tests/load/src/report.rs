//! Figures and the limits they have to keep.

use std::fmt::{self, Display, Write as _};
use std::time::Duration;

use crate::clock::{MILLISECOND, Nanos};

/// The results of a command. A figure is printed as soon as it is known.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
    command: &'static str,
}

#[derive(Debug)]
struct Row {
    name: String,
    value: String,
    limit: Option<String>,
    held: bool,
}

impl Report {
    /// Begins with `command`.
    #[must_use]
    pub fn new(command: &'static str) -> Self {
        println!("== {command}");
        Self {
            rows: Vec::new(),
            command,
        }
    }

    /// Adds a figure without a limit.
    pub fn figure(&mut self, name: impl Into<String>, value: impl Display) {
        self.add(name.into(), value.to_string(), None, true);
    }

    /// Adds a figure with a maximum.
    pub fn at_most<T: PartialOrd + Display + Copy>(
        &mut self,
        name: impl Into<String>,
        value: T,
        limit: T,
    ) {
        let held = value <= limit;
        self.add(
            name.into(),
            value.to_string(),
            Some(format!("at most {limit}")),
            held,
        );
    }

    /// Adds a figure with a minimum.
    pub fn at_least<T: PartialOrd + Display + Copy>(
        &mut self,
        name: impl Into<String>,
        value: T,
        limit: T,
    ) {
        let held = value >= limit;
        self.add(
            name.into(),
            value.to_string(),
            Some(format!("at least {limit}")),
            held,
        );
    }

    /// Adds a figure that has to have this value.
    pub fn exactly<T: PartialEq + Display + Copy>(
        &mut self,
        name: impl Into<String>,
        value: T,
        wanted: T,
    ) {
        let held = value == wanted;
        self.add(
            name.into(),
            value.to_string(),
            Some(format!("exactly {wanted}")),
            held,
        );
    }

    /// Adds a count of problems, which has to be 0. The first few are shown.
    pub fn none_of(&mut self, name: impl Into<String>, problems: &[String]) {
        for problem in problems.iter().take(10) {
            println!("  ! {problem}");
        }
        self.exactly(name, problems.len(), 0);
    }

    fn add(&mut self, name: String, value: String, limit: Option<String>, held: bool) {
        let row = Row {
            name,
            value,
            limit,
            held,
        };
        println!("{row}");
        self.rows.push(row);
    }

    /// Whether every limit was kept.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.rows.iter().all(|row| row.held)
    }

    /// The lines whose limit was not kept.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        let broken = self.rows.iter().filter(|row| !row.held);
        broken.map(ToString::to_string).collect()
    }

    /// The figures as rows of a table with four columns: command, figure, value, limit.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut table = String::new();
        for row in &self.rows {
            let limit = row.limit.as_deref().unwrap_or("–");
            let mark = if row.held { "" } else { " **broken**" };
            let _ = writeln!(
                table,
                "| {} | {} | {}{mark} | {limit} |",
                self.command, row.name, row.value
            );
        }
        table
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.value)?;
        if let Some(limit) = &self.limit {
            write!(f, " (limit {limit})")?;
        }
        f.write_str(if self.held { "" } else { "  <-- BROKEN" })
    }
}

/// A time, shown in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Millis(pub f64);

impl Millis {
    /// From nanoseconds.
    #[must_use]
    pub fn of(nanos: Nanos) -> Self {
        Self(nanos as f64 / MILLISECOND as f64)
    }
}

impl From<Duration> for Millis {
    fn from(duration: Duration) -> Self {
        Self(duration.as_secs_f64() * 1e3)
    }
}

impl Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ms", self.0)
    }
}

/// An amount of memory, given in bytes and shown in mebibytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory(pub u64);

impl Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MiB", self.0 as f64 / f64::from(1 << 20))
    }
}

/// Times in ascending order.
#[derive(Debug)]
pub struct Distribution(Vec<Nanos>);

impl FromIterator<Nanos> for Distribution {
    fn from_iter<I: IntoIterator<Item = Nanos>>(times: I) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }
}

impl Distribution {
    /// The shortest time that `share` of all times do not exceed; zero if there are no times.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Millis {
        let last = self.0.len().saturating_sub(1);
        let place = (last as f64 * share).round() as usize;
        Millis::of(self.0.get(place).copied().unwrap_or_default())
    }
}
