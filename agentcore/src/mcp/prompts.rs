//! Prompts, as `rmcp` lists them and gives them out.

use rmcp::model::{GetPromptResult, Prompt, PromptArgument, PromptMessage, Role};

use super::outcome::block_of;
use crate::tools::{Content, Registered, ToolSet};

/// All prompts, in the order of their names.
pub(super) fn listed(prompts: &ToolSet) -> Vec<Prompt> {
    prompts.iter().map(|prompt| of(prompt)).collect()
}

fn of(prompt: &Registered) -> Prompt {
    let arguments = prompt.arguments.iter().map(|argument| {
        let listed = PromptArgument::new(argument.name).with_required(argument.is_required);
        match argument.description {
            "" => listed,
            description => listed.with_description(description),
        }
    });
    let description = (!prompt.description.is_empty()).then(|| prompt.description.to_string());
    let mut listed = Prompt::new(prompt.name(), description, Some(arguments.collect()));
    listed.title = prompt.title.as_ref().map(ToString::to_string);
    listed
}

/// Each block is a message.
pub(super) fn result(prompt: &Registered, content: Content) -> GetPromptResult {
    let messages = content.into_said().into_iter();
    let messages = messages.filter_map(|(block, by_assistant)| {
        let role = if by_assistant {
            Role::Assistant
        } else {
            Role::User
        };
        Some(PromptMessage::new(role, block_of(block)?))
    });
    let result = GetPromptResult::new(messages.collect());
    match prompt.description.is_empty() {
        true => result,
        false => result.with_description(prompt.description.clone()),
    }
}
