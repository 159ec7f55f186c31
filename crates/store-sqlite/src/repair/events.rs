//! The partitions: runs row by row, each event against its checksum, and the search for what is missing.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use toktra_siem_core::ids::{EventId, OrgId, Seq};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::backend::{DamagedTable, LostEvent, Repaired};
use toktra_siem_store::batch::{MAX_EVENTS, checksum, is_plain, packed, read_body, read_head};
use uuid::Uuid;

use super::super::batch::{self, Order};
use super::super::codec::{MAX_SEQ, int, key, key_seq, len, uint, uuid};
use super::super::fault::Outcome;
use super::super::streams::{self, StreamRow};
use super::super::{convert, evict};
use super::salvage::Table;

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
        target.execute_batch(&batch::tables(number))?;
        let mut copying = Copying { source, target, number, repaired: &mut *repaired, seen: &mut seen };
        copying.rows()?;
        copying.heads()?;
        let bytes = copying.bodies()?;
        catalogue(target, number, bytes)?;
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
        let number = |name: String| {
            let number = name.strip_prefix("head_").or_else(|| name.strip_prefix("record_"))?;
            number.parse::<i64>().ok()
        };
        numbers.extend(names.filter_map(number));
    }
    Ok(numbers)
}

/// One partition on its way.
struct Copying<'a> {
    source: &'a Connection,
    target: &'a Connection,
    number: i64,
    repaired: &'a mut Repaired,
    seen: &'a mut Seen,
}

