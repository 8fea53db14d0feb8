//! Links between the Markdown pages of this repository: the file exists, and so does the heading.
//!
//! Pages that rustdoc shows also have rustdoc links, which `cargo doc` checks. In these pages, this test checks links to files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Folders that are not ours or not kept.
const SKIPPED: [&str; 5] = ["target", ".git", "corpus", "artifacts", "node_modules"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// All pages, by their path from the root.
fn pages() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && !SKIPPED.contains(&&*name) {
                folders.push(path);
            } else if name.ends_with(".md") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.insert(path.strip_prefix(root()).unwrap().to_owned(), text);
            }
        }
    }
    found
}

/// Whether rustdoc shows the page, so that `crate::App` and `struct.App.html` resolve.
fn is_rustdoc(page: &Path) -> bool {
    page == Path::new("agentcore/docs/guide.md")
        || page.starts_with("agentcore/docs/guide")
        || page.starts_with("agentcore-macros/docs")
        || page == Path::new("agentcore/docs/settings.md")
}

fn events(text: &str) -> impl Iterator<Item = Event<'_>> {
    Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH)
}

fn links(text: &str) -> Vec<String> {
    events(text)
        .filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some(dest_url.into_string())
            }
            _ => None,
        })
        .collect()
}

/// The anchors of a page's headings, in GitHub's form.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut heading: Option<String> = None;
    for event in events(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let slug = slug(&heading.take().unwrap());
                let free = (0..)
                    .map(|number| match number {
                        0 => slug.clone(),
                        _ => format!("{slug}-{number}"),
                    })
                    .find(|anchor| !found.contains(anchor));
                found.extend(free);
            }
            _ => {}
        }
    }
    found
}

fn slug(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|&c| c.is_alphanumeric() || " -_".contains(c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// Normalises a path: `a/b/../c` becomes `a/c`. `None` if it leaves the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => normal.pop().then_some(())?,
            Component::Normal(part) => normal.push(part),
            _ => {}
        }
    }
    Some(normal)
}

/// Why a link leads nowhere.
fn problem(link: &str, page: &Path, pages: &BTreeMap<PathBuf, String>) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() {
        page.to_owned()
    } else {
        match normal(&page.parent().unwrap().join(file)) {
            Some(target) => target,
            None => return Some("leaves the repository".to_owned()),
        }
    };
    if !root().join(&target).exists() {
        return Some(format!("there is no {}", target.display()));
    }
    if anchor.is_empty() {
        return None;
    }
    let text = pages.get(&target)?;
    let anchors = anchors(text);
    (!anchors.contains(anchor)).then(|| format!("no such heading; there are {anchors:?}"))
}

#[test]
fn relative_links_lead_somewhere() {
    let pages = pages();
    assert!(pages.contains_key(Path::new("README.md")), "{pages:?}");
    let mut checked = 0;
    let mut broken = Vec::new();
    for (page, text) in &pages {
        for link in links(text) {
            // A link that rustdoc resolves is not a file.
            if is_rustdoc(page) && !link.contains(".md") && !link.starts_with("../") {
                continue;
            }
            checked += 1;
            if let Some(problem) = problem(&link, page, &pages) {
                broken.push(format!("{}: {link}: {problem}", page.display()));
            }
        }
    }
    assert!(checked > 50, "only {checked} links found");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// For a reader of the repository, links of the guide lead to files. In rustdoc they lead to items: `guide.rs` defines each label
/// before the page does, and the first definition counts.
#[test]
fn each_link_of_the_guide_has_a_place_in_rustdoc() {
    let definitions = std::fs::read_to_string(root().join("agentcore/src/guide.rs")).unwrap();
    let mut checked = 0;
    for (page, text) in pages() {
        if !page.starts_with("agentcore/docs/guide") && page != Path::new("agentcore/docs/guide.md")
        {
            continue;
        }
        let name = page.file_stem().unwrap().to_str().unwrap();
        let place = if name == "guide" {
            definitions.split("#![doc").next()
        } else {
            let (_, module) = definitions
                .split_once(&format!("pub mod {name} {{"))
                .unwrap_or_else(|| panic!("guide.rs has no {name}"));
            module.split("#![doc").next()
        };
        let labels = text.lines().filter_map(|line| line.strip_prefix('['));
        for (label, _) in labels.filter_map(|line| line.split_once("]: ")) {
            checked += 1;
            assert!(
                place.unwrap().contains(&format!("//! [{label}]: ")),
                "guide.rs does not define [{label}] for {name}"
            );
        }
        assert!(
            !text.contains("](crate::") && !text.contains("](super::"),
            "{name} has a link that leads nowhere outside of rustdoc"
        );
        assert!(
            !text.contains("\n```\nuse ") && !text.lines().any(|line| line.starts_with("# fn ")),
            "{name} has code that a repository host does not show as it is meant"
        );
    }
    assert!(checked > 50, "only {checked} labels found");
}

/// The test above can fail.
#[test]
fn a_broken_link_is_found() {
    let page = Path::new("a/page.md");
    let text = "# One `two`, three!\n\n# One\n\n# One\n\n[x](../README.md) `[y](z.md)`\n";
    assert_eq!(links(text), ["../README.md"]);
    assert_eq!(
        anchors(text).into_iter().collect::<Vec<_>>(),
        ["one", "one-1", "one-two-three"]
    );
    let mut pages = pages();
    pages.insert(page.to_owned(), text.to_owned());
    for (link, is_broken) in [
        ("https://example.com/no", false),
        ("../README.md", false),
        ("../README.md#from-python", false),
        ("../README.md#no-such-heading", true),
        ("../examples", false),
        ("../no.md", true),
        ("../../outside.md", true),
    ] {
        assert_eq!(problem(link, page, &pages).is_some(), is_broken, "{link}");
    }
}
