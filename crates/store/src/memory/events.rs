//! The event log in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use toktra_siem_core::event::differs::differs;
use toktra_siem_core::event::{NewEvent, StoredEvent};
use toktra_siem_core::ids::{OrgId, Seq};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;

use super::{EventRow, Memory, Org};
use crate::deliveries::Open;
use crate::error::{Result, StoreError};
use crate::events::{Appended, Damage, EventLog, EventRecord, Expired, ReadLimit, Retention};
use crate::next::Next;

#[async_trait]
impl EventLog for Memory {
    async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>> {
        let now = self.now();
        let mut state = self.lock();
        if events.iter().any(|event| !state.orgs.contains_key(&event.org)) {
            return Err(StoreError::NotFound);
        }
        let (mut appended, mut accepted) = (Vec::with_capacity(events.len()), Vec::new());
        for event in events {
            let id = event.org;
            let org = state.orgs.get_mut(&id).ok_or(StoreError::NotFound)?;
            appended.push(org.append(event, now));
            if let Some(Appended::Accepted(seq)) = appended.last() {
                accepted.extend(org.events.get(seq).and_then(|row| row.stored.clone()));
            }
        }
        // Their heads are known to whoever opens, and told afterwards.
        let applied = |lease: &_, open: &Open| Ok::<_, StoreError>(state.open(lease, open.clone(), now).is_ok());
        self.offers.take_up(&accepted, applied)?.into_iter().for_each(Next::pinned);
        for org in state.orgs.values() {
            let head = org.last();
            org.head.send_if_modified(|seen| std::mem::replace(seen, head) != head);
        }
        Ok(appended)
    }

    async fn read(&self, org: OrgId, after: Seq, limit: ReadLimit) -> Result<Vec<Arc<StoredEvent>>> {
        self.answers().await;
        let now = self.now();
        let mut state = self.lock();
        let mut bytes = 0;
        let (mut read, mut damaged): (Vec<Arc<StoredEvent>>, Vec<Seq>) = (Vec::new(), Vec::new());
        for (seq, row) in state.org(org)?.events.range(after.next()..) {
            if !read.is_empty() && read.len() >= limit.events {
                break;
            }
            damaged.extend(row.is_damaged().then_some(*seq));
            let Some(event) = row.whole() else { continue };
            bytes += event.payload.len();
            if !read.is_empty() && bytes > limit.bytes {
                break;
            }
            read.push(Arc::clone(event));
        }
        state.note(org, damaged, now);
        Ok(read)
    }

    async fn read_members(&self, org: OrgId, members: &Members) -> Result<Vec<Arc<StoredEvent>>> {
        self.answers().await;
        let now = self.now();
        let mut state = self.lock();
        state.org(org)?;
        state.note(org, members.iter(), now);
        let events = &state.org(org)?.events;
        Ok(members.iter().filter_map(|seq| events.get(&seq)?.whole().cloned()).collect())
    }

    async fn damaged(&self, org: OrgId, members: &Members) -> Result<Vec<Damage>> {
        let state = self.lock();
        let org = state.org(org)?;
        Ok(members.iter().filter_map(|seq| org.damage_at(seq)).collect())
    }

    async fn head(&self, org: OrgId) -> Result<watch::Receiver<Seq>> {
        Ok(self.lock().org(org)?.head.subscribe())
    }

    async fn expire(&self, retention: Retention) -> Result<Expired> {
        let now = self.now();
        self.lock().expire(retention, now)
    }

    /// There is no disk to run full.
    async fn crowded(&self) -> Result<bool> {
        Ok(false)
    }

    async fn stored_bytes(&self) -> Result<HashMap<OrgId, u64>> {
        let of = |row: &EventRow| size_of::<EventRecord>() + row.stored.as_ref().map_or(0, |event| event.payload.len());
        let all = |org: &Org| org.events.values().map(|row| of(row) as u64).sum();
        Ok(self.lock().orgs.iter().map(|(id, org)| (*id, all(org))).collect())
    }
}

impl Org {
    /// The highest sequence given so far. Sequences are never given again, also where retention took the last event.
    pub(super) fn last(&self) -> Seq {
        self.events.last_key_value().map_or(*self.head.borrow(), |(seq, _)| (*seq).max(*self.head.borrow()))
    }

    fn append(&mut self, event: NewEvent, now: Timestamp) -> Appended {
        if let Some(seq) = self.by_id.get(&event.event_id) {
            let original = self.events.get(seq).and_then(EventRow::whole);
            let differs = original.is_some_and(|original| differs(&original.payload, &event));
            return Appended::Duplicate { seq: *seq, differs };
        }
        let seq = self.last().next();
        // A small step back is waited for, a larger one is followed.
        let is_small = self.last_accepted.since(now) <= Duration::from_secs(5);
        self.last_accepted = if is_small { self.last_accepted.max(now) } else { now };
        let NewEvent { org, event_id, event_type, severity, event_time, payload, made: _, sent: _ } = event;
        let accepted_at = self.last_accepted;
        let record = EventRecord { seq, event_id, event_type, severity, event_time, accepted_at };
        let stored = StoredEvent { org, seq, event_id, event_type, severity, event_time, accepted_at, payload };
        self.events.insert(seq, EventRow { record, stored: Some(Arc::new(stored)), broken: None });
        self.by_id.insert(event_id, seq);
        Appended::Accepted(seq)
    }
}
