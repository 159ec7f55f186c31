//! The event tables by time: rolled by day of acceptance or by size, so that a drop removes a day and hot pages stay few.
//!
//! A partition has two tables, `head_<n>` and `body_<n>` (see [`super::batch`]), which are only ever appended to, whatever ids producers choose.
//! Its event ids are indexed after sealing (see [`super::ids`]).

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use rusqlite::{Connection, OptionalExtension, params};
use toktra_siem_core::ids::{EventId, Seq};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::batch::read_head;

use super::append::Pending;
use super::batch;
use super::codec::{int, key, key_org, key_seq, uint};
use super::ends;
use super::engine::{Engine, SharedIds};
use super::fault::Outcome;
use super::ids::{self, DUPLICATES_MS, Hash, Hasher, IdMap, Known};
use super::stored;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// The partition that is appended to.
#[derive(Debug)]
pub(super) struct OpenPartition {
    /// Its number, in the names of its tables.
    pub(super) number: i64,
    /// Acceptance time of its first event.
    pub(super) first_at: Timestamp,
    /// And of its last.
    pub(super) last_at: Timestamp,
    /// Events.
    pub(super) rows: u64,
    /// Of payload.
    pub(super) bytes: u64,
    /// Its ids.
    pub(super) ids: SharedIds,
    /// First and last sequence of each org in it, by the org's number.
    pub(super) extents: HashMap<i64, (Seq, Seq)>,
    /// What its runs take of each org, by the org's number.
    pub(super) sizes: HashMap<i64, u64>,
    /// [`Self::bytes`] when that was noted last.
    pub(super) noted: u64,
    /// The present transaction has appended to it, and the catalogue does not know yet.
    pub(super) uncatalogued: bool,
    /// Inserts a head; kept, since it is asked for with every group.
    pub(super) insert_head: String,
    /// Inserts a body.
    pub(super) insert_body: String,
}

impl OpenPartition {
    /// An empty one that starts at `first_at`.
    fn new(number: i64, first_at: Timestamp) -> Self {
        let (insert_head, insert_body) = batch::inserts(number);
        Self {
            number,
            first_at,
            last_at: first_at,
            rows: 0,
            bytes: 0,
            ids: Arc::default(),
            extents: HashMap::new(),
            sizes: HashMap::new(),
            noted: 0,
            uncatalogued: false,
            insert_head,
            insert_body,
        }
    }
}

/// The partitions that an append has to know of.
#[derive(Debug)]
pub(super) struct Partitions {
    /// The one that is appended to; none before the first event.
    pub(super) open: Option<OpenPartition>,
    /// Sealed ones whose ids are only in memory, ascending.
    unindexed: Vec<(i64, SharedIds)>,
    /// The ids of the others.
    pub(super) ids: Known,
}

/// What a start finds.
pub(super) struct Loaded {
    /// The partitions.
    pub(super) partitions: Partitions,
    /// The newest acceptance time.
    pub(super) accepted_at: Timestamp,
    /// Heads of orgs that have events in the open partition, by number, and when they were accepted.
    pub(super) heads: Vec<(i64, Seq, Timestamp)>,
}

impl Partitions {
    /// Reads the catalogue, and the ids of the partitions that are not indexed. `now` is the time by which things age.
    pub(super) fn load(conn: &Connection, now: Timestamp) -> Outcome<Loaded> {
        let newest = "SELECT last_at FROM partition ORDER BY number DESC LIMIT 1";
        let newest: Option<i64> = conn.query_row(newest, [], |row| row.get(0)).optional()?;
        let ids = Known::load(conn, newest.unwrap_or(0).min(now.0) - DUPLICATES_MS)?;
        let mut found = Self { open: None, unindexed: Vec::new(), ids };
        let (mut accepted_at, mut heads) = (Timestamp(newest.unwrap_or(0)), Vec::new());
        let mut statement = conn.prepare(
            "SELECT number, sealed, first_at, last_at, rows, bytes FROM partition
             WHERE sealed = 0 OR indexed = 0 ORDER BY number",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (number, sealed): (i64, bool) = (row.get(0)?, row.get(1)?);
            let scanned = scan(conn, found.ids.hasher(), (number, sealed), uint(row.get(4)?))?;
            let ids = Arc::new(RwLock::new(scanned.ids));
            if sealed {
                found.unindexed.push((number, ids));
                continue;
            }
            accepted_at = accepted_at.max(scanned.last_at);
            heads.extend(scanned.heads);
            found.open = Some(OpenPartition {
                last_at: Timestamp(row.get(3)?),
                rows: uint(row.get(4)?),
                bytes: uint(row.get(5)?),
                ids,
                sizes: stored::of_open(conn, number, &scanned.extents)?,
                extents: scanned.extents,
                ..OpenPartition::new(number, Timestamp(row.get(2)?))
            });
        }
        Ok(Loaded { partitions: found, accepted_at, heads })
    }

