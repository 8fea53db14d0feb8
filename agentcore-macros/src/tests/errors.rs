//! The errors for wrong items, and their places.

use expect_test::{Expect, expect};
use proc_macro2::{Group, TokenStream, TokenTree};

use super::{expand, flatten};

/// Compares the errors with `expected`: the underlined text and the message of each. The UI tests check the help.
pub(super) fn check(source: &str, expected: &Expect) {
    let errors: String = compile_errors(expand(source))
        .into_iter()
        .map(|(place, message)| {
            format!(
                "{place}\n    {}\n",
                message.lines().next().unwrap_or_default()
            )
        })
        .collect();
    expected.assert_eq(&errors);
}

/// The place and the text of each `::core::compile_error! { "text" }` at the top level.
pub(super) fn compile_errors(tokens: TokenStream) -> Vec<(String, String)> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is_error = |window: &&[TokenTree]| matches!(&window[5], TokenTree::Ident(name) if name == "compile_error");
    let errors = tokens.windows(8).filter(is_error);
    errors
        .map(|window| {
            let TokenTree::Group(text) = &window[7] else {
                panic!("no text in {window:?}")
            };
            let underlined = window[0]
                .span()
                .join(text.span())
                .and_then(|span| span.source_text());
            (
                underlined.unwrap_or_else(|| "the attribute".to_owned()),
                text_of(text),
            )
        })
        .collect()
}

fn text_of(group: &Group) -> String {
    syn::parse2::<syn::LitStr>(group.stream())
        .expect("a string")
        .value()
}

fn emits(source: &str, name: &str) -> bool {
    flatten(expand(source))
        .iter()
        .any(|token| matches!(token, TokenTree::Ident(ident) if ident == name))
}

