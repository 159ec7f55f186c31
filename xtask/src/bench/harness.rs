//! What a case is made of: a server with connectors, a sink and a generator as processes of their own, and what the kernel tells of them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::{Instant, sleep},
};
use toktra_siem_testkit::{
    client::Client,
    server::{API_KEY, ServerProcess, ServerSetup},
};

pub(super) use super::generator::Options;
use super::{arrivals::Lags, generator, receivers, sink::Count};
use crate::process::{command, output, target};

/// How long the last events may take to arrive and to be recorded after the generator has ended.
const TAIL: Duration = Duration::from_mins(10);

/// A server that is measured, with its data on the disk whose sync latency is told.
pub(super) struct Site {
    setup: ServerSetup,
    data: PathBuf,
    _directory: TempDir,
}

impl Site {
    /// A server of this binary on an empty directory.
    pub(super) fn new(binary: &Path) -> Result<Self> {
        let directory = scratch()?;
        let data = directory.path().join("data");
        // Its accounts are asked for by the case. A server that is to end need not deliver first what hangs.
        let setup = ServerSetup::new(binary).without_account_checks();
        let setup = setup.env("TOKTRA_SIEM_DATA_DIR", &data).env("TOKTRA_SIEM_RATE_LIMIT", "0");
        Ok(Self { setup: setup.env("TOKTRA_SIEM_SHUTDOWN_GRACE", "1s"), data, _directory: directory })
    }

    /// A server of this binary on a copy of what another one left.
    pub(super) async fn copy_of(binary: &Path, other: &Self) -> Result<Self> {
        let site = Self::new(binary)?;
        let mut copy = command("cp");
        copy.args(["-a", "--reflink=auto"]).args([&other.data, &site.data]);
        output(copy).await?;
        // What is still to be written would hold up the commits that are measured.
        output(command("sync")).await?;
        Ok(site)
    }

    /// Its data directory, which is there once it was started.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// Starts it, and how long that took until it was ready.
    pub(super) async fn start(&self) -> (ServerProcess, Duration) {
        let started = Instant::now();
        let server = self.setup.start().await;
        (server, started.elapsed())
    }
}

/// A directory on the disk that is measured.
pub(super) fn scratch() -> Result<TempDir> {
    let parent = target("bench");
    std::fs::create_dir_all(&parent)?;
    tempfile::Builder::new().prefix("run-").tempdir_in(parent).context("no directory for the data")
}

/// How a connector is made.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    platform: &'static str,
    name: String,
    url: String,
    org: Option<String>,
    gzip: bool,
    filter: Value,
}

impl Connector {
    /// One that gets every event of the default org.
    pub(super) fn new(platform: &'static str, name: &impl ToString, url: &str) -> Self {
        let name = format!("bench {}", name.to_string());
        Self { platform, name, url: url.to_owned(), org: None, gzip: false, filter: json!({}) }
    }

    /// With bodies compressed, or not.
    pub(super) fn gzip(self, gzip: bool) -> Self {
        Self { gzip, ..self }
    }

    /// With a filter.
    pub(super) fn filter(self, filter: Value) -> Self {
        Self { filter, ..self }
    }

    /// Of another org.
    pub(super) fn org(self, org: String) -> Self {
        Self { org: Some(org), ..self }
    }

    /// Its settings, which lead to `url`.
    pub(super) fn config(&self, url: &str) -> Result<Value> {
        let config = receivers::config(self.platform, url).context("no such platform")?;
        let mut config: Value = serde_json::from_str(&config)?;
        config["compression"] = json!(if self.gzip { "gzip" } else { "none" });
        Ok(config)
    }

    /// Makes it and returns its id.
    pub(super) async fn make(&self, server: &ServerProcess) -> Result<String> {
        let Self { platform, name, filter, .. } = self;
        let config = self.config(&self.url)?;
        let body = json!({"name": name, "platform": platform, "config": config, "filter": filter, "active": true});
        let path = format!("/v1/siem/connectors{}", query(self.org.as_deref()));
        let made = asked(&server.client().post(&path, &body).await, 201)?;
        Ok(made["id"].as_str().context("the new connector has no id")?.to_owned())
    }
}

/// Names an org in the path of a request.
fn query(org: Option<&str>) -> String {
    org.map(|org| format!("?org_id={org}")).unwrap_or_default()
}

