//! How a batch becomes a request, and what a reply means. One file per platform; everything else (signing, I/O, retry, redaction,
//! history, metrics) is shared and never repeated there.
//!
//! A [`Destination`] is pure: given the same batch it makes the same bytes, given the same reply it reaches the same [`Verdict`].

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::connector::{Credentials, Platform, PlatformConfig, Settings};
use crate::event::{EventType, Severity, StoredEvent};
use crate::ids::{ConnectorId, OrgId, StreamKind};
use crate::time::Timestamp;

mod advice;
mod body;
mod datadog;
mod datadog_logs;
mod datadog_metrics;
mod elasticsearch;
pub mod reply;
mod splunk;

pub use advice::{advice, search};
pub use elasticsearch::template_step;

/// What a batch may hold at most. Sizes are of the encoded body before compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Events in one request.
    pub events: usize,
    /// Encoded bytes of one request, envelope included.
    pub bytes: usize,
    /// Bytes of the request that are there whatever the batch (brackets, say); counted once beside the events' [`Destination::cost`].
    pub overhead: usize,
}

/// When a batch goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pacing {
    /// At once, whatever is there.
    Live,
    /// In closed windows of acceptance time, one request in flight, each window until it is `max_age` old.
    Windowed {
        /// The length of a window; windows start at its multiples since the epoch.
        window: Duration,
        /// Counted from the window's start; an older window is `expired`.
        max_age: Duration,
    },
}

/// How many events of each type and severity: all that a window of metrics needs to know of its events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tally(Vec<(EventType, Severity, u64)>);

impl Tally {
    /// Counts one more event.
    pub fn add(&mut self, event_type: EventType, severity: Severity) {
        match self.0.binary_search_by_key(&(event_type, severity), |(t, s, _)| (*t, *s)) {
            Ok(at) => self.0[at].2 += 1,
            Err(at) => self.0.insert(at, (event_type, severity, 1)),
        }
    }

    /// The number of events.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, _, n)| n).sum()
    }

    /// Each combination that occurred, ordered, with its count (never zero).
    pub fn iter(&self) -> impl Iterator<Item = (EventType, Severity, u64)> + '_ {
        self.0.iter().copied()
    }
}

/// What one request is to carry.
#[derive(Debug, Clone, Copy)]
pub enum Batch<'a> {
    /// Events, in the order of their sequence. Never empty.
    Events(&'a [Arc<StoredEvent>]),
    /// A closed window of metrics. Not the events themselves: a busy window would not fit into memory.
    Window {
        /// The start of the window, which is the time of its points.
        start: Timestamp,
        /// What happened in it.
        tally: &'a Tally,
    },
}

impl Batch<'_> {
    /// How many events a verdict on this batch speaks of. A window is judged as one.
    pub fn items(&self) -> usize {
        match self {
            Self::Events(events) => events.len(),
            Self::Window { .. } => 1,
        }
    }
}

/// A request method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Read.
    Get,
    /// Send.
    Post,
    /// Create or replace.
    Put,
    /// Change in part. Only the product's own API is asked for it.
    Patch,
    /// Remove. Only the product's own API is asked for it.
    Delete,
}

/// A header's value; a secret one is never printed.
#[derive(Debug, Clone)]
pub enum HeaderText {
    /// May appear in the history.
    Plain(Cow<'static, str>),
    /// Shown as redacted wherever it appears.
    Secret(SecretString),
}

/// A request that is not signed yet. Transport does not accept it: see [`crate::signing::SignedRequest`].
#[derive(Debug, Clone)]
pub struct OutboundRequest {
    /// The HTTP method.
    pub method: Method,
    /// Absolute; holds no secret (tokens travel in headers only).
    pub url: String,
    /// Besides `Content-Length`, `Host`, `User-Agent` and the signatures, which are shared.
    pub headers: Vec<(&'static str, HeaderText)>,
    /// The exact bytes of the body; compressed already where the connector asks for it.
    pub body: Bytes,
}

/// An event that could not be put into the request at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Omitted {
    /// Its position in the batch.
    pub position: usize,
    /// Why; it is parked as rejected with this cause.
    pub cause: Cause,
}

/// A batch made into a request.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// `None` where every event was omitted.
    pub request: Option<OutboundRequest>,
    /// Events that are not in it, by ascending position. The verdict's runs cover the others only.
    pub omitted: Vec<Omitted>,
}

