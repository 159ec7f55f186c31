//! The newest events, in memory, so that a stream that keeps up never reads the disk. Bounded in bytes over all orgs: the oldest event
//! of all goes first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::{OrgId, Seq};
use toktra_siem_store::events::ReadLimit;

/// What an event takes beside its payload, roughly.
const OVERHEAD: usize = 256;

/// The ring. For each org it holds a dense run of sequences that ends at the org's head.
#[derive(Debug)]
pub(super) struct Ring {
    capacity: usize,
    bytes: usize,
    orgs: HashMap<OrgId, VecDeque<Arc<StoredEvent>>>,
    /// Whose event came when, over all orgs.
    order: VecDeque<OrgId>,
}

impl Ring {
    /// An empty ring of `capacity` bytes.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, bytes: 0, orgs: HashMap::new(), order: VecDeque::new() }
    }

    /// Puts committed events in, in order.
    pub(super) fn push(&mut self, events: Vec<Arc<StoredEvent>>) {
        for event in events {
            self.bytes += cost(&event);
            self.order.push_back(event.org);
            self.orgs.entry(event.org).or_default().push_back(event);
        }
        while self.bytes > self.capacity {
            let Some(org) = self.order.pop_front() else { return };
            let Some(events) = self.orgs.get_mut(&org) else { continue };
            if let Some(event) = events.pop_front() {
                self.bytes -= cost(&event);
            }
            if events.is_empty() {
                self.orgs.remove(&org);
            }
        }
    }

    /// The events after `after`, where the ring holds all that follow it.
    pub(super) fn read(&self, org: OrgId, after: Seq, limit: ReadLimit) -> Option<Vec<Arc<StoredEvent>>> {
        let events = self.orgs.get(&org)?;
        let first = events.front()?.seq;
        if after.next() < first {
            return None;
        }
        let skip = usize::try_from(first.until(after.next())).ok()?;
        let mut bytes = 0usize;
        let mut taken = Vec::new();
        for event in events.range(skip.min(events.len())..).take(limit.events) {
            bytes = bytes.saturating_add(event.payload.len());
            if bytes > limit.bytes && !taken.is_empty() {
                break;
            }
            taken.push(Arc::clone(event));
        }
        Some(taken)
    }

    /// One event.
    pub(super) fn get(&self, org: OrgId, seq: Seq) -> Option<Arc<StoredEvent>> {
        let events = self.orgs.get(&org)?;
        let first = events.front()?.seq;
        let at = usize::try_from(seq.0.checked_sub(first.0)?).ok()?;
        events.get(at).cloned()
    }

    /// Forgets the events of an org up to `to`: they, or the org, were removed.
    pub(super) fn forget(&mut self, org: OrgId, to: Seq) {
        let Some(events) = self.orgs.get_mut(&org) else { return };
        let mut gone = 0usize;
        while let Some(event) = events.pop_front_if(|event| event.seq <= to) {
            self.bytes -= cost(&event);
            gone += 1;
        }
        if events.is_empty() {
            self.orgs.remove(&org);
        }
        self.order.retain(|o| {
            let goes = *o == org && gone > 0;
            gone -= usize::from(goes);
            !goes
        });
    }
}

fn cost(event: &StoredEvent) -> usize {
    event.payload.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use toktra_siem_core::event::{EventType, Severity};
    use toktra_siem_core::ids::EventId;
    use toktra_siem_core::time::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn event(org: u128, seq: u64) -> Arc<StoredEvent> {
        Arc::new(StoredEvent {
            org: OrgId(Uuid::from_u128(org)),
            seq: Seq(seq),
            event_id: EventId(Uuid::from_u128(u128::from(seq))),
            event_type: EventType::Anomaly,
            severity: Severity::Low,
            event_time: Timestamp(0),
            accepted_at: Timestamp(0),
            payload: Bytes::from_static(b"{}"),
        })
    }

    #[test]
    fn the_oldest_of_all_orgs_goes_first_and_what_remains_is_dense() {
        let cost = OVERHEAD + 2;
        let mut ring = Ring::new(cost * 3);
        ring.push(vec![event(1, 1), event(2, 1), event(1, 2), event(1, 3)]);
        let org = OrgId(Uuid::from_u128(1));
        let all = ReadLimit { events: 10, bytes: 1000 };
        assert!(ring.read(org, Seq(0), all).is_none(), "sequence 1 has gone: only the disk knows");
        let seqs = |after| ring.read(org, Seq(after), all).unwrap().iter().map(|e| e.seq.0).collect::<Vec<_>>();
        assert_eq!(seqs(1), [2, 3]);
        assert_eq!(seqs(3), [0u64; 0]);
        assert_eq!(ring.get(org, Seq(3)).unwrap().seq, Seq(3));
        assert!(ring.get(org, Seq(4)).is_none() && ring.get(org, Seq(1)).is_none());
        ring.forget(org, Seq(2));
        assert_eq!((ring.bytes, ring.order.len()), (cost * 2, 2));
        ring.forget(org, Seq(9));
        assert_eq!((ring.bytes, ring.order.len()), (cost, 1));
    }

    #[test]
    fn a_byte_limit_stops_the_batch_but_never_the_first_event() {
        let mut ring = Ring::new(1 << 20);
        ring.push((1..=5).map(|s| event(1, s)).collect());
        let org = OrgId(Uuid::from_u128(1));
        let read = |events, bytes| ring.read(org, Seq(0), ReadLimit { events, bytes }).unwrap().len();
        assert_eq!((read(10, 5), read(10, 0), read(2, 100)), (2, 1, 2));
    }
}
