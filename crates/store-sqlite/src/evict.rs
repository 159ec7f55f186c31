//! Room under the disk budget, and on a file system that others fill: payloads that nobody waits for go before their time. The org whose events
//! take most gives way first, its oldest payloads first (ADR 0051).
//!
//! A payload is needed as long as a stream may still send it: before its cursor has come to it, in a backlog range, in an open delivery,
//! or parked. All others are deleted where they are: a run that holds both is written anew without them. The needed ones stay in their
//! partition rather than being copied out of it: SQLite merges pages as they empty, so what is left takes little more than its own size,
//! and reads have no second place to look at. A partition without a payload is dropped. Compact records stay, and with them history and the search for duplicates.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, params};
use toktra_siem_core::delivery::Delivery;
use toktra_siem_core::ids::Seq;
use toktra_siem_store::events::{Expired, Retention};

use super::batch;
use super::codec::{int, key, uint};
use super::engine::Engine;
use super::expire::{ROWS, Turn};
use super::fault::Outcome;
use super::stored::is_kept_for_others;
use super::streams::{self, StreamRow};
use super::{SqliteOptions, rows};

/// Sequences looked at in one turn.
const SEQUENCES: u64 = 10_000;
/// Partitions that the budget has room for at least: only sealed ones are looked at, so the open one must stay a small part.
const PARTITIONS: u64 = 16;
/// What an event takes at least, payload and record, for the number of events in a partition.
const EVENT_BYTES: u64 = 256;

/// Extents in which nothing may go that one turn passes by at most.
const PASSED_BY: usize = 16;

/// How far a pass over the payloads has come.
#[derive(Debug, Clone, Default)]
pub(super) struct Pass {
    /// In the events of each org that had to give way.
    positions: HashMap<i64, Position>,
    /// Orgs that have nothing more to give.
    spent: HashSet<i64>,
}

/// The pass that is under way, as the present group leaves it, and as it was before.
#[derive(Debug, Default)]
pub(super) struct Eviction {
    pass: Option<Pass>,
    before: Option<Pass>,
    /// The group has taken part in it.
    moved: bool,
}

impl Eviction {
    /// The pass, to go on with.
    pub(super) fn take(&mut self) -> Option<Pass> {
        if !self.moved {
            (self.before, self.moved) = (self.pass.clone(), true);
        }
        self.pass.take()
    }

    /// Where the pass has come to.
    pub(super) fn put(&mut self, pass: Pass) {
        self.pass = Some(pass);
    }

    /// The group is on disk.
    pub(super) fn committed(&mut self) {
        (self.before, self.moved) = (None, false);
    }

    /// Nothing of the group is.
    pub(super) fn rolled_back(&mut self) {
        if std::mem::take(&mut self.moved) {
            self.pass = self.before.take();
        }
    }
}

/// A place in the events of an org: what lies before it may not go.
#[derive(Debug, Clone, Copy, Default)]
struct Position {
    partition: i64,
    after: Seq,
}

/// What a sealed partition holds of an org.
#[derive(Debug, Clone, Copy)]
struct Extent {
    partition: i64,
    org: i64,
    first: Seq,
    last: Seq,
}

impl SqliteOptions {
    /// Fits sizes that were chosen without regard to the budget into it.
    pub(super) fn fitted(mut self) -> Self {
        let Some(budget) = self.max_bytes else { return self };
        self.reserve = self.reserve.min(budget / 2);
        self.partition_bytes = self.partition_bytes.min(budget / PARTITIONS);
        self.partition_rows = self.partition_rows.min((budget / PARTITIONS / EVENT_BYTES).max(1));
        self
    }
}

impl Engine {
    /// Whether more than nine tenths of what appends may use are used, or the file system has little left.
    pub(super) fn is_crowded(&self) -> Outcome<bool> {
        self.wants_room(false)
    }

    fn wants_room(&self, under_way: bool) -> Outcome<bool> {
        Ok(self.is_short_of_room(under_way) || self.uses_more_than(if under_way { 8 } else { 9 })?)
    }

    fn uses_more_than(&self, tenths: u64) -> Outcome<bool> {
        let Some(budget) = self.options.max_bytes else { return Ok(false) };
        let limit = budget.saturating_sub(self.options.reserve);
        Ok(self.used_bytes()? > limit / 10 * tenths)
    }
}