/// Our own failure to make a request: never counted as the receiver's.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The stream was given a kind of batch that it does not take.
    #[error("this stream takes {expected}")]
    WrongBatch {
        /// What it takes.
        expected: &'static str,
    },
    /// Compression failed (out of memory, in practice).
    #[error("the body could not be compressed: {0}")]
    Compression(#[from] std::io::Error),
}

/// What the endpoint answered, as far as it matters.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The `Retry-After` header, as sent.
    pub retry_after: Option<String>,
    /// The `Content-Type` header, as sent.
    pub content_type: Option<String>,
    /// Its headers as sent, those two among them; as many as the history keeps ([`crate::exchange`]).
    pub headers: Vec<(String, Bytes)>,
    /// The body, up to transport's cap.
    pub body: Bytes,
    /// The body was longer than the cap and ends early.
    pub truncated: bool,
}

/// What became of one event, or of several in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The platform has it.
    Delivered {
        /// It has it, but something deserves a person's attention.
        warning: Option<Cause>,
    },
    /// It may be accepted later.
    Retry(Cause),
    /// The platform stopped before it got there: send again at once, nothing was wrong with it.
    Unread,
    /// This event will never be accepted.
    Rejected(Cause),
    /// The settings keep it from being accepted.
    Held(Cause),
}

/// Consecutive events of the batch with the same outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// How many; never zero.
    pub len: usize,
    /// What became of each of them.
    pub outcome: Outcome,
}

/// What a reply says of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Runs over all events that were sent, in order.
    Items(Vec<Run>),
    /// The platform refused the request as a whole and one event, or the size, may be the reason: send it in halves. A single event
    /// (or a window) is rejected with the cause.
    Split(Cause),
}

impl Judgement {
    /// The same outcome for all `items` events.
    pub fn all(items: usize, outcome: Outcome) -> Self {
        let mut runs = Vec::new();
        push_run(&mut runs, items, outcome);
        Self::Items(runs)
    }
}

/// Appends `len` events with the same outcome; joins them to the last run where that has it too, and never adds an empty one.
fn push_run(runs: &mut Vec<Run>, len: usize, outcome: Outcome) {
    match runs.last_mut() {
        _ if len == 0 => {}
        Some(last) if last.outcome == outcome => last.len += len,
        _ => runs.push(Run { len, outcome }),
    }
}

/// What a reply says of the endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointState {
    /// It works.
    Healthy,
    /// It works, but asks for less.
    SlowDown,
    /// It does not take anything now.
    Backoff {
        /// The pause it asked for, as sent (delivery caps it).
        after: Option<Duration>,
    },
    /// It will not take anything until a person changes the settings, here or there.
    Misconfigured(Cause),
}

/// A reference under which the platform will confirm later (Splunk's `ackId`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckRef {
    /// The channel that it belongs to.
    pub channel: String,
    /// The platform's number.
    pub id: u64,
}

/// The meaning of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What became of the events.
    pub judgement: Judgement,
    /// What it says of the endpoint.
    pub endpoint: EndpointState,
    /// Accepted, not yet indexed: delivered only once this is confirmed.
    pub confirm: Option<AckRef>,
}

impl Verdict {
    /// The platform has all `sent` events.
    pub fn delivered(sent: usize, warning: Option<Cause>) -> Self {
        Self {
            judgement: Judgement::all(sent, Outcome::Delivered { warning }),
            endpoint: EndpointState::Healthy,
            confirm: None,
        }
    }

    /// No answer came at all: what became of the `sent` events is unknown, or they never left. `misconfigured` where a person has to
    /// act before it can be otherwise (a certificate that is not trusted, an address that may not be reached).
    pub fn unreachable(cause: Cause, misconfigured: bool, sent: usize) -> Self {
        let (outcome, endpoint) = if misconfigured {
            (Outcome::Held(cause.clone()), EndpointState::Misconfigured(cause))
        } else {
            (Outcome::Retry(cause), EndpointState::Backoff { after: None })
        };
        Self { judgement: Judgement::all(sent, outcome), endpoint, confirm: None }
    }
}

