//! Everything but the events: configuration, streams, deliveries; and what has to be set right between them where rows are lost.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use toktra_siem_core::accounting::Counts;
use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::delivery::{Delivery, ParkKind};
use toktra_siem_core::ids::{OrgId, Seq};
use toktra_siem_store::backend::{DamagedTable, Repaired};
use toktra_siem_store::rules::count;

use super::super::codec::{Word, json, uint, uuid};
use super::super::fault::Outcome;
use super::super::streams::{self, StreamRow};
use super::super::{connectors, rows};
use super::salvage::Table;

/// Copies the tables of the layout, as far as they can be read; the index of ids is made anew by the next start.
pub(super) fn copy_tables(source: &Connection, target: &Connection, repaired: &mut Repaired) -> Outcome<()> {
    let names: Vec<String> = target
        .prepare(
            "SELECT name FROM sqlite_master
             WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'ids#_%' ESCAPE '#' ORDER BY name",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for name in names {
        let table = Table::of(target, &name)?;
        let mut insert = target.prepare(&table.insert())?;
        let mut saved = 0;
        let places = table.read(source, |row| {
            saved += insert.execute(params_from_iter(row))? as u64;
            Ok(())
        })?;
        if places > 0 {
            repaired.tables.push(DamagedTable { name, saved, places });
        }
    }
    keep_numbers_used(source, target)
}

/// Numbers that were given to what is gone by now are not given again.
fn keep_numbers_used(source: &Connection, target: &Connection) -> Outcome<()> {
    let Ok(mut statement) = source.prepare("SELECT name, seq FROM sqlite_sequence") else { return Ok(()) };
    let Ok(rows) = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))) else {
        return Ok(());
    };
    for (name, used) in rows.map_while(Result::ok) {
        let raised =
            target.execute("UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1", params![name, used])?;
        if raised == 0 {
            target.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", params![name, used])?;
        }
    }
    Ok(())
}

/// Sets each org's head to the highest sequence that anything speaks of, so that none is given again.
pub(super) fn settle_heads(target: &Connection) -> Outcome<HashMap<OrgId, (i64, Seq)>> {
    let orgs: Vec<(i64, [u8; 16])> = target
        .prepare("SELECT num, id FROM org")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut heads = HashMap::new();
    for (num, id) in orgs {
        let head: i64 = target.query_row(
            "SELECT max(
                 (SELECT head FROM org WHERE num = ?1),
                 (SELECT coalesce(max(last_seq), 0) FROM extent WHERE org = ?1),
                 (SELECT coalesce(max(cursor), 0) FROM stream WHERE org = ?1),
                 (SELECT coalesce(max(to_seq), 0) FROM backlog_range WHERE stream IN (SELECT num FROM stream WHERE org = ?1)),
                 (SELECT coalesce(max(last_seq), 0) FROM delivery WHERE stream IN (SELECT num FROM stream WHERE org = ?1)))",
            [num],
            |row| row.get(0),
        )?;
        let newest: i64 = target.query_row(
            "SELECT coalesce(max(last_at), 0) FROM partition WHERE number IN (SELECT partition FROM extent WHERE org = ?1)",
            [num],
            |row| row.get(0),
        )?;
        target.execute(
            "UPDATE org SET head = ?2, accepted_at = max(accepted_at, ?3) WHERE num = ?1",
            params![num, head, newest],
        )?;
        extend_to(target, num, head)?;
        heads.insert(OrgId(uuid(id)), (num, Seq(uint(head))));
    }
    Ok(heads)
}

/// What lies between the org's last extent and its head was in the newest partition.
fn extend_to(target: &Connection, org: i64, head: i64) -> Outcome<()> {
    let last: i64 =
        target.query_row("SELECT coalesce(max(last_seq), 0) FROM extent WHERE org = ?1", [org], |row| row.get(0))?;
    let newest: Option<i64> =
        target.query_row("SELECT max(number) FROM partition", [], |row| row.get(0)).optional()?.flatten();
    let Some(newest) = newest.filter(|_| last > 0 && last < head) else { return Ok(()) };
    target.execute(
        "INSERT INTO extent (org, partition, first_seq, last_seq) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (org, partition) DO UPDATE SET last_seq = excluded.last_seq",
        params![org, newest, last + 1, head],
    )?;
    Ok(())
}

/// A connector whose streams were lost gets new ones, from now on; a stream whose connector was lost ends.
pub(super) fn restore_streams(target: &Connection, heads: &HashMap<OrgId, (i64, Seq)>) -> Outcome<()> {
    let (breaker, counts) = (json(&Breaker::default())?, json(&Counts::default())?);
    for record in connectors::records(target, None)? {
        let Some((num, head)) = heads.get(&record.connector.org) else { continue };
        for id in record.connector.streams() {
            if streams::find(target, id)?.is_none_or(|stream| stream.removed) {
                streams::create(target, id, *num, *head, &breaker, &counts)?;
            }
        }
    }
    target.execute("UPDATE stream SET removed = 1 WHERE connector NOT IN (SELECT id FROM connector)", [])?;
    Ok(())
}

/// Counts as expired what is counted as pending, failed or rejected although the row that would end it is lost.
pub(super) fn balance(target: &Connection) -> Outcome<u64> {
    let nums: Vec<i64> = target
        .prepare("SELECT num FROM stream WHERE removed = 0")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut expired = 0;
    for num in nums {
        let Some(mut stream) = streams::by_number(target, num)? else { continue };
        let before = stream.counts.expired;
        let (pending, failed, rejected) = (
            pending(target, &stream)?,
            parked(target, num, ParkKind::Failed)?,
            parked(target, num, ParkKind::Rejected)?,
        );
        let Counts { expired: gone, pending: in_flight, failed: waiting, rejected: refused, .. } = &mut stream.counts;
        for (counted, there) in [(in_flight, pending), (waiting, failed), (refused, rejected)] {
            *gone += (*counted - there).max(0);
            *counted = there.min(*counted);
        }
        expired += uint(stream.counts.expired - before);
        stream.store(target)?;
    }
    Ok(expired)
}

fn pending(target: &Connection, stream: &StreamRow) -> Outcome<i64> {
    let open: u64 = rows::pending(target, stream)?.iter().filter(|d| d.accounted).map(Delivery::events).sum();
    let apart: u64 = rows::ranges(target, stream.num)?.iter().map(|range| range.cursor.until(range.to)).sum();
    Ok(count(open + apart))
}

fn parked(target: &Connection, stream: i64, kind: ParkKind) -> Outcome<i64> {
    let sql = "SELECT coalesce(sum(events), 0) FROM parked WHERE stream = ?1 AND kind = ?2 AND state = 0";
    Ok(target.query_row(sql, params![stream, kind.number()], |row| row.get(0))?)
}
