//! Retention: what is undelivered expires before its payload goes, and the history outlives it.

use std::time::Duration;

use toktra_siem_core::accounting::Counts;
use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::{Delivery, ParkKind, Status, Trigger};
use toktra_siem_core::event::EventType;
use toktra_siem_core::event::Severity::{High, Low};
use toktra_siem_core::ids::{EventId, Seq, StreamKind};

use super::World;
use super::flow::{Flow, delivered};
use super::world::{datadog, only, refused, run, stream_of};
use crate::{AuditQuery, Change, Expired, HistoryQuery, ReadLimit, Resume, Retention, StoreError, StreamFate};

const DAY: i64 = 24 * 3600 * 1000;
const MINUTE: i64 = 60 * 1000;

/// Lets `days` pass and an event arrive, then removes payloads older than 30 days and history older than 400, to the end.
async fn after_days(world: &World, days: i64) -> Expired {
    world.pass(days * DAY);
    world.append_severities(&[High]).await;
    let before = |days: u64| world.now().minus(Duration::from_hours(24 * days));
    let retention = Retention { payloads_before: before(30), history_before: before(400) };
    let mut total = Expired::default();
    for _ in 0..1000 {
        let expired = world.store.expire(retention).await.unwrap();
        total.payloads += expired.payloads;
        total.undelivered += expired.undelivered;
        total.evicted += expired.evicted;
        total.records += expired.records;
        total.deliveries += expired.deliveries;
        if !expired.more {
            return total;
        }
    }
    panic!("retention never comes to an end: {total:?}");
}

async fn payload(world: &World, id: EventId) -> Option<bytes::Bytes> {
    world.store.event(world.org, id).await.unwrap().1
}

/// Delivered, waiting, parked and filtered events go; those undelivered are expired, counted, and still listed. Young ones stay.
pub async fn undelivered_expires_first(world: &World) {
    let connector = world.splunk(only(&[High])).await;
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    let ids = world.append_severities(&[High, High, High, Low, High]).await;
    flow.deliver(&flow.open_to(1).await.unwrap()).await;
    flow.fail(&flow.open_to(2).await.unwrap()).await;
    flow.reject(&flow.open_to(3).await.unwrap()).await;
    assert_eq!(after_days(world, 29).await, Expired::default());

    let expired = after_days(world, 2).await;
    assert_eq!((expired.payloads, expired.undelivered, expired.records, expired.deliveries), (5, 3, 0, 0));
    let record = flow.record().await;
    assert_eq!(record.counts, Counts { delivered: 1, expired: 3, filtered: 1, ..Counts::default() });
    assert_eq!((record.cursor, record.head), (Seq(5), Seq(7)));
    for (at, id) in ids.iter().enumerate() {
        let fate = world.store.fates(world.org, *id).await.unwrap().remove(0).fate;
        match at {
            0 => assert!(matches!(fate, StreamFate::Delivered { .. })),
            3 => assert!(matches!(fate, StreamFate::Filtered { .. })),
            _ => assert_eq!(fate, StreamFate::Expired),
        }
        assert_eq!(payload(world, *id).await, None);
    }
    for kind in [ParkKind::Failed, ParkKind::Rejected] {
        assert!(world.store.parked(flow.stream, kind, Seq(0), 9).await.unwrap().is_empty());
    }
    let limit = ReadLimit { events: 9, bytes: 1 << 20 };
    let left = world.store.read(world.org, Seq(0), limit).await.unwrap();
    assert_eq!(left.iter().map(|event| event.seq.0).collect::<Vec<_>>(), [6, 7]);
    assert!(world.store.read_members(world.org, &run(1, 5)).await.unwrap().is_empty());
    assert_eq!(flow.open_all().await.members, run(6, 7));
}

