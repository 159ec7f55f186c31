//! Makes a sealed partition small: runs that group commits left short become long ones, and payloads are compressed.
//!
//! In small pieces, so that no append waits for it, and each of them leaves the partition whole: rows are replaced by one that holds the
//! same events, if they still are what they were when they were read. A start that finds it unfinished goes on.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use toktra_siem_store::batch::{self, MAX_BYTES, MAX_EVENTS};
use toktra_siem_store::error::Result;
use toktra_siem_store::events::EventRecord;

use super::batch::{Table, blob};
use super::codec::{key_org, key_seq, len};
use super::engine::Engine;
use super::fault::Outcome;
use super::migrate::open_reader;
use super::stored::Growth;
use super::writer::Writer;

/// Bytes written in one piece: about 2 ms of the writer's time.
const PIECE: usize = 512 << 10;
/// Rows read at a time.
const ROWS: i64 = 512;

/// Packs partition `number`.
pub(super) fn run(number: i64, path: &Path, writer: &Writer) -> Result<()> {
    let context = "packing a partition";
    for table in [Table::Heads, Table::Bodies] {
        let mut after = i64::MIN;
        loop {
            let conn = open_reader(path)?;
            let found = read(&conn, number, table, after).map_err(|fault| fault.into_error(context))?;
            drop(conn);
            after = found.after;
            if !found.rows.is_empty() {
                writer.call_blocking(context, move |engine| engine.replace_rows(number, table, &found.rows))?;
            }
            if found.ended {
                break;
            }
        }
    }
    writer.call_blocking(context, move |engine| {
        engine.conn.execute("UPDATE partition SET packed = 1 WHERE number = ?1 AND sealed = 1", [number])?;
        Ok(())
    })
}

/// A row as it was: its key, its events, how many of them have a payload.
type Old = (i64, i64, i64);

/// A row that takes the place of others.
pub(super) struct Replacement {
    old: Vec<Old>,
    events: i64,
    /// Of a body; of a head when its first event was accepted.
    second: i64,
    bytes: Vec<u8>,
}

struct Found {
    rows: Vec<Replacement>,
    after: i64,
    ended: bool,
}

/// Rows whose sequences follow each other.
#[derive(Default)]
struct Group {
    old: Vec<Old>,
    records: Vec<EventRecord>,
    payloads: Vec<Option<batch::Payload>>,
    events: i64,
    bytes: usize,
    plain: bool,
}

impl Group {
    fn takes(&self, key: i64, events: i64, bytes: usize) -> bool {
        let Some((last, of_last, _)) = self.old.last() else { return true };
        last + of_last == key
            && key_org(*last) == key_org(key)
            && self.events + events <= len(MAX_EVENTS)
            && self.bytes + bytes <= MAX_BYTES
    }

    /// What takes the place of its rows, where that is any better.
    fn replacement(self, table: Table) -> Option<Replacement> {
        let first = self.old.first()?.0;
        let (second, bytes) = match table {
            Table::Heads => (self.records.first()?.accepted_at.0, batch::head(first, &self.records)),
            Table::Bodies => {
                let plain = batch::body(self.payloads.iter().map(|p| p.as_ref().map(|p| (p.crc, &p.bytes[..]))));
                (self.old.iter().map(|(.., present)| present).sum(), batch::packed(plain))
            }
        };
        let better = self.old.len() > 1 || (self.plain && !batch::is_plain(&bytes));
        better.then_some(Replacement { old: self.old, events: self.events, second, bytes })
    }
}

