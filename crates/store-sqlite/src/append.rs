//! Appending: acceptance time, the duplicate check, the sequence, and the rows: one run for each org and group.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};
use toktra_siem_core::event::differs::differs;
use toktra_siem_core::event::{NewEvent, StoredEvent};
use toktra_siem_core::ids::{OrgId, Seq};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::error::StoreError;
use toktra_siem_store::events::Appended;
use toktra_siem_store::rules;

use super::batch::{self, Inserts};
use super::codec::{self, MAX_SEQ, int, key, key_org, key_seq};
use super::ends;
use super::engine::{Effects, Engine, OrgState};
use super::fault::{Fault, Outcome};
use super::ids::{Hash, Known, Part};
use super::partition::Partitions;
use super::places::Weight;
use super::read::OrgRef;
use super::stored::Growth;
use super::writer::PART;

/// Row overhead that the disk budget reckons with for each event, beside its payload.
const ROW_BYTES: u64 = 160;

/// What an append has to be let in for, before the first of its parts is written: so it is refused as a whole.
pub(super) struct Admission {
    /// Its orgs; one may be named more than once.
    orgs: Vec<OrgId>,
    events: u64,
    bytes: u64,
}

impl Admission {
    /// Of an append of these events.
    pub(super) fn of(events: &[NewEvent]) -> Self {
        let mut orgs: Vec<OrgId> = events.iter().map(|event| event.org).collect();
        orgs.dedup();
        let bytes = events.iter().map(|event| event.payload.len() as u64 + ROW_BYTES).sum();
        Self { orgs, events: events.len() as u64, bytes }
    }

    fn ask(&self, engine: &mut Engine) -> Outcome<()> {
        let mut orgs = Vec::with_capacity(self.orgs.len());
        for org in &self.orgs {
            let org = engine.org(*org)?;
            if org.head.0 + self.events > MAX_SEQ {
                return Err(Fault::conflict("the org has used up its 2^40 sequences"));
            }
            orgs.push(org.num);
        }
        // What the parts after the first one take is not claimed again: the budget's reserve is larger than all that can be queued.
        engine.claim_room(&orgs, self.bytes)
    }
}

/// Cuts an append into parts that each keep the writer for a moment only, in the order of the events.
pub(super) fn parts(events: Vec<NewEvent>) -> Vec<(Weight, Vec<NewEvent>)> {
    let mut parts: Vec<(Weight, Vec<NewEvent>)> = Vec::new();
    for event in events {
        let own = Weight { events: 1, bytes: event.payload.len() };
        match parts.last_mut() {
            Some((weight, part)) if weight.and(own).cost() <= PART => {
                *weight = weight.and(own);
                part.push(event);
            }
            _ => parts.push((own, vec![event])),
        }
    }
    parts
}

/// Appends `events` in the writer's transaction. The first part of an append has its admission.
pub(super) fn append(
    engine: &mut Engine,
    admission: Option<Admission>,
    events: Vec<NewEvent>,
) -> Outcome<Vec<Appended>> {
    if let Some(admission) = admission {
        admission.ask(engine)?;
    }
    let now = engine.now();
    // A clock that was set back is noticed before what bears its time can be too old for a right one.
    engine.aging.now();
    let accepted_at = accepted_at(engine.stays, engine.accepted_at, now);
    if accepted_at < engine.accepted_at {
        let (before, seconds) = (engine.accepted_at, engine.accepted_at.since(now).as_secs());
        tracing::warn!(%before, %now, seconds, "the clock was set back: events bear its time again, and keep the order in which they came");
        // Within a partition, the times of an org do not go back.
        engine.seal_partition()?;
    }
    engine.accepted_at = accepted_at;
    if let Err(fault) = engine.open_partition(engine.accepted_at) {
        engine.stay_in_partition(fault)?;
    }
    let stored = engine.effects.events.len();
    let appended = number_all(engine, events, now);
    if appended.is_ok() {
        count(engine, stored);
    }
    engine.write_on()?;
    engine.effects.index |= engine.partitions.ids.wants_mending();
    appended
}

