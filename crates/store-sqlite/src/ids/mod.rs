//! Which event ids are known: exact for 48 hours, at a cost that does not grow with what is stored (ADR 0044).
//!
//! The ids of the open partition are in memory ([`memory`]). Those of a sealed one lie in `ids_part`, by hash ([`hash`], [`bucket`]): a look
//! is one row and a binary search in it. The newest partitions (level 0) have a filter in memory as well, which says of nearly every new id
//! that there is nothing to look for. The others of the last 48 hours are merged into one table, `ids_recent` (level 1, [`merge`]). So a new
//! id costs the map, some filters, and one row. What is found is compared with the record's own id, so that a hash decides nothing.
//!
//! [`keeper`] is the thread that makes all of this ([`build`]), in small pieces of the writer's time.

use rusqlite::{Connection, OptionalExtension, params};
use toktra_siem_core::ids::EventId;
use toktra_siem_core::time::Timestamp;

use super::codec::{int, key_org, key_seq};
use super::fault::Outcome;
use super::partition::youngest;
use super::read::{Id, id_of};
use bucket::{Level, candidates, place};
use hash::time_of;
use memory::Filter;
use mend::{Mending, Torn};
use parking_lot::Mutex;

mod bucket;
mod build;
mod hash;
pub(super) mod keeper;
mod memory;
mod mend;
mod merge;
mod search;
#[cfg(test)]
mod tests;

pub(super) use build::remove;
pub(super) use hash::{Hash, Hasher};
pub(super) use memory::IdMap;
pub(super) use memory::among;
pub(super) use mend::Part;
pub(super) use search::newest;

/// How long duplicates are looked for at least: twice what is promised (24 h).
pub(super) const DUPLICATES_MS: i64 = 48 * 3600 * 1000;
/// Memory for filters; beyond it the partition's own row is read.
const FILTER_BYTES: usize = 16 << 20;

/// Sizes of the index of ids.
#[derive(Debug, Clone, Copy)]
pub struct IdSizes {
    /// Ids in a bucket, at most on average: what one look reads and compares.
    pub bucket: u64,
    /// Buckets that the writer writes in one turn.
    pub piece: u16,
    /// So many sealed partitions are merged into the table of the last two days.
    pub merge_at: usize,
}

impl Default for IdSizes {
    fn default() -> Self {
        Self { bucket: 256, piece: 64, merge_at: 8 }
    }
}

/// What is known of a sealed partition's ids, as the column `level` of `ids_of` has it.
mod level {
    /// They are asked for by themselves.
    pub(super) const OWN: i64 = 0;
    /// They are in the merged table.
    pub(super) const RECENT: i64 = 1;
    /// They are being merged.
    pub(super) const JOINING: i64 = 2;
    /// No duplicate is looked for among them any more.
    pub(super) const PAST: i64 = 3;
}

/// A merged table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Generation {
    number: i64,
    bits: u32,
}

/// A merged table that is being written.
#[derive(Debug, Clone, Copy)]
struct Coming {
    table: Generation,
    /// Its first bucket that is not written yet.
    next: i64,
}

/// A sealed partition of the last two days that is not merged.
#[derive(Debug)]
struct Own {
    number: i64,
    last_at: Timestamp,
    ids: OwnIds,
}

#[derive(Debug)]
enum OwnIds {
    /// In `lookup_<n>`, as layouts before the tenth had them, until they are converted.
    Sorted,
    /// In `ids_part`.
    Hashed {
        bits: u32,
        /// The newest time in an id of version 7.
        newest: Option<i64>,
        filter: Option<Filter>,
        joining: bool,
    },
}

/// A row that may know an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Sorted(i64),
    Part { number: i64, place: i64 },
    Recent { place: i64 },
}

/// The ids of sealed partitions that an append has to know of.
#[derive(Debug)]
pub(super) struct Known {
    hasher: Hasher,
    own: Vec<Own>,
    recent: Option<Generation>,
    coming: Option<Coming>,
    /// The newest time in an id of version 7 in both of them.
    newest: Option<i64>,
    /// Partitions whose ids could not be read since the start.
    unreadable: Vec<i64>,
    /// The table of the last two days could not be made since the start.
    unmerged: bool,
    /// Buckets that could not, and events.
    mending: Mutex<Mending>,
    torn: Torn,
}

