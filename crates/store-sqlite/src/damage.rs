//! Damaged events: noted once, and counted as such by every stream that had not delivered them.
//!
//! Readers find them ([`super::read`]) and cannot write, so a read that met some has the writer note them before it returns. What a stream
//! counts as damaged stands in a row of its own, since the note alone does not tell whether the stream had come to an end with the event
//! before it was made.

use rusqlite::{Connection, OptionalExtension, params};
use toktra_siem_core::delivery::{ParkKind, Parked};
use toktra_siem_core::ids::{EventId, OrgId, Seq, StreamKind};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::deliveries::{Passed, Unread};
use toktra_siem_store::error::Result;
use toktra_siem_store::events::Damage;
use toktra_siem_store::rules::count;
use toktra_siem_store::rules::parked::{ParkState, leave};

use super::Sqlite;
use super::codec::{int, uint};
use super::engine::Engine;
use super::fate::Teller;
use super::fault::Outcome;
use super::read::{self, OrgRef};
use super::rows;
use super::streams::{self, StreamRow};

/// Events noted in one turn of the writer.
const PIECE: usize = 256;
/// Compact records read at a time.
const RECORDS: usize = 4096;

impl Sqlite {
    /// Reads what may meet damage, and notes what it met before it returns. `work` gives the sequences of damaged events beside its result.
    pub(super) async fn read_noting<T, F>(&self, context: &'static str, org: OrgRef, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &mut Vec<Seq>) -> Outcome<T> + Send + 'static,
    {
        let (found, damaged) = self.find(context, org, work).await?;
        self.note(org, &damaged).await?;
        Ok(found)
    }

    /// The same for what people look at, which is shown even where the writer cannot note anything.
    pub(super) async fn show_noting<T, F>(&self, context: &'static str, org: OrgRef, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &mut Vec<Seq>) -> Outcome<T> + Send + 'static,
    {
        let (found, damaged) = self.find(context, org, work).await?;
        self.note_shown(org, &damaged).await;
        Ok(found)
    }

    pub(super) async fn note_shown(&self, org: OrgRef, damaged: &[Seq]) {
        if let Err(error) = self.note(org, damaged).await {
            tracing::debug!(%error, "damaged events could not be noted yet");
        }
    }

    async fn find<T, F>(&self, context: &'static str, org: OrgRef, work: F) -> Result<(T, Vec<Seq>)>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &mut Vec<Seq>) -> Outcome<T> + Send + 'static,
    {
        let read = move |conn: &Connection| {
            let mut damaged = Vec::new();
            let found = work(conn, &mut damaged)?;
            Ok((found, unnoted(conn, org, damaged)?))
        };
        self.readers.run_for(org.id, context, read).await
    }

    async fn note(&self, org: OrgRef, damaged: &[Seq]) -> Result<()> {
        for piece in damaged.chunks(PIECE) {
            let piece = piece.to_vec();
            self.writer.call("noting damaged events", move |engine| note(engine, org, &piece)).await?;
        }
        Ok(())
    }
}

/// Of these damaged events those that are not noted, or are parked although they are. Hardly ever is there any event to look for.
pub(super) fn unnoted(conn: &Connection, org: OrgRef, damaged: Vec<Seq>) -> Outcome<Vec<Seq>> {
    let mut left = Vec::new();
    for seq in damaged {
        if !is_noted(conn, org.num, seq)? || !parked_in(conn, org.num, seq)?.is_empty() {
            left.push(seq);
        }
    }
    Ok(left)
}

/// Notes damaged events, and counts each as damaged in the streams in which it is parked.
fn note(engine: &mut Engine, org: OrgRef, damaged: &[Seq]) -> Outcome<()> {
    let now = engine.now();
    for seq in damaged {
        let new = engine
            .conn
            .prepare_cached(
                "INSERT OR IGNORE INTO damage (org, seq, found_at) SELECT num, ?2, ?3 FROM org WHERE num = ?1",
            )?
            .execute(params![org.num, int(seq.0), now.0])?;
        if new > 0 {
            engine.effects.damaged.push((org.id, *seq, id_of(&engine.conn, org.num, *seq)?));
        }
        for mut stream in parked_in(&engine.conn, org.num, *seq)? {
            end_parked(&engine.conn, &mut stream, *seq)?;
            stream.store(&engine.conn)?;
        }
    }
    Ok(())
}

fn id_of(conn: &Connection, org: i64, seq: Seq) -> Outcome<Option<EventId>> {
    Ok(read::records(conn, org, seq, seq, 1)?.pop().map(|record| record.event_id))
}

/// What the log says of one, once.
pub(super) fn log(org: OrgId, seq: Seq, event_id: Option<EventId>) {
    tracing::error!(
        %org,
        sequence = seq.0,
        event_id = event_id.map(tracing::field::display),
        "a stored event does not match its checksum any more, or is gone: it is set aside as damaged, and all others flow; check the disk, and have the \
         producer send the event again under a new id"
    );
}

fn is_noted(conn: &Connection, org: i64, seq: Seq) -> Outcome<bool> {
    let sql = "SELECT 1 FROM damage WHERE org = ?1 AND seq = ?2";
    Ok(conn.prepare_cached(sql)?.exists(params![org, int(seq.0)])?)
}

/// The org's present streams in which the event waits as parked. A window is sent by its tally and needs no payload.
fn parked_in(conn: &Connection, org: i64, seq: Seq) -> Outcome<Vec<StreamRow>> {
    let mut found = Vec::new();
    for stream in streams::of_org(conn, org)? {
        let waits = rows::parked_row(conn, stream.num, seq)?.is_some_and(|row| row.state == ParkState::Waiting);
        if waits && !stream.removed && stream.id.kind != StreamKind::Metrics {
            found.push(stream);
        }
    }
    Ok(found)
}

fn end_parked(conn: &Connection, stream: &mut StreamRow, seq: Seq) -> Outcome<()> {
    let Some(row) = rows::parked_row(conn, stream.num, seq)? else { return Ok(()) };
    leave(&mut stream.counts, &row.parked);
    stream.counts.damaged += count(row.parked.events);
    rows::set_parked(conn, stream.num, seq, ParkState::Expired, None)?;
    keep(conn, stream, seq)
}

/// Of a parked event that is to be counted as expired: counts it as damaged instead where it is known to be so. The caller stores the row.
pub(super) fn ends_parked(conn: &Connection, stream: &mut StreamRow, seq: Seq) -> Outcome<bool> {
    let damaged = stream.id.kind != StreamKind::Metrics && is_noted(conn, stream.org_num, seq)?;
    if damaged {
        end_parked(conn, stream, seq)?;
    }
    Ok(damaged)
}

/// Keeps that the stream counts the event as damaged, which is noted.
fn keep(conn: &Connection, stream: &StreamRow, seq: Seq) -> Outcome<()> {
    let sql = "INSERT OR IGNORE INTO damage_outcome (stream, seq, found_at)
               SELECT ?1, seq, found_at FROM damage WHERE org = ?2 AND seq = ?3";
    conn.prepare_cached(sql)?.execute(params![stream.num, stream.org_num, int(seq.0)])?;
    Ok(())
}

/// Notes an event whose delivery cannot be read, and that the stream counts it as damaged. The caller counts it.
pub(super) fn set_aside(conn: &Connection, stream: &StreamRow, seq: Seq, now: Timestamp) -> Outcome<()> {
    conn.prepare_cached("INSERT OR IGNORE INTO damage (org, seq, found_at) VALUES (?1, ?2, ?3)")?.execute(params![
        stream.org_num,
        int(seq.0),
        now.0
    ])?;
    keep(conn, stream, seq)
}

/// Whether the stream counts the event as damaged.
pub(super) fn counts_it(conn: &Connection, stream: i64, seq: Seq) -> Outcome<bool> {
    let sql = "SELECT 1 FROM damage_outcome WHERE stream = ?1 AND seq = ?2";
    Ok(conn.prepare_cached(sql)?.exists(params![stream, int(seq.0)])?)
}

/// Whether the stream counts any event as damaged.
pub(super) fn counts_any(conn: &Connection, stream: i64) -> Outcome<bool> {
    Ok(conn.prepare_cached("SELECT 1 FROM damage_outcome WHERE stream = ?1 LIMIT 1")?.exists([stream])?)
}

/// The event among those that the stream counts as damaged that was found last.
pub(super) fn last(conn: &Connection, stream: &StreamRow) -> Outcome<Option<Damage>> {
    if stream.counts.damaged == 0 {
        return Ok(None);
    }
    let sql = "SELECT seq, found_at FROM damage_outcome INDEXED BY damage_outcome_found WHERE stream = ?1
               ORDER BY found_at DESC, seq DESC LIMIT 1";
    let found: Option<(i64, i64)> =
        conn.prepare_cached(sql)?.query_row([stream.num], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    found.map(|(seq, at)| damage(conn, stream.org_num, seq, at)).transpose()
}

fn damage(conn: &Connection, org: i64, seq: i64, found_at: i64) -> Outcome<Damage> {
    let seq = Seq(uint(seq));
    Ok(Damage { seq, event_id: id_of(conn, org, seq)?, found_at: Timestamp(found_at) })
}

/// Those of the members that are noted.
pub(super) fn among(conn: &Connection, org: i64, members: &Members) -> Outcome<Vec<Damage>> {
    let mut found = Vec::new();
    for (first, events) in members.runs() {
        let (first, last) = (Seq(*first), Seq(first + u64::from(*events) - 1));
        for (seq, at) in noted(conn, org, Seq(first.0.saturating_sub(1)), last)? {
            found.push(damage(conn, org, int(seq.0), at)?);
        }
    }
    Ok(found)
}

/// The noted events after `after` up to `to`, ascending, and when each was found.
pub(super) fn noted(conn: &Connection, org: i64, after: Seq, to: Seq) -> Outcome<Vec<(Seq, i64)>> {
    let mut statement =
        conn.prepare_cached("SELECT seq, found_at FROM damage WHERE org = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq")?;
    let rows =
        statement.query_map(params![org, int(after.0), int(to.0)], |row| Ok((Seq(uint(row.get(0)?)), row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Counts what a cursor or a range passes by without taking it into one of the deliveries, whose members are `pinned`. The caller stores
/// the row.
pub(super) fn pass(
    conn: &Connection,
    stream: &mut StreamRow,
    (after, to): (Seq, Seq),
    passed: Passed,
    pinned: &[&Members],
) -> Outcome<()> {
    let unread = match passed.expired {
        0 => None,
        _ => unread(conn, stream, (after, to), pinned)?,
    };
    stream.counts += passed.counts(unread);
    Ok(())
}

/// What is to be said of those that are noted, and keeps which of them the stream counts as damaged.
fn unread(
    conn: &Connection,
    stream: &StreamRow,
    (after, to): (Seq, Seq),
    pinned: &[&Members],
) -> Outcome<Option<Unread>> {
    let mut noted = noted(conn, stream.org_num, after, to)?;
    noted.retain(|(seq, _)| !pinned.iter().any(|members| members.contains(*seq)));
    if noted.is_empty() {
        return Ok(None);
    }
    let (teller, mut damaged) = (Teller::new(conn, stream)?, 0);
    for (seq, _) in noted {
        let record = read::records(conn, stream.org_num, seq, seq, 1)?.pop();
        if record.is_none_or(|event| teller.refuses(seq, event.event_type, event.severity).is_none()) {
            keep(conn, stream, seq)?;
            damaged += 1;
        }
    }
    Ok(Some(Unread { damaged, refused: refused(conn, stream, after, to)? }))
}

/// How many of the events after `after` up to `to` the filter of their time refuses.
pub(super) fn refused(conn: &Connection, stream: &StreamRow, after: Seq, to: Seq) -> Outcome<u64> {
    let teller = Teller::new(conn, stream)?;
    let (mut at, mut refused) = (after, 0);
    while at < to {
        let records = read::records(conn, stream.org_num, at.next(), to, RECORDS)?;
        let Some(last) = records.last() else { break };
        at = last.seq;
        refused += records.iter().filter(|r| teller.refuses(r.seq, r.event_type, r.severity).is_some()).count() as u64;
    }
    Ok(refused)
}

/// Those of a settled delivery's events that it says have `expired`, and that are noted: the stream counts them as damaged instead.
pub(super) fn expired(conn: &Connection, stream: &mut StreamRow, expired: impl Iterator<Item = Seq>) -> Outcome<()> {
    for seq in expired {
        if is_noted(conn, stream.org_num, seq)? {
            keep(conn, stream, seq)?;
            stream.counts.expired -= 1;
            stream.counts.damaged += 1;
        }
    }
    Ok(())
}

/// Counts an event as damaged that is about to be parked as rejected for that very reason. False where it is not.
pub(super) fn rejected(conn: &Connection, stream: &mut StreamRow, parked: &Parked) -> Outcome<bool> {
    let damaged = parked.kind == ParkKind::Rejected
        && parked.cause.is_damage()
        && stream.id.kind != StreamKind::Metrics
        && is_noted(conn, stream.org_num, parked.seq)?;
    if damaged {
        stream.counts.rejected -= count(parked.events);
        stream.counts.damaged += count(parked.events);
        rows::set_parked(conn, stream.num, parked.seq, ParkState::Expired, None)?;
        keep(conn, stream, parked.seq)?;
    }
    Ok(damaged)
}

/// Forgets an org's notes up to `to`, whose compact records are gone.
pub(super) fn forget(conn: &Connection, org: i64, to: Seq) -> Outcome<()> {
    conn.prepare_cached("DELETE FROM damage WHERE org = ?1 AND seq <= ?2")?.execute(params![org, int(to.0)])?;
    Ok(())
}

/// Forgets which events up to `to` a stream counts as damaged: their outcome is archived.
pub(super) fn forget_outcomes(conn: &Connection, stream: i64, to: Seq) -> Outcome<()> {
    conn.prepare_cached("DELETE FROM damage_outcome WHERE stream = ?1 AND seq <= ?2")?
        .execute(params![stream, int(to.0)])?;
    Ok(())
}
