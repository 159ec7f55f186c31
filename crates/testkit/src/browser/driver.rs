//! ChromeDriver as a child process, which takes every Chromium that it started with it when it ends.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::{
    client::Client,
    poll::{self, PATIENCE},
};

/// Runs its arguments and kills its process group once nobody holds its standard input any more: a browser also ends where the test is
/// killed or interrupted, and no destructor runs.
const LEASH: &str = r#""$@" & read -r _; kill -KILL 0"#;

/// What it says if it gives up for want of a port.
const PORT_TAKEN: &str = "bind() failed: Address already in use";

/// A running ChromeDriver. Dropping it kills it and its browsers, and removes their directory.
#[derive(Debug)]
pub(super) struct Driver {
    base: String,
    // Its shell; leader of the process group of the driver and its browsers.
    leash: Child,
    profiles: AtomicU32,
    directory: TempDir,
}

impl Driver {
    /// Starts `binary` on a port of the system's choice and waits until it takes sessions.
    pub(super) async fn start(binary: &Path) -> Self {
        loop {
            let mut driver = Self::run(binary);
            let told = poll::within(PATIENCE, async || {
                let log = driver.log();
                port(&log).map(Some).or_else(|| log.contains(PORT_TAKEN).then_some(None))
            });
            let told = told.await;
            let told = told.unwrap_or_else(|| panic!("ChromeDriver did not say where it listens:\n{}", driver.log()));
            // It takes a free port for IPv6 and wants the same one for IPv4, which somebody else may have: then another one is free.
            let Some(port) = told else { continue };
            driver.base = format!("http://127.0.0.1:{port}");
            let client = Client::new(&driver.base);
            let ready = poll::within(PATIENCE, async || {
                let answer = client.try_send(http::Method::GET, "/status", &[], bytes::Bytes::new()).await.ok()?;
                (answer.json()["value"]["ready"] == true).then_some(())
            });
            assert!(ready.await.is_some(), "ChromeDriver was not ready within {PATIENCE:?}:\n{}", driver.log());
            return driver;
        }
    }

    fn run(binary: &Path) -> Self {
        let directory = tempfile::Builder::new().prefix("toktra-siem-browser-").tempdir();
        let directory = directory.unwrap_or_else(|error| panic!("no temporary directory for the browser: {error}"));
        let leash = spawn(binary, directory.path());
        let leash = leash.unwrap_or_else(|error| panic!("cannot run {}: {error}", binary.display()));
        Self { base: String::new(), leash, profiles: AtomicU32::new(0), directory }
    }

    /// Its base URL.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// A path for the profile of one more Chromium; nothing is there yet.
    pub(super) fn fresh_profile(&self) -> PathBuf {
        self.directory.path().join(format!("profile-{}", self.profiles.fetch_add(1, Ordering::Relaxed)))
    }

    fn log(&self) -> String {
        fs::read(log_file(self.directory.path()))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It has not been waited for, so that its id still is its own.
        if let Some(group) = i32::try_from(self.leash.id()).ok().and_then(Pid::from_raw) {
            // It fails only where all of the group are gone already, which is what was wanted.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.leash.wait();
    }
}

fn log_file(directory: &Path) -> PathBuf {
    directory.join("chromedriver.log")
}

fn spawn(binary: &Path, directory: &Path) -> std::io::Result<Child> {
    let log = File::create(log_file(directory))?;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", LEASH, "sh"]).arg(binary).arg("--port=0");
    // What Chromium keeps outside of its profile stays below the directory, too.
    command.current_dir(directory).env("HOME", directory).env("TMPDIR", directory);
    command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log).process_group(0).spawn()
}

/// The port that ChromeDriver says it chose, once it has said so.
fn port(log: &str) -> Option<u16> {
    let (_, told) = log.split_once("started successfully on port ")?;
    let (port, _) = told.split_once('.')?;
    port.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{super::Browser, *};

    /// How many processes of the group are alive; a dead one may wait long for somebody to ask after it.
    fn alive(group: u32) -> usize {
        let processes =
            fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read(entry.path().join("stat")).ok());
        let belongs = |stat: Vec<u8>| {
            let stat = String::from_utf8_lossy(&stat).into_owned();
            let (_, fields) = stat.rsplit_once(") ")?;
            let mut fields = fields.split(' ');
            let (state, group_of_it) = (fields.next()?, fields.nth(1)?);
            Some(state != "Z" && group_of_it == group.to_string())
        };
        processes.filter_map(belongs).filter(|belongs| *belongs).count()
    }

    #[tokio::test]
    async fn every_process_of_a_browser_ends_with_it() {
        let Some(browser) = Browser::start().await else { return };
        let page = browser.tab().await;
        let group = browser.0.driver.leash.id();
        assert!(alive(group) > 2, "the shell, the driver and Chromium's own");
        drop((browser, page));
        poll::until("all are gone", async || (alive(group) == 0).then_some(())).await;
    }

    #[tokio::test]
    async fn every_process_of_a_browser_ends_with_a_test_that_is_killed() {
        let Some(chromedriver) = crate::real::CHROMEDRIVER.path() else { return };
        let mut driver = Driver::start(&chromedriver).await;
        let group = driver.leash.id();
        assert!(alive(group) > 1, "the shell and the driver");
        // The system closes it where the test's process is no more.
        drop(driver.leash.stdin.take());
        poll::until("all are gone", async || (alive(group) == 0).then_some(())).await;
    }

    #[test]
    fn the_port_is_read_once_its_line_is_complete() {
        let start =
            "Starting ChromeDriver 156 on port 0\nOnly local connections are allowed.\nChromeDriver was started ";
        assert_eq!(port(start), None);
        assert_eq!(port(&format!("{start}successfully on port 404")), None);
        assert_eq!(port(&format!("{start}successfully on port 40477.\n")), Some(40477));
    }
}