    /// The sealed partitions whose ids are only in memory, ascending.
    pub(super) fn unindexed(&self) -> impl Iterator<Item = i64> + '_ {
        self.unindexed.iter().map(|(number, _)| *number)
    }

    /// The ids that are only in memory, newest first.
    pub(super) fn maps(&self) -> Vec<(i64, SharedIds)> {
        self.in_memory().map(|(number, ids)| (number, Arc::clone(ids))).collect()
    }

    fn in_memory(&self) -> impl Iterator<Item = (i64, &SharedIds)> {
        let open = self.open.iter().map(|open| (open.number, &open.ids));
        open.chain(self.unindexed.iter().rev().map(|(number, ids)| (*number, ids)))
    }

    /// The partition and key of the event that has this id, as far back as duplicates are looked for. An id that was `made` for its event is
    /// in no sealed partition.
    pub(super) fn find(
        &self,
        conn: &Connection,
        pending: &Pending,
        org: i64,
        id: EventId,
        hash: Hash,
        made: bool,
    ) -> Outcome<Option<(i64, i64)>> {
        for (number, ids) in self.in_memory() {
            if let Some(key) = ids::among(conn, Some(&self.ids), Some(pending), (number, ids), org, id, hash)? {
                return Ok(Some((number, key)));
            }
        }
        if made { Ok(None) } else { self.ids.find(conn, org, id, hash) }
    }

    /// Forgets what is remembered of a sealed partition's ids.
    pub(super) fn forget(&mut self, number: i64) {
        self.unindexed.retain(|(there, _)| *there != number);
        self.ids.forget(number);
    }
}

struct Scanned {
    ids: IdMap,
    extents: HashMap<i64, (Seq, Seq)>,
    heads: Vec<(i64, Seq, Timestamp)>,
    last_at: Timestamp,
}

