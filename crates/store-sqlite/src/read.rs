//! Reading events from the partitions: by cursor, by members, by id. Every event is checked against its checksum.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, params};
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{EventId, OrgId, Seq};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::events::{EventRecord, ReadLimit};

use super::batch::{self, Order};
use super::codec::{MAX_SEQ, int, key};
use super::engine::SharedIds;
use super::fault::Outcome;
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

/// What was read of a stretch of the log. Events whose payload is gone are in neither.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Whole events, ascending.
    pub(super) events: Vec<Arc<StoredEvent>>,
    /// Sequences of events that are there and do not match their checksum, or cannot be read.
    pub(super) damaged: Vec<Seq>,
    bytes: usize,
}

impl Read {
    /// Adds an event; false where the limit leaves no room for it.
    pub(super) fn add(&mut self, event: StoredEvent, limit: ReadLimit) -> bool {
        self.bytes = self.bytes.saturating_add(event.payload.len());
        let fits = self.events.len() < limit.events && (self.bytes <= limit.bytes || self.events.is_empty());
        if fits {
            self.events.push(Arc::new(event));
        }
        fits
    }
}

/// The events with sequences from `first` to `last`, as far as `limit` goes.
pub(super) fn events(conn: &Connection, org: OrgRef, first: Seq, last: Seq, limit: ReadLimit) -> Outcome<Read> {
    let (mut read, keys) = (Read::default(), (key(org.num, first), key(org.num, last)));
    for number in partitions(conn, org.num, first, last, Wanted::Payload)? {
        if !batch::events(conn, number, org, keys, limit, &mut read)? {
            break;
        }
    }
    Ok(read)
}

/// The events of `members` whose payload is there.
pub(super) fn members(conn: &Connection, org: OrgRef, members: &Members) -> Outcome<Read> {
    let mut found = Read::default();
    for (first, count) in members.runs() {
        let last = Seq(first + u64::from(*count) - 1);
        let limit = ReadLimit { events: *count as usize, bytes: usize::MAX };
        let run = events(conn, org, Seq(*first), last, limit)?;
        found.events.extend(run.events);
        found.damaged.extend(run.damaged);
    }
    Ok(found)
}

/// Compact records with sequences from `first` to `last`, at most `limit`, ascending.
pub(super) fn records(conn: &Connection, org: i64, first: Seq, last: Seq, limit: usize) -> Outcome<Vec<EventRecord>> {
    let mut found = Vec::new();
    for number in partitions(conn, org, first, last, Wanted::Records)? {
        found.extend(batch::records(conn, number, (key(org, first), key(org, last)), limit - found.len())?);
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
        living += batch::count_present(conn, number, (key(org, first), key(org, last)))?;
    }
    Ok(living)
}

/// How many of them `filter` matches.
pub(super) fn matching(conn: &Connection, org: i64, first: Seq, last: Seq, filter: &Filter) -> Outcome<u64> {
    let (mut matching, keys) = (0, (key(org, first), key(org, last)));
    for number in partitions(conn, org, first, last, Wanted::Payload)? {
        let mut there = batch::present(conn, number, keys)?.into_iter().peekable();
        batch::walk(conn, number, keys, Order::Up, |_, record| {
            let at = key(org, record.seq);
            while there.next_if(|key| *key < at).is_some() {}
            if there.next_if_eq(&at).is_some() && filter.refuses(record.event_type, record.severity).is_none() {
                matching += 1;
            }
            Ok(ControlFlow::Continue(()))
        })?;
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
            (false, Some((_, ids))) => among(conn, None, number, ids, org.num, id)?,
            (false, None) => None,
        };
        if let Some(key) = key {
            return Ok(batch::records(conn, number, (key, key), 1)?.pop());
        }
    }
    Ok(None)
}

/// The payload of one event, as long as it lives.
pub(super) fn payload(conn: &Connection, org: OrgRef, seq: Seq) -> Outcome<Option<Bytes>> {
    let limit = ReadLimit { events: 1, bytes: usize::MAX };
    Ok(events(conn, org, seq, seq, limit)?.events.pop().map(|event| event.payload.clone()))
}
