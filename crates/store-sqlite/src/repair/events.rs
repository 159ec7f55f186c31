//! The partitions: records and payloads row by row, each payload against its checksum, and the search for what is missing.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::ids::{EventId, OrgId, Seq};
use uuid::Uuid;

use super::super::append::checksum;
use super::super::codec::{MAX_SEQ, Word, int, key, key_org, key_seq, uint, uuid};
use super::super::fault::Outcome;
use super::super::streams::{self, StreamRow};
use super::super::{evict, partition, read};
use super::salvage::Table;
use super::{DamagedTable, LostEvent, Repaired};

/// What was seen while copying, for finding out what is lost.
#[derive(Default)]
pub(super) struct Seen {
    /// Ids of payloads whose record is lost, by key.
    unowned: HashMap<i64, EventId>,
    /// Keys of payloads that do not match their checksum.
    damaged: HashSet<i64>,
    /// How many events a partition has to hold whose records could not all be read.
    expected: HashMap<i64, i64>,
}

/// Copies every partition.
pub(super) fn copy(source: &Connection, target: &Connection, repaired: &mut Repaired) -> Outcome<Seen> {
    let mut seen = Seen::default();
    for number in numbers(source, target)? {
        target.execute_batch(&partition::tables(number))?;
        let records = copy_records(source, target, number, repaired, &mut seen)?;
        let payloads = copy_payloads(source, target, number, repaired, &mut seen)?;
        catalogue(target, number, records, payloads)?;
        reach_end(target, number, &seen)?;
    }
    // What was counted may be lost in part: it is counted anew when somebody asks.
    target.execute_batch("DELETE FROM tally; UPDATE partition SET tallied = 0;")?;
    Ok(seen)
}

/// Every partition that the catalogue or the list of tables still knows.
fn numbers(source: &Connection, target: &Connection) -> Outcome<BTreeSet<i64>> {
    let mut numbers: BTreeSet<i64> = target
        .prepare("SELECT number FROM partition")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    // Where the list itself is damaged, its readable part is all there is.
    if let Ok(mut statement) = source.prepare("SELECT name FROM sqlite_master WHERE type = 'table'")
        && let Ok(names) = statement.query_map([], |row| row.get::<_, String>(0))
    {
        let names = names.map_while(std::result::Result::ok);
        numbers.extend(names.filter_map(|name| name.strip_prefix("record_")?.parse::<i64>().ok()));
    }
    Ok(numbers)
}

fn copy_records(
    source: &Connection,
    target: &Connection,
    number: i64,
    repaired: &mut Repaired,
    seen: &mut Seen,
) -> Outcome<u64> {
    let name = format!("record_{number}");
    let table = Table::of(target, &name)?;
    let mut insert = target.prepare(&table.insert())?;
    let mut saved = 0;
    let places = table.read(source, |row| {
        if is_record(row) {
            saved += insert.execute(params_from_iter(row))? as u64;
        }
        Ok(())
    })?;
    if places > 0 {
        repaired.tables.push(DamagedTable { name, saved, places });
        let sql = "SELECT rows FROM partition WHERE number = ?1";
        seen.expected.extend(target.query_row(sql, [number], |row| row.get(0)).optional()?.map(|rows| (number, rows)));
    }
    Ok(saved)
}

/// Key, id, type, severity, and two times.
fn is_record(row: &[Value]) -> bool {
    match row {
        [
            Value::Integer(_),
            Value::Blob(id),
            Value::Integer(kind),
            Value::Integer(severity),
            Value::Integer(_),
            Value::Integer(_),
        ] => id.len() == 16 && EventType::from_number(*kind).is_ok() && Severity::from_number(*severity).is_ok(),
        _ => false,
    }
}