fn read(conn: &Connection, number: i64, table: Table, after: i64) -> Outcome<Found> {
    let (name, columns) = match table {
        Table::Heads => (format!("head_{number}"), "key, events, events, head"),
        Table::Bodies => (format!("body_{number}"), "key, events, present, body"),
    };
    let mut found = Found { rows: Vec::new(), after, ended: true };
    // Retention may have taken the table meanwhile.
    if !conn.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1")?.exists([&name])? {
        return Ok(found);
    }
    let sql = format!("SELECT {columns} FROM {name} WHERE key > ?1 ORDER BY key LIMIT ?2");
    let mut statement = conn.prepare(&sql)?;
    let mut rows = statement.query([after, ROWS])?;
    let (mut group, mut written, mut seen, mut last) = (Group::default(), 0, 0, after);
    while let Some(row) = rows.next()? {
        let old: Old = (row.get(0)?, row.get(1)?, row.get(2)?);
        let bytes = blob(row, 3)?;
        (seen, last) = (seen + 1, old.0);
        let (records, payloads) = match table {
            Table::Heads => (batch::read_head(old.0, key_seq(old.0), bytes), Some(Vec::new())),
            Table::Bodies => (Some(Vec::new()), batch::read_body(bytes)),
        };
        // What is damaged stays as it is, for `repair` to look at.
        let (Some(records), Some(payloads)) = (records, payloads) else { continue };
        let there = payloads.iter().flatten().count();
        let said = if table == Table::Heads { (records.len(), records.len()) } else { (payloads.len(), there) };
        if (len(said.0), len(said.1)) != (old.1, old.2) {
            continue;
        }
        let size = payloads.iter().flatten().map(|payload| payload.bytes.len()).sum();
        if !group.takes(old.0, old.1, size) {
            found.after = group.old.last().map_or(found.after, |(key, ..)| *key);
            if let Some(row) = std::mem::take(&mut group).replacement(table) {
                written += row.bytes.len();
                found.rows.push(row);
            }
            if written >= PIECE {
                found.ended = false;
                return Ok(found);
            }
        }
        group.old.push(old);
        group.events += old.1;
        group.bytes += size;
        group.plain |= table == Table::Bodies && batch::is_plain(bytes);
        group.records.extend(records);
        group.payloads.extend(payloads);
    }
    found.ended = seen < ROWS;
    // The last group may go on behind what was read: it is read again, unless there is nothing before it.
    if found.ended || found.after == after {
        found.after = last;
        found.rows.extend(group.replacement(table));
    }
    Ok(found)
}

impl Engine {
    /// Puts rows of a sealed partition in the place of others. Those that changed meanwhile, or are gone, are left alone.
    pub(super) fn replace_rows(&mut self, number: i64, table: Table, rows: &[Replacement]) -> Outcome<()> {
        let (name, same, second, blob) = match table {
            Table::Heads => (format!("head_{number}"), "events", "accepted_at", "head"),
            Table::Bodies => (format!("body_{number}"), "present", "present", "body"),
        };
        let conn = &self.conn;
        // Retention may have taken the table meanwhile.
        if !conn.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1")?.exists([&name])? {
            return Ok(());
        }
        let mut unchanged =
            conn.prepare_cached(&format!("SELECT 1 FROM {name} WHERE key = ?1 AND events = ?2 AND {same} = ?3"))?;
        let mut length = conn.prepare_cached(&format!("SELECT octet_length({blob}) FROM {name} WHERE key = ?1"))?;
        let mut growth = Growth::new();
        let mut delete = conn.prepare_cached(&format!("DELETE FROM {name} WHERE key = ?1"))?;
        let mut insert = conn
            .prepare_cached(&format!("INSERT INTO {name} (key, events, {second}, {blob}) VALUES (?1, ?2, ?3, ?4)"))?;
        for row in rows {
            let Some((first, ..)) = row.old.first() else { continue };
            let mut same = true;
            for old in &row.old {
                same &= unchanged.query_row(params![old.0, old.1, old.2], |_| Ok(())).optional()?.is_some();
            }
            if !same {
                continue;
            }
            let own = growth.entry(key_org(*first)).or_default();
            for (key, ..) in &row.old {
                *own -= length.query_row([key], |row| row.get::<_, i64>(0))?;
                delete.execute([key])?;
            }
            insert.execute(params![first, row.events, row.second, row.bytes])?;
            *own += len(row.bytes.len());
        }
        drop((unchanged, length, delete, insert));
        self.resized(number, &growth)
    }
}