/// An event in a delivery that is in flight, also one beside the log, keeps its payload until the delivery is settled. What waits behind it
/// is accounted for all the same.
pub async fn in_flight_is_waited_for(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    let ids = world.append(3).await;
    world.pass(31 * DAY);
    let delivery = flow.open_to(2).await.unwrap();
    assert_eq!(after_days(world, 0).await.payloads, 0);
    assert!(payload(world, ids[0]).await.is_some() && payload(world, ids[1]).await.is_some());
    let counts = flow.record().await.counts;
    assert_eq!(counts, Counts { pending: 2, expired: 1, ..Counts::default() });
    world.pass(5 * MINUTE);
    assert_eq!(after_days(world, 0).await.payloads, 0);
    flow.deliver(&delivery).await;
    let replay = world.delivery(flow.stream, Trigger::Replay, run(2, 2));
    let beside = crate::Open { deliveries: vec![replay.clone()], taken: crate::Taken::Beside, job: None };
    flow.open(beside).await.unwrap();
    after_days(world, 0).await;
    assert!(payload(world, ids[1]).await.is_some());
    flow.deliver(&replay).await;
    assert!(after_days(world, 0).await.payloads >= 1);
    assert_eq!((payload(world, ids[0]).await, payload(world, ids[1]).await), (None, None));
    assert_eq!(flow.record().await.counts.delivered, 2);
}

async fn switch_off(world: &World, connector: &Connector) {
    world.save(Connector { active: false, ..connector.clone() }, Resume::Backlog).await;
}

/// Deliveries of a connector that is switched off do not keep payloads, neither their own nor those of other orgs: they fail, what they
/// carried expires, and who tries to settle them later changes nothing.
pub async fn what_lies_still_is_given_up(world: &World) {
    let connector = world.splunk(only(&[High])).await;
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    let stranger = world.other_org().await;
    let theirs = world.append_all(vec![world.event_of(stranger, EventType::Anomaly, High)]).await;
    let ids = world.append(4).await;
    flow.fail(&flow.open_to(1).await.unwrap()).await;
    let again = flow.open_parked(run(1, 1)).await;
    let live = flow.open_to(3).await.unwrap();
    let replay = world.delivery(flow.stream, Trigger::Replay, run(1, 2));
    flow.open(crate::Open { deliveries: vec![replay.clone()], taken: crate::Taken::Beside, job: None }).await.unwrap();
    switch_off(world, &connector).await;

    let expired = after_days(world, 31).await;
    assert_eq!((expired.payloads, expired.undelivered), (5, 4));
    let counts = flow.record().await.counts;
    assert_eq!(counts, Counts { expired: 4, ..Counts::default() });
    assert_eq!(world.store.event(stranger, theirs[0]).await.unwrap().1, None);
    for id in ids {
        assert_eq!(payload(world, id).await, None);
        assert_eq!(world.store.fates(world.org, id).await.unwrap().remove(0).fate, StreamFate::Expired);
    }
    assert!(world.store.pending(flow.stream).await.unwrap().is_empty());
    for given_up in [again, live, replay] {
        let stored = world.store.delivery_record(given_up.id).await.unwrap().unwrap();
        assert_eq!((stored.status, stored.settled_at, stored.attempts), (Status::Failed, Some(world.now()), 0));
        assert_eq!(stored.cause.unwrap().code, "retention");
        let late = flow.judge(&given_up, vec![(given_up.items(), delivered())]);
        refused!(flow.settle(late).await, StoreError::Conflict(_));
    }
    assert_eq!(flow.record().await.counts, counts);
}

/// A window that lies still expires as one.
pub async fn a_window_that_lies_still_expires(world: &World) {
    let draft = Connector { filter: only(&[High]), ..world.draft(datadog(true), true) };
    let connector = world.create(draft).await;
    let metrics = Flow::take_over(world, stream_of(&connector, StreamKind::Metrics)).await;
    world.append_severities(&[Low, High, High]).await;
    let window = metrics.open_all().await;
    metrics.fail(&window).await;
    let again = Delivery { window: window.window, ..world.delivery(metrics.stream, Trigger::Recovery, run(1, 3)) };
    let taken = crate::Taken::Parked(run(1, 1));
    metrics.open(crate::Open { deliveries: vec![again], taken, job: None }).await.unwrap();
    world.append_severities(&[High]).await;
    world.pass(1000);
    metrics.open_all().await;
    switch_off(world, &connector).await;
    after_days(world, 31).await;
    let counts = metrics.record().await.counts;
    assert_eq!(counts, Counts { expired: 3, filtered: 1, ..Counts::default() });
    assert!(world.store.parked(metrics.stream, ParkKind::Failed, Seq(0), 9).await.unwrap().is_empty());
}

