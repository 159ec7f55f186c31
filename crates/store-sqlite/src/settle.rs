//! Recording the end of an attempt: the attempt, the delivery, its children, what is parked, and the counts, in one transaction.

use rusqlite::{Connection, params};
use toktra_siem_core::delivery::{Delivery, ParkKind, Status};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::deliveries::{Lease, Settlement};
use toktra_siem_store::error::StoreError;
use toktra_siem_store::rules;
use toktra_siem_store::rules::parked::ParkState;

use super::causes::Causes;
use super::codec::{Word, int};
use super::damage;
use super::engine::Engine;
use super::fault::{Fault, Outcome};
use super::jobs;
use super::outages;
use super::rows;
use super::streams::{self, StreamRow};

/// Applies `settlement`, or `Conflict` where somebody was faster.
pub(super) fn settle(engine: &mut Engine, lease: &Lease, settlement: &Settlement) -> Outcome<()> {
    let conn = &engine.conn;
    let delivery = &settlement.delivery;
    let mut stream = streams::find(conn, lease.stream)?.ok_or(Fault::Refused(StoreError::NotFound))?;
    let before = rows::one_delivery(conn, &stream, delivery.id)?.ok_or(Fault::Refused(StoreError::NotFound))?;
    rules::settle::check_state(&before, settlement)?;
    let known = rows::known(conn, stream.num, &settlement.children)?;
    rules::settle::check_children(&before, &settlement.children, &known)?;
    rules::settle::check_counts(&before, settlement)?;
    let taken_up = outages::taken_up(conn, &stream, &before, settlement)?;

    rows::update_delivery(conn, stream.num, delivery)?;
    if let Some(attempt) = &settlement.attempt {
        rows::insert_attempt(conn, stream.num, delivery.id, attempt)?;
    }
    for child in &settlement.children {
        rows::insert_delivery(conn, stream.num, child, false)?;
    }
    stream.counts += settlement.counts;
    if rules::settle::distributes(&before, settlement) {
        move_parked(conn, &mut stream, &before, settlement, engine.aging.now())?;
    }
    hold(conn, &mut stream, settlement)?;
    jobs::settled(conn, &before, delivery, &settlement.children, engine.now())?;
    if delivery.status != Status::Pending && delivery.delivered > 0 {
        stream.last_success = stream.last_success.max(delivery.settled_at);
    }
    // The breaker is the owner's: a former one does not know what the newest has learned.
    if let Some(breaker) = &settlement.breaker
        && stream.epoch == lease.epoch
    {
        stream.switch(conn, breaker, true, engine.now())?;
        if let Some(was) = taken_up.filter(|_| !breaker.is_closed()) {
            outages::add_probe(conn, &mut stream, settlement, &was)?;
        }
    }
    stream.store(conn)
}

/// What this settlement parks, what has arrived, and what expired on its way.
fn move_parked(
    conn: &Connection,
    stream: &mut StreamRow,
    before: &Delivery,
    settlement: &Settlement,
    aged: Timestamp,
) -> Outcome<()> {
    let mut causes = Causes::of(&settlement.parked, aged);
    for parked in &settlement.parked {
        if !damage::rejected(conn, stream, parked)? {
            rows::park(conn, stream.num, parked, &causes.column(conn, &parked.cause)?)?;
        }
    }
    damage::expired(conn, stream, rules::settle::expired(before, settlement))?;
    match rules::settle::ended(before, settlement) {
        Some((state, moved)) => update_on_their_way(conn, stream, moved, state, before),
        None => Ok(()),
    }
}

fn update_on_their_way(
    conn: &Connection,
    stream: &StreamRow,
    members: &Members,
    state: ParkState,
    delivery: &Delivery,
) -> Outcome<()> {
    let mut statement = conn.prepare_cached(
        "UPDATE parked SET state = ?4, link = ?5 WHERE stream = ?1 AND seq BETWEEN ?2 AND ?3 AND state = 1",
    )?;
    for (first, events) in members.runs() {
        let last = first + u64::from(*events) - 1;
        statement.execute(params![stream.num, int(*first), int(last), state.number(), delivery.id.0.as_bytes()])?;
    }
    Ok(())
}

/// Rejected events that turned out to be held: parked as failed, so that recovery sends them.
fn hold(conn: &Connection, stream: &mut StreamRow, settlement: &Settlement) -> Outcome<()> {
    for seq in &settlement.held {
        let moved = rows::parked_row(conn, stream.num, *seq)?.and_then(|row| rules::parked::hold(&row));
        let Some(moved) = moved else { continue };
        conn.prepare_cached("UPDATE parked SET kind = ?3 WHERE stream = ?1 AND seq = ?2")?.execute(params![
            stream.num,
            int(seq.0),
            ParkKind::Failed.number()
        ])?;
        stream.counts += moved;
    }
    Ok(())
}
