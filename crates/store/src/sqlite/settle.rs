//! Recording the end of an attempt: the attempt, the delivery, its children, what is parked, and the counts, in one transaction.

use rusqlite::{Connection, OptionalExtension, params};
use toktra_siem_core::delivery::{Delivery, ParkKind, Status};
use toktra_siem_core::members::Members;

use super::codec::{Word, int, json};
use super::engine::Engine;
use super::fault::{Fault, Outcome};
use super::open::count;
use super::rows::{self, ParkState};
use super::streams::{self, StreamRow};
use crate::deliveries::{Lease, Settlement};
use crate::error::StoreError;

/// Applies `settlement`, or `Conflict` where somebody was faster.
pub(super) fn settle(engine: &mut Engine, lease: &Lease, settlement: &Settlement) -> Outcome<()> {
    let conn = &engine.conn;
    let delivery = &settlement.delivery;
    let mut stream = streams::find(conn, lease.stream)?.ok_or(Fault::Refused(StoreError::NotFound))?;
    check_state(conn, &stream, settlement)?;
    check_counts(settlement)?;
    for child in &settlement.children {
        if child.stream != stream.id || rows::delivery_exists(conn, stream.num, child.id)? {
            return Err(Fault::conflict(format!("child {} exists already, or is of another stream", child.id)));
        }
    }

    rows::update_delivery(conn, stream.num, delivery)?;
    if let Some(attempt) = &settlement.attempt {
        rows::insert_attempt(conn, stream.num, delivery.id, attempt)?;
    }
    for child in &settlement.children {
        let child = Delivery { parent: child.parent.or(Some(delivery.id)), ..child.clone() };
        rows::insert_delivery(conn, stream.num, &child, false)?;
    }
    if delivery.accounted {
        move_parked(conn, &stream, settlement)?;
    }
    stream.counts += settlement.counts;
    hold(conn, &mut stream, settlement)?;
    if delivery.delivered > 0 {
        stream.last_success = stream.last_success.max(delivery.settled_at);
    }
    if let Some(breaker) = &settlement.breaker
        && !stream.removed
    {
        stream.breaker = json(breaker)?;
    }
    stream.store(conn)
}

fn check_state(conn: &Connection, stream: &StreamRow, settlement: &Settlement) -> Outcome<()> {
    let id = settlement.delivery.id;
    let (status, attempts): (i64, u32) = conn
        .prepare_cached("SELECT status, attempts FROM delivery WHERE stream = ?1 AND id = ?2")?
        .query_row(params![stream.num, id.0.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or(Fault::Refused(StoreError::NotFound))?;
    if status != Status::Pending.number() {
        return Err(Fault::conflict(format!("delivery {id} is settled already")));
    }
    if attempts != settlement.expected_attempts {
        return Err(Fault::conflict(format!(
            "delivery {id} has {attempts} attempts, not {}",
            settlement.expected_attempts
        )));
    }
    Ok(())
}

/// Invariant D1: events move from one place to another, and what leaves the delivery is in a child or counted.
fn check_counts(settlement: &Settlement) -> Outcome<()> {
    let (delivery, counts) = (&settlement.delivery, &settlement.counts);
    let leaving = if delivery.accounted && delivery.status != Status::Pending {
        count(delivery.events()) - count(settlement.children.iter().map(Delivery::events).sum())
    } else {
        0
    };
    if counts.total() != 0 || counts.pending != -leaving {
        return Err(Fault::unaccounted(format!(
            "delivery {} leaves {leaving} events, but the counts move pending by {} and all places by {}",
            delivery.id,
            counts.pending,
            counts.total()
        )));
    }
    Ok(())
}

/// What this settlement parks, what has arrived, and what expired on its way.
fn move_parked(conn: &Connection, stream: &StreamRow, settlement: &Settlement) -> Outcome<()> {
    let delivery = &settlement.delivery;
    for parked in &settlement.parked {
        rows::park(conn, stream.num, parked)?;
    }
    let state = if settlement.counts.expired > 0 { ParkState::Expired } else { ParkState::Arrived };
    let moved = if settlement.counts.expired > 0 { &delivery.members } else { &settlement.arrived };
    update_on_their_way(conn, stream, moved, state, delivery)
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
        let row = rows::parked_row(conn, stream.num, *seq)?
            .filter(|row| row.state == ParkState::Waiting && row.parked.kind == ParkKind::Rejected);
        let Some(row) = row else { continue };
        conn.prepare_cached("UPDATE parked SET kind = ?3 WHERE stream = ?1 AND seq = ?2")?.execute(params![
            stream.num,
            int(seq.0),
            ParkKind::Failed.number()
        ])?;
        stream.counts.rejected -= count(row.parked.events);
        stream.counts.failed += count(row.parked.events);
    }
    Ok(())
}
