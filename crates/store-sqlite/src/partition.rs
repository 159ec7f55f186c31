//! The event tables by time: rolled by day of acceptance or by size, so that a drop removes a day and hot pages stay few.
//!
//! A partition has three tables. `head_<n>` and `body_<n>` hold its events (see [`super::batch`]). `lookup_<n>`: event ids in order, made
//! after sealing (see [`super::index`]). All of them are only ever appended to, whatever ids producers choose.

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
use super::dedupe::{IdFilter, IdMap};
use super::engine::{Engine, SharedIds};
use super::fault::Outcome;

/// How long duplicates are looked for at least: twice what is promised (24 h).
const DUPLICATES_MS: i64 = 48 * 3600 * 1000;
/// Memory for filters of sealed partitions; beyond it the lookup tables are asked directly.
const FILTER_BYTES: usize = 16 << 20;
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
            uncatalogued: false,
            insert_head,
            insert_body,
        }
    }
}

/// A sealed partition that is young enough to hold the original of a duplicate.
#[derive(Debug)]
struct Sealed {
    number: i64,
    last_at: Timestamp,
    ids: SealedIds,
}

#[derive(Debug)]
enum SealedIds {
    /// Its lookup table is not complete yet.
    Memory(SharedIds),
    Filter(IdFilter),
    /// The memory for filters is used up.
    Table,
}

/// The partitions that an append has to know of.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    /// The one that is appended to; none before the first event.
    pub(super) open: Option<OpenPartition>,
    sealed: Vec<Sealed>,
}

/// What a start finds.
pub(super) struct Loaded {
    /// The partitions.
    pub(super) partitions: Partitions,
    /// The newest acceptance time.
    pub(super) accepted_at: Timestamp,
    /// Heads of orgs that have events in the open partition, by number, and when they were accepted.
    pub(super) heads: Vec<(i64, Seq, Timestamp)>,
    /// Sealed partitions without a complete lookup table, or that are not packed yet.
    pub(super) unindexed: Vec<i64>,
}

impl Partitions {
    /// Reads the catalogue, and the ids of the partitions that have no lookup table.
    pub(super) fn load(conn: &Connection) -> Outcome<Loaded> {
        let mut found = Self::default();
        let (mut accepted_at, mut heads, mut unindexed) = (Timestamp(0), Vec::new(), Vec::new());
        let newest: Option<i64> =
            conn.query_row("SELECT max(last_at) FROM partition", [], |row| row.get(0)).optional()?.flatten();
        let oldest = newest.unwrap_or(0) - DUPLICATES_MS;
        let mut statement = conn.prepare(
            "SELECT number, sealed, first_at, last_at, rows, bytes, indexed, filter, packed FROM partition
             WHERE sealed = 0 OR indexed = 0 OR packed = 0 OR last_at >= ?1 ORDER BY number",
        )?;
        let mut rows = statement.query([oldest])?;
        while let Some(row) = rows.next()? {
            let (number, sealed, indexed): (i64, bool, bool) = (row.get(0)?, row.get(1)?, row.get(6)?);
            let last_at = Timestamp(row.get(3)?);
            accepted_at = accepted_at.max(last_at);
            if sealed && indexed {
                if !row.get::<_, bool>(8)? {
                    unindexed.push(number);
                }
                let filter: Option<Vec<u8>> = row.get(7)?;
                found.add_sealed(number, last_at, filter.and_then(|bytes| IdFilter::from_bytes(&bytes)));
                continue;
            }
            let scanned = scan(conn, number, uint(row.get(4)?))?;
            accepted_at = accepted_at.max(scanned.last_at);
            let ids = Arc::new(RwLock::new(scanned.ids));
            if sealed {
                unindexed.push(number);
                found.sealed.push(Sealed { number, last_at, ids: SealedIds::Memory(ids) });
                continue;
            }
            heads.extend(scanned.heads);
            found.open = Some(OpenPartition {
                last_at,
                rows: uint(row.get(4)?),
                bytes: uint(row.get(5)?),
                ids,
                extents: scanned.extents,
                ..OpenPartition::new(number, Timestamp(row.get(2)?))
            });
        }
        Ok(Loaded { partitions: found, accepted_at, heads, unindexed })
    }

