//! What is kept for a while, in memory.

use async_trait::async_trait;
use toktra_siem_core::time::Timestamp;
use uuid::Uuid;

use super::Memory;
use crate::config::{AuditEntry, SealedSecret};
use crate::error::{Result, StoreError};
use crate::kept::{KEPT_OF_OWNER, Kept, KeptKind, KeptStore, REQUESTS, UNDER_WAY};

#[async_trait]
impl KeptStore for Memory {
    async fn keep(&self, kept: Kept) -> Result<Option<Kept>> {
        let all = &mut self.lock().kept;
        if let Some(known) = all.iter().find(|known| known.id == kept.id && known.until > kept.at) {
            return Ok(Some(known.clone()));
        }
        all.retain(|known| known.id != kept.id);
        let mut alike: Vec<_> = all.iter().filter(|known| known.shares_limit(&kept)).collect();
        let under_way = alike.iter().filter(|known| known.is_under_way(kept.at)).count();
        if kept.is_under_way(kept.at) && under_way >= UNDER_WAY {
            return Err(StoreError::TooMany(REQUESTS));
        }
        let over = (alike.len() + 1).saturating_sub(KEPT_OF_OWNER);
        alike.retain(|known| !known.is_under_way(kept.at));
        let oldest: Vec<[u8; 32]> = alike.iter().take(over).map(|known| known.id).collect();
        all.retain(|known| !oldest.contains(&known.id));
        all.push(kept);
        all.sort_by_key(|kept| (kept.at, kept.id));
        Ok(None)
    }

    async fn seal_kept(&self, id: [u8; 32], sealed: SealedSecret) -> Result<()> {
        for kept in self.lock().kept.iter_mut().filter(|kept| kept.id == id) {
            kept.sealed = Some(sealed.clone());
        }
        Ok(())
    }

    async fn forget_kept(&self, id: [u8; 32]) -> Result<()> {
        self.lock().kept.retain(|kept| kept.id != id);
        Ok(())
    }

    async fn kept_secrets(&self, owner: Uuid, now: Timestamp) -> Result<Vec<Kept>> {
        let held = |kept: &&Kept| kept.owner == owner && kept.kind != KeptKind::Answer && kept.until > now;
        Ok(self.lock().kept.iter().filter(held).cloned().collect())
    }

    async fn take_kept(&self, owner: Uuid, id: [u8; 32], audit: AuditEntry) -> Result<Kept> {
        let mut state = self.lock();
        let held = |kept: &Kept| {
            kept.id == id && kept.owner == owner && kept.kind != KeptKind::Answer && kept.until > audit.at
        };
        let at = state.kept.iter().position(held).ok_or(StoreError::NotFound)?;
        let kept = state.kept.remove(at);
        state.log(kept.org, audit);
        Ok(kept)
    }

    async fn expire_kept(&self, now: Timestamp) -> Result<u64> {
        let all = &mut self.lock().kept;
        let before = all.len();
        all.retain(|kept| kept.until > now);
        Ok((before - all.len()) as u64)
    }
}
