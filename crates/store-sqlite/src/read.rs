//! Reading events from the partitions: by cursor, by members, by id. Every payload is checked against its checksum.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use toktra_siem_core::event::{EventType, Severity, StoredEvent};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{EventId, OrgId, Seq};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::events::{EventRecord, ReadLimit};

use super::append::checksum;
use super::codec::{MAX_SEQ, Word, int, key, key_seq, uint, uuid};
use super::engine::SharedIds;
use super::fault::{Fault, Outcome};
use super::ids;

/// An org by both of its names.
#[derive(Debug, Clone, Copy)]
pub(super) struct OrgRef {
    /// As callers know it.
    pub(super) id: OrgId,
    /// As keys have it.
    pub(super) num: i64,
}

/// Which of a partition's tables must still be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Payloads.
    Payload,
    /// Compact records.
    Records,
}

/// The partitions that may hold the org's sequences from `first` to `last`, ascending.
pub(super) fn partitions(conn: &Connection, org: i64, first: Seq, last: Seq, wanted: Wanted) -> Outcome<Vec<i64>> {
    let mut statement = conn.prepare_cached(
        "SELECT e.partition FROM extent e JOIN partition p ON p.number = e.partition
          WHERE e.org = ?1 AND e.last_seq >= ?2 AND e.first_seq <= ?3 AND (p.payload = 1 OR ?4)
         UNION ALL SELECT number FROM partition WHERE sealed = 0
         ORDER BY 1",
    )?;
    let rows = statement
        .query_map(params![org, int(first.0), int(last.0.min(MAX_SEQ)), wanted == Wanted::Records], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The events with sequences from `first` to `last`, as far as `limit` goes.
pub(super) fn events(
    conn: &Connection,
    org: OrgRef,
    first: Seq,
    last: Seq,
    limit: ReadLimit,
) -> Outcome<Vec<Arc<StoredEvent>>> {
    let mut found = Vec::new();
    let mut bytes = 0usize;
    for number in partitions(conn, org.num, first, last, Wanted::Payload)? {
        let mut statement = conn.prepare_cached(&format!(
            "SELECT r.key, r.event_id, r.event_type, r.severity, r.event_time, r.accepted_at, e.crc, e.payload
             FROM event_{number} e JOIN record_{number} r ON r.key = e.key
             WHERE e.key BETWEEN ?1 AND ?2 ORDER BY e.key LIMIT ?3"
        ))?;
        let left = super::codec::len(limit.events - found.len());
        let mut rows = statement.query(params![key(org.num, first), key(org.num, last), left])?;
        while let Some(row) = rows.next()? {
            let event = event(row, org.id)?;
            bytes = bytes.saturating_add(event.payload.len());
            if bytes > limit.bytes && !found.is_empty() {
                return Ok(found);
            }
            found.push(Arc::new(event));
        }
        if found.len() >= limit.events {
            break;
        }
    }
    Ok(found)
}

/// The events of `members` whose payload is there.
pub(super) fn members(conn: &Connection, org: OrgRef, members: &Members) -> Outcome<Vec<Arc<StoredEvent>>> {
    let mut found = Vec::with_capacity(members.len());
    for (first, count) in members.runs() {
        let last = Seq(first + u64::from(*count) - 1);
        let limit = ReadLimit { events: *count as usize, bytes: usize::MAX };
        found.extend(events(conn, org, Seq(*first), last, limit)?);
    }
    Ok(found)
}

/// Compact records with sequences from `first` to `last`, at most `limit`, ascending.
pub(super) fn records(conn: &Connection, org: i64, first: Seq, last: Seq, limit: usize) -> Outcome<Vec<EventRecord>> {
    let mut found = Vec::new();
    for number in partitions(conn, org, first, last, Wanted::Records)? {
        let left = super::codec::len(limit - found.len());
        let mut statement = conn.prepare_cached(&format!(
            "SELECT key, event_id, event_type, severity, event_time, accepted_at FROM record_{number}
             WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT ?3"
        ))?;
        let mut rows = statement.query(params![key(org, first), key(org, last), left])?;
        while let Some(row) = rows.next()? {
            found.push(record(row)?);
        }
        if found.len() >= limit {
            break;
        }
    }
    Ok(found)
}

/// The last of the org's sequences up to `head` that was accepted before `at`; 0 where there is none. Acceptance never goes back within an
/// org, so this takes a handful of looks. What retention has removed is older than whatever is still there.
pub(super) fn accepted_before(conn: &Connection, org: i64, at: Timestamp, head: Seq) -> Outcome<Seq> {
    let (mut before, mut not_before) = (0, head.0 + 1);
    while before + 1 < not_before {
        let middle = before + (not_before - before) / 2;
        match records(conn, org, Seq(middle), head, 1)?.first() {
            Some(record) if record.accepted_at >= at => not_before = middle,
            Some(record) => before = record.seq.0,
            None => before = middle,
        }
    }
    let next = records(conn, org, Seq(before + 1), head, 1)?.pop();
    Ok(next.map_or(head, |record| Seq(record.seq.0 - 1)))
}

/// How many events with sequences from `first` to `last` have a payload.
pub(super) fn living(conn: &Connection, org: i64, first: Seq, last: Seq) -> Outcome<u64> {
    let mut living = 0;
    for number in partitions(conn, org, first, last, Wanted::Payload)? {
        let sql = format!("SELECT count(*) FROM event_{number} WHERE key BETWEEN ?1 AND ?2");
        let counted = conn.prepare_cached(&sql)?.query_row([key(org, first), key(org, last)], |row| row.get(0))?;
        living += uint(counted);
    }
    Ok(living)
}

/// How many of them `filter` matches.
pub(super) fn matching(conn: &Connection, org: i64, first: Seq, last: Seq, filter: &Filter) -> Outcome<u64> {
    let mut matching = 0;
    for number in partitions(conn, org, first, last, Wanted::Payload)? {
        let mut statement = conn.prepare_cached(&format!(
            "SELECT r.event_type, r.severity, count(*) FROM event_{number} e JOIN record_{number} r ON r.key = e.key
             WHERE e.key BETWEEN ?1 AND ?2 GROUP BY 1, 2"
        ))?;
        let mut rows = statement.query([key(org, first), key(org, last)])?;
        while let Some(row) = rows.next()? {
            if filter.refuses(EventType::from_number(row.get(0)?)?, Severity::from_number(row.get(1)?)?).is_none() {
                matching += uint(row.get(2)?);
            }
        }
    }
    Ok(matching)
}

/// The newest event with this id. `maps` are the ids of the partitions that are not indexed yet.
pub(super) fn by_id(
    conn: &Connection,
    org: OrgRef,
    id: EventId,
    maps: &[(i64, SharedIds)],
) -> Outcome<Option<EventRecord>> {
    let found = ids::newest(conn, org.num, id, maps)?;
    found.map_or(Ok(None), |(number, key)| record_by_key(conn, number, key))
}

/// The id of the event under a key: what a look in the index of ids is compared with.
pub(super) fn id_of(conn: &Connection, number: i64, key: i64) -> Outcome<Option<EventId>> {
    let sql = format!("SELECT event_id FROM record_{number} WHERE key = ?1");
    let id: Option<[u8; 16]> = conn.prepare_cached(&sql)?.query_row([key], |row| row.get(0)).optional()?;
    Ok(id.map(|id| EventId(uuid(id))))
}

/// The compact record under a key.
pub(super) fn record_by_key(conn: &Connection, number: i64, key: i64) -> Outcome<Option<EventRecord>> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT key, event_id, event_type, severity, event_time, accepted_at FROM record_{number} WHERE key = ?1"
    ))?;
    let mut rows = statement.query([key])?;
    rows.next()?.map(record).transpose()
}

