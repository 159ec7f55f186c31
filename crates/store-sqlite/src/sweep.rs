//! The rest of retention: settled deliveries with all that hangs on them, and what is left of orgs that were removed.

use rusqlite::{OptionalExtension, params};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::error::Result;
use toktra_siem_store::events::{Expired, Retention};

use super::batch::{self, Table};
use super::codec::{int, keys_of};
use super::damage;
use super::engine::Engine;
use super::expire::{OldDelivery, ROWS, Turn, old_deliveries};
use super::fault::Outcome;
use super::streams::{self, StreamRow};
use super::{Sqlite, causes, jobs};

/// Streams looked at in one turn of the writer.
const STREAMS: i64 = 64;

/// Removes settled deliveries and ended jobs that have outlived the history: at most a piece from each stream.
pub(super) async fn deliveries(store: &Sqlite, retention: Retention, total: &mut Expired) -> Result<()> {
    let mut after = Some(0);
    while let Some(from) = after {
        let (next, gone, more) =
            store.writer.call("removing old deliveries", move |engine| sweep_streams(engine, from, retention)).await?;
        total.deliveries += gone;
        total.more |= more;
        after = next;
    }
    let before = retention.history_before;
    let gone = store.writer.call("removing old jobs", move |engine| jobs::sweep(&engine.conn, before, ROWS)).await?;
    total.more |= gone == ROWS;
    let gone = store.writer.call("removing old audit entries", move |engine| sweep_audit(engine, before)).await?;
    total.more |= gone == ROWS;
    let gone =
        store.writer.call("removing old causes", move |engine| causes::sweep(&engine.conn, before, ROWS)).await?;
    total.more |= gone == ROWS;
    Ok(())
}

/// The audit log lives as long as the history. Its numbers follow time, so that the oldest rows are found without an index.
fn sweep_audit(engine: &mut Engine, before: Timestamp) -> Outcome<usize> {
    let oldest = "DELETE FROM audit WHERE num IN (SELECT num FROM audit ORDER BY num LIMIT ?1) AND at < ?2";
    Ok(engine.conn.prepare_cached(oldest)?.execute(params![super::codec::len(ROWS), before.0])?)
}

