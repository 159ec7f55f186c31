//! Traces that follow one event from its intake to each platform.
//!
//! The trace of an event has the event's id as its trace id, and the trace of a delivery the delivery's: nothing has to be stored, a
//! restart changes nothing, and whoever has the id of an event has its trace. Which events are followed is decided by a hash of the id,
//! so that every part of the service decides alike.
//!
//! An event's trace holds `ingest` (from the request to the commit) and, for each delivery that carried it, `deliver` (from the open to the
//! settlement), which links to the delivery's own trace: `delivery`, with an `attempt` for each request. A `traceparent` that the producer
//! sent is kept as a link of `ingest`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use toktra_siem_core::delivery::{Delivery, Status};
use toktra_siem_core::destination::{Judgement, Outcome, Verdict};
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::{EventId, PlatformId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{Appended, Store};

use super::{Answered, Carried};
use span::{Ids, Kind, Link, Span, Value};

pub mod export;
mod otlp;
mod span;

pub use span::Parent;

/// Spans that may wait for the collector; what comes on top is dropped and counted.
const QUEUED: usize = 8192;
/// Events of a delivery that are read again to find those that are followed; a larger one, whose events are not at hand, is not traced.
const LOOKED_UP: u64 = 1000;

/// Makes spans and queues them. Never waits, never fails.
pub struct Tracer {
    queue: mpsc::Sender<Span>,
    sample: Sample,
    counts: Arc<Counts>,
}

/// What became of spans.
#[derive(Debug, Default)]
pub(super) struct Counts {
    exported: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

/// An event of a delivery whose trace is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    event: EventId,
    /// Its place in the delivery.
    position: usize,
    /// What the last answer said of it.
    outcome: Option<&'static str>,
}

/// Which events are followed.
#[derive(Debug, Clone, Copy)]
struct Sample(u64);

impl Sample {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a ratio from 0 to 1; a float saturates"
    )]
    fn new(ratio: f64) -> Self {
        Self((ratio * 2f64.powi(64)) as u64)
    }

    /// Ids are whatever producers make of them, and times in their first half are no chance: they are mixed first (SplitMix64's finish).
    fn holds(self, id: EventId) -> bool {
        let (high, low) = id.0.as_u64_pair();
        let mut mixed = high ^ low.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15;
        for factor in [0xbf58_476d_1ce4_e5b9u64, 0x94d0_49bb_1331_11eb] {
            mixed = (mixed ^ (mixed >> 29)).wrapping_mul(factor);
        }
        mixed ^= mixed >> 31;
        mixed < self.0 || self.0 == u64::MAX
    }
}

impl Tracer {
    /// A tracer that follows this share of events, and the queue of its spans.
    fn new(ratio: f64) -> (Self, mpsc::Receiver<Span>, Arc<Counts>) {
        let (queue, spans) = mpsc::channel(QUEUED);
        let counts = Arc::new(Counts::default());
        (Self { queue, sample: Sample::new(ratio), counts: Arc::clone(&counts) }, spans, counts)
    }

    /// Spans that were exported, dropped, and refused by the collector.
    pub(super) fn counts(&self) -> [u64; 3] {
        let Counts { exported, dropped, failed } = &*self.counts;
        [exported, dropped, failed].map(|count| count.load(Ordering::Relaxed))
    }

