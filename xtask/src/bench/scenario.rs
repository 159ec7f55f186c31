//! The single measurements: the harness alone, a load through the server, and memory while everything waits.

use std::{net::TcpListener, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::{Instant, sleep},
};
use toktra_siem_testkit::{
    client::Client,
    server::{API_KEY, ServerProcess, ServerSetup},
};

use crate::process::{command, output, target};

/// How events are posted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) name: &'static str,
    connections: u16,
    batch: u64,
    /// Connectors, each of which gets every event.
    connectors: u64,
}

/// The loads that are compared, after the use that real producers make of the API.
pub(super) const LOADS: &[Load] = &[
    Load { name: "1 event a request, 64 connections", connections: 64, batch: 1, connectors: 1 },
    Load { name: "100 events a request, 8 connections", connections: 8, batch: 100, connectors: 1 },
    Load { name: "100 events a request, 8 connections, 3 connectors", connections: 8, batch: 100, connectors: 3 },
    Load { name: "100 events a request, 8 connections, 10 connectors", connections: 8, batch: 100, connectors: 10 },
];

/// What the generator tells at its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    events: u64,
    seconds: f64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
}

/// The generator straight into the sink.
#[derive(Debug)]
pub(super) struct Ceiling(Sent);

impl Ceiling {
    /// Events a second.
    pub(super) fn rate(&self) -> f64 {
        self.0.rate()
    }
}

/// A load through the server.
pub(super) struct Delivered {
    pub(super) sent: Sent,
    /// From the first request until the last event was delivered and recorded, in seconds.
    span: f64,
    /// The server's largest resident memory, in KiB.
    pub(super) peak_kib: u64,
    /// What the server used of the processors meanwhile, user and system, in seconds.
    cpu: f64,
}

impl Delivered {
    /// Microseconds of the server's processor time for each event: the figure that no disk moves.
    pub(super) fn cpu_us(&self) -> f64 {
        self.cpu * 1e6 / per_second(self.sent.events, 1.0)
    }

    /// Events a second while the generator ran.
    pub(super) fn accepted_rate(&self) -> f64 {
        self.sent.rate()
    }

    /// Events a second over the whole span.
    pub(super) fn delivered_rate(&self) -> f64 {
        per_second(self.sent.events, self.span)
    }
}

/// Memory while a destination cannot be reached.
pub(super) struct Waiting {
    /// (events waiting, resident memory in KiB)
    pub(super) resident: Vec<(u64, u64)>,
    /// The largest resident memory, in KiB.
    pub(super) peak_kib: u64,
}

/// Measures what the harness itself can do.
pub(super) async fn ceiling(load: Load, seconds: u64) -> Result<Ceiling> {
    let sink = Sink::start().await?;
    generate(&sink.url, load, seconds, None).await.map(Ceiling)
}

/// Sends a load through the server and waits until every event was delivered and recorded.
pub(super) async fn delivered(binary: &Path, load: Load, seconds: u64) -> Result<Delivered> {
    let sink = Sink::start().await?;
    let setup = ServerSetup::new(binary).without_account_checks();
    let server = setup.start().await;
    let mut connectors = Vec::new();
    for number in 0..load.connectors {
        connectors.push(connect(&server, &sink.url, number).await?);
    }
    let (started, before) = (Instant::now(), cpu(&server)?);
    let sent = generate(server.base(), load, seconds, None).await?;
    sink.wait_for(sent.events * load.connectors).await?;
    for connector in &connectors {
        wait_until_recorded(&server, connector, sent.events).await?;
    }
    let (span, cpu) = (started.elapsed().as_secs_f64(), cpu(&server)? - before);
    let peak_kib = memory(&server, "VmHWM")?;
    server.stop().await;
    Ok(Delivered { sent, span, peak_kib, cpu })
}

/// Posts `events` in `parts` equal parts to a server whose destination refuses connections, and reads its memory after each.
pub(super) async fn waiting(binary: &Path, events: u64, parts: u64) -> Result<Waiting> {
    let setup = ServerSetup::new(binary).without_account_checks();
    let server = setup.start().await;
    connect(&server, &format!("http://127.0.0.1:{}", refused_port()?), 0).await?;
    let load = LOADS[1];
    let (mut posted, mut resident) = (0, vec![(0, memory(&server, "VmRSS")?)]);
    for _ in 0..parts {
        posted += generate(server.base(), load, 120, Some(events / parts)).await?.events;
        resident.push((posted, memory(&server, "VmRSS")?));
    }
    let peak_kib = memory(&server, "VmHWM")?;
    server.stop().await;
    Ok(Waiting { resident, peak_kib })
}

/// Makes an active Splunk connector to `url` and returns its id.
async fn connect(server: &ServerProcess, url: &str, number: u64) -> Result<String> {
    let settings = json!({
        "name": format!("bench {number}"),
        "platform": "splunk",
        "config": {"hec_url": url, "hec_token": "bench-token"},
        "active": true,
    });
    let answer = server.client().post("/v1/siem/connectors", &settings).await;
    if answer.status != 201 {
        bail!("the connector was not created ({}): {}", answer.status, answer.text());
    }
    Ok(answer.json()["id"].as_str().context("the new connector has no id")?.to_owned())
}

