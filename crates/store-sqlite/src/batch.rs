//! The two tables that a partition keeps its events in: `head_<n>`, compact records, which outlive the payloads, and `body_<n>`, payloads.
//!
//! A row of either has a run of consecutive sequences of one org, under the key of the first ([`toktra_siem_store::batch`] is what is in
//! it). Runs are as long as the group commit that wrote them; [`super::pack`] makes longer ones once the partition is sealed.

use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::Seq;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::batch::{self, MAX_BYTES, MAX_EVENTS, Payload};
use toktra_siem_store::events::{EventRecord, ReadLimit};

use super::codec::{key, key_org, key_seq, len, uint};
use super::fault::Outcome;
use super::read::{OrgRef, Read};
use super::stored::Growth;

/// What makes the tables that a partition has from its first event on.
pub(super) fn tables(number: i64) -> String {
    format!(
        "CREATE TABLE head_{number} (
             key INTEGER PRIMARY KEY, events INTEGER NOT NULL, accepted_at INTEGER NOT NULL, head BLOB NOT NULL);
         CREATE TABLE body_{number} (
             key INTEGER PRIMARY KEY, events INTEGER NOT NULL, present INTEGER NOT NULL, body BLOB NOT NULL);"
    )
}

/// A run to be written: compact records with consecutive sequences, and the payloads that are there.
pub(super) struct Run {
    records: Vec<EventRecord>,
    payloads: Vec<Option<Payload>>,
    bytes: usize,
}

impl Run {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self { records: Vec::new(), payloads: Vec::new(), bytes: 0 }
    }

    /// Whether the next event belongs to another run: this one is full, or the sequence does not follow.
    pub(super) fn ends_before(&self, seq: Seq, bytes: usize) -> bool {
        let Some(last) = self.records.last() else { return false };
        last.seq.next() != seq || self.records.len() >= MAX_EVENTS || self.bytes + bytes > MAX_BYTES
    }

    /// Adds an event.
    pub(super) fn push(&mut self, record: EventRecord, payload: Option<Payload>) {
        self.bytes += payload.as_ref().map_or(0, |payload| payload.bytes.len());
        self.records.push(record);
        self.payloads.push(payload);
    }

    /// Writes what was added, for the org with this number, and begins anew. How many bytes that takes.
    pub(super) fn write(&mut self, tables: &Inserts<'_>, org: i64, small: bool) -> Outcome<u64> {
        let run = std::mem::replace(self, Self::new());
        let Some(first) = run.records.first() else { return Ok(0) };
        let (key, events) = (key(org, first.seq), len(run.records.len()));
        let head = batch::head(key, &run.records);
        tables.conn.prepare_cached(tables.head)?.execute(params![key, events, first.accepted_at.0, head])?;
        let mut bytes = head.len() as u64;
        let present = run.payloads.iter().flatten().count();
        if present > 0 {
            let body = body(&run.payloads, small);
            tables.conn.prepare_cached(tables.body)?.execute(params![key, events, len(present), body])?;
            bytes += body.len() as u64;
        }
        Ok(bytes)
    }
}

fn body(payloads: &[Option<Payload>], small: bool) -> Vec<u8> {
    let plain = batch::body(payloads.iter().map(|p| p.as_ref().map(|p| (p.crc, &p.bytes[..]))));
    if small { batch::packed(plain) } else { plain }
}

/// Where runs are written.
pub(super) struct Inserts<'a> {
    /// The connection that writes.
    pub(super) conn: &'a Connection,
    /// Inserts a head.
    pub(super) head: &'a str,
    /// Inserts a body.
    pub(super) body: &'a str,
}

/// The statements of [`Inserts`] for a partition: head, body.
pub(super) fn inserts(number: i64) -> (String, String) {
    (
        format!("INSERT INTO head_{number} (key, events, accepted_at, head) VALUES (?1, ?2, ?3, ?4)"),
        format!("INSERT INTO body_{number} (key, events, present, body) VALUES (?1, ?2, ?3, ?4)"),
    )
}