/// The next step of preparing an endpoint (Elasticsearch's index template).
#[derive(Debug, Clone)]
pub enum SetupStep {
    /// Send this, and ask again with its reply appended.
    Send(OutboundRequest),
    /// Nothing more to do.
    Done {
        /// It could not be prepared, but deliveries may go on.
        warning: Option<Cause>,
    },
    /// Deliveries must wait; try the whole set-up again later.
    Hold(Cause),
}

/// Pure. How a batch becomes a request, and what a reply means. A new platform costs one implementation of this, one enum variant and
/// one fixture folder.
pub trait Destination: Send + Sync {
    /// What one request may hold.
    fn limits(&self) -> BatchLimits;

    /// The exact number of bytes that `event` adds to a request's body, before compression; used before a batch is pinned. With
    /// [`BatchLimits::overhead`] once, the sum over a batch is the exact length of its body. Zero for an event that
    /// [`Self::encode`] would omit, and for every event of a stream that sends windows.
    fn cost(&self, event: &StoredEvent) -> usize;

    /// Whether batches go at once or in windows.
    fn pacing(&self) -> Pacing {
        Pacing::Live
    }

    /// Makes the request. Event JSON is spliced in as stored, never parsed and printed again.
    fn encode(&self, batch: Batch<'_>, now: Timestamp) -> Result<Encoded, EncodeError>;

    /// What the reply means for the `sent` events that were in the request. Total: any status and any bytes give a verdict.
    fn classify(&self, reply: &Reply, sent: usize, now: Timestamp) -> Verdict;

    /// What must be in place before the first delivery, step by step; `seen` are the replies so far.
    fn setup(&self, _seen: &[Reply]) -> SetupStep {
        SetupStep::Done { warning: None }
    }

    /// The request that asks for confirmation of `refs`, where the platform has such a thing.
    fn confirm(&self, _refs: &[AckRef]) -> Option<OutboundRequest> {
        None
    }

    /// Which of `refs` a reply to [`Self::confirm`] confirms.
    fn confirmed(&self, _reply: &Reply, _refs: &[AckRef]) -> Vec<AckRef> {
        Vec::new()
    }

    /// Whether a reply to [`Self::confirm`] says that no confirmation will ever come (acknowledgement was switched off there): what
    /// waits is then accepted, unconfirmed, with this cause.
    fn unconfirmable(&self, _reply: &Reply) -> Option<Cause> {
        None
    }
}

/// Why there is no destination for a stream: the caller mixed up connectors, never a person's mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The platform has no such stream.
    #[error("{} has no {kind} stream", platform.as_str())]
    Stream {
        /// The connector's platform.
        platform: Platform,
        /// What was asked for.
        kind: StreamKind,
    },
    /// The credential is another platform's.
    #[error("the credential is not one of {}", platform.as_str())]
    Credentials {
        /// The connector's platform.
        platform: Platform,
    },
}

/// The destination of one stream: `kind` of the connector `connector` of `org`, with its newest settings and credential.
pub fn build(
    settings: &Settings,
    credentials: &Credentials,
    org: OrgId,
    connector: ConnectorId,
    kind: StreamKind,
) -> Result<Box<dyn Destination>, BuildError> {
    let platform = settings.platform();
    let redactor = reply::Redactor::new(settings, credentials);
    let wrong_credentials = BuildError::Credentials { platform };
    Ok(match (&settings.platform, kind) {
        (PlatformConfig::Splunk(config), StreamKind::Events) => {
            let Credentials::HecToken(token) = credentials else { return Err(wrong_credentials) };
            Box::new(splunk::Splunk::new(config, token, connector, settings.compression, redactor))
        }
        (PlatformConfig::Datadog(config), StreamKind::Logs | StreamKind::Metrics) => {
            let Credentials::DatadogApiKey(key) = credentials else { return Err(wrong_credentials) };
            let intake = datadog::Intake::new(config, key, kind, settings.compression, redactor);
            match kind {
                StreamKind::Metrics => Box::new(datadog_metrics::Metrics::new(config, intake, org, connector)),
                StreamKind::Logs | StreamKind::Events => Box::new(datadog_logs::Logs::new(config, intake)),
            }
        }
        (PlatformConfig::Elasticsearch(config), StreamKind::Events) => {
            let authorization = elasticsearch::authorization(config, credentials)?;
            Box::new(elasticsearch::Elasticsearch::new(config, authorization, settings.compression, redactor))
        }
        (_, kind) => return Err(BuildError::Stream { platform, kind }),
    })
}
