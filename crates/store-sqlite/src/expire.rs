//! Retention. Each piece is one short turn of the writer; what is undelivered is accounted for before its payload goes.
//!
//! In order: what is left of removed orgs, payloads of old partitions, payloads that have to make room, compact records of older ones, traffic, free pages, settled
//! deliveries.
//! A partition goes as a whole, once its youngest event is old enough and nothing of it is in flight; a pending delivery that lies still is
//! given up, so that no connector can keep the payloads of all orgs. One of which a page is damaged goes as far as it can be read, and is
//! forgotten when its time has come; what is left of it takes its room until a repair.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use toktra_siem_core::accounting::Counts;
use toktra_siem_core::delivery::ParkKind;
use toktra_siem_core::ids::{OrgId, Seq};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::deliveries::{Lease, Passed};
use toktra_siem_store::error::{Result, StoreError};
use toktra_siem_store::events::{Expired, Retention};
use toktra_siem_store::in_flight::{give_up, is_in_flight};
use toktra_siem_store::rules::count;
use toktra_siem_store::rules::time::STEP;

use super::batch::{self, Removed, Table};
use super::codec::{from_json, int, json, len, uint};
use super::damage;
use super::deliveries::expire_one;
use super::engine::Engine;
use super::fault::Outcome;
use super::partition::youngest;
use super::streams::{self, StreamRow};
use super::{Sqlite, evict, ids, recount, rows, settle, sweep, tally, traffic};

/// Rows, or events, deleted in one turn: about 1 ms of the writer's time.
pub(super) const ROWS: usize = 500;
/// The keys of all orgs.
const ALL: (i64, i64) = (i64::MIN, i64::MAX);
/// Sequences accounted for in one turn.
const SEQUENCES: u64 = 2000;
/// Turns of each kind in one call.
const TURNS: usize = 32;
/// Free pages given back to the disk in one turn.
const PAGES: u32 = 256;

/// Stands for the file as a whole, where one says what it looks into.
const NO_PARTITION: i64 = -1;

/// How often it is noted how far time has passed.
const NOTED_EVERY: Duration = Duration::from_mins(5);

/// What a turn did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// There is nothing to do (now).
    Idle,
    /// There may be more of it.
    More,
}

const REMOVING: &str = "removing what is old";

type Work = fn(&mut Engine, Retention, &mut Expired) -> Outcome<Turn>;

/// Does a bounded piece of retention.
pub(super) async fn run(store: &Sqlite, retention: Retention) -> Result<Expired> {
    let mut total = Expired::default();
    if let Err(error) = store.writer.call("noting the time", |engine| Ok(engine.note_seen(NOTED_EVERY)?)).await {
        tracing::warn!(%error, "how far time has passed could not be noted");
    }
    let kinds: [Work; 6] = [sweep::purge_org, expire_payloads, evict::evict, expire_records, traffic::expire, vacuum];
    let mut damaged = None;
    for work in kinds {
        let mut turns = 0;
        while turns < TURNS {
            match turn(store, retention, work, &mut total).await {
                Ok(Turn::More) => turns += 1,
                Ok(Turn::Idle) => break,
                // What cannot be read keeps nothing else. The partition is passed by from now on.
                Err(error @ StoreError::Damaged(_)) => {
                    if !store.writer.call(REMOVING, |engine| Ok(engine.note_damaged())).await? {
                        damaged = damaged.or(Some(error));
                        break;
                    }
                    turns += 1;
                }
                Err(error) => return Err(error),
            }
        }
        total.more |= turns == TURNS;
    }
    sweep::deliveries(store, retention, &mut total).await?;
    damaged.map_or(Ok(total), Err)
}

async fn turn(store: &Sqlite, retention: Retention, work: Work, total: &mut Expired) -> Result<Turn> {
    let (turn, done) = store
        .writer
        .call(REMOVING, move |engine| {
            let mut done = Expired::default();
            engine.looked_into = None;
            let turn = work(engine, retention, &mut done)?;
            Ok((turn, done))
        })
        .await?;
    total.payloads += done.payloads;
    total.undelivered += done.undelivered;
    total.evicted += done.evicted;
    total.records += done.records;
    total.traffic += done.traffic;
    Ok(turn)
}

