//! Pinning the next events of an org in the transaction that accepts them, so that a stream that keeps up costs one commit, and a request
//! leaves as soon as its events are on disk.
//!
//! A stream that has caught up makes an [`Offer`]. The next transaction that accepts events of its org asks the offer to cut them into
//! deliveries and applies what it says as [`DeliveryStore::open`](crate::DeliveryStore::open) would, with every check of it. Whatever comes of it,
//! the offer is used up. It is a shortcut and nothing else: where an offer came to nothing, its stream opens as ever.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::{OrgId, Seq, StreamId};

use crate::deliveries::{Lease, Open};

/// Bytes of payload that one transaction has cut for all offers together, at most: whoever posted waits for it.
const CUT: usize = 2 << 20;
/// What an offer costs beside the bytes.
const OFFER: usize = CUT / 32;

/// What a stream does with the next events of its org. One that is dropped came to nothing.
pub trait Next: Send {
    /// Cuts `events`, which follow the stream's cursor without a gap and are about to be committed, into deliveries of the live flow
    /// ([`Taken::Live`](crate::Taken::Live)) that pass none by as expired. `None` where the stream cannot take them at present. Called by whoever
    /// writes: it must neither wait nor call the store.
    fn cut(&mut self, events: &[Arc<StoredEvent>]) -> Option<Open>;

    /// What `cut` said is on disk.
    fn pinned(self: Box<Self>);
}

/// A stream that has caught up and waits for events.
pub struct Offer {
    /// The owner's.
    pub lease: Lease,
    /// The stream's tenant.
    pub org: OrgId,
    /// Where the stream's cursor stands, which is the org's head.
    pub from: Seq,
    /// What it does with them.
    pub next: Box<dyn Next>,
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offer").field("lease", &self.lease).field("from", &self.from).finish_non_exhaustive()
    }
}

/// The offers that stand, for backends.
#[derive(Debug, Default)]
pub struct Offers(Mutex<HashMap<OrgId, Vec<Offer>>>);

impl Offers {
    /// Takes an offer in; an earlier one of its stream comes to nothing.
    pub fn put(&self, offer: Offer) {
        let mut orgs = self.0.lock();
        let offers = orgs.entry(offer.org).or_default();
        offers.retain(|other| other.lease.stream != offer.lease.stream);
        offers.push(offer);
    }

    /// Takes one back. False where it is not there any more: then it came to nothing, or its end is about to be told.
    pub fn withdraw(&self, org: OrgId, stream: StreamId) -> bool {
        let mut orgs = self.0.lock();
        let Some(offers) = orgs.get_mut(&org) else { return false };
        let before = offers.len();
        offers.retain(|offer| offer.lease.stream != stream);
        let was_there = offers.len() < before;
        if offers.is_empty() {
            orgs.remove(&org);
        }
        was_there
    }

    /// Uses up the offers of those orgs whose events the present transaction accepts; `events` are in the order of their sequences. `open` applies
    /// one, and says whether it did. Those that were applied are returned, to be told once the transaction has committed.
    pub fn take_up<E>(
        &self,
        events: &[Arc<StoredEvent>],
        mut open: impl FnMut(&Lease, &Open) -> Result<bool, E>,
    ) -> Result<Vec<Box<dyn Next>>, E> {
        let (mut applied, mut left) = (Vec::new(), CUT);
        for (org, offers) in self.of(events) {
            let own: Vec<_> = events.iter().filter(|event| event.org == org).cloned().collect();
            let cost = OFFER + own.iter().map(|event| event.payload.len()).sum::<usize>();
            for Offer { lease, from, mut next, .. } in offers {
                let follows = own.first().is_some_and(|event| event.seq == from.next());
                if !follows || left < cost.min(CUT) {
                    continue;
                }
                left -= cost.min(CUT);
                // A platform's code that panics costs its stream this offer, and nobody else anything.
                let cut = catch_unwind(AssertUnwindSafe(|| next.cut(&own))).unwrap_or(None);
                if let Some(cut) = cut
                    && open(&lease, &cut)?
                {
                    applied.push(next);
                }
            }
        }
        Ok(applied)
    }

    fn of(&self, events: &[Arc<StoredEvent>]) -> Vec<(OrgId, Vec<Offer>)> {
        let mut orgs = self.0.lock();
        if orgs.is_empty() {
            return Vec::new();
        }
        events.iter().filter_map(|event| orgs.remove_entry(&event.org)).collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use toktra_siem_core::event::{EventType, Severity};
    use toktra_siem_core::ids::{ConnectorId, EventId, StreamKind};
    use toktra_siem_core::time::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::deliveries::Taken;

    /// Panics at its first event where it is told to.
    struct Test(bool);

    impl Next for Test {
        fn cut(&mut self, events: &[Arc<StoredEvent>]) -> Option<Open> {
            assert!(!self.0, "{events:?}");
            Some(Open { deliveries: Vec::new(), taken: Taken::Beside, job: None })
        }

        fn pinned(self: Box<Self>) {}
    }

    fn offer(org: u128, stream: u128, panics: bool) -> Offer {
        let stream = StreamId { connector: ConnectorId(Uuid::from_u128(stream)), kind: StreamKind::Events };
        let lease = Lease { stream, epoch: 1 };
        Offer { lease, org: OrgId(Uuid::from_u128(org)), from: Seq(0), next: Box::new(Test(panics)) }
    }

    fn event(org: u128, bytes: usize) -> Arc<StoredEvent> {
        Arc::new(StoredEvent {
            org: OrgId(Uuid::from_u128(org)),
            seq: Seq(1),
            event_id: EventId(Uuid::from_u128(org)),
            event_type: EventType::Anomaly,
            severity: Severity::Low,
            event_time: Timestamp(0),
            accepted_at: Timestamp(0),
            payload: Bytes::from(vec![b'x'; bytes]),
        })
    }

    fn taken_up(offers: &Offers, events: &[Arc<StoredEvent>]) -> usize {
        offers.take_up(events, |_, _| Ok::<_, ()>(true)).unwrap_or_default().len()
    }

    #[test]
    fn a_transaction_takes_up_so_much_and_the_rest_comes_to_nothing() {
        for (bytes, most) in [(100, 31), (CUT / 2, 1), (CUT * 2, 1)] {
            let offers = Offers::default();
            (0..100).for_each(|stream| offers.put(offer(1, stream, false)));
            assert_eq!(taken_up(&offers, &[event(1, bytes), event(2, bytes)]), most, "{bytes}");
            assert_eq!(taken_up(&offers, &[event(1, bytes)]), 0, "all are used up");
        }
    }

    /// Whoever counted what lies between as passed would lose it.
    #[test]
    fn events_that_do_not_follow_the_cursor_are_not_cut() {
        for from in [0, 1, 3] {
            let offers = Offers::default();
            offers.put(Offer { from: Seq(from), ..offer(1, 1, false) });
            assert_eq!(taken_up(&offers, &[event(1, 10)]), usize::from(from == 0), "the event has sequence 1");
        }
        let (offers, later) = (Offers::default(), StoredEvent { seq: Seq(3), ..StoredEvent::clone(&event(1, 10)) });
        offers.put(offer(1, 1, false));
        assert_eq!(taken_up(&offers, &[Arc::new(later)]), 0);
    }

    #[test]
    fn code_that_panics_costs_its_own_offer() {
        let offers = Offers::default();
        offers.put(offer(1, 1, true));
        offers.put(offer(1, 2, false));
        assert_eq!(taken_up(&offers, &[event(1, 10)]), 1);
    }
}
