//! One search node for the whole suite: unpacked into a directory of its own, run without privileges, stopped by its pid.

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use toktra_siem_testkit::{client::Client, poll, real::Part};

use super::distribution::Distribution;
use crate::process::{command, output, target, with_progress};

/// How long a node may take to come up, with two others and on a slow machine.
const START: Duration = Duration::from_mins(4);

/// How long a node may take to stop before it is killed.
const STOP: Duration = Duration::from_secs(20);

/// A running node. Dropping it stops it and removes its directory.
pub(super) struct Node {
    part: Part,
    name: String,
    url: String,
    log: PathBuf,
    process: Child,
    // Dropped after the process has ended, in `drop`.
    _directory: TempDir,
}

impl Node {
    /// Unpacks and starts it; it is not ready yet.
    pub(super) async fn start(distribution: &Distribution) -> Result<Self> {
        let java = java_home(distribution.java).await?;
        let zip = distribution.zip().await?;
        let name = distribution.name();
        let directory = tempfile::Builder::new().prefix("toktra-siem-node-").tempdir()?;
        unpack(&java, &zip, directory.path()).await?;
        let home = directory.path().join(&name);
        let port = free_port()?;
        fs::write(
            home.join("config").join(format!("{}.yml", distribution.product)),
            settings(distribution, &home, port),
        )?;
        for below in ["data", "logs", "tmp"] {
            fs::create_dir_all(home.join(below))?;
        }
        let log = target("real").join(format!("{name}.log"));
        let mut launcher = launcher(distribution, &home, &java);
        launcher.stdin(Stdio::null()).stdout(File::create(&log)?).stderr(File::options().append(true).open(&log)?);
        if geteuid().is_root() {
            run_unprivileged(&mut launcher, directory.path(), &home).await?;
        }
        let process = launcher.spawn().with_context(|| format!("cannot start {name}"))?;
        let url = format!("http://127.0.0.1:{port}");
        Ok(Self { part: distribution.part, name, url, log, process, _directory: directory })
    }

    /// Which part it is.
    pub(super) fn part(&self) -> Part {
        self.part
    }

    /// Its base URL.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Waits until the cluster is at least yellow.
    pub(super) async fn wait_until_ready(&mut self) -> Result<()> {
        let client = Client::new(&self.url);
        let what = format!("starting {}", self.name);
        let ready = poll::within(START, async || {
            if let Ok(Some(status)) = self.process.try_wait() {
                return Some(Err(status));
            }
            let path = "/_cluster/health?wait_for_status=yellow&timeout=1s";
            let answer = client.try_send(http::Method::GET, path, &[], bytes::Bytes::new()).await;
            answer.is_ok_and(|answer| answer.status == 200).then_some(Ok(()))
        });
        match with_progress(&what, ready).await {
            Some(Ok(())) => Ok(()),
            Some(Err(status)) => bail!("{} exited ({status}); its log: {}", self.name, self.log.display()),
            None => bail!("{} was not ready within {START:?}; its log: {}", self.name, self.log.display()),
        }
    }

    /// Asks it to stop.
    pub(super) fn terminate(&mut self) {
        // Once it has been waited for, its pid may belong to somebody else.
        if !matches!(self.process.try_wait(), Ok(None)) {
            return;
        }
        if let Some(pid) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            // It fails only where the process is gone already, which is what was wanted.
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.terminate();
        if !ended_within(&mut self.process, STOP) {
            eprintln!("{} did not stop within {STOP:?} and is killed", self.name);
            if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
                eprintln!("{} cannot be killed: {error}", self.name);
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "runs in `drop`, which cannot await; nothing else runs any more")]
fn ended_within(process: &mut Child, patience: Duration) -> bool {
    const INTERVAL: Duration = Duration::from_millis(50);
    for _ in 0..patience.as_millis() / INTERVAL.as_millis() {
        if matches!(process.try_wait(), Ok(Some(_)) | Err(_)) {
            return true;
        }
        std::thread::sleep(INTERVAL);
    }
    false
}

/// The home of the JDK behind `java`, or of another that the system has if that one is older than `oldest`; the launchers want it said.
async fn java_home(oldest: u32) -> Result<PathBuf> {
    let mut java = command("java");
    java.args(["-XshowSettings:properties", "-version"]);
    let told = output(java).await.unwrap_or_default();
    if property(&told, "java.specification.version").is_some_and(|version| release(version) >= oldest) {
        return property(&told, "java.home").map(PathBuf::from).context("java does not tell its home");
    }
    let installed = fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten().map(|entry| entry.path());
    let found = installed.filter(|home| home.join("bin/jar").exists()).find(|home| {
        let release_of = |text: String| text.lines().find_map(|line| line.strip_prefix("JAVA_VERSION=").map(release));
        fs::read_to_string(home.join("release")).ok().and_then(release_of).is_some_and(|version| version >= oldest)
    });
    found.with_context(|| {
        format!("no JDK {oldest} or newer, neither behind `java` nor in /usr/lib/jvm (Debian: apt-get install openjdk-{oldest}-jdk-headless)")
    })
}

/// A property that `java` tells.
fn property<'a>(told: &'a str, name: &str) -> Option<&'a str> {
    told.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(" = "))
}

