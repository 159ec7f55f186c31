//! Pinning batches: what is taken, from where, and that every sequence passed is accounted for (invariant D3).

use rusqlite::Connection;
use toktra_siem_core::delivery::{Delivery, Status, Trigger};
use toktra_siem_core::ids::{RangeId, Revision, Seq};
use toktra_siem_core::members::Members;
use toktra_siem_store::deliveries::{BacklogRange, Lease, Open, Passed, Taken};
use toktra_siem_store::error::StoreError;

use super::damage;
use super::engine::Engine;
use super::fault::{Fault, Outcome};
use super::jobs;
use super::rows::{self, ParkState};
use super::streams::{self, StreamRow};

/// Applies `open`. Everything is checked before the first write.
pub(super) fn open(engine: &mut Engine, lease: &Lease, open: &Open) -> Outcome<()> {
    let mut stream = streams::leased(&engine.conn, lease)?;
    let job = jobs::check_step(&engine.conn, &stream, open.job.as_ref(), &open.deliveries)?;
    check_deliveries(&engine.conn, &stream, open)?;
    let events: u64 = open.deliveries.iter().map(Delivery::events).sum();
    let pinned = count(events);
    let members: Vec<&Members> = open.deliveries.iter().map(|delivery| &delivery.members).collect();
    match &open.taken {
        Taken::Live { from, to, passed, revision } => {
            let head = engine.org(stream.org)?.head;
            check_live(&engine.conn, &stream, *from, *to, head, *revision)?;
            check_windows(&stream, &open.deliveries)?;
            check_move(open, *from, *to, *passed, events)?;
            stream.cursor = *to;
            damage::pass(&engine.conn, &mut stream, (*from, *to), *passed, &members)?;
            stream.counts.pending += pinned;
        }
        Taken::Range { id, from, to, passed } => {
            let range = range(&engine.conn, &stream, *id, *from, *to)?;
            check_move(open, *from, *to, *passed, events)?;
            rows::advance_range(&engine.conn, &range, *to)?;
            damage::pass(&engine.conn, &mut stream, (*from, *to), *passed, &members)?;
            stream.counts.pending -= count(passed.filtered + passed.expired);
        }
        Taken::Parked(members) => take_parked(&engine.conn, &mut stream, members, &open.deliveries)?,
        Taken::Beside => {}
    }
    let root = matches!(open.taken, Taken::Live { .. } | Taken::Range { .. });
    for delivery in &open.deliveries {
        rows::insert_delivery(&engine.conn, stream.num, delivery, root)?;
        if let Some(window) = &delivery.window {
            stream.last_window = stream.last_window.max(Some(window.start));
        }
    }
    if let (Some(job), Some(step)) = (job, &open.job) {
        jobs::advance(&engine.conn, job, step, &open.deliveries, engine.now())?;
    }
    stream.store(&engine.conn)
}

/// A number of events as a delta.
pub(super) fn count(events: u64) -> i64 {
    i64::try_from(events).unwrap_or(i64::MAX)
}

fn check_deliveries(conn: &Connection, stream: &StreamRow, open: &Open) -> Outcome<()> {
    let accounted = open.taken != Taken::Beside;
    // Of what a job sends again some may be parked and some not.
    let mixed = open.job.is_some() && matches!(open.taken, Taken::Parked(_));
    for delivery in &open.deliveries {
        if delivery.stream != stream.id || delivery.org != stream.org || delivery.status != Status::Pending {
            return Err(Fault::unaccounted(format!("delivery {} is not a pending one of {}", delivery.id, stream.id)));
        }
        if delivery.trigger == Trigger::Test {
            return Err(Fault::unaccounted(format!("{} is a test delivery, which is not the stream's", delivery.id)));
        }
        if delivery.accounted != accounted && !mixed {
            return Err(Fault::unaccounted(format!(
                "delivery {} says that its outcome {} the stream's counts, and where its events come from says otherwise",
                delivery.id,
                if delivery.accounted { "moves" } else { "does not move" }
            )));
        }
        if rows::delivery_exists(conn, stream.num, delivery.id)? {
            return Err(Fault::conflict(format!("there is a delivery {} already", delivery.id)));
        }
    }
    Ok(())
}

