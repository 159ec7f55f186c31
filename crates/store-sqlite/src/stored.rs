//! How many bytes the runs of each org take, records and payloads. That decides who gives way when the disk budget is used up ([`super::evict`]),
//! and operators see it.
//!
//! Of a sealed partition the figures stand with its extents, and change with its rows, in the same transaction. Of the open one they are in memory.
//! They are noted after every few megabytes, so that a start reads the sizes of the rows that came since, and no row itself.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::{Connection, params};
use toktra_siem_core::ids::Seq;

use super::codec::{int, key, keys_of, uint};
use super::engine::Engine;
use super::fault::{Outcome, is_damage};
use super::partition::OpenPartition;
use super::{checkpoint, convert};

/// Bytes of payload after which the figures of the open partition are noted again.
const NOTED_EVERY: u64 = 16 << 20;
/// A part of the room for events that an org with more than an equal part cannot use, so that the others have it.
const KEPT_FOR_OTHERS: u64 = 16;

/// By how much the runs of orgs have grown (or shrunk) in a partition.
pub(super) type Growth = BTreeMap<i64, i64>;

/// What the runs of each org take.
#[derive(Debug, Default)]
pub(super) struct Stored {
    by_org: HashMap<i64, u64>,
    /// All together.
    all: u64,
    /// Orgs that changed since others saw it.
    changed: HashSet<i64>,
    /// What orgs wanted to append while there was next to no room: so much of their own may go for it. Below zero, what went beyond.
    wanted: HashMap<i64, i64>,
    /// What the present group gave for it.
    given: HashMap<i64, i64>,
}

impl Stored {
    /// Reads it: of the sealed partitions, and of the open one, whose figures are `open`.
    pub(super) fn load(conn: &Connection, open: &HashMap<i64, u64>) -> Outcome<Self> {
        let mut found = Self::default();
        // `total` reads any damaged value as a number.
        let mut sums = conn.prepare("SELECT org, CAST(total(bytes) AS INTEGER) FROM extent GROUP BY org")?;
        let mut rows = sums.query([])?;
        // What lies behind a page that cannot be read is not counted: that is no reason not to start.
        while let Some(row) = unless_damaged(rows.next(), None)? {
            found.change(row.get(0)?, row.get(1)?);
        }
        for (org, bytes) in open {
            found.change(*org, int(*bytes));
        }
        Ok(found)
    }

    fn change(&mut self, org: i64, by: i64) {
        let own = self.by_org.entry(org).or_default();
        let now = own.saturating_add_signed(by);
        self.all = (self.all - *own).saturating_add(now);
        *own = now;
        if now == 0 {
            self.by_org.remove(&org);
        }
        self.changed.insert(org);
    }

    /// What the org's runs take.
    pub(super) fn of(&self, org: i64) -> u64 {
        self.by_org.get(&org).copied().unwrap_or(0)
    }

    /// Whether an org takes more than an equal part of what all take that have anything.
    fn is_above_share(&self, org: i64) -> bool {
        self.of(org).saturating_mul(self.by_org.len() as u64) > self.all
    }

    /// The org that takes most, of those that do not take less than an equal part and are not in `spent`. If `anyone` is given, also of those
    /// that take less.
    pub(super) fn largest(&self, spent: &HashSet<i64>, anyone: bool) -> Option<i64> {
        let orgs = self.by_org.len() as u64;
        let may =
            |(org, bytes): &(&i64, &u64)| !spent.contains(org) && (anyone || bytes.saturating_mul(orgs) >= self.all);
        self.by_org.iter().filter(may).max_by_key(|(org, bytes)| (**bytes, **org)).map(|(org, _)| *org)
    }

    /// The org that wanted most while there was no room for it.
    pub(super) fn wanting(&self, spent: &HashSet<i64>) -> Option<i64> {
        let may = |(org, bytes): &(&i64, &i64)| **bytes > 0 && !spent.contains(org);
        self.wanted.iter().filter(may).max_by_key(|(org, bytes)| (**bytes, **org)).map(|(org, _)| *org)
    }

    /// Something of the org's own went for what it wanted.
    pub(super) fn gave(&mut self, org: i64, bytes: u64) {
        if let Some(wanted) = self.wanted.get_mut(&org) {
            *wanted -= int(bytes);
            *self.given.entry(org).or_default() += int(bytes);
        }
    }

    /// The group is on disk.
    pub(super) fn committed(&mut self) {
        self.given.clear();
    }

