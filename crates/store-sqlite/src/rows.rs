//! Rows of deliveries, attempts, parked events and backlog ranges.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Attempt, Delivery, ParkKind, Parked, Status, Trigger, Window};
use toktra_siem_core::ids::{DeliveryId, JobId, RangeId, Seq};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::deliveries::BacklogRange;
use toktra_siem_store::org::LastAttempt;
use toktra_siem_store::rules::parked::{ParkState, ParkedRow};

use super::causes;
use super::codec::{Word, from_json, int, json_opt, members, members_columns, small, text, uint, uuid};
use super::fault::{Fault, Outcome};
use super::streams::StreamRow;

/// The columns that [`delivery`] reads.
pub(super) const DELIVERY: &str =
    "id, trigger, status, first_seq, last_seq, members, window_start, tally, parent, probe, accounted,
    created_at, attempts, due_at, awaiting, settled_at, delivered, rejected, cause, job, outage, root";

/// The delivery that took a sequence from the cursor or from a backlog range, if any did: its span is the only one that may hold it.
pub(super) const ROOT: &str =
    "INDEXED BY delivery_root WHERE stream = ?1 AND root = 1 AND first_seq <= ?2 ORDER BY first_seq DESC LIMIT 1";
/// Pending deliveries but for tests, oldest first.
pub(super) const PENDING: &str = "INDEXED BY delivery_exception WHERE stream = ?1 AND status <> 1 AND status = 0 AND (trigger <> 1 OR accounted = 1) ORDER BY id";

/// Longest excerpt of an answer that is kept.
const EXCERPT_BYTES: usize = 4096;

impl Word for ParkState {
    const WORDS: &'static [Self] = &[Self::Waiting, Self::OnItsWay, Self::Arrived, Self::Expired, Self::Discarded];
}

/// Inserts a new delivery. `root`: its events come from the live cursor or a backlog range.
pub(super) fn insert_delivery(conn: &Connection, stream: i64, d: &Delivery, root: bool) -> Outcome<()> {
    let (first, last, runs) = members_columns(&d.members);
    let tally = json_opt(d.window.as_ref().map(|w| &w.tally))?;
    conn.prepare_cached(
        "INSERT INTO delivery (stream, id, trigger, root, status, first_seq, last_seq, members, window_start, tally, parent, probe,
             accounted, created_at, attempts, due_at, awaiting, settled_at, delivered, rejected, cause, job)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)",
    )?
    .execute(params![
        stream,
        d.id.0.as_bytes(),
        d.trigger.number(),
        root,
        d.status.number(),
        first,
        last,
        runs,
        d.window.as_ref().map(|w| w.start.0),
        tally,
        d.parent.map(|p| p.0.into_bytes()),
        d.probe,
        d.accounted,
        d.created_at.0,
        d.attempts,
        d.due_at.map(|t| t.0),
        json_opt(d.awaiting.as_ref())?,
        d.settled_at.map(|t| t.0),
        int(d.delivered),
        int(d.rejected),
        json_opt(d.cause.as_ref())?,
        d.job.map(|job| job.0.into_bytes()),
    ])?;
    Ok(())
}

/// Which of the deliveries the stream has already, by id.
pub(super) fn known(conn: &Connection, stream: i64, deliveries: &[Delivery]) -> Outcome<Vec<DeliveryId>> {
    let mut known = Vec::new();
    for delivery in deliveries {
        if delivery_exists(conn, stream, delivery.id)? {
            known.push(delivery.id);
        }
    }
    Ok(known)
}

/// Whether there is a delivery with this id.
pub(super) fn delivery_exists(conn: &Connection, stream: i64, id: DeliveryId) -> Outcome<bool> {
    Ok(conn
        .prepare_cached("SELECT 1 FROM delivery WHERE stream = ?1 AND id = ?2")?
        .exists(params![stream, id.0.as_bytes()])?)
}

/// Stores what an attempt changes of a delivery.
pub(super) fn update_delivery(conn: &Connection, stream: i64, d: &Delivery) -> Outcome<()> {
    conn.prepare_cached(
        "UPDATE delivery SET status = ?3, attempts = ?4, due_at = ?5, awaiting = ?6, settled_at = ?7, delivered = ?8, rejected = ?9,
             cause = ?10 WHERE stream = ?1 AND id = ?2",
    )?
    .execute(params![
        stream,
        d.id.0.as_bytes(),
        d.status.number(),
        d.attempts,
        d.due_at.map(|t| t.0),
        json_opt(d.awaiting.as_ref())?,
        d.settled_at.map(|t| t.0),
        int(d.delivered),
        int(d.rejected),
        json_opt(d.cause.as_ref())?,
    ])?;
    Ok(())
}

