//! The errors of `#[resource]` and `#[prompt]`.

use expect_test::expect;

use super::errors::{check, compile_errors};
use super::expand;

#[test]
fn a_resources_uri_fits_its_function() {
    check(
        "#[resource] fn note() -> String {}",
        &expect![[r#"
            the attribute
                `#[agentcore::resource]` needs the URI of the resource: `uri = "notes://{name}"`
        "#]],
    );
    for (uri, problem) in [
        (
            "notes",
            "a URI begins with a scheme, as `notes://` is one; `notes` has none",
        ),
        ("notes://{name", "a brace is opened and not closed"),
        ("notes://name}", "a brace is closed and not opened"),
        (
            "notes://{a b}",
            "between braces stands the name of an argument, and `a b` is none",
        ),
        (
            "notes://{}",
            "between braces stands the name of an argument, and `` is none",
        ),
        ("notes://{name}/{name}", "`{name}` stands twice in the URI"),
        (
            "notes://{name}{part}",
            "something has to stand before `{part}`, so that one value ends before the other",
        ),
        (
            "notes://{id}",
            "the URI has `{id}`, and the function takes no argument `id`",
        ),
    ] {
        let source = format!(
            r#"#[resource(uri = "{uri}")] fn note(name: String, part: String) -> String {{}}"#
        );
        let errors = compile_errors(expand(&source));
        assert_eq!(errors, [(format!("{uri:?}"), problem.to_owned())], "{uri}");
    }
}

#[test]
fn keys_and_arguments_of_a_resource_are_checked() {
    check(
        r#"#[resource(uri = "", mime_type = 7, task = "auto", name = "a b")] fn note(#[default] name: String) -> ! {}"#,
        &expect![[r#"
            7
                `mime_type` takes a string literal, for example `mime_type = "text/markdown"`
            task
                unknown argument `task`; expected one of: `uri`, `name`, `title`, `mime_type`, `timeout`, `crate`
            "a b"
                the name of a resource is up to 64 ASCII letters, digits, `_` and `-`; `a b` has a space
            !
                a resource cannot return `!`; every read needs a result
            default
                an argument of a resource has its value from the URI; it takes no `#[default]`
            ""
                a URI begins with a scheme, as `notes://` is one; `` has none
        "#]],
    );
    check(
        r#"#[resource(uri = "notes://{name}")] fn note(#[default] name: String) -> String {}"#,
        &expect![[r#"
            default
                an argument of a resource has its value from the URI; it takes no `#[default]`
        "#]],
    );
    check(
        r#"#[resource(uri = "notes://all")] impl Notes { fn all() {} }"#,
        &expect![[r#"
            the attribute
                `#[agentcore::resource]` can only be applied to a free `fn` or `async fn`
        "#]],
    );
}

#[test]
fn keys_of_a_prompt_are_checked() {
    check(
        r#"#[prompt(uri = "notes://all", name = "", read_only)] async fn review(code: &str) -> ! {}"#,
        &expect![[r#"
            uri
                unknown argument `uri`; expected one of: `name`, `title`, `timeout`, `crate`
            ""
                `name` cannot be empty
            read_only
                unknown argument `read_only`; expected one of: `name`, `title`, `timeout`, `crate`
            &str
                handler arguments are owned: take `String` instead of a reference
            !
                a prompt cannot return `!`; every request needs a text
        "#]],
    );
    check(
        "#[prompt] #[tool] fn review() -> String {}",
        &expect![[r#"
        tool
            a function cannot have both `#[agentcore::prompt]` and `#[agentcore::tool]`
    "#]],
    );
    check(
        "#[prompt] fn révision() -> String {}",
        &expect![[r#"
        révision
            the name of a prompt is up to 64 ASCII letters, digits, `_` and `-`; `révision` has `é`
    "#]],
    );
}

#[test]
fn types_tell_which_arguments_are_in_the_uri() {
    let source =
        r#"#[resource(uri = "notes://{name}")] fn note(name: Name, other: Other) -> String {}"#;
    let expansion = expand(source).to_string();
    for message in [
        "`Name` is made from the request, so `{name}` cannot stand in the URI",
        "`other` has no value, because it is not in the URI; write `{other}` there",
    ] {
        assert!(expansion.contains(message), "{message} in {expansion}");
    }
}
