//! Every line of the log is a constant sentence and fields: machines group by the sentence and read the fields, people read both. So no macro
//! of `tracing` prints a value in `Debug`, whose form is the compiler's, and none builds its sentence from values.

use std::path::{Path, PathBuf};

use toktra_siem_testkit::prelude::root;

/// The source files of all crates.
fn sources() -> Vec<PathBuf> {
    fn below(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                below(&entry, found);
            } else if entry.extension().is_some_and(|kind| kind == "rs") {
                found.push(entry);
            }
        }
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join("crates")).expect("the crates") {
        let source = entry.expect("a crate").path().join("src");
        if source.is_dir() {
            below(&source, &mut found);
        }
    }
    found
}

/// What stands between the brackets of each macro of the log in `source`, in two parts: without its literals, and those alone.
fn lines_of_the_log(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for level in ["trace", "debug", "info", "warn", "error", "event"] {
        let name = format!("tracing::{level}!(");
        for (at, _) in source.match_indices(&name) {
            let (mut open, mut quoted, mut escaped) = (1, false, false);
            let (mut code, mut literals) = (String::new(), String::new());
            for c in source[at + name.len()..].chars() {
                match c {
                    _ if escaped => escaped = false,
                    '\\' if quoted => escaped = true,
                    '"' => quoted = !quoted,
                    '(' if !quoted => open += 1,
                    ')' if !quoted => open -= 1,
                    _ => {}
                }
                if open == 0 {
                    break;
                }
                if quoted { literals.push(c) } else { code.push(c) }
            }
            found.push((code, literals));
        }
    }
    found
}

/// What is wrong with such a line.
fn wrong(code: &str, literals: &str) -> Option<&'static str> {
    let value =
        |at: usize| code[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '&' | '('));
    let begins = |at: usize| code[..at].ends_with(|c: char| c.is_whitespace() || matches!(c, ',' | '=')) || at == 0;
    if code.match_indices('?').any(|(at, _)| begins(at) && value(at)) || code.contains("field::debug(") {
        return Some("prints a value in Debug");
    }
    literals.contains('{').then_some("builds its sentence, or a value, from others")
}

#[test]
fn every_line_of_the_log_is_a_constant_sentence_and_fields() {
    let (mut seen, mut faults) = (0, Vec::new());
    for path in sources() {
        let source = std::fs::read_to_string(&path).expect("text");
        for (code, literals) in lines_of_the_log(&source) {
            seen += 1;
            // The chain of causes of an error, in one value.
            let literals = literals.replace("{error:#}", "");
            if let Some(fault) = wrong(&code, &literals) {
                faults.push(format!("{}: {fault}: {literals}", path.display()));
            }
        }
    }
    assert!(seen > 80, "{seen}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_is_wrong_is_noticed() {
    for line in [
        r#"tracing::warn!(breaker = ?self.breaker, "it opens")"#,
        r#"tracing::error!(?faults, "not valid")"#,
        "tracing::error!(\n    a,\n    ?b,\n    \"c\"\n)",
        r#"tracing::warn!(a, "delivery {}", status)"#,
        r#"tracing::warn!("{note}")"#,
    ] {
        let [(code, literals)] = lines_of_the_log(line).try_into().expect("one line");
        assert!(wrong(&code, &literals).is_some(), "{line}");
    }
    let [(code, literals)] =
        lines_of_the_log(r#"tracing::warn!(a = f(b)?.c, "what (\"it\") is?")"#).try_into().expect("one");
    assert_eq!(wrong(&code, &literals), None);
}
