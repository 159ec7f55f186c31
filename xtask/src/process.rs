//! Running other programs: in the workspace's root, killed with us, their failures told in words.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::Instant,
};

/// What `cargo run` tells xtask about itself. A cargo below must not inherit it: build scripts that watch one of these
/// variables would run again whenever somebody changes between `cargo xtask` and plain `cargo`.
const OWN_CARGO_VARIABLES: &[&str] = &[
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_PKG_AUTHORS",
    "CARGO_PKG_DESCRIPTION",
    "CARGO_PKG_HOMEPAGE",
    "CARGO_PKG_LICENSE",
    "CARGO_PKG_LICENSE_FILE",
    "CARGO_PKG_NAME",
    "CARGO_PKG_README",
    "CARGO_PKG_REPOSITORY",
    "CARGO_PKG_RUST_VERSION",
    "CARGO_PKG_VERSION",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
];

/// The workspace's root directory.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// A path below `target/`, where everything fetched or built is kept.
pub(crate) fn target(below: &str) -> PathBuf {
    root().join("target").join(below)
}

/// A program to be run in the workspace's root, killed when xtask gives up.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// `cargo`, as though a person had typed it.
pub(crate) fn cargo() -> Command {
    let mut cargo = command("cargo");
    for variable in OWN_CARGO_VARIABLES {
        cargo.env_remove(variable);
    }
    cargo
}

/// Runs it with our own output and fails where it fails.
pub(crate) async fn run(mut command: Command) -> Result<()> {
    let shown = shown(&command);
    let status = command.status().await.with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Like [`run`], and shows each line of its stdout to `read` once it is printed.
pub(crate) async fn run_reading(mut command: Command, mut read: impl FnMut(&str)) -> Result<()> {
    let shown = shown(&command);
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run `{shown}`"))?;
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::new(stdout).split(b'\n');
        while let Some(line) = lines.next_segment().await? {
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            read(&line);
        }
    }
    let status = child.wait().await?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Runs it in silence and returns what it printed (stdout, then stderr); a failure carries that text.
pub(crate) async fn output(mut command: Command) -> Result<String> {
    let shown = shown(&command);
    let output = command.output().await.with_context(|| format!("cannot run `{shown}`"))?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if !output.status.success() {
        bail!("`{shown}` failed ({}):\n{}", output.status, text.trim_end());
    }
    Ok(text)
}

/// Whether `program` can be run with `arguments` and succeeds.
pub(crate) async fn works(program: &str, arguments: &[&str]) -> bool {
    let mut probe = command(program);
    probe.args(arguments);
    output(probe).await.is_ok()
}

/// The file that `program` names on the `PATH`, or where Debian keeps what serves.
pub(crate) async fn which(program: &str) -> Result<PathBuf> {
    let mut which = command("sh");
    which.args(["-c", "PATH=\"$PATH:/usr/sbin\"; command -v -- \"$0\"", program]);
    let path = output(which).await.with_context(|| format!("{program} is not on the PATH"))?;
    Ok(PathBuf::from(path.trim()))
}

/// Awaits `work` and tells every ten seconds that `what` is still going on.
pub(crate) async fn with_progress<T>(what: &str, work: impl Future<Output = T>) -> T {
    const EVERY: Duration = Duration::from_secs(10);
    let started = Instant::now();
    tokio::pin!(work);
    loop {
        match tokio::time::timeout(EVERY, &mut work).await {
            Ok(done) => return done,
            Err(_elapsed) => println!("    still {what} ({} s)", started.elapsed().as_secs()),
        }
    }
}

fn shown(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_names_the_command_and_carries_its_words() {
        let mut failing = command("sh");
        failing.args(["-c", "echo because >&2; exit 3"]);
        let error = output(failing).await.unwrap_err().to_string();
        assert!(error.contains("sh -c") && error.contains("because"), "{error}");
    }

    #[test]
    fn the_root_is_the_workspace() {
        assert!(root().join("Cargo.lock").exists());
    }
}