/// The payload of one event, as long as it lives.
pub(super) fn payload(conn: &Connection, org: OrgRef, seq: Seq) -> Outcome<Option<Bytes>> {
    let limit = ReadLimit { events: 1, bytes: usize::MAX };
    Ok(events(conn, org, seq, seq, limit)?.pop().map(|event| event.payload.clone()))
}

/// A compact record from its columns.
pub(super) fn record(row: &Row<'_>) -> Outcome<EventRecord> {
    Ok(EventRecord {
        seq: key_seq(row.get(0)?),
        event_id: EventId(uuid(row.get(1)?)),
        event_type: EventType::from_number(row.get(2)?)?,
        severity: Severity::from_number(row.get(3)?)?,
        event_time: Timestamp(row.get(4)?),
        accepted_at: Timestamp(row.get(5)?),
    })
}

fn event(row: &Row<'_>, org: OrgId) -> Outcome<StoredEvent> {
    let key: i64 = row.get(0)?;
    let payload = row.get_ref(7)?.as_blob().map_err(|e| Fault::damaged(e.to_string()))?;
    let event = record(row)?.with_payload(org, Bytes::copy_from_slice(payload));
    if i64::from(checksum(key, &event)) != row.get::<_, i64>(6)? {
        return Err(Fault::damaged(format!(
            "event {} of org {org} does not match its checksum and is not delivered; stop the server and run `toktra-siem repair`",
            event.seq
        )));
    }
    Ok(event)
}
