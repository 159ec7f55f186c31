//! Plain English: sentence frames that this product had and that its readers stumbled over are found wherever people read, in documents, pages,
//! the API's document, the commands' help, answers and the log. A comment that nobody but a developer reads is not looked at.

use std::fs;
use std::path::{Path, PathBuf};

use toktra_siem_testkit::prelude::*;

/// A frame, and what to write instead. `*` stands for the rest of the clause; a frame that begins with a capital letter begins a sentence.
const BANNED: &[(&str, &str)] = &[
    ("Who * gets ", "name the reader, or the thing: “Logging in makes …”"),
    ("Where nobody ", "“If nobody …”, “On first start …”"),
    ("Where *, ", "“If …,” or “When …,”"),
    ("may what the scope", "“has the permissions of the scope …”"),
    ("is all that it takes", "“is enough”"),
    ("What flowed", "“Traffic”"),
    ("How it stands", "“Status”, “The state”"),
    ("passed over", "“skipped”"),
    ("present password", "“current password”"),
    ("present secret", "“current secret”"),
    ("Present password", "“Current password”"),
    ("Present secret", "“Current secret”"),
    ("address and password do not belong together", "“Incorrect e-mail address or password”"),
    ("shall ", "“is to”, “must”"),
    ("put right", "“fixed”"),
    ("3 a.m.", "“on call”"),
    ("a try whether", "“a probe”"),
    ("tries whether", "“asks if”, “tests”"),
    ("at your place", "“in your systems”"),
    ("belong into", "“belong in”"),
    ("comes to the same", "say what happens"),
    ("come to the same", "say what happens"),
    ("goes again", "“is sent again”"),
    ("with whatever clings", "“a link, or a whole event”"),
    ("Make one up", "“Generate”"),
    (", say)", "“for example”, “such as”"),
    (", say,", "“for example”, “such as”"),
    ("gave no answer", "“Cannot reach …”, “did not respond”"),
    ("let it look at", "“check”"),
    ("keeps its word", "“honours”"),
    ("worked off", "“processed”, “done”"),
    ("once each also", "say it in two sentences"),
];

/// Where a frame is found in `text`, whose white space is single.
fn found(text: &str, frame: &str) -> Option<usize> {
    let (head, rest) = frame.split_once('*').map_or((frame, None), |(head, rest)| (head, Some(rest)));
    let begins = frame.starts_with(char::is_uppercase);
    text.match_indices(head).map(|(at, _)| at).find(|at| {
        let before = text[..*at].trim_end_matches([' ', '|', '>', '*', '-']);
        // A table's cell begins like a sentence, and says where something is, or who does it: no condition.
        let starts = before.is_empty() || before.ends_with(['.', ':', ';', '!', '?']);
        let word = !text[..*at].ends_with(char::is_alphanumeric);
        let clause = &text[at + head.len()..];
        let clause = &clause[..clause.find(['.', '?', ';', ':', '|', '(', '<', '{', '\\']).unwrap_or(clause.len())];
        (if begins && rest.is_some() { starts } else { word }) && rest.is_none_or(|rest| clause.contains(rest))
    })
}

/// Those of the frames that `text` has, each with where it stands.
fn banned(text: &str) -> Vec<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = |at: usize| text[at..].chars().take(70).collect::<String>();
    BANNED
        .iter()
        .filter_map(|(frame, instead)| Some(format!("“{}…”: write {instead}", shown(found(&text, frame)?))))
        .collect()
}

fn files(below: &str, ending: &str) -> Vec<PathBuf> {
    let (mut found, mut directories) = (Vec::new(), vec![root().join(below)]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && name != "tests" && name != "conformance" {
                directories.push(path);
            } else if name.ends_with(ending) && name != "tests.rs" {
                found.push(path);
            }
        }
    }
    found
}

