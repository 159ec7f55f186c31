//! What the comments of the code point to: each document is in the repository, and has the section that is named.

use std::fs;
use std::path::{Path, PathBuf};

use toktra_siem_testkit::prelude::root;

use crate::prose::has_section;

/// The Rust files below a folder.
fn sources(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![below.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
            let path = entry.path();
            if entry.file_type().expect("a type").is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// The comments of a file, a line for each block.
fn comments(text: &str) -> String {
    let mut blocks = String::new();
    for line in text.lines() {
        match line.trim_start().strip_prefix("//") {
            Some(comment) => {
                blocks.push(' ');
                blocks.push_str(comment.trim_start_matches(['/', '!']).trim());
            }
            None => blocks.push('\n'),
        }
    }
    blocks
}

/// What is wrong with what these comments point to.
fn dead(comments: &str) -> Vec<String> {
    let mut dead = Vec::new();
    for (at, _) in comments.match_indices(".md") {
        let (before, after) = (&comments[..at], &comments[at + 3..]);
        let begins = before.rfind(|c: char| !(c.is_ascii_alphanumeric() || "-_./".contains(c))).map_or(0, |n| n + 1);
        let path = format!("{}.md", &before[begins..]);
        // A pattern such as `docs/<name>.md` names no document, nor does a file that a command writes.
        if before[begins..].is_empty()
            || before.ends_with('>')
            || before[..begins].ends_with("> ")
            || after.starts_with(|c: char| c.is_alphanumeric())
        {
            continue;
        }
        let Ok(page) = fs::read_to_string(root().join(&path)) else {
            dead.push(format!("there is no {path}"));
            continue;
        };
        let section = after.strip_prefix(", \"").and_then(|rest| rest.split_once('"'));
        if section.is_some_and(|(title, _)| !has_section(&page, title)) {
            dead.push(format!("{path} has no section {section:?}"));
        }
    }
    let mut words = comments.split([' ', '\n', '(', ')', ',', ':', '.']).filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.next() {
        let is_number = |next: &&str| {
            let digits = next.strip_prefix(|c: char| c.is_ascii_uppercase()).unwrap_or_default();
            !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
        };
        if ["finding", "findings"].contains(&&*word.to_ascii_lowercase()) && words.peek().is_some_and(is_number) {
            dead.push(format!("{word} {:?} says nothing: say what was found", words.peek()));
        }
    }
    dead
}

#[test]
fn what_comments_point_to_is_in_the_repository() {
    let files = ["crates", "xtask"].into_iter().flat_map(|folder| sources(&root().join(folder)));
    let told = files.flat_map(|path| {
        let text = fs::read_to_string(&path).expect("a source");
        dead(&comments(&text)).into_iter().map(move |what| format!("{}: {what}", path.display()))
    });
    let told: Vec<_> = told.collect();
    assert!(told.is_empty(), "{told:#?}");
}

#[test]
fn a_comment_that_points_nowhere_is_found() {
    let planted = [
        "// Facts: brief.md.",
        "//! As it is (page.md, \"Look\").",
        "/// See docs/page.md, \"No such section\".",
        "// See architecture.md.",
        "/// Finding Q7: it was so.",
        "/// It was so (findings\n/// Q7, Q8).",
    ];
    for comment in planted {
        assert_eq!(dead(&comments(comment)).len(), 1, "{comment}");
    }
    let right =
        "/// See docs/operation.md, \"TLS in\n/// front\", ARCHITECTURE.md and docs/<name>.md. A finding is shown.";
    assert_eq!(dead(&comments(right)), Vec::<String>::new());
}
