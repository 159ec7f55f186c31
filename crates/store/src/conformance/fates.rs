//! Where an event stands with each stream, in agreement with the counts.

use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::Trigger;
use toktra_siem_core::event::EventType::{Anomaly, Heartbeat, Lockout};
use toktra_siem_core::event::Severity::{High, Low};
use toktra_siem_core::filter::{Filter, FilterRule};
use toktra_siem_core::ids::{EventId, Seq, StreamKind};

use super::World;
use super::flow::{Flow, delivered, rejected};
use super::world::{datadog, only, refused, run, splunk, stream_of};
use crate::{Resume, StoreError, StreamFate};

/// The fate with the only stream.
async fn fate(world: &World, id: EventId) -> StreamFate {
    let mut fates = world.store.fates(world.org, id).await.unwrap();
    assert_eq!(fates.len(), 1);
    fates.remove(0).fate
}

/// Each outcome, with the delivery and the cause where there is one.
pub async fn every_outcome(world: &World) {
    let connector = world.splunk(Filter::default()).await;
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    let ids = world.append(9).await;
    assert_eq!(fate(world, ids[0]).await, StreamFate::Pending { delivery: None }, "behind the cursor");
    let first = flow.open_to(2).await.unwrap();
    assert_eq!(fate(world, ids[0]).await, StreamFate::Pending { delivery: Some(first.id) });
    flow.end(&first, vec![(1, delivered()), (1, rejected())]).await;
    assert_eq!(fate(world, ids[0]).await, StreamFate::Delivered { delivery: first.id });
    let cause = toktra_siem_core::cause::Cause::new("poison", "It is poison.");
    assert_eq!(fate(world, ids[1]).await, StreamFate::Rejected { delivery: first.id, cause });

    let second = flow.open_to(4).await.unwrap();
    flow.fail(&second).await;
    let cause = toktra_siem_core::cause::Cause::new("down", "It is down.");
    let failed = StreamFate::Failed { delivery: second.id, cause };
    assert_eq!((fate(world, ids[2]).await, fate(world, ids[3]).await), (failed.clone(), failed.clone()));
    let again = flow.open_parked(run(3, 3)).await;
    assert_eq!(fate(world, ids[2]).await, StreamFate::Pending { delivery: Some(again.id) });
    flow.fail(&again).await;
    assert!(matches!(fate(world, ids[2]).await, StreamFate::Failed { delivery, .. } if delivery == again.id));
    world.store.expire_parked(&flow.lease, vec![Seq(4)], world.now()).await.unwrap();
    assert_eq!(fate(world, ids[3]).await, StreamFate::Expired);

    let third = flow.open_to(6).await.unwrap();
    let split = toktra_siem_core::destination::Judgement::Split(toktra_siem_core::cause::Cause::new("large", "Large."));
    let split = flow.verdict(&third, split);
    flow.settle(split.clone()).await.unwrap();
    assert_eq!(fate(world, ids[5]).await, StreamFate::Pending { delivery: Some(split.children[1].id) });

    let (range, now) = (world.range_id(), world.now());
    world.store.recover(&flow.lease, range, Trigger::Recovery, Breaker::default(), now).await.unwrap();
    assert_eq!(fate(world, ids[8]).await, StreamFate::Pending { delivery: None }, "in a range");
    world.save(Connector { active: false, ..connector.clone() }, Resume::Backlog).await;
    world.save(connector, Resume::Now).await;
    assert_eq!(fate(world, ids[8]).await, StreamFate::Skipped);
    world.checked(flow.stream).await;
    refused!(world.store.fates(world.org, world.event().event_id).await, StoreError::NotFound);
}

/// The rule by which an event was passed by: that of its time. Until the cursor passes it, it is pending, as in the counts. The
/// service's own events are judged like the rest.
pub async fn the_rule_is_named(world: &World) {
    let filter = Filter { severity: vec![High], event_types: vec![Anomaly] };
    let draft = Connector { filter, ..world.draft(datadog(false), true) };
    let connector = world.create(draft).await;
    let event = |event_type, severity| world.event_of(world.org, event_type, severity);
    let events = vec![event(Lockout, Low), event(Lockout, High), event(Anomaly, High), event(Heartbeat, Low)];
    let ids = world.append_all(events).await;
    let fates =
        async |id| world.store.fates(world.org, id).await.unwrap().into_iter().map(|f| f.fate).collect::<Vec<_>>();
    let waiting = StreamFate::Pending { delivery: None };
    assert_eq!(fates(ids[0]).await, [waiting.clone(), waiting]);
    world.save_filter(&connector, only(&[Low])).await;

    let logs = Flow::take_over(world, stream_of(&connector, StreamKind::Logs)).await;
    let delivery = logs.open_all().await.id;
    let metrics = Flow::take_over(world, stream_of(&connector, StreamKind::Metrics)).await;
    assert_eq!(metrics.open_to(4).await, None);
    let by = |rule| StreamFate::Filtered { rule };
    let taken = StreamFate::Pending { delivery: Some(delivery) };
    let expected = [by(FilterRule::Severity), by(FilterRule::EventTypes), taken, by(FilterRule::Severity)];
    for (id, logs) in ids.into_iter().zip(expected) {
        assert_eq!(fates(id).await, [logs, by(FilterRule::SendMetrics)]);
    }
}

/// Streams by the creation of their connectors; one that came later says so; a deleted connector is left out.
pub async fn before_the_stream(world: &World) {
    let first = world.create(world.draft(splunk(), true)).await;
    let id = world.append(1).await[0];
    let second = world.create(world.draft(datadog(true), false)).await;
    let fates = world.store.fates(world.org, id).await.unwrap();
    let (pending, before) = (StreamFate::Pending { delivery: None }, StreamFate::Before);
    let expected = [
        (stream_of(&first, StreamKind::Events), pending),
        (stream_of(&second, StreamKind::Logs), before.clone()),
        (stream_of(&second, StreamKind::Metrics), before),
    ];
    assert_eq!(fates.into_iter().map(|f| (f.stream, f.fate)).collect::<Vec<_>>(), expected);
    world.store.delete_connector(world.org, first.id, None, world.audit("connector.delete", &first.id)).await.unwrap();
    assert_eq!(world.store.fates(world.org, id).await.unwrap().len(), 2);
}