/// Writes events of one org, with consecutive sequences, as they come from an append. How many bytes that takes.
pub(super) fn write(tables: &Inserts<'_>, org: i64, events: &[Arc<StoredEvent>]) -> Outcome<u64> {
    let (mut run, mut bytes) = (Run::new(), 0);
    for event in events {
        if run.ends_before(event.seq, event.payload.len()) {
            bytes += run.write(tables, org, false)?;
        }
        let crc = batch::checksum(key(org, event.seq), event);
        run.push(record_of(event), Some(Payload { crc, bytes: event.payload.clone() }));
    }
    Ok(bytes + run.write(tables, org, false)?)
}

fn record_of(event: &StoredEvent) -> EventRecord {
    EventRecord {
        seq: event.seq,
        event_id: event.event_id,
        event_type: event.event_type,
        severity: event.severity,
        event_time: event.event_time,
        accepted_at: event.accepted_at,
    }
}

/// In which order rows are walked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The oldest first.
    Up,
    /// The newest first.
    Down,
}

/// Selects `columns` of the rows of `table` that hold any key from `?1` to `?2`, and at most two that lie before them: where the key of one is
/// damaged, it may have come between them and the row that holds them.
fn covering(table: &str, columns: &str, order: Order) -> String {
    let order = if order == Order::Up { "" } else { "DESC" };
    format!(
        "SELECT key, events, (SELECT min(key) FROM {table} later WHERE later.key > {table}.key), {columns} FROM {table}
         WHERE key BETWEEN coalesce((SELECT min(key) FROM (SELECT key FROM {table} WHERE key <= ?1 ORDER BY key DESC LIMIT 2)), ?1)
             AND ?2 ORDER BY key {order}"
    )
}

/// Where the columns of [`covering`] are.
const COLUMN: usize = 3;

/// The keys from `first` to `last` that a row of `table` holds, as first and last, and whether those are all of its keys; `None` where it lies
/// before them.
fn held(row: &Row<'_>, table: Table, first: i64, last: i64) -> rusqlite::Result<Option<(i64, i64, bool)>> {
    let (key, mut events): (i64, i64) = (row.get(0)?, row.get(1)?);
    // Where the next row does not begin at its end, it is looked into: its column may be damaged.
    if row.get::<_, Option<i64>>(2)? != key.checked_add(events) {
        events = length(table, key, events, blob(row, COLUMN)?);
    }
    let end = key.saturating_add(events).saturating_sub(1);
    let (from, to) = (key.max(first), end.min(last));
    Ok((from <= to).then_some((from, to, (from, to) == (key, end))))
}

/// How many events a row holds: as its column says, or as its bytes do where they say something else and can be read.
fn length(table: Table, key: i64, events: i64, bytes: &[u8]) -> i64 {
    let said = match table {
        Table::Heads => batch::head_len(bytes),
        Table::Bodies => batch::body_len(bytes),
    };
    if said.map(len) == Some(events) {
        return events;
    }
    let read = match table {
        Table::Heads => batch::read_head(key, key_seq(key), bytes).map(|records| records.len()),
        Table::Bodies => batch::read_body(bytes).map(|payloads| payloads.len()),
    };
    read.map_or(events.clamp(0, len(MAX_EVENTS)), len)
}

