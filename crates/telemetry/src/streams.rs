//! Which connectors `/metrics` shows one by one, and the sum of the others: the page stays bounded however many orgs there are.
//!
//! Connectors are shown from the worst on: first those that are stalled or fail for our own
//! sake, then those whose endpoint is down or misconfigured, then by what they still have to deliver.
//! So a connector that needs attention has series of its own, whatever its place in a list.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use toktra_siem_core::accounting::Counts;
use toktra_siem_core::breaker::{Breaker, OpenKind};
use toktra_siem_core::ids::{ConnectorId, PlatformId, StreamId, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::StreamOverview;

use super::meters::Seen;

/// How many connectors are shown one by one.
pub(super) const SHOWN: usize = 500;

/// The `connector` label of the sum of all others.
pub(super) const OTHERS: &str = "others";

/// The figures of one stream, or of all streams of a kind whose connectors are not shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    /// The connector's id, or [`OTHERS`].
    pub(super) connector: String,
    /// The stream, where it is one.
    pub(super) stream: Option<StreamId>,
    pub(super) platform: PlatformId,
    pub(super) kind: StreamKind,
    /// How many streams it speaks of.
    pub(super) streams: u64,
    /// Of these: that send, whose breaker is open, and whose breaker says that a person has to act.
    pub(super) active: u64,
    pub(super) open: u64,
    pub(super) misconfigured: u64,
    /// That are stalled, and for which this service cannot do its part.
    pub(super) stalled: u64,
    pub(super) failing: u64,
    pub(super) counts: Counts,
    /// Events that wait, wherever: see `Accounting::undelivered`.
    pub(super) undelivered: u64,
    pub(super) last_success: Option<Timestamp>,
    /// Accepted when; filled in where it is known.
    pub(super) oldest_undelivered: Option<Timestamp>,
    pub(super) in_flight: u64,
}

/// What has to be remembered between two pages, so that the counters of [`OTHERS`] only grow: connectors come into the sum and leave it.
#[derive(Default)]
pub(super) struct Memory {
    seen: HashMap<StreamId, Counts>,
    others: BTreeMap<(PlatformId, StreamKind), Counts>,
}

/// What is known of streams at present, beside what is stored.
#[derive(Default)]
pub(super) struct Now {
    /// Requests under way.
    pub(super) flights: HashMap<StreamId, u64>,
    /// What the watchdog saw.
    pub(super) seen: Option<Seen>,
}

impl Line {
    fn of(stream: &StreamOverview, now: &Now) -> Self {
        let record = &stream.record;
        let among = |streams: fn(&Seen) -> &HashSet<StreamId>| {
            u64::from(stream.active && now.seen.as_ref().is_some_and(|seen| streams(seen).contains(&record.id)))
        };
        let kind = match &record.breaker {
            Breaker::Closed { .. } => None,
            Breaker::Open { kind, .. } => stream.active.then_some(*kind),
        };
        Self {
            connector: record.id.connector.to_string(),
            stream: Some(record.id),
            platform: stream.platform,
            kind: record.id.kind,
            streams: 1,
            active: u64::from(stream.active),
            open: u64::from(kind.is_some()),
            misconfigured: u64::from(kind == Some(OpenKind::Misconfigured)),
            stalled: among(|seen| &seen.stalled),
            failing: among(|seen| &seen.failing),
            counts: record.counts,
            undelivered: record.undelivered(),
            last_success: record.last_success,
            oldest_undelivered: None,
            in_flight: now.flights.get(&record.id).copied().unwrap_or(0),
        }
    }

    fn add(&mut self, other: &Self) {
        self.streams += other.streams;
        self.active += other.active;
        self.open += other.open;
        self.misconfigured += other.misconfigured;
        self.stalled += other.stalled;
        self.failing += other.failing;
        self.counts += other.counts;
        self.undelivered += other.undelivered;
        self.last_success = self.last_success.max(other.last_success);
        self.in_flight += other.in_flight;
    }

    /// From the worst on.
    fn rank(&self) -> impl Ord + use<> {
        let waits = self.active.min(1) * u64::from(self.undelivered > 0);
        Reverse((self.stalled + self.failing, self.open, self.misconfigured, waits, self.undelivered))
    }
}

impl Memory {
    /// The lines of a page: at most `shown` connectors one by one, and the sum of the others by kind.
    pub(super) fn lines(&mut self, all: &[StreamOverview], now: &Now, shown: usize) -> Vec<Line> {
        let mut by_connector: BTreeMap<ConnectorId, Vec<Line>> = BTreeMap::new();
        for stream in all {
            by_connector.entry(stream.record.id.connector).or_default().push(Line::of(stream, now));
        }
        let mut connectors: Vec<Vec<Line>> = by_connector.into_values().collect();
        // Stable: what is equally bad stays in the order of the ids.
        connectors.sort_by_cached_key(|lines| lines.iter().map(Line::rank).min());
        let rest = connectors.split_off(shown.min(connectors.len()));
        let mut lines: Vec<Line> = connectors.into_iter().flatten().collect();
        let others = self.others(rest.into_iter().flatten());
        self.seen = all.iter().map(|stream| (stream.record.id, stream.record.counts)).collect();
        lines.extend(others);
        lines
    }

