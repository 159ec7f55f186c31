//! A stream, and the fate of every event up to its cursor.

use std::collections::BTreeMap;

use toktra_siem_core::accounting::Counts;
use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::delivery::{ParkKind, Parked, Trigger};
use toktra_siem_core::filter::FilterRule;
use toktra_siem_core::ids::{NodeId, OrgId, RangeId, Seq, StreamId, StreamKind};
use toktra_siem_core::outage::Outage;
use toktra_siem_core::time::Timestamp;

use crate::deliveries::BacklogRange;
use crate::org::StreamFate;

/// A stream as it is kept in memory.
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) org: OrgId,
    pub(super) epoch: u64,
    /// The node that claimed it, dead or alive.
    pub(super) owner: Option<NodeId>,
    pub(super) starts_after: Seq,
    pub(super) cursor: Seq,
    pub(super) last_window: Option<Timestamp>,
    pub(super) breaker: Breaker,
    pub(super) outages: Vec<Outage>,
    pub(super) counts: Counts,
    pub(super) last_success: Option<Timestamp>,
    /// Oldest first.
    pub(super) ranges: Vec<BacklogRange>,
    pub(super) parked: BTreeMap<Seq, ParkedRow>,
    /// Of every event after `starts_after` up to the cursor, until its compact record goes.
    pub(super) fates: BTreeMap<Seq, StreamFate>,
    /// The last fates of the events whose compact records are gone.
    pub(super) forgotten: Counts,
}

/// A parked event, or a window with all of its events. It stays while a delivery tries it again: parked is what has a row here and the
/// fate to go with it.
pub(super) struct ParkedRow {
    pub(super) parked: Parked,
    pub(super) seqs: Vec<Seq>,
}

impl Stream {
    pub(super) fn new(id: StreamId, org: OrgId, head: Seq) -> Self {
        Self {
            id,
            org,
            epoch: 0,
            owner: None,
            starts_after: head,
            cursor: head,
            last_window: None,
            breaker: Breaker::default(),
            outages: Vec::new(),
            counts: Counts::default(),
            last_success: None,
            ranges: Vec::new(),
            parked: BTreeMap::new(),
            fates: BTreeMap::new(),
            forgotten: Counts::default(),
        }
    }

    /// Where an event stands.
    pub(super) fn fate(&self, seq: Seq) -> StreamFate {
        if seq <= self.starts_after {
            return StreamFate::Before;
        }
        self.fates.get(&seq).cloned().unwrap_or(StreamFate::Pending { delivery: None })
    }

    /// Counts the fates anew.
    pub(super) fn recount(&self) -> Counts {
        let mut counts = self.forgotten;
        for fate in self.fates.values() {
            counts += one(fate);
        }
        counts
    }

    /// Whether the event or window is parked and not on its way in a delivery.
    pub(super) fn rests(&self, row: &ParkedRow) -> bool {
        row.seqs
            .first()
            .and_then(|seq| self.fates.get(seq))
            .is_some_and(|fate| matches!(fate, StreamFate::Failed { .. } | StreamFate::Rejected { .. }))
    }

    /// The parked event or window with this first sequence, where it is not on its way.
    pub(super) fn resting(&self, seq: Seq) -> Option<&ParkedRow> {
        self.parked.get(&seq).filter(|row| self.rests(row))
    }

    /// What waits between cursor and head becomes a backlog range with its own cursor; the live cursor goes to the head. Metrics go in
    /// the order of their windows: their cursor stays.
    pub(super) fn set_apart(
        &mut self,
        id: RangeId,
        trigger: Trigger,
        head: Seq,
        now: Timestamp,
    ) -> Option<BacklogRange> {
        if self.id.kind == StreamKind::Metrics || self.cursor == head {
            return None;
        }
        let range = BacklogRange { id, cursor: self.cursor, to: head, trigger, since: now };
        self.counts.pending += signed(range.cursor.until(range.to));
        self.write_fates(range.cursor, range.to, &StreamFate::Pending { delivery: None });
        self.cursor = head;
        self.ranges.push(range.clone());
        Some(range)
    }

