//! Figures of several servers, and the ratios between them.

use std::fmt::{self, Display};

/// The servers in order. A ratio divides by the floor.
pub(super) const NAMES: [&str; 3] = ["agentcore", "axum", "floor"];

/// A figure of all three servers, for each round.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    /// The value of `--only` for this figure.
    pub(super) command: &'static str,
    pub(super) name: String,
    /// Which of two figures is better.
    pub(super) better: Better,
    /// The number of decimal places.
    pub(super) digits: usize,
    pub(super) rounds: Vec<[f64; 3]>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Better {
    More,
    Less,
}

impl Figure {
    fn median(&self, server: usize) -> f64 {
        median(self.rounds.iter().map(|round| round[server]).collect())
    }

    /// The median of the ratios to the floor within a round, and the smallest and the largest.
    fn ratio(&self, server: usize) -> (f64, f64, f64) {
        let ratios = self.rounds.iter().map(|round| round[server] / round[2]);
        let ratios: Vec<_> = ratios.collect();
        let smallest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (median(ratios), smallest, largest)
    }
}

/// The median. For an even number of figures, the mean of the two in the middle.
pub(super) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        count if count % 2 == 0 => f64::midpoint(figures[count / 2 - 1], figures[count / 2]),
        count => figures[count / 2],
    }
}

/// All figures, as a table in Markdown.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Figure>);

impl Extend<Figure> for Table {
    fn extend<I: IntoIterator<Item = Figure>>(&mut self, figures: I) {
        self.0.extend(figures);
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [agent, axum, floor] = NAMES;
        writeln!(
            f,
            "\n| command | what | {agent} | {axum} | {floor} | {agent} ÷ {floor} | {axum} ÷ {floor} | better is |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- |"
        )?;
        for figure in &self.0 {
            write!(
                f,
                "| `compare --only {}` | {} |",
                figure.command, figure.name
            )?;
            for server in 0..NAMES.len() {
                write!(f, " {:.*} |", figure.digits, figure.median(server))?;
            }
            for server in 0..2 {
                let (median, smallest, largest) = figure.ratio(server);
                // Two significant digits.
                let digits = if median < 0.1 { 4 } else { 2 };
                write!(
                    f,
                    " **{median:.digits$}** ({smallest:.digits$} to {largest:.digits$}) |"
                )?;
            }
            writeln!(
                f,
                " {} |",
                match figure.better {
                    Better::More => "more",
                    Better::Less => "less",
                }
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        let figure = Figure {
            command: "ping-64",
            name: "ping".to_owned(),
            better: Better::More,
            digits: 0,
            // The machine becomes half as quick, and no ratio shows it.
            rounds: vec![[90.0, 80.0, 100.0], [45.0, 40.0, 50.0], [22.0, 20.0, 25.0]],
        };
        let (median, smallest, largest) = figure.ratio(0);
        assert_eq!((median, smallest, largest), (0.9, 0.88, 0.9));
        assert_eq!(figure.ratio(1), (0.8, 0.8, 0.8));
        let mut table = Table::default();
        table.extend([figure]);
        let row = "| `compare --only ping-64` | ping | 45 | 40 | 50 | **0.90** (0.88 to 0.90) | **0.80** (0.80 to 0.80) | more |";
        assert!(table.to_string().contains(row), "{table}");
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
