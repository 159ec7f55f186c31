//! The cap on an org's backlog: a connector that is down for long must not fill the disk for everybody.
//!
//! What the store says is remembered for a moment, and what was taken in since is added to it. So a burst cannot slip through between
//! two looks; what was delivered since is only seen at the next one.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use toktra_siem_core::ids::OrgId;
use toktra_siem_store::{Store, StoreError};

/// How long an answer of the store is believed.
const BELIEVED: Duration = Duration::from_millis(200);
/// Orgs that are remembered before all are forgotten: a bound for memory.
const KEPT: usize = 16 * 1024;

/// The backlog of each org that posts events, as last seen.
#[derive(Debug)]
pub(crate) struct BacklogCap {
    /// Events; `None` for no limit.
    cap: Option<u64>,
    seen: Mutex<HashMap<OrgId, Seen>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    undelivered: u64,
    at: Instant,
}

impl BacklogCap {
    /// No org may have more undelivered events than `cap`.
    pub(crate) fn new(cap: Option<u64>) -> Self {
        Self { cap, seen: Mutex::default() }
    }

    /// Whether the org may post `events` more; they are counted as posted where it may. An org without a backlog always may, so that no
    /// request is too large for ever.
    pub(crate) async fn admits(&self, store: &dyn Store, org: OrgId, events: u64) -> Result<bool, StoreError> {
        let Some(cap) = self.cap else { return Ok(true) };
        if let Some(admitted) = self.claim(org, events, cap) {
            return Ok(admitted);
        }
        let undelivered = store.backlog(org).await?;
        self.remember(org, undelivered);
        Ok(self.claim(org, events, cap).unwrap_or(true))
    }

    /// The decision, where what was seen is still believed.
    fn claim(&self, org: OrgId, events: u64, cap: u64) -> Option<bool> {
        let mut all = self.seen.lock();
        let seen = all.get_mut(&org).filter(|seen| seen.at.elapsed() < BELIEVED)?;
        let admitted = seen.undelivered == 0 || seen.undelivered.saturating_add(events) <= cap;
        if admitted {
            seen.undelivered = seen.undelivered.saturating_add(events);
        }
        Some(admitted)
    }

    /// Two requests may look at the same time: the second must not forget what the first has taken in since.
    fn remember(&self, org: OrgId, undelivered: u64) {
        let mut all = self.seen.lock();
        if all.get(&org).is_some_and(|seen| seen.at.elapsed() < BELIEVED) {
            return;
        }
        if all.len() >= KEPT {
            all.clear();
        }
        all.insert(org, Seen { undelivered, at: Instant::now() });
    }
}
