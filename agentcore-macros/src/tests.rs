//! Tests of the expansions on `proc_macro2` tokens: they need no compiler, so they are quick and work under any version.
//!
//! `tests/ui` of the workspace records what the compiler makes of the expansions. After a change, rewrite these files and
//! strings, and review them like other code:
//!
//! ```text
//! UPDATE_EXPECT=1 cargo test -p agentcore-macros
//! ```

mod errors;
mod expansion;
mod offers;

use proc_macro2::{TokenStream, TokenTree};

use crate::expand;

/// Expands `source`: one of the attributes on an item, written as in a program.
fn expand(source: &str) -> TokenStream {
    let mut tokens = source.parse::<TokenStream>().expect("tokens").into_iter();
    let (Some(_), Some(TokenTree::Group(attribute))) = (tokens.next(), tokens.next()) else {
        panic!("`{source}` does not begin with an attribute")
    };
    let mut attribute = attribute.stream().into_iter();
    let name = attribute.next().expect("a name").to_string();
    let args = match attribute.next() {
        Some(TokenTree::Group(args)) => args.stream(),
        _ => TokenStream::new(),
    };
    let expand = match name.as_str() {
        "entrypoint" => expand::entrypoint,
        "async_task" => expand::async_task,
        "ping" => expand::ping,
        "step" => expand::step,
        "on_start" => expand::on_start,
        "on_shutdown" => expand::on_shutdown,
        "on_warmup" => expand::on_warmup,
        "on_restore" => expand::on_restore,
        "websocket" => expand::websocket,
        "routes" => expand::routes,
        "tool" => expand::tool,
        "resource" => expand::resource,
        "prompt" => expand::prompt,
        _ => panic!("`{name}` is none of our attributes"),
    };
    expand(args, tokens.collect())
}

/// All tokens, including those in groups.
fn flatten(tokens: TokenStream) -> Vec<TokenTree> {
    tokens
        .into_iter()
        .flat_map(|token| match token {
            TokenTree::Group(group) => flatten(group.stream()),
            token => vec![token],
        })
        .collect()
}