#[test]
fn every_wrong_argument_is_reported() {
    check(
        r#"#[entrypoint("x", nam = "a", name, name = 3, main = "no", flags = 1, timeout = 5, on_disconnect = "maybe", crate = 1 + 1,,)]
        async fn handler() {}"#,
        &expect![[r#"
            ,
                expected `key = value`, for example `name = "chat"`
            "x"
                expected `key = value`, for example `name = "chat"`
            nam
                unknown argument `nam`; expected one of: `name`, `main`, `flags`, `timeout`, `idle_timeout`, `on_disconnect`, `schema`, `crate`
            name
                expected `key = value`, for example `name = "chat"`
            3
                `name` takes a string literal, for example `name = "chat"`
            "no"
                `main` takes `true` or `false`
            1
                `flags` takes `true` or `false`
            5
                `timeout` needs a unit; write `timeout = "5s"` for seconds
            "maybe"
                `on_disconnect` takes `"finish"` or `"cancel"`
            1 + 1
                `crate` takes a path, for example `crate = ::agentcore`
        "#]],
    );
}

#[test]
fn a_key_is_taken_once() {
    check(
        "#[async_task(name = \"a\", timeout = \"1s\", name = \"b\")] async fn task() -> R {}",
        &expect![[r#"
        name
            duplicate `name` argument
    "#]],
    );
}

#[test]
fn flags_without_a_main_would_be_for_nothing() {
    check(
        "#[entrypoint(flags = false, main = false)] async fn handler() {}",
        &expect![[r#"
            flags
                `flags` applies to the generated `main`; in a `main` of your own, use `App::flags`
        "#]],
    );
}

#[test]
fn near_misses_are_recognised() {
    for (typed, meant) in [
        ("nmae", "name"),
        ("timeuot", "timeout"),
        ("idle_timout", "idle_timeout"),
        ("krate", "crate"),
        ("on_disconect", "on_disconnect"),
    ] {
        let errors = compile_errors(expand(&format!(
            "#[entrypoint({typed} = 1)] fn handler() {{}}"
        )));
        assert!(
            errors[0]
                .1
                .ends_with(&format!("help: did you mean `{meant}`?")),
            "{errors:?}"
        );
    }
    for typed in ["retries", "mode", "safe", "flow", "limit"] {
        let errors = compile_errors(expand(&format!(
            "#[entrypoint({typed} = 1)] fn handler() {{}}"
        )));
        assert!(!errors[0].1.contains("did you mean"), "{errors:?}");
    }
}

#[test]
fn an_argument_of_another_attribute_is_told_where_it_belongs() {
    for (source, owners) in [
        (
            "#[async_task(main = false)] async fn task() {}",
            "`main` is an argument of `#[agentcore::entrypoint]`",
        ),
        (
            "#[ping(name = \"health\")] fn health() -> PingStatus {}",
            "`name` is an argument of `#[agentcore::entrypoint]`, `#[agentcore::async_task]`, `#[agentcore::step]`, `#[agentcore::tool]`, `#[agentcore::resource]`, `#[agentcore::prompt]`",
        ),
    ] {
        let errors = compile_errors(expand(source));
        assert!(errors[0].1.ends_with(owners), "{errors:?}");
    }
}

#[test]
fn durations_are_checked() {
    for (timeout, problem) in [
        (
            "",
            "`timeout` is not a duration\n\nhelp: write a number and its unit",
        ),
        (
            "90",
            "`timeout` needs a unit; write `timeout = \"90s\"` for seconds",
        ),
        (
            "-1s",
            "`timeout` is not a duration\n\nhelp: write a number and its unit",
        ),
        (
            "soon",
            "for example `timeout = \"90s\"` or `timeout = \"1h 30m\"`",
        ),
        (
            "90 parsecs",
            "`timeout` is not a duration: `parsecs` is not a unit of time",
        ),
        ("99999999999999999999s", "the number is too large"),
    ] {
        let errors = compile_errors(expand(&format!(
            "#[on_start(timeout = \"{timeout}\")] fn hook() {{}}"
        )));
        let [(place, message)] = &errors[..] else {
            panic!("{timeout}: {errors:?}")
        };
        assert_eq!(*place, format!("\"{timeout}\""));
        assert!(message.contains(problem), "{message}");
    }
    check(
        "#[async_task(timeout = \"0s\")] async fn task() -> R {}",
        &expect![[r#"
        "0s"
            `timeout` cannot be zero
    "#]],
    );
    check(
        "#[entrypoint(main = false, timeout = \"1s\", idle_timeout = 30)] async fn handler() {}",
        &expect![[r#"
        30
            `idle_timeout` needs a unit; write `idle_timeout = "30s"` for seconds
    "#]],
    );
}

#[test]
fn every_wrong_piece_of_a_signature_is_reported() {
    check(
        "#[entrypoint]
        const unsafe extern \"C\" fn main<'a, T>(&self, a: &'a str, (b, c): (&[u8], Cow<'a, str>), d: impl Send, ...) -> ! {}",
        &expect![[r#"
            const
                an entrypoint cannot be `const`
            unsafe
                an entrypoint cannot be `unsafe`
            extern "C"
                an entrypoint cannot be `extern`
            ...
                an entrypoint cannot be variadic
            &self
                an entrypoint must be a free function; it has no `self` to be called on
            <'a, T>
                an entrypoint cannot be generic: the server needs one concrete function
            main
                the entrypoint generates `main`; give this function another name, such as `handler`, or set `main = false` and start the server yourself
            &'a str
                handler arguments are owned: take `String` instead of a reference
            &[u8]
                handler arguments are owned: take `Vec<u8>` instead of a reference
            (&[u8], Cow<'a, str>)
                handler arguments are owned: take a type without lifetimes
            impl Send
                handler arguments need a concrete type; name the type that the JSON body decodes to
            !
                an entrypoint cannot return `!`; every invocation needs a reply
        "#]],
    );
}

#[test]
fn what_is_static_is_owned() {
    check(
        "#[entrypoint] fn handler(a: Cow<'static, str>, b: &'static Config, c: fn(&str)) {}",
        &expect![[""]],
    );
}

#[test]
fn owned_forms_are_spelled_out() {
    check(
        "#[entrypoint] fn handler(a: &str, b: &mut [Vec<u8>], c: Option<&dyn Model>, d: &BTreeMap<String, [u8; 4]>) {}",
        &expect![[r#"
            &str
                handler arguments are owned: take `String` instead of a reference
            &mut [Vec<u8>]
                handler arguments are owned: take `Vec<Vec<u8>>` instead of a reference
            &dyn Model
                handler arguments are owned: take a value of a concrete type instead of a reference
            &BTreeMap<String, [u8; 4]>
                handler arguments are owned: take `BTreeMap<String, [u8; 4]>` instead of a reference
        "#]],
    );
}

#[test]
fn a_hook_takes_state_whatever_it_borrows() {
    check(
        "#[on_restore] fn renew(context: &RequestContext, pool: &State<Pool>, other: &'static crate::Pool) {}",
        &expect![[r#"
            &RequestContext
                a restore hook takes shared state by value: `State<Database>`
            &State<Pool>
                handler arguments are owned: take `State<Pool>` instead of a reference
            &'static crate::Pool
                a restore hook takes shared state by value: `State<Database>`
        "#]],
    );
    check(
        "#[ping] fn health(automatic: &PingStatus, pool: &mut Pool) -> PingStatus {}",
        &expect![[r#"
            &PingStatus
                handler arguments are owned: take `PingStatus` instead of a reference
            &mut Pool
                a ping handler takes shared state by value: `State<Database>`
        "#]],
    );
}

#[test]
fn a_where_clause_is_generic_too() {
    check(
        "#[ping] fn health() -> PingStatus where String: Clone {}",
        &expect![[r#"
        where String: Clone
            a ping handler cannot be generic: the server needs one concrete function
    "#]],
    );
}

#[test]
fn items_of_other_kinds_are_named_by_what_would_fit() {
    check(
        "#[entrypoint] struct Handler;",
        &expect![[r#"
        the attribute
            `#[agentcore::entrypoint]` can only be applied to a free `fn` or `async fn`
    "#]],
    );
    check(
        "#[async_task] impl Worker {}",
        &expect![[r#"
        the attribute
            `#[agentcore::async_task]` can only be applied to an `async fn`
    "#]],
    );
    check(
        "#[ping] use crate::health;",
        &expect![[r#"
        the attribute
            `#[agentcore::ping]` can only be applied to a free `fn` or `async fn`
    "#]],
    );
}

/// rustc has reported the first of these, and might accept something like the second in some version.
#[test]
fn an_odd_signature_is_reported_once() {
    let source = "#[on_start] pub async fn connect(address String) {}";
    check(source, &expect![""]);
    assert!(!emits(source, "inventory"));
    let errors = compile_errors(expand(
        "#[on_start] pub async fn connect(address: String) -> {}",
    ));
    assert_eq!(errors.len(), 1, "{errors:?}");
}

/// Every result has the type of the message, so that rustc reports nothing else about types.
#[test]
fn a_yield_in_the_body_is_reported() {
    for (attribute, instead) in [
        (
            "entrypoint",
            "an entrypoint cannot `yield`: write the code in `agentcore::stream!`",
        ),
        (
            "async_task",
            "a tracked task cannot `yield`: it returns one value",
        ),
        (
            "ping",
            "a ping handler cannot `yield`: it returns one `agentcore::PingStatus`",
        ),
        (
            "on_start",
            "a start hook cannot `yield`: it returns one value",
        ),
        (
            "on_shutdown",
            "a shutdown hook cannot `yield`: it returns `()`",
        ),
        (
            "on_warmup",
            "a warm-up hook cannot `yield`: it returns `()`",
        ),
        (
            "on_restore",
            "a restore hook cannot `yield`: it returns `()`",
        ),
        (
            "websocket",
            "a websocket handler cannot `yield`: it sends each message",
        ),
        (
            "routes",
            "a function that makes routes cannot `yield`: it returns one service",
        ),
    ] {
        let expansion = expand(&format!(
            "#[{attribute}] async fn name(socket: WebSocket) -> PingStatus {{ loop {{ yield f(); }} }}"
        ))
        .to_string();
        assert!(
            expansion.contains("{ let __agentcore_error = :: core :: compile_error !"),
            "{expansion}"
        );
        assert!(expansion.contains(instead), "{expansion}");
        assert!(
            expansion.contains("let _ = async move { if false { return __agentcore_error ; }"),
            "{expansion}"
        );
        assert!(
            expansion
                .contains("loop { return __agentcore_error & f () ; } } ; __agentcore_error }"),
            "{expansion}"
        );
        assert!(!expansion.contains("inventory"), "{expansion}");
    }
    let expansion = expand("#[ping] fn name() -> PingStatus { yield 1; }").to_string();
    assert!(
        expansion.contains("let _ = move || { if false"),
        "{expansion}"
    );
    let expansion = expand("#[entrypoint] async fn name() -> S { stream! { yield 1; } }");
    assert!(!expansion.to_string().contains("compile_error"));
}

/// The conditions below an attribute hold for everything that it emits.
#[test]
fn conditions_are_repeated() {
    for source in [
        "#[entrypoint] #[cfg(a)] async fn name() {}",
        "#[entrypoint(main = false)] #[cfg_attr(b, cfg(a), inline)] async fn name() {}",
        "#[websocket] #[cfg(a)] async fn name(socket: WebSocket) {}",
        "#[ping] #[cfg(a)] fn name() -> PingStatus {}",
        "#[on_start] #[cfg(a)] fn name() {}",
        "#[on_shutdown] #[cfg(a)] fn name() {}",
        "#[on_warmup] #[cfg(a)] fn name() {}",
        "#[on_restore] #[cfg(a)] fn name() {}",
        "#[async_task] #[cfg(a)] async fn name() {}",
        // An item with a mistake.
        "#[entrypoint(nam = 1)] #[cfg(a)] async fn name() {}",
        "#[ping(nam = 1)] #[cfg(a)] fn name() -> PingStatus {}",
    ] {
        let file: syn::File = syn::parse2(expand(source)).expect("items");
        for item in file.items {
            let item = quote::quote!(#item).to_string();
            assert!(item.contains("cfg (a)"), "{source}: {item}");
            assert!(item.matches("inline").count() <= 1, "{source}: {item}");
        }
    }
}

#[test]
fn tasks() {
    check(
        "#[async_task] fn task();",
        &expect![[r#"
            task
                put `#[agentcore::async_task]` on the implementation, not on the declaration
            fn
                `#[agentcore::async_task]` tracks a future, so the function must be `async`; put blocking code into `tokio::task::spawn_blocking` inside it
        "#]],
    );
    check(
        "#[async_task(timeout = \"1s\")] async fn task() {}",
        &expect![[r#"
        task
            a task with a `timeout` returns a `Result`, whose error type can be made from `TimedOut`; for example `Result<(), agentcore::TimedOut>`
    "#]],
    );
    check(
        "#[async_task] async fn task() -> ! {}",
        &expect![[r#"
        !
            a tracked task cannot return `!`; return `()` or `Infallible`
    "#]],
    );
}

#[test]
fn websockets() {
    check(
        "#[websocket(name = \"chat\")] fn chat() -> ! {}",
        &expect![[r#"
            name
                unknown argument `name`; expected `crate`
            fn
                a websocket handler waits for messages, so the function must be `async`
            ()
                a websocket handler takes the socket: `socket: agentcore::WebSocket`
            !
                a websocket handler cannot return `!`; the socket is closed when it has returned
        "#]],
    );
    check(
        "#[websocket] async fn chat<T>(&self, a: &mut WebSocket, b: &agentcore::WebSocket, c: &str, d: impl Send) {}",
        &expect![[r#"
            &self
                a websocket handler must be a free function; it has no `self` to be called on
            <T>
                a websocket handler cannot be generic: the server needs one concrete function
            &mut WebSocket
                take the socket by value: `socket: WebSocket`
            &agentcore::WebSocket
                take the socket by value: `socket: WebSocket`
            &str
                handler arguments are owned: take `String` instead of a reference
            impl Send
                handler arguments need a concrete type; name a type that implements `agentcore::FromInvocation`
        "#]],
    );
    let errors = compile_errors(crate::expand::without_feature(
        &crate::role::WEBSOCKET,
        "`ws` feature",
        "async fn chat(socket: WebSocket) {}"
            .parse()
            .expect("tokens"),
    ));
    let [(_, message)] = &errors[..] else {
        panic!("{errors:?}")
    };
    assert_eq!(
        message,
        "`#[agentcore::websocket]` needs the `ws` feature of `agentcore`"
    );
}

#[test]
fn hooks() {
    check(
        "#[ping] const fn health(&self) {}",
        &expect![[r#"
        const
            a ping handler cannot be `const`
        &self
            a ping handler must be a free function; it has no `self` to be called on
        health
            a ping handler must return `agentcore::PingStatus`
    "#]],
    );
    check(
        "#[on_start] fn connect(address: String) -> impl Pool {}",
        &expect![[r#"
        impl Pool
            the value that a start hook returns is found by its type, so it needs a concrete type
    "#]],
    );
    check(
        "#[on_shutdown(timeout = \"1s\")] async fn flush<T>(all: bool) -> !;",
        &expect![[r#"
        timeout
            unknown argument `timeout`; expected `crate`
        flush
            a shutdown hook needs a body
        <T>
            a shutdown hook cannot be generic: the server needs one concrete function
        !
            a shutdown hook cannot return `!`; the server stops when it has returned
    "#]],
    );
}

#[test]
fn attributes_that_cannot_stand_together() {
    check(
        "#[entrypoint] #[tokio::main] #[agentcore::entrypoint] #[async_task] #[test] #[inline] fn handler() {}",
        &expect![[r#"
            tokio::main
                remove `#[tokio::main]`: the entrypoint starts its own runtime
            agentcore::entrypoint
                `#[agentcore::entrypoint]` is given twice
            async_task
                an entrypoint is already counted while it runs; remove `#[agentcore::async_task]`
            test
                remove `#[test]`: an entrypoint is called by the server, not by tests
        "#]],
    );
    check(
        "#[async_task] #[agentcore::entrypoint] async fn task() {}",
        &expect![[r#"
        the attribute
            an entrypoint is already counted while it runs; remove `#[agentcore::async_task]`
    "#]],
    );
    check(
        "#[ping] #[agentcore::on_start] fn health() -> PingStatus {}",
        &expect![[r#"
        agentcore::on_start
            a function cannot have both `#[agentcore::ping]` and `#[agentcore::on_start]`
    "#]],
    );
    check(
        "#[async_task] #[tokio::test] async fn task() {}",
        &expect![[""]],
    );
}

/// They would report the same mistakes again.
#[test]
fn rejected_attributes_are_dropped_and_others_kept() {
    let source = "#[entrypoint] #[tokio::main] #[inline] async fn handler() {}";
    assert!(!emits(source, "tokio"));
    assert!(emits(source, "inline"));
    assert!(
        emits(
            "#[async_task] #[entrypoint] async fn handler() {}",
            "entrypoint"
        ),
        "it makes `main`"
    );
}

/// rustc would report it too.
#[test]
fn a_rejected_entrypoint_has_a_main() {
    assert!(emits("#[entrypoint(nam = 1)] fn handler() {}", "main"));
    assert!(emits("#[entrypoint] struct Handler;", "main"));
    assert!(!emits(
        "#[entrypoint(main = false, nam = 1)] fn handler() {}",
        "main"
    ));
    assert!(
        !emits("#[entrypoint] fn handler(&self) {}", "main"),
        "in an `impl` it would be a mistake of its own"
    );
    assert!(!emits("#[ping] fn health() {}", "main"));
    assert!(emits(
        "#[entrypoint(flags = false)] fn handler() {}",
        "main_without_flags"
    ));

    let renamed = expand("#[entrypoint] async fn main() { body }").to_string();
    assert!(
        renamed.starts_with("async fn __agentcore_main () { body }"),
        "{renamed}"
    );
    assert!(renamed.ends_with("fn main () { }"), "{renamed}");
}

/// Editors can still complete in it, and its callers still resolve.
#[test]
fn a_rejected_item_is_kept() {
    for source in [
        "#[entrypoint(nam = 1)] pub async fn item(a: u8) -> u8 { a + }",
        "#[async_task] pub fn item(a: u8) -> u8 { a + }",
        "#[ping] pub fn item(a: u8) -> u8 { a + }",
        "#[on_start] pub fn item(a: u8) -> u8 { a + }",
        "#[websocket] pub fn item(a: u8) -> u8 { a + }",
    ] {
        let item = source
            .split_once(']')
            .expect("an attribute")
            .1
            .parse::<TokenStream>()
            .expect("tokens")
            .to_string();
        let expansion = expand(source).to_string();
        assert!(expansion.starts_with(&item), "{expansion}");
    }
}

#[test]
fn everything_that_is_wrong_with_a_durable_task_is_reported() {
    check(
        r#"#[async_task(durable = true, attempts = 0, deadline = 5, concurrency = "4")]
        fn work<T>(&self, text: &str, (a, b): (u8, u8), any: impl Display, State(db): State<Database>) {}"#,
        &expect![[r#"
            true
                `durable` takes no value
            0
                `attempts` takes a number from 1 to 1000, for example `attempts = 5`
            5
                `deadline` needs a unit; write `deadline = "5s"` for seconds
            "4"
                `concurrency` takes a number from 1 to 1000, for example `concurrency = 4`
            &self
                a durable task must be a free function; it has no `self` to be called on
            <T>
                a durable task cannot be generic: the server needs one concrete function
            fn
                a durable task must be `async`; what computes goes into `tokio::task::spawn_blocking` inside it
            &str
                the arguments of a durable task are stored, so they are owned: take `String` instead of a reference
            (a, b)
                the arguments of a durable task are stored under their names: give this one a name
            impl Display
                the arguments of a durable task are stored, so they need a concrete type; name the type
            work
                a durable task returns a `Result`: an error is what is tried again; for example `Result<(), agentcore::BoxError>`
        "#]],
    );
}

#[test]
fn the_results_of_a_durable_task_are_owned() {
    check(
        "#[async_task(durable)]
        async fn work(text: Cow<'_, str>) -> Result<impl Display, BoxError> {}",
        &expect![[r#"
            Cow<'_, str>
                the arguments of a durable task are stored, so they are owned: take a type without lifetimes
            impl Display
                the results of a durable task are stored, so they need a concrete type; name the type
        "#]],
    );
}

#[test]
fn some_arguments_are_for_durable_tasks() {
    check(
        r#"#[async_task(attempts = 5, deadline = "1d", concurrency = 4)]
        async fn work() {}"#,
        &expect![[r#"
            attempts
                `attempts` is for durable tasks; write `#[agentcore::async_task(durable, attempts = ..)]`
            deadline
                `deadline` is for durable tasks; write `#[agentcore::async_task(durable, deadline = ..)]`
            concurrency
                `concurrency` is for durable tasks; write `#[agentcore::async_task(durable, concurrency = ..)]`
        "#]],
    );
}

#[test]
fn a_name_that_no_store_takes_is_refused() {
    check(
        r#"#[async_task(durable, name = "speech to text")]
        async fn work() -> Result<(), BoxError> {}"#,
        &expect![[r#"
            "speech to text"
                the name of a durable task has up to 57 ASCII letters, digits, `_`, `-` and `.`, since jobs are stored under it
        "#]],
    );
    check(
        "#[async_task(durable)]
        async fn größe() -> Result<(), BoxError> {}",
        &expect![[r#"
            größe
                the name of a durable task has up to 57 ASCII letters, digits, `_`, `-` and `.`, since jobs are stored under it; give it another one with `name = ".."`
        "#]],
    );
}

#[test]
fn everything_that_is_wrong_with_a_step_is_reported() {
    check(
        "#[step(durable)]
        fn work(self) {}",
        &expect![[r#"
            durable
                unknown argument `durable`; expected one of: `name`, `crate`
            self
                a step must be a free function; it has no `self` to be called on
            fn
                a step must be `async`; what computes goes into `tokio::task::spawn_blocking` inside it
            work
                a step returns a `Result`, whose value is recorded; for example `Result<(), agentcore::BoxError>`
        "#]],
    );
}

#[test]
fn a_tools_keys_are_checked() {
    check(
        r#"#[tool(nam = "a", title = "", read_only = 1, destructive = "no", task = "sometimes", schema, timeout = "5", main = false)]
        async fn forecast() {}"#,
        &expect![[r#"
            nam
                unknown argument `nam`; expected one of: `name`, `title`, `read_only`, `destructive`, `idempotent`, `open_world`, `timeout`, `task`, `schema`, `crate`
            ""
                `title` cannot be empty
            1
                `read_only` takes no value, or `true` or `false`
            "no"
                `destructive` takes no value, or `true` or `false`
            "sometimes"
                `task` takes `"never"`, `"auto"`, `"always"` or `"on_demand"`
            schema
                expected `key = value`, for example `schema = "forecast.json"`
            "5"
                `timeout` needs a unit; write `timeout = "5s"` for seconds
            main
                unknown argument `main`; expected one of: `name`, `title`, `read_only`, `destructive`, `idempotent`, `open_world`, `timeout`, `task`, `schema`, `crate`
        "#]],
    );
    check(
        "#[tool(read_only, destructive)] async fn forecast() {}",
        &expect![[r#"
            the attribute
                a tool that is `read_only` changes nothing, so it cannot be `destructive`
        "#]],
    );
}

#[test]
fn a_tools_name_is_one_that_models_take() {
    for (attribute, function) in [
        (r#"(name = "the weather")"#, "forecast"),
        (r#"(name = "weather.now")"#, "forecast"),
        (r#"(name = "  ")"#, "forecast"),
        ("", "météo"),
    ] {
        let errors = compile_errors(expand(&format!(
            "#[tool{attribute}] async fn {function}() {{}}"
        )));
        assert_eq!(errors.len(), 1, "{errors:?}");
    }
    check(
        r#"#[tool(name = "the weather")] async fn forecast() {}"#,
        &expect![[r#"
            "the weather"
                the name of a tool is up to 64 ASCII letters, digits, `_` and `-`, because models take no other; `the weather` has a space
        "#]],
    );
    let long = "a".repeat(65);
    assert_eq!(
        compile_errors(expand(&format!("#[tool] async fn {long}() {{}}"))).len(),
        1
    );
    assert_eq!(
        compile_errors(expand(&format!("#[tool] async fn {}() {{}}", &long[1..]))).len(),
        0
    );
}

#[test]
fn what_stands_at_a_tools_argument_is_checked() {
    check(
        "#[tool]
        async fn forecast(
            #[default(1)] #[default] days: u8,
            #[default(1, 2)] hours: u8,
            #[default()] minutes: u8,
            city: &str,
            list: &[u8],
            name: impl Into<String>,
            text: Cow<'a, str>,
        ) -> ! {}",
        &expect![[r#"
            &str
                handler arguments are owned: take `String` instead of a reference
            &[u8]
                handler arguments are owned: take `Vec<u8>` instead of a reference
            impl Into<String>
                handler arguments need a concrete type; name the type that the argument decodes to
            Cow<'a, str>
                handler arguments are owned: take a type without lifetimes
            default
                `#[default]` is given twice
            default(1, 2)
                `#[default(..)]` takes one expression, for example `#[default(3)]`
            default()
                `#[default(..)]` takes one expression, for example `#[default(3)]`
            !
                a tool cannot return `!`; every call needs a result
        "#]],
    );
}

#[test]
fn a_tool_is_a_free_function() {
    check(
        "#[tool] const unsafe extern \"C\" fn forecast<T>(&self, ...) -> T;",
        &expect![[r#"
            const
                a tool cannot be `const`
            unsafe
                a tool cannot be `unsafe`
            extern "C"
                a tool cannot be `extern`
            ...
                a tool cannot be variadic
            &self
                a tool must be a free function; it has no `self` to be called on
            forecast
                a tool needs a body
            <T>
                a tool cannot be generic: the server needs one concrete function
        "#]],
    );
    check(
        "#[tool] struct Forecast;",
        &expect![[r#"
        the attribute
            `#[agentcore::tool]` can only be applied to a free `fn` or `async fn`
    "#]],
    );
}

#[test]
fn a_tool_has_no_other_role() {
    for other in [
        "entrypoint",
        "async_task",
        "tool",
        "agentcore::ping",
        "tokio::main",
        "tokio::test",
    ] {
        let errors = compile_errors(expand(&format!(
            "#[tool] #[{other}] async fn forecast() {{}}"
        )));
        assert_eq!(errors.len(), 1, "{other}: {errors:?}");
    }
}