/// One delivery of a stream.
pub(super) fn one_delivery(conn: &Connection, stream: &StreamRow, id: DeliveryId) -> Outcome<Option<Delivery>> {
    let sql = format!("SELECT {DELIVERY} FROM delivery WHERE stream = ?1 AND id = ?2");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params![stream.num, id.0.as_bytes()])?;
    rows.next()?.map(|row| delivery(row, stream)).transpose()
}

/// Deliveries of a stream by what follows the name of their table: which index, which condition (`?1` is the stream), which order.
pub(super) fn deliveries(
    conn: &Connection,
    stream: &StreamRow,
    rest: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Outcome<Vec<Delivery>> {
    let sql = format!("SELECT {DELIVERY} FROM delivery {rest}");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut all: Vec<&dyn rusqlite::ToSql> = vec![&stream.num];
    all.extend_from_slice(values);
    statement.query_and_then(&all[..], |row| delivery(row, stream))?.collect()
}

/// The pending deliveries of a stream but for tests, oldest first. Those whose members cannot be read are left out until they are set right, or aside.
pub(super) fn pending(conn: &Connection, stream: &StreamRow) -> Outcome<Vec<Delivery>> {
    let mut pending = all_pending(conn, stream)?;
    pending.retain(|delivery| !delivery.members.is_empty());
    Ok(pending)
}

/// The same with those whose members cannot be read: they have none.
pub(super) fn all_pending(conn: &Connection, stream: &StreamRow) -> Outcome<Vec<Delivery>> {
    let mut pending = deliveries(conn, stream, PENDING, &[])?;
    for delivery in &mut pending {
        delivery.status = Status::Pending;
    }
    Ok(pending)
}

/// A delivery from the columns in [`DELIVERY`]. What of it cannot be read is left out: a cause that is gone stops nobody.
pub(super) fn delivery(row: &Row<'_>, stream: &StreamRow) -> Outcome<Delivery> {
    let time = |index: usize| row.get::<_, Option<i64>>(index).map(|t| t.map(Timestamp));
    let (start, tally) = (time(6)?, text_opt(row, 7)?);
    let window = start
        .zip(tally.as_deref())
        .map(|(start, tally)| from_json(tally).map(|tally| Window { start, tally }).map_err(|_: Fault| ()));
    // One bit makes a text of bytes.
    let runs = row.get_ref(5)?.as_bytes_or_null();
    // What came off the log is accounted for.
    let accounted = row.get(10)? || row.get(21)?;
    let (first, last): (Option<i64>, Option<i64>) = (row.get(3)?, row.get(4)?);
    // What is accounted for lies before the cursor, and what is sent beside it is no longer than what is read at once.
    let is_there = if accounted { last <= Some(int(stream.cursor.0)) } else { true };
    let members =
        runs.ok().and_then(|runs| members(first, last, runs).ok()).filter(|_| is_there && window != Some(Err(())));
    Ok(Delivery {
        id: DeliveryId(uuid(row.get(0)?)),
        org: stream.org,
        stream: stream.id,
        trigger: match Trigger::from_number(row.get(1)?) {
            Ok(trigger) if trigger != Trigger::Test || !accounted => trigger,
            _ => Trigger::Live,
        },
        members: members.unwrap_or_default(),
        window: window.and_then(Result::ok),
        parent: row.get::<_, Option<[u8; 16]>>(8)?.map(|id| DeliveryId(uuid(id))),
        job: row.get::<_, Option<[u8; 16]>>(19)?.map(|id| JobId(uuid(id))),
        probe: row.get(9)?,
        accounted,
        created_at: Timestamp(row.get(11)?),
        attempts: small(row.get(12)?),
        // One that never came to its end is pending.
        status: match (time(15)?, Status::from_number(row.get(2)?)) {
            (Some(_), status) => status.unwrap_or(Status::Failed),
            (None, _) => Status::Pending,
        },
        due_at: time(13)?,
        awaiting: json_of(row, 14)?,
        settled_at: time(15)?,
        delivered: uint(row.get(16)?),
        rejected: uint(row.get(17)?),
        cause: json_of(row, 18)?,
        outage: json_of(row, 20)?,
    })
}

/// A value that may be absent, and is where it cannot be read.
fn json_of<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<T>> {
    Ok(text_opt(row, index)?.and_then(|text| from_json(&text).ok()))
}

fn text_opt(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<String>> {
    if row.get_ref(index)? == rusqlite::types::ValueRef::Null { Ok(None) } else { text(row, index).map(Some) }
}

/// Records an attempt.
pub(super) fn insert_attempt(conn: &Connection, stream: i64, id: DeliveryId, a: &Attempt) -> Outcome<()> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO attempt (stream, delivery, number, at, duration_ms, http_status, excerpt, cause, request,
             response_headers)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        stream,
        id.0.as_bytes(),
        a.number,
        a.at.0,
        int(a.duration_ms),
        a.http_status,
        a.excerpt.as_deref().map(cut),
        json_opt(a.cause.as_ref())?,
        json_opt(a.request.as_ref())?,
        json_opt(a.response_headers.as_ref())?,
    ])?;
    Ok(())
}

