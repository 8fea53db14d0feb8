//! Variables that look like settings and are none.

use super::table;

/// Set by the platform for agents that speak A2A.
const OF_THE_PLATFORM: &str = "AGENTCORE_RUNTIME_URL";

/// The names of the process's variables.
pub(crate) fn names_of_variables() -> impl Iterator<Item = String> {
    std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned())
}

/// Warns, in one line, of variables that begin as settings do and are none. For a start that has a log.
pub(crate) fn warn_of_unknown_variables() {
    if let Some(warning) = warning_of_unknown(&unknown_variables(names_of_variables())) {
        tracing::warn!("{warning}");
    }
}

fn warning_of_unknown(unknown: &[String]) -> Option<String> {
    let each: Vec<_> = unknown.iter().map(|name| said_of_unknown(name)).collect();
    let (verb, noun) = match each.len() {
        0 => return None,
        1 => ("is", "setting"),
        _ => ("are", "settings"),
    };
    let named = each.join(", ");
    Some(format!(
        "{named} {verb} set, and {verb} no {noun} of agentcore"
    ))
}

/// A variable's name, and what may have been meant.
pub(crate) fn said_of_unknown(name: &str) -> String {
    match nearest(name) {
        Some(meant) => format!("{name} (did you mean {meant}?)"),
        None => name.to_owned(),
    }
}

/// How the variables of all settings begin.
const PREFIX: &str = "AGENTCORE_";

/// The setting's variable that a typing error may have been about. In three letters behind the prefix one may be wrong, in six
/// two, in nine and more three.
fn nearest(typed: &str) -> Option<&'static str> {
    let variables = table::ALL.iter().map(|setting| setting.variable());
    let distances = variables.map(|variable| (distance(typed, variable), variable));
    let (distance, variable) = distances.min_by_key(|(distance, _)| *distance)?;
    let length = variable.len().saturating_sub(PREFIX.len());
    (distance <= (length / 3).clamp(1, 3)).then_some(variable)
}

/// How many letters have to be added, removed, replaced or swapped with the next to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Of the beginnings of both; the rows are those of `a`.
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// A typo in a name is the one mistake in a setting that a start cannot see. Other programs may have variables of this
/// prefix too, so it does not stop one.
pub(crate) fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<String> {
    let is_known = |name: &str| {
        let mut settings = table::ALL.iter();
        name == OF_THE_PLATFORM || settings.any(|setting| setting.variable() == name)
    };
    let mut unknown: Vec<_> = names
        .filter(|name| name.starts_with(PREFIX) && !is_known(name))
        .collect();
    unknown.sort_unstable();
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_settings_are_noticed() {
        let names = [
            "AGENTCORE_PORT",
            "AGENTCORE_PROT",
            "PORT",
            "AGENTCORE_A",
            "AGENTCORE_RUNTIME_URL",
        ];
        assert_eq!(
            unknown_variables(names.into_iter().map(str::to_owned)),
            ["AGENTCORE_A", "AGENTCORE_PROT"]
        );
    }

    #[test]
    fn what_may_have_been_meant_is_named() {
        for (typed, meant) in [
            ("AGENTCORE_PROT", Some("AGENTCORE_PORT")),
            ("AGENTCORE_SHUTDOWN_GRASE", Some("AGENTCORE_SHUTDOWN_GRACE")),
            ("AGENTCORE_MAX_BODY_BYTE", Some("AGENTCORE_MAX_BODY_BYTES")),
            ("AGENTCORE_DEVE", Some("AGENTCORE_DEV")),
            ("AGENTCORE_MEMORY_ID", None),
            ("AGENTCORE_A", None),
            ("AGENTCORE_ENV", None),
            ("AGENTCORE_MODE", None),
            ("AGENTCORE_TOKEN", None),
        ] {
            assert_eq!(nearest(typed), meant, "{typed}");
        }
    }

    #[test]
    fn unknown_variables_are_one_line() {
        assert_eq!(warning_of_unknown(&[]), None);
        let unknown = ["AGENTCORE_MEMORY_ID", "AGENTCORE_PROT"].map(str::to_owned);
        assert_eq!(
            warning_of_unknown(&unknown[1..]).as_deref(),
            Some(
                "AGENTCORE_PROT (did you mean AGENTCORE_PORT?) is set, and is no setting of agentcore"
            )
        );
        assert_eq!(
            warning_of_unknown(&unknown).as_deref(),
            Some(
                "AGENTCORE_MEMORY_ID, AGENTCORE_PROT (did you mean AGENTCORE_PORT?) are set, and are no settings of \
                 agentcore"
            )
        );
    }
}
