//! Turns for searches. Each org has one under way, and all orgs a few: a search reads far more than any other question, and neither the
//! other orgs nor the readiness probe wait for it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use toktra_siem_core::ids::OrgId;

use crate::{Refusal, Result};

/// Searches at the same moment, of all orgs: fewer than the store has reading connections.
const AT_ONCE: usize = 2;
/// Searches of an org that wait for the one that is under way.
const WAITING: usize = 16;

/// Who searches, and who waits.
pub(crate) struct Searches {
    all: Arc<Semaphore>,
    orgs: Mutex<HashMap<OrgId, Arc<Semaphore>>>,
}

impl Default for Searches {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(AT_ONCE)), orgs: Mutex::default() }
    }
}

/// Somebody's turn, while it is held.
pub(crate) struct Turn {
    _of_all: OwnedSemaphorePermit,
    _of_org: OwnedSemaphorePermit,
}

impl Searches {
    /// Waits for the org's turn; an org with too many that wait is refused.
    pub(crate) async fn turn(&self, org: OrgId) -> Result<Turn> {
        let own = {
            let mut orgs = self.orgs.lock();
            // One is the map's: whoever waits, or searches, holds another.
            orgs.retain(|_, own| Arc::strong_count(own) > 1);
            let own = orgs.entry(org).or_insert_with(|| Arc::new(Semaphore::new(1)));
            if Arc::strong_count(own) > WAITING + 1 {
                return Err(Refusal::searches_limited());
            }
            Arc::clone(own)
        };
        let closed = |_| Refusal::internal();
        let of_org = own.acquire_owned().await.map_err(closed)?;
        let of_all = Arc::clone(&self.all).acquire_owned().await.map_err(closed)?;
        Ok(Turn { _of_all: of_all, _of_org: of_org })
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use uuid::Uuid;

    use super::*;

    fn org(n: u128) -> OrgId {
        OrgId(Uuid::from_u128(n))
    }

    #[tokio::test]
    async fn an_org_that_searches_without_pause_keeps_nobody_else_waiting() {
        let searches = Searches::default();
        let first = searches.turn(org(1)).await.unwrap();
        let mut more: Vec<_> = (0..WAITING).map(|_| Box::pin(searches.turn(org(1)))).collect();
        for waiting in &mut more {
            let waits = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await;
            assert!(waits);
        }
        let refused = searches.turn(org(1)).await.map(|_| ()).unwrap_err();
        assert_eq!(refused.status, http::StatusCode::TOO_MANY_REQUESTS);
        let other = searches.turn(org(2)).await.unwrap();
        let mut third = pin!(searches.turn(org(3)));
        assert!(poll_fn(|cx| Poll::Ready(third.as_mut().poll(cx).is_pending())).await, "two at the same moment");
        drop(other);
        drop(third.await.unwrap());
        drop((first, more));
        drop(searches.turn(org(1)).await.unwrap());
        assert_eq!(searches.orgs.lock().len(), 1, "who does not search any more is forgotten");
    }
}
