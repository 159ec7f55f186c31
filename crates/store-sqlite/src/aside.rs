//! Pending deliveries and parked events whose rows are damaged: set right where what is stored beside them tells what they held, and else set aside,
//! so that the rest of the stream flows. Whoever takes a stream over looks, since that is when what is pending is taken up.
//!
//! How many events are on their way stands in the stream's counts as well, so it is known that some are missing, and whether what was found
//! instead is all of them. What cannot be found is counted as damaged.

use std::collections::BTreeSet;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Delivery, Status};
use toktra_siem_core::ids::{DeliveryId, Seq, StreamKind};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::rules::count;
use toktra_siem_store::rules::parked::ParkState;

use super::codec::{Word, int, json, members_columns, uint};
use super::fate::Teller;
use super::fault::Outcome;
use super::streams::StreamRow;
use super::{damage, jobs, read, rows};

/// Deliveries that are looked into for what is missing, at most: the writer does nothing else meanwhile.
const SUSPECTS: usize = 32;
/// Sequences that a delivery is looked for among, at most.
const SPAN: u64 = 1 << 16;

/// Sets right, or aside, what of the stream is damaged. `head` is the org's. The caller stores the row.
pub(super) fn set_right(conn: &Connection, stream: &mut StreamRow, head: Seq, now: Timestamp) -> Outcome<()> {
    let (was, taken) = (stream.cursor, taken_to(conn, stream, head)?);
    let counted = stream.counted_to().filter(|counted| (taken..=head).contains(counted));
    if stream.cursor < taken || (stream.cursor > head && counted.is_some()) {
        // First of all: what is on its way is not beyond it.
        stream.cursor = counted.unwrap_or(taken);
    }
    on_their_way(conn, stream, now)?;
    cursor(conn, stream, taken, head)?;
    if stream.cursor != was {
        tracing::error!(stream = %stream.id, was = was.0, cursor = stream.cursor.0, "how far a stream has come was damaged: it was set right; check the disk");
    }
    Ok(())
}

/// What is pending or parked.
fn on_their_way(conn: &Connection, stream: &mut StreamRow, now: Timestamp) -> Outcome<()> {
    words(conn, stream)?;
    let (whole, broken): (Vec<Delivery>, Vec<Delivery>) =
        rows::all_pending(conn, stream)?.into_iter().partition(|delivery| !delivery.members.is_empty());
    let on_their_way: u64 = whole.iter().filter(|delivery| delivery.accounted).map(Delivery::events).sum();
    let apart: u64 = rows::ranges(conn, stream.num)?.iter().map(|range| range.cursor.until(range.to)).sum();
    let owed = stream.counts.pending - count(on_their_way + apart);
    if broken.is_empty() && owed == 0 {
        return Ok(());
    }
    if broken.is_empty() && stream.counts.total() - count(stream.starts_after.until(stream.cursor)) == owed {
        tracing::error!(stream = %stream.id, "the number of events on their way was damaged: it is counted anew; check the disk");
        stream.counts.pending -= owed;
        return Ok(());
    }
    reindex(conn)?;
    // With one damaged row, its events are as many as are missing; a row that can be read may have lost or gained some.
    let suspects = broken.iter().chain(whole.iter().filter(|_| broken.is_empty())).filter(|d| d.accounted);
    for delivery in suspects.take(SUSPECTS) {
        let wanted = count(delivery.members.runs().iter().map(|(_, events)| u64::from(*events)).sum::<u64>()) + owed;
        let found = candidates(conn, stream, delivery)?;
        if stream.id.kind != StreamKind::Metrics && !found.is_empty() && count(found.len() as u64) == wanted {
            let (first, last, runs) = members_columns(&Members::from_ascending(found));
            conn.prepare_cached(
                "UPDATE delivery SET first_seq = ?3, last_seq = ?4, members = ?5 WHERE stream = ?1 AND id = ?2",
            )?
            .execute(params![stream.num, delivery.id.0.as_bytes(), first, last, runs])?;
            tracing::error!(stream = %stream.id, delivery = %delivery.id, events = wanted, "what is stored of a delivery was damaged: its events were found, and it goes on; check the disk");
            return Ok(());
        }
    }
    let mut missing = owed;
    for delivery in &broken {
        let lost = if delivery.accounted { candidates(conn, stream, delivery)? } else { BTreeSet::new() };
        missing -= count(lost.len() as u64);
        for seq in lost {
            damage::set_aside(conn, stream, seq, now)?;
        }
        end(conn, stream, delivery, now)?;
        tracing::error!(stream = %stream.id, delivery = %delivery.id, "what is stored of a delivery cannot be read any more: it is set aside as damaged, and all others flow; check the disk");
    }
    if missing != 0 {
        tracing::error!(stream = %stream.id, events = missing, "events that were on their way cannot be found: they are counted as expired; check the disk");
    }
    stream.counts.pending -= owed;
    stream.counts.damaged += owed - missing;
    stream.counts.expired += missing;
    Ok(())
}

