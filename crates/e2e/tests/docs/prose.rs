//! What stands between the blocks: links lead somewhere, and what is named in code spans exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use toktra_siem::commands::Cli;
use toktra_siem_api::routes;
use toktra_siem_config::settings;
use toktra_siem_testkit::prelude::*;

use crate::PAGES;

/// Every Markdown file that a link may lead to, by its path below the root.
fn documents() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut directories = vec![PathBuf::from("docs")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(root().join(&directory)).expect("a directory") {
            let entry = entry.expect("an entry");
            let path = directory.join(entry.file_name());
            if entry.file_type().expect("a type").is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                found.insert(path, String::new());
            }
        }
    }
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "ops/README.md"] {
        found.insert(name.into(), String::new());
    }
    for (path, text) in &mut found {
        *text = fs::read_to_string(root().join(path)).expect("a document");
    }
    found
}

/// The page without its fenced blocks, line by line.
fn prose(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    page.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((index + 1, line))
    })
}

/// What stands in single backticks.
pub(crate) fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The targets of the links in a line.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn anchors(page: &str) -> BTreeSet<String> {
    let headings = prose(page).filter_map(|(_, line)| line.strip_prefix('#').map(|rest| rest.trim_start_matches('#')));
    let given = prose(page).filter_map(|(_, line)| line.split_once("<a id=\"")?.1.split_once('"').map(|(id, _)| id));
    headings.map(anchor).chain(given.map(str::to_owned)).collect()
}

/// Whether a page has a section with this title.
pub(crate) fn has_section(page: &str, title: &str) -> bool {
    anchors(page).contains(&anchor(title))
}

fn normal(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(clean.pop()),
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}

#[test]
fn every_link_leads_somewhere() {
    let documents = documents();
    let mut dead = Vec::new();
    for (path, text) in &documents {
        for (line, target) in prose(text).flat_map(|(n, line)| links(line).map(move |target| (n, target))) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { path.clone() } else { normal(&path.parent().unwrap_or(path).join(file)) };
            let lives = match documents.get(&file) {
                Some(page) => fragment.is_empty() || anchors(page).contains(fragment),
                None => root().join(&file).exists(),
            };
            if !lives {
                dead.push(format!("{}:{line}: {target}", path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn every_page_is_run_and_listed_in_the_index() {
    let documents = documents();
    let index = &documents[Path::new("docs/README.md")];
    for path in documents.keys().filter(|path| path.starts_with("docs") && !path.starts_with("docs/adr")) {
        let shown = path.display().to_string();
        assert!(PAGES.contains(&shown.as_str()), "{shown} is not among the pages in main.rs");
    }
    for page in PAGES.iter().filter(|page| !["README.md", "docs/README.md"].contains(page)) {
        let link = page.strip_prefix("docs/").map_or_else(|| format!("](../{page})"), |name| format!("]({name})"));
        assert!(index.contains(&link), "docs/README.md does not list {page}");
    }
}

#[test]
fn every_decision_record_is_in_their_index() {
    let documents = documents();
    let index = &documents[Path::new("docs/adr/README.md")];
    for path in documents.keys().filter(|path| path.starts_with("docs/adr") && !path.ends_with("README.md")) {
        let name = path.file_name().expect("a name").display().to_string();
        let title =
            documents[path].lines().next().and_then(|line| line.split_once(": ")).map_or("", |(_, title)| title);
        let row = format!("| [{}]({name}) | {title} |", &name[..4]);
        assert!(index.contains(&row), "docs/adr/README.md lacks `{row}`");
    }
}

#[test]
fn decision_records_hold_nothing_to_run() {
    for (path, text) in documents().iter().filter(|(path, _)| path.starts_with("docs/adr")) {
        assert!(!text.contains("```"), "{}: blocks belong into pages, where they are run", path.display());
    }
}

/// The code spans of all pages, with where they stand.
fn spans() -> Vec<(String, String)> {
    let documents = documents();
    let pages = PAGES.iter().map(|path| (*path, &documents[Path::new(path)]));
    let spans = pages.flat_map(|(path, text)| {
        prose(text)
            .flat_map(move |(n, line)| code_spans(line).map(move |span| (format!("{path}:{n}"), span.to_owned())))
    });
    spans.collect()
}

#[test]
fn every_command_that_is_named_exists() {
    for (place, span) in spans() {
        let Some(words) = span.strip_prefix("toktra-siem ") else { continue };
        let mut command = Cli::command_with(&toktra_siem_platform::Registry::standard());
        for word in
            words.split_whitespace().take_while(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
        {
            if let Some(flag) = word.strip_prefix("--") {
                let known = ["help", "version"].contains(&flag)
                    || command.get_arguments().any(|arg| arg.get_long() == Some(flag));
                assert!(known, "{place}: there is no `--{flag}` in `{span}`");
            } else if command.has_subcommands() {
                let found = command.find_subcommand(word).cloned();
                command = found.unwrap_or_else(|| panic!("{place}: there is no command `{span}`"));
            }
        }
    }
}

#[test]
fn the_page_on_the_command_line_names_every_command() {
    let page = &documents()[Path::new("docs/command-line.md")];
    let mut open = vec![("toktra-siem".to_owned(), Cli::command_with(&toktra_siem_platform::Registry::standard()))];
    while let Some((name, command)) = open.pop() {
        let below = command.get_subcommands().filter(|below| below.get_name() != "help");
        open.extend(below.map(|below| (format!("{name} {}", below.get_name()), below.clone())));
        assert!(
            command.has_subcommands() || page.contains(&format!("`{name}`")),
            "docs/command-line.md lacks `{name}`"
        );
    }
}

#[test]
fn every_variable_that_is_named_exists() {
    let table = settings::Table::default();
    let known: BTreeSet<&str> = table
        .all()
        .map(|setting| &*setting.variable)
        .chain(settings::CLIENT_VARIABLES.iter().map(|(name, _)| *name))
        .collect();
    for (path, text) in documents().iter().filter(|(path, _)| PAGES.contains(&path.display().to_string().as_str())) {
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit()));
        for word in words.filter(|word| word.starts_with("TOKTRA_SIEM_") || word.starts_with("SIEM_")) {
            // `SIEM_…` stands for all of them, and `SIEM_SPLUNK_` for its own.
            assert!(known.contains(word) || word.ends_with('_'), "{}: there is no {word}", path.display());
        }
    }
}

#[test]
fn every_route_that_is_named_exists() {
    let known: BTreeSet<(String, String)> =
        routes::routes().into_iter().map(|route| (route.method.to_string(), template(route.path))).collect();
    for (place, span) in spans() {
        let Some((method, path)) = span.split_once(' ') else { continue };
        if !["GET", "POST", "PATCH", "DELETE", "PUT"].contains(&method) || !path.starts_with("/v1/") {
            continue;
        }
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        assert!(known.contains(&(method.to_owned(), template(path))), "{place}: there is no `{span}`");
    }
}

/// A path with every parameter alike, whatever it is called.
fn template(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
}

#[test]
fn anchors_are_those_of_the_page_as_it_is_shown() {
    assert_eq!(anchor(" When a SIEM is down: what `202` means, exactly"), "when-a-siem-is-down-what-202-means-exactly");
    let page = "# A page\n```sh\n# no heading\n```\n## B, c\n<a id=\"given\"></a>\n";
    assert_eq!(anchors(page), ["a-page", "b-c", "given"].map(str::to_owned).into());
}