/// The oldest partition that still has payloads, if all of its events are from before `before`: number, and whether it is accounted for.
fn oldest_payloads(engine: &Engine, before: Timestamp) -> Outcome<Option<(i64, bool)>> {
    let sql = "SELECT number, accounted FROM partition WHERE sealed = 1 AND payload = 1 ORDER BY number LIMIT 1";
    let oldest =
        engine.conn.prepare_cached(sql)?.query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?))).optional()?;
    let Some((number, accounted)) = oldest else { return Ok(None) };
    Ok(is_before(engine, number, before)?.then_some((number, accounted)))
}

/// Whether all events of the partition are from before that time, whatever wrong clock has written theirs.
fn is_before(engine: &Engine, number: i64, before: Timestamp) -> Outcome<bool> {
    let all = youngest(&engine.conn, engine.now())?;
    let old = all.iter().any(|(there, youngest)| *there == number && *youngest < before);
    // Of a partition that cannot be read, nothing else is known.
    Ok(old && (engine.is_damaged(number) || !is_younger_than_it_says(&engine.conn, number)?))
}

/// Whether the catalogue says that a partition is older than its runs are: one flipped bit there must not expire what waits. Then it is set right.
fn is_younger_than_it_says(conn: &Connection, number: i64) -> Outcome<bool> {
    let newest = conn.query_row(&format!("SELECT max(accepted_at) FROM head_{number}"), [], |row| row.get(0));
    // If a page cannot be read, whatever is done next meets it, and says so.
    let Ok(Some(newest)) = newest else { return Ok(false) };
    // By a clock that was set back a little, a single event may be that much younger.
    let right = "UPDATE partition SET last_at = ?2 WHERE number = ?1 AND last_at < ?3";
    let least = Timestamp(newest).minus(STEP);
    let damaged = conn.prepare_cached(right)?.execute(params![number, newest, least.0])? > 0;
    if damaged {
        tracing::error!(
            partition = number,
            "the time of a part of the log was damaged: it is taken from its events; check the disk"
        );
    }
    Ok(damaged)
}

/// The oldest partition, where its payloads are gone and all of its events are from before `before`. Later ones may have lost theirs to the disk
/// budget, but what became of events is archived in the order of the log.
fn oldest_records(engine: &Engine, before: Timestamp) -> Outcome<Option<i64>> {
    let sql = "SELECT number, payload FROM partition WHERE sealed = 1 ORDER BY number LIMIT 1";
    let oldest = engine.conn.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get::<_, bool>(1)?)));
    match oldest.optional()? {
        Some((number, false)) => Ok(is_before(engine, number, before)?.then_some(number)),
        _ => Ok(None),
    }
}

fn expire_payloads(engine: &mut Engine, retention: Retention, done: &mut Expired) -> Outcome<Turn> {
    seal_if_old(engine, retention.payloads_before)?;
    let Some((number, accounted)) = oldest_payloads(engine, retention.payloads_before)? else {
        return Ok(Turn::Idle);
    };
    engine.looks_into(number);
    if !accounted {
        return account(engine, number, done);
    }
    let damaged = engine.is_damaged(number);
    let gone = delete_rows(engine, number, Table::Bodies)?;
    done.payloads += gone.events;
    if !gone.more {
        if damaged {
            tell_left(number, "body");
        } else {
            engine.conn.execute_batch(&format!("DROP TABLE body_{number}"))?;
        }
        engine.conn.execute("UPDATE partition SET payload = 0 WHERE number = ?1", [number])?;
    }
    Ok(Turn::More)
}

