//! [`Sealer`]: the state of a call that travels with its client from one round of questions to the next.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{RequestStateCodec, SealOptions};
use serde_json::{Map, Value, json};

use crate::platform;

/// The maximum length of a state in bytes.
const LONGEST: usize = 1 << 20;

/// How long a client may take for its answers.
const LASTS: Duration = Duration::from_secs(3600);

/// The answers that a call has had, and the values that it keeps.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answers {
    pub(super) answers: BTreeMap<String, Value>,
    pub(super) kept: BTreeMap<String, Value>,
}

/// Seals states, and opens its own. A client can read a state, and cannot change it or use it for another call.
#[derive(Clone)]
pub(super) struct Sealer(Arc<RequestStateCodec>);

impl Sealer {
    /// `key` has to be that of every process that may get the next call of a client; `None` draws one for this process.
    pub(super) fn new(key: Option<&str>) -> Self {
        let drawn;
        let key = match key {
            Some(key) => key.as_bytes(),
            None => {
                drawn = platform::random_key();
                &drawn
            }
        };
        let codec = RequestStateCodec::try_new(key).expect("32 bytes or more");
        Self(Arc::new(codec))
    }

    /// # Errors
    ///
    /// The state would be too long.
    pub(super) fn seal(&self, answers: &Answers, binding: &[u8]) -> Result<String, ErrorData> {
        let state = json!([answers.answers, answers.kept]);
        let options = SealOptions::new().associated_data(binding).ttl(LASTS);
        let sealed = self.0.seal_with(state.to_string().as_bytes(), &options);
        if sealed.len() > LONGEST {
            let message = format!(
                "the answers and the values of the call take {} bytes, and {LONGEST} is the most",
                sealed.len()
            );
            return Err(ErrorData::internal_error(message, None));
        }
        Ok(sealed)
    }

    /// # Errors
    ///
    /// The state has been changed, is that of another call or another agent, or is older than an hour.
    pub(super) fn open(&self, state: &str, binding: &[u8]) -> Result<Answers, ErrorData> {
        let refused = |why: &dyn fmt::Display| {
            let message = format!(
                "the `requestState` is not one that this agent has given out for this call ({why}); processes that serve one client \
                 need one AGENTCORE_MCP_STATE_KEY"
            );
            ErrorData::invalid_params(message, None)
        };
        let opened = self
            .0
            .open_with(state, binding)
            .map_err(|error| refused(&error))?;
        let (answers, kept): (Map<String, Value>, Map<String, Value>) =
            serde_json::from_slice(&opened).map_err(|error| refused(&error))?;
        Ok(Answers {
            answers: answers.into_iter().collect(),
            kept: kept.into_iter().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_opened_by_its_own_call_alone() {
        let answers = Answers {
            answers: BTreeMap::from([("name".to_owned(), json!({ "action": "decline" }))]),
            kept: BTreeMap::from([("plan".to_owned(), json!([1, 2]))]),
        };
        let (ours, other) = (Sealer::new(None), Sealer::new(None));
        let sealed = ours.seal(&answers, b"a").expect("a state");
        assert_eq!(ours.open(&sealed, b"a").expect("its call"), answers);
        assert!(ours.open(&sealed, b"b").is_err());
        assert!(other.open(&sealed, b"a").is_err());
        assert!(ours.open(&format!("{sealed}-TAMPERED"), b"a").is_err());
        assert!(ours.open("", b"a").is_err());
    }

    #[test]
    fn processes_with_one_key_open_the_states_of_each_other() {
        let key = "0123456789abcdef0123456789abcdef";
        let [one, other] = [(); 2].map(|()| Sealer::new(Some(key)));
        let sealed = one.seal(&Answers::default(), b"a").expect("a state");
        assert_eq!(
            other.open(&sealed, b"a").expect("a state"),
            Answers::default()
        );
    }

    #[test]
    fn a_state_has_a_limit() {
        let kept = BTreeMap::from([("text".to_owned(), "x".repeat(LONGEST).into())]);
        let answers = Answers {
            kept,
            ..Answers::default()
        };
        let error = Sealer::new(None)
            .seal(&answers, b"a")
            .expect_err("too long");
        assert!(error.message.contains("1048576 is the most"), "{error:?}");
    }
}
