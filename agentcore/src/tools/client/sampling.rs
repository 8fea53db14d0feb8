//! Questions to the model of a client: [`Sampling`] and [`Sampled`].

use serde_json::{Map, Value, json};

/// A question to the model of a client; see [`Client::sample`](super::Client::sample).
///
/// ```
/// use agentcore::tool::Sampling;
///
/// let sampling = Sampling::new(100).system("Answer in one word.").user("What is the capital of France?").temperature(0.2);
/// # let _ = sampling;
/// ```
#[derive(Clone, Debug)]
pub struct Sampling {
    messages: Vec<Value>,
    others: Map<String, Value>,
}

impl Sampling {
    /// A question whose answer has at most `max_tokens` tokens.
    #[must_use]
    pub fn new(max_tokens: u32) -> Self {
        Self {
            messages: Vec::new(),
            others: Map::from_iter([("maxTokens".to_owned(), max_tokens.into())]),
        }
    }

    /// Adds what the user says.
    #[must_use]
    pub fn user(self, text: impl Into<String>) -> Self {
        self.said("user", &text.into())
    }

    /// Adds what the assistant says.
    #[must_use]
    pub fn assistant(self, text: impl Into<String>) -> Self {
        self.said("assistant", &text.into())
    }

    fn said(mut self, role: &str, text: &str) -> Self {
        let content = json!({ "type": "text", "text": text });
        self.messages
            .push(json!({ "role": role, "content": content }));
        self
    }

    /// The instructions of the model.
    #[must_use]
    pub fn system(mut self, text: impl Into<String>) -> Self {
        self.others
            .insert("systemPrompt".to_owned(), text.into().into());
        self
    }

    /// How freely the model chooses, from 0.
    #[must_use]
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.others
            .insert("temperature".to_owned(), temperature.into());
        self
    }

    pub(super) fn into_params(self) -> Value {
        let mut params = self.others;
        params.insert("messages".to_owned(), self.messages.into());
        params.into()
    }
}

/// The answer of a client's model.
///
/// ```
/// use agentcore::tool::{Client, ClientError, Sampling};
///
/// async fn capital(client: &Client, country: &str) -> Result<String, ClientError> {
///     let question = Sampling::new(100).user(format!("What is the capital of {country}?"));
///     let answer = client.sample("capital", question).await?;
///     Ok(format!("{} ({})", answer.text(), answer.model()))
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Sampled {
    text: String,
    model: String,
    stop_reason: Option<String>,
}

impl Sampled {
    /// Its texts, one behind the other. Images and sounds are left out.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name of the model.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Why the model has stopped, such as `endTurn` or `maxTokens`, if the client says so.
    #[must_use]
    pub fn stop_reason(&self) -> Option<&str> {
        self.stop_reason.as_deref()
    }

    pub(super) fn check(answer: &Value) -> Result<(), String> {
        Self::read(answer).map(|_| ())
    }

    pub(super) fn read(answer: &Value) -> Result<Self, String> {
        let said = |key: &str| answer.get(key)?.as_str().map(ToOwned::to_owned);
        let blocks = match answer.get("content") {
            Some(Value::Array(blocks)) => &blocks[..],
            Some(block @ Value::Object(_)) => std::slice::from_ref(block),
            _ => return Err("`content` is missing".to_owned()),
        };
        let texts = blocks
            .iter()
            .filter_map(|block| block.get("text")?.as_str());
        Ok(Self {
            text: texts.collect(),
            model: said("model").ok_or("`model` is missing")?,
            stop_reason: said("stopReason"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_the_keys_of_the_protocol() {
        let sampling = Sampling::new(9)
            .system("be brief")
            .user("a")
            .assistant("b")
            .temperature(0.5);
        let expected = json!({
            "maxTokens": 9,
            "systemPrompt": "be brief",
            "temperature": 0.5,
            "messages": [
                { "role": "user", "content": { "type": "text", "text": "a" } },
                { "role": "assistant", "content": { "type": "text", "text": "b" } },
            ],
        });
        assert_eq!(sampling.into_params(), expected);
    }

    #[test]
    fn an_answer_has_one_block_or_several() {
        let text = |text: &str| json!({ "type": "text", "text": text });
        let one = json!({ "role": "assistant", "content": text("Paris"), "model": "m", "stopReason": "endTurn" });
        let one = Sampled::read(&one).expect("an answer");
        assert_eq!(
            (one.text(), one.model(), one.stop_reason()),
            ("Paris", "m", Some("endTurn"))
        );
        let two =
            json!({ "content": [text("Pa"), { "type": "image" }, text("ris")], "model": "m" });
        assert_eq!(Sampled::read(&two).expect("an answer").text(), "Paris");
        for wrong in [json!(3), json!({ "model": "m" }), json!({ "content": [] })] {
            assert!(Sampled::check(&wrong).is_err(), "{wrong}");
        }
    }
}