fn sweep_streams(engine: &mut Engine, after: i64, retention: Retention) -> Outcome<(Option<i64>, u64, bool)> {
    let nums: Vec<i64> = engine
        .conn
        .prepare_cached("SELECT num FROM stream WHERE num > ?1 ORDER BY num LIMIT ?2")?
        .query_map(params![after, STREAMS], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let (mut gone, mut more) = (0, false);
    for num in &nums {
        let Some(stream) = streams::by_number(&engine.conn, *num)? else { continue };
        let old = old_deliveries(&engine.conn, &stream, retention.history_before)?;
        for delivery in &old {
            remove_delivery(engine, &stream, delivery)?;
        }
        gone += old.len() as u64;
        more |= old.len() == ROWS;
        if old.len() < ROWS {
            tidy(engine, &stream)?;
        }
    }
    let next = nums.last().copied().filter(|_| super::codec::len(nums.len()) == STREAMS);
    Ok((next, gone, more))
}

fn remove_delivery(engine: &Engine, stream: &StreamRow, delivery: &OldDelivery) -> Outcome<()> {
    let conn = &engine.conn;
    for sql in [
        "DELETE FROM attempt WHERE stream = ?1 AND delivery = ?2",
        "DELETE FROM test_event WHERE stream = ?1 AND delivery = ?2",
    ] {
        conn.prepare_cached(sql)?.execute(params![stream.num, delivery.id])?;
    }
    conn.prepare_cached("DELETE FROM delivery WHERE stream = ?1 AND id = ?2")?
        .execute(params![stream.num, delivery.id])?;
    if let (Some(first), Some(last)) = (delivery.first, delivery.last) {
        conn.prepare_cached("DELETE FROM parked WHERE stream = ?1 AND seq BETWEEN ?2 AND ?3 AND state > 1")?
            .execute(params![stream.num, first, last])?;
    }
    Ok(())
}

/// Gaps that nobody asks about any more; and a removed connector's stream once its history is gone.
fn tidy(engine: &Engine, stream: &StreamRow) -> Outcome<()> {
    let conn = &engine.conn;
    conn.prepare_cached("DELETE FROM gap WHERE stream = ?1 AND to_seq <= ?2")?
        .execute(params![stream.num, int(stream.archived_to.0)])?;
    damage::forget_outcomes(conn, stream.num, stream.archived_to)?;
    if !stream.removed
        || conn.prepare_cached("SELECT 1 FROM delivery WHERE stream = ?1 LIMIT 1")?.exists([stream.num])?
    {
        return Ok(());
    }
    for sql in [
        "DELETE FROM parked WHERE stream = ?1",
        "DELETE FROM gap WHERE stream = ?1",
        "DELETE FROM damage_outcome WHERE stream = ?1",
        "DELETE FROM stream WHERE num = ?1",
    ] {
        conn.prepare_cached(sql)?.execute([stream.num])?;
    }
    Ok(())
}

/// Removes a piece of what an org left behind that was removed.
pub(super) fn purge_org(engine: &mut Engine, _: Retention, done: &mut Expired) -> Outcome<Turn> {
    let conn = &engine.conn;
    let org: Option<i64> = conn.query_row("SELECT num FROM removed_org LIMIT 1", [], |row| row.get(0)).optional()?;
    let Some(org) = org else { return Ok(Turn::Idle) };
    let partitions: Vec<(i64, bool)> = conn
        .prepare_cached("SELECT number, payload FROM partition ORDER BY number")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (number, payload) in partitions {
        engine.looks_into(number);
        if engine.is_damaged(number) {
            continue;
        }
        if payload {
            let gone = batch::delete_rows(&engine.conn, number, Table::Bodies, keys_of(org), ROWS)?;
            engine.resized(number, &gone.growth)?;
            done.payloads += gone.events;
            if gone.events > 0 {
                return Ok(Turn::More);
            }
        }
        let gone = batch::delete_rows(&engine.conn, number, Table::Heads, keys_of(org), ROWS)?;
        engine.resized(number, &gone.growth)?;
        done.records += gone.events;
        if gone.events > 0 {
            return Ok(Turn::More);
        }
    }
    if purge_streams(engine, org)? == Turn::More {
        return Ok(Turn::More);
    }
    engine.conn.execute("DELETE FROM extent WHERE org = ?1", [org])?;
    engine.forget_sizes_of(org);
    engine.conn.execute("DELETE FROM tally WHERE org = ?1", [org])?;
    engine.conn.execute("DELETE FROM damage WHERE org = ?1", [org])?;
    engine.conn.execute("DELETE FROM removed_org WHERE num = ?1", [org])?;
    Ok(Turn::More)
}

fn purge_streams(engine: &Engine, org: i64) -> Outcome<Turn> {
    let conn = &engine.conn;
    let nums: Vec<i64> = conn
        .prepare_cached("SELECT num FROM stream WHERE org = ?1")?
        .query_map([org], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for num in nums {
        for (table, key) in [
            ("attempt", "delivery"),
            ("test_event", "delivery"),
            ("delivery", "id"),
            ("parked", "seq"),
            ("traffic", "at"),
        ] {
            let sql = format!(
                "DELETE FROM {table} WHERE stream = ?1 AND {key} IN (SELECT {key} FROM {table} WHERE stream = ?1 LIMIT ?2)"
            );
            if conn.prepare_cached(&sql)?.execute(params![num, super::codec::len(ROWS)])? > 0 {
                return Ok(Turn::More);
            }
        }
        for sql in [
            "DELETE FROM gap WHERE stream = ?1",
            "DELETE FROM damage_outcome WHERE stream = ?1",
            "DELETE FROM backlog_range WHERE stream = ?1",
            "DELETE FROM stream WHERE num = ?1",
        ] {
            conn.prepare_cached(sql)?.execute([num])?;
        }
    }
    Ok(Turn::Idle)
}
