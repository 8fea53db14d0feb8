//! [`Rounds`]: questions of a call since revision 2026-07-28, which ends it.

use std::collections::BTreeMap;

use rmcp::ErrorData;
use rmcp::model::InputRequests;
use serde_json::Value;

use super::questions::{misfit, request_of};
use crate::tools::Question;

/// Questions of a call. Their answers come with the next call.
pub(super) struct Rounds {
    /// The answers that the client has sent, with this call and before.
    answers: BTreeMap<String, Value>,
    /// Those of them that the function has asked for. The client keeps no others for the next call.
    pub(super) used: BTreeMap<String, Value>,
    pub(super) asked: InputRequests,
    /// The function waits as long as these exist.
    pub(super) unanswered: Vec<Question>,
}

impl Rounds {
    pub(super) fn new(answers: BTreeMap<String, Value>) -> Self {
        Self {
            answers,
            used: BTreeMap::new(),
            asked: InputRequests::new(),
            unanswered: Vec::new(),
        }
    }

    pub(super) fn take(&mut self, question: Question) -> Result<(), ErrorData> {
        let key = question.key.clone();
        if let Some(answer) = self.answers.get(&key) {
            if let Some(why) = misfit(question.check, answer) {
                let message = format!("the answer to `{key}` does not fit: {why}");
                return Err(ErrorData::invalid_params(message, None));
            }
            self.used.insert(key, answer.clone());
            // The function may have stopped to wait.
            let _ = question.reply.send(Ok(answer.clone()));
            return Ok(());
        }
        self.forget_dropped();
        let request = match self.asked.contains_key(&key) {
            true => Err(format!("two questions have the key `{key}`")),
            false => request_of(&question),
        };
        match request {
            Ok(request) => {
                self.asked.insert(key, request);
                self.unanswered.push(question);
            }
            Err(why) => {
                let _ = question.reply.send(Err(why));
            }
        }
        Ok(())
    }

    pub(super) fn waits(&mut self) -> bool {
        self.forget_dropped();
        !self.asked.is_empty()
    }

    /// Takes back the questions that the function does not wait for any more.
    fn forget_dropped(&mut self) {
        let asked = &mut self.asked;
        self.unanswered.retain(|question| {
            let waits = !question.reply.is_closed();
            if !waits {
                asked.remove(&question.key);
            }
            waits
        });
    }
}
