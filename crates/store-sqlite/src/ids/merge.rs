//! Level 1: the ids of the last 48 hours in one table, made anew with each merge.
//!
//! A merge writes the next generation bucket by bucket, out of the present one and the partitions that join it, and leaves out what is
//! older than 48 hours. Each piece is one turn of the writer: it writes some buckets, notes how far they go, and deletes the same stretch
//! of the present generation, so that both together take no more room than one. Until the last piece, an id whose bucket is written is
//! looked for in the new generation, any other one in the old one and in the partitions that join. Both tables are sorted by hash, whatever
//! their numbers of buckets, so that a piece needs a few rows of each. A merge that was interrupted goes on where it was.

use std::collections::HashMap;

use rusqlite::{Connection, params};
use toktra_siem_core::time::Timestamp;

use super::super::codec::{key_org, key_seq, uint};
use super::super::engine::Engine;
use super::super::fault::Outcome;
use super::super::partition::youngest;
use super::bucket::{Entry, Level, Row, bits_for, collect, place};
use super::hash::{PRINT_BITS, Print};
use super::mend::{merged, of_partition};
use super::{Coming, DUPLICATES_MS, Generation, IdSizes, Known, OwnIds, generations, level, newest_merged};

/// A merge that is under way.
pub(super) struct Merge {
    from: Option<Generation>,
    to: Generation,
    next: i64,
    /// The partitions that join, with their numbers of buckets as a power of two.
    joining: Vec<(i64, u32)>,
    /// The first sequence of each org that stays; of an org that is not named, nothing does.
    first: HashMap<i64, u64>,
    /// A page of the generation before cannot be read. Then all of it stays, since SQLite reads the neighbours of what it deletes.
    damaged: bool,
}

/// What one turn of the writer does.
pub(super) struct Piece {
    from: Option<Generation>,
    to: Generation,
    rows: Vec<Row>,
    next: i64,
    deletes: bool,
}

