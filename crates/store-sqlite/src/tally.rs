//! How many events there were of each type and severity, for telling what a filter would do.
//!
//! A sealed partition never gains an event, so it is counted once, when its lookup table is made, and the counts are kept. Only the open
//! partition and the one in which the asked-for time begins are walked through: that bounds the time, however much is stored, and costs
//! an insert nothing. A partition that was sealed by an earlier version is counted the first time somebody asks.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use rusqlite::{Connection, OptionalExtension, params};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::Seq;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::events::EventRecord;
use toktra_siem_store::insight::{Preview, Tallied};

use super::batch::{self, Order};
use super::codec::{MAX_SEQ, Word, int, key, keys_of, uint};
use super::engine::Engine;
use super::fault::Outcome;
use super::read::{self, OrgRef};

/// Partitions that are walked through for the sample. More would be needed only where what matches is rare.
const WALKED: usize = 4;
/// Rows written in one turn of the writer.
pub(super) const PIECE: usize = 1024;

/// How many events, by type and severity.
type Counts = BTreeMap<(EventType, Severity), u64>;

/// A row of the table: org, type, severity, events.
pub(super) type Row = (i64, i64, i64, u64);

/// A partition's counts that are not kept yet.
pub(super) struct Uncounted {
    /// Which.
    pub(super) partition: i64,
    /// Its rows.
    pub(super) rows: Vec<Row>,
}

/// The part of a partition that is asked about.
struct Part {
    number: i64,
    first: Seq,
    last: Seq,
    counts: Counts,
}

/// What was accepted since `since`, with a sample of what `filter` forwards, and the counts that had to be made anew.
pub(super) fn preview(
    conn: &Connection,
    org: OrgRef,
    since: Timestamp,
    filter: &Filter,
    sample: usize,
) -> Outcome<(Preview, Vec<Uncounted>)> {
    let (parts, uncounted) = parts(conn, org.num, since)?;
    let mut all = Counts::new();
    for (what, events) in parts.iter().flat_map(|part| &part.counts) {
        *all.entry(*what).or_default() += events;
    }
    let tallied = |((event_type, severity), events)| Tallied { event_type, severity, events };
    let mut found = Vec::new();
    let forwards = |what: &(EventType, Severity)| filter.refuses(what.0, what.1).is_none();
    for part in parts.iter().filter(|part| part.counts.keys().any(forwards)).take(WALKED) {
        newest(conn, org.num, part, filter, sample, &mut found)?;
    }
    let mut with_payload = Vec::with_capacity(found.len());
    for record in found {
        let payload = read::payload(conn, org, record.seq)?;
        with_payload.push((record, payload));
    }
    Ok((Preview { tallied: all.into_iter().map(tallied).collect(), sample: with_payload }, uncounted))
}

/// The parts of partitions that hold the org's events since `since`, the newest first.
fn parts(conn: &Connection, org: i64, since: Timestamp) -> Outcome<(Vec<Part>, Vec<Uncounted>)> {
    let (mut parts, mut uncounted) = (Vec::new(), Vec::new());
    let open: Option<i64> = conn
        .prepare_cached("SELECT number FROM partition WHERE sealed = 0")?
        .query_row([], |row| row.get(0))
        .optional()?;
    if let Some(number) = open {
        parts.push(walk(conn, org, number, since)?);
    }
    let mut statement = conn.prepare_cached(
        "SELECT p.number, p.first_at, p.tallied, e.first_seq, e.last_seq FROM extent e JOIN partition p ON p.number = e.partition
         WHERE e.org = ?1 AND p.last_at >= ?2 ORDER BY p.number DESC",
    )?;
    let mut rows = statement.query(params![org, since.0])?;
    while let Some(row) = rows.next()? {
        let (number, first_at, tallied): (i64, i64, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if first_at < since.0 {
            parts.push(walk(conn, org, number, since)?);
            continue;
        }
        let counts = if tallied {
            kept(conn, org, number)?
        } else {
            let rows = count(conn, number)?;
            let counts = counts(rows.iter().filter(|row| row.0 == org))?;
            uncounted.push(Uncounted { partition: number, rows });
            counts
        };
        parts.push(Part { number, first: Seq(uint(row.get(3)?)), last: Seq(uint(row.get(4)?)), counts });
    }
    Ok((parts, uncounted))
}

fn kept(conn: &Connection, org: i64, number: i64) -> Outcome<Counts> {
    let mut statement =
        conn.prepare_cached("SELECT org, event_type, severity, events FROM tally WHERE org = ?1 AND partition = ?2")?;
    let rows = statement
        .query_map(params![org, number], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, uint(row.get(3)?))))?
        .collect::<rusqlite::Result<Vec<Row>>>()?;
    counts(rows.iter())
}

