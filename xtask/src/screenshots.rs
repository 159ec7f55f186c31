//! `cargo xtask screenshots`: pictures of every page, taken by the tests that hold the pages to their promises.
//!
//! All of them go to `target/screenshots/`, for looking at; the few that the documentation shows are copied from there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use toktra_siem_testkit::real;

use crate::{
    process::{self, root, target},
    real::Parts,
};

/// The pictures that are committed, by their names in the tests. Few and small: each new version of one stays in the history for ever.
const KEPT: &[&str] =
    &["connectors-1280-light", "connectors-360-dark", "connector-tested-1280-light", "connector-1280-light"];

/// Takes all pictures, and replaces those of the documentation.
pub(crate) async fn run() -> Result<()> {
    let mut parts = Parts::default();
    if let Some(missing) = parts.provide_browser().await? {
        bail!("no pictures {missing}; `cargo xtask ci-setup` installs it on a Debian");
    }
    let taken = target("screenshots");
    clear(&taken)?;
    let mut cargo = process::cargo();
    cargo.args(["test", "--package", "toktra-siem-e2e", "--test", "browser"]);
    cargo.envs(parts.variables()).env(real::SCREENSHOTS, &taken);
    process::run(cargo).await.context("a page does not hold what it promises; the pictures show it as it is")?;
    keep(KEPT, &taken, &root().join("docs/screenshots"))?;
    println!("all pictures are in {}; {} of them in docs/screenshots", taken.display(), KEPT.len());
    Ok(())
}

/// An empty directory: a picture that no test takes any more must not look like one that was just taken.
fn clear(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("cannot clear {}", directory.display()))?;
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))
}

/// Makes `directory` hold these pictures out of `taken` and no others.
fn keep(names: &[&str], taken: &Path, directory: &Path) -> Result<()> {
    let file = |name: &&str| format!("{name}.png");
    let missing: Vec<PathBuf> = names.iter().map(|name| taken.join(file(name))).filter(|path| !path.exists()).collect();
    if !missing.is_empty() {
        bail!("no test takes these pictures any more: {missing:?}");
    }
    if names.is_empty() && !directory.exists() {
        return Ok(());
    }
    clear(directory)?;
    for name in names {
        fs::copy(taken.join(file(name)), directory.join(file(name)))
            .with_context(|| format!("cannot copy the picture {name}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_pictures_of_the_documentation_are_exactly_those_that_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (taken, kept) = (directory.path().join("taken"), directory.path().join("kept"));
        for (below, name) in [(&taken, "one.png"), (&taken, "two.png"), (&kept, "formerly.png")] {
            fs::create_dir_all(below).unwrap();
            fs::write(below.join(name), name).unwrap();
        }
        keep(&["one"], &taken, &kept).unwrap();
        assert_eq!(names(&kept), ["one.png"]);
        let error = keep(&["one", "three"], &taken, &kept).unwrap_err().to_string();
        assert!(error.contains("three.png") && !error.contains("one.png"), "{error}");
        assert_eq!(names(&kept), ["one.png"]);
    }
}
