//! Places in the queue of appends: how much may wait there, of each org and of all.
//!
//! An org that floods the queue cannot take the other orgs' places. One org can hold only a part of all places. Once all of them are taken,
//! there are as many again, and each org can hold only an equal share of those.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use toktra_siem_core::ids::OrgId;

/// What an event costs beside its payload: its rows take as long as so many bytes.
const EVENT: usize = 1 << 10;
/// What may wait in all.
const ALL: Weight = Weight { events: 98_304, bytes: 32 << 20 };
/// What may wait of one org, while others wait or not.
const OF_ONE: Weight = Weight { events: 65_536, bytes: 24 << 20 };

/// How much an append takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Weight {
    /// Events.
    pub(super) events: usize,
    /// Of payload.
    pub(super) bytes: usize,
}

impl Weight {
    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self { events: self.events + other.events, bytes: self.bytes + other.bytes }
    }

    /// Whether it is no more than `bound`, in both.
    pub(super) fn within(self, bound: Self) -> bool {
        self.events <= bound.events && self.bytes <= bound.bytes
    }

    /// Of the writer's time, as so many bytes.
    pub(super) fn cost(self) -> usize {
        self.bytes + self.events * EVENT
    }
}

/// What waits for the writer or is being written.
#[derive(Debug, Default)]
pub(super) struct Places {
    orgs: Mutex<HashMap<OrgId, Weight>>,
    events: AtomicUsize,
    bytes: AtomicUsize,
}

/// Places that are taken; given back with it.
pub(super) struct Place {
    places: Arc<Places>,
    org: OrgId,
    weight: Weight,
}

impl Places {
    /// Takes places for an append of `org`, or `None` where it has to come again later.
    pub(super) fn take(self: &Arc<Self>, org: OrgId, weight: Weight) -> Option<Place> {
        let mut orgs = self.orgs.lock();
        let own = orgs.get(&org).copied().unwrap_or_default();
        let (wanted, all) = (own.and(weight), self.all().and(weight));
        let many = orgs.len() + usize::from(own.events == 0);
        let left = |all: usize, taken: usize| (2 * all).saturating_sub(taken) / many;
        let share = Weight { events: left(ALL.events, all.events), bytes: left(ALL.bytes, all.bytes) };
        // A single append may be larger than anything: it is let in where its org has nothing else.
        let fits = if all.within(ALL) { own.events == 0 || wanted.within(OF_ONE) } else { wanted.within(share) };
        if !fits && !orgs.is_empty() {
            return None;
        }
        orgs.insert(org, wanted);
        self.events.store(all.events, Ordering::Relaxed);
        self.bytes.store(all.bytes, Ordering::Relaxed);
        Some(Place { places: Arc::clone(self), org, weight })
    }

    /// What is taken now.
    pub(super) fn all(&self) -> Weight {
        Weight { events: self.events.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut orgs = self.places.orgs.lock();
        if let Some(own) = orgs.get_mut(&self.org) {
            own.events -= self.weight.events;
            own.bytes -= self.weight.bytes;
            if own.events == 0 {
                orgs.remove(&self.org);
            }
        }
        self.places.events.fetch_sub(self.weight.events, Ordering::Relaxed);
        self.places.bytes.fetch_sub(self.weight.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn org(n: u128) -> OrgId {
        OrgId(Uuid::from_u128(n))
    }

    fn flood(places: &Arc<Places>, org: OrgId, weight: Weight) -> Vec<Place> {
        std::iter::from_fn(|| places.take(org, weight)).collect()
    }

    #[test]
    fn one_orgs_flood_refuses_its_own_appends_and_nobody_elses() {
        let places = Arc::<Places>::default();
        let large = Weight { events: 10, bytes: 1 << 20 };
        let mut floods = Vec::new();
        for n in 1..=8 {
            let taken = flood(&places, org(n), large);
            assert!(!taken.is_empty() && taken.len() <= 24, "{} of org {n}", taken.len());
            floods.push(taken);
        }
        for n in 100..200 {
            floods.push(vec![places.take(org(n), Weight { events: 1, bytes: 800 }).unwrap()]);
        }
        assert!(places.take(org(1), large).is_none());
        drop(floods);
        assert_eq!(places.all(), Weight::default());
        assert!(places.orgs.lock().is_empty());
    }

    #[test]
    fn whatever_its_size_an_append_is_let_in_where_nothing_waits() {
        let places = Arc::<Places>::default();
        let huge = Weight { events: 150_000, bytes: 40 << 20 };
        let place = places.take(org(1), huge).unwrap();
        assert!(places.take(org(1), Weight { events: 1, bytes: 1 }).is_none());
        assert!(places.take(org(2), Weight { events: 1, bytes: 1 }).is_some(), "the other is not to blame");
        drop(place);
        assert_eq!(flood(&places, org(3), Weight { events: 1 << 15, bytes: 0 }).len(), 2);
    }
}