/// Deletes the first rows of a partition's table; nothing of one that cannot be read.
fn delete_rows(engine: &mut Engine, number: i64, table: Table) -> Outcome<Removed> {
    if engine.is_damaged(number) {
        return Ok(Removed::default());
    }
    let gone = batch::delete_rows(&engine.conn, number, table, ALL, ROWS)?;
    engine.resized(number, &gone.growth)?;
    Ok(gone)
}

impl Engine {
    /// Says which partition is looked into: where a page of it cannot be read, the group is lost, and it is known which one it was.
    pub(super) fn looks_into(&mut self, number: i64) {
        self.looked_into = Some(number);
    }

    /// Whether a page of the partition could not be read since the start.
    pub(super) fn is_damaged(&self, number: i64) -> bool {
        self.damaged.contains(&number)
    }

    /// Remembers that the partition that was looked into last cannot be read; false where that was known, or none was.
    fn note_damaged(&mut self) -> bool {
        self.looked_into.take().is_some_and(|number| self.damaged.insert(number))
    }
}

/// A damaged table stays, since SQLite cannot remove what it cannot read, and nobody asks for it any more.
fn tell_left(number: i64, kind: &str) {
    tracing::error!(
        partition = number,
        kind,
        "a partition whose time has come cannot be removed, since a page of it is damaged: it is passed by, and takes its room until \
         `toktra-siem repair`"
    );
}

/// An idle store does not roll its partition by appending.
fn seal_if_old(engine: &mut Engine, before: Timestamp) -> Outcome<()> {
    let old = engine.partitions.open.as_ref().is_some_and(|open| open.rows > 0 && open.last_at < before);
    if old {
        engine.seal_early()?;
    }
    Ok(())
}

/// The streams of a partition's orgs, each with the first and last sequence that the partition holds of its org.
fn affected(engine: &Engine, number: i64) -> Outcome<Vec<(StreamRow, Seq, Seq)>> {
    let mut statement =
        engine.conn.prepare_cached("SELECT org, first_seq, last_seq FROM extent WHERE partition = ?1")?;
    let mut extents = statement.query([number])?;
    let mut found = Vec::new();
    while let Some(row) = extents.next()? {
        let (first, last) = (Seq(uint(row.get(1)?)), Seq(uint(row.get(2)?)));
        let all = streams::of_org(&engine.conn, row.get(0)?)?;
        found.extend(all.into_iter().filter(|s| !s.removed).map(|s| (s, first, last)));
    }
    Ok(found)
}

/// Moves what is undelivered to `expired`, a piece at a time; waits where something is in flight. What waits is moved first, so that nothing
/// of the partition can be taken into yet another delivery meanwhile: with many endpoints down, some probe is always on its way.
fn account(engine: &mut Engine, number: i64, done: &mut Expired) -> Outcome<Turn> {
    let damaged = engine.is_damaged(number);
    let (mut left, mut waits) = (SEQUENCES, false);
    for (stream, first, last) in affected(engine, number)? {
        waits |= settle_still(engine, &stream, first, last, done)?;
        let mut stream = streams::by_number(&engine.conn, stream.num)?.unwrap_or(stream);
        let expired_before = stream.counts.expired;
        outlive_waiting(engine, &mut stream, last, damaged, &mut left)?;
        outlive_ranges(engine, &mut stream, last, damaged, &mut left)?;
        outlive_parked(engine, &mut stream, first, last, &mut left)?;
        if stream.counts.expired != expired_before || left < SEQUENCES {
            stream.store(&engine.conn)?;
        }
        done.undelivered += uint(stream.counts.expired - expired_before);
        if left == 0 {
            return Ok(Turn::More);
        }
    }
    if waits {
        return Ok(Turn::Idle);
    }
    close_account(engine, number)?;
    Ok(Turn::More)
}