    /// As read after a group of which nothing is on disk: `before` has what stands nowhere else.
    pub(super) fn after(mut self, before: &mut Self) -> Self {
        self.wanted = std::mem::take(&mut before.wanted);
        for (org, bytes) in std::mem::take(&mut before.given) {
            if let Some(wanted) = self.wanted.get_mut(&org) {
                *wanted += bytes;
            }
        }
        self
    }

    /// There is room again.
    pub(super) fn has_room(&mut self) {
        self.wanted.clear();
    }

    /// What changed since the last call, for others to see.
    pub(super) fn take_changed(&mut self) -> Vec<(i64, u64)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|org| (org, self.of(org))).collect()
    }
}

impl Engine {
    /// Whether one of the orgs would append `bytes` into what is kept for those that take less; notes what they want where little is left. The log
    /// counts as long as it may become: what it grows by must not take what is kept.
    pub(super) fn takes_from_others(&mut self, orgs: &[i64], bytes: u64, room: u64, limit: u64) -> bool {
        let left = room.saturating_sub(bytes);
        if bytes > room || is_kept_for_others(left, limit) {
            for org in orgs {
                let wanted = self.stored.wanted.entry(*org).or_default();
                // If it is refused it comes again, and wants the same.
                *wanted = if bytes <= room { *wanted + int(bytes) } else { int(bytes).max(*wanted) };
            }
        }
        let most = checkpoint::most(self.options.max_bytes);
        is_kept_for_others(left.saturating_sub(most), limit)
            && orgs.iter().any(|org| self.stored.is_above_share(*org))
            && is_kept_for_others(left.saturating_sub(most.saturating_sub(self.log_bytes())), limit)
    }

    /// Whether the open partition has something of the org.
    pub(super) fn is_in_open(&self, org: i64) -> bool {
        self.partitions.open.as_ref().is_some_and(|open| open.sizes.get(&org).is_some_and(|bytes| *bytes > 0))
    }

    /// Rows of the partition became longer, more, shorter, or fewer.
    pub(super) fn resized(&mut self, partition: i64, growth: &Growth) -> Outcome<()> {
        for (org, by) in growth.iter().filter(|(_, by)| **by != 0) {
            if let Some(open) = self.partitions.open.as_mut().filter(|open| open.number == partition) {
                let own = open.sizes.entry(*org).or_default();
                *own = own.saturating_add_signed(*by);
                self.stored.change(*org, *by);
                continue;
            }
            let sql =
                "UPDATE extent SET bytes = max(bytes + ?3, 0) WHERE org = ?1 AND partition = ?2 AND bytes NOT NULL";
            // What was never counted is not taken off.
            if self.conn.prepare_cached(sql)?.execute(params![org, partition, by])? > 0 {
                self.stored.change(*org, *by);
            }
        }
        Ok(())
    }

