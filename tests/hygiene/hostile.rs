//! A module without a prelude in which every name that an expansion could use means something else.

#![no_implicit_prelude]
#![allow(
    dead_code,
    non_camel_case_types,
    unused_macros,
    reason = "nobody is meant to step into these traps"
)]
#![allow(
    clippy::unnecessary_wraps,
    clippy::unused_async,
    clippy::wrong_self_convention,
    reason = "nothing happens here"
)]

struct Result;
struct Option;
struct Box;
struct String;
struct Duration;
struct Response;
struct Probe;
struct Opening;
struct WebSocket;
struct str;
struct bool;
struct u64;
trait Send {}
trait Sync {}
trait Future {}
trait IntoResponse {}
fn drop() {}
fn main() {}
#[allow(non_snake_case)]
fn Ok() {}
#[allow(non_snake_case)]
fn Err() {}
mod core {}
mod std {}
mod agentcore {}
mod inventory {}
mod serde {}

macro_rules! panic {
    ($($any:tt)*) => {
        ::core::compile_error!("an expansion called the user's macro")
    };
}
macro_rules! assert {
    ($($any:tt)*) => {
        ::core::compile_error!("an expansion called the user's macro")
    };
}
macro_rules! file {
    ($($any:tt)*) => {
        ::core::compile_error!("an expansion called the user's macro")
    };
}
macro_rules! line {
    ($($any:tt)*) => {
        ::core::compile_error!("an expansion called the user's macro")
    };
}
macro_rules! module_path {
    ($($any:tt)*) => {
        ::core::compile_error!("an expansion called the user's macro")
    };
}

/// Methods on all types, with names that an expansion might call.
trait Everything {
    fn call(&self) {}
    fn open(&self) {}
    fn of(&self) {}
    fn requires(&self) {}
    fn provides(&self) {}
    fn timeout(&self) {}
    fn idle_timeout(&self) {}
    fn cancel_on_disconnect(&self) {}
    fn into_response(&self) {}
    fn into_future(&self) {}
    fn into(&self) {}
    fn from(&self) {}
    fn clone(&self) {}
    fn unwrap_or_else(&self) {}
    fn map_err(&self) {}
}

impl<T: ?::core::marker::Sized> Everything for T {}

/// A type with the name of one of the library's, as argument and result. Derived where serde is in scope.
use super::payload::Invocation;

#[::agentcore::entrypoint(
    main = false,
    timeout = "90s",
    idle_timeout = "30s",
    on_disconnect = "cancel"
)]
async fn entrypoint(
    headers: ::agentcore::HeaderMap,
    __agentcore_invocation: Invocation,
    _: ::agentcore::Bytes,
) -> ::core::result::Result<Invocation, ::agentcore::BoxError> {
    let _ = headers;
    ::core::result::Result::Ok(__agentcore_invocation)
}

#[::agentcore::entrypoint(main = false)]
fn sync_entrypoint(
    value: ::std::vec::Vec<::core::primitive::u64>,
) -> ::std::vec::Vec<::core::primitive::u64> {
    value
}

/// Documented.
#[::agentcore::tool(
    title = "A tool",
    read_only,
    destructive = false,
    timeout = "90s",
    task = "auto"
)]
async fn tool(
    /// Documented.
    __agentcore_call: ::std::string::String,
    #[default(3)] __agentcore_description: ::core::primitive::u64,
    #[default] __agentcore_probe: ::core::option::Option<::core::primitive::u64>,
    headers: ::agentcore::HeaderMap,
) -> ::core::result::Result<::core::primitive::u64, ::agentcore::BoxError> {
    let _ = (__agentcore_call, __agentcore_probe, headers);
    ::core::result::Result::Ok(__agentcore_description)
}

#[::agentcore::tool(schema = "tool.json")]
fn sync_tool(__agentcore_tuple: Invocation) -> Invocation {
    __agentcore_tuple
}

#[::agentcore::entrypoint(schema, main = false)]
async fn described(
    text: ::std::string::String,
) -> impl ::futures_core::Stream<Item = ::core::primitive::u64> {
    let _ = text;
    stream()
}

#[::agentcore::async_task]
async fn task(
    __agentcore_guard: &::core::primitive::str,
    (left, ()): (::core::primitive::u64, ()),
) -> ::core::primitive::u64 {
    let _ = __agentcore_guard;
    left
}

#[::agentcore::async_task(timeout = "1s")]
async fn limited() -> ::core::result::Result<Result, ::agentcore::TimedOut> {
    ::core::result::Result::Ok(Result)
}

trait Work {
    fn work(&self) -> impl ::core::future::Future<Output = Option>;
}

impl Work for Invocation {
    #[::agentcore::async_task]
    async fn work(&self) -> Option {
        let _ = &self.text;
        Option
    }
}

#[::agentcore::ping]
async fn ping(
    __agentcore_call: ::agentcore::PingStatus,
    __agentcore_requirements: ::agentcore::State<Response>,
) -> ::agentcore::PingStatus {
    let _ = __agentcore_requirements;
    __agentcore_call
}

#[::agentcore::websocket]
async fn websocket(
    headers: ::agentcore::HeaderMap,
    __agentcore_opening: ::agentcore::WebSocket,
) -> ::core::result::Result<(), ::agentcore::BoxError> {
    let _ = (headers, __agentcore_opening);
    ::core::result::Result::Ok(())
}

#[::agentcore::on_start]
fn start() -> ::core::result::Result<Response, ::agentcore::BoxError> {
    ::core::result::Result::Ok(Response)
}

#[::agentcore::on_shutdown]
async fn shutdown(__agentcore_call: ::agentcore::State<Response>) {
    let _ = __agentcore_call;
}

#[::agentcore::on_warmup(timeout = "1s")]
fn warm_up(
    __agentcore_call: ::agentcore::State<Response>,
) -> ::core::result::Result<(), ::agentcore::BoxError> {
    let _ = __agentcore_call;
    ::core::result::Result::Ok(())
}

#[::agentcore::on_restore(timeout = "1s")]
async fn restore(__agentcore_call: ::agentcore::State<Response>) {
    let _ = __agentcore_call;
}

#[::agentcore::routes(idle = ["/health"], timeout = "10s")]
async fn routes(
    __agentcore_call: ::agentcore::State<Response>,
) -> ::core::result::Result<::axum::Router, ::agentcore::BoxError> {
    let _ = __agentcore_call;
    ::core::result::Result::Ok(::axum::Router::new())
}

fn stream() -> impl ::futures_core::Stream<Item = ::core::primitive::u64> {
    ::agentcore::stream! {
        let __agentcore_yielder = 1;
        yield __agentcore_yielder;
    }
}

fn try_stream()
-> impl ::futures_core::Stream<Item = ::core::result::Result<Result, ::agentcore::BoxError>> {
    ::agentcore::try_stream! {
        let _ = stream();
        yield Result;
    }
}
