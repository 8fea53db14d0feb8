//! The part of a backtrace that shows the program's own code.
//!
//! A backtrace of a handler has about a hundred frames. Some twenty belong to the panic itself, and most of the others to the
//! runtime that polls the handler. [`of_the_program`] keeps the frames between the two.

use std::fmt::Write as _;

/// The frame below which the standard library runs a thread's code.
const BEGIN: &str = "::__rust_begin_short_backtrace";

/// The frame above which the standard library deals with a panic.
const END: &str = "::__rust_end_short_backtrace";

/// A part of the names of types that the library's macros generate.
const GENERATED: &str = "::__Agentcore";

/// The name of a frame without a symbol.
const UNKNOWN: &str = "<unknown>";

/// Crates that stand between the process and the program's code.
const LIBRARIES: [&str; 17] = [
    "__rustc",
    "agentcore",
    "alloc",
    "core",
    "futures_core",
    "futures_util",
    "http_body",
    "http_body_util",
    "hyper",
    "hyper_util",
    "std",
    "tokio",
    "tokio_util",
    "tower",
    "tower_http",
    "tower_service",
    "tracing",
];

/// Folders of the sources of the standard library and of dependencies.
const FOREIGN_FOLDERS: [&str; 4] = [
    "/rustc/",
    "/lib/rustlib/",
    "/registry/src/",
    "/git/checkouts/",
];

/// One function of a backtrace.
struct Frame<'a> {
    name: &'a str,
    /// The file, line and column, if known.
    place: Option<&'a str>,
}

impl Frame<'_> {
    /// Whether the frame belongs to the panic, the runtime, or the start of a thread.
    fn is_of_a_library(&self) -> bool {
        let of_a_library = match crate_of(self.name) {
            Some(name) => LIBRARIES.contains(&name),
            None => !self.is_in_the_programs_files(),
        };
        of_a_library || self.name.contains(GENERATED)
    }

    /// For a name without a path: that of a C function, or, where the debug information has lines alone, of a generic or `async` Rust
    /// function.
    fn is_in_the_programs_files(&self) -> bool {
        self.place.is_some_and(|place| {
            place.contains(".rs:") && !FOREIGN_FOLDERS.iter().any(|folder| place.contains(folder))
        })
    }

    /// Whether the frame is this function of the standard library. Type arguments may follow the name.
    fn is(&self, function: &str) -> bool {
        self.name.contains(function)
    }
}

/// The program's frames in the text of a whole backtrace, numbered from 0; `None` if no frame has a name.
///
/// Frames of [`LIBRARIES`] are left out before the program's first frame and after its last. Between them they stay. A panic
/// without a frame of the program keeps the frames of its thread.
pub(super) fn of_the_program(whole: &str) -> Option<String> {
    let frames = parse(whole);
    // A panic during another panic has each mark twice. The first marks are its own.
    let end = frames.iter().position(|frame| frame.is(END));
    let begin = end.map_or(0, |end| end + 1);
    let thread = &frames[begin..];
    let end = thread.iter().position(|frame| frame.is(BEGIN));
    let thread = &thread[..end.unwrap_or(thread.len())];
    let of_the_program = |frame: &Frame<'_>| !frame.is_of_a_library();
    let first = thread.iter().position(of_the_program);
    let last = thread.iter().rposition(of_the_program);
    let kept = match (first, last) {
        (Some(first), Some(last)) => &thread[first..=last],
        _ => thread,
    };
    let is_known = |frame: &Frame<'_>| frame.name != UNKNOWN;
    kept.iter().any(is_known).then(|| render(kept))
}

/// The frames in the text of a `std::backtrace::Backtrace`. A frame is a line with a number and a name, or with a name alone if
/// the function was inlined. A second line may hold its place.
fn parse(whole: &str) -> Vec<Frame<'_>> {
    let mut frames: Vec<Frame<'_>> = Vec::new();
    for line in whole.lines().map(str::trim) {
        if let (Some(place), Some(frame)) = (line.strip_prefix("at "), frames.last_mut()) {
            frame.place = Some(place);
            continue;
        }
        let digits = line.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let name = match digits.strip_prefix(": ") {
            Some(name) if digits.len() < line.len() => name,
            _ => line,
        };
        if !name.is_empty() {
            frames.push(Frame { name, place: None });
        }
    }
    frames
}

