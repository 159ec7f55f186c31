//! What flowed through a connector, or through each of them, in even steps of time: for charts.

use std::collections::BTreeMap;
use std::time::Duration;

use toktra_siem_core::fault::{FieldFault, Wrong};
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_core::traffic::{BUCKET, Traffic};
use toktra_siem_store::{Scope, TrafficRow};
use toktra_siem_wire as wire;

use crate::connectors::{CONNECTOR, load};
use crate::{App, Caller, Query, Refusal, Result};

/// What is shown where the request does not say: a day.
const SHOWN: Duration = Duration::from_hours(24);
/// Steps at most, for each stream.
const STEPS: i64 = 1000;
/// The same where all connectors are shown at once: their charts are small, and there may be hundreds of them.
const STEPS_OF_EACH: i64 = 100;

/// Which steps are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Steps {
    first: Timestamp,
    end: Timestamp,
    /// In milliseconds.
    step: i64,
}

/// What flowed through one connector.
pub async fn of_connector(app: &App, caller: &Caller, id: ConnectorId, query: Query) -> Result<wire::Traffic> {
    let org = caller.org(Scope::SiemRead)?;
    let asked = Asked::read(query)?;
    let connector = load(app, org, id).await?.connector;
    let steps = asked.steps(STEPS, app)?;
    let rows = app.parts.store.traffic(org, id, steps.first, steps.end).await;
    let rows = rows.map_err(|error| Refusal::store(CONNECTOR, error))?;
    let streams = connector
        .streams()
        .map(|stream| {
            let rows = rows.iter().filter(|row| row.stream == stream);
            wire::StreamTraffic { stream: stream.kind, buckets: filled(rows.map(|row| (row.at, &row.traffic)), steps) }
        })
        .collect();
    Ok(flowed(id, steps, streams))
}

/// What flowed through each connector of the org, on one page.
pub async fn of_all(app: &App, caller: &Caller, query: Query) -> Result<wire::List<wire::Traffic>> {
    let org = caller.org(Scope::SiemRead)?;
    let steps = Asked::read(query)?.steps(STEPS_OF_EACH, app)?;
    let length = Duration::from_millis(steps.step.unsigned_abs());
    let rows = app.parts.store.traffic_of_all(org, steps.first, steps.end, length).await;
    let rows = rows.map_err(|error| Refusal::store(CONNECTOR, error))?;
    let of_stream = |of: &toktra_siem_store::StreamTraffic| wire::StreamTraffic {
        stream: of.stream.kind,
        buckets: filled(of.steps.iter().map(|(at, traffic)| (*at, traffic)), steps),
    };
    let items: Vec<wire::Traffic> = rows
        .chunk_by(|a, b| a.stream.connector == b.stream.connector)
        .map(|of| flowed(of[0].stream.connector, steps, of.iter().map(of_stream).collect()))
        .collect();
    Ok(wire::List::whole(items))
}

fn flowed(connector_id: ConnectorId, steps: Steps, streams: Vec<wire::StreamTraffic>) -> wire::Traffic {
    wire::Traffic { connector_id, from: steps.first, to: steps.end, step_seconds: steps.step / 1000, streams }
}

/// The query of these routes.
struct Asked {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    step: Option<i64>,
}

impl Asked {
    fn read(mut query: Query) -> Result<Self> {
        let (from, to) = (query.time("from"), query.time("to"));
        let whole = |text: &str| {
            text.parse()
                .ok()
                .filter(|s: &i64| *s >= wire::SHORTEST_STEP && s % wire::SHORTEST_STEP == 0 && *s <= wire::LONGEST_STEP)
        };
        let step = query.take("step", "a number of seconds that 300 divides, and at least that", whole);
        query.finish()?;
        Ok(Self { from, to, step })
    }

    /// At most `most` of them.
    fn steps(self, most: i64, app: &App) -> Result<Steps> {
        let steps = steps(self.from, self.to, self.step, most, app.parts.clock.now());
        steps.map_err(|fault| Refusal::invalid(vec![fault]))
    }
}

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
    let shortest = || ((to.0 - from.0) / 1000 / (most - 2) / wire::SHORTEST_STEP + 1) * wire::SHORTEST_STEP;
    let chosen = covered(step.unwrap_or_else(shortest));
    let asked = count(&chosen);
    if asked > most {
        let message = format!("step: this makes {asked} buckets, and at most {most} are shown; take a longer step");
        return Err(FieldFault::new("/step", message));
    }
    Ok(chosen)
}