/// Sets the cursor right, or a count, where the two say different things: each event up to the cursor is in one count.
///
/// If both are possible, the lower one is taken. What lies between them is in no delivery, as none goes beyond the lower one; so it is passed by
/// once more at worst, and nothing is left out or sent again.
fn cursor(conn: &Connection, stream: &mut StreamRow, taken: Seq, head: Seq) -> Outcome<()> {
    let (was, counted) = (stream.cursor, stream.counted_to());
    if counted == Some(was) {
        return Ok(());
    }
    let possible = |seq: &Seq| (taken..=head).contains(seq);
    stream.cursor = match (Some(was).filter(possible), counted.filter(possible)) {
        (Some(was), Some(counted)) => was.min(counted),
        (Some(cursor), None) | (None, Some(cursor)) => cursor,
        (None, None) => taken,
    };
    if stream.counted_to() != Some(stream.cursor) {
        recount(conn, stream, counted.filter(possible))?;
    }
    Ok(())
}

/// The last event of which something shows that the stream has passed it.
fn taken_to(conn: &Connection, stream: &StreamRow, head: Seq) -> Outcome<Seq> {
    let mut taken = Seq(0);
    for sql in [
        "SELECT last_seq FROM delivery INDEXED BY delivery_root
         WHERE stream = ?1 AND root = 1 AND last_seq BETWEEN first_seq AND ?2 ORDER BY first_seq DESC LIMIT 1",
        "SELECT max(to_seq) FROM gap WHERE stream = ?1 AND to_seq <= ?2",
        "SELECT max(to_seq) FROM backlog_range WHERE stream = ?1 AND to_seq <= ?2",
        "SELECT archived_to FROM stream WHERE num = ?1 AND archived_to <= ?2",
    ] {
        let last =
            conn.prepare_cached(sql)?.query_row(params![stream.num, int(head.0)], |row| row.get(0)).optional()?;
        taken = taken.max(Seq(last.flatten().map_or(0, uint)));
    }
    Ok(taken)
}

/// Makes the counts come to the cursor: by the rows, if they are not too many, or without what was counted up to `beyond` it, or by the one bit
/// that is wrong.
fn recount(conn: &Connection, stream: &mut StreamRow, beyond: Option<Seq>) -> Outcome<()> {
    let (cursor, passed) = (stream.cursor, count(stream.starts_after.until(stream.cursor)));
    let over = stream.counts.total().wrapping_sub(passed);
    if stream.archived_to.until(cursor) <= SPAN {
        let counts = super::recount::recount(conn, stream)?;
        if counts.total() == passed {
            stream.counts = counts;
            tracing::error!(stream = %stream.id, "the counts of a stream were damaged: they are counted anew; check the disk");
            return Ok(());
        }
    }
    if let Some(beyond) = beyond.filter(|beyond| (1..=SPAN).contains(&cursor.until(*beyond))) {
        let filtered = count(damage::refused(conn, stream, cursor, beyond)?);
        let (filtered, expired) = (stream.counts.filtered - filtered, stream.counts.expired - (over - filtered));
        if filtered >= 0 && expired >= 0 {
            (stream.counts.filtered, stream.counts.expired) = (filtered, expired);
            return Ok(());
        }
    }
    let c = &mut stream.counts;
    let places = [
        &mut c.delivered,
        &mut c.rejected,
        &mut c.failed,
        &mut c.expired,
        &mut c.damaged,
        &mut c.discarded,
        &mut c.skipped,
        &mut c.pending,
        &mut c.filtered,
    ];
    let is_wrong = |place: &&mut i64| {
        let right = place.wrapping_sub(over);
        right >= 0 && (right ^ **place).count_ones() == 1
    };
    let mut wrong: Vec<&mut i64> = places.into_iter().filter(is_wrong).collect();
    if let [place] = wrong.as_mut_slice() {
        **place = place.wrapping_sub(over);
        tracing::error!(stream = %stream.id, "a count of a stream was damaged: it was set right; check the disk");
    } else {
        tracing::error!(stream = %stream.id, "the counts of a stream were damaged, and do not come to what it has passed any more; check the disk");
    }
    Ok(())
}