/// The start of a text, at a character's boundary.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(EXCERPT_BYTES)]
}

/// The attempts of a delivery, in order.
pub(super) fn attempts(conn: &Connection, stream: i64, id: DeliveryId) -> Outcome<Vec<Attempt>> {
    let mut statement = conn.prepare_cached(
        "SELECT number, at, duration_ms, http_status, excerpt, cause, request, response_headers FROM attempt
         WHERE stream = ?1 AND delivery = ?2 ORDER BY number",
    )?;
    statement
        .query_and_then(params![stream, id.0.as_bytes()], |row| {
            Ok(Attempt {
                number: small(row.get(0)?),
                at: Timestamp(row.get(1)?),
                duration_ms: uint(row.get(2)?),
                http_status: row.get(3)?,
                excerpt: text_opt(row, 4)?,
                cause: json_of(row, 5)?,
                request: json_of(row, 6)?,
                response_headers: json_of(row, 7)?,
            })
        })?
        .collect()
}

/// What the last attempt of a delivery came to.
pub(super) fn last_attempt(conn: &Connection, stream: i64, id: DeliveryId) -> Outcome<Option<LastAttempt>> {
    Ok(conn
        .prepare_cached(
            "SELECT http_status, duration_ms FROM attempt WHERE stream = ?1 AND delivery = ?2 ORDER BY number DESC LIMIT 1",
        )?
        .query_row(params![stream, id.0.as_bytes()], |row| {
            Ok(LastAttempt { http_status: row.get(0)?, duration_ms: uint(row.get(1)?) })
        })
        .optional()?)
}

/// The later delivery that brought the first of the delivery's events that were parked and have arrived, unless it carries on this one. A delivery that is beside the
/// account parks nothing, whatever is parked of the same events.
pub(super) fn recovered_by(conn: &Connection, stream: i64, delivery: &Delivery) -> Outcome<Option<DeliveryId>> {
    let (Some(first), Some(last), true) = (delivery.members.first(), delivery.members.last(), delivery.accounted)
    else {
        return Ok(None);
    };
    let mut statement = conn.prepare_cached(
        "SELECT seq, link FROM parked WHERE stream = ?1 AND seq BETWEEN ?2 AND ?3 AND state = ?4 AND link > ?5 ORDER BY seq",
    )?;
    let arrived = ParkState::Arrived.number();
    let mut rows = statement.query(params![stream, int(first.0), int(last.0), arrived, delivery.id.0.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let by = DeliveryId(uuid(row.get(1)?));
        // What it handed on to a child of its own it did not leave behind.
        if delivery.members.contains(Seq(uint(row.get(0)?))) && !descends(conn, stream, by, delivery.id)? {
            return Ok(Some(by));
        }
    }
    Ok(None)
}

/// Whether a delivery carries on what another one began.
fn descends(conn: &Connection, stream: i64, mut id: DeliveryId, from: DeliveryId) -> Outcome<bool> {
    let mut parent = conn.prepare_cached("SELECT parent FROM delivery WHERE stream = ?1 AND id = ?2")?;
    loop {
        let above: Option<Option<[u8; 16]>> =
            parent.query_row(params![stream, id.0.as_bytes()], |row| row.get(0)).optional()?;
        let Some(above) = above.flatten().map(|above| DeliveryId(uuid(above))) else { return Ok(false) };
        if above == from {
            return Ok(true);
        }
        id = above;
    }
}

/// Parks an event, or parks it again after its recovery failed; `cause` as [`super::causes`] keeps it.
pub(super) fn park(conn: &Connection, stream: i64, p: &Parked, cause: &str) -> Outcome<()> {
    conn.prepare_cached(
        "INSERT INTO parked (stream, seq, events, kind, cause, delivery, since, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0)
         ON CONFLICT (stream, seq) DO UPDATE SET events = excluded.events, kind = excluded.kind, cause = excluded.cause,
             delivery = excluded.delivery, since = excluded.since, state = 0, link = NULL",
    )?
    .execute(params![
        stream,
        int(p.seq.0),
        int(p.events),
        p.kind.number(),
        cause,
        p.delivery.0.as_bytes(),
        p.since.0
    ])?;
    Ok(())
}

/// The parked row of an event, whatever became of it.
pub(super) fn parked_row(conn: &Connection, stream: i64, seq: Seq) -> Outcome<Option<ParkedRow>> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT seq, events, kind, {}, delivery, since, state, link FROM parked WHERE stream = ?1 AND seq = ?2",
        causes::TEXT
    ))?;
    let mut rows = statement.query(params![stream, int(seq.0)])?;
    rows.next()?.map(parked).transpose()
}