/// Of a delivery that is given up, events whose time is not over are kept for recovery. For stores whose partitions hold four events.
pub async fn younger_ones_are_parked(world: &World) {
    let connector = world.splunk(only(&[High])).await;
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    world.append(4).await;
    world.pass(20 * DAY);
    let young = world.append(2).await;
    flow.fail(&flow.open_all().await).await;
    flow.open_parked(run(3, 6)).await;
    switch_off(world, &connector).await;
    assert_eq!(after_days(world, 11).await.payloads, 4);
    let counts = flow.record().await.counts;
    assert_eq!(counts, Counts { expired: 4, failed: 2, ..Counts::default() });
    let parked = world.store.parked(flow.stream, ParkKind::Failed, Seq(0), 9).await.unwrap();
    assert_eq!(parked.iter().map(|parked| parked.seq.0).collect::<Vec<_>>(), [5, 6]);
    assert!(payload(world, young[0]).await.is_some() && payload(world, young[1]).await.is_some());
    world.save(connector, Resume::Backlog).await;
    let flow = Flow::take_over(world, flow.stream).await;
    flow.deliver(&flow.open_parked(run(5, 6)).await).await;
    let counts = flow.record().await.counts;
    assert_eq!(counts, Counts { expired: 4, delivered: 2, pending: 1, ..Counts::default() }, "one came meanwhile");
}

/// Compact records and settled deliveries live longer; when they go, the counts stay.
pub async fn history_outlives_payloads(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    let ids = world.append(2).await;
    let delivery = flow.deliver(&flow.open_all().await).await;
    after_days(world, 31).await;
    let (record, payload) = world.store.event(world.org, ids[0]).await.unwrap();
    assert_eq!((record.seq, record.event_id, payload), (Seq(1), ids[0], None));
    assert_eq!(world.store.delivery(world.org, delivery.id).await.unwrap().events.len(), 2);

    let expired = after_days(world, 401).await;
    assert!(expired.records >= 2 && expired.deliveries >= 1, "{expired:?}");
    refused!(world.store.event(world.org, ids[0]).await, StoreError::NotFound);
    refused!(world.store.fates(world.org, ids[0]).await, StoreError::NotFound);
    refused!(world.store.delivery(world.org, delivery.id).await, StoreError::NotFound);
    let page = world.store.history(world.org, HistoryQuery { limit: 9, ..HistoryQuery::default() }).await.unwrap();
    assert!(page.items.is_empty());
    assert_eq!(flow.record().await.counts.delivered, 2);
    world.append(1).await;
    assert_eq!(flow.record().await.head, Seq(5), "sequences are never given again");
}

/// A parked window expires as one, and what is left of a backlog range expires too.
pub async fn windows_and_ranges(world: &World) {
    let draft = Connector { filter: only(&[High]), ..world.draft(datadog(true), true) };
    let connector = world.create(draft).await;
    let metrics = Flow::take_over(world, stream_of(&connector, StreamKind::Metrics)).await;
    let logs = Flow::take_over(world, stream_of(&connector, StreamKind::Logs)).await;
    world.append_severities(&[Low, High, High, Low, High]).await;
    metrics.fail(&metrics.open_to(3).await.unwrap()).await;
    let (id, now) = (world.range_id(), world.now());
    let range = world.store.recover(&logs.lease, id, Trigger::Recovery, Breaker::default(), now).await.unwrap();
    logs.deliver(&logs.open_range(&range.unwrap(), Seq(2)).await.unwrap()).await;
    after_days(world, 31).await;
    let counts = metrics.record().await.counts;
    assert_eq!(counts, Counts { expired: 3, filtered: 2, ..Counts::default() });
    let counts = logs.record().await.counts;
    assert_eq!(counts, Counts { delivered: 1, expired: 2, filtered: 2, ..Counts::default() });
    assert!(world.store.ranges(logs.stream).await.unwrap().is_empty());
}

/// Entries of the audit log go with the history of their time.
pub async fn the_audit_log_lives_as_long_as_the_history(world: &World) {
    let audit = async || {
        let query = AuditQuery { limit: 99, ..AuditQuery::default() };
        world.store.audit(world.org, query).await.unwrap().items.into_iter().map(|(_, e)| e.action).collect::<Vec<_>>()
    };
    world.splunk(only(&[High])).await;
    let before = audit().await.len();
    assert!(before > 0);
    world.pass(DAY);
    let rename = Change { value: "later".to_owned(), audit: world.audit("org.rename", &world.org) };
    world.store.rename_org(world.org, rename).await.unwrap();
    assert_eq!(audit().await.len(), 1 + before);
    after_days(world, 400).await;
    assert_eq!(audit().await, ["org.rename"], "the audit log lives as long as the history");
}
