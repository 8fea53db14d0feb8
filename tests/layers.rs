//! The layers of the library: a module uses only modules below its own.
//!
//! The table below is the one in `agentcore/docs/architecture.md`, and `agentcore/src/lib.rs` lists the modules in its order. A
//! module that names a higher one is reported with the file, the line and both ranks. The graph is printed with
//! `cargo test -p agentcore-tests --test layers -- --nocapture`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The modules of the library, from the bottom to the top.
const MODULES: [&str; 26] = [
    "platform",
    "util",
    "error",
    "engine",
    "config",
    "headers",
    "report",
    "metrics",
    "otel",
    "tracker",
    "request",
    "log",
    "tasks",
    "durable",
    "handler",
    "schema",
    "tools",
    "ws",
    "app",
    "mcp",
    "server",
    "run",
    "guide",
    "telemetry",
    "testing",
    "private",
];

/// The folders of the server, from the bottom to the top.
const SERVER: [&str; 4] = ["threads", "connection", "http", "life"];

/// Uses of one module by another: the file and the line of each.
type Uses = BTreeMap<(String, String), Vec<String>>;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../agentcore/src")
}

/// All files in `folder`, without those that are compiled only for tests or fuzzing.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let is_for_tests = ["tests", "model", "fuzz", "fuzzing"].contains(&stem);
        match path.is_dir() {
            _ if is_for_tests => {}
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// `text` without comments and without modules that are compiled only for tests. Line breaks stay.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    let text = lines.collect::<Vec<_>>().join("\n");
    match text.find("#[cfg(test)]\nmod ") {
        Some(tests) if text[tests..].lines().nth(1).unwrap().ends_with('{') => text[..tests].into(),
        _ => text,
    }
}

/// The first segments, with their lines, of all paths in `code` that begin with `root::`. A group has several.
fn paths<'a>(code: &'a str, root: &str) -> Vec<(&'a str, usize)> {
    let mut found = Vec::new();
    for (at, start) in code.match_indices(root) {
        let is_whole = !code[..at].ends_with(|last: char| last.is_alphanumeric() || last == '_');
        let rest = &code[at + start.len()..];
        let line = code[..at].matches('\n').count() + 1;
        if !is_whole {
            continue;
        }
        let Some(group) = rest.strip_prefix('{') else {
            found.push((segment(rest), line));
            continue;
        };
        let mut depth = 0;
        let mut is_start = true;
        for (at, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => is_start = true,
                letter if is_start && !letter.is_whitespace() => {
                    found.push((segment(&group[at..]), line));
                    is_start = false;
                }
                _ => {}
            }
        }
    }
    found
}

fn segment(path: &str) -> &str {
    let end = path.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    &path[..end.unwrap_or(path.len())]
}

/// The uses among `modules`, which are files and folders of `folder`. Paths to them begin with `root`.
fn uses(folder: &Path, root: &str, modules: &[&str]) -> Uses {
    let mut uses = Uses::new();
    for file in files(folder) {
        let relative = file.strip_prefix(folder).unwrap();
        let first = relative.iter().next().unwrap().to_str().unwrap();
        let user = first.strip_suffix(".rs").unwrap_or(first);
        let text = std::fs::read_to_string(&file).unwrap();
        for (used, line) in paths(&code(&text), root) {
            if used != user && modules.contains(&used) {
                let place = format!("{}:{line}", relative.display());
                let key = (user.to_owned(), used.to_owned());
                uses.entry(key).or_default().push(place);
            }
        }
    }
    uses
}

/// One line for each use of a module by a lower one.
fn offences(uses: &Uses, modules: &[&str]) -> Vec<String> {
    let rank = |module: &str| modules.iter().position(|known| *known == module);
    let mut found = Vec::new();
    for ((user, used), places) in uses {
        if let (Some(below), Some(above)) = (rank(user), rank(used)) {
            if below < above {
                found.extend(places.iter().map(|place| {
                    format!(
                        "{place}: `{user}` (rank {below}) uses `{used}` (rank {above}), which stands above it: move this \
                         code to `{used}` or higher, or move what it uses to `{user}` or lower"
                    )
                }));
            }
        }
    }
    found
}