fn copy_payloads(
    source: &Connection,
    target: &Connection,
    number: i64,
    repaired: &mut Repaired,
    seen: &mut Seen,
) -> Outcome<u64> {
    let expected: Option<bool> =
        target.query_row("SELECT payload FROM partition WHERE number = ?1", [number], |row| row.get(0)).optional()?;
    if expected == Some(false) {
        return Ok(0);
    }
    let name = format!("event_{number}");
    let table = Table::of(target, &name)?;
    let mut insert = target.prepare(&table.insert())?;
    let (mut saved, mut bytes) = (0, 0);
    let places = table.read(source, |row| {
        let [Value::Integer(key), Value::Integer(crc), _, Value::Blob(payload)] = row else { return Ok(()) };
        match read::record_by_key(target, number, *key) {
            Ok(Some(record)) => {
                let event = record.with_payload(OrgId(Uuid::nil()), Bytes::copy_from_slice(payload));
                if i64::from(checksum(*key, &event)) == *crc {
                    saved += insert.execute(params_from_iter(row))? as u64;
                    bytes += payload.len() as u64;
                } else {
                    seen.damaged.insert(*key);
                }
            }
            Ok(None) => seen.unowned.extend(id_in(payload).map(|id| (*key, id))),
            Err(error) => return Err(error),
        }
        Ok(())
    })?;
    if places > 0 {
        repaired.tables.push(DamagedTable { name, saved, places });
    }
    repaired.events += saved;
    Ok(bytes)
}

fn id_in(payload: &[u8]) -> Option<EventId> {
    #[derive(serde::Deserialize)]
    struct Named {
        event_id: Uuid,
    }
    serde_json::from_slice::<Named>(payload).ok().map(|named| EventId(named.event_id))
}

/// Writes the partition's line of the catalogue anew: sealed, its ids still to be indexed, and what it holds of each org.
fn catalogue(target: &Connection, number: i64, records: u64, bytes: u64) -> Outcome<()> {
    target.execute(
        &format!(
            "INSERT INTO partition (number, sealed, first_at, last_at, rows, bytes)
             SELECT ?1, 1, coalesce(min(accepted_at), 0), coalesce(max(accepted_at), 0), ?2, ?3 FROM record_{number} WHERE true
             ON CONFLICT (number) DO UPDATE SET sealed = 1, rows = ?2, bytes = ?3, indexed = 0, filter = NULL"
        ),
        params![number, int(records), int(bytes)],
    )?;
    target.execute(
        &format!(
            "INSERT INTO extent (org, partition, first_seq, last_seq)
             SELECT key >> 40, ?1, min(key) & ?2, max(key) & ?2 FROM
                 (SELECT key FROM record_{number} UNION ALL SELECT key FROM event_{number}) GROUP BY 1
             ON CONFLICT (org, partition) DO UPDATE SET
                 first_seq = min(first_seq, excluded.first_seq), last_seq = max(last_seq, excluded.last_seq)"
        ),
        params![number, int(MAX_SEQ)],
    )?;
    let payload: Option<bool> =
        target.query_row("SELECT payload FROM partition WHERE number = ?1", [number], |row| row.get(0)).optional()?;
    if payload == Some(false) {
        target.execute_batch(&format!("DROP TABLE event_{number}"))?;
    }
    Ok(())
}

/// What a partition should hold of an org.
struct Expected {
    partition: i64,
    num: i64,
    org: Option<OrgId>,
    first: Seq,
    last: Seq,
    /// Whether payloads are to be there.
    payloads: bool,
    /// Whether retention may be half done with its records.
    oldest: bool,
}

impl Expected {
    fn loss(&self, seq: Seq, event_id: Option<EventId>, recorded: bool) -> LostEvent {
        LostEvent { org: self.org, seq, event_id, recorded }
    }
}

/// Names every event that was lost: those without a record, and those that a stream still needs and that have no payload.
pub(super) fn find_lost(target: &Connection, seen: &Seen, repaired: &mut Repaired) -> Outcome<()> {
    let mut damaged = seen.damaged.clone();
    for extent in extents(target)? {
        if extent.payloads || !extent.oldest {
            lost_records(target, &extent, seen, repaired)?;
        }
        if extent.payloads {
            lost_payloads(target, &extent, &mut damaged, repaired)?;
        }
    }
    repaired.settled_payloads = damaged.len() as u64;
    for (number, expected) in &seen.expected {
        repaired.unknown += uint(expected - spanned(target, *number)?);
    }
    Ok(())
}

