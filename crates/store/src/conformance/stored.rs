//! What the events of each org take: counted for each, and to the end.

use std::time::Duration;

use toktra_siem_core::event::{EventType, NewEvent, Severity};
use toktra_siem_core::ids::OrgId;

use super::World;
use super::world::refused;
use crate::{Appended, Retention, StoreError};

const DAY: i64 = 24 * 3600 * 1000;

async fn bytes(world: &World, org: OrgId) -> u64 {
    world.store.stored_bytes().await.unwrap().get(&org).copied().unwrap_or(0)
}

fn of(world: &World, org: OrgId, count: usize) -> Vec<NewEvent> {
    (0..count).map(|_| world.event_of(org, EventType::Anomaly, Severity::High)).collect()
}

/// Removes payloads older than `payloads` days and records older than `history` days, to the end.
async fn expire(world: &World, payloads: u64, history: u64) {
    let before = |days: u64| world.now().minus(Duration::from_hours(24 * days));
    let retention = Retention { payloads_before: before(payloads), history_before: before(history) };
    while world.store.expire(retention).await.unwrap().more {}
}

/// What an org appends counts as its own, and what is not kept counts as nobody's.
pub async fn each_org_has_its_own(world: &World) {
    let other = world.other_org().await;
    assert_eq!((bytes(world, world.org).await, bytes(world, other).await), (0, 0));
    let events = of(world, world.org, 10);
    let payloads: usize = events.iter().map(|event| event.payload.len()).sum();
    world.append_all(events.clone()).await;
    let own = bytes(world, world.org).await;
    assert!(own >= payloads as u64, "{own} for {payloads} bytes of payload");
    assert_eq!(bytes(world, other).await, 0);

    let again = world.store.append(events).await.unwrap();
    assert!(again.iter().all(|appended| matches!(appended, Appended::Duplicate { .. })));
    let stranger = OrgId(uuid::Uuid::from_u128(77));
    let mixed = [of(world, world.org, 1), of(world, stranger, 1)].concat();
    refused!(world.store.append(mixed).await, StoreError::NotFound);
    let after = bytes(world, world.org).await;
    assert!(0 < after && after <= own, "a duplicate and what was refused take nothing: {own}, {after}");

    world.append_all([of(world, other, 5), of(world, world.org, 5)].concat()).await;
    assert!(bytes(world, other).await > 0 && bytes(world, world.org).await > after / 2);
}

/// Payloads are taken off as they go, and nothing is left once the records have gone too.
pub async fn what_goes_is_taken_off(world: &World) {
    let other = world.other_org().await;
    world.append_all([of(world, other, 20), of(world, world.org, 20)].concat()).await;
    let before = bytes(world, other).await;
    world.pass(20 * DAY);
    world.append(10).await;
    world.pass(15 * DAY);
    expire(world, 30, 400).await;
    let records = bytes(world, other).await;
    assert!(0 < records && records < before, "{records} of {before}");
    assert!(bytes(world, world.org).await > records, "the younger payloads are there");
    world.pass(400 * DAY);
    expire(world, 30, 400).await;
    assert_eq!((bytes(world, world.org).await, bytes(world, other).await), (0, 0));
}

/// A removed org takes nothing, and the others what they took.
pub async fn nothing_is_left_of_an_org(world: &World) {
    let other = world.other_org().await;
    world.append_all([of(world, other, 20), of(world, world.org, 20)].concat()).await;
    let own = bytes(world, world.org).await;
    world.store.delete_org(other, world.audit("org.delete", &other)).await.unwrap();
    expire(world, 30, 400).await;
    assert_eq!(bytes(world, other).await, 0);
    assert!((1..=own).contains(&bytes(world, world.org).await));
}
