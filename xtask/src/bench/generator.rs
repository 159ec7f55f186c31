//! `cargo xtask loadgen`: posts events as fast as the answers come, or at a pace; one request in flight per connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, sleep_until},
};

use super::{
    arrivals::Arrivals,
    histogram::Histogram,
    template::{Ids, Template, sum},
    wire,
};

/// What to post, and for how long.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub(crate) struct Options {
    /// The server's base URL (`http://` only).
    #[arg(long)]
    pub(super) url: String,
    /// The API key.
    #[arg(long, default_value = "")]
    pub(super) api_key: String,
    /// Connections, each with one request in flight.
    #[arg(long, default_value_t = 64)]
    pub(super) connections: u16,
    /// Events per request.
    #[arg(long, default_value_t = 1)]
    pub(super) batch: u64,
    /// How long to post.
    #[arg(long, default_value_t = 10)]
    pub(super) seconds: u64,
    /// Stop earlier, once so many events were posted.
    #[arg(long)]
    pub(super) events: Option<u64>,
    /// Size of one event's JSON.
    #[arg(long, default_value_t = 800)]
    pub(super) event_bytes: usize,
    /// Events a second; as fast as the answers come unless given.
    #[arg(long)]
    pub(super) rate: Option<u64>,
    /// Name an org in each event, so many in turn; none unless given.
    #[arg(long, default_value_t = 0)]
    pub(super) orgs: u64,
}

impl Options {
    /// The same as arguments.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut all = vec![format!("--url={}", self.url), format!("--api-key={}", self.api_key)];
        all.extend([format!("--connections={}", self.connections), format!("--batch={}", self.batch)]);
        all.extend([format!("--seconds={}", self.seconds), format!("--event-bytes={}", self.event_bytes)]);
        all.extend(self.events.map(|events| format!("--events={events}")));
        all.extend(self.rate.map(|rate| format!("--rate={rate}")));
        all.push(format!("--orgs={}", self.orgs));
        all
    }
}

/// After backpressure (429, 503) a connection waits this long, so that it does not measure refusals.
const REFUSED_PAUSE: Duration = Duration::from_millis(5);

/// Posts, and prints the outcome as one line of JSON.
pub(crate) async fn run(options: &Options) -> Result<()> {
    println!("{}", serde_json::to_string(&load(options, None).await?)?);
    Ok(())
}

/// Posts; `arrivals` is told when each event was accepted.
pub(super) async fn load(options: &Options, arrivals: Option<&Arc<Arrivals>>) -> Result<Sent> {
    let address =
        options.url.trim_end_matches('/').strip_prefix("http://").context("the URL must begin with http://")?;
    let shared = Arc::new(Shared {
        left: AtomicU64::new(options.events.unwrap_or(u64::MAX)),
        begun: AtomicU64::new(0),
        started: Instant::now(),
        seconds: options.seconds,
        rate: options.rate,
        arrivals: arrivals.map(Arc::clone),
    });
    let mut workers = Vec::new();
    for number in 0..options.connections {
        let Options { api_key, batch, event_bytes, orgs, .. } = options;
        let worker = Worker {
            address: address.to_owned(),
            templates: Template::all(address, api_key, *batch, *event_bytes, *orgs, number)?,
            ids: Ids::new(shared.started, number, *orgs),
            batch: *batch,
            shared: Arc::clone(&shared),
        };
        workers.push(tokio::spawn(worker.run()));
    }
    let (mut sent, mut latency) = (Sent::default(), Histogram::new());
    for worker in workers {
        let (one, its) = worker.await??;
        sent.add(&one);
        latency.merge(&its);
    }
    let seconds = shared.started.elapsed().as_secs_f64();
    Ok(Sent { seconds, p50_us: latency.percentile(50), p99_us: latency.percentile(99), ..sent })
}

/// What came back.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// Events that were accepted.
    pub(super) events: u64,
    /// See [`sum`].
    pub(super) sum: u64,
    /// Requests that were accepted.
    pub(super) requests: u64,
    /// Answers that it is too much.
    pub(super) refused: u64,
    /// Requests without an answer: whether they were accepted is not known.
    pub(super) errors: u64,
    /// From the first request to the last answer.
    pub(super) seconds: f64,
    /// From the request to its answer.
    pub(super) p50_us: u64,
    /// The same.
    pub(super) p99_us: u64,
}