fn extents(target: &Connection) -> Outcome<Vec<Expected>> {
    let mut statement = target.prepare(
        "SELECT e.partition, e.org, e.first_seq, e.last_seq, p.payload, o.id,
             p.number = (SELECT min(number) FROM partition) FROM extent e
         JOIN partition p ON p.number = e.partition LEFT JOIN org o ON o.num = e.org
         WHERE e.org NOT IN (SELECT num FROM removed_org) ORDER BY 1, 2",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Expected {
            partition: row.get(0)?,
            num: row.get(1)?,
            org: row.get::<_, Option<[u8; 16]>>(5)?.map(|id| OrgId(uuid(id))),
            first: Seq(uint(row.get(2)?)),
            last: Seq(uint(row.get(3)?)),
            payloads: row.get(4)?,
            oldest: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn lost_records(target: &Connection, extent: &Expected, seen: &Seen, repaired: &mut Repaired) -> Outcome<()> {
    let table = format!("record_{}", extent.partition);
    for (from, to) in gaps(target, &table, extent.num, extent.first, extent.last)? {
        for seq in (from.0..=to.0).map(Seq) {
            let id = seen.unowned.get(&key(extent.num, seq)).copied();
            repaired.lost.push(extent.loss(seq, id, false));
        }
    }
    Ok(())
}

/// Of the events that have a record; takes what it finds out of `damaged`.
fn lost_payloads(
    target: &Connection,
    extent: &Expected,
    damaged: &mut HashSet<i64>,
    repaired: &mut Repaired,
) -> Outcome<()> {
    let (number, num) = (extent.partition, extent.num);
    let all: Vec<StreamRow> = streams::of_org(target, num)?.into_iter().filter(|s| !s.removed).collect();
    for (from, to) in gaps(target, &format!("event_{number}"), num, extent.first, extent.last)? {
        let free = evict::unneeded(target, &all, from, to)?;
        let needed = |seq: &Seq| !free.iter().any(|(a, b)| a <= seq && seq <= b);
        for seq in (from.0..=to.0).map(Seq).filter(needed) {
            damaged.remove(&key(num, seq));
            let record = read::record_by_key(target, number, key(num, seq))?;
            repaired.lost.extend(record.map(|record| extent.loss(seq, Some(record.event_id), true)));
        }
    }
    Ok(())
}

/// How many sequences the partition's extents name.
fn spanned(target: &Connection, number: i64) -> Outcome<i64> {
    let sql = "SELECT coalesce(sum(last_seq - first_seq + 1), 0) FROM extent WHERE partition = ?1";
    Ok(target.query_row(sql, [number], |row| row.get(0))?)
}

/// Where records at the end of a partition of one org are lost, its number of events says how far they went.
fn reach_end(target: &Connection, number: i64, seen: &Seen) -> Outcome<()> {
    let Some(expected) = seen.expected.get(&number) else { return Ok(()) };
    let missing = (expected - spanned(target, number)?).max(0);
    target.execute(
        "UPDATE extent SET last_seq = last_seq + ?2
         WHERE partition = ?1 AND (SELECT count(*) FROM extent WHERE partition = ?1) = 1",
        params![number, missing],
    )?;
    Ok(())
}

/// The sequences from `first` to `last` that the table does not hold of the org, as first and last.
fn gaps(target: &Connection, table: &str, org: i64, first: Seq, last: Seq) -> Outcome<Vec<(Seq, Seq)>> {
    let mut statement = target.prepare(&format!("SELECT key FROM {table} WHERE key BETWEEN ?1 AND ?2 ORDER BY key"))?;
    let mut rows = statement.query([key(org, first), key(org, last)])?;
    let (mut gaps, mut next) = (Vec::new(), first);
    while let Some(row) = rows.next()? {
        let key: i64 = row.get(0)?;
        debug_assert_eq!(key_org(key), org);
        let seq = key_seq(key);
        if seq > next {
            gaps.push((next, Seq(seq.0 - 1)));
        }
        next = seq.next();
    }
    if next <= last {
        gaps.push((next, last));
    }
    Ok(gaps)
}
