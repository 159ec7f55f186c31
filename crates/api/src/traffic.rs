//! What flowed through a connector, or through each of them, in even steps of time: for charts.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;
use toktra_siem_core::fault::{FieldFault, Wrong};
use toktra_siem_core::ids::{ConnectorId, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_core::traffic::{BUCKET, Traffic};
use toktra_siem_store::TrafficRow;

use super::answer;
use super::connectors::{CONNECTOR, load};
use super::error::{ApiError, Result};
use super::guard::Caller;
use super::named::Id;
use super::query::{List, Query};
use super::state::AppState;

/// What is shown where the request does not say: a day.
const SHOWN: Duration = Duration::from_hours(24);
/// Steps at most, for each stream.
const STEPS: i64 = 1000;
/// The same where all connectors are shown at once: their charts are small, and there may be hundreds of them.
const STEPS_OF_EACH: i64 = 100;
/// The shortest step, in seconds: nothing finer is kept.
const SHORTEST: i64 = 300;

/// What flowed through a connector.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Traffic")]
struct TrafficView {
    /// The connector.
    connector_id: ConnectorId,
    /// The start of the first bucket.
    from: Timestamp,
    /// The end of the last bucket.
    to: Timestamp,
    /// How long a bucket is.
    step_seconds: i64,
    /// Its streams.
    streams: Vec<StreamTraffic>,
}

/// What flowed through one stream.
#[derive(Debug, Serialize, JsonSchema)]
struct StreamTraffic {
    /// Which of the connector's streams.
    stream: StreamKind,
    /// Without gaps, oldest first: what did nothing is there as zero.
    buckets: Vec<BucketView>,
}

/// What a stream did in one bucket. Numbers for looking at: an event that is sent again is counted again, and what the last seconds
/// before a crash did is missing. The accounting is the exact book.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TrafficBucket")]
struct BucketView {
    /// Its start.
    at: Timestamp,
    /// Events that the platform took.
    delivered: u64,
    /// Events that a failed delivery parked; again each time that they fail.
    failed: u64,
    /// Events that the platform refused for good.
    rejected: u64,
    /// Requests that were made.
    attempts: u64,
    /// Those of them by which nothing arrived.
    attempts_failed: u64,
    /// The most events that were on their way or waiting at one moment.
    lag: u64,
    /// From acceptance to delivery: half of the events took no longer. `null` where nothing was delivered.
    p50_ms: Option<u64>,
    /// From acceptance to delivery: 99 of 100 events took no longer.
    p99_ms: Option<u64>,
}

/// Which steps are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Steps {
    first: Timestamp,
    end: Timestamp,
    /// In milliseconds.
    step: i64,
}

/// What flowed through one connector.
pub(super) async fn of_connector(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id<ConnectorId>,
    uri: Uri,
) -> Result<Response> {
    let org = caller.org()?;
    let asked = Asked::read(&uri)?;
    let connector = load(&state, org, id).await?.connector;
    let steps = asked.steps(STEPS, &state)?;
    let rows = state.parts.store.traffic(org, id, steps.first, steps.end).await;
    let rows = rows.map_err(|error| ApiError::store(CONNECTOR, error))?;
    let streams = connector
        .streams()
        .map(|stream| {
            let rows = rows.iter().filter(|row| row.stream == stream);
            StreamTraffic { stream: stream.kind, buckets: filled(rows.map(|row| (row.at, &row.traffic)), steps) }
        })
        .collect();
    Ok(answer::json(StatusCode::OK, &TrafficView::of(id, steps, streams)))
}

/// What flowed through each connector of the org, on one page.
pub(super) async fn of_all(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    let org = caller.org()?;
    let steps = Asked::read(request.uri())?.steps(STEPS_OF_EACH, &state)?;
    let length = Duration::from_millis(steps.step.unsigned_abs());
    let flowed = state.parts.store.traffic_of_all(org, steps.first, steps.end, length).await;
    let flowed = flowed.map_err(|error| ApiError::store(CONNECTOR, error))?;
    let of_stream = |of: &toktra_siem_store::StreamTraffic| StreamTraffic {
        stream: of.stream.kind,
        buckets: filled(of.steps.iter().map(|(at, traffic)| (*at, traffic)), steps),
    };
    let items: Vec<TrafficView> = flowed
        .chunk_by(|a, b| a.stream.connector == b.stream.connector)
        .map(|of| TrafficView::of(of[0].stream.connector, steps, of.iter().map(of_stream).collect()))
        .collect();
    Ok(answer::json(StatusCode::OK, &List::whole(items)))
}

