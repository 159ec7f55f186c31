//! `cargo xtask loadgen`: posts events as fast as the answers come, one request in flight per connection.
//!
//! Requests are built once; only the event ids in them change. Ids look like UUID v7 (time first), because that is what the
//! server's indexes will see in real life, and no two runs share one.

use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use memchr::memmem;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep},
};

use super::{histogram::Histogram, wire};

/// What to post, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The server's base URL (`http://` only).
    #[arg(long)]
    url: String,
    /// The API key.
    #[arg(long, default_value = "")]
    api_key: String,
    /// Connections, each with one request in flight.
    #[arg(long, default_value_t = 64)]
    connections: u16,
    /// Events per request.
    #[arg(long, default_value_t = 1)]
    batch: u64,
    /// How long to post.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Stop earlier, once so many events were posted.
    #[arg(long)]
    events: Option<u64>,
    /// Size of one event's JSON.
    #[arg(long, default_value_t = 800)]
    event_bytes: usize,
}

/// After backpressure (429, 503) a connection waits this long, so that it does not measure refusals.
const REFUSED_PAUSE: Duration = Duration::from_millis(5);

/// Posts, and prints the outcome as one line of JSON.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let address =
        options.url.trim_end_matches('/').strip_prefix("http://").context("the URL must begin with http://")?;
    let template = Template::new(address, &options.api_key, options.batch, options.event_bytes)?;
    let left = Arc::new(AtomicU64::new(options.events.unwrap_or(u64::MAX)));
    let started = Instant::now();
    let deadline = started + Duration::from_secs(options.seconds);
    let workers: Vec<_> = (0..options.connections)
        .map(|number| {
            let ids = Ids { epoch_millis: epoch_millis(), started, connection: number, count: 0 };
            let worker =
                Worker { address: address.to_owned(), template: template.clone(), ids, left: Arc::clone(&left) };
            tokio::spawn(worker.run(deadline))
        })
        .collect();
    let mut tally = Tally::default();
    for worker in workers {
        tally.merge(&worker.await??);
    }
    println!("{}", tally.line(started.elapsed()));
    Ok(())
}

/// What came back.
#[derive(Default)]
struct Tally {
    events: u64,
    requests: u64,
    refused: u64,
    errors: u64,
    latency: Option<Histogram>,
}

impl Tally {
    fn merge(&mut self, other: &Self) {
        self.events += other.events;
        self.requests += other.requests;
        self.refused += other.refused;
        self.errors += other.errors;
        if let Some(latency) = &other.latency {
            self.latency.get_or_insert_with(Histogram::new).merge(latency);
        }
    }

    fn line(&self, elapsed: Duration) -> serde_json::Value {
        let percentile = |percent| self.latency.as_ref().map_or(0, |latency| latency.percentile(percent));
        json!({
            "events": self.events,
            "requests": self.requests,
            "refused": self.refused,
            "errors": self.errors,
            "seconds": elapsed.as_secs_f64(),
            "p50_us": percentile(50),
            "p99_us": percentile(99),
        })
    }
}

/// One connection.
struct Worker {
    address: String,
    template: Template,
    ids: Ids,
    left: Arc<AtomicU64>,
}

