//! The expansions of correct items.

use expect_test::{ExpectFile, expect_file};
use proc_macro2::{TokenStream, TokenTree};

use super::{expand, flatten};

/// Compares the expansion with a file, and checks that it names this crate only by the path in `crate = ..`.
fn check(source: &str, expected: &ExpectFile) {
    let expansion = expand(source);
    let file = syn::parse2(expansion).expect("items");
    expected.assert_eq(&prettyplease::unparse(&file));

    let renamed = match source.split_once(['(', ']']) {
        Some((attribute, rest)) if source[attribute.len()..].starts_with('(') => {
            format!("{attribute}(crate = other::path, {rest}")
        }
        Some((attribute, rest)) => format!("{attribute}(crate = other::path)]{rest}"),
        None => panic!("`{source}` does not begin with an attribute"),
    };
    let expansion = expand(&renamed);
    assert_eq!(names(expansion.clone(), "agentcore"), 0, "{expansion}");
    assert_ne!(names(expansion, "other"), 0);
}

fn names(tokens: TokenStream, name: &str) -> usize {
    let is_name = |token: &&TokenTree| matches!(token, TokenTree::Ident(ident) if ident == name);
    flatten(tokens).iter().filter(is_name).count()
}

#[test]
fn entrypoint() {
    check(
        "#[entrypoint]
        async fn handler(event: Value) -> Value {
            event
        }",
        &expect_file!["../../tests/expand/entrypoint.rs"],
    );
}

#[test]
fn entrypoint_with_everything() {
    check(
        r#"#[entrypoint(main = false, name = "chat", timeout = "1m 30s", idle_timeout = "20s", on_disconnect = "cancel")]
        /// Documented.
        pub(crate) async fn handler(
            Tenant(tenant): Tenant,
            #[cfg(feature = "payload")] mut event: Event,
            _: HeaderMap,
        ) -> Result<Reply, Failure> {
            body(tenant, event)
        }"#,
        &expect_file!["../../tests/expand/entrypoint_with_everything.rs"],
    );
}

#[test]
fn sync_entrypoint() {
    check(
        "#[entrypoint()]
        fn handler() {}",
        &expect_file!["../../tests/expand/sync_entrypoint.rs"],
    );
}

#[test]
fn entrypoint_with_schemas() {
    let source = "#[entrypoint(schema, main = false)] fn handler(event: Event) -> Reply {}";
    let expansion = expand(source).to_string();
    assert!(expansion.contains("__agentcore_require"), "{expansion}");
    assert!(expansion.contains("HAS_SCHEMAS"), "{expansion}");
}

#[test]
fn tool() {
    check(
        "#[tool]
        /// The weather.
        async fn forecast(city: String, context: RequestContext) -> Forecast {
            body(city, context)
        }",
        &expect_file!["../../tests/expand/tool.rs"],
    );
}

#[test]
fn tool_with_everything() {
    check(
        r#"#[tool(name = "weather", title = "Weather", read_only, destructive = false, idempotent, open_world = false,
            timeout = "5s", task = "auto", schema = "weather.json")]
        /// Documented.
        ///
        /// In two paragraphs.
        pub(crate) fn forecast(
            /// Where.
            city: City,
            #[cfg(days)]
            #[default(3)]
            mut days: u8,
            #[default] r#type: Kind,
            State(pool): State<Pool>,
        ) -> Result<Forecast, Failure> {
            body(city, days)
        }"#,
        &expect_file!["../../tests/expand/tool_with_everything.rs"],
    );
}

#[test]
fn async_task() {
    check(
        "#[async_task]
        async fn index(path: &Path) {
            body(path)
        }",
        &expect_file!["../../tests/expand/async_task.rs"],
    );
}

#[test]
fn async_task_with_everything() {
    check(
        r#"#[async_task(name = "the task", timeout = "2h")]
        #[inline]
        pub async unsafe fn task<'a, T: Clone, const N: usize>(
            &'a mut self,
            mut name: T,
            #[cfg(unix)] #[expect(unused_variables)] (left, _): ([u8; N], u8),
            _: impl Into<String>,
        ) -> Result<impl Iterator<Item = &'a T>, BoxError>
        where
            T: Send,
        {
            #![allow(clippy::all)]
            body(name)
        }"#,
        &expect_file!["../../tests/expand/async_task_with_everything.rs"],
    );
}

