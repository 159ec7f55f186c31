//! The org-scoped face in memory: whatever is looked up is looked up together with its org.

use std::sync::Arc;

use async_trait::async_trait;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::Delivery;
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::{ApiKeyId, ConnectorId, DeliveryId, EventId, JobId, OrgId, Revision, Seq, StreamId};
use toktra_siem_core::job::{Job, Scope};

use super::stream::Stream;
use super::{AuditRow, DeliveryRow, Memory, State};
use crate::config::{Actor, ApiKeyRecord, AuditEntry, AuditQuery, Change, ConnectorRecord, ConnectorSave, Saved};
use crate::deliveries::{StreamRecord, TestEvent};
use crate::error::{Result, StoreError};
use crate::events::{EventLog as _, EventRecord};
use crate::jobs::JobQuery;
use crate::org::{DeliveryDetail, EventFate, HistoryQuery, LastAttempt, ListedDelivery, OrgStore, Page, StreamFate};
use uuid::Uuid;

/// Events listed with a delivery, at most ([`DeliveryDetail::events`]).
const LISTED: usize = 1000;

#[async_trait]
impl OrgStore for Memory {
    async fn create_connector(&self, org: OrgId, change: Change<ConnectorRecord>) -> Result<Saved> {
        self.lock().create_connector(org, change, self.now())
    }

    async fn save_connector(&self, org: OrgId, change: Change<ConnectorSave>) -> Result<Saved> {
        self.lock().save_connector(org, change, self.now())
    }

    async fn delete_connector(
        &self,
        org: OrgId,
        id: ConnectorId,
        expected: Option<Revision>,
        audit: AuditEntry,
    ) -> Result<u64> {
        self.lock().delete_connector(org, id, expected, audit, self.now())
    }

    async fn backlog(&self, org: OrgId) -> Result<u64> {
        let state = self.lock();
        let active = state.connectors.values().map(|row| &row.record.connector).filter(|c| c.org == org && c.active);
        let streams = active.flat_map(Connector::streams).filter_map(|id| state.streams.get(&id));
        Ok(streams.map(|stream| state.record(stream).undelivered()).max().unwrap_or(0))
    }

    async fn connector(&self, org: OrgId, id: ConnectorId) -> Result<ConnectorRecord> {
        Ok(self.lock().connector(org, id)?.record.clone())
    }

    async fn connectors(&self, org: OrgId) -> Result<Vec<ConnectorRecord>> {
        let state = self.lock();
        state.org(org)?;
        let rows = state.connectors().into_iter().filter(|row| row.record.connector.org == org);
        Ok(rows.map(|row| row.record.clone()).collect())
    }

    async fn connector_streams(&self, org: OrgId, id: ConnectorId) -> Result<Vec<StreamRecord>> {
        let state = self.lock();
        let streams = state.connector(org, id)?.record.connector.streams();
        streams.map(|stream| Ok(state.record(state.stream(stream)?))).collect()
    }

    async fn keys(&self, org: OrgId) -> Result<Vec<ApiKeyRecord>> {
        let state = self.lock();
        state.org(org)?;
        Ok(state.keys.iter().filter(|key| key.org == Some(org)).cloned().collect())
    }

    async fn revoke_key(&self, org: OrgId, id: ApiKeyId, audit: AuditEntry) -> Result<()> {
        self.lock().revoke(Some(org), id, audit)
    }

    async fn event(&self, org: OrgId, id: EventId) -> Result<(EventRecord, Option<bytes::Bytes>)> {
        let now = self.now();
        let mut state = self.lock();
        let seq = *state.org(org)?.by_id.get(&id).ok_or(StoreError::NotFound)?;
        state.note(org, [seq], now);
        let row = state.org(org)?.events.get(&seq).ok_or(StoreError::NotFound)?;
        Ok((row.record.clone(), row.payload()))
    }

