//! Test deliveries: rows like those of any other delivery, and an event beside them that is not in the log. No lease, no cursor, no count.

use rusqlite::{Connection, OptionalExtension, params};
use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::delivery::{Delivery, Status, Trigger};
use toktra_siem_core::ids::{EventId, NodeId, OrgId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::config::Change;
use toktra_siem_store::deliveries::{TestEvent, TestOpen, TestSettlement};
use toktra_siem_store::error::StoreError;
use toktra_siem_store::test_delivery;

use super::audit::write as write_audit;
use super::codec::{Word, json, uuid};
use super::deliveries::set_apart;
use super::engine::Engine;
use super::fault::{Fault, Outcome};
use super::{connectors, rows, streams};

/// Pins test deliveries.
pub(super) fn open(engine: &mut Engine, org: OrgId, change: &Change<TestOpen>) -> Outcome<()> {
    let TestOpen { event, deliveries, node } = &change.value;
    let num = engine.org(org)?.num;
    let conn = &engine.conn;
    let mut streams = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let stream = streams::present(conn, delivery.stream)?;
        if stream.org_num != num {
            return Err(StoreError::NotFound.into());
        }
        streams.push(stream.num);
    }
    if !deliveries.iter().all(|delivery| test_delivery::is_new(delivery, org)) {
        return Err(Fault::unaccounted("a test delivery is pending, without members, and moves no count"));
    }
    for (delivery, stream) in deliveries.iter().zip(streams) {
        if rows::delivery_exists(conn, stream, delivery.id)? {
            return Err(Fault::conflict(format!("there is a delivery {} already", delivery.id)));
        }
        rows::insert_delivery(conn, stream, delivery, false)?;
        conn.prepare_cached(
            "INSERT INTO test_event (stream, delivery, event_id, at, payload, node) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            stream,
            delivery.id.0.as_bytes(),
            event.event_id.0.as_bytes(),
            event.event_time.0,
            &event.payload[..],
            node.0.as_bytes()
        ])?;
    }
    write_audit(conn, Some(num), &change.audit)
}

/// Records the end of a test delivery; whether it closed the stream's breaker.
pub(super) fn settle(engine: &mut Engine, settlement: &TestSettlement) -> Outcome<bool> {
    let TestSettlement { delivery, attempt, range } = settlement;
    let conn = &engine.conn;
    let missing = || Fault::Refused(StoreError::NotFound);
    let mut stream = streams::find(conn, delivery.stream)?.ok_or_else(missing)?;
    let before = rows::one_delivery(conn, &stream, delivery.id)?.filter(|before| before.trigger == Trigger::Test);
    if before.ok_or_else(missing)?.status != Status::Pending {
        return Err(Fault::conflict(format!("test delivery {} is settled already", delivery.id)));
    }
    test_delivery::check_end(delivery, attempt.as_ref())?;
    rows::update_delivery(conn, stream.num, delivery)?;
    if let Some(attempt) = attempt {
        rows::insert_attempt(conn, stream.num, delivery.id, attempt)?;
    }
    if delivery.delivered == 0 || stream.removed {
        return Ok(false);
    }
    stream.last_success = stream.last_success.max(delivery.settled_at);
    let was_open = !stream.breaker().is_closed();
    if was_open {
        let connector = connectors::record(conn, stream.org_num, stream.id.connector)?.connector;
        let sends = connector.active && connector.settings.sends(stream.id.kind);
        stream.switch(conn, &Breaker::default(), sends, engine.now())?;
        if connector.active {
            set_apart(engine, &mut stream, *range, Trigger::Recovery, engine.now())?;
        }
    }
    stream.store(&engine.conn)?;
    Ok(was_open)
}

/// Settles what is pending of all nodes but the `living` one.
pub(super) fn interrupt(engine: &mut Engine, living: Option<NodeId>) -> Outcome<u64> {
    let interrupted = engine
        .conn
        .prepare_cached(
            "UPDATE delivery INDEXED BY delivery_exception SET status = ?1, settled_at = ?2, due_at = NULL, awaiting = NULL, cause = ?3
             WHERE stream IN (SELECT num FROM stream) AND status <> 1 AND status = 0 AND trigger = ?4 AND accounted = 0
               AND NOT EXISTS (SELECT 1 FROM test_event t WHERE t.stream = delivery.stream AND t.delivery = delivery.id AND t.node = ?5)",
        )?
        .execute(params![
            Status::Failed.number(),
            engine.now().0,
            json(&test_delivery::interrupted())?,
            Trigger::Test.number(),
            living.map(|node| node.0.into_bytes())
        ])?;
    Ok(interrupted as u64)
}

/// The event of `delivery`, where it is a test.
pub(super) fn event_of(conn: &Connection, stream: i64, delivery: &Delivery) -> Outcome<Option<TestEvent>> {
    if delivery.trigger != Trigger::Test {
        return Ok(None);
    }
    let found = conn
        .prepare_cached("SELECT event_id, at, payload FROM test_event WHERE stream = ?1 AND delivery = ?2")?
        .query_row(params![stream, delivery.id.0.as_bytes()], |row| {
            Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?))
        })
        .optional()?;
    Ok(found.map(|(id, at, payload)| TestEvent {
        event_id: EventId(uuid(id)),
        event_time: Timestamp(at),
        payload: payload.into(),
    }))
}

/// A test delivery with its event.
pub(super) struct Found {
    /// The number of its stream.
    pub(super) stream: i64,
    /// What it carries.
    pub(super) event: TestEvent,
    /// The record.
    pub(super) delivery: Delivery,
}

/// The test deliveries of the org that carry this event.
pub(super) fn by_event(conn: &Connection, org: i64, id: EventId) -> Outcome<Vec<Found>> {
    let mut statement = conn.prepare_cached("SELECT stream, delivery FROM test_event WHERE event_id = ?1")?;
    let places: Vec<(i64, [u8; 16])> = statement
        .query_map([id.0.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut found = Vec::with_capacity(places.len());
    for (stream, delivery) in places {
        let Some(stream) = streams::by_number(conn, stream)?.filter(|stream| stream.org_num == org) else { continue };
        let Some(delivery) = rows::one_delivery(conn, &stream, toktra_siem_core::ids::DeliveryId(uuid(delivery)))?
        else {
            continue;
        };
        let event = event_of(conn, stream.num, &delivery)?;
        found.extend(event.map(|event| Found { stream: stream.num, event, delivery }));
    }
    Ok(found)
}
