//! docs/spec.md: each sentence of the product specification has its row, and each test that a row names exists.

use std::fs;

use toktra_siem_testkit::prelude::root;

use crate::prose::code_spans;

const PAGE: &str = "docs/spec.md";

/// The tests that the page names, each by the file that has it.
fn named(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for line in page.lines() {
        let mut file = None;
        for span in code_spans(line) {
            let is_name =
                span.contains('_') && span.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            match &file {
                _ if span.strip_suffix(".rs").is_some() => {
                    let below = if span.starts_with("crates/") { "" } else { "crates/e2e/tests/" };
                    file = Some(format!("{below}{span}"));
                }
                Some(file) if is_name && span.matches('_').count() > 1 => found.push((file.clone(), span.to_owned())),
                _ => {}
            }
        }
    }
    found
}

#[test]
fn every_test_that_shows_a_sentence_exists() {
    let named = named(&fs::read_to_string(root().join(PAGE)).expect("the page"));
    assert!(named.len() > 40, "{}", named.len());
    let exists = |(file, name): &(String, String)| {
        let text = fs::read_to_string(root().join(file)).unwrap_or_default();
        text.contains(&format!("fn {name}("))
    };
    let missing: Vec<_> = named.into_iter().filter(|test| !exists(test)).collect();
    assert!(missing.is_empty(), "{PAGE} names tests that are not there: {missing:#?}");
}

/// Only letters and digits, so that neither marks nor spaces count: the specification's tables have lost theirs.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// What the specification says in sentences: no code, no menus of its page.
fn sentences(spec: &str) -> Vec<&str> {
    let code = |line: &&str| ["def ", "function ", "import ", "const "].iter().any(|word| line.starts_with(word));
    let lines = spec.lines().map(str::trim).filter(|line| !code(line));
    let sentences = lines.flat_map(|line| line.split_inclusive(". ")).map(str::trim);
    sentences.filter(|sentence| sentence.split(' ').count() > 3 && sentence.ends_with(['.', ':', ')'])).collect()
}

#[test]
fn every_sentence_of_the_specification_has_its_row() {
    // The product's own words stand beside the repository where it is built, not in it.
    let spec = match fs::read_to_string(root().join("../shared/product-spec.txt")) {
        Ok(spec) => spec,
        Err(error) => return eprintln!("skipped: the product specification is not beside the repository ({error})"),
    };
    let page = plain(&fs::read_to_string(root().join(PAGE)).expect("the page"));
    let furniture = ["Fetch the complete documentation index", "Use this file to discover"];
    let said: Vec<_> =
        sentences(&spec).into_iter().filter(|s| !furniture.iter().any(|known| s.starts_with(known))).collect();
    assert!(said.len() > 25, "{said:#?}");
    let missing: Vec<_> = said.into_iter().filter(|sentence| !page.contains(&plain(sentence))).collect();
    assert!(missing.is_empty(), "{PAGE} lacks: {missing:#?}");
}
