//! The macros of `agentcore`; use them through that crate.
//!
//! `stream!` and `try_stream!` are in `generator`; `agentcore` has the macros of these names, which know its path. Each attribute
//! takes these steps: `args` and `item` parse, `validate` checks and makes a `model`, `expand` emits code. Everything but the
//! functions below works on `proc_macro2` and is tested without a compiler.
//!
//! Their documentation is in `docs/`. Its examples need `agentcore`, so they are compiled as tests of that crate.

mod args;
mod cfgs;
mod errors;
mod expand;
mod generator;
mod item;
mod model;
mod paths;
mod role;
mod signature;
mod validate;
mod yields;

#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

#[doc = include_str!("../docs/entrypoint.md")]
#[proc_macro_attribute]
pub fn entrypoint(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::entrypoint(args.into(), item.into()).into()
}

#[doc = include_str!("../docs/async_task.md")]
#[cfg_attr(feature = "durable", doc = include_str!("../docs/durable_task.md"))]
#[proc_macro_attribute]
pub fn async_task(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::async_task(args.into(), item.into()).into()
}

#[doc = include_str!("../docs/step.md")]
#[proc_macro_attribute]
pub fn step(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::step(args.into(), item.into()).into()
}

/// The attribute `step` of `agentcore` without the feature `durable`.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn step_without_feature(_: TokenStream, item: TokenStream) -> TokenStream {
    expand::without_feature(&role::STEP, "`durable` feature", item.into()).into()
}

#[doc = include_str!("../docs/ping.md")]
#[proc_macro_attribute]
pub fn ping(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::ping(args.into(), item.into()).into()
}

#[doc = include_str!("../docs/on_start.md")]
#[proc_macro_attribute]
pub fn on_start(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::on_start(args.into(), item.into()).into()
}

#[doc = include_str!("../docs/on_shutdown.md")]
#[proc_macro_attribute]
pub fn on_shutdown(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::on_shutdown(args.into(), item.into()).into()
}

#[doc = include_str!("../docs/on_warmup.md")]
#[proc_macro_attribute]
pub fn on_warmup(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::on_warmup(args.into(), item.into()).into()
}

#[doc = include_str!("../docs/on_restore.md")]
#[proc_macro_attribute]
pub fn on_restore(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::on_restore(args.into(), item.into()).into()
}

#[doc = include_str!("../docs/websocket.md")]
#[proc_macro_attribute]
pub fn websocket(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::websocket(args.into(), item.into()).into()
}

#[doc = include_str!("../docs/routes.md")]
#[proc_macro_attribute]
pub fn routes(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::routes(args.into(), item.into()).into()
}

/// The attribute `websocket` of `agentcore` without the feature `ws`.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn websocket_without_feature(_: TokenStream, item: TokenStream) -> TokenStream {
    expand::without_feature(&role::WEBSOCKET, "`ws` feature", item.into()).into()
}

#[doc = include_str!("../docs/tool.md")]
#[proc_macro_attribute]
pub fn tool(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::tool(args.into(), item.into()).into()
}

/// What `agentcore` calls `tool` when its feature `schema` is off.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn tool_without_feature(_: TokenStream, item: TokenStream) -> TokenStream {
    expand::without_feature(&role::TOOL, "feature `schema`", item.into()).into()
}

#[doc = include_str!("../docs/resource.md")]
#[proc_macro_attribute]
pub fn resource(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::resource(args.into(), item.into()).into()
}

/// What `agentcore` calls `resource` when its feature `mcp` is off.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn resource_without_feature(_: TokenStream, item: TokenStream) -> TokenStream {
    expand::without_feature(&role::RESOURCE, "feature `mcp`", item.into()).into()
}

#[doc = include_str!("../docs/prompt.md")]
#[proc_macro_attribute]
pub fn prompt(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::prompt(args.into(), item.into()).into()
}

/// What `agentcore` calls `prompt` when its feature `mcp` is off.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn prompt_without_feature(_: TokenStream, item: TokenStream) -> TokenStream {
    expand::without_feature(&role::PROMPT, "feature `mcp`", item.into()).into()
}

/// What `agentcore::stream!` expands to: `(path of agentcore) body`.
#[doc(hidden)]
#[proc_macro]
pub fn __stream(input: TokenStream) -> TokenStream {
    generator::expand(generator::Kind::Stream, input.into()).into()
}

/// What `agentcore::try_stream!` expands to: `(path of agentcore) body`.
#[doc(hidden)]
#[proc_macro]
pub fn __try_stream(input: TokenStream) -> TokenStream {
    generator::expand(generator::Kind::TryStream, input.into()).into()
}
