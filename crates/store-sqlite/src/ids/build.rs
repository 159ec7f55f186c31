//! The ids of one sealed partition on disk: read once, sorted by hash, and written in order. Written as they came, each would touch a page of
//! its own.
//!
//! A partition of an earlier layout is brought over in the same way, and asked by its old table until then.

use std::ops::ControlFlow;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::batch::{self, Order};
use super::super::codec::{key, len};
use super::super::engine::Engine;
use super::super::fault::Outcome;
use super::super::partition::youngest;
use super::bucket::{Entry, Level, Row, bits_for, place};
use super::hash::{Hasher, time_of};
use super::memory::Filter;
use super::{DUPLICATES_MS, IdSizes, level};

/// Ids for which room is made beforehand.
const MOST: i64 = 1 << 20;
/// Rows deleted in one turn.
const ROWS: usize = 64;

/// A partition whose ids are being written.
pub(super) struct Build {
    /// Which.
    pub(super) number: i64,
    bits: u32,
    newest: Option<i64>,
    filter: Filter,
    entries: Vec<Entry>,
    written: usize,
}

impl Build {
    /// Reads the ids of a partition. At its largest it has some 450,000, of 16 bytes here.
    pub(super) fn read(conn: &Connection, number: i64, sizes: IdSizes) -> Outcome<Self> {
        let hasher = Hasher::load(conn)?;
        let rows: Option<i64> =
            conn.query_row("SELECT rows FROM partition WHERE number = ?1", [number], |row| row.get(0)).optional()?;
        // What the row says is a guess: it may be damaged, and what is read is not.
        let mut ids = Vec::with_capacity(rows.map_or(0, |rows| usize::try_from(rows.min(MOST)).unwrap_or(0)));
        let mut newest = None;
        batch::walk(conn, number, (i64::MIN, i64::MAX), Order::Up, |org, record| {
            newest = newest.max(time_of(record.event_id.0.as_bytes()));
            ids.push((hasher.hash(org, record.event_id), key(org, record.seq)));
            Ok(ControlFlow::Continue(()))
        })?;
        let mut filter = Filter::new(ids.len() as u64);
        for (hash, _) in &ids {
            filter.insert(*hash);
        }
        let mut entries: Vec<Entry> = ids.into_iter().map(|(hash, key)| (hash.print(), key)).collect();
        entries.sort_unstable();
        let bits = bits_for(entries.len() as u64, sizes.bucket);
        Ok(Self { number, bits, newest, filter, entries, written: 0 })
    }

    /// The next rows; none once all are written.
    pub(super) fn next(&mut self, sizes: IdSizes) -> Vec<Row> {
        let rest = &self.entries[self.written..];
        let Some((first, _)) = rest.first() else { return Vec::new() };
        let end = first.bucket(self.bits) + i64::from(sizes.piece.max(1));
        let piece = rest.partition_point(|(print, _)| print.bucket(self.bits) < end);
        self.written += piece;
        Row::of(self.number, self.bits, &rest[..piece])
    }

    /// Notes that all are written.
    pub(super) fn complete(&self, engine: &mut Engine) -> Outcome<()> {
        let (number, bits, newest, filter) = (self.number, self.bits, self.newest, &self.filter);
        let all = youngest(&engine.conn, engine.now())?;
        // Where retention has removed it meanwhile, there is nothing to know.
        let Some((_, last_at)) = all.into_iter().find(|(there, _)| *there == number) else { return Ok(()) };
        let recent = last_at.0 >= engine.aging.now().0 - DUPLICATES_MS;
        let (there, bytes) = if recent { (level::OWN, Some(filter.to_bytes())) } else { (level::PAST, None) };
        engine.conn.execute(
            "INSERT OR REPLACE INTO ids_of (partition, level, bits, newest_v7, filter) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![number, there, bits, newest, bytes],
        )?;
        engine.conn.execute("UPDATE partition SET indexed = 1, filter = NULL WHERE number = ?1", [number])?;
        engine.conn.execute_batch(&format!("DROP TABLE IF EXISTS lookup_{number}"))?;
        engine.partitions.forget(number);
        if recent {
            engine.partitions.ids.add(number, last_at, bits, newest, Some(filter.clone()), false);
        }
        engine.effects.maps = true;
        Ok(())
    }
}

impl Engine {
    /// Writes some rows of a sealed partition's ids, unless retention has removed it.
    pub(super) fn add_ids(&mut self, number: i64, rows: &[Row]) -> Outcome<()> {
        if !self.conn.prepare_cached("SELECT 1 FROM partition WHERE number = ?1")?.exists([number])? {
            return Ok(());
        }
        rows.iter().try_for_each(|row| row.write(&self.conn, Level::Parts))
    }
}

/// Removes a piece of the ids of a partition whose records are gone; whether that was all. What of a `damaged` partition is there stays, and nobody
/// asks for it any more.
pub(in super::super) fn remove(conn: &Connection, number: i64, damaged: bool) -> Outcome<bool> {
    let sql = "DELETE FROM ids_part WHERE place IN
             (SELECT place FROM ids_part WHERE place >= ?1 AND place < ?2 ORDER BY place LIMIT ?3)";
    let (from, to) = (place(number, 0), place(number + 1, 0));
    if !damaged && conn.prepare_cached(sql)?.execute(params![from, to, len(ROWS)])? == ROWS {
        return Ok(false);
    }
    conn.prepare_cached("DELETE FROM ids_of WHERE partition = ?1")?.execute([number])?;
    conn.execute_batch(&format!("DROP TABLE IF EXISTS lookup_{number}"))?;
    Ok(true)
}