    async fn fates(&self, org: OrgId, id: EventId) -> Result<Vec<EventFate>> {
        let state = self.lock();
        let seq = *state.org(org)?.by_id.get(&id).ok_or(StoreError::NotFound)?;
        let rows = state.connectors().into_iter().filter(|row| row.record.connector.org == org);
        let streams = rows.flat_map(|row| row.record.connector.streams()).filter_map(|id| state.streams.get(&id));
        Ok(streams.map(|stream| EventFate { stream: stream.id, fate: stream.fate(seq) }).collect())
    }

    async fn history(&self, org: OrgId, query: HistoryQuery) -> Result<Page<ListedDelivery>> {
        let state = self.lock();
        let by_id = &state.org(org)?.by_id;
        let wanted = |row: &&DeliveryRow| {
            let delivery = &row.delivery;
            let tries = |id| state.tests.get(&delivery.id).is_some_and(|(event, _)| event.event_id == id);
            let holds = |id| by_id.get(&id).is_some_and(|seq: &Seq| delivery.members.contains(*seq)) || tries(id);
            delivery.org == org
                && query.connector.is_none_or(|connector| delivery.stream.connector == connector)
                && query.stream.is_none_or(|kind| delivery.stream.kind == kind)
                && query.status.is_none_or(|status| delivery.status == status)
                && query.trigger.is_none_or(|trigger| delivery.trigger == trigger)
                && query.job.is_none_or(|job| delivery.job == Some(job))
                && query.event_id.is_none_or(holds)
                && query.from.is_none_or(|from| delivery.created_at >= from)
                && query.to.is_none_or(|to| delivery.created_at < to)
                && query.before.is_none_or(|before| delivery.id < before)
        };
        let listed = |row: &DeliveryRow| ListedDelivery {
            delivery: row.delivery.clone(),
            last: LastAttempt::of(&row.attempts),
            recovered_by: state.recovered_by(&row.delivery),
        };
        Ok(page(state.deliveries.values().rev().filter(wanted).map(listed), query.limit))
    }

    async fn delivery(&self, org: OrgId, id: DeliveryId) -> Result<DeliveryDetail> {
        let state = self.lock();
        let row = state.deliveries.get(&id).filter(|row| row.delivery.org == org).ok_or(StoreError::NotFound)?;
        let children = state.deliveries.values().map(|row| &row.delivery).filter(|child| child.parent == Some(id));
        let events = row.delivery.members.iter().filter_map(|seq| state.orgs.get(&org)?.events.get(&seq));
        Ok(DeliveryDetail {
            delivery: row.delivery.clone(),
            attempts: row.attempts.clone(),
            children: children.map(|child| child.id).collect(),
            recovered_by: state.recovered_by(&row.delivery),
            events: events.filter_map(|row| row.known().cloned()).take(LISTED).collect(),
            test_event: state.tests.get(&id).map(|(event, _)| event.clone()),
        })
    }

    async fn delivery_events(&self, org: OrgId, id: DeliveryId) -> Result<Vec<Arc<StoredEvent>>> {
        let members = {
            let state = self.lock();
            let row = state.deliveries.get(&id).filter(|row| row.delivery.org == org).ok_or(StoreError::NotFound)?;
            row.delivery.members.clone()
        };
        self.read_members(org, &members).await
    }

    async fn job_scope(&self, org: OrgId, job: &Job) -> Result<Scope> {
        self.lock().scope(org, job)
    }

    async fn create_job(&self, org: OrgId, change: Change<Job>) -> Result<Job> {
        self.lock().create_job(org, change)
    }

    async fn job(&self, org: OrgId, id: JobId) -> Result<Job> {
        Ok(self.lock().job(org, id)?.clone())
    }

    async fn jobs(&self, org: OrgId, query: JobQuery) -> Result<Page<Job>> {
        let state = self.lock();
        state.org(org)?;
        let wanted = |job: &&Job| {
            job.org == org
                && query.connector.is_none_or(|connector| job.connector == connector)
                && query.state.is_none_or(|state| job.state == state)
                && query.before.is_none_or(|before| job.id < before)
        };
        Ok(page(state.jobs.values().rev().filter(wanted).cloned(), query.limit))
    }

