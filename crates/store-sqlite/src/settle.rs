//! Recording the end of an attempt: the attempt, the delivery, its children, what is parked, and the counts, in one transaction.

use rusqlite::{Connection, params};
use toktra_siem_core::accounting::Counts;
use toktra_siem_core::delivery::{Delivery, ParkKind, Status, Trigger};
use toktra_siem_core::ids::Seq;
use toktra_siem_core::members::Members;
use toktra_siem_store::deliveries::{Lease, Settlement};
use toktra_siem_store::error::StoreError;

use super::codec::{Word, int};
use super::damage;
use super::engine::Engine;
use super::fault::{Fault, Outcome};
use super::jobs;
use super::open::count;
use super::outages;
use super::rows::{self, ParkState};
use super::streams::{self, StreamRow};

/// Applies `settlement`, or `Conflict` where somebody was faster.
pub(super) fn settle(engine: &mut Engine, lease: &Lease, settlement: &Settlement) -> Outcome<()> {
    let conn = &engine.conn;
    let delivery = &settlement.delivery;
    let mut stream = streams::find(conn, lease.stream)?.ok_or(Fault::Refused(StoreError::NotFound))?;
    let before = check_state(conn, &stream, settlement)?;
    check_children(conn, &stream, &before, &settlement.children)?;
    check_counts(&before, settlement)?;
    let taken_up = outages::taken_up(conn, &stream, &before, settlement)?;

    rows::update_delivery(conn, stream.num, delivery)?;
    if let Some(attempt) = &settlement.attempt {
        rows::insert_attempt(conn, stream.num, delivery.id, attempt)?;
    }
    for child in &settlement.children {
        rows::insert_delivery(conn, stream.num, child, false)?;
    }
    stream.counts += settlement.counts;
    if before.accounted && delivery.status != Status::Pending {
        move_parked(conn, &mut stream, &before, settlement)?;
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

/// Whether the settlement speaks of the delivery as it stands: pending, and with the attempts that the caller knows of.
fn check_state(conn: &Connection, stream: &StreamRow, settlement: &Settlement) -> Outcome<Delivery> {
    let id = settlement.delivery.id;
    let before = rows::one_delivery(conn, stream, id)?.ok_or(Fault::Refused(StoreError::NotFound))?;
    if before.status != Status::Pending {
        return Err(Fault::conflict(format!("delivery {id} is settled already")));
    }
    if before.attempts != settlement.expected_attempts {
        let (has, expected) = (before.attempts, settlement.expected_attempts);
        return Err(Fault::conflict(format!("delivery {id} has {has} attempts, not {expected}")));
    }
    let recorded = u32::from(settlement.attempt.is_some());
    if settlement.delivery.attempts != settlement.expected_attempts + recorded {
        return Err(Fault::unaccounted(format!("the attempts of delivery {id} are not those that are recorded")));
    }
    Ok(before)
}

/// Children are pending, counted like their parent, and share out some of its events.
fn check_children(conn: &Connection, stream: &StreamRow, before: &Delivery, children: &[Delivery]) -> Outcome<()> {
    let mut theirs = Vec::new();
    for (at, child) in children.iter().enumerate() {
        let twice = children[..at].iter().any(|other| other.id == child.id);
        if twice || rows::delivery_exists(conn, stream.num, child.id)? {
            return Err(Fault::conflict(format!("there is a delivery {} already", child.id)));
        }
        let related = child.stream == before.stream && child.org == before.org && child.parent == Some(before.id);
        let alike = child.accounted == before.accounted && child.job == before.job;
        if !related || child.status != Status::Pending || !alike {
            return Err(Fault::unaccounted(format!("{} is no pending child of {}", child.id, before.id)));
        }
        theirs.extend(child.members.iter());
    }
    theirs.sort_unstable();
    if theirs.windows(2).any(|pair| pair[0] == pair[1]) || theirs.iter().any(|seq| !before.members.contains(*seq)) {
        return Err(Fault::unaccounted(format!("the children of {} do not share out its events", before.id)));
    }
    Ok(())
}

/// Invariant D1: what leaves the delivery is in a child, or counted where it went.
fn check_counts(before: &Delivery, settlement: &Settlement) -> Outcome<()> {
    let expected = if before.accounted { expected_counts(before, settlement) } else { Some(Counts::default()) };
    if expected == Some(settlement.counts) {
        return Ok(());
    }
    Err(Fault::unaccounted(format!("the settlement of delivery {} loses or invents events", before.id)))
}

/// How the counts have to move, from what the settlement says of the events. `None` where it loses or invents some.
fn expected_counts(before: &Delivery, settlement: &Settlement) -> Option<Counts> {
    let Settlement { delivery, children, parked, counts, .. } = settlement;
    if delivery.status == Status::Pending {
        return (children.is_empty() && parked.is_empty()).then(Counts::default);
    }
    let kept = |kind| parked.iter().filter(|p| p.kind == kind).map(|p| p.events).sum::<u64>();
    let handed_on: u64 = children.iter().map(Delivery::events).sum();
    let expected = Counts {
        delivered: count(delivery.delivered),
        rejected: count(kept(ParkKind::Rejected)),
        failed: count(kept(ParkKind::Failed)),
        expired: counts.expired,
        pending: count(handed_on) - count(before.events()),
        ..Counts::default()
    };
    let whole = expected.total() == 0 && counts.expired >= 0 && delivery.rejected == kept(ParkKind::Rejected);
    (whole && parked.iter().all(|p| before.members.contains(p.seq))).then_some(expected)
}

/// What this settlement parks, what has arrived, and what expired on its way.
fn move_parked(conn: &Connection, stream: &mut StreamRow, before: &Delivery, settlement: &Settlement) -> Outcome<()> {
    for parked in &settlement.parked {
        if !damage::rejected(conn, stream, parked)? {
            rows::park(conn, stream.num, parked)?;
        }
    }
    if settlement.counts.expired > 0 && before.window.is_none() {
        let stays = |seq: &Seq| settlement.children.iter().any(|child| child.members.contains(*seq));
        let parked = |seq: &Seq| settlement.parked.iter().any(|parked| parked.seq == *seq);
        damage::expired(conn, stream, before.members.iter().filter(|seq| !stays(seq) && !parked(seq)))?;
    }
    // Events of the live flow were never parked before: nothing to look for.
    if before.trigger == Trigger::Live {
        return Ok(());
    }
    let (state, moved) = if settlement.counts.expired > 0 {
        (ParkState::Expired, &before.members)
    } else {
        (ParkState::Arrived, &settlement.arrived)
    };
    update_on_their_way(conn, stream, moved, state, before)
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