    fn send(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Events are on disk. A duplicate has the trace of its original, which is there already.
    pub(super) fn ingested(
        &self,
        events: &[EventId],
        appended: &[Appended],
        (at, took): (Timestamp, Duration),
        parent: Option<Parent>,
    ) {
        for (event, appended) in events.iter().zip(appended) {
            let Appended::Accepted(seq) = appended else { continue };
            if !self.sample.holds(*event) {
                continue;
            }
            self.send(Span {
                ids: Ids::ingest(*event),
                parent: None,
                name: "ingest",
                kind: Kind::Server,
                start: span::nanos(at),
                end: span::nanos(at).saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)),
                attributes: vec![
                    ("toktra.event.id", Value::Text(event.to_string())),
                    ("toktra.event.sequence", Value::number(seq.0)),
                ],
                links: parent.into_iter().map(|Parent(ids)| Link(ids)).collect(),
                error: None,
            });
        }
    }

    /// The followed events of a delivery.
    pub(super) async fn follow(
        &self,
        store: &dyn Store,
        delivery: &Delivery,
        events: Option<&[Arc<StoredEvent>]>,
    ) -> Vec<Followed> {
        let found;
        let events = match events {
            Some(events) => events,
            None if delivery.members.len() as u64 > LOOKED_UP => return Vec::new(),
            None => {
                // Where they cannot be read there is no trace; whoever sends them says why.
                found = store.read_members(delivery.org, &delivery.members).await.unwrap_or_default();
                &found
            }
        };
        let events = events.iter().map(|event| event.event_id).enumerate();
        let followed = events.filter(|(_, id)| self.sample.holds(*id));
        followed.map(|(position, event)| Followed { event, position, outcome: None }).collect()
    }

    /// An attempt of a delivery with followed events has ended; notes what it said of each.
    pub(super) fn attempted(&self, answered: &Answered<'_>, carried: &mut Carried) {
        let Answered { platform, delivery, verdict, attempt } = answered;
        note_outcomes(verdict, carried);
        let start = span::nanos(attempt.at);
        let mut attributes = about(*platform, delivery);
        attributes.push(("toktra.attempt.number", Value::number(attempt.number.into())));
        attributes
            .extend(attempt.http_status.map(|status| ("http.response.status_code", Value::number(status.into()))));
        attributes.extend(attempt.cause.as_ref().map(|cause| ("toktra.cause", Value::Text(cause.code.to_string()))));
        self.send(Span {
            ids: Ids::attempt(delivery.id, attempt.number),
            parent: Some(Ids::delivery(delivery.id).span),
            name: "attempt",
            kind: Kind::Client,
            start,
            end: start.saturating_add(attempt.duration_ms.saturating_mul(1_000_000)),
            attributes,
            links: Vec::new(),
            error: attempt.cause.as_ref().filter(|_| !all_delivered(verdict)).map(|cause| cause.message.clone()),
        });
    }

    /// A delivery with followed events is settled.
    pub(super) fn settled(
        &self,
        platform: PlatformId,
        delivery: &Delivery,
        status: Option<u16>,
        followed: &[Followed],
    ) {
        if followed.is_empty() {
            return;
        }
        let (start, end) =
            (span::nanos(delivery.created_at), span::nanos(delivery.settled_at.unwrap_or(delivery.created_at)));
        let bad = matches!(delivery.status, Status::Failed | Status::Rejected | Status::Partial);
        let error = delivery.cause.as_ref().filter(|_| bad).map(|cause| cause.message.clone());
        let mut attributes = about(platform, delivery);
        attributes.push(("toktra.delivery.status", Value::Word(delivery.status.as_str())));
        attributes.push(("toktra.delivery.attempts", Value::number(delivery.attempts.into())));
        attributes.extend(status.map(|status| ("http.response.status_code", Value::number(status.into()))));
        let ids = Ids::delivery(delivery.id);
        let events = Value::number(delivery.events());
        self.send(Span {
            ids,
            parent: None,
            name: "delivery",
            kind: Kind::Internal,
            start,
            end,
            attributes: attributes.iter().cloned().chain([("toktra.delivery.events", events)]).collect(),
            links: delivery.parent.map(|parent| Link(Ids::delivery(parent))).into_iter().collect(),
            error: error.clone(),
        });
        for Followed { event, outcome, .. } in followed {
            let own = outcome.map(|outcome| ("toktra.event.outcome", Value::Word(outcome)));
            self.send(Span {
                ids: Ids::deliver(*event, delivery.id),
                parent: Some(Ids::ingest(*event).span),
                name: "deliver",
                kind: Kind::Internal,
                start,
                end,
                attributes: attributes.iter().cloned().chain(own).collect(),
                links: vec![Link(ids)],
                error: error.clone(),
            });
        }
    }
}