    async fn cancel_job(&self, org: OrgId, id: JobId, audit: AuditEntry) -> Result<Job> {
        let now = self.now();
        self.lock().cancel_job(org, id, audit, now)
    }

    async fn test_event(&self, org: OrgId, id: EventId) -> Result<(TestEvent, Vec<Delivery>)> {
        let state = self.lock();
        let own = state.tests.iter().filter_map(|(delivery, (event, _))| {
            let delivery = &state.deliveries.get(delivery)?.delivery;
            (delivery.org == org && event.event_id == id).then_some((event, delivery))
        });
        let (events, deliveries): (Vec<_>, Vec<_>) = own.unzip();
        let event = events.first().copied().cloned().ok_or(StoreError::NotFound)?;
        Ok((event, deliveries.into_iter().cloned().collect()))
    }

    async fn audit(&self, org: OrgId, query: AuditQuery) -> Result<Page<(u64, AuditEntry)>> {
        let state = self.lock();
        state.org(org)?;
        Ok(state.audit_page(Some(org), &query))
    }
}

impl State {
    /// The delivery by which the first of the parked events of this one arrived. What a child brought was never parked.
    fn recovered_by(&self, delivery: &Delivery) -> Option<DeliveryId> {
        let stream = self.stream_of(delivery.stream).filter(|_| delivery.accounted)?;
        delivery.members.iter().find_map(|seq| match stream.fate(seq) {
            StreamFate::Delivered { delivery: by } if by > delivery.id && !self.descends(by, delivery.id) => Some(by),
            _ => None,
        })
    }

    fn descends(&self, id: DeliveryId, from: DeliveryId) -> bool {
        let parent = self.deliveries.get(&id).and_then(|row| row.delivery.parent);
        parent.is_some_and(|parent| parent == from || self.descends(parent, from))
    }

    /// The stream, also where its connector was deleted.
    fn stream_of(&self, id: StreamId) -> Option<&Stream> {
        self.streams.get(&id).or_else(|| self.removed.iter().rev().find(|stream| stream.id == id))
    }

    /// Removes a key of `org`, or a platform key where there is none.
    pub(super) fn revoke(&mut self, org: Option<OrgId>, id: ApiKeyId, audit: AuditEntry) -> Result<()> {
        let at = self.keys.iter().position(|key| key.id == id && key.org == org).ok_or(StoreError::NotFound)?;
        self.keys.remove(at);
        self.log(org, audit);
        Ok(())
    }

    /// A page of the audit log of an org, or of the whole service.
    pub(super) fn audit_page(&self, org: Option<OrgId>, query: &AuditQuery) -> Page<(u64, AuditEntry)> {
        let is_actor = |actor: &Actor, wanted: &str| {
            actor.name == wanted || actor.id.is_some_and(|id| Uuid::try_parse(wanted) == Ok(id))
        };
        let wanted = |row: &&AuditRow| {
            let AuditEntry { at, actor, action, object, .. } = &row.entry;
            row.org == org
                && query.actor.as_ref().is_none_or(|wanted| is_actor(actor, wanted))
                && query.action.as_ref().is_none_or(|start| action.starts_with(start.as_str()))
                && query.object.as_ref().is_none_or(|wanted| object == wanted)
                && query.from.is_none_or(|from| *at >= from)
                && query.to.is_none_or(|to| *at < to)
                && query.before.is_none_or(|before| row.number < before)
        };
        page(self.audit.iter().rev().filter(wanted).map(|row| (row.number, row.entry.clone())), query.limit)
    }
}

fn page<T>(mut items: impl Iterator<Item = T>, limit: usize) -> Page<T> {
    let page = items.by_ref().take(limit).collect();
    Page { items: page, has_more: items.next().is_some() }
}