fn print(uses: &Uses, modules: &[&str]) {
    for (rank, module) in modules.iter().enumerate().rev() {
        let of_module = uses.keys().filter(|(user, _)| user == module);
        let used: Vec<_> = of_module.map(|(_, used)| used.as_str()).collect();
        println!("{rank:2} {module:10} -> {}", used.join(", "));
    }
}

#[test]
fn a_module_uses_only_modules_below_it() {
    let uses = uses(&source(), "crate::", &MODULES);
    print(&uses, &MODULES);
    let offences = offences(&uses, &MODULES);
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

#[test]
fn a_folder_of_the_server_uses_only_folders_below_it() {
    let folder = source().join("server");
    let uses = uses(&folder, "crate::server::", &SERVER);
    print(&uses, &SERVER);
    let offences = offences(&uses, &SERVER);
    assert!(offences.is_empty(), "{}", offences.join("\n"));
    // The test does not see a path that goes up and down again.
    for file in files(&folder) {
        let text = std::fs::read_to_string(&file).unwrap();
        let climbs = code(&text).contains("super::super::");
        assert!(
            !climbs,
            "{}: name `crate::server::..` instead",
            file.display()
        );
    }
}

#[test]
fn every_module_has_a_rank() {
    let mut expected: BTreeSet<_> = MODULES.into_iter().collect();
    expected.extend(["lib", "fuzz"]);
    for entry in std::fs::read_dir(source()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(
            expected.contains(&*name),
            "`{name}` is in no layer: give it a rank in `MODULES`"
        );
    }
}

#[test]
fn the_crate_root_and_the_page_list_the_modules_in_this_order() {
    let lib = std::fs::read_to_string(source().join("lib.rs")).unwrap();
    let declared = lib.lines().filter_map(|line| {
        let name = line.trim_start_matches("pub ").strip_prefix("mod ")?;
        name.strip_suffix(';')
    });
    let declared: Vec<_> = declared.filter(|name| MODULES.contains(name)).collect();
    let mut once = declared.clone();
    // A module may have two declarations, for different features.
    once.dedup();
    assert_eq!(once, MODULES[..once.len()], "in `lib.rs`");
    let page = std::fs::read_to_string(source().join("../docs/architecture.md")).unwrap();
    let table = page.split("## Layers").nth(1).expect("a heading `Layers`");
    let table = table.split("\n## ").next().unwrap();
    let names = table
        .split("[`")
        .skip(1)
        .map(|rest| rest.split('`').next().unwrap());
    let mut listed: Vec<_> = names.filter(|name| MODULES.contains(name)).collect();
    listed.reverse();
    assert_eq!(
        listed, MODULES,
        "in the table of `architecture.md`, from the top to the bottom"
    );
}

/// The test finds a planted offence at every place.
#[test]
fn a_planted_offence_is_found_and_says_where_it_belongs() {
    for (planted, used, line) in [
        ("use crate::server::Server;\n", "server", 1),
        ("\nuse crate::{util, server::Server};\n", "server", 2),
        ("fn f() {\n    crate::app::parts::check();\n}\n", "app", 2),
        (
            "use crate::{\n    error::{Error, Kind},\n    tasks,\n};\n",
            "tasks",
            1,
        ),
    ] {
        let mut uses = Uses::new();
        for (name, at) in paths(&code(planted), "crate::") {
            let key = ("util".to_owned(), name.to_owned());
            uses.entry(key)
                .or_default()
                .push(format!("util/sync.rs:{at}"));
        }
        let found = offences(&uses, &MODULES);
        let of_module: Vec<_> = found.iter().filter(|said| said.contains(used)).collect();
        assert_eq!(of_module.len(), 1, "{planted}: {found:?}");
        let rank = MODULES.iter().position(|module| *module == used).unwrap();
        assert_eq!(
            *of_module[0],
            format!(
                "util/sync.rs:{line}: `util` (rank 1) uses `{used}` (rank {rank}), which stands above it: move this code to \
                 `{used}` or higher, or move what it uses to `util` or lower"
            )
        );
    }
}

#[test]
fn comments_and_tests_are_no_use() {
    let text = "// crate::server\n/// [`crate::app`]\nfn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::run;\n}\n";
    assert!(paths(&code(text), "crate::").is_empty());
    // A path of another crate, or a longer name, is not a use.
    assert!(paths("use other_crate::app;", "crate::").is_empty());
}