/// The number before the first point, `17` of `"17.0.15"`.
fn release(version: &str) -> u32 {
    let digits: String = version.chars().skip_while(|c| *c == '"').take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

async fn unpack(java: &Path, zip: &Path, into: &Path) -> Result<()> {
    let mut jar = command(java.join("bin/jar"));
    jar.arg("xf").arg(zip).current_dir(into);
    output(jar).await.context("cannot unpack it with `jar` (a JDK is needed, a JRE has none)")?;
    // `jar` restores no permissions, and the launchers call each other.
    let mut chmod = command("sh");
    chmod.args(["-c", "chmod +x */bin/*"]).current_dir(into);
    output(chmod).await.map(drop)
}

/// A port that nobody listens on.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn settings(distribution: &Distribution, home: &Path, port: u16) -> String {
    let home = home.display();
    format!(
        "cluster.name: toktra-siem-test\n\
         node.name: test\n\
         discovery.type: single-node\n\
         network.host: 127.0.0.1\n\
         http.port: {port}\n\
         path.data: {home}/data\n\
         path.logs: {home}/logs\n\
         cluster.routing.allocation.disk.threshold_enabled: false\n\
         {}",
        distribution.settings
    )
}

fn launcher(distribution: &Distribution, home: &Path, java: &Path) -> Command {
    let heap = "-Xms512m -Xmx512m";
    let mut launcher = Command::new(home.join("bin").join(distribution.product));
    launcher.current_dir(home).env("HOME", home).env("JAVA_HOME", java);
    launcher.env("ES_JAVA_HOME", java).env("ES_JAVA_OPTS", heap).env("ES_TMPDIR", home.join("tmp"));
    launcher.env("OPENSEARCH_JAVA_HOME", java).env("OPENSEARCH_JAVA_OPTS", heap);
    launcher.env("OPENSEARCH_TMPDIR", home.join("tmp"));
    launcher
}

/// The nodes refuse to run as root: hand what they write to `nobody`, and become it.
async fn run_unprivileged(launcher: &mut Command, directory: &Path, home: &Path) -> Result<()> {
    let (uid, gid) = (id("-u").await?, id("-g").await?);
    let written = ["", "config", "data", "logs", "tmp"].map(|below| home.join(below));
    for path in written.iter().map(PathBuf::as_path).chain([directory]) {
        chown(path, Some(uid), Some(gid)).with_context(|| format!("cannot hand {} to nobody", path.display()))?;
    }
    launcher.uid(uid).gid(gid);
    Ok(())
}

async fn id(flag: &str) -> Result<u32> {
    let mut id = command("id");
    id.args([flag, "nobody"]);
    Ok(output(id).await.context("there is no user `nobody`")?.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::{super::distribution::DISTRIBUTIONS, *};

    #[test]
    fn the_home_and_the_release_of_java_are_read() {
        let told =
            "Property settings:\n    java.class.version = 61.0\n    java.home = /usr/lib/jvm/java-17\n\nopenjdk …";
        assert_eq!(property(told, "java.home"), Some("/usr/lib/jvm/java-17"));
        assert_eq!(property("java: not found", "java.home"), None);
        assert_eq!((release("17"), release("\"25.0.1\""), release("")), (17, 25, 0));
    }

    #[test]
    fn a_node_listens_on_loopback_only_and_keeps_its_data_below_its_home() {
        let text = settings(&DISTRIBUTIONS[2], Path::new("/n"), 9201);
        let has = |line: &str| text.lines().any(|present| present == line);
        assert!(has("network.host: 127.0.0.1") && has("http.port: 9201") && has("path.data: /n/data"), "{text}");
        assert!(has("xpack.security.enabled: false"), "{text}");
    }
}