/// How long the last events may take to arrive and to be recorded after the generator has ended.
const TAIL: Duration = Duration::from_mins(2);

async fn wait_until_recorded(server: &ServerProcess, connector: &str, events: u64) -> Result<()> {
    let path = format!("/v1/siem/connectors/{connector}/accounting");
    let started = Instant::now();
    loop {
        let answer = server.client().get(&path).await;
        if answer.status == 200 && is_recorded(&answer.json(), events) {
            return Ok(());
        }
        if started.elapsed() > TAIL {
            bail!("{events} events were accepted; after {TAIL:?} the accounting is: {}", answer.text());
        }
        // The route has a rate limit, so it is not asked too often.
        sleep(Duration::from_millis(100)).await;
    }
}

fn is_recorded(accounting: &Value, events: u64) -> bool {
    let stream = &accounting["streams"][0];
    stream["delivered"] == events && stream["pending"] == 0
}

/// A sink in a process of its own, stopped when dropped.
struct Sink {
    url: String,
    _process: Child,
}

impl Sink {
    async fn start() -> Result<Self> {
        let mut process = xtask().arg("sink").stdout(Stdio::piped()).spawn().context("cannot start the sink")?;
        let stdout = process.stdout.take().context("the sink has no output")?;
        let line =
            BufReader::new(stdout).lines().next_line().await?.context("the sink did not say where it listens")?;
        let line: Value = serde_json::from_str(&line)?;
        let url = line["listening"].as_str().context("the sink did not say where it listens")?.to_owned();
        Ok(Self { url, _process: process })
    }

    /// Waits until `events` have really arrived here, whatever the server says.
    async fn wait_for(&self, events: u64) -> Result<()> {
        let client = Client::new(&self.url);
        let started = Instant::now();
        loop {
            let count = client.get("/count").await.json();
            if count["events"].as_u64() >= Some(events) {
                return Ok(());
            }
            if started.elapsed() > TAIL {
                bail!("{events} events were accepted; after {TAIL:?} the sink has seen: {count}");
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Runs the generator in a process of its own.
async fn generate(url: &str, load: Load, seconds: u64, events: Option<u64>) -> Result<Sent> {
    let mut generator = xtask();
    generator.args(["loadgen", "--url", url, "--api-key", API_KEY]);
    generator.args(["--connections", &load.connections.to_string(), "--batch", &load.batch.to_string()]);
    generator.args(["--seconds", &seconds.to_string()]);
    generator.args(events.map(|events| format!("--events={events}")));
    let told: Value = serde_json::from_str(&output(generator).await?).context("the generator told something else")?;
    sent(&told).with_context(|| format!("the generator met errors, so that its figures mean nothing: {told}"))
}

/// The generator's outcome; none where a request failed, because then it is not known what was accepted.
fn sent(told: &Value) -> Option<Sent> {
    let number = |name: &str| told[name].as_u64();
    (number("errors")? == 0).then_some(Sent {
        events: number("events")?,
        seconds: told["seconds"].as_f64()?,
        p50_us: number("p50_us")?,
        p99_us: number("p99_us")?,
    })
}

impl Sent {
    fn rate(&self) -> f64 {
        per_second(self.events, self.seconds)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people; counts stay far below 2^52")]
fn per_second(events: u64, seconds: f64) -> f64 {
    events as f64 / seconds
}

/// The release build of this program.
fn xtask() -> Command {
    command(target("release/xtask"))
}

/// A loopback port on which nobody listens.
fn refused_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// What the server has used of the processors since it began, user and system, in seconds.
fn cpu(server: &ServerProcess) -> Result<f64> {
    let pid = server.pid().context("the server has exited")?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    ticks(&stat).map(|ticks| per_second(ticks, TICKS)).context("the kernel tells no processor time")
}

/// The kernel's clock ticks a second: `USER_HZ`, which is 100 on every architecture that Rust's tier 1 knows.
const TICKS: f64 = 100.0;

/// The 14th and the 15th field. The second one, the name, may hold spaces and parentheses.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// A figure of the server's memory from the kernel, in KiB.
fn memory(server: &ServerProcess, field: &str) -> Result<u64> {
    let pid = server.pid().context("the server has exited")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    kib(&status, field).with_context(|| format!("the kernel tells no {field}"))
}

fn kib(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
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
        let told = json!({"events": 10, "errors": 0, "seconds": 2.0, "p50_us": 1, "p99_us": 2});
        assert!((sent(&told).unwrap().rate() - 5.0).abs() < 1e-9);
        let told = json!({"events": 10, "errors": 1, "seconds": 2.0, "p50_us": 1, "p99_us": 2});
        assert!(sent(&told).is_none());
    }

    #[test]
    fn recorded_means_delivered_in_full_with_nothing_pending() {
        let accounting = |delivered, pending| json!({"streams": [{"delivered": delivered, "pending": pending}]});
        assert!(is_recorded(&accounting(5, 0), 5));
        assert!(!is_recorded(&accounting(5, 1), 5) && !is_recorded(&accounting(4, 0), 5));
        assert!(!is_recorded(&json!({}), 5));
    }
}
