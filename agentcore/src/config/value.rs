//! The types of settings: how each is read from a variable, and how it is shown.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde_json::Value as Json;

/// The longest duration. Longer ones overflow clocks and are never meant.
pub(super) const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// The type of a setting.
pub(crate) trait Value: Sized {
    /// Reads a variable's text, without the space around it.
    fn parse(text: &str) -> Option<Self>;

    /// The value for people and machines: text that [`parse`](Self::parse) can read, or a number or truth value.
    fn show(&self) -> Json;

    /// A text that does not parse, as it may be shown. It may contain a secret.
    fn censored(text: &str) -> String {
        text.to_owned()
    }

    /// The value that is used: bounded, where a program may set more than makes sense.
    fn tamed(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl Value for $type {
            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn show(&self) -> Json {
                (*self).into()
            }
        }
    )+};
}

numbers!(u16, u32, usize);

impl Value for bool {
    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Some(true),
            "0" | "false" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    fn show(&self) -> Json {
        (*self).into()
    }
}

impl Value for Duration {
    fn parse(text: &str) -> Option<Self> {
        humantime::parse_duration(text)
            .ok()
            .filter(|duration| *duration <= LONGEST)
    }

    fn show(&self) -> Json {
        humantime::format_duration(*self).to_string().into()
    }

    fn tamed(self) -> Self {
        self.min(LONGEST)
    }
}

impl Value for IpAddr {
    fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("localhost") {
            return Some(Ipv4Addr::LOCALHOST.into());
        }
        // Also as in a URL: `[::1]`.
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        bare.parse().ok()
    }

    fn show(&self) -> Json {
        self.to_string().into()
    }
}

/// Implements [`Value`] for an enum whose variants are words.
macro_rules! words {
    ($type:ty: $($word:literal => $variant:ident),+ $(,)?) => {
        impl $crate::config::Value for $type {
            fn parse(text: &str) -> Option<Self> {
                match text {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }

            fn show(&self) -> serde_json::Value {
                match self {
                    $(Self::$variant => $word,)+
                }
                .into()
            }
        }
    };
}
pub(super) use words;
