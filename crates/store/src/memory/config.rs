//! Orgs, keys and connectors as the system itself sees them, in memory.

use async_trait::async_trait;
use tokio::sync::watch;
use toktra_siem_core::filter::FilterTimeline;
use toktra_siem_core::ids::{ApiKeyId, ConnectorId, OrgId, Seq};
use toktra_siem_core::time::Timestamp;

use super::open::conflict;
use super::{Memory, Org};
use crate::config::{ApiKeyRecord, AuditEntry, Change, ConfigStore, ConnectorRecord, OrgRecord, SealedSecret};
use crate::error::{Result, StoreError};

#[async_trait]
impl ConfigStore for Memory {
    async fn create_org(&self, change: Change<OrgRecord>) -> Result<()> {
        let Change { value: record, audit } = change;
        let mut state = self.lock();
        if state.orgs.contains_key(&record.id) {
            return Err(conflict("there is an org with this id"));
        }
        if record.is_default && state.orgs.values().any(|org| org.record.is_default) {
            return Err(conflict("there is a default org"));
        }
        let (id, made) = (record.id, state.next_serial());
        let (events, by_id, last_accepted) = Default::default();
        let org = Org { made, record, head: watch::Sender::new(Seq(0)), last_accepted, events, by_id };
        state.orgs.insert(id, org);
        state.log(Some(id), audit);
        Ok(())
    }

    async fn rename_org(&self, org: OrgId, change: Change<String>) -> Result<()> {
        let mut state = self.lock();
        state.orgs.get_mut(&org).ok_or(StoreError::NotFound)?.record.name = change.value;
        state.log(Some(org), change.audit);
        Ok(())
    }

    async fn delete_org(&self, org: OrgId, audit: AuditEntry) -> Result<()> {
        let mut state = self.lock();
        if state.org(org)?.record.is_default {
            return Err(conflict("the default org stays"));
        }
        state.orgs.remove(&org);
        state.connectors.retain(|_, row| row.record.connector.org != org);
        state.streams.retain(|_, stream| stream.org != org);
        state.removed.retain(|stream| stream.org != org);
        state.deliveries.retain(|_, row| row.delivery.org != org);
        state.jobs.retain(|_, job| job.org != org);
        let super::State { deliveries, test_events, .. } = &mut *state;
        test_events.retain(|id, _| deliveries.contains_key(id));
        state.keys.retain(|key| key.org != Some(org));
        state.audit.retain(|row| row.org != Some(org));
        state.log(None, audit);
        Ok(())
    }

    async fn orgs(&self) -> Result<Vec<OrgRecord>> {
        let state = self.lock();
        let mut orgs: Vec<&Org> = state.orgs.values().collect();
        orgs.sort_by_key(|org| org.made);
        Ok(orgs.into_iter().map(|org| org.record.clone()).collect())
    }

    async fn org(&self, org: OrgId) -> Result<OrgRecord> {
        Ok(self.lock().org(org)?.record.clone())
    }

    async fn key_by_hash(&self, hash: [u8; 32]) -> Result<Option<ApiKeyRecord>> {
        Ok(self.lock().keys.iter().find(|key| key.hash == hash).cloned())
    }

    async fn create_key(&self, change: Change<ApiKeyRecord>) -> Result<()> {
        let Change { value: key, audit } = change;
        let mut state = self.lock();
        if let Some(org) = key.org {
            state.org(org)?;
        }
        if state.keys.iter().any(|other| other.id == key.id || other.hash == key.hash) {
            return Err(conflict("there is a key with this id or hash"));
        }
        let org = key.org;
        state.keys.push(key);
        state.log(org, audit);
        Ok(())
    }

    async fn platform_keys(&self) -> Result<Vec<ApiKeyRecord>> {
        Ok(self.lock().keys.iter().filter(|key| key.org.is_none()).cloned().collect())
    }

    async fn revoke_platform_key(&self, id: ApiKeyId, audit: AuditEntry) -> Result<()> {
        self.lock().revoke(None, id, audit)
    }

    async fn all_connectors(&self) -> Result<Vec<ConnectorRecord>> {
        Ok(self.lock().connectors().into_iter().map(|row| row.record.clone()).collect())
    }

    async fn timeline(&self, connector: ConnectorId) -> Result<FilterTimeline> {
        self.lock().timeline(connector)
    }

    async fn end_rotations(&self, now: Timestamp) -> Result<Vec<(OrgId, ConnectorId)>> {
        let mut state = self.lock();
        let over = |record: &ConnectorRecord| record.rotation.is_some_and(|rotation| rotation.until <= now);
        let rows = state.connectors().into_iter().filter(|row| over(&row.record));
        let ended: Vec<(OrgId, ConnectorId)> =
            rows.map(|row| (row.record.connector.org, row.record.connector.id)).collect();
        for (_, id) in &ended {
            let Some(row) = state.connectors.get_mut(id) else { continue };
            row.record.rotation = None;
            next_becomes_current(&mut row.record.secrets);
        }
        Ok(ended)
    }

    async fn reseal(&self, connector: ConnectorId, secrets: Vec<SealedSecret>) -> Result<()> {
        let mut state = self.lock();
        state.connectors.get_mut(&connector).ok_or(StoreError::NotFound)?.record.secrets = secrets;
        Ok(())
    }
}

fn next_becomes_current(secrets: &mut Vec<SealedSecret>) {
    if secrets.iter().any(|secret| secret.field == SealedSecret::SIGNING_NEXT) {
        secrets.retain(|secret| secret.field != SealedSecret::SIGNING);
    }
    for secret in secrets.iter_mut().filter(|secret| secret.field == SealedSecret::SIGNING_NEXT) {
        SealedSecret::SIGNING.clone_into(&mut secret.field);
    }
}