/// Reads a partition's records in the order of their keys. Of a damaged head the sequences are known all the same ([`super::ends`]), and are not
/// given again.
fn scan(conn: &Connection, hasher: &Hasher, (number, sealed): (i64, bool), rows: u64) -> Outcome<Scanned> {
    let rows = usize::try_from(rows).unwrap_or(0);
    let mut scanned =
        Scanned { ids: IdMap::with_capacity(rows), extents: HashMap::new(), heads: Vec::new(), last_at: Timestamp(0) };
    let mut times = HashMap::<i64, Timestamp>::new();
    let mut statement = conn.prepare(&format!("SELECT key, accepted_at, head FROM head_{number} ORDER BY key"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let place: i64 = row.get(0)?;
        let org = key_org(place);
        let records = read_head(place, key_seq(place), batch::blob(row, 2)?);
        let last_at = match records.as_deref() {
            Some([.., last]) => last.accepted_at,
            _ => Timestamp(row.get(1)?),
        };
        for record in records.unwrap_or_default() {
            scanned.ids.insert(hasher.hash(org, record.event_id), key(org, record.seq));
        }
        scanned.last_at = scanned.last_at.max(last_at);
        times.insert(org, last_at);
    }
    if !sealed {
        let mut statement = conn.prepare("SELECT num, head FROM org")?;
        let mut orgs = statement.query([])?;
        while let Some(row) = orgs.next()? {
            let (org, before): (i64, Seq) = (row.get(0)?, Seq(uint(row.get(1)?)));
            let last = ends::last(conn, number, org, before)?;
            if last > before {
                scanned.extents.insert(org, (before.next(), last));
                scanned.heads.push((org, last, times.get(&org).copied().unwrap_or(scanned.last_at)));
            }
        }
    }
    Ok(scanned)
}

/// When the youngest event of each partition was accepted, ascending by number, as far as the clocks of then can be believed at `now`.
///
/// A clock that was ahead is overruled by the next partition whose time has come, since its events came later. A clock that was behind is
/// overruled by the partitions before it, since its events came after theirs: whatever a wrong clock has written, nothing is taken for older
/// than it is.
pub(super) fn youngest(conn: &Connection, now: Timestamp) -> Outcome<Vec<(i64, Timestamp)>> {
    let mut statement = conn.prepare_cached("SELECT number, first_at, last_at FROM partition ORDER BY number")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(believed(&rows.collect::<rusqlite::Result<Vec<(i64, i64, i64)>>>()?, now))
}

/// The same of partitions by number, first and last time.
fn believed(partitions: &[(i64, i64, i64)], now: Timestamp) -> Vec<(i64, Timestamp)> {
    let (mut before, mut after) = (i64::MIN, None);
    let mut found: Vec<(i64, i64)> = Vec::with_capacity(partitions.len());
    for (number, first_at, last_at) in partitions.iter().rev() {
        found.push((*number, if *last_at <= now.0 { *last_at } else { after.unwrap_or(*last_at) }));
        if *first_at <= now.0 {
            after = Some(*first_at);
        }
    }
    let whole = |(number, own): (i64, i64)| {
        let youngest = own.max(before);
        // What is still ahead says nothing of those after it.
        if own <= now.0 {
            before = youngest;
        }
        (number, Timestamp(youngest))
    };
    found.into_iter().rev().map(whole).collect()
}

impl Engine {
    /// Makes sure that there is a partition to append to at `now`, rolling it by day and by size.
    pub(super) fn open_partition(&mut self, now: Timestamp) -> Outcome<()> {
        let fits = self.partitions.open.as_ref().is_some_and(|open| {
            open.rows < self.options.partition_rows
                && open.bytes < self.options.partition_bytes
                && open.first_at.0.div_euclid(DAY_MS) == now.0.div_euclid(DAY_MS)
        });
        if fits || (self.stays && self.partitions.open.is_some()) {
            return Ok(());
        }
        self.seal_partition()?;
        let number = self.next_partition()?;
        self.conn.execute_batch(&batch::tables(number))?;
        self.conn.execute(
            "INSERT INTO partition (number, sealed, first_at, last_at, rows, bytes) VALUES (?1, 0, ?2, ?2, 0, 0)",
            params![number, now.0],
        )?;
        self.partitions.open = Some(OpenPartition::new(number, now));
        self.effects.maps = true;
        Ok(())
    }

    /// The number of the partition that is begun next.
    pub(super) fn next_partition(&self) -> Outcome<i64> {
        // A damaged table may be left of one that is forgotten.
        let sql = "SELECT 1 + max((SELECT coalesce(max(number), 0) FROM partition),
             (SELECT coalesce(max(CAST(substr(name, 6) AS INTEGER)), 0) FROM sqlite_master
               WHERE type = 'table' AND (name GLOB 'head_[0-9]*' OR name GLOB 'body_[0-9]*')))";
        Ok(self.conn.query_row(sql, [], |row| row.get(0))?)
    }

    /// Brings the catalogue up to date with what the present transaction has appended.
    pub(super) fn catalogue(&mut self) -> rusqlite::Result<()> {
        let Some(open) = self.partitions.open.as_mut().filter(|open| open.uncatalogued) else { return Ok(()) };
        self.conn
            .prepare_cached("UPDATE partition SET rows = ?2, bytes = ?3, last_at = ?4 WHERE number = ?1")?
            .execute(params![open.number, int(open.rows), int(open.bytes), open.last_at.0])?;
        open.uncatalogued = false;
        Ok(())
    }

    /// Seals the open partition, if there is one: it is not written to any more, except to remove from it.
    pub(super) fn seal_partition(&mut self) -> Outcome<()> {
        self.write_pending()?;
        self.catalogue()?;
        let Some(open) = self.partitions.open.take() else { return Ok(()) };
        let number = open.number;
        self.conn.execute("UPDATE partition SET sealed = 1 WHERE number = ?1", [number])?;
        {
            let mut extent = self.conn.prepare_cached(
                "INSERT INTO extent (org, partition, first_seq, last_seq, bytes) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for (org, (first, last)) in &open.extents {
                let bytes = open.sizes.get(org).copied().unwrap_or(0);
                extent.execute(params![org, number, int(first.0), int(last.0), int(bytes)])?;
            }
            let mut head = self.conn.prepare_cached("UPDATE org SET head = ?2, accepted_at = ?3 WHERE num = ?1")?;
            for org in self.orgs.values().filter(|org| open.extents.contains_key(&org.num)) {
                head.execute(params![org.num, int(org.head.0), org.accepted_at.0])?;
            }
        }
        self.partitions.ids.retire(&self.conn, self.aging.now(), (self.options.clock)())?;
        self.partitions.unindexed.push((number, open.ids));
        self.effects.index = true;
        self.effects.maps = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = DAY_MS;

    fn ages(partitions: &[(i64, i64)], now: i64) -> Vec<i64> {
        let rows: Vec<_> = (1..).zip(partitions).map(|(n, (first, last))| (n, first * DAY, last * DAY)).collect();
        believed(&rows, Timestamp(now * DAY)).into_iter().map(|(_, at)| at.0 / DAY).collect()
    }

    #[test]
    fn a_clock_that_was_wrong_makes_no_partition_older() {
        // Right all the time.
        assert_eq!(ages(&[(1, 2), (2, 3), (3, 4)], 5), [2, 3, 4]);
        // Ahead once, and right again.
        assert_eq!(ages(&[(1, 2), (60, 60), (3, 4)], 5), [2, 3, 4]);
        assert_eq!(ages(&[(1, 2), (60, 60), (3, 4), (60, 60), (4, 5)], 5), [2, 3, 4, 4, 5]);
        // Nothing has come since.
        assert_eq!(ages(&[(1, 2), (60, 60)], 5), [2, 60]);
        // Behind once, and right again; also before anything has come since.
        assert_eq!(ages(&[(100, 101), (0, 0), (102, 103)], 104), [101, 101, 103]);
        assert_eq!(ages(&[(100, 101), (0, 0)], 104), [101, 101]);
        assert_eq!(ages(&[(100, 101), (0, 0), (0, 1)], 104), [101, 101, 101]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// With any clock in between, once it is right nothing is older than it is by the time that the machine really had; and what a right clock
        /// wrote is exactly as old as it is, unless a clock ahead lies between.
        #[test]
        fn nothing_is_taken_for_older_than_it_is(steps in prop::collection::vec((1i64..4, prop_oneof![3 => Just(0i64), 1 => -400i64..400]), 1..20)) {
            let (mut at, mut rows, mut real) = (1_000, Vec::new(), Vec::new());
            for (days, wrong) in steps {
                rows.push((at + wrong, at + wrong));
                // Its youngest event was accepted by then, and the next partition is younger.
                real.push((at, wrong));
                at += days;
            }
            let found = ages(&rows, at);
            for (n, ((really, wrong), found)) in real.iter().zip(&found).enumerate() {
                let right_before = real[..=n].iter().rev().find(|(_, wrong)| *wrong == 0).map_or(i64::MIN, |(really, _)| *really);
                prop_assert!(*found >= right_before, "{rows:?} at {at}: {found} of {n}");
                if *wrong == 0 {
                    prop_assert!(*found >= *really);
                }
            }
        }
    }
}