/// One turn. A pass begins when nine tenths of the budget are used, and ends at eight, or where nothing is left that may go; the same where the
/// file system is nearly full.
pub(super) fn evict(engine: &mut Engine, _: Retention, done: &mut Expired) -> Outcome<Turn> {
    let under_way = engine.eviction.take();
    if !engine.wants_room(under_way.is_some())? {
        engine.stored.has_room();
        return Ok(Turn::Idle);
    }
    let mut pass = under_way.unwrap_or_default();
    for _ in 0..PASSED_BY {
        let Some((org, most)) = engine.gives_way(&pass)? else { return Ok(Turn::Idle) };
        let position = pass.positions.get(&org).copied().unwrap_or_default();
        let Some(extent) = next_extent(&engine.conn, org, position)? else {
            // Nobody else may be let in, so that the partition would stay open for ever.
            if most == 1 && engine.is_in_open(org) && engine.seal_early()? {
                continue;
            }
            pass.spent.insert(org);
            continue;
        };
        engine.looks_into(extent.partition);
        let before = done.evicted;
        let next = if engine.is_damaged(extent.partition) {
            Position { partition: extent.partition + 1, ..Position::default() }
        } else {
            evict_from(engine, extent, (position, most), done)?
        };
        pass.positions.insert(org, next);
        if done.evicted > before {
            break;
        }
    }
    engine.eviction.put(pass);
    Ok(Turn::More)
}

impl Engine {
    /// Whose payloads go next, and about how many of them in one turn. The org that takes most gives way first, and none that takes less than an equal part. If nothing more can be had
    /// from those, and next to nothing is left of the budget, an org gives way to what it wants to append itself, a run at a time. If others than orgs have
    /// filled the file system, all of them give way, the largest first.
    fn gives_way(&self, pass: &Pass) -> Outcome<Option<(i64, usize)>> {
        let anyone = self.is_short_of_room(true) && !self.uses_more_than(8)?;
        if let Some(org) = self.stored.largest(&pass.spent, anyone) {
            return Ok(Some((org, ROWS)));
        }
        let Some(budget) = self.options.max_bytes else { return Ok(None) };
        let limit = budget.saturating_sub(self.options.reserve);
        let full = is_kept_for_others(self.left_of(budget)?, limit);
        Ok(self.stored.wanting(&pass.spent).filter(|_| full).map(|org| (org, 1)))
    }
}

fn next_extent(conn: &Connection, org: i64, position: Position) -> Outcome<Option<Extent>> {
    let mut statement = conn.prepare_cached(
        "SELECT e.partition, e.first_seq, e.last_seq FROM extent e JOIN partition p ON p.number = e.partition
         WHERE e.org = ?1 AND e.partition >= ?2 AND p.sealed = 1 AND p.payload = 1 ORDER BY e.partition LIMIT 1",
    )?;
    let found = statement.query_row(params![org, position.partition], |row| {
        let seq = |index: usize| row.get::<_, i64>(index).map(|n| Seq(uint(n)));
        Ok(Extent { partition: row.get(0)?, org, first: seq(1)?, last: seq(2)? })
    });
    Ok(found.optional()?)
}

/// Deletes a piece of the extent's payloads that nobody needs; where to go on.
fn evict_from(
    engine: &mut Engine,
    extent: Extent,
    (position, most): (Position, usize),
    done: &mut Expired,
) -> Outcome<Position> {
    let Extent { partition, org, first, last } = extent;
    let from = if position.partition == partition { position.after.next().max(first) } else { first };
    let streams: Vec<StreamRow> =
        streams::of_org(&engine.conn, org)?.into_iter().filter(|stream| !stream.removed).collect();
    // Behind the slowest cursor everything is needed.
    let reached = streams.iter().map(StreamRow::surely_at).min().unwrap_or(last).min(last);
    let to = reached.min(Seq(from.0 + SEQUENCES - 1));
    let mut gone = 0;
    for (start, end) in unneeded(&engine.conn, &streams, from, to)? {
        let removed = batch::remove(&engine.conn, partition, (key(org, start), key(org, end)), most)?;
        engine.resized(partition, &removed.growth)?;
        engine.stored.gave(org, removed.plain);
        done.evicted += removed.events;
        gone += removed.events;
        if removed.more || gone >= most as u64 {
            return Ok(Position { partition, after: Seq(start.0 - 1) });
        }
    }
    if to < reached {
        return Ok(Position { partition, after: to });
    }
    drop_if_empty(&engine.conn, partition)?;
    Ok(Position { partition: partition + 1, ..Position::default() })
}