/// What people read of a file of Rust: its strings, and the doc comments that become help and the API's document.
fn said(path: &Path, source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let crate_of = path.strip_prefix(root().join("crates")).ok().and_then(|path| path.iter().next());
    let doc = crate_of.is_some_and(|name| name == "cli" || name == "wire");
    let (mut code, mut comments) = (String::new(), vec![String::new()]);
    for line in source.lines() {
        match line.trim_start() {
            comment if comment.starts_with("///") => {
                if let (true, Some(last)) = (doc, comments.last_mut()) {
                    last.push_str(&comment[3..]);
                }
            }
            comment if comment.starts_with("//") => {}
            _ => {
                comments.push(String::new());
                code.push_str(line);
                code.push('\n');
            }
        }
    }
    let (mut strings, mut open, mut escaped) = (comments, None::<String>, false);
    for c in code.replace("'\"'", "").chars() {
        open = match (open.take(), c) {
            (Some(text), '"') if !escaped => {
                strings.push(text);
                None
            }
            (None, '"') if !escaped => Some(String::new()),
            (Some(mut text), c) => {
                // A line that goes on below begins there anew.
                text.extend((escaped || c != '\\').then_some(if c == '\n' { ' ' } else { c }));
                Some(text)
            }
            (None, _) => None,
        };
        escaped = c == '\\' && !escaped;
    }
    strings
}

/// Crates whose strings reach people.
const SPEAKING: &[&str] = &[
    "api",
    "app",
    "base",
    "cli",
    "config",
    "core",
    "dispatch",
    "edge",
    "egress",
    "identity",
    "notify",
    "page",
    "platform",
    "server",
    "store",
    "store-sqlite",
    "telemetry",
    "wire",
];

#[test]
fn no_text_has_a_banned_frame() {
    let mut wrong = Vec::new();
    let mut look = |path: &Path, texts: Vec<String>| {
        let here = path.strip_prefix(root()).unwrap_or(path).display().to_string();
        wrong.extend(texts.iter().flat_map(|text| banned(text)).map(|frame| format!("{here}: {frame}")));
    };
    let read = |path: &Path| fs::read_to_string(path).expect("a text");
    let documents = ["README.md", "ops/README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"];
    let documents = documents.map(|name| root().join(name));
    for path in documents.into_iter().chain(files("docs", ".md")).chain(files("crates/page/templates", ".html")) {
        let text = read(&path);
        look(
            &path,
            text.split("\n\n")
                .flat_map(|part| part.split("\n- "))
                .flat_map(|part| part.split("\n|"))
                .map(str::to_owned)
                .collect(),
        );
    }
    for name in SPEAKING {
        for path in files(&format!("crates/{name}/src"), ".rs") {
            look(&path, said(&path, &read(&path)));
        }
    }
    assert!(wrong.is_empty(), "{} texts are hard to read:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_check_finds_what_it_looks_for_and_nothing_else() {
    for bad in [
        "Who logs in gets a session.",
        "It is on. Where the SIEM is down, events wait.",
        "Once the cause is put\nright, send it.",
        "Events that are passed over are counted.",
        "a network (`10.0.0.0/8`, say)",
    ] {
        assert_eq!(banned(bad).len(), 1, "{bad}: {:?}", banned(bad));
    }
    for good in [
        "| `index` | Where the token is, by default |",
        "Where the API listens. Port 0, a free one.",
        "Say where it is, and who has it.",
        "The marshall is here; output rights.",
    ] {
        assert_eq!(banned(good), Vec::<String>::new(), "{good}");
    }
    let source =
        "/// Who asks gets it.\nlet a = \"one \\\n   shall see\"; // shall not\n#[cfg(test)]\nlet b = \"shall not\";";
    let said = |of: &str| said(&root().join(of), source).iter().flat_map(|text| banned(text)).count();
    assert_eq!((said("crates/wire/src/a.rs"), said("crates/app/src/a.rs")), (2, 1));
}