#[test]
fn ping() {
    check(
        "#[ping]
        async fn health(#[cfg(queue)] queue: State<Queue>, automatic: PingStatus) -> PingStatus {
            automatic
        }",
        &expect_file!["../../tests/expand/ping.rs"],
    );
}

#[test]
fn websocket() {
    check(
        "#[websocket]
        async fn chat(context: RequestContext, #[cfg(unix)] mut socket: WebSocket) -> Result<(), Failure> {
            body(context, socket)
        }",
        &expect_file!["../../tests/expand/websocket.rs"],
    );
}

#[test]
fn on_start() {
    check(
        r#"#[on_start(timeout = "1500ms")]
        async fn connect(State(url): State<Url>) -> Result<Database, Failure> {
            Database::connect(url).await
        }"#,
        &expect_file!["../../tests/expand/on_start.rs"],
    );
}

#[test]
fn on_shutdown() {
    check(
        "#[on_shutdown]
        fn flush() {}",
        &expect_file!["../../tests/expand/on_shutdown.rs"],
    );
}

#[test]
fn on_warmup() {
    check(
        r#"#[on_warmup(timeout = "90s")]
        async fn infer(model: State<Model>) -> Result<(), Failure> {
            model.infer().await
        }"#,
        &expect_file!["../../tests/expand/on_warmup.rs"],
    );
}

#[test]
fn on_restore() {
    check(
        "#[on_restore]
        fn reconnect(State(pool): State<Pool>) {}",
        &expect_file!["../../tests/expand/on_restore.rs"],
    );
}

/// Only rustc knows whether a body is valid, and only rustc reports it.
#[test]
fn bodies_are_not_parsed() {
    for attribute in ["entrypoint", "async_task", "websocket"] {
        let expansion = expand(&format!(
            "#[{attribute}] async fn name(argument: Argument) {{ let = ; loop ** }}"
        ))
        .to_string();
        assert!(!expansion.contains("compile_error"), "{expansion}");
        assert!(expansion.contains("let = ; loop **"), "{expansion}");
    }
}

/// A function that a macro wrote may come with its body, or its types, in invisible delimiters.
#[test]
fn invisible_delimiters_are_looked_through() {
    use proc_macro2::{Delimiter, Group};
    use quote::quote;

    let body = Group::new(Delimiter::None, quote!({ event }));
    let ty = Group::new(Delimiter::None, quote!(String));
    let expansion =
        crate::expand::entrypoint(quote!(), quote!(async fn handler(event: #ty) -> #ty #body))
            .to_string();
    assert!(!expansion.contains("compile_error"), "{expansion}");
    let expansion =
        crate::expand::async_task(quote!(), quote!(async fn task(event: #ty) -> #ty #body))
            .to_string();
    assert!(!expansion.contains("compile_error"), "{expansion}");
}

#[test]
fn raw_names_are_registered_without_their_prefix() {
    let expansion = expand("#[async_task] async fn r#move() {}").to_string();
    assert!(expansion.contains(r#"track ("move")"#), "{expansion}");
}

#[test]
fn routes() {
    check(
        r#"#[routes(port = 8081, idle = ["/health", "/assets/*"], timeout = "30s")]
        async fn web(database: State<Database>) -> Result<Router, Failure> {
            build(database)
        }"#,
        &expect_file!["../../tests/expand/routes.rs"],
    );
}

#[test]
fn durable_task() {
    check(
        "#[async_task(durable)]
        async fn transcribe(url: String, database: State<Database>) -> Result<Report, BoxError> {
            body(url, database)
        }",
        &expect_file!["../../tests/expand/durable_task.rs"],
    );
}

#[test]
fn durable_task_with_everything() {
    check(
        r#"#[async_task(durable, name = "speech.text", attempts = 5, timeout = "2h", deadline = "1d", concurrency = 4)]
        /// Documented.
        #[allow(clippy::all)]
        pub(crate) async fn transcribe(
            mut url: String,
            #[cfg(feature = "pages")] r#type: Option<u32>,
            _: TaskContext,
            token: CancellationToken,
        ) -> anyhow::Result<Report> {
            body(url, token)
        }"#,
        &expect_file!["../../tests/expand/durable_task_with_everything.rs"],
    );
}

#[test]
fn step() {
    check(
        r#"#[step(name = "fetch audio")]
        async fn fetch<T: Serialize>(url: &str, (a, b): (u8, u8), of: T, client: State<Client>) -> Result<Audio, Failure> {
            body(url, a, b)
        }"#,
        &expect_file!["../../tests/expand/step.rs"],
    );
}
