//! [`EventLog`] of the embedded backend.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use toktra_siem_core::event::{NewEvent, StoredEvent};
use toktra_siem_core::ids::{OrgId, Seq};
use toktra_siem_core::members::Members;
use toktra_siem_store::error::{Result, StoreError};
use toktra_siem_store::events::{Appended, Damage, EventLog, Expired, ReadLimit, Retention};

use super::append::Admission;
use super::codec::MAX_SEQ;
use super::engine::{Engine, OrgHead};
use super::read::{self, OrgRef};
use super::{Sqlite, append, damage, expire};

#[async_trait]
impl EventLog for Sqlite {
    async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>> {
        let Some(org) = events.first().map(|event| event.org) else { return Ok(Vec::new()) };
        let mut admission = Some(Admission::of(&events));
        let part = |(weight, events)| {
            let admission = admission.take();
            (weight, move |engine: &mut Engine| append::append(engine, admission, events))
        };
        let parts = append::parts(events).into_iter().map(part).collect();
        Ok(self.writer.append(org, parts).await?.concat())
    }

    async fn read(&self, org: OrgId, after: Seq, limit: ReadLimit) -> Result<Vec<Arc<StoredEvent>>> {
        let OrgHead { num, head } = self.org_head(org)?;
        if after >= *head.borrow() || limit.events == 0 {
            return Ok(Vec::new());
        }
        if let Some(events) = self.shared.ring.lock().read(org, after, limit) {
            return Ok(events);
        }
        let org = OrgRef { id: org, num };
        self.read_noting("reading events", org, move |conn, damaged| {
            let mut found = read::events(conn, org, after.next(), Seq(MAX_SEQ), limit)?;
            damaged.append(&mut found.take_noted());
            Ok(found.events)
        })
        .await
    }

    async fn read_members(&self, org: OrgId, members: &Members) -> Result<Vec<Arc<StoredEvent>>> {
        let OrgHead { num, .. } = self.org_head(org)?;
        let recent: Option<Vec<_>> = {
            let ring = self.shared.ring.lock();
            members.iter().map(|seq| ring.get(org, seq)).collect()
        };
        if let Some(events) = recent {
            return Ok(events);
        }
        let (org, members) = (OrgRef { id: org, num }, members.clone());
        self.read_noting("reading events", org, move |conn, damaged| {
            let mut found = read::members(conn, org, &members)?;
            damaged.append(&mut found.take_noted());
            Ok(found.events)
        })
        .await
    }

    async fn damaged(&self, org: OrgId, members: &Members) -> Result<Vec<Damage>> {
        let (org, members) = (self.org_ref(org)?, members.clone());
        self.readers.run("looking for damage", move |conn| damage::among(conn, org.num, &members)).await
    }

    async fn head(&self, org: OrgId) -> Result<watch::Receiver<Seq>> {
        Ok(self.org_head(org)?.head.subscribe())
    }

    async fn expire(&self, retention: Retention) -> Result<Expired> {
        expire::run(self, retention).await
    }

    async fn crowded(&self) -> Result<bool> {
        self.writer.call("measuring the database", |engine| engine.is_crowded()).await
    }

    async fn stored_bytes(&self) -> Result<HashMap<OrgId, u64>> {
        let stored = self.shared.stored.read();
        let of = |org: &OrgHead| stored.get(&org.num).copied().unwrap_or(0);
        Ok(self.shared.orgs.read().iter().map(|(id, org)| (*id, of(org))).collect())
    }
}

impl Sqlite {
    /// The org as readers see it.
    pub(super) fn org_head(&self, org: OrgId) -> Result<OrgHead> {
        self.shared.orgs.read().get(&org).cloned().ok_or(StoreError::NotFound)
    }
}