/// What lies between `from` and `to` and is needed by none of the streams, as first and last sequences, ascending.
pub(super) fn unneeded(conn: &Connection, streams: &[StreamRow], from: Seq, to: Seq) -> Outcome<Vec<(Seq, Seq)>> {
    Ok(complement(needed(conn, streams, (from, to), |_| true)?, from.0, to.0))
}

/// What lies between `from` and `to` and has been needed by one of the streams ever since it was accepted, as first and last sequences,
/// ascending. What is sent beside the account may have been taken to make room before somebody wished for it.
pub(super) fn owed(conn: &Connection, streams: &[StreamRow], from: Seq, to: Seq) -> Outcome<Vec<(Seq, Seq)>> {
    let others = complement(
        needed(conn, streams, (from, to), |delivery| delivery.accounted && delivery.window.is_none())?,
        from.0,
        to.0,
    );
    let others = others.into_iter().map(|(first, last)| (first.0, last.0)).collect();
    Ok(complement(others, from.0, to.0))
}

/// What the streams need, as first and last sequences, in any order; of pending deliveries the `wanted` ones.
fn needed(
    conn: &Connection,
    streams: &[StreamRow],
    (from, to): (Seq, Seq),
    wanted: impl Fn(&Delivery) -> bool,
) -> Outcome<Vec<(u64, u64)>> {
    let mut needed = Vec::new();
    for stream in streams {
        needed.push((stream.surely_at().0 + 1, u64::MAX));
        needed.extend(rows::ranges(conn, stream.num)?.iter().map(|range| (range.cursor.0 + 1, range.to.0)));
        for delivery in rows::pending(conn, stream)?.iter().filter(|delivery| wanted(delivery)) {
            let runs = delivery.members.runs();
            needed.extend(runs.iter().map(|(first, count)| (*first, first + u64::from(*count) - 1)));
        }
        let mut parked = conn.prepare_cached(
            "SELECT seq FROM parked WHERE stream = ?1 AND seq BETWEEN ?2 AND ?3 AND state < 2 ORDER BY seq",
        )?;
        let seqs = parked.query_map(params![stream.num, int(from.0), int(to.0)], |row| row.get::<_, i64>(0))?;
        for seq in seqs {
            let seq = uint(seq?);
            needed.push((seq, seq));
        }
    }
    Ok(needed)
}

/// The parts of `from..=to` that none of `taken` (first and last, in any order) covers.
pub(super) fn complement(mut taken: Vec<(u64, u64)>, from: u64, to: u64) -> Vec<(Seq, Seq)> {
    taken.sort_unstable();
    let (mut free, mut next) = (Vec::new(), from);
    for (first, last) in taken.into_iter().filter(|(first, last)| first <= last) {
        if first > to {
            break;
        }
        if first > next {
            free.push((Seq(next), Seq(first - 1)));
        }
        next = next.max(last.saturating_add(1));
    }
    if next <= to {
        free.push((Seq(next), Seq(to)));
    }
    free
}

fn drop_if_empty(conn: &Connection, partition: i64) -> Outcome<()> {
    let left = conn.query_row(&format!("SELECT 1 FROM body_{partition} LIMIT 1"), [], |_| Ok(())).optional()?;
    if left.is_none() {
        conn.execute_batch(&format!("DROP TABLE body_{partition}"))?;
        conn.execute("UPDATE partition SET payload = 0 WHERE number = ?1", [partition])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_complement_is_what_is_not_taken(
            taken in prop::collection::vec((0u64..60, 0u64..60), 0..8), from in 0u64..40, length in 0u64..30
        ) {
            let to = from + length;
            let covered = |n: &u64| taken.iter().any(|(first, last)| first <= n && n <= last);
            let expected: BTreeSet<u64> = (from..=to).filter(|n| !covered(n)).collect();
            let free = complement(taken.clone(), from, to);
            let found: Vec<u64> = free.iter().flat_map(|(first, last)| first.0..=last.0).collect();
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