    /// The ids that are only in memory, newest first.
    pub(super) fn maps(&self) -> Vec<(i64, SharedIds)> {
        let open = self.open.iter().map(|open| (open.number, Arc::clone(&open.ids)));
        let sealed = self.sealed.iter().rev().filter_map(|s| match &s.ids {
            SealedIds::Memory(ids) => Some((s.number, Arc::clone(ids))),
            SealedIds::Filter(_) | SealedIds::Table => None,
        });
        open.chain(sealed).collect()
    }

    /// The partition and key of the event that has this id, as far back as duplicates are looked for.
    pub(super) fn find(
        &self,
        conn: &Connection,
        pending: &Pending,
        org: i64,
        id: EventId,
        now: Timestamp,
    ) -> Outcome<Option<(i64, i64)>> {
        if let Some(open) = &self.open
            && let Some(key) = among(conn, Some(pending), open.number, &open.ids, org, id)?
        {
            return Ok(Some((open.number, key)));
        }
        for sealed in self.sealed.iter().rev().filter(|s| s.last_at.0 >= now.0 - DUPLICATES_MS) {
            let key = match &sealed.ids {
                SealedIds::Memory(ids) => among(conn, None, sealed.number, ids, org, id)?,
                SealedIds::Filter(filter) if !filter.may_contain(id.0.as_bytes()) => None,
                SealedIds::Filter(_) | SealedIds::Table => look_up(conn, sealed.number, org, id)?,
            };
            if let Some(key) = key {
                return Ok(Some((sealed.number, key)));
            }
        }
        Ok(None)
    }

    fn add_sealed(&mut self, number: i64, last_at: Timestamp, filter: Option<IdFilter>) {
        let used: usize = self
            .sealed
            .iter()
            .map(|s| match &s.ids {
                SealedIds::Filter(filter) => filter.size(),
                SealedIds::Memory(_) | SealedIds::Table => 0,
            })
            .sum();
        let ids = match filter {
            Some(filter) if used + filter.size() <= FILTER_BYTES => SealedIds::Filter(filter),
            Some(_) | None => SealedIds::Table,
        };
        match self.sealed.iter_mut().find(|s| s.number == number) {
            Some(sealed) => sealed.ids = ids,
            None => self.sealed.push(Sealed { number, last_at, ids }),
        }
    }

    /// Forgets a partition whose records are gone.
    pub(super) fn forget(&mut self, number: i64) {
        self.sealed.retain(|s| s.number != number);
    }
}

