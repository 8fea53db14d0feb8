//! [`Messages`]: a prompt of several messages.

use serde_core::{Serialize, Serializer};

use super::content::Content;

/// The messages of a [`prompt`](macro@crate::prompt), each said by the user or by the assistant.
///
/// A prompt that returns a text, or a [`Content`], needs no `Messages`: the user says all of it.
///
/// ```
/// use agentcore::prompt;
/// use agentcore::tool::{Content, Messages};
///
/// /// Continues a conversation about a picture.
/// #[prompt]
/// fn describe(png: String) -> Messages {
///     Messages::new()
///         .user("What do you see?")
///         .user(Content::new().image("image/png", png.into_bytes()))
///         .assistant("I see a lake, and")
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Messages(pub(super) Content);

impl Messages {
    /// No message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text, or the blocks of a [`Content`], that the user says. Each block is a message. Data is left out.
    #[must_use]
    pub fn user(mut self, said: impl Into<Content>) -> Self {
        self.0.append(said.into(), false);
        self
    }

    /// Adds a text, or the blocks of a [`Content`], that the assistant says. Each block is a message. Data is left out.
    #[must_use]
    pub fn assistant(mut self, said: impl Into<Content>) -> Self {
        self.0.append(said.into(), true);
        self
    }
}

impl Serialize for Messages {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
