//! Appending: acceptance time, the duplicate check, the sequence, and the rows.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use toktra_siem_core::event::{NewEvent, StoredEvent};
use toktra_siem_core::ids::Seq;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::error::StoreError;
use toktra_siem_store::events::Appended;

use super::codec::{MAX_SEQ, Word, key, key_seq};
use super::engine::Engine;
use super::fault::{Fault, Outcome};

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
    let appended = insert_all(engine, events, now)?;
    count(engine, stored);
    Ok(appended)
}

fn insert_all(engine: &mut Engine, events: Vec<NewEvent>, now: Timestamp) -> Outcome<Vec<Appended>> {
    let Engine { conn, orgs, partitions, effects, .. } = engine;
    let Some(open) = &partitions.open else { return Ok(Vec::new()) };
    let (insert_event, insert_record) = (Arc::clone(&open.insert_event), Arc::clone(&open.insert_record));
    let mut event_row = conn.prepare_cached(&insert_event)?;
    let mut record_row = conn.prepare_cached(&insert_record)?;
    let mut appended = Vec::with_capacity(events.len());
    for event in events {
        let Some(org) = orgs.get_mut(&event.org) else { return Err(StoreError::NotFound.into()) };
        let hash = partitions.ids.hash(org.num, event.event_id);
        if let Some((partition, key)) = partitions.find(conn, org.num, event.event_id, hash, event.made)? {
            let differs = differs(conn, partition, key, &event)?;
            appended.push(Appended::Duplicate { seq: key_seq(key), differs });
            continue;
        }
        let seq = org.head.next();
        let key = key(org.num, seq);
        org.accepted_at = org.accepted_at.max(now);
        let stored = StoredEvent {
            org: event.org,
            seq,
            event_id: event.event_id,
            event_type: event.event_type,
            severity: event.severity,
            event_time: event.event_time,
            accepted_at: org.accepted_at,
            payload: event.payload,
        };
        event_row.execute(params![key, i64::from(checksum(key, &stored)), &stored.payload[..]])?;
        record_row.execute(params![
            key,
            stored.event_id.0.as_bytes(),
            stored.event_type.number(),
            stored.severity.number(),
            stored.event_time.0,
            stored.accepted_at.0
        ])?;
        org.head = seq;
        if let Some(open) = &mut partitions.open {
            open.ids.write().insert(hash, key);
            open.extents.entry(org.num).or_insert((seq, seq)).1 = seq;
        }
        effects.events.push(Arc::new(stored));
        appended.push(Appended::Accepted(seq));
    }
    Ok(appended)
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

/// Whether a duplicate says something else than its original. Where the original's payload is gone nobody can tell.
fn differs(conn: &Connection, partition: i64, key: i64, event: &NewEvent) -> Outcome<bool> {
    let there: Option<bool> = conn
        .prepare_cached("SELECT payload FROM partition WHERE number = ?1")?
        .query_row([partition], |row| row.get(0))
        .optional()?;
    if there != Some(true) {
        return Ok(false);
    }
    let payload: Option<Vec<u8>> = conn
        .prepare_cached(&format!("SELECT payload FROM event_{partition} WHERE key = ?1"))?
        .query_row([key], |row| row.get(0))
        .optional()?;
    Ok(payload.is_some_and(|original| toktra_siem_core::event::differs::differs(&original, event)))
}

/// Over everything that is delivered or decides where to: what is read is what was accepted, under the same key.
pub(super) fn checksum(key: i64, event: &StoredEvent) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&key.to_le_bytes());
    crc.update(event.event_id.0.as_bytes());
    crc.update(&event.event_type.number().to_le_bytes());
    crc.update(&event.severity.number().to_le_bytes());
    crc.update(&event.event_time.0.to_le_bytes());
    crc.update(&event.accepted_at.0.to_le_bytes());
    crc.update(&event.payload);
    crc.finalize()
}

/// The highest sequence of an org as a reader's transaction sees it.
pub(super) fn head(conn: &Connection, org: i64) -> Outcome<Seq> {
    let sealed: Option<i64> =
        conn.prepare_cached("SELECT head FROM org WHERE num = ?1")?.query_row([org], |row| row.get(0)).optional()?;
    let open: Option<i64> = conn
        .prepare_cached("SELECT number FROM partition WHERE sealed = 0")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let newest: Option<i64> = match open {
        Some(number) => conn
            .prepare_cached(&format!("SELECT max(key) FROM record_{number} WHERE key BETWEEN ?1 AND ?2"))?
            .query_row([key(org, Seq(0)), key(org, Seq(MAX_SEQ))], |row| row.get(0))?,
        None => None,
    };
    let sealed = Seq(sealed.map_or(0, super::codec::uint));
    Ok(newest.map_or(sealed, key_seq).max(sealed))
}