/// What the server answered, once it is what it should be.
pub(super) fn asked(answer: &toktra_siem_testkit::client::Answer, status: u16) -> Result<Value> {
    if answer.status != status {
        bail!("the server answered {} instead of {status}: {}", answer.status, answer.text());
    }
    Ok(answer.json())
}

/// Where events are, over all streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// They arrived, as the server has recorded.
    pub(super) delivered: u64,
    /// They are still to be delivered; those that failed and are tried again are among them.
    pub(super) pending: u64,
    /// They will not be.
    pub(super) lost: u64,
}

impl Account {
    /// That of all connectors of these orgs, or of the default org if none is named.
    pub(super) async fn of(server: &ServerProcess, orgs: &[String]) -> Result<Self> {
        let mut account = Self::default();
        let default = orgs.is_empty().then_some(None);
        for org in orgs.iter().map(|org| Some(&**org)).chain(default) {
            let path = format!("/v1/siem/accounting{}", query(org));
            account.add(&asked(&server.client().get(&path).await, 200)?)?;
        }
        Ok(account)
    }

    /// Waits until the server says the same.
    pub(super) async fn recorded(self, server: &ServerProcess, orgs: &[String]) -> Result<()> {
        let started = Instant::now();
        loop {
            let seen = Self::of(server, orgs).await?;
            if seen == self {
                return Ok(());
            }
            if seen.lost > self.lost || started.elapsed() > TAIL {
                bail!("the accounts should say {self:?} and say {seen:?}");
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn add(&mut self, accounting: &Value) -> Result<()> {
        for connector in accounting["items"].as_array().context("no accounts")? {
            if connector["adds_up"] != true {
                bail!("the account does not add up: {connector}");
            }
            for stream in connector["streams"].as_array().context("no streams")? {
                let sum = |places: &[&str]| places.iter().filter_map(|place| stream[*place].as_u64()).sum::<u64>();
                self.delivered += sum(&["delivered"]);
                self.pending += sum(&["pending", "failed"]);
                self.lost += sum(&["rejected", "expired", "damaged", "discarded", "skipped"]);
            }
        }
        Ok(())
    }
}

/// A sink in a process of its own, stopped when dropped.
pub(super) struct Sink {
    /// Where it listens.
    pub(super) url: String,
    client: Client,
    _process: Child,
}

impl Sink {
    /// Starts one that answers at once.
    pub(super) async fn start() -> Result<Self> {
        Self::late(0).await
    }

    /// Starts one that answers so many milliseconds late.
    pub(super) async fn late(delay_ms: u64) -> Result<Self> {
        let mut process = xtask();
        process.arg("sink").arg(format!("--delay-ms={delay_ms}"));
        let mut process = process.stdout(Stdio::piped()).spawn().context("cannot start the sink")?;
        let stdout = process.stdout.take().context("the sink has no output")?;
        let line =
            BufReader::new(stdout).lines().next_line().await?.context("the sink did not say where it listens")?;
        let line: Value = serde_json::from_str(&line)?;
        let url = line["listening"].as_str().context("the sink did not say where it listens")?.to_owned();
        Ok(Self { client: Client::new(&url), url, _process: process })
    }

    /// Waits until every event that was sent has really arrived here `copies` times, whatever the server says. Those of an event that came
    /// more often are told; an event that did not come at all is an error, whatever came instead.
    pub(super) async fn wait_for(&self, sent: &generator::Sent, copies: u64) -> Result<()> {
        let expected = sent.events * copies;
        let started = Instant::now();
        loop {
            let count: Count = self.ask("/count", &json!({})).await?;
            if let Some(why) = count.refused {
                bail!("the sink refused a request: {why}");
            }
            if count.events >= expected {
                return all_arrived(&count, expected, sent.sum.wrapping_mul(copies));
            }
            if started.elapsed() > TAIL {
                bail!("{expected} events should have arrived; after {TAIL:?} the sink has seen {}", count.events);
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Posts a load from the sink's own process.
    pub(super) async fn load(&self, options: &Options) -> Result<generator::Sent> {
        undisturbed(self.ask("/load", options).await?)
    }

    /// From accepted to arrived, of the events of [`Self::load`].
    pub(super) async fn lags(&self) -> Result<Lags> {
        self.ask("/lags", &json!({})).await
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let answer = self.client.post(path, &serde_json::to_value(body)?).await;
        Ok(serde_json::from_value(asked(&answer, 200)?)?)
    }
}

fn all_arrived(count: &Count, expected: u64, sum: u64) -> Result<()> {
    if count.events == expected && count.sum != sum {
        bail!("{expected} events arrived, but not those that were sent: some came twice in the place of others");
    }
    if count.events > expected {
        eprintln!("    {} events arrived more than once", count.events - expected);
    }
    Ok(())
}

/// Runs the generator in a process of its own.
pub(super) async fn generate(options: &Options) -> Result<generator::Sent> {
    let mut generator = xtask();
    generator.arg("loadgen").args(options.arguments());
    undisturbed(serde_json::from_str(&output(generator).await?).context("the generator told something else")?)
}

/// The generator's outcome; none where a request failed, because then it is not known what was accepted.
fn undisturbed(sent: generator::Sent) -> Result<generator::Sent> {
    if sent.errors > 0 {
        bail!("the generator met errors, so that its figures mean nothing: {sent:?}");
    }
    Ok(sent)
}

/// A load for the server or the sink at `url`, as fast as the answers come.
pub(super) fn load(url: &str, connections: u16, batch: u64, seconds: u64) -> Options {
    Options {
        url: url.to_owned(),
        api_key: API_KEY.to_owned(),
        connections,
        batch,
        seconds,
        events: None,
        event_bytes: 800,
        rate: None,
        orgs: 0,
    }
}

/// The release build of this program.
fn xtask() -> Command {
    command(target("release/xtask"))
}

/// What the server has used of the processors since it began, user and system, in seconds.
pub(super) fn cpu(server: &ServerProcess) -> Result<f64> {
    let pid = server.pid().context("the server has exited")?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    ticks(&stat).map(|ticks| per(ticks, TICKS)).context("the kernel tells no processor time")
}

/// The kernel's clock ticks a second: `USER_HZ`, which is 100 on every architecture that Rust's tier 1 knows.
const TICKS: f64 = 100.0;

/// The 14th and the 15th field. The second one, the name, may hold spaces and parentheses.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// A figure of the server's memory from the kernel, in KiB: `VmHWM` is the peak, `VmRSS` what is resident.
pub(super) fn memory(server: &ServerProcess, field: &str) -> Result<u64> {
    let pid = server.pid().context("the server has exited")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    kib(&status, field).with_context(|| format!("the kernel tells no {field}"))
}

fn kib(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// A count by something else, for people.
#[expect(clippy::cast_precision_loss, reason = "a figure for people; counts stay far below 2^52")]
pub(super) fn per(count: u64, by: f64) -> f64 {
    count as f64 / by
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_own_words() {
        let status = "Name:\ttoktra-siem\nVmHWM:\t   51234 kB\nVmRSS:\t   40000 kB\n";
        assert_eq!(kib(status, "VmHWM"), Some(51_234));
        assert_eq!(kib(status, "VmSwap"), None);
    }

    #[test]
    fn processor_time_is_read_from_the_kernels_own_words() {
        assert_eq!(ticks("42 (a b) c) S 1 2 3 4 5 6 7 8 9 10 700 80 0 0 20 0"), Some(780));
        assert_eq!(ticks("42 (a) S 1 2"), None);
    }

    #[test]
    fn a_run_with_errors_has_no_figures() {
        let sent = generator::Sent { events: 10, ..generator::Sent::default() };
        assert_eq!(undisturbed(sent).unwrap().events, 10);
        assert!(undisturbed(generator::Sent { errors: 1, ..sent }).is_err());
    }

    #[test]
    fn an_account_names_what_was_lost_and_has_to_add_up() {
        let of = |adds_up| {
            let stream = json!({"delivered": 5, "pending": 2, "failed": 1, "rejected": 1, "filtered": 9});
            json!({"items": [{"adds_up": adds_up, "streams": [stream, {"delivered": 1}]}]})
        };
        let mut account = Account::default();
        account.add(&of(true)).unwrap();
        assert_eq!(account, Account { delivered: 6, pending: 3, lost: 1 });
        assert!(account.add(&of(false)).is_err());
    }

    #[test]
    fn another_event_in_the_place_of_a_lost_one_is_an_error() {
        let count = Count { events: 10, sum: 7, ..Count::default() };
        assert!(all_arrived(&count, 10, 7).is_ok());
        assert!(all_arrived(&count, 10, 8).is_err());
        assert!(all_arrived(&count, 9, 8).is_ok(), "one came twice");
    }
}
