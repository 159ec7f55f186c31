//! Damaged events in memory, where only a test can damage one, and a store without room.

use std::sync::Arc;

use bytes::Bytes;
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::{OrgId, Seq, StreamKind};
use toktra_siem_core::time::Timestamp;

use super::stream::Stream;
use super::{EventRow, Memory, Org, State};
use crate::events::{Damage, EventRecord};
use crate::org::StreamFate;

/// How much of an event is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Its payload.
    Payload,
    /// Its compact record too: nothing is known of it but its sequence.
    Whole,
    /// Its payload is not there, although nobody took it away. A stream needs it.
    Gone,
}

impl Memory {
    /// While it hangs, no event can be read and no stream claimed: neither is there an answer nor an error, as with a disk that does not answer.
    pub fn hang(&self, hangs: bool) {
        self.hangs.send_replace(hangs);
    }

    /// Returns once it does not hang.
    pub(super) async fn answers(&self) {
        // The sender is there as long as this store.
        let _ = self.hangs.subscribe().wait_for(|hangs| !hangs).await;
    }

    /// While it is full, the end of no attempt can be recorded, as on a disk.
    pub fn fill(&self, full: bool) {
        self.lock().full = full;
    }

    /// Damages a stored event, as a disk might. Nobody knows of it before the event is read.
    pub fn damage(&self, org: OrgId, seq: Seq, broken: Broken) {
        let mut state = self.lock();
        let Some(org) = state.orgs.get_mut(&org) else { return };
        let Some(row) = org.events.get_mut(&seq) else { return };
        row.broken = Some(broken);
        if broken == Broken::Whole {
            org.by_id.remove(&row.record.event_id);
        }
    }
}

impl EventRow {
    /// Whether its compact record can be read.
    pub(super) fn is_known(&self) -> bool {
        self.broken != Some(Broken::Whole)
    }

    /// Its compact record, where that can be read.
    pub(super) fn known(&self) -> Option<&EventRecord> {
        self.is_known().then_some(&self.record)
    }

    /// The event, where its payload is there and whole.
    pub(super) fn whole(&self) -> Option<&Arc<StoredEvent>> {
        self.stored.as_ref().filter(|_| self.broken.is_none())
    }

    /// Its payload, where that is there and whole.
    pub(super) fn payload(&self) -> Option<Bytes> {
        self.whole().map(|stored| stored.payload.clone())
    }

    /// Whether whoever reads it finds it damaged.
    pub(super) fn is_damaged(&self) -> bool {
        self.stored.is_some() && self.broken.is_some()
    }
}

impl Org {
    pub(super) fn damage_at(&self, seq: Seq) -> Option<Damage> {
        let found_at = *self.damage.get(&seq)?;
        let event_id = self.events.get(&seq).and_then(EventRow::known).map(|record| record.event_id);
        Some(Damage { seq, event_id, found_at })
    }
}

impl State {
    /// Of what was read, notes what is damaged, and counts it as such where it is parked.
    pub(super) fn note(&mut self, org: OrgId, read: impl IntoIterator<Item = Seq>, now: Timestamp) {
        let Some(state) = self.orgs.get_mut(&org) else { return };
        for seq in read {
            if !state.events.get(&seq).is_some_and(EventRow::is_damaged) {
                continue;
            }
            state.damage.entry(seq).or_insert(now);
            let streams = self.streams.values_mut().filter(|stream| stream.org == org);
            for stream in streams.filter(|stream| stream.id.kind != StreamKind::Metrics) {
                if stream.resting(seq).is_some() {
                    stream.damage_row(seq);
                }
            }
        }
    }

    /// Whether the event is known to be damaged.
    pub(super) fn is_noted(&self, org: OrgId, seq: Seq) -> bool {
        self.orgs.get(&org).is_some_and(|org| org.damage.contains_key(&seq))
    }

    /// The event among those that the stream counts as damaged that was found last.
    pub(super) fn last_damage(&self, stream: &Stream) -> Option<Damage> {
        let org = self.orgs.get(&stream.org)?;
        let counted = stream.fates.iter().filter(|(_, fate)| **fate == StreamFate::Damaged);
        counted.filter_map(|(seq, _)| org.damage_at(*seq)).max_by_key(|damage| (damage.found_at, damage.seq))
    }
}

impl Stream {
    /// How many events from `after` up to `to` have this kind of fate.
    pub(super) fn count_fates(&self, after: Seq, to: Seq, wanted: impl Fn(&StreamFate) -> bool) -> u64 {
        self.fates.range(after.next()..=to).filter(|(_, fate)| wanted(fate)).count() as u64
    }
}