/// The event with this id among those of a partition held in memory.
pub(super) fn among(
    conn: &Connection,
    pending: Option<&Pending>,
    number: i64,
    ids: &SharedIds,
    org: i64,
    id: EventId,
) -> Outcome<Option<i64>> {
    let candidates: Vec<i64> = ids.read().candidates(org, id).collect();
    for key in candidates.into_iter().filter(|key| key_org(*key) == org) {
        let stored = match pending.and_then(|pending| pending.get(key)) {
            Some(event) => Some(event.event_id),
            None => batch::records(conn, number, (key, key), 1)?.pop().map(|record| record.event_id),
        };
        if stored == Some(id) {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// The event with this id in a partition that has its lookup table.
pub(super) fn look_up(conn: &Connection, number: i64, org: i64, id: EventId) -> Outcome<Option<i64>> {
    let sql = format!("SELECT key FROM lookup_{number} WHERE event_id = ?1");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([id.0.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let key: i64 = row.get(0)?;
        if key_org(key) == org {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// What makes its lookup table, once it is sealed.
pub(super) fn lookup_table(number: i64) -> String {
    format!(
        "CREATE TABLE lookup_{number} (event_id BLOB NOT NULL, key INTEGER NOT NULL, PRIMARY KEY (event_id, key)) WITHOUT ROWID;"
    )
}

struct Scanned {
    ids: IdMap,
    extents: HashMap<i64, (Seq, Seq)>,
    heads: Vec<(i64, Seq, Timestamp)>,
    last_at: Timestamp,
}

/// Reads a partition's records in the order of their keys.
fn scan(conn: &Connection, number: i64, rows: u64) -> Outcome<Scanned> {
    let rows = usize::try_from(rows).unwrap_or(0);
    let mut scanned =
        Scanned { ids: IdMap::with_capacity(rows), extents: HashMap::new(), heads: Vec::new(), last_at: Timestamp(0) };
    let mut statement =
        conn.prepare(&format!("SELECT key, events, accepted_at, head FROM head_{number} ORDER BY key"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // Of a damaged head the sequences are known all the same, and are not given again.
        let (place, events): (i64, u64) = (row.get(0)?, uint(row.get(1)?));
        let (org, first) = (key_org(place), key_seq(place));
        let last = Seq(first.0 + events.saturating_sub(1));
        let records = read_head(place, first, batch::blob(row, 3)?).unwrap_or_default();
        let accepted_at = records.last().map_or(Timestamp(row.get(2)?), |record| record.accepted_at);
        for record in records {
            scanned.ids.insert(org, record.event_id, key(org, record.seq));
        }
        scanned.last_at = scanned.last_at.max(accepted_at);
        match scanned.heads.last_mut().filter(|head| head.0 == org) {
            Some(head) => *head = (org, last, accepted_at),
            None => scanned.heads.push((org, last, accepted_at)),
        }
        scanned.extents.entry(org).or_insert((first, last)).1 = last;
    }
    Ok(scanned)
}

impl Engine {
    /// Makes sure that there is a partition to append to at `now`, rolling it by day and by size.
    pub(super) fn open_partition(&mut self, now: Timestamp) -> Outcome<()> {
        let fits = self.partitions.open.as_ref().is_some_and(|open| {
            open.rows < self.options.partition_rows
                && open.bytes < self.options.partition_bytes
                && open.first_at.0.div_euclid(DAY_MS) == now.0.div_euclid(DAY_MS)
        });
        if fits {
            return Ok(());
        }
        self.seal_partition()?;
        let number: i64 =
            self.conn.query_row("SELECT coalesce(max(number), 0) + 1 FROM partition", [], |row| row.get(0))?;
        self.conn.execute_batch(&batch::tables(number))?;
        self.conn.execute(
            "INSERT INTO partition (number, sealed, first_at, last_at, rows, bytes) VALUES (?1, 0, ?2, ?2, 0, 0)",
            params![number, now.0],
        )?;
        self.partitions.open = Some(OpenPartition::new(number, now));
        self.effects.maps = true;
        Ok(())
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
            let mut extent = self
                .conn
                .prepare_cached("INSERT INTO extent (org, partition, first_seq, last_seq) VALUES (?1, ?2, ?3, ?4)")?;
            for (org, (first, last)) in &open.extents {
                extent.execute(params![org, number, int(first.0), int(last.0)])?;
            }
            let mut head = self.conn.prepare_cached("UPDATE org SET head = ?2, accepted_at = ?3 WHERE num = ?1")?;
            for org in self.orgs.values().filter(|org| open.extents.contains_key(&org.num)) {
                head.execute(params![org.num, int(org.head.0), org.accepted_at.0])?;
            }
        }
        self.conn.execute_batch(&lookup_table(number))?;
        let now = self.accepted_at;
        self.partitions
            .sealed
            .retain(|s| s.last_at.0 >= now.0 - DUPLICATES_MS || matches!(s.ids, SealedIds::Memory(_)));
        self.partitions.sealed.push(Sealed { number, last_at: open.last_at, ids: SealedIds::Memory(open.ids) });
        self.effects.index.push(number);
        self.effects.maps = true;
        Ok(())
    }

    /// Adds a piece of a sealed partition's lookup table.
    pub(super) fn add_lookups(&mut self, number: i64, pairs: &[([u8; 16], i64)]) -> Outcome<()> {
        let sql = format!("INSERT OR IGNORE INTO lookup_{number} (event_id, key) VALUES (?1, ?2)");
        let mut statement = self.conn.prepare_cached(&sql)?;
        for (id, key) in pairs {
            statement.execute(params![id, key])?;
        }
        Ok(())
    }

    /// From now on the partition's ids are found by its lookup table.
    pub(super) fn lookups_complete(&mut self, number: i64, filter: IdFilter) -> Outcome<()> {
        self.conn.execute(
            "UPDATE partition SET indexed = 1, filter = ?2 WHERE number = ?1",
            params![number, filter.to_bytes()],
        )?;
        if let Some(last_at) = self.partitions.sealed.iter().find(|s| s.number == number).map(|s| s.last_at) {
            self.partitions.add_sealed(number, last_at, Some(filter));
        }
        self.effects.maps = true;
        Ok(())
    }
}