/// What every span of a delivery says.
fn about(platform: PlatformId, delivery: &Delivery) -> Vec<(&'static str, Value)> {
    vec![
        ("toktra.delivery.id", Value::Text(delivery.id.to_string())),
        ("toktra.org.id", Value::Text(delivery.org.to_string())),
        ("toktra.connector.id", Value::Text(delivery.stream.connector.to_string())),
        ("toktra.stream", Value::Word(delivery.stream.kind.as_str())),
        ("toktra.platform", Value::Text(platform.to_string())),
        ("toktra.delivery.trigger", Value::Word(delivery.trigger.as_str())),
    ]
}

fn all_delivered(verdict: &Verdict) -> bool {
    matches!(verdict.judgement.clone().by_item(), Judgement::Items(runs) if runs.iter().all(|run| matches!(run.outcome, Outcome::Delivered { .. })))
}

/// Notes what the answer said of each followed event, where it speaks of each event.
fn note_outcomes(verdict: &Verdict, carried: &mut Carried) {
    let Judgement::Items(runs) = verdict.judgement.clone().by_item() else { return };
    if runs.iter().map(|run| run.len).sum::<usize>() != carried.count() {
        return;
    }
    let mut rest = carried.followed.iter_mut().peekable();
    let mut end = 0;
    for run in runs {
        end += run.len;
        while let Some(followed) = rest.next_if(|followed| followed.position < end) {
            followed.outcome = Some(word(&run.outcome));
        }
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered { .. } => "delivered",
        Outcome::Retry(_) => "retry",
        Outcome::Unread => "unread",
        Outcome::Rejected(_) | Outcome::Refused(_) => "rejected",
        Outcome::Held(_) => "held",
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_sample_holds_its_share_of_any_kind_of_id() {
        let in_a_row: fn(u128) -> u128 = |n| n;
        let by_time: fn(u128) -> u128 = |n| (0x0194_6a00_0000_7000 + n * 65_536) << 64 | 0x8000_0000_0000_0000;
        for ids in [in_a_row, by_time] {
            let held = |ratio: f64| {
                let sample = Sample::new(ratio);
                (0..20_000).filter(|n| sample.holds(EventId(Uuid::from_u128(ids(*n))))).count()
            };
            assert_eq!((held(0.0), held(1.0)), (0, 20_000));
            assert!((1_800..2_200).contains(&held(0.1)), "{}", held(0.1));
        }
    }

    #[test]
    fn each_followed_event_has_the_outcome_of_its_place() {
        let run = |len, outcome| toktra_siem_core::destination::Run { len, outcome };
        let delivered = Outcome::Delivered { warning: None };
        let verdict = Verdict {
            judgement: Judgement::Items(vec![run(2, delivered), run(1, Outcome::Unread)]),
            ..Verdict::delivered(0, None)
        };
        let followed = |position| Followed { event: EventId(Uuid::nil()), position, outcome: None };
        let mut carried = Carried { accepted: vec![(Timestamp(0), 3)], followed: vec![followed(1), followed(2)] };
        note_outcomes(&verdict, &mut carried);
        let outcomes: Vec<_> = carried.followed.iter().map(|followed| followed.outcome).collect();
        assert_eq!(outcomes, [Some("delivered"), Some("unread")]);
        let mut window = Carried { accepted: Vec::new(), followed: vec![followed(0)] };
        note_outcomes(&verdict, &mut window);
        assert_eq!(window.followed[0].outcome, None);
    }

    #[test]
    fn spans_without_room_are_dropped_and_counted() {
        let (tracer, mut spans, _) = Tracer::new(1.0);
        let events = vec![EventId(Uuid::from_u128(1)); QUEUED + 3];
        let appended = vec![Appended::Accepted(toktra_siem_core::ids::Seq(1)); QUEUED + 3];
        tracer.ingested(&events, &appended, (Timestamp(0), Duration::ZERO), None);
        assert_eq!(tracer.counts(), [0, 3, 0]);
        assert_eq!(spans.try_recv().unwrap().name, "ingest");
    }
}