impl Worker {
    async fn run(mut self, deadline: Instant) -> Result<Tally> {
        let mut tally = Tally::default();
        let mut latency = Histogram::new();
        let mut peer = self.connect().await?;
        let mut reply = Vec::with_capacity(16 * 1024);
        let batch = self.template.id_offsets.len() as u64;
        while self.take(batch) && Instant::now() < deadline {
            self.template.renew(&mut self.ids);
            loop {
                let sent = Instant::now();
                match exchange(&mut peer, &self.template.request, &mut reply).await {
                    Ok(Reply { status: 200..=299, accepted }) => {
                        latency.record(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
                        tally.requests += 1;
                        tally.events += accepted.unwrap_or(batch);
                        break;
                    }
                    Ok(Reply { status: 429 | 503, .. }) => {
                        tally.refused += 1;
                        sleep(REFUSED_PAUSE).await;
                    }
                    Ok(Reply { status, .. }) => {
                        bail!("the server answered {status}: {}", String::from_utf8_lossy(&reply))
                    }
                    Err(_broken) => {
                        tally.errors += 1;
                        peer = self.connect().await?;
                    }
                }
                if Instant::now() >= deadline {
                    break;
                }
            }
        }
        tally.latency = Some(latency);
        Ok(tally)
    }

    async fn connect(&self) -> Result<TcpStream> {
        let peer = TcpStream::connect(&self.address).await;
        let peer = peer.with_context(|| format!("cannot connect to {}", self.address))?;
        peer.set_nodelay(true)?;
        Ok(peer)
    }

    /// Takes the next request's events from what is left to post.
    fn take(&self, batch: u64) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(batch)).is_ok()
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

/// A whole request, and where in it the event ids are.
#[derive(Clone)]
struct Template {
    request: Vec<u8>,
    id_offsets: Vec<usize>,
}

/// Stands where an id will be; no other part of an event holds it.
const NO_ID: &str = "00000000-0000-0000-0000-000000000000";

impl Template {
    fn new(host: &str, key: &str, batch: u64, event_bytes: usize) -> Result<Self> {
        let event = event(event_bytes)?;
        let events = vec![event; usize::try_from(batch)?].join(",");
        let body = if batch == 1 { events } else { format!("[{events}]") };
        let request = format!(
            "POST /v1/events HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let id_offsets = memmem::find_iter(request.as_bytes(), NO_ID).collect();
        Ok(Self { request: request.into_bytes(), id_offsets })
    }

    fn renew(&mut self, ids: &mut Ids) {
        for offset in &self.id_offsets {
            self.request[*offset..*offset + NO_ID.len()].copy_from_slice(&ids.next());
        }
    }
}

/// One event of exactly `bytes` bytes.
fn event(bytes: usize) -> Result<String> {
    let with_note = |note: &str| {
        format!(
            r#"{{"event_id":"{NO_ID}","event_type":"policy_violation","severity":"high","timestamp":"2026-01-15T10:30:00Z","user_email":"ada@example.com","provider":"openai","model":"gpt-4","summary":"max-tokens exceeded","details":{{"policy_name":"max-tokens","threshold":100000,"actual":150000,"note":"{note}"}}}}"#
        )
    };
    let bare = with_note("").len();
    let note = bytes.checked_sub(bare).with_context(|| format!("an event has at least {bare} bytes"))?;
    Ok(with_note(&"n".repeat(note)))
}

/// A connection's source of ids.
struct Ids {
    epoch_millis: u64,
    started: Instant,
    connection: u16,
    count: u64,
}

impl Ids {
    fn next(&mut self) -> [u8; 36] {
        self.count += 1;
        let millis = self.epoch_millis + u64::try_from(self.started.elapsed().as_millis()).unwrap_or(0);
        id(millis, process::id(), self.connection, self.count)
    }
}

/// A UUID v7's text: milliseconds, then what keeps processes, connections and requests apart.
fn id(millis: u64, process: u32, connection: u16, count: u64) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut value = u128::from(millis & 0xffff_ffff_ffff) << 80;
    value |= 0x7 << 76 | u128::from(process & 0xfff) << 64;
    value |= 0b10 << 62 | u128::from(connection & 0x3fff) << 48 | u128::from(count & 0xffff_ffff_ffff);
    let mut text = [b'-'; 36];
    let mut digit = 32;
    for (position, place) in text.iter_mut().enumerate() {
        if !matches!(position, 8 | 13 | 18 | 23) {
            digit -= 1;
            *place = DIGITS[(value >> (4 * digit) & 0xf) as usize];
        }
    }
    text
}

#[expect(clippy::disallowed_methods, reason = "only makes the ids of this run differ from those of any other")]
fn epoch_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_json_of_exactly_the_size_asked_for() {
        let event = event(800).unwrap();
        assert_eq!(event.len(), 800);
        let event: serde_json::Value = serde_json::from_str(&event).unwrap();
        assert_eq!(event["event_type"], "policy_violation");
        assert!(super::event(10).is_err());
    }

    #[test]
    fn ids_are_version_7_and_differ_by_connection_and_count() {
        let text =
            |connection, count| String::from_utf8(id(0x0190_0000_0001, 0x1abc, connection, count).into()).unwrap();
        assert_eq!(text(1, 2), "01900000-0001-7abc-8001-000000000002");
        assert_ne!(text(1, 2), text(2, 2));
        assert_ne!(text(1, 2), text(1, 3));
    }

    #[test]
    fn a_batch_is_one_array_whose_ids_are_all_renewed() {
        let mut template = Template::new("h", "k", 3, 500).unwrap();
        let mut ids = Ids { epoch_millis: 1, started: Instant::now(), connection: 0, count: 0 };
        template.renew(&mut ids);
        let message = wire::message(&template.request).unwrap().unwrap();
        assert_eq!(message.total, template.request.len());
        let events: Vec<serde_json::Value> = serde_json::from_slice(&template.request[message.head..]).unwrap();
        let ids: std::collections::BTreeSet<_> = events.iter().map(|event| event["event_id"].to_string()).collect();
        assert_eq!((events.len(), ids.len()), (3, 3));
        assert!(!ids.iter().any(|id| id.contains(NO_ID)));
    }
}
