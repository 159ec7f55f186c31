//! The licence texts of everything that is in the program: most of them ask to be handed on with it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::sbom::{Crate, Parts};

/// One text for all: each licence once, after the crates that come under those very words.
pub(super) fn of(parts: &Parts) -> Result<String> {
    let mut texts = BTreeMap::<String, Vec<String>>::new();
    let mut without = Vec::new();
    // Our own crates come under the licence of the whole.
    for part in parts.crates.values().filter(|part| part.inside && !part.name.starts_with("toktra-siem")) {
        let found = found(part)?;
        if found.is_empty() {
            without.push(format!("{} {}: {}\n", part.name, part.version, part.licence));
        }
        for text in found {
            texts.entry(text).or_default().push(format!("{} {}", part.name, part.version));
        }
    }
    let mut all = "Toktra SIEM is built of the works below, each under the licence that follows its name.\n".to_owned();
    let mut texts: Vec<(Vec<String>, String)> = texts.into_iter().map(|(text, names)| (names, text)).collect();
    texts.sort_unstable();
    for (names, text) in texts {
        write!(all, "\n{}\n{}\n\n{text}\n", "=".repeat(80), names.join(", "))?;
    }
    write!(all, "\n{}\nThese bring no text along:\n\n{}", "=".repeat(80), without.concat())?;
    Ok(all)
}

/// The files of a crate that hold a licence or a notice.
fn found(part: &Crate) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(&part.directory)? {
        let path = entry?.path();
        if path.is_file() && named(&path) {
            files.push(path);
        }
    }
    files.sort_unstable();
    let text = |path: &PathBuf| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).replace('\r', ""));
    Ok(files.iter().map(text).collect::<Result<Vec<String>, _>>()?.iter().map(|text| text.trim().to_owned()).collect())
}

fn named(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_uppercase();
    ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"].iter().any(|word| name.starts_with(word))
}
