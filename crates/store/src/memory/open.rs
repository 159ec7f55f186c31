//! `open`: pins batches and moves the cursor they come from, provided that every event is accounted for (invariant D3).

use std::collections::BTreeMap;

use toktra_siem_core::accounting::Counts;
use toktra_siem_core::delivery::{Delivery, Status, Trigger};
use toktra_siem_core::ids::{DeliveryId, Revision, Seq, StreamId};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;

use super::stream::{parked_counts, passed_by, signed};
use super::{DeliveryRow, State};
use crate::deliveries::{Lease, Open, Passed, Taken, Unread};
use crate::error::{Result, StoreError};
use crate::org::StreamFate;

/// Which of the new deliveries holds each event.
type Pinned = BTreeMap<Seq, (DeliveryId, bool)>;

impl State {
    pub(super) fn open(&mut self, lease: &Lease, open: Open, now: Timestamp) -> Result<()> {
        self.leased(lease)?;
        let stream = lease.stream;
        let Open { deliveries, taken, job: step } = open;
        self.check_step(stream, step.as_ref(), &deliveries)?;
        match taken {
            Taken::Live { from, to, passed, revision } => {
                self.check_live(stream, (from, to), revision, &deliveries, now)?;
                let pinned =
                    self.check_move(stream, from, to, self.head(self.streams[&stream].org), passed, &deliveries)?;
                let passed = self.move_cursor(stream, from, to, &pinned, passed);
                let row = self.leased(lease)?;
                row.cursor = to;
                row.counts.pending += signed(events(&deliveries));
                row.counts += passed;
                row.last_window = newest_window(&deliveries).or(row.last_window);
            }
            Taken::Range { id, from, to, passed } => {
                let range = self.streams[&stream].ranges.iter().find(|range| range.id == id && range.cursor == from);
                let end = range.ok_or_else(|| conflict("the backlog range has moved"))?.to;
                let pinned = self.check_move(stream, from, to, end, passed, &deliveries)?;
                let passed = self.move_cursor(stream, from, to, &pinned, passed);
                let row = self.leased(lease)?;
                for range in row.ranges.iter_mut().filter(|range| range.id == id) {
                    range.cursor = to;
                }
                row.ranges.retain(|range| range.cursor < range.to);
                row.counts.pending -= passed.total();
                row.counts += passed;
            }
            Taken::Parked(members) => self.take_parked(stream, &members, &deliveries, step.is_some())?,
            Taken::Beside => {
                if deliveries.iter().any(|delivery| delivery.accounted) {
                    return Err(unaccounted("a delivery beside the log is not accounted"));
                }
                self.check_new(stream, &deliveries)?;
            }
        }
        if let Some(step) = step
            && let Some(job) = self.jobs.get_mut(&step.id)
        {
            job.advance(step.to, step.passed, events(&deliveries), now);
        }
        for delivery in deliveries {
            self.deliveries.insert(delivery.id, DeliveryRow { delivery, attempts: Vec::new() });
        }
        Ok(())
    }

    fn check_live(
        &self,
        stream: StreamId,
        (from, to): (Seq, Seq),
        applied: Revision,
        deliveries: &[Delivery],
        now: Timestamp,
    ) -> Result<()> {
        let row = self.stream(stream)?;
        if row.cursor != from {
            return Err(conflict("the cursor has moved"));
        }
        let versions = &self.connectors.get(&stream.connector).ok_or(StoreError::Fenced)?.versions;
        if versions.iter().any(|version| version.revision > applied && version.effective_from <= to) {
            return Err(StoreError::Stale);
        }
        // Set by a clock that was wrong, it is not waited for.
        let mut last = row.last_window.filter(|last| last.0 <= now.0 + 60_000);
        for start in deliveries.iter().filter_map(|delivery| delivery.window.as_ref()).map(|window| window.start) {
            if last.is_some_and(|last| start <= last) {
                return Err(conflict("a window of this time was pinned already"));
            }
            last = Some(start);
        }
        Ok(())
    }

    /// The new deliveries must be of this stream, pending, and not there yet.
    fn check_new(&self, stream: StreamId, deliveries: &[Delivery]) -> Result<()> {
        let org = self.stream(stream)?.org;
        for (at, delivery) in deliveries.iter().enumerate() {
            if self.deliveries.contains_key(&delivery.id) || deliveries[..at].iter().any(|d| d.id == delivery.id) {
                return Err(conflict("there is a delivery with this id"));
            }
            if delivery.stream != stream || delivery.org != org || delivery.status != Status::Pending {
                return Err(unaccounted("a new delivery is pending and belongs to the stream"));
            }
            if delivery.trigger == Trigger::Test {
                return Err(unaccounted("a test delivery is not the stream's"));
            }
        }
        Ok(())
    }

