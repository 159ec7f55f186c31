//! What Go builds, once, from modules whose checksums a `go.sum` beside it pins: VictoriaLogs, which takes bulk requests as Elasticsearch does and
//! has no index templates; and the OpenTelemetry Collector's receiver of the HTTP Event Collector's protocol.

use std::{
    fs::File,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use toktra_siem_testkit::{client::Client, poll};

use crate::process::{self, command, root, target};

const PACKAGE: &str = "github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs";
/// As in `xtask/victoria-logs/go.mod`.
const VERSION: &str = "1.52.1";
/// As in `xtask/otel-hec/go.mod`.
const OTEL_VERSION: &str = "0.141.0";
/// It is up within a second, also on a slow machine.
const START: Duration = Duration::from_mins(1);

/// A running one. Dropping it ends it and removes its directory.
pub(super) struct VictoriaLogs {
    url: String,
    process: Child,
    // Dropped after the process has ended, in `drop`.
    _directory: TempDir,
}

impl VictoriaLogs {
    /// Builds and starts it.
    pub(super) async fn start() -> Result<Self> {
        let binary = build("victoria-logs", VERSION, PACKAGE).await?;
        let directory = tempfile::Builder::new().prefix("toktra-siem-victoria-logs-").tempdir()?;
        let address = format!("127.0.0.1:{}", super::node::free_port()?);
        let log = File::create(target("real/victoria-logs.log"))?;
        let mut launcher = Command::new(binary);
        launcher.arg(format!("-httpListenAddr={address}"));
        launcher.arg(format!("-storageDataPath={}", directory.path().display()));
        launcher.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = launcher.spawn().context("cannot start VictoriaLogs")?;
        let url = format!("http://{address}");
        let mut started = Self { url, process, _directory: directory };
        started.wait_until_ready().await?;
        Ok(started)
    }

    /// Its base URL.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let client = Client::new(&self.url);
        let ready = poll::within(START, async || {
            if let Ok(Some(status)) = self.process.try_wait() {
                return Some(Err(status));
            }
            let answer = client.try_send(http::Method::GET, "/health", &[], bytes::Bytes::new()).await;
            answer.is_ok_and(|answer| answer.status == 200).then_some(Ok(()))
        });
        match ready.await {
            Some(Ok(())) => Ok(()),
            Some(Err(status)) => bail!("VictoriaLogs exited ({status}); its log: target/real/victoria-logs.log"),
            None => bail!("VictoriaLogs was not ready within {START:?}; its log: target/real/victoria-logs.log"),
        }
    }
}

impl Drop for VictoriaLogs {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("VictoriaLogs cannot be ended: {error}");
        }
    }
}

/// The receiver of the OpenTelemetry Collector, with a sink that can be read back. Tests start it themselves.
pub(super) async fn otel_hec() -> Result<PathBuf> {
    build("otel-hec", OTEL_VERSION, ".").await
}

/// Builds `package` in `xtask/<name>`, unless it is there.
async fn build(name: &str, version: &str, package: &str) -> Result<PathBuf> {
    let binary = target(&format!("real/{name}-{version}"));
    if binary.exists() {
        return Ok(binary);
    }
    println!("    building {name} {version} (some minutes, once)");
    let mut go = command("go");
    go.current_dir(root().join("xtask").join(name)).args(["build", "-mod=readonly", "-o"]).arg(&binary).arg(package);
    let built = process::with_progress(&format!("building {name}"), process::output(go)).await;
    built.with_context(|| format!("Go cannot build {name} (Debian: apt-get install golang-go)"))?;
    Ok(binary)
}