/// Notes that the partition's payloads may go, and tells those who remember them.
fn close_account(engine: &mut Engine, number: i64) -> Outcome<()> {
    engine.conn.execute("UPDATE partition SET accounted = 1 WHERE number = ?1", [number])?;
    let mut statement = engine.conn.prepare_cached("SELECT org, last_seq FROM extent WHERE partition = ?1")?;
    let by_num: HashMap<i64, OrgId> = engine.orgs.iter().map(|(id, org)| (org.num, *id)).collect();
    let mut extents = statement.query([number])?;
    while let Some(row) = extents.next()? {
        if let Some(org) = by_num.get(&row.get(0)?) {
            engine.effects.gone.push((*org, Seq(uint(row.get(1)?))));
        }
    }
    Ok(())
}

/// Gives up the pending deliveries with events from `first` to `last` that lie still; whether there are others, which are in flight.
fn settle_still(engine: &mut Engine, stream: &StreamRow, first: Seq, last: Seq, done: &mut Expired) -> Outcome<bool> {
    let within = |&(from, events): &(u64, u32)| from <= last.0 && from + u64::from(events) > first.0;
    let (now, lease) = (engine.now(), Lease { stream: stream.id, epoch: stream.epoch });
    let mut waits = false;
    for delivery in rows::pending(&engine.conn, stream)? {
        if !delivery.members.runs().iter().any(within) {
            continue;
        }
        if is_in_flight(&delivery, now) {
            waits = true;
            continue;
        }
        let settlement = give_up(&delivery, last, now);
        settle::settle(engine, &lease, &settlement)?;
        done.undelivered += uint(settlement.counts.expired);
    }
    Ok(waits)
}

/// Counts the events after `from` up to `to` that nothing holds; how many.
fn outlived(conn: &Connection, stream: &mut StreamRow, from: Seq, to: Seq, damaged: bool) -> Outcome<u64> {
    let all = from.until(to);
    if damaged {
        // What the filter says of events whose records cannot be read, nobody knows.
        stream.counts.expired += count(all);
        return Ok(all);
    }
    let filtered = damage::refused(conn, stream, from, to)?;
    damage::pass(conn, stream, (from, to), Passed { filtered, expired: all - filtered }, &[])?;
    Ok(all)
}

fn outlive_waiting(engine: &Engine, stream: &mut StreamRow, last: Seq, damaged: bool, left: &mut u64) -> Outcome<()> {
    let from = stream.cursor;
    let to = Seq(last.0.min(from.0 + *left));
    if to <= from {
        return Ok(());
    }
    let passed = outlived(&engine.conn, stream, from, to, damaged)?;
    stream.cursor = to;
    *left -= passed;
    Ok(())
}

fn outlive_ranges(engine: &Engine, stream: &mut StreamRow, last: Seq, damaged: bool, left: &mut u64) -> Outcome<()> {
    for range in rows::ranges(&engine.conn, stream.num)? {
        let (from, to) = (range.cursor, Seq(range.to.0.min(last.0).min(range.cursor.0 + *left)));
        if to <= from {
            continue;
        }
        let passed = outlived(&engine.conn, stream, from, to, damaged)?;
        rows::advance_range(&engine.conn, &range, to)?;
        stream.counts.pending -= count(passed);
        *left -= passed;
    }
    Ok(())
}

fn outlive_parked(engine: &Engine, stream: &mut StreamRow, first: Seq, last: Seq, left: &mut u64) -> Outcome<()> {
    for kind in [ParkKind::Failed, ParkKind::Rejected] {
        let limit = usize::try_from(*left).unwrap_or(usize::MAX);
        let waiting = rows::waiting(&engine.conn, stream.num, kind, Seq(first.0.saturating_sub(1)), limit)?;
        for parked in waiting.into_iter().take_while(|parked| parked.seq <= last) {
            expire_one(engine, stream, parked.seq)?;
            *left -= 1;
        }
    }
    Ok(())
}