fn render(frames: &[Frame<'_>]) -> String {
    let mut text = String::new();
    for (number, Frame { name, place }) in frames.iter().enumerate() {
        let _ = writeln!(text, "{number:>4}: {name}");
        if let Some(place) = place {
            let _ = writeln!(text, "             at {place}");
        }
    }
    text
}

/// The crate that a symbol belongs to: `my_agent` of `my_agent::main`, of `<my_agent::Tool as core::ops::Drop>::drop`, and of
/// `<T as my_agent::Named>::name`. `None` if the symbol has no path.
fn crate_of(symbol: &str) -> Option<&str> {
    let mut rest = symbol;
    loop {
        rest = without_prefixes(rest);
        let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
        let end = rest.find(|letter| !is_name(letter))?;
        let (name, behind) = rest.split_at(end);
        if behind.starts_with("::") && !name.is_empty() {
            return Some(name);
        }
        // A type parameter or a primitive type: the trait names the crate.
        rest = rest.split_once(" as ")?.1;
    }
}

/// Strips the prefixes before a type's path.
fn without_prefixes(mut path: &str) -> &str {
    const PREFIXES: [&str; 9] = ["<", "&", "*", "(", "[", "mut ", "const ", "dyn ", "impl "];
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| path.strip_prefix(prefix)) {
        path = rest;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frames of a panic in the handler of an agent, as Rust 1.95 writes them. Frames of Tokio in the middle are left out.
    const SAMPLE: &str = include_str!("backtrace/sample.txt");

    fn names(text: &str) -> Vec<&str> {
        parse(text).iter().map(|frame| frame.name).collect()
    }

    #[test]
    fn only_the_frames_of_the_program_are_left() {
        let text = of_the_program(SAMPLE).expect("frames");
        let expected = "   0: my_agent::parse\n             at ./src/main.rs:15:18\n   \
                        1: my_agent::handler::{{closure}}\n             at ./src/main.rs:24:36\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn frames_between_those_of_the_program_stay() {
        let text = "0: core::panicking::panic\n1: my_agent::inner\n2: core::iter::map\n3: my_agent::outer\n4: tokio::run";
        let text = of_the_program(text).expect("frames");
        let expected = ["my_agent::inner", "core::iter::map", "my_agent::outer"];
        assert_eq!(names(&text), expected);
    }

    #[test]
    fn a_panic_without_a_frame_of_the_program_keeps_those_of_its_thread() {
        let text = "0: std::panicking::begin\n1: std::sys::backtrace::__rust_end_short_backtrace\n\
                    2: core::panicking::panic\n3: agentcore::front\n\
                    4: std::sys::backtrace::__rust_begin_short_backtrace\n5: std::thread::start";
        let text = of_the_program(text).expect("frames");
        assert_eq!(names(&text), ["core::panicking::panic", "agentcore::front"]);
    }

    #[test]
    fn a_function_without_a_path_is_the_programs_if_its_file_is() {
        let text = "0: core::panicking::panic_fmt\n             at /rustc/59807616/library/core/src/panicking.rs:80:14\n\
                    1: {async_fn#0}<my_agent::Tool>\n             at ./src/main.rs:15:18\n\
                    2: {async_block#0}<my_agent::Tool>\n             at /home/ada/.cargo/registry/src/index/agentcore-0.1.0/src/run.rs:41:3\n\
                    3: do_call<core::panic::unwind_safe::AssertUnwindSafe<my_agent::Tool>>\n             at /rustc/59807616/library/std/src/panicking.rs:581:40\n\
                    4: start_thread\n             at ./nptl/pthread_create.c:442:8";
        let text = of_the_program(text).expect("frames");
        assert_eq!(names(&text), ["{async_fn#0}<my_agent::Tool>"]);
    }

    #[test]
    fn a_second_panic_during_the_first_begins_where_it_happened() {
        let text = "0: std::a::__rust_end_short_backtrace::<std::b::{closure#0}, !>\n1: <my_agent::Guard as core::ops::drop::Drop>::drop\n\
                    2: std::a::__rust_end_short_backtrace\n3: my_agent::work\n\
                    4: std::a::__rust_begin_short_backtrace";
        let text = of_the_program(text).expect("frames");
        assert_eq!(names(&text).len(), 3, "{text}");
        assert!(text.starts_with("   0: <my_agent::Guard as "));
    }

    #[test]
    fn a_program_without_symbols_has_no_frames() {
        assert_eq!(of_the_program("   0: <unknown>\n   1: <unknown>\n"), None);
        assert_eq!(of_the_program(""), None);
        assert_eq!(
            of_the_program("disabled backtrace"),
            Some("   0: disabled backtrace\n".to_owned())
        );
    }

    #[test]
    fn a_symbol_tells_its_crate() {
        for (symbol, name) in [
            ("my_agent::main", Some("my_agent")),
            ("my_agent::main::{{closure}}", Some("my_agent")),
            (
                "<my_agent::Tool as core::ops::drop::Drop>::drop",
                Some("my_agent"),
            ),
            (
                "<&mut my_agent::Tool as core::fmt::Debug>::fmt",
                Some("my_agent"),
            ),
            (
                "<dyn my_agent::Tool as my_agent::Call>::call",
                Some("my_agent"),
            ),
            ("<T as my_agent::Named>::name", Some("my_agent")),
            ("<F as core::future::future::Future>::poll", Some("core")),
            ("<[u8] as alloc::slice::Join>::join", Some("alloc")),
            ("<(A, B) as my_agent::Named>::name", Some("my_agent")),
            ("<&mut T as http_body::Body>::poll_frame", Some("http_body")),
            ("tokio::runtime::task::raw::poll", Some("tokio")),
            ("start_thread", None),
            ("<unknown>", None),
            ("<", None),
            ("", None),
        ] {
            assert_eq!(crate_of(symbol), name, "{symbol}");
        }
    }
}