    /// Events that wait: those behind the cursor and those left in backlog ranges.
    pub(super) fn waiting(&self, head: Seq) -> u64 {
        self.cursor.until(head) + self.ranges.iter().map(|range| range.cursor.until(range.to)).sum::<u64>()
    }

    /// Passes over everything that waits, backlog ranges included.
    pub(super) fn skip(&mut self, head: Seq) -> u64 {
        let skipped = self.waiting(head);
        for range in std::mem::take(&mut self.ranges) {
            self.counts.pending -= signed(range.cursor.until(range.to));
            self.write_fates(range.cursor, range.to, &StreamFate::Skipped);
        }
        self.write_fates(self.cursor, head, &StreamFate::Skipped);
        self.counts.skipped += signed(skipped);
        self.cursor = head;
        skipped
    }

    fn write_fates(&mut self, after: Seq, to: Seq, fate: &StreamFate) {
        for seq in after.0 + 1..=to.0 {
            self.fates.insert(Seq(seq), fate.clone());
        }
    }

    /// Counts a parked row as expired, or as damaged where its event is known to be so.
    pub(super) fn expire_row(&mut self, seq: Seq, damaged: bool) {
        if damaged && self.id.kind != StreamKind::Metrics {
            self.damage_row(seq);
        } else {
            self.counts.expired += self.end_row(seq, &StreamFate::Expired);
        }
    }

    /// Counts a parked row as damaged.
    pub(super) fn damage_row(&mut self, seq: Seq) {
        self.counts.damaged += self.end_row(seq, &StreamFate::Damaged);
    }

    /// Counts a parked row as discarded.
    pub(super) fn discard_row(&mut self, seq: Seq) {
        self.counts.discarded += self.end_row(seq, &StreamFate::Discarded);
    }

    /// Takes a parked row out of the place where it is counted; how many events it stood for.
    fn end_row(&mut self, seq: Seq, fate: &StreamFate) -> i64 {
        let Some(row) = self.parked.remove(&seq) else { return 0 };
        self.counts += parked_counts(row.parked.kind, -signed(row.parked.events));
        for seq in row.seqs {
            self.fates.insert(seq, fate.clone());
        }
        signed(row.parked.events)
    }
}

/// What becomes of an event that is passed by: the filter's word, or it is known to be damaged, or it has outlived its time.
pub(super) fn passed_by(rule: Option<FilterRule>, damaged: bool) -> StreamFate {
    let unread = if damaged { StreamFate::Damaged } else { StreamFate::Expired };
    rule.map_or(unread, |rule| StreamFate::Filtered { rule })
}

/// The counts of a single event with this fate.
pub(super) fn one(fate: &StreamFate) -> Counts {
    let mut counts = Counts::default();
    match fate {
        StreamFate::Before => {}
        StreamFate::Pending { .. } => counts.pending = 1,
        StreamFate::Delivered { .. } => counts.delivered = 1,
        StreamFate::Rejected { .. } => counts.rejected = 1,
        StreamFate::Failed { .. } => counts.failed = 1,
        StreamFate::Expired => counts.expired = 1,
        StreamFate::Damaged => counts.damaged = 1,
        StreamFate::Discarded => counts.discarded = 1,
        StreamFate::Skipped => counts.skipped = 1,
        StreamFate::Filtered { .. } => counts.filtered = 1,
    }
    counts
}

/// `events` in the place where parked ones of this kind are counted.
pub(super) fn parked_counts(kind: ParkKind, events: i64) -> Counts {
    match kind {
        ParkKind::Failed => Counts { failed: events, ..Counts::default() },
        ParkKind::Rejected => Counts { rejected: events, ..Counts::default() },
    }
}

/// A number of events as a delta.
pub(super) fn signed(events: u64) -> i64 {
    i64::try_from(events).unwrap_or(i64::MAX)
}