fn expire_records(engine: &mut Engine, retention: Retention, done: &mut Expired) -> Outcome<Turn> {
    let Some(number) = oldest_records(engine, retention.history_before)? else { return Ok(Turn::Idle) };
    engine.looks_into(number);
    let damaged = engine.is_damaged(number);
    if archive(engine, number, damaged)? == Turn::More {
        return Ok(Turn::More);
    }
    tally::forget(&engine.conn, number)?;
    let gone = delete_rows(engine, number, Table::Heads)?;
    done.records += gone.events;
    if !gone.more {
        if !ids::remove(&engine.conn, number, damaged)? {
            return Ok(Turn::More);
        }
        if damaged {
            tell_left(number, "head");
        } else {
            engine.conn.execute_batch(&format!("DROP TABLE head_{number}"))?;
        }
        forget_damage(&engine.conn, number)?;
        engine.forget_sizes(number)?;
        engine.conn.execute("DELETE FROM extent WHERE partition = ?1", [number])?;
        engine.conn.execute("DELETE FROM partition WHERE number = ?1", [number])?;
        engine.partitions.forget(number);
        engine.effects.maps = true;
    }
    Ok(Turn::More)
}

fn forget_damage(conn: &Connection, number: i64) -> Outcome<()> {
    let mut statement = conn.prepare_cached("SELECT org, last_seq FROM extent WHERE partition = ?1")?;
    let mut extents = statement.query([number])?;
    while let Some(row) = extents.next()? {
        damage::forget(conn, row.get(0)?, Seq(uint(row.get(1)?)))?;
    }
    Ok(())
}

/// Writes down what became of the partition's events, since the rows that tell it are about to go.
fn archive(engine: &mut Engine, number: i64, damaged: bool) -> Outcome<Turn> {
    let mut left = SEQUENCES;
    for (mut stream, _, last) in affected(engine, number)? {
        let from = stream.archived_to;
        let to = Seq(last.0.min(from.0 + left));
        if to <= from {
            continue;
        }
        // Where either cannot be read, a recount goes by what the counters have beyond the rows that are left.
        stream.archived = match from_json::<Counts>(&stream.archived) {
            Ok(mut archived) if !damaged => {
                archived += recount::tally(&engine.conn, &stream, from, to)?;
                json(&archived)?
            }
            _ => String::new(),
        };
        stream.archived_to = to;
        stream.store(&engine.conn)?;
        left -= from.until(to);
        if left == 0 {
            return Ok(Turn::More);
        }
    }
    Ok(Turn::Idle)
}

/// Gives free pages back to the disk once they are a quarter of the file: until then new events fill them.
fn vacuum(engine: &mut Engine, _: Retention, _: &mut Expired) -> Outcome<Turn> {
    let get = |name: &str| engine.conn.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    let (free, all) = (get("freelist_count")?, get("page_count")?);
    if free < PAGES || free < all / 4 {
        return Ok(Turn::Idle);
    }
    // A damaged page cannot be moved; new events fill what is free.
    engine.looks_into(NO_PARTITION);
    if engine.is_damaged(NO_PARTITION) {
        return Ok(Turn::Idle);
    }
    engine.conn.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    Ok(Turn::More)
}

/// Settled deliveries that are older than `before`, the oldest first; for present streams only where the outcome of all of their events
/// is archived.
pub(super) fn old_deliveries(conn: &Connection, stream: &StreamRow, before: Timestamp) -> Outcome<Vec<OldDelivery>> {
    let archived_to = if stream.removed { i64::MAX } else { int(stream.archived_to.0) };
    let mut statement = conn.prepare_cached(
        "SELECT id, first_seq, last_seq FROM
             (SELECT id, first_seq, last_seq, settled_at FROM delivery WHERE stream = ?1 ORDER BY id LIMIT ?2)
         WHERE settled_at < ?3 AND coalesce(last_seq, 0) <= ?4",
    )?;
    let rows = statement.query_map(params![stream.num, len(ROWS), before.0, archived_to], |row| {
        Ok(OldDelivery { id: row.get(0)?, first: row.get(1)?, last: row.get(2)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// A delivery that may go.
pub(super) struct OldDelivery {
    /// Its id.
    pub(super) id: [u8; 16],
    /// Its first sequence.
    pub(super) first: Option<i64>,
    /// Its last sequence.
    pub(super) last: Option<i64>,
}