fn counts<'a>(rows: impl Iterator<Item = &'a Row>) -> Outcome<Counts> {
    rows.map(|(_, event_type, severity, events)| {
        Ok(((EventType::from_number(*event_type)?, Severity::from_number(*severity)?), *events))
    })
    .collect()
}

/// Counts what a partition holds of an org since `since`. Acceptance times rise along the keys of an org.
fn walk(conn: &Connection, org: i64, number: i64, since: Timestamp) -> Outcome<Part> {
    let first = batch::accepted_since(conn, number, keys_of(org), since)?;
    let counts = match first {
        Some(first) => {
            let rows = count_between(conn, number, (key(org, first), keys_of(org).1))?;
            counts(rows.iter())?
        }
        None => Counts::new(),
    };
    Ok(Part { number, first: first.unwrap_or(Seq(MAX_SEQ)), last: Seq(MAX_SEQ), counts })
}

/// Counts a whole partition, by org.
pub(super) fn count(conn: &Connection, number: i64) -> Outcome<Vec<Row>> {
    count_between(conn, number, (i64::MIN, i64::MAX))
}

fn count_between(conn: &Connection, number: i64, keys: (i64, i64)) -> Outcome<Vec<Row>> {
    let (mut counts, mut of_one) = (Vec::new(), BTreeMap::<(i64, i64), u64>::new());
    let mut present = None;
    batch::walk(conn, number, keys, Order::Up, |org, record| {
        if present != Some(org) {
            flush(&mut counts, present, &mut of_one);
            present = Some(org);
        }
        *of_one.entry((record.event_type.number(), record.severity.number())).or_default() += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    flush(&mut counts, present, &mut of_one);
    Ok(counts)
}

fn flush(counts: &mut Vec<Row>, org: Option<i64>, of_one: &mut BTreeMap<(i64, i64), u64>) {
    let rows = std::mem::take(of_one).into_iter();
    counts.extend(rows.filter_map(|((event_type, severity), events)| Some((org?, event_type, severity, events))));
}

/// Adds the newest events of `part` that `filter` forwards, until there are `sample`.
fn newest(
    conn: &Connection,
    org: i64,
    part: &Part,
    filter: &Filter,
    sample: usize,
    found: &mut Vec<EventRecord>,
) -> Outcome<()> {
    if found.len() >= sample {
        return Ok(());
    }
    batch::walk(conn, part.number, (key(org, part.first), key(org, part.last)), Order::Down, |_, record| {
        if filter.refuses(record.event_type, record.severity).is_none() {
            found.push(record);
        }
        Ok(if found.len() < sample { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })
}

impl Engine {
    /// Keeps a piece of a sealed partition's counts; with the last piece they are complete.
    pub(super) fn add_tally(&mut self, number: i64, rows: &[Row], last: bool) -> Outcome<()> {
        let there = "SELECT 1 FROM partition WHERE number = ?1 AND sealed = 1";
        if !self.conn.prepare_cached(there)?.exists([number])? {
            return Ok(());
        }
        let mut statement = self.conn.prepare_cached(
            "INSERT OR REPLACE INTO tally (partition, org, event_type, severity, events) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for (org, event_type, severity, events) in rows {
            statement.execute(params![number, org, event_type, severity, int(*events)])?;
        }
        if last {
            self.conn.prepare_cached("UPDATE partition SET tallied = 1 WHERE number = ?1")?.execute([number])?;
        }
        Ok(())
    }
}

/// Forgets the counts of a partition whose records are about to go.
pub(super) fn forget(conn: &Connection, number: i64) -> Outcome<()> {
    conn.prepare_cached("DELETE FROM tally WHERE partition = ?1")?.execute([number])?;
    conn.prepare_cached("UPDATE partition SET tallied = 0 WHERE number = ?1 AND tallied = 1")?.execute([number])?;
    Ok(())
}