impl Sent {
    /// Adds what another load sent.
    pub(super) fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.sum = self.sum.wrapping_add(other.sum);
        self.requests += other.requests;
        self.refused += other.refused;
        self.errors += other.errors;
    }
}

/// What the connections have in common.
struct Shared {
    left: AtomicU64,
    begun: AtomicU64,
    started: Instant,
    seconds: u64,
    rate: Option<u64>,
    arrivals: Option<Arc<Arrivals>>,
}

impl Shared {
    /// Takes the next request's events from what is left to post, once it is time for them.
    async fn next(&self, batch: u64) -> bool {
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(batch)).is_err() {
            return false;
        }
        if let Some(rate) = self.rate {
            let before = self.begun.fetch_add(batch, Ordering::Relaxed);
            sleep_until(self.started + Duration::from_micros(before * 1_000_000 / rate.max(1))).await;
        }
        Instant::now() < self.deadline()
    }

    fn deadline(&self) -> Instant {
        self.started + Duration::from_secs(self.seconds)
    }
}

/// One connection.
struct Worker {
    address: String,
    templates: Vec<Template>,
    ids: Ids,
    batch: u64,
    shared: Arc<Shared>,
}

impl Worker {
    async fn run(mut self) -> Result<(Sent, Histogram)> {
        let (mut sent, mut latency) = (Sent::default(), Histogram::new());
        let mut peer = self.connect().await?;
        let mut reply = Vec::with_capacity(16 * 1024);
        let mut turn = 0;
        while self.shared.next(self.batch).await {
            turn = (turn + 1) % self.templates.len();
            let template = &mut self.templates[turn];
            template.renew(&mut self.ids);
            let template = &self.templates[turn];
            loop {
                let began = Instant::now();
                match exchange(&mut peer, &template.request, &mut reply).await {
                    Ok(Reply { status: 200..=299, accepted }) => {
                        latency.record(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
                        if let Some(arrivals) = &self.shared.arrivals {
                            arrivals.accepted(template.keys());
                        }
                        sent.requests += 1;
                        sent.events += accepted.unwrap_or(self.batch);
                        sent.sum = sent.sum.wrapping_add(sum(template.keys()));
                        break;
                    }
                    Ok(Reply { status: 429 | 503, .. }) => {
                        sent.refused += 1;
                        sleep(REFUSED_PAUSE).await;
                    }
                    Ok(Reply { status, .. }) => {
                        bail!("the server answered {status}: {}", String::from_utf8_lossy(&reply))
                    }
                    Err(_broken) => {
                        sent.errors += 1;
                        peer = self.connect().await?;
                    }
                }
                if Instant::now() >= self.shared.deadline() {
                    break;
                }
            }
        }
        Ok((sent, latency))
    }

    async fn connect(&self) -> Result<TcpStream> {
        let peer = TcpStream::connect(&self.address).await;
        let peer = peer.with_context(|| format!("cannot connect to {}", self.address))?;
        peer.set_nodelay(true)?;
        Ok(peer)
    }
}

struct Reply {
    status: u16,
    accepted: Option<u64>,
}

/// One request and its reply, which is left in `reply`.
async fn exchange(peer: &mut TcpStream, request: &[u8], reply: &mut Vec<u8>) -> Result<Reply> {
    peer.write_all(request).await?;
    reply.clear();
    loop {
        if peer.read_buf(reply).await? == 0 {
            bail!("the server closed the connection");
        }
        if let Some(message) = wire::message(reply).map_err(anyhow::Error::msg)? {
            let accepted = wire::number(&reply[message.head..], "accepted");
            return Ok(Reply { status: wire::status(reply), accepted });
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn options_come_back_from_their_arguments() {
        let given = ["-", "--url=http://x", "--events=5", "--rate=9", "--orgs=3", "--batch=7", "--api-key=k"];
        let options = Line::parse_from(given).options;
        let again = Line::parse_from(["-".to_owned()].into_iter().chain(options.arguments())).options;
        assert_eq!(format!("{options:?}"), format!("{again:?}"));
    }
}