impl Known {
    /// Reads what there is, and the filters; partitions that had their last event before `oldest` are left to the past.
    pub(super) fn load(conn: &Connection, oldest: i64) -> Outcome<Self> {
        let (recent, coming) = generations(conn)?;
        let newest = newest_merged(conn)?;
        let hasher = Hasher::load(conn)?;
        let (own, unreadable, mending, torn) = (Vec::new(), Vec::new(), Mutex::default(), Torn::default());
        let mut known = Self { hasher, own, recent, coming, newest, unreadable, unmerged: false, mending, torn };
        let mut statement = conn.prepare(
            "SELECT p.number, p.last_at, i.level, i.bits, i.newest_v7, i.filter
             FROM partition p LEFT JOIN ids_of i ON i.partition = p.number
             WHERE p.sealed = 1 AND p.indexed = 1 AND (i.level IN (?1, ?2) OR (i.level IS NULL AND p.last_at >= ?3))
             ORDER BY p.number",
        )?;
        let mut rows = statement.query(params![level::OWN, level::JOINING, oldest])?;
        while let Some(row) = rows.next()? {
            let (number, last_at) = (row.get(0)?, Timestamp(row.get(1)?));
            let Some(there) = row.get::<_, Option<i64>>(2)? else {
                known.own.push(Own { number, last_at, ids: OwnIds::Sorted });
                continue;
            };
            let filter: Option<Vec<u8>> = row.get(5)?;
            let filter = filter.and_then(|bytes| Filter::from_bytes(&bytes));
            known.add(number, last_at, row.get(3)?, row.get(4)?, filter, there == level::JOINING);
        }
        Ok(known)
    }

    /// The hash of an id.
    pub(super) fn hash(&self, org: i64, id: EventId) -> Hash {
        self.hasher.hash(org, id)
    }

    /// The hasher, for who reads many ids.
    pub(super) fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// The partition and key of the event that has this id, in sealed partitions.
    pub(super) fn find(&self, conn: &Connection, org: i64, id: EventId, hash: Hash) -> Outcome<Option<(i64, i64)>> {
        for place in self.places(hash, time_of(id.0.as_bytes())) {
            let keys = if self.is_broken(place) { None } else { Some(keys_at(conn, place, id, hash)) };
            let keys = match keys {
                Some(Err(fault)) if fault.is_damage() => {
                    self.met(&fault);
                    self.instead(place, hash.print())
                }
                Some(keys) => keys?,
                None => self.instead(place, hash.print()),
            };
            if let Some(found) = confirm(conn, Some(self), place, org, id, keys)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The rows that may know an id with this hash and, where it is of version 7, this time.
    fn places(&self, hash: Hash, time: Option<i64>) -> impl Iterator<Item = Place> + '_ {
        let print = hash.print();
        // A time after every other one's is a new id's. An id "from the future" raises the newest time, and nothing is missed.
        let is_later = move |newest: Option<i64>| time.is_some_and(|time| newest.is_none_or(|newest| time > newest));
        let written = self.coming.filter(|coming| print.bucket(coming.table.bits) < coming.next);
        let own = self.own.iter().rev().filter_map(move |own| match &own.ids {
            OwnIds::Sorted => Some(Place::Sorted(own.number)),
            OwnIds::Hashed { bits, newest, filter, joining } => {
                let elsewhere = *joining && written.is_some();
                let there = !elsewhere && !is_later(*newest) && filter.as_ref().is_none_or(|f| f.may_contain(hash));
                there.then(|| Place::Part { number: own.number, place: place(own.number, print.bucket(*bits)) })
            }
        });
        let table = written.map(|coming| coming.table).or(self.recent).filter(|_| !is_later(self.newest));
        own.chain(table.map(|table| Place::Recent { place: place(table.number, print.bucket(table.bits)) }))
    }

    fn add(
        &mut self,
        number: i64,
        last_at: Timestamp,
        bits: u32,
        newest: Option<i64>,
        filter: Option<Filter>,
        joining: bool,
    ) {
        let used: usize = self
            .own
            .iter()
            .map(|own| match &own.ids {
                OwnIds::Hashed { filter: Some(filter), .. } => filter.size(),
                OwnIds::Hashed { .. } | OwnIds::Sorted => 0,
            })
            .sum();
        let filter = filter.filter(|filter| used + filter.size() <= FILTER_BYTES);
        self.own.retain(|own| own.number != number);
        let at = self.own.partition_point(|own| own.number < number);
        self.own.insert(at, Own { number, last_at, ids: OwnIds::Hashed { bits, newest, filter, joining } });
    }

    /// Leaves what is older than 48 hours at `now` to the past. `wall` is what the clock says.
    pub(super) fn retire(&mut self, conn: &Connection, now: Timestamp, wall: Timestamp) -> Outcome<()> {
        let oldest = now.0 - DUPLICATES_MS;
        if self.own.is_empty() {
            return Ok(());
        }
        // When they were sealed the clock may have been wrong.
        let all = youngest(conn, wall)?;
        for own in &mut self.own {
            if let Ok(at) = all.binary_search_by_key(&own.number, |(number, _)| *number) {
                own.last_at = all[at].1;
            }
        }
        let mut past = conn.prepare_cached("UPDATE ids_of SET level = ?2 WHERE partition = ?1 AND level = ?3")?;
        for own in self.own.iter().filter(|own| own.last_at.0 < oldest) {
            past.execute(params![own.number, level::PAST, level::OWN])?;
        }
        let joins = |own: &Own| matches!(own.ids, OwnIds::Hashed { joining: true, .. });
        self.own.retain(|own| own.last_at.0 >= oldest || joins(own));
        Ok(())
    }

    /// Forgets a partition whose records are gone.
    pub(super) fn forget(&mut self, number: i64) {
        self.own.retain(|own| own.number != number);
    }
}

/// The table of the last two days, and the one that is being written.
fn generations(conn: &Connection) -> Outcome<(Option<Generation>, Option<Coming>)> {
    let (mut recent, mut coming) = (None, None);
    let mut statement = conn.prepare_cached("SELECT generation, bits, next FROM ids_level")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let table = Generation { number: row.get(0)?, bits: row.get(1)? };
        match row.get(2)? {
            Some(next) => coming = Some(Coming { table, next }),
            None => recent = Some(table),
        }
    }
    Ok((recent, coming))
}

