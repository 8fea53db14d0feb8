//! [`Filter`]: the setting `log`.

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::Value;

/// The levels that are logged, by target.
#[derive(Clone, Debug)]
pub(crate) struct Filter(pub(crate) Targets);

impl Value for Filter {
    /// Reads `info,my_agent=debug`. A bare word has to be a level: if a typo counted as a target, it would silence everything
    /// else.
    fn parse(text: &str) -> Option<Self> {
        let mut targets = Targets::new();
        let mut is_empty = true;
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            targets = match part.split_once('=') {
                Some((target, of)) => targets.with_target(target_of(target)?, level(of)?),
                None => targets.with_default(level(part)?),
            };
            is_empty = false;
        }
        (!is_empty).then_some(Self(targets))
    }

    fn show(&self) -> serde_json::Value {
        self.0.to_string().into()
    }
}

impl Filter {
    /// The targets, without what the SDK of the Model Context Protocol says below `error`, unless the setting names it.
    pub(crate) fn into_targets(self) -> Targets {
        let names_sdk = self.0.iter().any(|(target, _)| target.starts_with(SDK));
        match names_sdk {
            true => self.0,
            false => {
                let level = self.0.default_level().unwrap_or(LevelFilter::OFF);
                let errors = self.0.with_target(SDK, level.min(LevelFilter::ERROR));
                errors.with_target(SDK_SERVICE, LevelFilter::OFF)
            }
        }
    }
}

/// The target of the SDK. It has two lines of the level `info` for each message, and a warning with the text of each error that it
/// answers, which may have what the client has sent. The line of the call reports the error.
const SDK: &str = "rmcp";

/// The module of the SDK that sends replies. It logs an error for each client that has left before its reply, and the call's own line
/// reports that.
const SDK_SERVICE: &str = "rmcp::service";

/// A module's path. A filter by span or field is refused: it would be taken for a module that logs nothing.
fn target_of(text: &str) -> Option<&str> {
    let text = text.trim();
    let is_path = |letter: char| letter.is_alphanumeric() || "_:-.".contains(letter);
    (!text.is_empty() && text.chars().all(is_path)).then_some(text)
}

fn level(text: &str) -> Option<LevelFilter> {
    let text = text.trim();
    // An empty text would parse as `error`.
    if text.is_empty() {
        return None;
    }
    if text.eq_ignore_ascii_case("warning") {
        Some(LevelFilter::WARN)
    } else {
        text.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn the_sdk_logs_errors_alone_unless_the_list_names_it() {
        let logs = |text: &str, target: &str, level: Level| {
            let filter = Filter::parse(text).expect("a filter");
            filter.into_targets().would_enable(target, &level)
        };
        for text in ["info", "trace", "warn,my_agent=debug"] {
            assert!(logs(text, "rmcp::transport", Level::ERROR), "{text}");
            assert!(!logs(text, "rmcp::transport", Level::WARN), "{text}");
            assert!(!logs(text, "rmcp::service", Level::ERROR), "{text}");
            assert!(logs(text, "my_agent", Level::WARN), "{text}");
        }
        assert!(!logs("off", "rmcp::service", Level::ERROR));
        assert!(logs("error,rmcp=info", "rmcp::service", Level::INFO));
    }
}