impl Copying<'_> {
    /// Copies a table as far as it can be read, but for rows that `keep` refuses.
    fn table(
        &mut self,
        name: String,
        mut keep: impl FnMut(&mut Self, &[Value]) -> Outcome<Option<Vec<Value>>>,
    ) -> Outcome<()> {
        let (source, target) = (self.source, self.target);
        let table = Table::of(target, &name)?;
        let mut insert = target.prepare(&table.insert())?;
        let mut saved = 0;
        let places = table.read(source, |row| {
            if let Some(row) = keep(self, row)? {
                saved += insert.execute(params_from_iter(&row))? as u64;
            }
            Ok(())
        })?;
        if places > 0 {
            self.repaired.tables.push(DamagedTable { name, saved, places });
            self.expect_all()?;
        }
        Ok(())
    }

    fn expect_all(&mut self) -> Outcome<()> {
        let sql = "SELECT rows FROM partition WHERE number = ?1";
        let rows = self.target.query_row(sql, [self.number], |row| row.get(0)).optional()?;
        self.seen.expected.extend(rows.map(|rows| (self.number, rows)));
        Ok(())
    }

    /// What a start had not brought into runs yet: copied as it lies, then brought into them.
    fn rows(&mut self) -> Outcome<()> {
        let number = self.number;
        if !convert::has(self.source, &format!("record_{number}")).unwrap_or(false) {
            return Ok(());
        }
        self.target.execute_batch(&convert::row_tables(number))?;
        self.table(format!("record_{number}"), |_, row| Ok(convert::is_record(row).then(|| row.to_vec())))?;
        if convert::has(self.source, &format!("event_{number}")).unwrap_or(false) {
            self.table(format!("event_{number}"), |_, row| Ok(Some(row.to_vec())))?;
        }
        while convert::piece(self.target, number, convert::PIECE)? {}
        Ok(())
    }

    fn heads(&mut self) -> Outcome<()> {
        let mut damaged = 0;
        self.table(format!("head_{}", self.number), |_, row| {
            let records = match row {
                [Value::Integer(key), _, _, Value::Blob(head)] => read_head(*key, key_seq(*key), head),
                _ => None,
            };
            // What stands beside the head is in it as well.
            let whole = records.as_deref().and_then(|records| {
                let at = Value::Integer(records.first()?.accepted_at.0);
                Some(vec![row[0].clone(), Value::Integer(len(records.len())), at, row[3].clone()])
            });
            damaged += u64::from(whole.is_none());
            Ok(whole)
        })?;
        if damaged > 0 {
            self.expect_all()?;
        }
        Ok(())
    }

    /// The payloads, each against its checksum; their bytes.
    fn bodies(&mut self) -> Outcome<u64> {
        let kept = "SELECT payload FROM partition WHERE number = ?1";
        if self.target.query_row(kept, [self.number], |row| row.get(0)).optional()? == Some(false) {
            return Ok(0);
        }
        self.table(format!("body_{}", self.number), |_, row| {
            let whole = matches!(row, [Value::Integer(_), Value::Integer(_), Value::Integer(_), Value::Blob(_)]);
            Ok(whole.then(|| row.to_vec()))
        })?;
        self.sift()
    }

    /// Takes out of the copied bodies what is damaged, or has no record.
    fn sift(&mut self) -> Outcome<u64> {
        let (target, number) = (self.target, self.number);
        let mut bytes = 0;
        let mut places = target.prepare(&format!("SELECT key, events, present, body FROM body_{number}"))?;
        let rows = places.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        let rows = rows.collect::<rusqlite::Result<Vec<(i64, i64, i64, Vec<u8>)>>>()?;
        for (place, events, present, body) in rows {
            let Some(mut payloads) = read_body(&body) else {
                self.seen.damaged.extend(place..place.saturating_add(events.clamp(0, len(MAX_EVENTS))));
                target.execute(&format!("DELETE FROM body_{number} WHERE key = ?1"), [place])?;
                continue;
            };
            let span = (place, place.saturating_add(len(payloads.len()) - 1));
            let records = batch::records(target, number, span, usize::MAX)?;
            let mut records: HashMap<Seq, _> = records.into_iter().map(|record| (record.seq, record)).collect();
            for (at, payload) in payloads.iter_mut().enumerate() {
                let key = place + len(at);
                let Some(found) = payload.take() else { continue };
                match records.remove(&key_seq(key)).map(|r| r.with_payload(OrgId(Uuid::nil()), found.bytes.clone())) {
                    Some(event) if checksum(key, &event) == found.crc => {
                        bytes += found.bytes.len() as u64;
                        *payload = Some(found);
                    }
                    Some(_) => drop(self.seen.damaged.insert(key)),
                    None => self.seen.unowned.extend(id_in(&found.bytes).map(|id| (key, id))),
                }
            }
            let left = len(payloads.iter().flatten().count());
            self.repaired.events += uint(left);
            if left == 0 {
                target.execute(&format!("DELETE FROM body_{number} WHERE key = ?1"), [place])?;
            } else if left != present || len(payloads.len()) != events {
                let less =
                    toktra_siem_store::batch::body(payloads.iter().map(|p| p.as_ref().map(|p| (p.crc, &p.bytes[..]))));
                let less = if is_plain(&body) { less } else { packed(less) };
                let sql = format!("UPDATE body_{number} SET events = ?2, present = ?3, body = ?4 WHERE key = ?1");
                target.execute(&sql, params![place, len(payloads.len()), left, less])?;
            }
        }
        Ok(bytes)
    }
}

fn id_in(payload: &Bytes) -> Option<EventId> {
    #[derive(serde::Deserialize)]
    struct Named {
        event_id: Uuid,
    }
    serde_json::from_slice::<Named>(payload).ok().map(|named| EventId(named.event_id))
}

