//! Finds variables that look like settings, but are not.

use super::table;

/// The platform sets it for agents that speak A2A.
const OF_THE_PLATFORM: &str = "AGENTCORE_RUNTIME_URL";

/// The names of the process's variables.
pub(crate) fn names_of_variables() -> impl Iterator<Item = String> {
    std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned())
}

/// Warns, in one line, of variables that have the prefix of settings, but are not settings. The log must be set up.
pub(crate) fn warn_of_unknown_variables() {
    if let Some(warning) = warning_of_unknown(&unknown_variables(names_of_variables())) {
        tracing::warn!("{warning}");
    }
}

fn warning_of_unknown(unknown: &[String]) -> Option<String> {
    let each: Vec<_> = unknown.iter().map(|name| said_of_unknown(name)).collect();
    let named = each.join(", ");
    match each.len() {
        0 => None,
        1 => Some(format!("{named} is set, but is not a setting of agentcore")),
        _ => Some(format!(
            "{named} are set, but are not settings of agentcore"
        )),
    }
}

/// A variable's name, and the setting that may be meant.
pub(crate) fn said_of_unknown(name: &str) -> String {
    match nearest(name) {
        Some(meant) => format!("{name} (did you mean {meant}?)"),
        None => name.to_owned(),
    }
}

/// How the variables of all settings begin.
const PREFIX: &str = "AGENTCORE_";

/// The variable of a setting that `typed` may be a typo of. One letter in three may be wrong, and at most three.
fn nearest(typed: &str) -> Option<&'static str> {
    let variables = table::ALL.iter().map(|setting| setting.variable());
    let distances = variables.map(|variable| (distance(typed, variable), variable));
    let (distance, variable) = distances.min_by_key(|(distance, _)| *distance)?;
    let length = variable.len().saturating_sub(PREFIX.len());
    (distance <= (length / 3).clamp(1, 3)).then_some(variable)
}

/// The number of letters to add, remove, replace or swap with the next one that turns `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Distances between prefixes: one row for each prefix of `a`, one column for each of `b`.
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

/// The variables with the prefix of settings that are no settings. No other check finds a typo in a name. Other programs may have
/// variables with this prefix too, so it only causes a warning.
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
                "AGENTCORE_PROT (did you mean AGENTCORE_PORT?) is set, but is not a setting of agentcore"
            )
        );
        assert_eq!(
            warning_of_unknown(&unknown).as_deref(),
            Some(
                "AGENTCORE_MEMORY_ID, AGENTCORE_PROT (did you mean AGENTCORE_PORT?) are set, but are not settings of \
                 agentcore"
            )
        );
    }
}