/// Shows `each` the compact records with keys from `first` to `last`, with the number of their org, until it has seen enough. Those in a
/// damaged head are left out.
pub(super) fn walk(
    conn: &Connection,
    number: i64,
    (first, last): (i64, i64),
    order: Order,
    mut each: impl FnMut(i64, EventRecord) -> Outcome<ControlFlow<()>>,
) -> Outcome<()> {
    let mut statement = conn.prepare_cached(&covering(&format!("head_{number}"), "head", order))?;
    let mut rows = statement.query([first, last])?;
    while let Some(row) = rows.next()? {
        if held(row, Table::Heads, first, last)?.is_none() {
            continue;
        }
        let place: i64 = row.get(0)?;
        let Some(mut records) = batch::read_head(place, key_seq(place), blob(row, COLUMN)?) else { continue };
        if order == Order::Down {
            records.reverse();
        }
        let org = key_org(place);
        for record in records {
            if (first..=last).contains(&key(org, record.seq)) && each(org, record)?.is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Whether a row says that it holds the compact record with this key, whatever is in it.
pub(super) fn has_head(conn: &Connection, number: i64, key: i64) -> Outcome<bool> {
    let mut statement = conn.prepare_cached(&covering(&format!("head_{number}"), "head", Order::Up))?;
    let mut rows = statement.query([key, key])?;
    while let Some(row) = rows.next()? {
        if held(row, Table::Heads, key, key)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A column of bytes, as it lies in the page.
pub(super) fn blob<'a>(row: &'a Row<'_>, index: usize) -> rusqlite::Result<&'a [u8]> {
    // One bit makes the one kind of the other.
    Ok(row.get_ref(index)?.as_bytes()?)
}

/// The compact records with keys from `first` to `last`, at most `limit`, ascending.
pub(super) fn records(conn: &Connection, number: i64, span: (i64, i64), limit: usize) -> Outcome<Vec<EventRecord>> {
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    walk(conn, number, span, Order::Up, |_, record| {
        found.push(record);
        Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(found)
}

/// The `wanted` ones of the run that holds the payload with this key, and where the run ends; none if the partition has no such run.
pub(super) fn run_with(
    conn: &Connection,
    number: i64,
    org: OrgRef,
    key: i64,
    wanted: impl Fn(Seq) -> bool,
) -> Outcome<(Vec<Arc<StoredEvent>>, i64)> {
    let (mut read, mut end) = (Read::default(), key);
    let there = "SELECT 1 FROM partition WHERE number = ?1 AND payload = 1";
    if conn.prepare_cached(there)?.exists([number])? {
        let sql = format!("SELECT key, key + events - 1 FROM body_{number} WHERE key <= ?1 ORDER BY key DESC LIMIT 1");
        let run = conn.prepare_cached(&sql)?.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        if let Some(run) = run.filter(|(_, last)| *last >= key) {
            let all = ReadLimit { events: MAX_EVENTS, bytes: usize::MAX };
            events(conn, number, org, run, wanted, all, &mut read)?;
            end = run.1;
        }
    }
    Ok((read.events, end))
}

/// Adds events with keys from `first` to `last` to `read`: the `wanted` ones, until `limit` is reached. Returns whether there is room for more. A run
/// is looked into once, however many of its events are wanted, and not at all if none is.
pub(super) fn events(
    conn: &Connection,
    number: i64,
    org: OrgRef,
    (first, last): (i64, i64),
    wanted: impl Fn(Seq) -> bool,
    limit: ReadLimit,
    read: &mut Read,
) -> Outcome<bool> {
    let mut statement = conn.prepare_cached(&covering(&format!("body_{number}"), "body", Order::Up))?;
    let mut rows = statement.query([first, last])?;
    while let Some(row) = rows.next()? {
        if read.is_full(limit) {
            return Ok(false);
        }
        let Some((from, to, _)) = held(row, Table::Bodies, first, last)? else { continue };
        // A row that lies in the wrong place says nothing of what was read before it.
        let passed = read.events.last().map(|event| event.seq);
        let keys = (from..=to).filter(|key| passed.is_none_or(|seq| key_seq(*key) > seq) && wanted(key_seq(*key)));
        let keys: Vec<i64> = keys.collect();
        if keys.is_empty() {
            continue;
        }
        let place: i64 = row.get(0)?;
        let Some(payloads) = batch::read_body(blob(row, COLUMN)?) else {
            read.damaged.extend(keys.into_iter().map(key_seq));
            continue;
        };
        let mut records = records(conn, number, (from, to), usize::MAX)?.into_iter().peekable();
        for key in keys {
            while records.next_if(|record| record.seq < key_seq(key)).is_some() {}
            let record = records.next_if(|record| record.seq == key_seq(key));
            let at = usize::try_from(key - place).ok();
            let Some(Payload { crc, bytes }) = at.and_then(|at| payloads.get(at).cloned().flatten()) else { continue };
            let event = record.map(|record| record.with_payload(org.id, bytes));
            let Some(event) = event.filter(|event| batch::checksum(key, event) == crc) else {
                read.damaged.push(key_seq(key));
                continue;
            };
            if !read.add(event, limit) || read.is_full(limit) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Which of the keys from `first` to `last` have a payload, ascending.
pub(super) fn present(conn: &Connection, number: i64, (first, last): (i64, i64)) -> Outcome<Vec<i64>> {
    let mut statement = conn.prepare_cached(&covering(&format!("body_{number}"), "body", Order::Up))?;
    let mut rows = statement.query([first, last])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let Some((from, to, _)) = held(row, Table::Bodies, first, last)? else { continue };
        let place: i64 = row.get(0)?;
        let there = batch::present(blob(row, COLUMN)?).unwrap_or_default();
        found.extend(
            (from..=to)
                .filter(|key| usize::try_from(key - place).is_ok_and(|at| there.get(at).copied().unwrap_or(false))),
        );
    }
    Ok(found)
}

/// How many of the keys from `first` to `last` have a payload. Only rows at the ends are looked into, and those beside which some are gone.
pub(super) fn count_present(conn: &Connection, number: i64, (first, last): (i64, i64)) -> Outcome<u64> {
    let mut statement = conn.prepare_cached(&covering(&format!("body_{number}"), "body, present", Order::Up))?;
    let mut rows = statement.query([first, last])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let Some((from, to, all)) = held(row, Table::Bodies, first, last)? else { continue };
        let there: i64 = row.get(COLUMN + 1)?;
        count += if all && (0..=to - from + 1).contains(&there) {
            uint(there)
        } else {
            present(conn, number, (from, to))?.len() as u64
        };
    }
    Ok(count)
}

/// Bytes that are removed in one call, about.
const MOST_REMOVED: i64 = 512 << 10;

/// What was removed.
#[derive(Debug, Default)]
pub(super) struct Removed {
    /// Events.
    pub(super) events: u64,
    /// Their payloads, before they were compressed; only [`remove`] counts it.
    pub(super) plain: u64,
    /// What that takes off, by org: below zero.
    pub(super) growth: Growth,
    /// There may be more.
    pub(super) more: bool,
}

impl Removed {
    fn take_off(&mut self, place: i64, bytes: usize) {
        *self.growth.entry(key_org(place)).or_default() -= len(bytes);
    }
}

/// Removes payloads with keys from `first` to `last`, about `most` of them in one call. A row that holds others too is written anew without
/// them, so that one event that is still needed keeps itself and nothing else.
pub(super) fn remove(conn: &Connection, number: i64, (first, last): (i64, i64), most: usize) -> Outcome<Removed> {
    let mut statement = conn.prepare_cached(&covering(&format!("body_{number}"), "body, present", Order::Up))?;
    let mut rows = statement.query([first, last])?;
    let (mut gone, mut changes) = (Removed::default(), Vec::new());
    while let Some(row) = rows.next()? {
        let Some((from, to, all)) = held(row, Table::Bodies, first, last)? else { continue };
        let (place, there): (i64, i64) = (row.get(0)?, row.get(COLUMN + 1)?);
        let bytes = blob(row, COLUMN)?;
        if all {
            gone.events += uint(there).min(MAX_EVENTS as u64);
            gone.plain += batch::payload_bytes(bytes).unwrap_or(bytes.len()) as u64;
            gone.take_off(place, bytes.len());
            changes.push((place, None));
        } else {
            let Some(mut payloads) = batch::read_body(bytes) else { continue };
            let inside = |at: usize| (from..=to).contains(&(place + len(at)));
            let removed = payloads.iter_mut().enumerate().filter_map(|(at, payload)| payload.take_if(|_| inside(at)));
            let removed: Vec<Payload> = removed.collect();
            gone.plain += removed.iter().map(|payload| payload.bytes.len() as u64).sum::<u64>();
            let removed = removed.len();
            if removed == 0 {
                continue;
            }
            gone.events += removed as u64;
            gone.take_off(place, bytes.len());
            let left = payloads.iter().flatten().count();
            let left = (left > 0).then(|| (len(left), body(&payloads, !batch::is_plain(bytes))));
            if let Some((_, body)) = &left {
                *gone.growth.entry(key_org(place)).or_default() += len(body.len());
            }
            changes.push((place, left));
        }
        gone.more = gone.events >= most as u64 || gone.growth.values().sum::<i64>() <= -MOST_REMOVED;
        if gone.more {
            break;
        }
    }
    drop(rows);
    for (place, body) in changes {
        match body {
            None => conn.prepare_cached(&format!("DELETE FROM body_{number} WHERE key = ?1"))?.execute([place])?,
            Some((present, body)) => conn
                .prepare_cached(&format!("UPDATE body_{number} SET present = ?2, body = ?3 WHERE key = ?1"))?
                .execute(params![place, present, body])?,
        };
    }
    Ok(gone)
}

/// Which of a partition's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    /// Compact records.
    Heads,
    /// Payloads.
    Bodies,
}

/// Deletes the first rows of a partition's table with keys from `first` to `last`, about as many as hold `most` events.
pub(super) fn delete_rows(
    conn: &Connection,
    number: i64,
    table: Table,
    (first, last): (i64, i64),
    most: usize,
) -> Outcome<Removed> {
    let (table, held, blob) = match table {
        Table::Heads => (format!("head_{number}"), "events", "head"),
        Table::Bodies => (format!("body_{number}"), "present", "body"),
    };
    let mut statement = conn.prepare_cached(&format!(
        "SELECT key, {held}, octet_length({blob}) FROM {table} WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT ?3"
    ))?;
    let mut rows = statement.query([first, last, len(most)])?;
    let (mut gone, mut to) = (Removed::default(), None);
    while let Some(row) = rows.next()? {
        if gone.events >= most as u64 {
            gone.more = true;
            break;
        }
        let place = row.get::<_, i64>(0)?;
        to = Some(place);
        gone.events += uint(row.get(1)?);
        *gone.growth.entry(key_org(place)).or_default() -= row.get::<_, i64>(2)?;
    }
    drop(rows);
    if let Some(to) = to {
        conn.prepare_cached(&format!("DELETE FROM {table} WHERE key BETWEEN ?1 AND ?2"))?.execute([first, to])?;
    }
    Ok(gone)
}

/// The first sequence of the org in the partition that was accepted at `since` or later; `last` is where the org's keys end.
pub(super) fn accepted_since(
    conn: &Connection,
    number: i64,
    (first, last): (i64, i64),
    since: Timestamp,
) -> Outcome<Option<Seq>> {
    let ends = format!("SELECT min(key), max(key) FROM head_{number} WHERE key BETWEEN ?1 AND ?2");
    let ends: (Option<i64>, Option<i64>) =
        conn.prepare_cached(&ends)?.query_row([first, last], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (Some(mut low), Some(high)) = ends else { return Ok(None) };
    let next = format!("SELECT key, accepted_at FROM head_{number} WHERE key >= ?1 ORDER BY key LIMIT 1");
    let mut next = conn.prepare_cached(&next)?;
    // Rows before `low` begin earlier; from `end` on none does. The event may lie in the last row that begins earlier.
    let (mut end, mut earlier) = (high + 1, None);
    while low < end {
        let middle = low + (end - low) / 2;
        let (found, accepted_at): (i64, i64) = next.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if accepted_at < since.0 {
            (low, earlier) = (found + 1, Some(found));
        } else {
            end = middle;
        }
    }
    let mut found = None;
    walk(conn, number, (earlier.unwrap_or(first), last), Order::Up, |_, record| {
        if record.accepted_at < since {
            return Ok(ControlFlow::Continue(()));
        }
        found = Some(record.seq);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}
