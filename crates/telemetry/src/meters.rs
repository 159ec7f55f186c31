//! What is counted in memory, from the start of the process on: additions without a lock for everything that happens once per event.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use toktra_siem_core::delivery::{Delivery, Status};
use toktra_siem_core::destination::{Judgement, Outcome, Verdict};
use toktra_siem_core::histogram::Histogram;
use toktra_siem_core::ids::{PlatformId, StreamId, StreamKind};
use toktra_siem_core::invariant::Invariant;
use toktra_siem_core::time::Timestamp;
use toktra_siem_platform::Registry;
use toktra_siem_store::Appended;
use toktra_siem_wire::Code;

use super::Answered;

/// Of an intake, and of the wait for the disk in it.
const INTAKE_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Of one request to a platform; its deadline is 30 seconds.
const ATTEMPT_SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0];
/// From a few milliseconds to a day: an outage is a part of it.
const LATENCY_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 43_200.0,
    86_400.0,
];

/// What answers are told apart by; `none` where no answer came.
pub(super) const STATUS_CLASSES: [&str; 6] = ["2xx", "3xx", "4xx", "5xx", "other", "none"];

/// How a delivery ends.
pub(super) const ENDS: [Status; 5] =
    [Status::Delivered, Status::Partial, Status::Split, Status::Rejected, Status::Failed];

/// The invariants that the running service checks; the others need an outside view, which tests have.
pub(super) const CHECKED: [Invariant; 3] = [Invariant::D1, Invariant::D2, Invariant::D3];

/// What all streams of a kind have in common: figures by lane are as many as platforms, not as connectors.
pub(super) struct Lane {
    pub(super) platform: PlatformId,
    pub(super) kind: StreamKind,
    /// By [`STATUS_CLASSES`].
    pub(super) attempts: [AtomicU64; STATUS_CLASSES.len()],
    pub(super) not_made: AtomicU64,
    /// By [`ENDS`].
    pub(super) deliveries: [AtomicU64; ENDS.len()],
    pub(super) attempt_seconds: Histogram,
    pub(super) latency_seconds: Histogram,
}

/// Everything that is counted.
pub(super) struct Meters {
    pub(super) started_at: Timestamp,
    pub(super) accepted: AtomicU64,
    pub(super) duplicates: AtomicU64,
    /// By [`Code::ALL`].
    pub(super) refused: [AtomicU64; Code::ALL.len()],
    pub(super) ingest_seconds: Histogram,
    pub(super) append_seconds: Histogram,
    /// One for each stream of each platform that there is.
    pub(super) lanes: Vec<Lane>,
    /// Requests under way, of streams that have any. Locked once for a request, never for an event.
    flights: Mutex<HashMap<StreamId, u64>>,
    /// Until when the certificate of each stream's receiver is valid, as far as one was seen. Locked once for a request as well.
    receivers: Mutex<HashMap<StreamId, Timestamp>>,
    /// By [`CHECKED`].
    pub(super) violations: [AtomicU64; CHECKED.len()],
    /// `None` before the first look.
    watched: Mutex<Option<Seen>>,
}

/// What the watchdog saw.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Streams in which events wait and nothing moves.
    pub stalled: HashSet<StreamId>,
    /// Streams for which this service knows that it cannot do its part.
    pub failing: HashSet<StreamId>,
    /// When the dispatcher turned last.
    pub turned: Instant,
}

impl Seen {
    /// How many connectors are stalled.
    pub(super) fn connectors(&self) -> usize {
        self.stalled.iter().map(|stream| stream.connector).collect::<HashSet<_>>().len()
    }

    /// For how long the dispatcher has said nothing.
    pub(super) fn silent(&self) -> Duration {
        self.turned.elapsed()
    }
}

/// A request under way.
pub struct Flight<'a> {
    meters: &'a Meters,
    stream: StreamId,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut flights = self.meters.flights.lock();
        if let Some(under_way) = flights.get_mut(&self.stream) {
            *under_way = under_way.saturating_sub(1);
            if *under_way == 0 {
                flights.remove(&self.stream);
            }
        }
    }
}

impl Lane {
    fn new(platform: PlatformId, kind: StreamKind) -> Self {
        Self {
            platform,
            kind,
            attempts: Default::default(),
            not_made: AtomicU64::new(0),
            deliveries: Default::default(),
            attempt_seconds: Histogram::new(ATTEMPT_SECONDS),
            latency_seconds: Histogram::new(LATENCY_SECONDS),
        }
    }
}

