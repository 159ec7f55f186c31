//! Reading events from the partitions: by cursor, by members, by id. Every payload is checked against its checksum; an event that does not
//! match it is left out and named, so that [`super::damage`] can note it.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, Row, params};
use toktra_siem_core::event::{EventType, Severity, StoredEvent};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{EventId, OrgId, Seq};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::error::StoreError;
use toktra_siem_store::events::{EventRecord, ReadLimit};

use super::append::checksum;
use super::codec::{MAX_SEQ, Word, int, key, key_seq, uint, uuid};
use super::engine::SharedIds;
use super::fault::{Fault, Outcome};
use super::partition::{among, look_up};

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

/// What was found of a stretch of the log.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// The events that are whole, ascending.
    pub(super) events: Vec<Arc<StoredEvent>>,
    /// Those met on the way that are damaged, ascending. Of what was not read, nothing is known.
    pub(super) damaged: Vec<Seq>,
}

/// The events with sequences from `first` to `last`, as far as `limit` goes: damaged ones do not count towards it.
pub(super) fn events(conn: &Connection, org: OrgRef, first: Seq, last: Seq, limit: ReadLimit) -> Outcome<Read> {
    let mut found = Read::default();
    let mut bytes = 0usize;
    for number in partitions(conn, org.num, first, last, Wanted::Payload)? {
        let mut statement = conn.prepare_cached(&format!(
            "SELECT e.key, r.event_id, r.event_type, r.severity, r.event_time, r.accepted_at, e.crc, e.payload
             FROM event_{number} e LEFT JOIN record_{number} r ON r.key = e.key
             WHERE e.key BETWEEN ?1 AND ?2 ORDER BY e.key"
        ))?;
        let mut rows = statement.query(params![key(org.num, first), key(org.num, last)])?;
        while found.events.len() < limit.events
            && let Some(row) = rows.next()?
        {
            let Some(event) = event(row, org.id)? else {
                found.damaged.push(key_seq(row.get(0)?));
                continue;
            };
            bytes = bytes.saturating_add(event.payload.len());
            if bytes > limit.bytes && !found.events.is_empty() {
                return Ok(found);
            }
            found.events.push(Arc::new(event));
        }
        if found.events.len() >= limit.events {
            break;
        }
    }
    Ok(found)
}

/// The events of `members` whose payload is there.
pub(super) fn members(conn: &Connection, org: OrgRef, members: &Members) -> Outcome<Read> {
    let mut found = Read::default();
    for (first, count) in members.runs() {
        let last = Seq(first + u64::from(*count) - 1);
        let limit = ReadLimit { events: *count as usize, bytes: usize::MAX };
        let Read { events, damaged } = events(conn, org, Seq(*first), last, limit)?;
        found.events.extend(events);
        found.damaged.extend(damaged);
    }
    Ok(found)
}

/// Compact records with sequences from `first` to `last`, at most `limit`, ascending. Those that cannot be read are left out.
pub(super) fn records(conn: &Connection, org: i64, first: Seq, last: Seq, limit: usize) -> Outcome<Vec<EventRecord>> {
    let mut found = Vec::new();
    for number in partitions(conn, org, first, last, Wanted::Records)? {
        let mut statement = conn.prepare_cached(&format!(
            "SELECT key, event_id, event_type, severity, event_time, accepted_at FROM record_{number}
             WHERE key BETWEEN ?1 AND ?2 ORDER BY key"
        ))?;
        let mut rows = statement.query(params![key(org, first), key(org, last)])?;
        while found.len() < limit
            && let Some(row) = rows.next()?
        {
            found.extend(readable(record(row))?);
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

/// The newest event with this id. `maps` are the ids of the partitions that have no lookup table yet.
pub(super) fn by_id(
    conn: &Connection,
    org: OrgRef,
    id: EventId,
    maps: &[(i64, SharedIds)],
) -> Outcome<Option<EventRecord>> {
    let mut statement = conn.prepare_cached("SELECT number, indexed FROM partition ORDER BY number DESC")?;
    let all = statement
        .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for (number, indexed) in all {
        let map = maps.iter().find(|(n, _)| *n == number);
        let key = match (indexed, map) {
            (true, _) => look_up(conn, number, org.num, id)?,
            (false, Some((_, ids))) => among(conn, number, ids, org.num, id)?,
            (false, None) => None,
        };
        if let Some(key) = key {
            return record_by_key(conn, number, key);
        }
    }
    Ok(None)
}

/// The compact record under a key.
pub(super) fn record_by_key(conn: &Connection, number: i64, key: i64) -> Outcome<Option<EventRecord>> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT key, event_id, event_type, severity, event_time, accepted_at FROM record_{number} WHERE key = ?1"
    ))?;
    let mut rows = statement.query([key])?;
    Ok(rows.next()?.map(|row| readable(record(row))).transpose()?.flatten())
}

/// The payload of one event, as long as it lives and is whole. Puts a damaged one among `damaged`.
pub(super) fn payload(conn: &Connection, org: OrgRef, seq: Seq, damaged: &mut Vec<Seq>) -> Outcome<Option<Bytes>> {
    let limit = ReadLimit { events: 1, bytes: usize::MAX };
    let mut read = events(conn, org, seq, seq, limit)?;
    damaged.append(&mut read.damaged);
    Ok(read.events.pop().map(|event| event.payload.clone()))
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

/// Nothing, where a stored value is not one that can have been written.
pub(super) fn readable<T>(read: Outcome<T>) -> Outcome<Option<T>> {
    use rusqlite::Error;
    match read {
        Ok(value) => Ok(Some(value)),
        Err(
            Fault::Refused(StoreError::Damaged(_))
            | Fault::Failed(
                Error::InvalidColumnType(..) | Error::FromSqlConversionFailure(..) | Error::IntegralValueOutOfRange(..),
            ),
        ) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// The event, or nothing where it is damaged: the one place where that is found out.
fn event(row: &Row<'_>, org: OrgId) -> Outcome<Option<StoredEvent>> {
    let key: i64 = row.get(0)?;
    let read = || -> Outcome<(StoredEvent, i64)> {
        let payload = row.get_ref(7)?.as_blob().map_err(|error| Fault::damaged(error.to_string()))?;
        Ok((record(row)?.with_payload(org, Bytes::copy_from_slice(payload)), row.get(6)?))
    };
    let whole = |(event, crc): &(StoredEvent, i64)| i64::from(checksum(key, event)) == *crc;
    Ok(readable(read())?.filter(whole).map(|(event, _)| event))
}