    /// The partition is about to be forgotten: what was left of it, since it could not be read, counts no more.
    pub(super) fn forget_sizes(&mut self, partition: i64) -> Outcome<()> {
        let left = "SELECT org, CAST(coalesce(bytes, 0) AS INTEGER) FROM extent WHERE partition = ?1";
        let left: Growth = self
            .conn
            .prepare_cached(left)?
            .query_map([partition], |row| Ok((row.get(0)?, -row.get::<_, i64>(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (org, by) in left {
            self.stored.change(org, by);
        }
        Ok(())
    }

    /// Nothing is left of a removed org.
    pub(super) fn forget_sizes_of(&mut self, org: i64) {
        if let Some(open) = &mut self.partitions.open {
            open.sizes.remove(&org);
        }
        let left = self.stored.of(org);
        self.stored.change(org, -int(left));
        self.stored.wanted.remove(&org);
    }
}

/// Whether so little is left of `limit` (`room`) that an org with more than an equal part appends nothing.
pub(super) fn is_kept_for_others(room: u64, limit: u64) -> bool {
    room < limit / KEPT_FOR_OTHERS
}

impl Engine {
    /// Notes the figures of the open partition, once that is worth it: between two groups, since nothing that was accepted may depend on it.
    /// If it cannot be noted, a start reads more rows.
    pub(super) fn note_growth(&mut self) -> rusqlite::Result<()> {
        let Some(open) = &mut self.partitions.open else { return Ok(()) };
        if open.bytes.saturating_sub(open.noted) < NOTED_EVERY {
            return Ok(());
        }
        open.noted = open.bytes;
        let transaction = self.conn.unchecked_transaction()?;
        note(&transaction, open)?;
        transaction.commit()
    }
}

/// What was noted before goes: of other partitions, and of removed orgs.
fn note(conn: &Connection, open: &OpenPartition) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM growing")?.execute([])?;
    let mut note =
        conn.prepare_cached("INSERT INTO growing (org, partition, to_seq, bytes) VALUES (?1, ?2, ?3, ?4)")?;
    for (org, (_, last)) in &open.extents {
        let bytes = open.sizes.get(org).copied().unwrap_or(0);
        note.execute(params![org, open.number, int(last.0), int(bytes)])?;
    }
    Ok(())
}

/// What was noted of a partition: by org, up to which sequence it takes how many bytes. Nothing, if a page of it cannot be read.
fn noted(conn: &Connection, number: i64) -> rusqlite::Result<HashMap<i64, (i64, i64)>> {
    let read = || {
        let mut noted = conn.prepare("SELECT org, to_seq, bytes FROM growing WHERE partition = ?1")?;
        let rows = noted.query_map([number], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
        rows.collect()
    };
    unless_damaged(read(), HashMap::new())
}

/// What the open partition holds of each org that has anything there, by what was noted and the rows after that.
pub(super) fn of_open(
    conn: &Connection,
    number: i64,
    extents: &HashMap<i64, (Seq, Seq)>,
) -> Outcome<HashMap<i64, u64>> {
    let noted = noted(conn, number)?;
    let sum = |table, column| {
        format!(
            "SELECT CAST(total(octet_length({column})) AS INTEGER) FROM {table}_{number} WHERE key > ?1 AND key <= ?2"
        )
    };
    let (mut heads, mut bodies) = (conn.prepare(&sum("head", "head"))?, conn.prepare(&sum("body", "body"))?);
    let mut found = HashMap::new();
    for (org, (from, to)) in extents {
        let (org, (first, last)) = (*org, keys_of(*org));
        // A number may have been another partition's before; a sequence is given once.
        let noted = noted.get(&org).filter(|(noted, _)| (*from..=*to).contains(&Seq(uint(*noted))));
        let (after, before) = match noted {
            Some((to, bytes)) => (key(org, Seq(uint(*to))), uint(*bytes)),
            None => (first - 1, 0),
        };
        let since = |statement: &mut rusqlite::Statement<'_>| {
            // A page that cannot be read is no reason not to start: its rows are not counted.
            statement.query_row([after, last], |row| row.get::<_, i64>(0)).map_or(0, uint)
        };
        found.insert(org, before + since(&mut heads) + since(&mut bodies));
    }
    Ok(found)
}

/// Counts what an older layout did not, or a repair has changed, a partition at a time.
pub(super) fn count(conn: &Connection) -> Outcome<()> {
    let sql = "SELECT DISTINCT partition FROM extent WHERE bytes IS NULL ORDER BY 1";
    let numbers = conn.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>();
    let numbers = unless_damaged(numbers, Vec::new())?;
    if !numbers.is_empty() {
        tracing::info!(parts = numbers.len(), "counting the bytes that the events of each org take");
    }
    for number in numbers {
        // One that cannot be read stays uncounted, and is tried again by the next start.
        if unless_damaged(count_one(conn, number).map(|()| true), false)? {
            checkpoint::relieve(conn)?;
        }
    }
    Ok(())
}

fn count_one(conn: &Connection, number: i64) -> rusqlite::Result<()> {
    let sizes = sizes_of(conn, number)?;
    let transaction = conn.unchecked_transaction()?;
    transaction.execute("UPDATE extent SET bytes = 0 WHERE partition = ?1", [number])?;
    for (org, bytes) in sizes {
        let set = "UPDATE extent SET bytes = ?3 WHERE org = ?1 AND partition = ?2";
        transaction.prepare_cached(set)?.execute(params![org, number, bytes])?;
    }
    transaction.commit()
}

/// `otherwise`, if a damaged page was met.
fn unless_damaged<T>(found: rusqlite::Result<T>, otherwise: T) -> rusqlite::Result<T> {
    match found {
        Err(error) if is_damage(&error) => Ok(otherwise),
        other => other,
    }
}

/// What the rows of a partition take, by org.
pub(super) fn sizes_of(conn: &Connection, number: i64) -> rusqlite::Result<Growth> {
    let mut sizes = Growth::new();
    for name in ["head", "body"] {
        if !convert::has(conn, &format!("{name}_{number}"))? {
            continue;
        }
        let sql = format!("SELECT key >> 40, sum(octet_length({name})) FROM {name}_{number} GROUP BY 1");
        let mut statement = conn.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            *sizes.entry(row.get(0)?).or_default() += row.get::<_, i64>(1)?;
        }
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests;
