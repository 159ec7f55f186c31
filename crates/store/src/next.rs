//! Pinning the next events of an org in the transaction that accepts them, so that a stream that keeps up costs one commit, and a request
//! leaves as soon as its events are on disk.
//!
//! A stream that has caught up makes an [`Offer`]. The next transaction that accepts events of its org asks the offer to cut them into
//! deliveries and applies what it says as [`DeliveryStore::open`](crate::DeliveryStore::open) would, with every check of it. Whatever comes of it,
//! the offer is used up. It is a shortcut and nothing else: where an offer came to nothing, its stream opens as ever.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::{OrgId, Seq, StreamId};

use crate::deliveries::{Lease, Open};

/// Offers that one transaction may take up: each makes it longer for those who wait for their events to be accepted.
const TAKEN_UP: usize = 32;

/// What a stream does with the next events of its org.
pub trait Next: Send {
    /// Cuts `events`, which follow the stream's cursor without a gap and are about to be committed, into deliveries. `None` where the stream
    /// cannot take them at present. Called by whoever writes: it must neither wait nor call the store.
    fn open(&mut self, events: &[Arc<StoredEvent>]) -> Option<Open>;

    /// What `open` said is on disk (`pinned`), or is not and never will be. An offer that is dropped without this call came to nothing.
    fn ended(self: Box<Self>, pinned: bool);
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

    /// Takes one back. False where it is not there any more: then [`Next::ended`] has told or is about to.
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

    /// Uses up the offers of those orgs whose events are accepted by the present transaction; `events` are in the order of their sequences. `open`
    /// applies one, and says whether it did; what it did becomes final, or not, with the transaction.
    pub fn take_up<E>(
        &self,
        events: &[Arc<StoredEvent>],
        mut open: impl FnMut(&Lease, &Open) -> Result<bool, E>,
    ) -> Result<Vec<(Box<dyn Next>, bool)>, E> {
        let mut ended = Vec::new();
        for offer in self.of(events) {
            let Offer { lease, org, from, mut next } = offer;
            let mut wanted = None;
            if ended.len() < TAKEN_UP {
                let own: Vec<_> = events.iter().filter(|event| event.org == org).cloned().collect();
                let follows = own.first().is_some_and(|event| event.seq == from.next());
                wanted = if follows { next.open(&own) } else { None };
            }
            let pinned = wanted.map_or(Ok(false), |wanted| open(&lease, &wanted))?;
            ended.push((next, pinned));
        }
        Ok(ended)
    }

    fn of(&self, events: &[Arc<StoredEvent>]) -> Vec<Offer> {
        let mut orgs = self.0.lock();
        if orgs.is_empty() {
            return Vec::new();
        }
        events.iter().filter_map(|event| orgs.remove(&event.org)).flatten().collect()
    }
}