    fn others(&mut self, rest: impl Iterator<Item = Line>) -> Vec<Line> {
        let mut sums: BTreeMap<(PlatformId, StreamKind), Line> = BTreeMap::new();
        for line in rest {
            let lane = (line.platform, line.kind);
            let before = line.stream.and_then(|stream| self.seen.get(&stream)).copied().unwrap_or_default();
            *self.others.entry(lane).or_default() += grown(before, line.counts);
            match sums.get_mut(&lane) {
                Some(sum) => sum.add(&line),
                None => {
                    sums.insert(lane, Line { connector: OTHERS.to_owned(), stream: None, ..line });
                }
            }
        }
        for (lane, line) in &mut sums {
            let now = line.counts;
            let total = self.others.get(lane).copied().unwrap_or_default();
            line.counts = Counts { rejected: now.rejected, failed: now.failed, pending: now.pending, ..total };
        }
        sums.into_values().collect()
    }
}

/// How much the counts that only grow have grown. A stream that was made anew under its old id begins at zero.
fn grown(before: Counts, now: Counts) -> Counts {
    let by = |before: i64, now: i64| if now >= before { now - before } else { now };
    Counts {
        delivered: by(before.delivered, now.delivered),
        expired: by(before.expired, now.expired),
        damaged: by(before.damaged, now.damaged),
        discarded: by(before.discarded, now.discarded),
        skipped: by(before.skipped, now.skipped),
        filtered: by(before.filtered, now.filtered),
        ..Counts::default()
    }
}

#[cfg(test)]
mod tests {
    use toktra_siem_core::cause::Cause;
    use toktra_siem_core::ids::{OrgId, Seq};
    use toktra_siem_store::StreamRecord;
    use uuid::Uuid;

    use super::*;

    fn stream(n: u128, counts: Counts, breaker: Breaker) -> StreamOverview {
        let id = StreamId { connector: ConnectorId(Uuid::from_u128(n)), kind: StreamKind::Events };
        let total = Seq(u64::try_from(counts.total()).unwrap());
        let record = StreamRecord {
            id,
            org: OrgId(Uuid::nil()),
            starts_after: Seq(0),
            cursor: total,
            last_window: None,
            breaker,
            outages: Vec::new(),
            counts,
            head: total,
            last_success: None,
        };
        StreamOverview { record, platform: toktra_siem_platform::splunk::Splunk::ID, active: true }
    }

    fn delivered(n: u128, delivered: i64) -> StreamOverview {
        stream(n, Counts { delivered, ..Counts::default() }, Breaker::default())
    }

    fn down(n: u128) -> StreamOverview {
        let (cause, at) = (Cause::new("x", "y"), Timestamp(0));
        let breaker = Breaker::Open { kind: OpenKind::Down, cause, since: at, failures: 3, probe_at: at };
        stream(n, Counts::default(), breaker)
    }

    fn shown(lines: &[Line]) -> Vec<(&str, i64)> {
        lines.iter().map(|line| (line.connector.split('-').next_back().unwrap(), line.counts.delivered)).collect()
    }

    fn lines(memory: &mut Memory, all: &[StreamOverview], most: usize) -> Vec<Line> {
        memory.lines(all, &Now::default(), most)
    }

    #[test]
    fn the_worst_are_shown_and_the_others_summed() {
        let late = stream(4, Counts { pending: 7, ..Counts::default() }, Breaker::default());
        let all = [delivered(1, 10), delivered(2, 20), down(3), late, delivered(5, 30)];
        let mut memory = Memory::default();
        let two = lines(&mut memory, &all, 2);
        assert_eq!(shown(&two), [("000000000003", 0), ("000000000004", 0), (OTHERS, 60)]);
        assert_eq!((two[0].open, two[1].undelivered, two[2].streams, two[2].active), (1, 7, 3, 3));
        assert_eq!(lines(&mut Memory::default(), &all, 5).len(), 5, "nothing is left to sum");
    }

    #[test]
    fn the_sum_of_the_others_never_shrinks_nor_counts_twice() {
        let mut memory = Memory::default();
        assert_eq!(
            shown(&lines(&mut memory, &[delivered(1, 10), delivered(2, 20), delivered(3, 5)], 1))[1],
            (OTHERS, 25)
        );
        // The third breaks down and is shown in place of the first, which delivered two more.
        let broken = StreamOverview {
            record: StreamRecord { counts: delivered(3, 6).record.counts, ..down(3).record },
            ..down(3)
        };
        let next = lines(&mut memory, &[delivered(1, 12), delivered(2, 20), broken.clone()], 1);
        assert_eq!(shown(&next), [("000000000003", 6), (OTHERS, 27)]);
        // The second is deleted; the third recovers after four more and goes back into the sum.
        let next = lines(&mut memory, &[delivered(1, 12), delivered(3, 10)], 1);
        assert_eq!(shown(&next), [("000000000001", 12), (OTHERS, 31)]);
    }
}
