//! W3C baggage.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use http::HeaderMap;
use percent_encoding::percent_decode_str;

/// Key-value pairs that a request's callers pass along, in `baggage` headers.
///
/// Properties (`;…`) are dropped and values percent-decoded. Of entries with the same key the last one counts.
///
/// ```
/// # use agentcore::Baggage;
/// let baggage = Baggage::parse(["tenant=acme;ttl=1, user=j%C3%BCrgen", "tenant=other"]);
/// assert_eq!(baggage.get("user"), Some("jürgen"));
/// assert_eq!(baggage.get("tenant"), Some("other"));
/// assert_eq!(baggage.iter().count(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baggage(Vec<(String, String)>);

impl Baggage {
    /// The key of the gateway's routing experiment that this request takes part in.
    pub const ROUTING_EXPERIMENT_ARN: &'static str = "aws.agentcore.gateway.routing_experiment_arn";
    /// The key of the variant that the experiment chose.
    pub const ROUTING_EXPERIMENT_VARIANT: &'static str =
        "aws.agentcore.gateway.routing_experiment_variant_name";
    /// The key of the configuration bundle that applies to the request.
    pub const CONFIG_BUNDLE_ARN: &'static str = "aws.agentcore.configbundle_arn";
    /// The key of the bundle's version.
    pub const CONFIG_BUNDLE_VERSION: &'static str = "aws.agentcore.configbundle_version";

    /// Reads the values of any number of `baggage` headers. An entry that is no `key=value` is skipped.
    #[must_use]
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut entries: Vec<(String, String)> = Vec::new();
        // The index of each key's entry. It is a map because a caller may send thousands.
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in values.into_iter().flat_map(|value| value.split(',')) {
            let pair = entry.split(';').next().unwrap_or_default();
            let Some((key, value)) = pair.split_once('=') else {
                continue;
            };
            let (key, value) = (key.trim(), value.trim());
            if key.is_empty() || value.is_empty() {
                continue;
            }
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match places.entry(key) {
                Entry::Occupied(place) => entries[*place.get()].1 = value,
                Entry::Vacant(place) => {
                    place.insert(entries.len());
                    entries.push((key.to_owned(), value));
                }
            }
        }
        Self(entries)
    }

    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(super::BAGGAGE).iter();
        Self::parse(values.filter_map(|value| value.to_str().ok()))
    }

    /// The value under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter()
            .find(|(known, _)| *known == key)
            .map(|(_, value)| value)
    }

    /// All entries, in the order in which their keys first appear.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_entry_is_skipped() {
        let baggage = Baggage::parse([",, =x, a=, b, c=1;p=2;q , =", ""]);
        assert_eq!(baggage.iter().collect::<Vec<_>>(), [("c", "1")]);
    }

    proptest! {
        #[test]
        fn no_input_panics(values in proptest::collection::vec(".*", 0..4)) {
            let baggage = Baggage::parse(values.iter().map(String::as_str));
            prop_assert!(baggage.iter().all(|(key, _)| !key.is_empty()));
        }
    }
}