/// When an event is accepted that comes at `now` and after one that was accepted at `last`. A clock that was set back is not followed if the
/// partition that is open has to be stayed in.
fn accepted_at(stays: bool, last: Timestamp, now: Timestamp) -> Timestamp {
    let at = rules::time::accepted_at(last, now);
    if stays { at.max(last) } else { at }
}

/// A duplicate whose original has rows: where its answer stands, the original's partition and key, and what was sent.
type Repeated = (usize, (i64, i64), NewEvent);

fn number_all(engine: &mut Engine, events: Vec<NewEvent>, now: Timestamp) -> Outcome<Vec<Appended>> {
    let Engine { conn, orgs, partitions, effects, pending, stays, .. } = engine;
    let (mut appended, mut repeated) = (Vec::with_capacity(events.len()), Vec::new());
    let new = effects.events.len();
    for event in events {
        let Some(org) = orgs.get_mut(&event.org) else { return Err(StoreError::NotFound.into()) };
        let hash = partitions.ids.hash(org.num, event.event_id);
        if let Some((partition, key)) = partitions.find(conn, pending, org.num, event.event_id, hash, event.made)? {
            let differs = pending.get(key).is_some_and(|original| differs(&original.payload, &event));
            if pending.get(key).is_none() {
                repeated.push((appended.len(), (partition, key), event));
            }
            appended.push(Appended::Duplicate { seq: key_seq(key), differs });
            continue;
        }
        let seq = org.head.next();
        let stored = Arc::new(StoredEvent {
            org: event.org,
            seq,
            event_id: event.event_id,
            event_type: event.event_type,
            severity: event.severity,
            event_time: event.event_time,
            accepted_at: accepted_at(*stays, org.accepted_at, now),
            payload: event.payload,
        });
        take_in((org, partitions, pending, effects), hash, stored);
        appended.push(Appended::Accepted(seq));
    }
    if effects.events.len() - new < appended.len() {
        // The others of its request are not kept: the buffer that it shares with them would be, for one of them.
        for event in &mut effects.events[new..] {
            *event =
                Arc::new(StoredEvent { payload: Bytes::copy_from_slice(&event.payload), ..StoredEvent::clone(event) });
            pending.replace(orgs.get(&event.org).map_or(0, |org| org.num), event);
        }
    }
    compare((conn, &partitions.ids), repeated, &mut appended)?;
    Ok(appended)
}

/// Takes in an event that has its sequence.
fn take_in(
    (org, partitions, pending, effects): (&mut OrgState, &mut Partitions, &mut Pending, &mut Effects),
    hash: Hash,
    event: Arc<StoredEvent>,
) {
    (org.head, org.accepted_at) = (event.seq, event.accepted_at);
    if let Some(open) = &mut partitions.open {
        open.ids.write().insert(hash, key(org.num, event.seq));
        open.extents.entry(org.num).or_insert((event.seq, event.seq)).1 = event.seq;
    }
    pending.push(org.num, Arc::clone(&event));
    effects.events.push(event);
}

/// Takes in events that an earlier transaction had given their sequences and that came to nothing with it, in their order.
pub(super) fn again(engine: &mut Engine, events: Vec<Arc<StoredEvent>>) -> Outcome<()> {
    engine.open_partition(engine.accepted_at)?;
    let Engine { orgs, partitions, effects, pending, .. } = engine;
    for event in events {
        let Some(org) = orgs.get_mut(&event.org) else { return Err(StoreError::NotFound.into()) };
        let hash = partitions.ids.hash(org.num, event.event_id);
        take_in((org, partitions, pending, effects), hash, event);
    }
    count(engine, 0);
    Ok(())
}

