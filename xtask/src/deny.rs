//! The supply chain: `cargo deny` against `deny.toml`, with the tool fetched where it is missing.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::{
    process::{self, cargo, command, target},
    steps::Note,
};

/// The version in use; a newer one may know further rules and turn a green run red without a change of ours.
const VERSION: &str = "0.20.2";

/// Checks licences, bans and sources always, and advisories wherever the advisory database can be had.
pub(crate) async fn check() -> Result<Note> {
    let tool = tool().await?;
    let mut offline = command(&tool);
    // Which of two versions pulls what in is told by `cargo tree -d`; here it would drown the verdict.
    offline.args(["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]);
    process::run(offline).await?;
    if let Err(error) = fetch_advisories(&tool).await
        && !has_advisories()
    {
        println!("    {error:#}");
        return Ok(Some(
            "ADVISORIES WERE NOT CHECKED: the RustSec database cannot be reached from here, and no earlier run left a \
             copy. Licences, bans and sources were checked"
                .to_owned(),
        ));
    }
    let mut advisories = command(&tool);
    advisories.args(["check", "--hide-inclusion-graph", "--disable-fetch", "advisories"]);
    process::run(advisories).await.map(|()| None)
}

async fn fetch_advisories(tool: &PathBuf) -> Result<()> {
    let mut fetch = command(tool);
    fetch.args(["fetch", "db"]);
    process::output(fetch).await.map(drop)
}

/// Whether an earlier run fetched the database. cargo-deny itself refuses one that is older than 90 days.
fn has_advisories() -> bool {
    let databases = target("tools/advisory-dbs").read_dir();
    databases.is_ok_and(|entries| entries.flatten().any(|entry| entry.path().join(".git").exists()))
}

/// cargo-deny of the right version: from the `PATH`, from an earlier run, or built now.
async fn tool() -> Result<PathBuf> {
    let own = target("tools/bin/cargo-deny");
    for candidate in [PathBuf::from("cargo-deny"), own.clone()] {
        let mut version = command(&candidate);
        version.arg("--version");
        if process::output(version).await.is_ok_and(|text| text.trim().ends_with(VERSION)) {
            return Ok(candidate);
        }
    }
    println!("    building cargo-deny {VERSION} once into target/tools (one to three minutes)");
    let mut install = cargo();
    install.args(["install", "cargo-deny", "--locked", "--quiet", "--force", "--version", VERSION, "--root"]);
    // Its release profile asks for one unit and whole-program optimisation, which doubles the time; it runs for half a second.
    install.arg(target("tools")).env("CARGO_PROFILE_RELEASE_LTO", "off");
    install.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    let built = process::with_progress("building cargo-deny", process::run(install)).await;
    built.context("cargo-deny cannot be built; is the registry reachable?")?;
    Ok(own)
}
