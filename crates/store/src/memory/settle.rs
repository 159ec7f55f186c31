//! `settle`: the end of an attempt, provided that every event of the delivery is still somewhere (invariant D1).

use std::collections::BTreeSet;

use toktra_siem_core::accounting::Counts;
use toktra_siem_core::delivery::{Delivery, ParkKind, Parked, Status};
use toktra_siem_core::ids::{DeliveryId, Seq, StreamId};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;

use super::open::{conflict, unaccounted};
use super::stream::{ParkedRow, parked_counts, signed};
use super::{DeliveryRow, State};
use crate::deliveries::{Lease, Settlement};
use crate::error::{Result, StoreError};
use crate::org::StreamFate;

impl State {
    pub(super) fn settle(&mut self, lease: &Lease, settlement: Settlement, now: Timestamp) -> Result<()> {
        let row = self.deliveries.get(&settlement.delivery.id).filter(|row| row.delivery.stream == lease.stream);
        let before = row.ok_or(StoreError::NotFound)?.delivery.clone();
        if before.status != Status::Pending || before.attempts != settlement.expected_attempts {
            return Err(conflict("the delivery was settled, or attempted, in the meantime"));
        }
        self.check_settlement(&before, &settlement)?;

        let Settlement { delivery, attempt, children, parked, counts, breaker, held, .. } = settlement;
        let probe = before.probe
            && before.accounted
            && before.job.is_none()
            && delivery.status == Status::Failed
            && !parked.is_empty();
        let taken_up = self.parked_before(&before).filter(|_| probe);
        let mut damaged = Counts::default();
        if before.accounted && delivery.status != Status::Pending {
            damaged = self.distribute(&before, &children, parked, counts);
        }
        let mut opened = false;
        if let Some(stream) = self.streams.get_mut(&lease.stream) {
            stream.counts += counts;
            stream.counts += damaged;
            if delivery.status != Status::Pending && delivery.delivered > 0 {
                stream.last_success = stream.last_success.max(delivery.settled_at);
            }
            // The breaker is the owner's: a former one does not know what the newest has learned.
            let breaker = breaker.filter(|_| stream.epoch == lease.epoch);
            if let Some(breaker) = breaker {
                opened = !breaker.is_closed();
                self.switch(lease.stream, breaker, true, now);
            }
        }
        self.hold(lease.stream, &held);
        if let Some(job) = before.job.and_then(|id| self.jobs.get_mut(&id)) {
            job.settled(&before, &delivery, children.iter().map(Delivery::events).sum(), now);
        }
        if let Some(row) = self.deliveries.get_mut(&delivery.id) {
            row.attempts.extend(attempt);
            update(&mut row.delivery, delivery);
        }
        for delivery in children {
            self.deliveries.insert(delivery.id, DeliveryRow { delivery, attempts: Vec::new() });
        }
        if let Some(was) = taken_up.filter(|_| opened) {
            self.add_probe(before.id, &was);
        }
        Ok(())
    }

    /// What a delivery took up, as it was parked before.
    fn parked_before(&self, before: &Delivery) -> Option<Parked> {
        let seq = before.members.first()?;
        Some(self.streams.get(&before.stream)?.parked.get(&seq)?.parked.clone())
    }

    fn check_settlement(&self, before: &Delivery, settlement: &Settlement) -> Result<()> {
        let Settlement { delivery, expected_attempts, attempt, children, counts, .. } = settlement;
        if delivery.attempts != expected_attempts + u32::from(attempt.is_some()) {
            return Err(unaccounted("the number of attempts is not that of the recorded ones"));
        }
        let mut theirs: Vec<Seq> = Vec::new();
        for (at, child) in children.iter().enumerate() {
            if self.deliveries.contains_key(&child.id) || children[..at].iter().any(|other| other.id == child.id) {
                return Err(conflict("there is a delivery with this id"));
            }
            let related = child.stream == before.stream && child.org == before.org && child.parent == Some(before.id);
            let alike = child.accounted == before.accounted && child.job == before.job;
            if !related || child.status != Status::Pending || !alike {
                return Err(unaccounted("a child is pending and counted like its parent"));
            }
            theirs.extend(child.members.iter());
        }
        theirs.sort_unstable();
        if theirs.windows(2).any(|pair| pair[0] == pair[1]) || theirs.iter().any(|seq| !before.members.contains(*seq)) {
            return Err(unaccounted("children share out the events of their parent"));
        }
        let expected = if before.accounted { expected_counts(before, settlement) } else { Some(Counts::default()) };
        if expected != Some(*counts) {
            return Err(unaccounted("the settlement does not add up"));
        }
        Ok(())
    }