/// Finds out which duplicates say something else than their original, in the order of the originals: each run is read once, in whatever order
/// the duplicates came. If an original's payload is gone, or damaged, nobody can tell.
fn compare((conn, ids): (&Connection, &Known), mut repeated: Vec<Repeated>, appended: &mut [Appended]) -> Outcome<()> {
    repeated.sort_unstable_by_key(|(_, original, _)| *original);
    let (mut run, mut end) = (Vec::new(), (0, 0));
    for (at, (partition, key), event) in &repeated {
        let (org, seq) = (OrgRef { id: event.org, num: key_org(*key) }, key_seq(*key));
        if (*partition, *key) > end {
            let wanted = |seq| {
                let original = (*partition, codec::key(org.num, seq));
                repeated.binary_search_by_key(&original, |(_, original, _)| *original).is_ok()
            };
            let read = |key| batch::run_with(conn, *partition, org, key, wanted);
            let (found, last) =
                ids.unless_unread(Part::Payload, (*partition, *key), read)?.unwrap_or((Vec::new(), *key));
            (run, end) = (found, (*partition, last));
        }
        let original = run.binary_search_by_key(&seq, |original| original.seq).ok().and_then(|at| run.get(at));
        if let (Some(original), Some(Appended::Duplicate { differs: answer, .. })) = (original, appended.get_mut(*at)) {
            *answer = differs(&original.payload, event);
        }
    }
    Ok(())
}

/// Events of the current group that have a sequence but no row yet. All events of one org are written together.
#[derive(Default)]
pub(super) struct Pending(BTreeMap<i64, Vec<Arc<StoredEvent>>>);

impl Pending {
    /// Adds an event of the org with this number.
    pub(super) fn push(&mut self, org: i64, event: Arc<StoredEvent>) {
        self.0.entry(org).or_default().push(event);
    }

    /// Puts an event in the place of the one with its sequence.
    fn replace(&mut self, org: i64, event: &Arc<StoredEvent>) {
        let Some((first, events)) = self.0.get_mut(&org).and_then(|events| Some((events.first()?.seq, events))) else {
            return;
        };
        let at = event.seq.0.checked_sub(first.0).and_then(|at| usize::try_from(at).ok());
        if let Some(there) = at.and_then(|at| events.get_mut(at)) {
            *there = Arc::clone(event);
        }
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
        self.written.clear();
        let Some(open) = self.partitions.open.as_ref().filter(|_| !self.pending.0.is_empty()) else { return Ok(()) };
        let tables = Inserts { conn: &self.conn, head: &open.insert_head, body: &open.insert_body };
        let (number, mut growth) = (open.number, Growth::new());
        for (org, events) in std::mem::take(&mut self.pending).0 {
            growth.insert(org, int(batch::write(&tables, org, &events)?));
        }
        self.resized(number, &growth)?;
        self.written = growth;
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use toktra_siem_core::event::intake::SentFields;
    use toktra_siem_core::event::{EventType, Severity};
    use toktra_siem_core::ids::EventId;
    use uuid::Uuid;

    use super::*;

    fn event(n: u128, bytes: usize) -> NewEvent {
        NewEvent {
            org: OrgId(Uuid::from_u128(1)),
            event_id: EventId(Uuid::from_u128(n)),
            event_type: EventType::Anomaly,
            severity: Severity::Low,
            event_time: Timestamp(0),
            payload: Bytes::from(vec![b'x'; bytes]),
            made: false,
            sent: SentFields(u32::MAX),
        }
    }

    #[test]
    fn parts_are_small_and_together_they_are_the_append() {
        for bytes in [10, 800, PART / 3, PART, PART * 2] {
            let events: Vec<_> = (0..3_000.min((64 << 20) / bytes) as u128).map(|n| event(n, bytes)).collect();
            let ids: Vec<_> = events.iter().map(|event| event.event_id).collect();
            let parts = parts(events);
            for (weight, part) in &parts {
                assert!(weight.cost() <= PART || part.len() == 1, "{bytes}: {weight:?}");
                let whole = Weight { events: part.len(), bytes: part.iter().map(|e| e.payload.len()).sum() };
                assert_eq!(*weight, whole);
            }
            let cut: Vec<_> = parts.iter().flat_map(|(_, part)| part).map(|event| event.event_id).collect();
            assert_eq!(cut, ids, "{bytes}");
            let least = ids.len() * (bytes + (1 << 10)) / PART;
            assert!(parts.len() <= 2 * least + 1, "{bytes}: {} parts", parts.len());
        }
    }
}
