//! Orgs, keys and connectors as the system itself sees them, in memory.

use async_trait::async_trait;
use tokio::sync::watch;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::filter::FilterTimeline;
use toktra_siem_core::ids::{ApiKeyId, ConnectorId, OrgId, Seq};
use toktra_siem_core::time::Timestamp;

use super::open::conflict;
use super::{Memory, Org};
use crate::config::{
    ApiKeyRecord, AuditEntry, AuditQuery, Change, ConfigStore, ConnectorRecord, Milestone, OrgRecord, SealedSecret,
    USE_NOTED_EVERY,
};
use crate::error::{Result, StoreError};
use crate::org::Page;

#[async_trait]
impl ConfigStore for Memory {
    async fn milestone(&self, milestone: Milestone) -> Result<Option<Timestamp>> {
        Ok(self.lock().milestones.get(milestone.as_str()).copied())
    }

    async fn reach(&self, milestone: Milestone, at: Timestamp) -> Result<()> {
        self.lock().milestones.entry(milestone.as_str()).or_insert(at);
        Ok(())
    }

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
        let (events, by_id, damage, last_accepted) = Default::default();
        let org = Org { made, record, head: watch::Sender::new(Seq(0)), last_accepted, events, by_id, damage };
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

    async fn delete_org(&self, org: OrgId, audit: AuditEntry) -> Result<u64> {
        let mut state = self.lock();
        if state.org(org)?.record.is_default {
            return Err(conflict("the default org stays"));
        }
        let gone = state.connectors.values().map(|row| &row.record.connector).filter(|connector| connector.org == org);
        let undelivered = |connector: &Connector| {
            let streams = connector.streams().filter_map(|id| state.streams.get(&id));
            streams.map(|stream| state.record(stream).undelivered()).max().unwrap_or(0)
        };
        let given_up = gone.map(undelivered).sum();
        state.orgs.remove(&org);
        state.forget_people(org);
        state.connectors.retain(|_, row| row.record.connector.org != org);
        state.streams.retain(|_, stream| stream.org != org);
        state.removed.retain(|stream| stream.org != org);
        state.deliveries.retain(|_, row| row.delivery.org != org);
        state.jobs.retain(|_, job| job.org != org);
        let super::State { deliveries, tests, .. } = &mut *state;
        tests.retain(|id, _| deliveries.contains_key(id));
        state.keys.retain(|key| key.org != Some(org));
        state.channels.retain(|record| record.channel.org != org);
        state.notices.retain(|(of, ..)| *of != org);
        let super::State { connectors, acknowledged, .. } = &mut *state;
        acknowledged.retain(|id, _| connectors.contains_key(id));
        state.audit.retain(|row| row.org != Some(org));
        state.log(None, audit);
        Ok(given_up)
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

    async fn next_key_end(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        Ok(self.lock().keys.iter().filter_map(|key| key.expires_at).filter(|end| *end > now).min())
    }

    async fn revoke_platform_key(&self, id: ApiKeyId, audit: AuditEntry) -> Result<()> {
        self.lock().revoke(None, id, audit)
    }

    async fn touch_key(&self, id: ApiKeyId, at: Timestamp) -> Result<()> {
        let mut state = self.lock();
        let key = state.keys.iter_mut().find(|key| key.id == id);
        if let Some(key) = key.filter(|key| key.last_used_at.is_none_or(|last| last <= at.minus(USE_NOTED_EVERY))) {
            key.last_used_at = Some(at);
        }
        Ok(())
    }

    async fn log(&self, org: Option<OrgId>, entry: AuditEntry) -> Result<()> {
        let mut state = self.lock();
        if let Some(org) = org {
            state.org(org)?;
        }
        state.log(org, entry);
        Ok(())
    }

    async fn platform_audit(&self, query: AuditQuery) -> Result<Page<(u64, AuditEntry)>> {
        Ok(self.lock().audit_page(None, &query))
    }

    async fn all_connectors(&self) -> Result<Vec<ConnectorRecord>> {
        Ok(self.lock().connectors().into_iter().map(|row| row.record.clone()).collect())
    }

    async fn timeline(&self, connector: ConnectorId) -> Result<FilterTimeline> {
        self.lock().timeline(connector)
    }

    async fn end_rotations(&self, now: Timestamp) -> Result<Vec<(OrgId, ConnectorId)>> {
        let mut state = self.lock();
        let until =
            |record: &ConnectorRecord| record.rotation.map(|rotation| rotation.until).filter(|until| *until <= now);
        let rows = state.connectors().into_iter().map(|row| &row.record);
        let over: Vec<(OrgId, ConnectorId, Timestamp)> =
            rows.filter_map(|record| Some((record.connector.org, record.connector.id, until(record)?))).collect();
        for (org, id, until) in &over {
            let Some(row) = state.connectors.get_mut(id) else { continue };
            row.record.rotation = None;
            next_becomes_current(&mut row.record.secrets);
            state.log(Some(*org), AuditEntry::rotation_ended(now, *id, *until));
        }
        Ok(over.into_iter().map(|(org, id, _)| (org, id)).collect())
    }

    async fn reseal(&self, connector: ConnectorId, secrets: Vec<SealedSecret>) -> Result<()> {
        let mut state = self.lock();
        let record = &mut state.connectors.get_mut(&connector).ok_or(StoreError::NotFound)?.record;
        record.secrets = secrets;
        let org = record.connector.org;
        state.log(Some(org), AuditEntry::resealed(self.now(), connector));
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