fn check_live(conn: &Connection, stream: &StreamRow, from: Seq, to: Seq, head: Seq, revision: Revision) -> Outcome<()> {
    if stream.cursor != from {
        return Err(Fault::conflict(format!("the cursor of {} stands at {}, not at {from}", stream.id, stream.cursor)));
    }
    if to > head {
        return Err(Fault::unaccounted(format!("{to} is beyond the org's head {head}")));
    }
    if streams::revision_at(conn, stream.id.connector, to)? > revision.0 {
        return Err(StoreError::Stale.into());
    }
    Ok(())
}

/// Windows strictly increase along a stream, so that their points can be told from earlier ones.
fn check_windows(stream: &StreamRow, deliveries: &[Delivery]) -> Outcome<()> {
    let mut last = stream.last_window;
    for start in deliveries.iter().filter_map(|d| d.window.as_ref()).map(|window| window.start) {
        if last.is_some_and(|last| start <= last) {
            return Err(Fault::conflict(format!(
                "a window of {} was pinned already, and this one is not later",
                stream.id
            )));
        }
        last = Some(start);
    }
    Ok(())
}

/// Invariant D3: what a cursor passes is in a delivery, or counted by the reason it was passed for.
fn check_move(open: &Open, from: Seq, to: Seq, passed: Passed, events: u64) -> Outcome<()> {
    let accounted = passed.filtered + passed.expired + events;
    if to < from || from.until(to) != accounted {
        return Err(Fault::unaccounted(format!("from {from} to {to}, but {accounted} events are accounted for")));
    }
    let mut spans: Vec<(Seq, Seq)> =
        open.deliveries.iter().filter_map(|d| Some((d.members.first()?, d.members.last()?))).collect();
    spans.sort_unstable();
    let inside = spans.iter().all(|(first, last)| *first > from && *last <= to);
    if !inside || spans.windows(2).any(|pair| pair[0].1 >= pair[1].0) {
        return Err(Fault::unaccounted(format!("the deliveries overlap, or hold events outside of {from} to {to}")));
    }
    Ok(())
}

fn range(conn: &Connection, stream: &StreamRow, id: RangeId, from: Seq, to: Seq) -> Outcome<BacklogRange> {
    let range = rows::ranges(conn, stream.num)?
        .into_iter()
        .find(|r| r.id == id)
        .ok_or_else(|| Fault::conflict(format!("there is no backlog range {id} any more")))?;
    if range.cursor != from {
        return Err(Fault::conflict(format!("the cursor of range {id} stands at {}, not at {from}", range.cursor)));
    }
    if to > range.to {
        return Err(Fault::unaccounted(format!("{to} is beyond the range's end {}", range.to)));
    }
    Ok(range)
}

/// Moves parked events to pending; all of them have to wait, and the accounted deliveries have to hold exactly as many.
fn take_parked(conn: &Connection, stream: &mut StreamRow, members: &Members, deliveries: &[Delivery]) -> Outcome<()> {
    let accounted: Vec<&Delivery> = deliveries.iter().filter(|delivery| delivery.accounted).collect();
    let events: u64 = accounted.iter().map(|delivery| delivery.events()).sum();
    let mut taken = 0;
    let mut counts = stream.counts;
    let mut links = Vec::with_capacity(members.len());
    for seq in members.iter() {
        let row = rows::parked_row(conn, stream.num, seq)?.filter(|row| row.state == ParkState::Waiting);
        let Some(row) = row else { return Err(Fault::conflict(format!("event {seq} is not parked any more"))) };
        let Some(delivery) = accounted.iter().find(|d| d.members.contains(seq)) else {
            return Err(Fault::unaccounted(format!("parked event {seq} is in none of the deliveries")));
        };
        links.push((seq, delivery.id));
        taken += row.parked.events;
        leave_parked(&mut counts, &row.parked);
        counts.pending += count(row.parked.events);
    }
    if taken != events {
        return Err(Fault::unaccounted(format!("{taken} parked events are taken, but the deliveries hold {events}")));
    }
    for (seq, link) in links {
        rows::set_parked(conn, stream.num, seq, ParkState::OnItsWay, Some(link))?;
    }
    stream.counts = counts;
    Ok(())
}

/// Takes a parked event out of the place where it is counted.
pub(super) fn leave_parked(
    counts: &mut toktra_siem_core::accounting::Counts,
    parked: &toktra_siem_core::delivery::Parked,
) {
    use toktra_siem_core::delivery::ParkKind;
    match parked.kind {
        ParkKind::Failed => counts.failed -= count(parked.events),
        ParkKind::Rejected => counts.rejected -= count(parked.events),
    }
}