    /// Whether `deliveries` and what is passed by are exactly the events after `from` up to `to`.
    fn check_move(
        &self,
        stream: StreamId,
        from: Seq,
        to: Seq,
        end: Seq,
        passed: Passed,
        deliveries: &[Delivery],
    ) -> Result<Pinned> {
        if to < from || to > end {
            return Err(unaccounted("the cursor cannot go there"));
        }
        if from.until(to) != passed.filtered + passed.expired + events(deliveries) {
            return Err(unaccounted("the move does not add up"));
        }
        let pinned = pin(deliveries)?;
        // Each delivery is a stretch of what the cursor passes.
        let mut spans: Vec<_> = deliveries.iter().map(|d| (d.members.first(), d.members.last())).collect();
        spans.sort_unstable();
        if spans.windows(2).any(|pair| pair[0].1 >= pair[1].0) {
            return Err(unaccounted("the deliveries overlap"));
        }
        if pinned.keys().any(|seq| *seq <= from || *seq > to) {
            return Err(unaccounted("an event is not among those that the cursor passes"));
        }
        self.check_new(stream, deliveries)?;
        Ok(pinned)
    }

    /// Writes down what becomes of each event that a cursor passes; where those that are in no delivery are counted.
    fn move_cursor(&mut self, stream: StreamId, from: Seq, to: Seq, pinned: &Pinned, passed: Passed) -> Counts {
        let org = self.streams[&stream].org;
        for seq in (from.0 + 1..=to.0).map(Seq) {
            let fate = match (pinned.get(&seq), self.refuses(stream, seq)) {
                (Some((delivery, false)), _) | (Some((delivery, true)), None) => {
                    StreamFate::Pending { delivery: Some(*delivery) }
                }
                (_, rule) => passed_by(rule, self.is_noted(org, seq)),
            };
            if let Some(row) = self.streams.get_mut(&stream) {
                row.fates.insert(seq, fate);
            }
        }
        let row = &self.streams[&stream];
        let mut seqs = (from.0 + 1..=to.0).map(Seq);
        let unread = seqs.any(|seq| self.is_noted(org, seq) && !pinned.contains_key(&seq)).then(|| Unread {
            damaged: row.count_fates(from, to, |fate| *fate == StreamFate::Damaged),
            refused: row.count_fates(from, to, |fate| matches!(fate, StreamFate::Filtered { .. })),
        });
        passed.counts(unread)
    }

    /// `mixed`: there may be deliveries of a job beside those of what was parked.
    fn take_parked(&mut self, stream: StreamId, members: &Members, deliveries: &[Delivery], mixed: bool) -> Result<()> {
        let of_parked: Vec<Delivery> = deliveries.iter().filter(|d| d.accounted || !mixed).cloned().collect();
        let row = self.stream(stream)?;
        let mut parked = 0;
        for seq in members.iter() {
            parked += row.resting(seq).ok_or_else(|| conflict("an event is not parked any more"))?.parked.events;
        }
        let pinned = pin(&of_parked)?;
        if parked != events(&of_parked) || members.iter().any(|seq| !pinned.contains_key(&seq)) {
            return Err(unaccounted("the deliveries do not hold what was parked"));
        }
        self.check_new(stream, deliveries)?;
        let Some(row) = self.streams.get_mut(&stream) else { return Err(StoreError::NotFound) };
        for seq in members.iter() {
            let Some(taken) = row.parked.get(&seq) else { continue };
            row.counts += parked_counts(taken.parked.kind, -signed(taken.parked.events));
            row.counts.pending += signed(taken.parked.events);
            for member in &taken.seqs {
                row.fates.insert(*member, StreamFate::Pending { delivery: pinned.get(member).map(|(id, _)| *id) });
            }
        }
        Ok(())
    }
}

/// Which delivery holds each event, and whether as part of a window.
fn pin(deliveries: &[Delivery]) -> Result<Pinned> {
    let mut pinned = Pinned::new();
    for delivery in deliveries {
        if !delivery.accounted || delivery.events() == 0 || delivery.members.is_empty() {
            return Err(unaccounted("a delivery from the log is accounted and not empty"));
        }
        for seq in delivery.members.iter() {
            if pinned.insert(seq, (delivery.id, delivery.window.is_some())).is_some() {
                return Err(unaccounted("an event is in two deliveries"));
            }
        }
    }
    Ok(pinned)
}

fn events(deliveries: &[Delivery]) -> u64 {
    deliveries.iter().map(Delivery::events).sum()
}

fn newest_window(deliveries: &[Delivery]) -> Option<Timestamp> {
    deliveries.iter().filter_map(|delivery| delivery.window.as_ref()).map(|window| window.start).max()
}

pub(super) fn conflict(what: &str) -> StoreError {
    StoreError::Conflict(what.to_owned())
}

pub(super) fn unaccounted(what: &str) -> StoreError {
    StoreError::Unaccounted(what.to_owned())
}