impl TrafficView {
    fn of(connector_id: ConnectorId, steps: Steps, streams: Vec<StreamTraffic>) -> Self {
        Self { connector_id, from: steps.first, to: steps.end, step_seconds: steps.step / 1000, streams }
    }
}

/// The query of these routes.
struct Asked {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    step: Option<i64>,
}

impl Asked {
    fn read(uri: &Uri) -> Result<Self> {
        let mut query = Query::of(uri);
        let (from, to) = (query.time("from"), query.time("to"));
        let whole = |text: &str| text.parse().ok().filter(|s: &i64| *s >= SHORTEST && s % SHORTEST == 0 && *s <= YEAR);
        let step = query.take("step", "a number of seconds that 300 divides, and at least that", whole);
        query.finish()?;
        Ok(Self { from, to, step })
    }

    /// At most `most` of them.
    fn steps(self, most: i64, state: &AppState) -> Result<Steps> {
        let steps = steps(self.from, self.to, self.step, most, state.parts.clock.now());
        steps.map_err(|fault| ApiError::invalid(vec![fault]))
    }
}

/// The longest step, in seconds.
const YEAR: i64 = 366 * 24 * 3600;

/// Even steps that cover what was asked for; where no step was, the shortest of which there are not more than `most`.
fn steps(
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    step: Option<i64>,
    most: i64,
    now: Timestamp,
) -> std::result::Result<Steps, FieldFault> {
    let to = to.unwrap_or(now);
    let from = from.unwrap_or_else(|| to.minus(SHOWN));
    if from >= to {
        return Err(FieldFault::of("from", Wrong::not_before("to")));
    }
    let covered = |seconds: i64| {
        let step = seconds * 1000;
        let first = from.0 - from.0.rem_euclid(step);
        let end = to.0 + (step - to.0.rem_euclid(step)) % step;
        Steps { first: Timestamp(first), end: Timestamp(end), step }
    };
    let count = |steps: &Steps| (steps.end.0 - steps.first.0) / steps.step;
    let shortest = || ((to.0 - from.0) / 1000 / (most - 2) / SHORTEST + 1) * SHORTEST;
    let chosen = covered(step.unwrap_or_else(shortest));
    let asked = count(&chosen);
    if asked > most {
        let message = format!("step: this makes {asked} buckets, and at most {most} are shown; take a longer step");
        return Err(FieldFault::new("/step", message));
    }
    Ok(chosen)
}

/// The buckets of one stream, brought together into steps.
fn filled<'a>(rows: impl Iterator<Item = (Timestamp, &'a Traffic)>, steps: Steps) -> Vec<BucketView> {
    let mut sums: BTreeMap<i64, Traffic> = BTreeMap::new();
    for (at, traffic) in rows {
        *sums.entry(at.0 - at.0.rem_euclid(steps.step)).or_default() += traffic;
    }
    let mut buckets = Vec::new();
    let mut at = steps.first.0;
    while at < steps.end.0 {
        buckets.push(BucketView::of(Timestamp(at), &sums.remove(&at).unwrap_or_default()));
        at += steps.step;
    }
    buckets
}

impl BucketView {
    fn of(at: Timestamp, traffic: &Traffic) -> Self {
        Self {
            at,
            delivered: traffic.delivered,
            failed: traffic.failed,
            rejected: traffic.rejected,
            attempts: traffic.attempts,
            attempts_failed: traffic.attempts_failed,
            lag: traffic.lag,
            p50_ms: percentile(traffic, 50),
            p99_ms: percentile(traffic, 99),
        }
    }
}

/// A percentile of the latencies, in milliseconds.
pub(super) fn percentile(traffic: &Traffic, percent: u64) -> Option<u64> {
    traffic.latency.percentile(percent).map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
}

/// Events a minute over the last `span`. The oldest bucket counts in proportion to what the span covers of it; the present one is as old
/// as it is.
pub(super) fn per_minute(rows: &[TrafficRow], now: Timestamp, span: Duration, count: fn(&Traffic) -> u64) -> f64 {
    let start = now.minus(span);
    let weighted = |row: &TrafficRow| {
        let end = row.at.plus(BUCKET);
        let share = end.since(start).as_secs_f64() / BUCKET.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let events = count(&row.traffic) as f64;
        events * share.clamp(0.0, 1.0)
    };
    let events: f64 = rows.iter().map(weighted).fold(0.0, |sum, events| sum + events);
    (events / span.as_secs_f64() * 6000.0).round() / 100.0
}

