//! [`Origins`]: the setting `ws_origins`.

use http::{HeaderMap, header};

use super::Value;

/// The web pages that may open sockets.
///
/// A browser lets any page connect to any server, a developer's laptop too, and names the page in `Origin`. Clients that are no
/// browsers do not send it, and neither does the platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origins {
    #[default]
    Any,
    /// The allowed origins, in lower case.
    Only(Vec<String>),
}

impl Origins {
    /// Reads a list such as `https://app.example.com, http://localhost:3000`, or `*`; `None` if it is neither.
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

    /// Whether the page in the `Origin` of `headers` may open a socket.
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

/// The origin in lower case, without its scheme's default port, as browsers send it.
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
