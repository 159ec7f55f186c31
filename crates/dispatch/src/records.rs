//! A bound on outcomes that wait to be recorded. A request that fails, or in which thousands of events are refused, leaves a row for each event. The
//! number of rows that wait for the store is bounded for all workers together and for each org, so that many failing connectors take neither
//! memory without end nor the turns of other orgs.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use toktra_siem_core::ids::OrgId;

/// Rows that may wait: some 50 MB.
const ALL: u32 = 64 << 10;
/// And of one org.
const OF_ONE: u32 = ALL / 4;
/// So few rows need no room.
const FEW: usize = 64;

/// The room that there is.
#[derive(Debug)]
pub struct Records {
    all: Arc<Semaphore>,
    orgs: Mutex<HashMap<OrgId, Weak<Semaphore>>>,
}

impl Default for Records {
    fn default() -> Self {
        Self { all: semaphore(ALL), orgs: Mutex::default() }
    }
}

/// Room that is taken; given back with it.
pub(super) type Room = Option<(OwnedSemaphorePermit, OwnedSemaphorePermit, Arc<Semaphore>)>;

impl Records {
    /// Waits for room for this many rows of an org. More than an org may ever have waiting go alone.
    pub(super) async fn room(&self, org: OrgId, rows: usize) -> Room {
        if rows <= FEW {
            return None;
        }
        let rows = u32::try_from(rows).unwrap_or(OF_ONE).min(OF_ONE);
        let of_org = self.of(org);
        let own = Arc::clone(&of_org).acquire_many_owned(rows).await.ok()?;
        let all = Arc::clone(&self.all).acquire_many_owned(rows).await.ok()?;
        Some((own, all, of_org))
    }

    fn of(&self, org: OrgId) -> Arc<Semaphore> {
        let mut orgs = self.orgs.lock();
        if let Some(found) = orgs.get(&org).and_then(Weak::upgrade) {
            return found;
        }
        orgs.retain(|_, others| others.strong_count() > 0);
        let made = semaphore(OF_ONE);
        orgs.insert(org, Arc::downgrade(&made));
        made
    }
}

fn semaphore(rows: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(rows as usize))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use tokio::time::timeout;
    use uuid::Uuid;

    use super::*;

    fn org(n: u128) -> OrgId {
        OrgId(Uuid::from_u128(n))
    }

    #[tokio::test(start_paused = true)]
    async fn an_org_waits_for_itself_and_all_together_have_so_much() {
        let records = Records::default();
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(records.room(org(1), 2 << 10).await.unwrap());
        }
        let mut next = pin!(records.room(org(1), 100));
        assert!(timeout(Duration::from_secs(9), &mut next).await.is_err(), "the org has its share");
        assert!(records.room(org(1), FEW).await.is_none(), "a few need none");
        for n in 2..5 {
            held.push(records.room(org(n), 90_000).await.unwrap());
        }
        let other = records.room(org(9), 100);
        assert!(timeout(Duration::from_secs(9), other).await.is_err(), "nothing is left");
        drop(held.remove(0));
        assert!(timeout(Duration::from_secs(9), next).await.unwrap().is_some());
        drop(held);
        assert_eq!(records.all.available_permits(), ALL as usize);
        drop(records.room(org(9), 100).await);
        records.of(org(10));
        assert_eq!(records.orgs.lock().len(), 1, "nothing is left of the others");
    }
}
