//! Appending: acceptance time, the duplicate check, the sequence, and the rows: one run for each org and group.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use toktra_siem_core::event::differs::differs;
use toktra_siem_core::event::{NewEvent, StoredEvent};
use toktra_siem_core::ids::Seq;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::error::StoreError;
use toktra_siem_store::events::Appended;

use super::batch::{self, Inserts};
use super::codec::{MAX_SEQ, key, key_org, key_seq};
use super::ends;
use super::engine::Engine;
use super::fault::{Fault, Outcome};
use super::ids::Part;
use super::read::OrgRef;

/// Row overhead that the disk budget reckons with for each event, beside its payload.
const ROW_BYTES: u64 = 160;

/// Appends `events` in the writer's transaction. What may be refused is refused before the first row.
pub(super) fn append(engine: &mut Engine, events: Vec<NewEvent>) -> Outcome<Vec<Appended>> {
    for event in &events {
        if engine.org(event.org)?.head.0 + events.len() as u64 > MAX_SEQ {
            return Err(Fault::conflict("the org has used up its 2^40 sequences"));
        }
    }
    engine.claim_room(events.iter().map(|e| e.payload.len() as u64 + ROW_BYTES).sum())?;
    let now = engine.now();
    engine.accepted_at = engine.accepted_at.max(now);
    engine.open_partition(engine.accepted_at)?;
    let stored = engine.effects.events.len();
    let appended = number_all(engine, events, now)?;
    count(engine, stored);
    engine.effects.index |= engine.partitions.ids.wants_mending();
    Ok(appended)
}

fn number_all(engine: &mut Engine, events: Vec<NewEvent>, now: Timestamp) -> Outcome<Vec<Appended>> {
    let Engine { conn, orgs, partitions, effects, pending, .. } = engine;
    let (mut appended, mut originals) = (Vec::with_capacity(events.len()), Originals::default());
    for event in events {
        let Some(org) = orgs.get_mut(&event.org) else { return Err(StoreError::NotFound.into()) };
        let hash = partitions.ids.hash(org.num, event.event_id);
        if let Some((partition, key)) = partitions.find(conn, pending, org.num, event.event_id, hash, event.made)? {
            let at = (partition, key);
            let differs = || originals.differs(conn, pending, at, &event);
            let differs = partitions.ids.unless_unread(Part::Payload, at, differs)?.unwrap_or(false);
            appended.push(Appended::Duplicate { seq: key_seq(key), differs });
            continue;
        }
        let seq = org.head.next();
        org.accepted_at = org.accepted_at.max(now);
        let stored = Arc::new(StoredEvent {
            org: event.org,
            seq,
            event_id: event.event_id,
            event_type: event.event_type,
            severity: event.severity,
            event_time: event.event_time,
            accepted_at: org.accepted_at,
            payload: event.payload,
        });
        org.head = seq;
        if let Some(open) = &mut partitions.open {
            open.ids.write().insert(hash, key(org.num, seq));
            open.extents.entry(org.num).or_insert((seq, seq)).1 = seq;
        }
        pending.push(org.num, Arc::clone(&stored));
        effects.events.push(stored);
        appended.push(Appended::Accepted(seq));
    }
    Ok(appended)
}

/// Events of the current group that have a sequence but no row yet. All events of one org are written together.
#[derive(Default)]
pub(super) struct Pending(BTreeMap<i64, Vec<Arc<StoredEvent>>>);

impl Pending {
    fn push(&mut self, org: i64, event: Arc<StoredEvent>) {
        self.0.entry(org).or_default().push(event);
    }

    /// The event under this key, if it is among them.
    pub(super) fn get(&self, key: i64) -> Option<&Arc<StoredEvent>> {
        let events = self.0.get(&key_org(key))?;
        let at = key_seq(key).0.checked_sub(events.first()?.seq.0)?;
        events.get(usize::try_from(at).ok()?)
    }
}

impl Engine {
    /// Writes the rows of what was appended so far: before anything else of the group looks at the log, and before the commit.
    pub(super) fn write_pending(&mut self) -> Outcome<()> {
        let Some(open) = self.partitions.open.as_ref().filter(|_| !self.pending.0.is_empty()) else { return Ok(()) };
        let tables = Inserts { conn: &self.conn, head: &open.insert_head, body: &open.insert_body };
        for (org, events) in std::mem::take(&mut self.pending).0 {
            batch::write(&tables, org, &events)?;
        }
        Ok(())
    }
}

/// Counts the events from position `from` of the effects on. The catalogue is brought up to date once a group, with the commit.
fn count(engine: &mut Engine, from: usize) {
    let new = &engine.effects.events[from..];
    let Some(open) = engine.partitions.open.as_mut().filter(|_| !new.is_empty()) else { return };
    open.last_at = engine.accepted_at;
    open.rows += new.len() as u64;
    open.bytes += new.iter().map(|e| e.payload.len() as u64).sum::<u64>();
    open.uncatalogued = true;
}

/// The originals of duplicates, a run at a time: a batch that is sent again has its originals beside each other.
#[derive(Default)]
struct Originals {
    partition: i64,
    run: Vec<Arc<StoredEvent>>,
}

impl Originals {
    /// Whether a duplicate says something else than its original, which has this key. If the original's payload is gone, or damaged, nobody
    /// can tell.
    fn differs(&mut self, conn: &Connection, pending: &Pending, at: (i64, i64), event: &NewEvent) -> Outcome<bool> {
        let (partition, key) = at;
        let original = match pending.get(key) {
            Some(original) => Some(original),
            None => self.read(conn, partition, key, event)?,
        };
        Ok(original.is_some_and(|original| differs(&original.payload, event)))
    }

    fn read(
        &mut self,
        conn: &Connection,
        partition: i64,
        key: i64,
        event: &NewEvent,
    ) -> Outcome<Option<&Arc<StoredEvent>>> {
        let seq = key_seq(key);
        let has = |run: &[Arc<StoredEvent>]| {
            let of_org = run.first().is_some_and(|first| first.org == event.org);
            run.binary_search_by_key(&seq, |original| original.seq).ok().filter(|_| of_org)
        };
        if partition != self.partition || has(&self.run).is_none() {
            let org = OrgRef { id: event.org, num: key_org(key) };
            (self.partition, self.run) = (partition, batch::run_with(conn, partition, org, key)?);
        }
        Ok(has(&self.run).and_then(|at| self.run.get(at)))
    }
}

/// The highest sequence of an org as a reader's transaction sees it.
pub(super) fn head(conn: &Connection, org: i64) -> Outcome<Seq> {
    let sealed: Option<i64> =
        conn.prepare_cached("SELECT head FROM org WHERE num = ?1")?.query_row([org], |row| row.get(0)).optional()?;
    let open: Option<i64> = conn
        .prepare_cached("SELECT number FROM partition WHERE sealed = 0")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let sealed = Seq(sealed.map_or(0, super::codec::uint));
    open.map_or(Ok(sealed), |number| ends::last(conn, number, org, sealed))
}
