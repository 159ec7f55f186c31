//! A Python with Datadog's official client, whose models are the judge of our request bodies.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::process::{self, command, target};

/// What is installed into the environment, pinned.
const REQUIREMENT: &str = "datadog-api-client==2.62.0";

/// The interpreter of a virtual environment below `target/`, made unless an earlier run did.
pub(super) async fn provide() -> Result<PathBuf> {
    let directory = target("real/python");
    let interpreter = directory.join("bin/python");
    let stamp = directory.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == REQUIREMENT) {
        return Ok(interpreter);
    }
    println!("    installing {REQUIREMENT} (once)");
    let mut venv = command("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&directory);
    process::output(venv).await.context("no Python with venv (Debian: apt-get install python3 python3-venv)")?;
    let mut pip = command(&interpreter);
    pip.args(["-m", "pip", "install", "--quiet", "--only-binary=:all:", REQUIREMENT]);
    let installed = process::with_progress("installing the Datadog client", process::output(pip)).await;
    installed.context("pip cannot install it; is PyPI reachable?")?;
    fs::write(stamp, REQUIREMENT)?;
    Ok(interpreter)
}