/// The buckets of one stream, brought together into steps.
fn filled<'a>(rows: impl Iterator<Item = (Timestamp, &'a Traffic)>, steps: Steps) -> Vec<wire::TrafficBucket> {
    let mut sums: BTreeMap<i64, Traffic> = BTreeMap::new();
    for (at, traffic) in rows {
        *sums.entry(at.0 - at.0.rem_euclid(steps.step)).or_default() += traffic;
    }
    let mut buckets = Vec::new();
    let mut at = steps.first.0;
    while at < steps.end.0 {
        buckets.push(bucket(Timestamp(at), &sums.remove(&at).unwrap_or_default()));
        at += steps.step;
    }
    buckets
}

fn bucket(at: Timestamp, traffic: &Traffic) -> wire::TrafficBucket {
    wire::TrafficBucket {
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

/// A percentile of the latencies, in milliseconds.
pub(super) fn percentile(traffic: &Traffic, percent: u64) -> Option<u64> {
    traffic.latency.percentile(percent).map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
}

/// Events a minute over the last `span` of a stream that there is since `made`: over its life if that is shorter, but over a minute at
/// least. The oldest bucket counts in proportion to what the span covers of it; the present one is as old
/// as it is. If it is known when such an event was counted `last`, none of a bucket came later.
pub(super) fn per_minute(
    rows: &[TrafficRow],
    (made, last, now): (Timestamp, Option<Timestamp>, Timestamp),
    span: Duration,
    count: fn(&Traffic) -> u64,
) -> f64 {
    let span = span.min(now.since(made)).max(Duration::from_mins(1));
    let start = now.minus(span);
    let weighted = |row: &TrafficRow| {
        // Of the bucket, that during which there was a stream, up to now.
        let last = last.filter(|last| *last >= row.at).unwrap_or(now);
        let (from, end) = (row.at.max(made), row.at.plus(BUCKET).min(now).min(last));
        let share = end.since(start).as_secs_f64() / end.since(from).as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let events = count(&row.traffic) as f64;
        if end < start {
            0.0
        } else if from >= end {
            events
        } else {
            events * share.clamp(0.0, 1.0)
        }
    };
    let events: f64 = rows.iter().map(weighted).fold(0.0, |sum, events| sum + events);
    (events / span.as_secs_f64() * 6000.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use toktra_siem_core::ids::{StreamId, StreamKind};
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
        let rate = |now, minutes| {
            per_minute(&rows, (at(-600), None, now), Duration::from_mins(minutes), |traffic| traffic.delivered)
        };
        // Two minutes of the present bucket, and three of five of the one before.
        assert!((rate(at(12), 5) - 8.0).abs() < 0.01);
        assert!((rate(at(15), 10) - 6.0).abs() < 0.01);
        assert!(rate(at(60), 5).abs() < 0.01);
        // A stream of two minutes: what flowed is divided by two minutes, and not by five.
        let young = [row(10, 10, 0)];
        let rate =
            |made| per_minute(&young, (at(made), None, at(12)), Duration::from_mins(5), |traffic| traffic.delivered);
        assert!((rate(10) - 5.0).abs() < 0.01 && (rate(12) - 10.0).abs() < 0.01 && (rate(-60) - 2.0).abs() < 0.01);
    }

    #[test]
    fn a_stream_that_stands_still_has_no_rate() {
        let rows = [row(0, 1000, 0), row(5, 60, 0)];
        let rate = |last, now| {
            per_minute(&rows, (at(-600), Some(at(last)), at(now)), Duration::from_mins(5), |traffic| traffic.delivered)
        };
        // The last event came six minutes ago, in a bucket that the five minutes cover a part of.
        assert!(rate(6, 13).abs() < 0.01 && rate(6, 11).abs() < 0.01);
        // Three minutes of events, of which the five minutes cover one.
        assert!((rate(8, 12) - 4.0).abs() < 0.01);
        assert!((rate(8, 9) - (60.0 + 200.0) / 5.0).abs() < 0.01);
    }
}