/// Parked events of one kind that wait.
pub(super) fn waiting(
    conn: &Connection,
    stream: i64,
    kind: ParkKind,
    after: Seq,
    limit: usize,
) -> Outcome<Vec<Parked>> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT seq, events, kind, {}, delivery, since, state, link FROM parked INDEXED BY parked_waiting
         WHERE stream = ?1 AND kind = ?2 AND seq > ?3 AND state = 0 ORDER BY seq LIMIT ?4",
        causes::TEXT
    ))?;
    statement
        .query_and_then(params![stream, kind.number(), int(after.0), super::codec::len(limit)], |row| {
            Ok(parked(row)?.parked)
        })?
        .collect()
}

/// Says where a parked event is now.
pub(super) fn set_parked(
    conn: &Connection,
    stream: i64,
    seq: Seq,
    state: ParkState,
    link: Option<DeliveryId>,
) -> Outcome<()> {
    conn.prepare_cached("UPDATE parked SET state = ?3, link = coalesce(?4, link) WHERE stream = ?1 AND seq = ?2")?
        .execute(params![stream, int(seq.0), state.number(), link.map(|l| l.0.into_bytes())])?;
    Ok(())
}

fn parked(row: &Row<'_>) -> Outcome<ParkedRow> {
    let unread = || Cause::new("unreadable", "Why it is parked cannot be read any more.");
    Ok(ParkedRow {
        parked: Parked {
            seq: Seq(uint(row.get(0)?)),
            events: uint(row.get(1)?),
            kind: ParkKind::from_number(row.get(2)?).unwrap_or(ParkKind::Failed),
            cause: json_of(row, 3)?.unwrap_or_else(unread),
            delivery: DeliveryId(uuid(row.get(4)?)),
            since: Timestamp(row.get(5)?),
        },
        // What is sent again is not lost.
        state: ParkState::from_number(row.get(6)?).unwrap_or(ParkState::Waiting),
        link: row.get::<_, Option<[u8; 16]>>(7)?.map(|id| DeliveryId(uuid(id))),
    })
}

/// Makes a backlog range.
pub(super) fn insert_range(conn: &Connection, stream: i64, range: &BacklogRange) -> Outcome<()> {
    conn.prepare_cached(
        "INSERT INTO backlog_range (id, stream, cursor, to_seq, trigger, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        range.id.0.as_bytes(),
        stream,
        int(range.cursor.0),
        int(range.to.0),
        range.trigger.number(),
        range.since.0
    ])?;
    Ok(())
}

/// The backlog ranges of a stream, oldest first.
pub(super) fn ranges(conn: &Connection, stream: i64) -> Outcome<Vec<BacklogRange>> {
    let mut statement = conn.prepare_cached(
        "SELECT id, cursor, to_seq, trigger, since FROM backlog_range WHERE stream = ?1 ORDER BY num",
    )?;
    statement
        .query_and_then([stream], |row| {
            Ok(BacklogRange {
                id: RangeId(uuid(row.get(0)?)),
                cursor: Seq(uint(row.get(1)?)),
                to: Seq(uint(row.get(2)?)),
                trigger: Trigger::from_number(row.get(3)?)?,
                since: Timestamp(row.get(4)?),
            })
        })?
        .collect()
}

/// Moves the cursor of a range, and removes it at its end.
pub(super) fn advance_range(conn: &Connection, range: &BacklogRange, to: Seq) -> Outcome<()> {
    let id = range.id.0.as_bytes();
    if to >= range.to {
        conn.prepare_cached("DELETE FROM backlog_range WHERE id = ?1")?.execute([id])?;
    } else {
        conn.prepare_cached("UPDATE backlog_range SET cursor = ?2 WHERE id = ?1")?.execute(params![id, int(to.0)])?;
    }
    Ok(())
}

/// Whether there is a range with this id.
pub(super) fn range_exists(conn: &Connection, id: RangeId) -> Outcome<bool> {
    Ok(conn
        .prepare_cached("SELECT 1 FROM backlog_range WHERE id = ?1")?
        .query_row([id.0.as_bytes()], |_| Ok(()))
        .optional()?
        .is_some())
}
