//! Creating, saving and deleting connectors in memory.

use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::{Status, Trigger};
use toktra_siem_core::filter::FilterVersion;
use toktra_siem_core::ids::{ConnectorId, OrgId, Revision, StreamId, StreamKind};
use toktra_siem_core::time::Timestamp;

use super::open::conflict;
use super::stream::Stream;
use super::{ConnectorRow, State};
use crate::config::{AuditEntry, Change, ConnectorRecord, ConnectorSave, Saved};
use crate::error::{Result, StoreError};
use toktra_siem_core::connector::Resume;

/// Why a delivery that was on its way came to its end with its connector.
const DELETED: &str = "The connector was deleted while this delivery was on its way.";

impl State {
    pub(super) fn create_connector(
        &mut self,
        org: OrgId,
        change: Change<ConnectorRecord>,
        now: Timestamp,
    ) -> Result<Saved> {
        let Change { value: mut record, audit } = change;
        self.org(org)?;
        if self.connectors.contains_key(&record.connector.id) {
            return Err(conflict("there is a connector with this id"));
        }
        self.check_name(org, &record.connector)?;
        let head = self.head(org);
        let connector = &mut record.connector;
        (connector.org, connector.revision) = (org, Revision(1));
        (connector.created_at, connector.updated_at) = (now, now);
        connector.activated = connector.active;
        for id in connector.streams() {
            // Leases of one that had this id before stay behind: they must not fit.
            let epoch = self.removed.iter().filter(|removed| removed.id == id).map(|removed| removed.epoch).max();
            self.streams.insert(id, Stream { epoch: epoch.unwrap_or(0), ..Stream::new(id, org, head) });
        }
        let saved = Saved { connector: connector.clone(), backlog: 0, skipped: 0 };
        let row = ConnectorRow { made: self.next_serial(), versions: vec![self.version(&saved.connector)], record };
        self.connectors.insert(saved.connector.id, row);
        self.log(Some(org), audit);
        Ok(saved)
    }

    pub(super) fn save_connector(
        &mut self,
        org: OrgId,
        change: Change<ConnectorSave>,
        now: Timestamp,
    ) -> Result<Saved> {
        let Change { value: save, audit } = change;
        let ConnectorSave { mut connector, expected, secrets, rotation, resume } = save;
        let present = self.connector(org, connector.id)?;
        let was = present.record.connector.clone();
        check_revision(was.revision, expected)?;
        if was.settings.platform != connector.settings.platform {
            return Err(conflict("a connector keeps its platform"));
        }
        self.check_name(org, &connector)?;
        connector.org = org;
        connector.revision = Revision(was.revision.0 + 1);
        (connector.created_at, connector.updated_at) = (was.created_at, now);
        connector.activated = was.activated || connector.active;

        let mut saved = Saved { connector: connector.clone(), backlog: 0, skipped: 0 };
        let resume = match (was.active, connector.active) {
            (false, true) => Some(if was.activated { resume } else { Resume::Now }),
            _ => None,
        };
        for stream in connector.streams() {
            self.renew(stream, &mut saved, resume, now);
        }
        let version = self.version(&connector);
        let row = self.connectors.get_mut(&connector.id).ok_or(StoreError::NotFound)?;
        row.versions.push(version);
        row.record.connector = connector;
        row.record.secrets = secrets.unwrap_or_else(|| std::mem::take(&mut row.record.secrets));
        row.record.rotation = rotation.unwrap_or(row.record.rotation);
        self.log(Some(org), audit);
        Ok(saved)
    }

    /// What a save does to a stream: it starts afresh, under a newer lease, with what waits set apart or passed over.
    fn renew(&mut self, id: StreamId, saved: &mut Saved, resume: Option<Resume>, now: Timestamp) {
        let (head, range) = (self.head(saved.connector.org), self.next_range_id());
        let Some(stream) = self.streams.get(&id) else { return };
        let was_open = !stream.breaker.is_closed();
        let sends = saved.connector.active && saved.connector.settings.sends(id.kind);
        self.switch(id, Breaker::default(), sends, now);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.epoch += 1;
        match resume {
            Some(Resume::Now) => saved.skipped = saved.skipped.max(stream.skip(head)),
            Some(Resume::Backlog) => {
                saved.backlog = saved.backlog.max(stream.waiting(head));
                stream.set_apart(range, Trigger::Recovery, head, now);
            }
            None if saved.connector.active && was_open => {
                stream.set_apart(range, Trigger::Recovery, head, now);
            }
            None => {}
        }
    }

    /// How many undelivered events the connector gives up, at most over its streams.
    pub(super) fn delete_connector(
        &mut self,
        org: OrgId,
        id: ConnectorId,
        expected: Option<Revision>,
        audit: AuditEntry,
        now: Timestamp,
    ) -> Result<u64> {
        check_revision(self.connector(org, id)?.record.connector.revision, expected)?;
        let head = self.head(org);
        let given_up = self.streams.values().filter(|stream| stream.id.connector == id).map(|stream| {
            stream.cursor.until(head) + u64::try_from(stream.counts.pending + stream.counts.failed).unwrap_or(0)
        });
        let given_up = given_up.max().unwrap_or(0);
        let streams: Vec<_> = self.streams.keys().filter(|stream| stream.connector == id).copied().collect();
        for stream in streams {
            self.switch(stream, Breaker::default(), false, now);
        }
        self.connectors.remove(&id);
        self.acknowledged.remove(&id);
        self.traffic.retain(|(stream, _), _| stream.connector != id);
        self.removed.extend(self.streams.extract_if(.., |stream, _| stream.connector == id).map(|(_, stream)| stream));
        for row in self.deliveries.values_mut().filter(|row| row.delivery.stream.connector == id) {
            if row.delivery.status == Status::Pending {
                row.delivery.status = Status::Failed;
                row.delivery.settled_at = Some(now);
                (row.delivery.due_at, row.delivery.awaiting) = (None, None);
                row.delivery.cause = Some(Cause::new("connector_deleted", DELETED));
            }
        }
        self.give_up_jobs(id, now);
        self.log(Some(org), audit);
        Ok(given_up)
    }

    fn check_name(&self, org: OrgId, connector: &Connector) -> Result<()> {
        let others = self.connectors.values().map(|row| &row.record.connector);
        let taken =
            others.filter(|other| other.org == org && other.id != connector.id).any(|o| o.name == connector.name);
        if taken { Err(conflict("the org has a connector of this name")) } else { Ok(()) }
    }

    /// The filter as saved: it holds from the org's next sequence on.
    fn version(&self, connector: &Connector) -> FilterVersion {
        FilterVersion {
            revision: connector.revision,
            effective_from: self.head(connector.org).next(),
            filter: connector.filter.clone(),
            send_metrics: connector.settings.sends(StreamKind::Metrics),
            passes_own: false,
        }
    }
}

fn check_revision(present: Revision, expected: Option<Revision>) -> Result<()> {
    match expected {
        Some(expected) if expected != present => Err(conflict("the connector was saved in the meantime")),
        _ => Ok(()),
    }
}
