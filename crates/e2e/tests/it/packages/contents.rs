//! What the list of parts says: true of the program, and as CycloneDX wants it.

use std::collections::BTreeSet;
use std::fs;

use tokio::process::Command;
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;

use super::{Packages, sums};

/// Of CycloneDX's own library: the document, whether it is valid, strictly.
const VALIDATE: &str = r"
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())
sys.exit(fault and str(fault)[:2000])
";

/// The crates whose source is named in the program, as `name@version`: a panic says where it came from.
fn named_in(program: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(program);
    let paths = text.split("/registry/src/").skip(1).filter_map(|path| path.split('/').nth(1));
    let named = paths.filter_map(|directory| {
        let version = directory
            .match_indices('-')
            .find(|(at, _)| directory[at + 1..].starts_with(|c: char| c.is_ascii_digit()))?;
        Some(format!("{}@{}", &directory[..version.0], &directory[version.0 + 1..]))
    });
    named.filter(|id| id.chars().all(|c| c.is_ascii_graphic())).collect()
}

#[tokio::test]
async fn the_list_of_parts_is_what_the_program_is_built_of() {
    let Some(packages) = Packages::made().await else { return };
    let text = fs::read_to_string(packages.file(".cdx.json")).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    let of = |scope: &str| -> BTreeSet<String> {
        let components = list["components"].as_array().unwrap().iter();
        components.filter(|part| part["scope"] == scope).map(|part| part["bom-ref"].text()).collect()
    };
    let (inside, built_with) = (of("required"), of("excluded"));
    let program = fs::read(&packages.program).unwrap();
    let named = named_in(&program);
    assert!(named.len() > 30, "{named:?}");
    let unlisted: Vec<&String> = named.difference(&inside).collect();
    assert!(unlisted.is_empty(), "in the program, and not in the list: {unlisted:?}");
    let has = |set: &BTreeSet<String>, name: &str| set.iter().any(|id| id.starts_with(&format!("{name}@")));
    for name in ["rustls", "rusqlite", "sqlite", "rust-std", "toktra-siem-core"] {
        assert!(has(&inside, name), "{name}");
    }
    // Of procedures that write code, of tests, and of other platforms nothing is in the program.
    for name in ["syn", "serde_derive", "cc"] {
        assert!(has(&built_with, name) && !has(&inside, name), "{name}");
    }
    for name in ["insta", "proptest", "toktra-siem-testkit", "windows-sys"] {
        assert!(!has(&inside, name) && !has(&built_with, name), "{name}");
    }
    for part in list["components"].as_array().unwrap() {
        assert!(part["licenses"][0].is_object(), "{part}");
        let ours = part["name"].text().starts_with("toktra-siem");
        let registry = part["purl"].as_str().is_some_and(|purl| purl.starts_with("pkg:cargo/"));
        assert!(ours || !registry || part["hashes"][0]["content"].text().len() == 64, "{part}");
    }

    let Some(python) = real::PYTHON.path() else { return };
    let mut validate = Command::new(python);
    validate.args(["-c", VALIDATE]);
    said(validate, text.as_bytes()).await.done();
}

/// The page shows the names of this version, as they are on the machines that most people have.
#[tokio::test]
async fn the_page_on_installing_names_every_file() {
    let Some(packages) = Packages::made().await else { return };
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let page = fs::read_to_string(root().join("docs/installing.md")).unwrap();
    let listed = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name));
    let listed: BTreeSet<&str> = listed.filter(|name| name.starts_with("toktra-siem")).collect();
    let made = sums(&packages.directory);
    let image = real::BUILDAH.path().is_some();
    let expected = listed.iter().copied().filter(|name| image || !name.ends_with("-image.tar"));
    assert_eq!(expected.collect::<BTreeSet<_>>(), made.keys().map(String::as_str).collect());
    for text in [&page, &fs::read_to_string(root().join("README.md")).unwrap()] {
        assert!(text.contains(&format!(" toktra-siem:{}\n", env!("CARGO_PKG_VERSION"))), "the image's name");
    }
}
