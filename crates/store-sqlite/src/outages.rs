//! The probes of an outage: those that fail are attempts of the first that did, so that the history has one row for an outage.

use rusqlite::{Connection, params};
use toktra_siem_core::delivery::{Delivery, Parked};
use toktra_siem_core::ids::DeliveryId;
use toktra_siem_core::outage::{self, Lasts, Outage};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::deliveries::Settlement;
use toktra_siem_store::rules::parked::ParkState;
use toktra_siem_store::rules::settle::failed_probe;

use super::codec::{int, json};
use super::fault::Outcome;
use super::rows;
use super::streams::StreamRow;

/// What a probe that has failed had taken up, as it was parked before. `None` where the settlement is of something else, or of an event
/// that was never parked: that it failed is the first that is known of it, and has a delivery of its own.
pub(super) fn taken_up(
    conn: &Connection,
    stream: &StreamRow,
    before: &Delivery,
    settlement: &Settlement,
) -> Outcome<Option<Parked>> {
    let Some(seq) = failed_probe(before, settlement) else { return Ok(None) };
    let row = rows::parked_row(conn, stream.num, seq)?;
    Ok(row.filter(|row| row.state == ParkState::OnItsWay && row.link == Some(before.id)).map(|row| row.parked))
}

/// Takes a failed probe into the outage: the first one becomes its delivery, later ones become attempts of that. `was` is what it had taken
/// up. The caller stores the row.
pub(super) fn add_probe(
    conn: &Connection,
    stream: &mut StreamRow,
    settlement: &Settlement,
    was: &Parked,
) -> Outcome<()> {
    let mut outages = stream.outages();
    let Some(outage) = outages.last_mut().filter(|outage| outage.until.is_none()) else { return Ok(()) };
    let probe = &settlement.delivery;
    let first = match outage.probes {
        Some(id) => rows::one_delivery(conn, stream, id)?,
        None => None,
    };
    let Some(mut first) = first else {
        outage.probes = Some(probe.id);
        lasts(conn, stream, probe.id, Lasts { since: outage.since, until: None })?;
        stream.outages = json(&outages)?;
        return Ok(());
    };
    first.attempts += 1;
    (first.settled_at, first.cause) = (probe.settled_at, probe.cause.clone());
    rows::update_delivery(conn, stream.num, &first)?;
    let (old, new) = (probe.id.0.as_bytes(), first.id.0.as_bytes());
    conn.prepare_cached("UPDATE attempt SET delivery = ?3, number = ?4 WHERE stream = ?1 AND delivery = ?2")?
        .execute(params![stream.num, old, new, first.attempts])?;
    if let Some(number) = outage::forgotten(first.attempts) {
        conn.prepare_cached("DELETE FROM attempt WHERE stream = ?1 AND delivery = ?2 AND number = ?3")?
            .execute(params![stream.num, new, number])?;
    }
    conn.prepare_cached("DELETE FROM delivery WHERE stream = ?1 AND id = ?2")?.execute(params![stream.num, old])?;
    conn.prepare_cached("UPDATE parked SET delivery = ?3, since = ?4 WHERE stream = ?1 AND seq = ?2")?
        .execute(params![stream.num, int(was.seq.0), was.delivery.0.as_bytes(), was.since.0])?;
    Ok(())
}

/// The outage is over: so its delivery says.
pub(super) fn end(conn: &Connection, stream: &StreamRow, before: &[Outage], now: Timestamp) -> Outcome<()> {
    let (Some(id), Some(outage)) = (outage::probes(before), before.last()) else { return Ok(()) };
    lasts(conn, stream, id, Lasts { since: outage.since, until: Some(now) })
}

fn lasts(conn: &Connection, stream: &StreamRow, id: DeliveryId, lasts: Lasts) -> Outcome<()> {
    conn.prepare_cached("UPDATE delivery SET outage = ?3 WHERE stream = ?1 AND id = ?2")?.execute(params![
        stream.num,
        id.0.as_bytes(),
        json(&lasts)?
    ])?;
    Ok(())
}
