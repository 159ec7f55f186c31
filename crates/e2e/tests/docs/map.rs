//! ARCHITECTURE.md, "The map": what the manifests say of who uses whom is what the map promises.

use std::fs;

use toktra_siem_testkit::prelude::root;

/// A crate: its folder, its name, and the crates of the workspace that it is built with. Those of its tests are left out.
struct Crate {
    folder: String,
    name: String,
    uses: Vec<String>,
}

/// The crate in a folder below the root.
fn read(folder: &str) -> Crate {
    let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
    let (mut section, mut name, mut uses) = ("", String::new(), Vec::new());
    for line in manifest.lines() {
        let key = line.split(['=', '.', ' ']).next().unwrap_or_default();
        if line.starts_with('[') {
            section = line.trim();
        } else if section == "[package]" && key == "name" {
            line.split('"').nth(1).unwrap_or_default().clone_into(&mut name);
        } else if ["[dependencies]", "[build-dependencies]"].contains(&section) && key.starts_with("toktra-siem") {
            uses.push(key.to_owned());
        }
    }
    Crate { folder: folder.to_owned(), name, uses }
}

/// The crates in the order of the map.
fn map() -> Vec<Crate> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the document");
    let map = text.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the map");
    let folders = map.lines().filter_map(|line| line.split_whitespace().next());
    folders.filter(|folder| root().join(folder).join("Cargo.toml").exists()).map(read).collect()
}

#[test]
fn every_crate_is_on_the_map() {
    let shown: Vec<_> = map().into_iter().map(|one| one.folder).collect();
    for entry in fs::read_dir(root().join("crates")).expect("the crates") {
        let folder = format!("crates/{}", entry.expect("a crate").file_name().display());
        assert!(shown.contains(&folder), "ARCHITECTURE.md does not show {folder}");
    }
}

#[test]
fn a_crate_uses_those_above_it_only() {
    let mut above: Vec<String> = Vec::new();
    for one in map() {
        for used in &one.uses {
            assert!(above.contains(used), "{} uses {used}, which does not stand above it", one.folder);
        }
        let tests = ["crates/testkit", "crates/e2e"].contains(&&*one.folder);
        assert!(tests || !one.uses.iter().any(|used| used == "toktra-siem"), "{} uses the server", one.folder);
        above.push(one.name);
    }
}