fn add(counters: &[AtomicU64], at: Option<usize>) {
    if let Some(counter) = at.and_then(|at| counters.get(at)) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Meters {
    pub(super) fn new(started_at: Timestamp, registry: &Registry) -> Self {
        let lanes =
            registry.descriptors().flat_map(|known| known.streams.iter().map(|kind| Lane::new(known.id, *kind)));
        Self {
            started_at,
            accepted: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            refused: Default::default(),
            ingest_seconds: Histogram::new(INTAKE_SECONDS),
            append_seconds: Histogram::new(INTAKE_SECONDS),
            lanes: lanes.collect(),
            flights: Mutex::default(),
            receivers: Mutex::default(),
            violations: Default::default(),
            watched: Mutex::default(),
        }
    }

    /// `None` for a platform that is not there: nothing is sent to it.
    fn lane(&self, platform: PlatformId, kind: StreamKind) -> Option<&Lane> {
        self.lanes.iter().find(|lane| (lane.platform, lane.kind) == (platform, kind))
    }

    pub(super) fn ingested(&self, whole: Duration, append: Duration, appended: &[Appended]) {
        let accepted = appended.iter().filter(|one| matches!(one, Appended::Accepted(_))).count();
        self.accepted.fetch_add(accepted as u64, Ordering::Relaxed);
        self.duplicates.fetch_add((appended.len() - accepted) as u64, Ordering::Relaxed);
        self.ingest_seconds.observe_time(whole);
        self.append_seconds.observe_time(append);
    }

    /// Events that were accepted, and duplicates.
    pub(super) fn taken_in(&self) -> (u64, u64) {
        (self.accepted.load(Ordering::Relaxed), self.duplicates.load(Ordering::Relaxed))
    }

    pub(super) fn refused(&self, code: Code) {
        add(&self.refused, Code::ALL.iter().position(|known| *known == code));
    }

    pub(super) fn in_flight(&self, stream: StreamId) -> Flight<'_> {
        *self.flights.lock().entry(stream).or_default() += 1;
        Flight { meters: self, stream }
    }

    pub(super) fn flights(&self) -> HashMap<StreamId, u64> {
        self.flights.lock().clone()
    }

    pub(super) fn certificate(&self, stream: StreamId, until: Option<Timestamp>) {
        let mut receivers = self.receivers.lock();
        match until {
            Some(until) => receivers.insert(stream, until),
            None => receivers.remove(&stream),
        };
    }

    pub(super) fn watch(&self, seen: Seen) {
        *self.watched.lock() = Some(seen);
    }

    pub(super) fn watched(&self) -> Option<Seen> {
        self.watched.lock().clone()
    }

    /// Until when the certificates of these streams' receivers are valid, of those that were seen.
    pub(super) fn receivers(&self, streams: impl Iterator<Item = StreamId>) -> Vec<Timestamp> {
        let receivers = self.receivers.lock();
        streams.filter_map(|stream| receivers.get(&stream).copied()).collect()
    }

    pub(super) fn not_made(&self, platform: PlatformId, kind: StreamKind) {
        if let Some(lane) = self.lane(platform, kind) {
            lane.not_made.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn attempted(&self, answered: &Answered<'_>, accepted: &[(Timestamp, usize)], now: Timestamp) {
        let Some(lane) = self.lane(answered.platform, answered.delivery.stream.kind) else { return };
        let class = match answered.attempt.http_status {
            None => STATUS_CLASSES.len() - 1,
            Some(status) => match status / 100 {
                class @ 2..=5 => usize::from(class) - 2,
                _ => STATUS_CLASSES.len() - 2,
            },
        };
        add(&lane.attempts, Some(class));
        lane.attempt_seconds.observe_time(Duration::from_millis(answered.attempt.duration_ms));
        if answered.delivery.accounted {
            observe_latency(&lane.latency_seconds, accepted, answered.verdict, now);
        }
    }

    pub(super) fn settled(&self, platform: PlatformId, delivery: &Delivery) {
        // The failed probes of an outage are attempts of one delivery.
        let failed_probe = delivery.probe && delivery.status == Status::Failed;
        if let Some(lane) = self.lane(platform, delivery.stream.kind).filter(|_| !failed_probe) {
            add(&lane.deliveries, ENDS.iter().position(|end| *end == delivery.status));
        }
        // What stays undelivered goes on in a delivery of its own, so that no delivery has more attempts than these.
        if delivery.attempts > MOST_ATTEMPTS {
            tracing::error!(delivery = %delivery.id, attempts = delivery.attempts, invariant = %Invariant::D2,
                "a delivery had more attempts than it may have");
            self.violated(Invariant::D2);
        }
    }

    pub(super) fn violated(&self, invariant: Invariant) {
        add(&self.violations, CHECKED.iter().position(|known| *known == invariant));
    }
}

/// Product spec, "Retry behavior"; invariant D2.
const MOST_ATTEMPTS: u32 = 3;

/// How long each delivered event took from its acceptance. Events of one time are counted together.
fn observe_latency(histogram: &Histogram, accepted: &[(Timestamp, usize)], verdict: &Verdict, now: Timestamp) {
    let Judgement::Items(runs) = verdict.judgement.clone().by_item() else { return };
    if runs.iter().map(|run| run.len).sum::<usize>() != accepted.iter().map(|(_, count)| count).sum::<usize>() {
        return;
    }
    let mut rest = accepted.iter().copied();
    let mut present = (Timestamp(0), 0);
    for run in runs {
        let mut left = run.len;
        while left > 0 {
            if present.1 == 0 {
                let Some(next) = rest.next() else { return };
                present = next;
                continue;
            }
            let (at, count) = (present.0, present.1.min(left));
            if matches!(run.outcome, Outcome::Delivered { .. }) {
                histogram.observe_many(now.since(at).as_secs_f64(), count as u64);
            }
            present.1 -= count;
            left -= count;
        }
    }
}

#[cfg(test)]
mod tests {
    use toktra_siem_core::cause::Cause;
    use toktra_siem_core::delivery::{Attempt, Trigger};
    use toktra_siem_core::destination::{EndpointState, Run};
    use toktra_siem_core::ids::{ConnectorId, DeliveryId, OrgId, Seq};
    use toktra_siem_core::members::Members;
    use uuid::Uuid;

    use super::*;

    const ORG: OrgId = OrgId(Uuid::nil());
    const STREAM: StreamId = StreamId { connector: ConnectorId(Uuid::nil()), kind: StreamKind::Logs };

    fn delivery() -> Delivery {
        let members = Members::from_ascending((1..=3).map(Seq));
        Delivery::new(DeliveryId(Uuid::nil()), ORG, STREAM, Trigger::Live, members, Timestamp(0))
    }

    fn attempt(http_status: Option<u16>) -> Attempt {
        Attempt {
            number: 1,
            at: Timestamp(0),
            duration_ms: 20,
            http_status,
            excerpt: None,
            cause: None,
            request: None,
            response_headers: None,
        }
    }

    #[test]
    fn an_attempt_counts_in_its_lane_and_the_latency_of_what_it_delivered_only() {
        let meters = Meters::new(Timestamp(0), &Registry::standard());
        let accepted = [(Timestamp(0), 1), (Timestamp(1_000), 2)];
        let runs = vec![
            Run { len: 2, outcome: Outcome::Delivered { warning: None } },
            Run { len: 1, outcome: Outcome::Rejected(Cause::new("x", "y")) },
        ];
        let verdict = Verdict { judgement: Judgement::Items(runs), endpoint: EndpointState::Healthy, confirm: None };
        let delivery = delivery();
        for (status, class) in
            [(Some(202), 0), (Some(301), 1), (Some(403), 2), (Some(503), 3), (Some(100), 4), (None, 5)]
        {
            let attempt = attempt(status);
            let answered = Answered {
                platform: toktra_siem_platform::datadog::Datadog::ID,
                delivery: &delivery,
                verdict: &verdict,
                attempt: &attempt,
            };
            meters.attempted(&answered, &accepted, Timestamp(8_000));
            assert_eq!(meters.lanes[1].attempts[class].load(Ordering::Relaxed), 1, "{status:?}");
        }
        let latency = meters.lanes[1].latency_seconds.read();
        assert_eq!(latency.count, 12);
        assert!((latency.sum - 90.0).abs() < 1e-6, "{}", latency.sum);
        assert_eq!(meters.lanes[0].latency_seconds.read().count, 0);
    }

    #[test]
    fn requests_under_way_are_counted_while_they_are() {
        let meters = Meters::new(Timestamp(0), &Registry::standard());
        let (first, second) = (meters.in_flight(STREAM), meters.in_flight(STREAM));
        assert_eq!(meters.flights().get(&STREAM), Some(&2));
        drop(first);
        assert_eq!(meters.flights().get(&STREAM), Some(&1));
        drop(second);
        assert!(meters.flights().is_empty());
    }

    #[test]
    fn the_certificate_that_was_seen_last_counts_and_only_of_streams_that_are_asked_for() {
        let meters = Meters::new(Timestamp(0), &Registry::standard());
        let other = StreamId { kind: StreamKind::Metrics, ..STREAM };
        for (stream, until) in [(STREAM, 5), (other, 3), (STREAM, 7)] {
            meters.certificate(stream, Some(Timestamp(until)));
        }
        assert_eq!(meters.receivers([STREAM].into_iter()), [Timestamp(7)]);
        meters.certificate(STREAM, None);
        assert_eq!(meters.receivers([STREAM, other].into_iter()), [Timestamp(3)]);
    }

    #[test]
    fn a_delivery_with_too_many_attempts_is_a_breach() {
        let meters = Meters::new(Timestamp(0), &Registry::standard());
        let mut delivery = delivery();
        (delivery.status, delivery.attempts) = (Status::Failed, 3);
        meters.settled(toktra_siem_platform::datadog::Datadog::ID, &delivery);
        assert_eq!(meters.violations[1].load(Ordering::Relaxed), 0);
        delivery.attempts = 4;
        meters.settled(toktra_siem_platform::datadog::Datadog::ID, &delivery);
        assert_eq!(meters.violations[1].load(Ordering::Relaxed), 1);
        assert_eq!(meters.lanes[1].deliveries[4].load(Ordering::Relaxed), 2);
    }
}