/// Writes the partition's line of the catalogue anew: sealed, its ids still to be indexed, and what it holds of each org.
fn catalogue(target: &Connection, number: i64, bytes: u64) -> Outcome<()> {
    let (mut events, mut times) = (0u64, None::<(i64, i64)>);
    batch::walk(target, number, (i64::MIN, i64::MAX), Order::Up, |_, record| {
        events += 1;
        let at = record.accepted_at.0;
        let (first, last) = times.unwrap_or((at, at));
        times = Some((first.min(at), last.max(at)));
        Ok(ControlFlow::Continue(()))
    })?;
    let (first_at, last_at) = times.unwrap_or_default();
    target.execute(
        "INSERT INTO partition (number, sealed, first_at, last_at, rows, bytes) VALUES (?1, 1, ?2, ?3, ?4, ?5)
         ON CONFLICT (number) DO UPDATE SET sealed = 1, rows = ?4, bytes = ?5, indexed = 0, filter = NULL, packed = 0",
        params![number, first_at, last_at, int(events), int(bytes)],
    )?;
    target.execute(
        &format!(
            "INSERT INTO extent (org, partition, first_seq, last_seq)
             SELECT key >> 40, ?1, min(key) & ?2, max(key + events - 1) & ?2 FROM
                 (SELECT key, events FROM head_{number} UNION ALL SELECT key, events FROM body_{number}) GROUP BY 1
             ON CONFLICT (org, partition) DO UPDATE SET
                 first_seq = min(first_seq, excluded.first_seq), last_seq = max(last_seq, excluded.last_seq), bytes = NULL"
        ),
        params![number, int(MAX_SEQ)],
    )?;
    let payload: Option<bool> =
        target.query_row("SELECT payload FROM partition WHERE number = ?1", [number], |row| row.get(0)).optional()?;
    if payload == Some(false) {
        target.execute_batch(&format!("DROP TABLE body_{number}"))?;
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
    fn keys(&self) -> (i64, i64) {
        (key(self.num, self.first), key(self.num, self.last))
    }

    fn loss(&self, seq: Seq, event_id: Option<EventId>, recorded: bool) -> LostEvent {
        LostEvent { org: self.org, seq, event_id, recorded }
    }
}

/// Names every event that was lost: those without a record, and those that a stream still needs and that have no payload. They are noted as damaged,
/// so that no stream takes them for expired.
pub(super) fn find_lost(target: &Connection, seen: &Seen, repaired: &mut Repaired, now: Timestamp) -> Outcome<()> {
    let mut damaged = seen.damaged.clone();
    let mut note = target.prepare("INSERT OR IGNORE INTO damage (org, seq, found_at) VALUES (?1, ?2, ?3)")?;
    for extent in extents(target)? {
        let known = repaired.lost.len();
        if extent.payloads || !extent.oldest {
            lost_records(target, &extent, seen, repaired)?;
        }
        if extent.payloads {
            lost_payloads(target, &extent, &mut damaged, repaired)?;
        }
        for lost in repaired.lost[known..].iter().filter(|lost| lost.org.is_some()) {
            note.execute(params![extent.num, int(lost.seq.0), now.0])?;
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
    let mut recorded = Vec::new();
    batch::walk(target, extent.partition, extent.keys(), Order::Up, |_, record| {
        recorded.push(record.seq);
        Ok(ControlFlow::Continue(()))
    })?;
    for (from, to) in gaps(recorded, extent.first, extent.last) {
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
    let present = batch::present(target, number, extent.keys())?;
    for (from, to) in gaps(present.into_iter().map(key_seq), extent.first, extent.last) {
        let free = evict::unneeded(target, &all, from, to)?;
        let needed = |seq: &Seq| !free.iter().any(|(a, b)| a <= seq && seq <= b);
        for seq in (from.0..=to.0).map(Seq).filter(needed) {
            damaged.remove(&key(num, seq));
            let at = key(num, seq);
            let record = batch::records(target, number, (at, at), 1)?.pop();
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

/// The sequences from `first` to `last` that are not among `there` (ascending), as first and last.
fn gaps(there: impl IntoIterator<Item = Seq>, first: Seq, last: Seq) -> Vec<(Seq, Seq)> {
    let (mut gaps, mut next) = (Vec::new(), first);
    for seq in there {
        if seq > next {
            gaps.push((next, Seq(seq.0 - 1)));
        }
        next = seq.next();
    }
    if next <= last {
        gaps.push((next, last));
    }
    gaps
}
