//! Places for test deliveries. Each may hold a connection to a slow receiver for its whole deadline, and search for its event after that; people
//! make few. No org takes all of them.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use toktra_siem_core::ids::OrgId;

/// Tests at a time.
const ALL: usize = 64;
/// Of one org.
const OF_AN_ORG: usize = 16;

/// The places that are taken, by org.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<OrgId, usize>>>);

/// A place, which is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    org: OrgId,
}

impl Places {
    /// A place for a test of the org, if there is one.
    pub(super) fn take(&self, org: OrgId) -> Option<Place> {
        let mut taken = self.0.lock();
        let of_org = taken.get(&org).copied().unwrap_or_default();
        if of_org >= OF_AN_ORG || taken.values().sum::<usize>() >= ALL {
            return None;
        }
        taken.insert(org, of_org + 1);
        Some(Place { places: self.clone(), org })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock();
        match taken.get_mut(&self.org) {
            Some(of_org) if *of_org > 1 => *of_org -= 1,
            _ => drop(taken.remove(&self.org)),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn no_org_takes_all_places_and_each_is_given_back() {
        let places = Places::default();
        let take = |org: u128| (0..ALL).map_while(|_| places.take(OrgId(Uuid::from_u128(org)))).collect::<Vec<_>>();
        let mut of_all: Vec<Vec<Place>> = (0..5).map(take).collect();
        assert_eq!(of_all.iter().map(Vec::len).collect::<Vec<_>>(), [16, 16, 16, 16, 0]);
        of_all[0].pop();
        assert_eq!(take(4).len(), 1, "a place that was given back is free");
        drop(of_all);
        assert!(places.0.lock().is_empty());
    }
}