impl Merge {
    /// The merge that [`Engine::begin_merge`] began.
    pub(super) fn read(conn: &Connection) -> Outcome<Option<Self>> {
        let (from, Some(Coming { table: to, next })) = generations(conn)? else { return Ok(None) };
        let mut statement = conn.prepare_cached("SELECT partition, bits FROM ids_of WHERE level = ?1")?;
        let joining = statement.query_map([level::JOINING], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let joining = joining.collect::<rusqlite::Result<_>>()?;
        let mut statement = conn.prepare_cached(
            "SELECT e.org, min(e.first_seq) FROM extent e JOIN ids_of i ON i.partition = e.partition
             WHERE i.level = ?1 GROUP BY e.org",
        )?;
        let first = statement.query_map([level::RECENT], |row| Ok((row.get(0)?, uint(row.get(1)?))))?;
        let first = first.collect::<rusqlite::Result<_>>()?;
        Ok(Some(Self { from, to, next, joining, first, damaged: false }))
    }

    /// Makes the next piece.
    pub(super) fn piece(&mut self, conn: &Connection, sizes: IdSizes) -> Outcome<Piece> {
        let Self { from, to, next, .. } = *self;
        let end = (next + i64::from(sizes.piece.max(1))).min(buckets(to.bits));
        let (low, high) = (start(next, to.bits), Print(start(end, to.bits).0 - 1));
        let places = |number, bits| (place(number, low.bucket(bits)), place(number, high.bucket(bits)));
        let within = |entry: &Entry| (low..=high).contains(&entry.0);
        let stays = |key: i64| self.first.get(&key_org(key)).is_some_and(|first| key_seq(key).0 >= *first);
        let mut entries = Vec::new();
        if let Some(Generation { number, bits }) = from {
            let wanted = |entry: &Entry| within(entry) && stays(entry.1);
            match collect(conn, Level::Recent, places(number, bits), wanted, &mut entries) {
                Err(fault) if fault.is_damage() => {
                    tracing::error!(
                        "a part of the index of event ids cannot be read any more: it is made anew of the records; check the disk"
                    );
                    for partition in merged(conn)? {
                        of_partition(conn, partition, |print| within(&(print, 0)), &mut entries)?;
                    }
                    entries.retain(wanted);
                    self.damaged = true;
                }
                done => done?,
            }
        }
        for (number, bits) in &self.joining {
            match collect(conn, Level::Parts, places(*number, *bits), within, &mut entries) {
                Err(fault) if fault.is_damage() => {
                    tracing::error!(
                        partition = number,
                        "a part of the index of event ids cannot be read any more: it is made anew of the records; check the disk"
                    );
                    of_partition(conn, *number, |print| within(&(print, 0)), &mut entries)?;
                }
                done => done?,
            }
        }
        entries.sort_unstable();
        // What could be read before the damage is there twice.
        entries.dedup();
        Ok(Piece { from, to, rows: Row::of(to.number, to.bits, &entries), next: end, deletes: !self.damaged })
    }

    /// Goes on behind a piece; whether there is more to do.
    pub(super) fn went_to(&mut self, next: i64) -> bool {
        self.next = next;
        next < buckets(self.to.bits)
    }

    /// Leaves the generation before as it is from now on; false where it does already.
    pub(super) fn keeps(&mut self) -> bool {
        !std::mem::replace(&mut self.damaged, true)
    }
}

impl Piece {
    /// Where the next piece begins.
    pub(super) fn next(&self) -> i64 {
        self.next
    }
}

fn buckets(bits: u32) -> i64 {
    1 << bits
}

/// The lowest print of a bucket.
fn start(bucket: i64, bits: u32) -> Print {
    Print(uint(bucket) << (PRINT_BITS - bits))
}

impl Known {
    /// Whether a merge is under way, or enough partitions wait for one. Those of an earlier layout are converted first, so that the table is
    /// not written for each eight of them.
    pub(super) fn wants_merge(&self, sizes: IdSizes) -> bool {
        let unconverted =
            |own: &super::Own| matches!(own.ids, OwnIds::Sorted) && !self.unreadable.contains(&own.number);
        let waiting = self.own.iter().filter(|own| matches!(own.ids, OwnIds::Hashed { .. })).count();
        self.coming.is_some() || (waiting >= sizes.merge_at.max(1) && !self.own.iter().any(unconverted))
    }
}

impl Engine {
    /// Begins a merge of all partitions of level 0, unless one is under way; whether there is one now.
    pub(super) fn begin_merge(&mut self) -> Outcome<bool> {
        let (known, conn) = (&mut self.partitions.ids, &self.conn);
        if known.coming.is_some() {
            return Ok(true);
        }
        let now = self.aging.now();
        known.retire(conn, now, (self.options.clock)())?;
        if !known.wants_merge(self.options.ids) {
            return Ok(false);
        }
        let recent = |(_, youngest): &(i64, Timestamp)| youngest.0 >= now.0 - DUPLICATES_MS;
        let oldest = youngest(conn, (self.options.clock)())?.into_iter().find(recent).map(|(number, _)| number);
        let change = "UPDATE ids_of SET level = ?2 WHERE level = ?1 AND partition < ?3";
        conn.execute(change, params![level::RECENT, level::PAST, oldest.unwrap_or(i64::MAX)])?;
        conn.execute(change, params![level::OWN, level::JOINING, i64::MAX])?;
        let rows: i64 = conn.query_row(
            "SELECT coalesce(sum(p.rows), 0) FROM partition p JOIN ids_of i ON i.partition = p.number
             WHERE i.level IN (?1, ?2)",
            [level::RECENT, level::JOINING],
            |row| row.get(0),
        )?;
        let number = known.recent.map_or(1, |recent| recent.number + 1);
        let table = Generation { number, bits: bits_for(uint(rows), self.options.ids.bucket) };
        conn.execute("INSERT INTO ids_level (generation, bits, next) VALUES (?1, ?2, 0)", params![number, table.bits])?;
        known.coming = Some(Coming { table, next: 0 });
        known.newest = known.newest.max(newest_merged(conn)?);
        for own in &mut known.own {
            if let OwnIds::Hashed { joining, .. } = &mut own.ids {
                *joining = true;
            }
        }
        Ok(true)
    }

    /// Writes a piece. With the last one the new generation takes the place of the old one.
    pub(super) fn add_merged(&mut self, piece: &Piece) -> Outcome<()> {
        let Piece { from, to, rows, next, deletes } = piece;
        rows.iter().try_for_each(|row| row.write(&self.conn, Level::Recent))?;
        if let (Some(Generation { number, bits }), true) = (from, deletes) {
            // A bucket of the old generation goes when all of it is written.
            let passed = uint(*next) << (PRINT_BITS - to.bits) >> (PRINT_BITS - bits);
            let end = place(*number, passed.cast_signed());
            let sql = "DELETE FROM ids_recent WHERE place >= ?1 AND place < ?2";
            self.conn.prepare_cached(sql)?.execute([place(*number, 0), end])?;
        }
        let known = &mut self.partitions.ids;
        if *next < buckets(to.bits) {
            let sql = "UPDATE ids_level SET next = ?2 WHERE generation = ?1";
            self.conn.prepare_cached(sql)?.execute([to.number, *next])?;
            known.coming = Some(Coming { table: *to, next: *next });
            return Ok(());
        }
        self.conn.execute("UPDATE ids_of SET level = ?2 WHERE level = ?1", [level::JOINING, level::RECENT])?;
        self.conn.execute("DELETE FROM ids_level WHERE generation <> ?1", [to.number])?;
        self.conn.execute("UPDATE ids_level SET next = NULL", [])?;
        (known.recent, known.coming) = (Some(*to), None);
        known.newest = newest_merged(&self.conn)?;
        known.own.retain(|own| !matches!(own.ids, OwnIds::Hashed { joining: true, .. }));
        Ok(())
    }
}