    /// Writes down where each event of the settled delivery is now; how the counts move for those that are known to be damaged.
    fn distribute(&mut self, before: &Delivery, children: &[Delivery], parked: Vec<Parked>, counts: Counts) -> Counts {
        let mut moved = Counts::default();
        let noted = |seq: &Seq| before.window.is_none() && self.is_noted(before.org, *seq);
        let noted: BTreeSet<Seq> = before.members.iter().filter(noted).collect();
        let Some(stream) = self.streams.get_mut(&before.stream) else { return moved };
        let here = StreamFate::Pending { delivery: Some(before.id) };
        let own: Vec<Seq> = before.members.iter().filter(|seq| stream.fates.get(seq) == Some(&here)).collect();
        let arrived =
            if counts.expired > 0 { StreamFate::Expired } else { StreamFate::Delivered { delivery: before.id } };
        for seq in &own {
            let child = children.iter().find(|child| child.members.contains(*seq));
            let mut fate = child.map_or(arrived.clone(), |child| StreamFate::Pending { delivery: Some(child.id) });
            if fate == StreamFate::Expired && noted.contains(seq) && !parked.iter().any(|parked| parked.seq == *seq) {
                moved += Counts { expired: -1, damaged: 1, ..Counts::default() };
                fate = StreamFate::Damaged;
            }
            stream.fates.insert(*seq, fate);
        }
        for parked in parked {
            if parked.kind == ParkKind::Rejected && parked.cause.is_damage() && noted.contains(&parked.seq) {
                moved += Counts { rejected: -1, damaged: 1, ..Counts::default() };
                stream.fates.insert(parked.seq, StreamFate::Damaged);
                continue;
            }
            let seqs = if before.window.is_some() { own.clone() } else { vec![parked.seq] };
            for seq in &seqs {
                stream.fates.insert(*seq, parked_fate(parked.kind, parked.delivery, &parked));
            }
            stream.parked.insert(parked.seq, ParkedRow { parked, seqs });
        }
        // What has arrived or expired is not parked any more; its fate links to this delivery.
        for seq in before.members.iter() {
            let fate = stream.parked.get(&seq).and_then(|row| stream.fates.get(row.seqs.first()?));
            if matches!(fate, Some(StreamFate::Delivered { .. } | StreamFate::Expired | StreamFate::Damaged)) {
                stream.parked.remove(&seq);
            }
        }
        moved
    }

    /// Rejected events become failed ones, where they still rest as rejected.
    fn hold(&mut self, stream: StreamId, held: &[Seq]) {
        let Some(stream) = self.streams.get_mut(&stream) else { return };
        for seq in held {
            let Some(row) = stream.resting(*seq).filter(|row| row.parked.kind == ParkKind::Rejected) else { continue };
            let (events, seqs) = (signed(row.parked.events), row.seqs.clone());
            let fate = parked_fate(ParkKind::Failed, row.parked.delivery, &row.parked);
            for seq in seqs {
                stream.fates.insert(seq, fate.clone());
            }
            stream.counts += parked_counts(ParkKind::Rejected, -events);
            stream.counts += parked_counts(ParkKind::Failed, events);
            if let Some(row) = stream.parked.get_mut(seq) {
                row.parked.kind = ParkKind::Failed;
            }
        }
    }
}

/// How the counts have to move, from what the settlement says of the events. `None` where it loses or invents some.
fn expected_counts(before: &Delivery, settlement: &Settlement) -> Option<Counts> {
    let Settlement { delivery, children, parked, counts, .. } = settlement;
    if delivery.status == Status::Pending {
        return (children.is_empty() && parked.is_empty()).then(Counts::default);
    }
    let kept = |kind| parked.iter().filter(|p| p.kind == kind).map(|p| p.events).sum::<u64>();
    let within = |p: &Parked| before.members.contains(p.seq);
    let handed_on: u64 = children.iter().map(Delivery::events).sum();
    let expected = Counts {
        delivered: signed(delivery.delivered),
        rejected: signed(kept(ParkKind::Rejected)),
        failed: signed(kept(ParkKind::Failed)),
        expired: counts.expired,
        pending: signed(handed_on) - signed(before.events()),
        ..Counts::default()
    };
    let whole = expected.total() == 0 && counts.expired >= 0 && delivery.rejected == kept(ParkKind::Rejected);
    (whole && parked.iter().all(within)).then_some(expected)
}

fn parked_fate(kind: ParkKind, delivery: DeliveryId, parked: &Parked) -> StreamFate {
    let cause = parked.cause.clone();
    match kind {
        ParkKind::Failed => StreamFate::Failed { delivery, cause },
        ParkKind::Rejected => StreamFate::Rejected { delivery, cause },
    }
}

/// What was pinned stays as it is; only the state moves.
pub(super) fn update(row: &mut Delivery, now: Delivery) {
    let members: Members = std::mem::take(&mut row.members);
    *row = Delivery {
        id: row.id,
        org: row.org,
        stream: row.stream,
        trigger: row.trigger,
        members,
        window: row.window.take(),
        parent: row.parent,
        job: row.job,
        probe: row.probe,
        accounted: row.accounted,
        created_at: row.created_at,
        outage: row.outage,
        ..now
    };
}