/// Brings a word in line that is another than its index says: only one of the two can be damaged, and what is sent again is not lost.
fn words(conn: &Connection, stream: &StreamRow) -> Outcome<()> {
    // The row itself is looked up, as a column that the index is about is not read from it.
    let deliveries = "SELECT d.id FROM delivery i INDEXED BY delivery_exception
         CROSS JOIN delivery d ON d.stream = i.stream AND d.id = i.id
         WHERE i.stream = ?1 AND i.status <> 1 AND i.status = 0 AND d.status <> 0";
    let parked = "SELECT p.seq FROM parked i INDEXED BY parked_waiting
         CROSS JOIN parked p ON p.stream = i.stream AND p.seq = i.seq
         WHERE i.stream = ?1 AND i.kind IN (0, 1) AND i.state = 0 AND p.state <> 0";
    for (find, put) in [
        (deliveries, "UPDATE delivery SET status = 0 WHERE stream = ?1 AND id = ?2"),
        (parked, "UPDATE parked SET state = 0 WHERE stream = ?1 AND seq = ?2"),
    ] {
        let found: Vec<Value> =
            conn.prepare_cached(find)?.query_map([stream.num], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        if !found.is_empty() {
            tracing::error!(stream = %stream.id, rows = found.len(), "the state of deliveries or parked events was damaged: they are sent again; check the disk");
            reindex(conn)?;
        }
        for id in found {
            conn.prepare_cached(put)?.execute(params![stream.num, id])?;
        }
    }
    Ok(())
}

/// Makes the indexes anew that a damaged row is not in any more as it is: it could not be changed otherwise.
fn reindex(conn: &Connection) -> Outcome<()> {
    Ok(conn.execute_batch("REINDEX delivery; REINDEX parked;")?)
}

/// The events that the delivery may hold, by everything but its own members.
fn candidates(conn: &Connection, stream: &StreamRow, delivery: &Delivery) -> Outcome<BTreeSet<Seq>> {
    let linked = "SELECT seq FROM parked WHERE stream = ?1 AND link = ?2 AND state = ?3";
    let taken = conn
        .prepare_cached(linked)?
        .query_map(params![stream.num, delivery.id.0.as_bytes(), ParkState::OnItsWay.number()], |row| row.get(0))?
        .map(|seq| seq.map(|seq| Seq(uint(seq))))
        .collect::<rusqlite::Result<BTreeSet<Seq>>>()?;
    if !taken.is_empty() {
        return Ok(taken);
    }
    match delivery.parent {
        Some(parent) => left_of(conn, stream, delivery.id, parent),
        None => between(conn, stream, delivery.id),
    }
}

/// Of a parent's events those that are neither parked nor with another child.
fn left_of(conn: &Connection, stream: &StreamRow, id: DeliveryId, parent: DeliveryId) -> Outcome<BTreeSet<Seq>> {
    let Some(parent) = rows::one_delivery(conn, stream, parent)? else { return Ok(BTreeSet::new()) };
    let mut left = BTreeSet::new();
    for seq in parent.members.iter() {
        let child = "SELECT 1 FROM delivery WHERE parent = ?1 AND id <> ?2 AND first_seq <= ?3 AND last_seq >= ?3";
        let elsewhere =
            conn.prepare_cached(child)?.exists(params![parent.id.0.as_bytes(), id.0.as_bytes(), int(seq.0)])?;
        if !elsewhere && rows::parked_row(conn, stream.num, seq)?.is_none() && parent.status == Status::Split {
            left.insert(seq);
        }
    }
    Ok(left)
}

/// What the cursor took between the deliveries before and after it, the filter let through and nothing else holds.
fn between(conn: &Connection, stream: &StreamRow, id: DeliveryId) -> Outcome<BTreeSet<Seq>> {
    let spans = "SELECT first_seq, last_seq FROM delivery INDEXED BY delivery_root
         WHERE stream = ?1 AND root = 1 AND id <> ?2 AND last_seq >= ?3 AND first_seq <= ?4
           AND first_seq >= coalesce((SELECT max(first_seq) FROM delivery INDEXED BY delivery_root
                                      WHERE stream = ?1 AND root = 1 AND first_seq <= ?3), ?3) ORDER BY first_seq";
    let own: Option<(Option<i64>, Option<i64>)> = conn
        .prepare_cached("SELECT first_seq, last_seq FROM delivery WHERE stream = ?1 AND id = ?2")?
        .query_row(params![stream.num, id.0.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (first, last) = own.unwrap_or_default();
    // Of the two one is right: what is beyond the cursor is not.
    let ends =
        [first, last].map(|end| end.map_or(0, uint)).into_iter().filter(|end| (1..=stream.cursor.0).contains(end));
    let (Some(low), Some(high)) = (ends.clone().min(), ends.max()) else { return Ok(BTreeSet::new()) };
    let (mut from, mut to) = (stream.archived_to.next().0.max(low.saturating_sub(SPAN)), stream.cursor.0);
    to = to.min(high.saturating_add(SPAN));
    let mut taken = Vec::new();
    let mut statement = conn.prepare_cached(spans)?;
    let mut rows_found = statement.query(params![stream.num, id.0.as_bytes(), int(from), int(to)])?;
    while let Some(row) = rows_found.next()? {
        taken.push((uint(row.get(0)?), uint(row.get(1)?)));
    }
    for (first, last) in &taken {
        if *last < low {
            from = from.max(last + 1);
        }
        if *first > high {
            to = to.min(first - 1);
        }
    }
    taken.extend(rows::ranges(conn, stream.num)?.iter().map(|range| (range.cursor.0 + 1, range.to.0)));
    let mut teller = Teller::new(conn, stream)?;
    let mut found = BTreeSet::new();
    for record in read::records(conn, stream.org_num, Seq(from), Seq(to), usize::try_from(SPAN).unwrap_or(usize::MAX))?
    {
        let seq = record.seq;
        let refused = teller.refuses(seq, record.event_type, record.severity).is_some();
        let elsewhere = taken.iter().any(|(first, last)| (*first..=*last).contains(&seq.0));
        if !refused && !elsewhere && !teller.in_gap(seq)? && !damage::counts_it(conn, stream.num, seq)? {
            found.insert(seq);
        }
    }
    Ok(found)
}

/// Ends a delivery that cannot be read.
fn end(conn: &Connection, stream: &StreamRow, delivery: &Delivery, now: Timestamp) -> Outcome<()> {
    let cause = Cause::new(
        "unreadable",
        "What is stored of this delivery cannot be read any more: the disk, or something else that wrote to the database file, has changed it.",
    );
    conn.prepare_cached(
        "UPDATE delivery SET status = ?3, settled_at = ?4, due_at = NULL, awaiting = NULL, cause = ?5, first_seq = NULL, last_seq = NULL,
             members = NULL, window_start = NULL, tally = NULL WHERE stream = ?1 AND id = ?2",
    )?
    .execute(params![stream.num, delivery.id.0.as_bytes(), Status::Failed.number(), now.0, json(&cause)?])?;
    match delivery.job {
        Some(job) => jobs::lost(conn, stream, job, now),
        None => Ok(()),
    }
}
