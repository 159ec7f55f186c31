//! Datadog Logs v2: an array of entries, each the stored event's own members beside those that Datadog reserves. None of the reserved
//! names is one of an event's members, so that nothing is overwritten.
//!
//! Facts: Datadog's API reference, "Logs" (v2) and "Metrics" (v2).

use serde::Serialize;

use toktra_siem_core::cause::Cause;
use toktra_siem_core::event::{EventType, Severity, StoredEvent};
use toktra_siem_core::ids::EventId;
use toktra_siem_core::time::Timestamp;

use super::intake::{Config, HOSTNAME, Intake, SOURCE};
use super::search::Search;
use crate::body;
use crate::destination::{Batch, BatchLimits, Destination, EncodeError, Encoded, Omitted, Reply, Verdict};
use crate::search::{Lookup, Sighting};

/// Entries in one request.
const MAX_ENTRIES: usize = 1_000;
/// One request, uncompressed. The limit is 5 MB; Vector stays at this, and so do we.
const MAX_BYTES: usize = 4_250_000;
/// One entry. Datadog truncates what is larger, with a 2xx: refused here instead, visibly.
const MAX_ENTRY_BYTES: usize = 1_000_000;

/// The log stream of a Datadog connector.
pub(super) struct Logs {
    intake: Intake,
    search: Search,
    /// What an entry begins with, up to the event's own members: by event type, then by severity.
    heads: Vec<Vec<u8>>,
}

/// The members that Datadog reserves, in the order in which they are written. `message`, which can be long, stands before `summary`.
#[derive(Serialize)]
struct Reserved<'a> {
    ddsource: &'static str,
    ddtags: &'a str,
    hostname: &'static str,
    service: &'a str,
    status: &'static str,
}

impl Logs {
    /// A connector's log stream.
    pub(super) fn new(config: &Config, intake: Intake, search: Search) -> Self {
        let combinations = EventType::ALL.iter().flat_map(|t| Severity::ALL.iter().map(move |s| (*t, *s)));
        let heads = combinations.map(|(event_type, severity)| head(config, event_type, severity)).collect();
        Self { intake, search, heads }
    }

    /// The pieces of an entry: head, the small members of the event, `message`, and its other members with the closing brace.
    fn pieces<'a>(&'a self, event: &'a StoredEvent) -> Result<[&'a [u8]; 6], Cause> {
        let head = &self.heads[event.event_type as usize * Severity::ALL.len() + event.severity as usize];
        let message = body::raw_members(&event.payload)?.summary.get().as_bytes();
        let (small, others) = event.payload.split_at(body::member_start(&event.payload, "summary"));
        let pieces = [head, &small[1..], br#""message":"#, message, b",", others];
        let bytes = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        if bytes > MAX_ENTRY_BYTES {
            return Err(Cause::new(
                "datadog_entry_too_large",
                format!(
                    "This event makes a log entry of {bytes} bytes, and Datadog cuts entries over {MAX_ENTRY_BYTES}, so it \
                     was not sent. Send less in its details."
                ),
            ));
        }
        Ok(pieces)
    }
}

fn head(config: &Config, event_type: EventType, severity: Severity) -> Vec<u8> {
    // One string, joined by commas: an array would be a bug. Only what has few values.
    let ddtags = format!("event_type:{event_type},severity:{severity},source:{SOURCE}");
    let mut head = body::json(&Reserved {
        ddsource: SOURCE,
        ddtags: &ddtags,
        hostname: HOSTNAME,
        service: &config.service,
        status: status(event_type, severity),
    });
    head.pop();
    head.push(b',');
    head
}

/// Datadog's log status (Datadog's documentation, "Log status remapper"): by severity, but a sign of life is only information.
fn status(event_type: EventType, severity: Severity) -> &'static str {
    match (event_type, severity) {
        (EventType::TestConnection | EventType::Heartbeat, _) => "info",
        (_, Severity::Low) => "notice",
        (_, Severity::Medium) => "warning",
        (_, Severity::High) => "error",
        (_, Severity::Critical) => "critical",
    }
}

/// The length of an entry: its pieces, and the comma (or the bracket) after it.
fn entry_cost(pieces: &[&[u8]; 6]) -> usize {
    pieces.iter().map(|piece| piece.len()).sum::<usize>() + ",".len()
}

impl Destination for Logs {
    fn limits(&self) -> BatchLimits {
        // `[`: the closing bracket stands where the last entry's comma would.
        BatchLimits { events: MAX_ENTRIES, bytes: MAX_BYTES, overhead: 1 }
    }

    fn cost(&self, event: &StoredEvent) -> usize {
        self.pieces(event).map_or(0, |pieces| entry_cost(&pieces))
    }

    fn encode(&self, batch: Batch<'_>, _now: Timestamp) -> Result<Encoded, EncodeError> {
        let Batch::Events(events) = batch else { return Err(EncodeError::WrongBatch { expected: "events" }) };
        let mut entries = Vec::with_capacity(events.len());
        let mut omitted = Vec::new();
        for (position, event) in events.iter().enumerate() {
            match self.pieces(event) {
                Ok(pieces) => entries.push(pieces),
                Err(cause) => omitted.push(Omitted { position, cause }),
            }
        }
        if entries.is_empty() {
            return Ok(Encoded { request: None, omitted });
        }
        let mut body = Vec::with_capacity(1 + entries.iter().map(entry_cost).sum::<usize>());
        body.push(b'[');
        for pieces in entries {
            for piece in pieces {
                body.extend_from_slice(piece);
            }
            body.push(b',');
        }
        body.pop();
        body.push(b']');
        Ok(Encoded { request: Some(self.intake.request(body)?), omitted })
    }

    fn classify(&self, reply: &Reply, sent: usize, now: Timestamp) -> Verdict {
        self.intake.classify(reply, sent, now)
    }

    fn look_for(&self, event: EventId, event_time: Timestamp) -> Lookup {
        self.search.look_for(event, event_time)
    }

    fn seen(&self, reply: &Reply) -> Sighting {
        Search::seen(self.intake.endpoint(), reply)
    }

    fn not_found(&self) -> String {
        Search::not_found()
    }
}
