//! [`Origins`]: the setting `ws_origins`.

use http::{HeaderMap, header};

use super::Value;

/// Which web pages may open sockets.
///
/// A browser lets any page connect to any server, the one on the developer's laptop too, and says in `Origin` which page
/// it is. Clients that are no browsers do not send it, and neither does the platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origins {
    #[default]
    Any,
    /// In lower case.
    Only(Vec<String>),
}

impl Origins {
    /// Reads a list such as `https://app.example.com, http://localhost:3000`, or `*`; `None` if that is not what it is.
    pub(crate) fn parse<'a>(list: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut origins = Vec::new();
        for origin in list.into_iter().map(str::trim) {
            match origin {
                "*" => return Some(Self::Any),
                "null" => origins.push(origin.to_owned()),
                _ => {
                    let (scheme, host) = origin.split_once("://")?;
                    // A path, or a list within the list, would never match.
                    if scheme.is_empty() || host.is_empty() || host.contains(['/', ',', ' ']) {
                        return None;
                    }
                    origins.push(as_browsers_say(scheme, host));
                }
            }
        }
        (!origins.is_empty()).then_some(Self::Only(origins))
    }

    /// Whether the page that `headers` name may.
    pub(crate) fn allow(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Any => true,
            Self::Only(allowed) => headers.get_all(header::ORIGIN).iter().all(|origin| {
                allowed
                    .iter()
                    .any(|known| known.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
            }),
        }
    }
}

/// In lower case, and without the port that the scheme has anyway.
fn as_browsers_say(scheme: &str, host: &str) -> String {
    let scheme = scheme.to_ascii_lowercase();
    let port = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix(port).unwrap_or(&host);
    format!("{scheme}://{host}")
}

impl Value for Origins {
    fn parse(text: &str) -> Option<Self> {
        Self::parse(text.split(','))
    }

    fn show(&self) -> serde_json::Value {
        match self {
            Self::Any => "*".into(),
            Self::Only(origins) => origins.join(",").into(),
        }
    }
}