/// The newest time in an id of version 7 among those that are merged or being merged.
fn newest_merged(conn: &Connection) -> Outcome<Option<i64>> {
    let sql = "SELECT max(newest_v7) FROM ids_of WHERE level IN (?1, ?2)";
    Ok(conn.prepare_cached(sql)?.query_row([level::RECENT, level::JOINING], |row| row.get(0))?)
}

/// The keys of events that may have this id, where that row knows any.
fn keys_at(conn: &Connection, at: Place, id: EventId, hash: Hash) -> Outcome<Vec<i64>> {
    match at {
        Place::Sorted(number) => sorted(conn, number, id),
        Place::Part { place, .. } => candidates(conn, Level::Parts, place, hash.print()),
        Place::Recent { place } => candidates(conn, Level::Recent, place, hash.print()),
    }
}

/// The partition and key of the event that has this id, where one of these keys is its. `known`: what the writer knows of damage.
fn confirm(
    conn: &Connection,
    known: Option<&Known>,
    at: Place,
    org: i64,
    id: EventId,
    keys: Vec<i64>,
) -> Outcome<Option<(i64, i64)>> {
    for key in keys.into_iter().filter(|key| key_org(*key) == org) {
        let number = match at {
            Place::Sorted(number) | Place::Part { number, .. } => Some(number),
            Place::Recent { .. } => match (sealed_with(conn, key), known) {
                (Err(fault), Some(known)) if fault.is_damage() => {
                    // The hash decides here too; of no partition, nothing is compared.
                    known.met(&fault);
                    return Ok(Some((0, key)));
                }
                (number, _) => number?,
            },
        };
        if let Some(number) = number
            && is_its(conn, known, (number, key), id)?
        {
            return Ok(Some((number, key)));
        }
    }
    Ok(None)
}

/// Whether the event with this partition and key, which has the hash of the id, has the id as well. If its record cannot be read, the writer
/// goes by the hash; a reader has nothing to show.
fn is_its(conn: &Connection, known: Option<&Known>, (number, key): (i64, i64), id: EventId) -> Outcome<bool> {
    let read = |key| id_of(conn, number, key);
    let found = match known {
        Some(known) => known.unless_unread(Part::Record, (number, key), read)?.unwrap_or(Id::Unread),
        None => read(key)?,
    };
    Ok(match found {
        Id::Is(there) => there == id,
        Id::Unread => known.is_some(),
        Id::Gone => false,
    })
}

/// The keys of events with this id in a partition of an earlier layout.
fn sorted(conn: &Connection, number: i64, id: EventId) -> Outcome<Vec<i64>> {
    let mut statement = conn.prepare_cached(&format!("SELECT key FROM lookup_{number} WHERE event_id = ?1"))?;
    let keys = statement.query_map([id.0.as_bytes()], |row| row.get(0))?;
    Ok(keys.collect::<rusqlite::Result<_>>()?)
}

/// The sealed partition that holds the event with this key.
fn sealed_with(conn: &Connection, key: i64) -> Outcome<Option<i64>> {
    let sql = "SELECT partition FROM extent WHERE org = ?1 AND first_seq <= ?2 AND last_seq >= ?2
         ORDER BY partition DESC LIMIT 1";
    let (org, seq) = (key_org(key), int(key_seq(key).0));
    Ok(conn.prepare_cached(sql)?.query_row([org, seq], |row| row.get(0)).optional()?)
}
