//! What a receiver remembers: every request, every accepted event, every breach of the platform's rules, and the counts
//! that the oracle reads. Whoever waits is woken by each change.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::request::Received;

/// How much of what arrives is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recording {
    /// Strict rules; requests, events and violations are kept. For tests.
    #[default]
    Full,
    /// Strict rules; only the event ids with their counts, and the violations, are kept. For long runs with an oracle.
    Ids,
    /// Credentials and size are checked and events are counted without being parsed; nothing is kept. For benchmarks.
    Counts,
}

/// One request, in the order in which the receiver had read it to its end.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its number in receive order, from 0.
    pub order: u64,
    /// The method.
    pub method: Method,
    /// Path and query as sent.
    pub uri: Uri,
    /// The headers as received.
    pub headers: HeaderMap,
    /// The body's exact bytes on the wire: what a signature covers.
    pub wire: Bytes,
    /// The body with its `Content-Encoding` undone; `None` where that failed.
    pub body: Option<Bytes>,
    /// The status that was answered; `None` while, or because, there was no answer.
    pub status: Option<StatusCode>,
}

impl Recorded {
    /// A header's value as text, where it is present and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The path without its query.
    pub fn path(&self) -> &str {
        self.uri.path()
    }
}

/// One event that the platform took in.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The number of the request that brought it ([`Recorded::order`]).
    pub request: u64,
    /// Its place within that request, from 0.
    pub position: usize,
    /// Its `event_id`, where the event is an object that has one.
    pub event_id: Option<String>,
    /// The event's bytes exactly as sent: Splunk's `event` object, Datadog's whole entry, Elasticsearch's source line.
    pub event: Bytes,
    /// What stood around the event (Splunk's envelope, Elasticsearch's action), or Datadog's own attributes in it.
    pub meta: Map<String, Value>,
}

/// A breach of the platform's rules by the sender. A correct sender causes none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The number of the request ([`Recorded::order`]).
    pub request: u64,
    /// Which rule, and how it was broken.
    pub rule: String,
}

/// Totals since the receiver was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counts {
    /// Requests read to their end (or to where a script broke them off).
    pub requests: u64,
    /// Requests that got an answer.
    pub answered: u64,
    /// Events accepted.
    pub events: u64,
    /// Breaches of the platform's rules.
    pub violations: u64,
}

/// Everything that a receiver remembers, as seen at one moment.
#[derive(Debug, Default)]
pub struct Log {
    /// Totals.
    pub counts: Counts,
    /// Requests, with [`Recording::Full`].
    pub requests: Vec<Recorded>,
    /// Accepted events, with [`Recording::Full`].
    pub events: Vec<Accepted>,
    /// Breaches of the rules.
    pub violations: Vec<Violation>,
    /// How often each `event_id` was accepted; not with [`Recording::Counts`].
    pub event_ids: BTreeMap<String, u64>,
}

/// What the rules of a platform decided about one request.
pub(crate) struct Findings {
    pub(crate) accepted: Vec<Accepted>,
    /// Accepted events that were only counted.
    pub(crate) counted: u64,
    pub(crate) violations: Vec<String>,
}

pub(super) struct Recorder {
    recording: Recording,
    log: Mutex<Log>,
    file: Option<Mutex<File>>,
    changed: watch::Sender<()>,
}

impl Recorder {
    pub(super) fn new(recording: Recording, file: Option<&Path>) -> io::Result<Self> {
        if recording == Recording::Counts && file.is_some() {
            let why = "a record file needs the events themselves, which `Recording::Counts` never looks at";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let file = file.map(|path| File::options().create(true).append(true).open(path)).transpose()?;
        Ok(Self { file: file.map(Mutex::new), ..Self::in_memory(recording) })
    }

    /// One that writes no file.
    pub(super) fn in_memory(recording: Recording) -> Self {
        Self { recording, log: Mutex::new(Log::default()), file: None, changed: watch::Sender::new(()) }
    }

    pub(super) fn recording(&self) -> Recording {
        self.recording
    }

    /// Notes a request and gives it its number.
    pub(super) fn arrived(&self, request: &Received) -> u64 {
        let mut log = self.log.lock();
        let order = log.counts.requests;
        log.counts.requests += 1;
        if self.recording == Recording::Full {
            let head = request.head();
            log.requests.push(Recorded {
                order,
                method: head.method.clone(),
                uri: head.uri.clone(),
                headers: head.headers.clone(),
                wire: request.wire().clone(),
                body: request.body().ok().cloned(),
                status: None,
            });
        }
        drop(log);
        self.changed.send_replace(());
        order
    }

    /// Notes what a request brought, in the record file first: the oracle never knows less than the sender is told.
    pub(super) fn found(&self, order: u64, findings: Findings) -> io::Result<()> {
        self.append_to_file(&findings.accepted)?;
        self.note(findings, order);
        Ok(())
    }

    /// Notes what a request brought.
    pub(super) fn note(&self, findings: Findings, order: u64) {
        let Findings { accepted, counted, violations } = findings;
        let mut log = self.log.lock();
        log.counts.events += accepted.len() as u64 + counted;
        log.counts.violations += violations.len() as u64;
        log.violations.extend(violations.into_iter().map(|rule| Violation { request: order, rule }));
        for event in accepted {
            if let Some(id) = &event.event_id {
                match log.event_ids.get_mut(id) {
                    Some(count) => *count += 1,
                    None => drop(log.event_ids.insert(id.clone(), 1)),
                }
            }
            if self.recording == Recording::Full {
                log.events.push(event);
            }
        }
        drop(log);
        self.changed.send_replace(());
    }

    /// One line per event. JSON holds a raw line feed only as whitespace between tokens, so a blank stands for it.
    fn append_to_file(&self, accepted: &[Accepted]) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut lines = Vec::with_capacity(accepted.iter().map(|event| event.event.len() + 1).sum());
        for event in accepted {
            lines.extend(event.event.iter().map(|&byte| if byte == b'\n' { b' ' } else { byte }));
            lines.push(b'\n');
        }
        file.lock().write_all(&lines)
    }

    pub(super) fn answered(&self, order: u64, status: StatusCode) {
        let mut log = self.log.lock();
        log.counts.answered += 1;
        if self.recording == Recording::Full
            && let Some(request) = usize::try_from(order).ok().and_then(|index| log.requests.get_mut(index))
        {
            request.status = Some(status);
        }
        drop(log);
        self.changed.send_replace(());
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        look(&self.log.lock())
    }

    pub(super) async fn wait_until(&self, mut condition: impl FnMut(&Log) -> bool) {
        let mut changes = self.changed.subscribe();
        // The sender lives in `self`, so the channel cannot close while this waits.
        while !self.read(&mut condition) && changes.changed().await.is_ok() {}
    }
}