/// The `step` of a request.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "describes what is read elsewhere")]
struct Step(#[schemars(range(min = SHORTEST, max = YEAR), extend("multipleOf" = SHORTEST))] i64);

/// What this route says of itself.
pub(super) mod doc {
    use toktra_siem_core::time::Timestamp;

    use super::super::doc::{Doc, Tag};
    use super::super::query::List;
    use super::{Step, TrafficView};

    fn stepped(doc: Doc) -> Doc {
        doc.query::<Timestamp>("from", "Where it begins; a day before `to` where it is left out.")
            .query::<Timestamp>("to", "Where it ends; now where it is left out.")
            .query::<Step>("step", "The length of a step in seconds; the shortest possible where it is left out.")
    }

    pub(crate) fn of_all() -> Doc {
        let doc = Doc::new("listConnectorTraffic", Tag::Connectors, "Show what flowed through all connectors").about(
            "As for one connector, by creation and all of them on one page: at most 100 steps of each stream, for small charts beside each \
             other.",
        );
        stepped(doc).ok::<List<TrafficView>>("What flowed through each connector.")
    }

    pub(crate) fn of_connector() -> Doc {
        let doc = Doc::new("getConnectorTraffic", Tag::Connectors, "Show what flowed through a connector")
            .about(
                "In even steps, for charts: at most 1,000 of them, kept for up to 30 days. For exact numbers see the accounting: here an \
                 event that is sent again is counted again, and the last seconds before a crash are missing.",
            );
        stepped(doc).ok::<TrafficView>("What flowed.")
    }
}

#[cfg(test)]
mod tests {
    use toktra_siem_core::ids::StreamId;
    use uuid::Uuid;

    use super::*;

    const NOON: Timestamp = Timestamp(1_736_942_400_000);

    fn at(minutes: i64) -> Timestamp {
        Timestamp(NOON.0 + minutes * 60_000)
    }

    fn row(minutes: i64, delivered: u64, lag: u64) -> TrafficRow {
        let stream = StreamId { connector: ConnectorId(Uuid::from_u128(1)), kind: StreamKind::Events };
        TrafficRow { stream, at: at(minutes), traffic: Traffic { delivered, lag, ..Traffic::default() } }
    }

    #[test]
    fn steps_cover_what_was_asked_for_and_are_not_too_many() {
        let day = steps(None, None, None, STEPS, at(7)).unwrap();
        assert_eq!((day.first, day.end, day.step), (at(5 - 24 * 60), at(10), 300_000));
        let hours = steps(Some(at(10)), Some(at(190)), Some(3600), STEPS, NOON).unwrap();
        assert_eq!((hours.first, hours.end), (at(0), at(240)));
        let whole = steps(Some(at(0)), Some(at(60)), Some(3600), STEPS, NOON).unwrap();
        assert_eq!(whole.end, at(60), "nothing beyond");
        let small = steps(None, None, None, STEPS_OF_EACH, at(7)).unwrap();
        assert_eq!((small.first, small.end, small.step), (at(-24 * 60), at(15), 900_000));
        for days in [1, 3, 4, 30, 400] {
            let month = steps(Some(at(-days * 24 * 60 - 1)), Some(at(2)), None, STEPS, NOON).unwrap();
            assert!((month.end.0 - month.first.0) / month.step <= STEPS, "{month:?}");
        }
        assert_eq!(steps(Some(at(0)), Some(at(0)), None, STEPS, NOON).unwrap_err().pointer, "/from");
        let fault = steps(Some(at(-30 * 24 * 60)), None, Some(300), STEPS, NOON).unwrap_err();
        assert_eq!(fault.message, "step: this makes 8640 buckets, and at most 1000 are shown; take a longer step");
    }

    #[test]
    fn buckets_are_brought_together_without_gaps() {
        let steps = Steps { first: at(0), end: at(30), step: 600_000 };
        let shown = filled([row(0, 1, 4), row(5, 2, 3), row(20, 7, 0)].iter().map(|row| (row.at, &row.traffic)), steps);
        let shown: Vec<_> = shown.iter().map(|bucket| (bucket.at, bucket.delivered, bucket.lag)).collect();
        assert_eq!(shown, [(at(0), 3, 4), (at(10), 0, 0), (at(20), 7, 0)]);
    }

    #[test]
    fn a_rate_takes_of_the_oldest_bucket_what_it_covers() {
        let rows = [row(0, 1000, 0), row(5, 50, 0), row(10, 10, 0)];
        let rate = |now, minutes| per_minute(&rows, now, Duration::from_mins(minutes), |traffic| traffic.delivered);
        // Two minutes of the present bucket, and three of five of the one before.
        assert!((rate(at(12), 5) - 8.0).abs() < 0.01);
        assert!((rate(at(15), 10) - 6.0).abs() < 0.01);
        assert!(rate(at(60), 5).abs() < 0.01);
    }
}
