//! The history of deliveries: filters, pages, details.

use toktra_siem_core::delivery::{Status, Trigger};
use toktra_siem_core::ids::{ConnectorId, DeliveryId, Seq, StreamKind};
use uuid::Uuid;

use super::World;
use super::flow::{Flow, delivered, retry};
use super::world::{datadog, run, stream_of};
use crate::{HistoryQuery, LastAttempt, Open, Taken};

async fn ids(world: &World, query: HistoryQuery) -> Vec<DeliveryId> {
    let query = HistoryQuery { limit: 50, ..query };
    let page = world.store.history(world.org, query).await.unwrap();
    assert!(!page.has_more);
    page.items.iter().map(|item| item.delivery.id).collect()
}

/// Each filter by itself, and two together.
pub async fn every_filter(world: &World) {
    let connector = world.create(world.draft(datadog(true), true)).await;
    let logs = Flow::take_over(world, stream_of(&connector, StreamKind::Logs)).await;
    let metrics = Flow::take_over(world, stream_of(&connector, StreamKind::Metrics)).await;
    let other = Flow::take_over(world, world.stream().await).await;
    let start = world.now();
    let events = world.append(3).await;
    let first = logs.deliver(&logs.open_to(2).await.unwrap()).await.id;
    world.pass(10);
    let window = metrics.open_to(3).await.unwrap().id;
    world.pass(10);
    let failed = other.fail(&other.open_to(1).await.unwrap()).await.id;
    let replay = world.delivery(logs.stream, Trigger::Replay, run(1, 1));
    logs.open(Open { deliveries: vec![replay.clone()], taken: Taken::Beside, job: None }).await.unwrap();
    let replay = replay.id;

    let all = HistoryQuery::default;
    let (after, at) = (Some(toktra_siem_core::time::Timestamp(start.0 + 10)), |ms| {
        Some(toktra_siem_core::time::Timestamp(start.0 + ms))
    });
    for (query, expected) in [
        (all(), vec![replay, failed, window, first]),
        (HistoryQuery { connector: Some(connector.id), ..all() }, vec![replay, window, first]),
        (HistoryQuery { connector: Some(ConnectorId(Uuid::nil())), ..all() }, vec![]),
        (HistoryQuery { stream: Some(StreamKind::Logs), ..all() }, vec![replay, first]),
        (HistoryQuery { stream: Some(StreamKind::Metrics), ..all() }, vec![window]),
        (HistoryQuery { status: Some(Status::Pending), ..all() }, vec![replay, window]),
        (HistoryQuery { status: Some(Status::Failed), ..all() }, vec![failed]),
        (HistoryQuery { trigger: Some(Trigger::Replay), ..all() }, vec![replay]),
        (HistoryQuery { event_id: Some(events[0]), ..all() }, vec![replay, failed, window, first]),
        (HistoryQuery { event_id: Some(events[2]), ..all() }, vec![window]),
        (HistoryQuery { event_id: Some(world.event().event_id), ..all() }, vec![]),
        (HistoryQuery { from: after, ..all() }, vec![replay, failed, window]),
        (HistoryQuery { to: after, ..all() }, vec![first]),
        (HistoryQuery { from: at(10), to: at(20), ..all() }, vec![window]),
        (HistoryQuery { before: Some(window), ..all() }, vec![first]),
        (HistoryQuery { status: Some(Status::Pending), stream: Some(StreamKind::Logs), ..all() }, vec![replay]),
        (HistoryQuery { event_id: Some(events[1]), status: Some(Status::Delivered), ..all() }, vec![first]),
    ] {
        assert_eq!(ids(world, query.clone()).await, expected, "{query:?}");
    }
}

/// Pages go on from the last of the page before, and say whether there is more.
pub async fn newest_first_in_pages(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(7).await;
    let mut opened = Vec::new();
    for to in 1..=7 {
        opened.push(flow.open_to(to).await.unwrap().id);
    }
    opened.reverse();
    let (mut paged, mut before) = (Vec::new(), None);
    loop {
        let query = HistoryQuery { before, limit: 3, ..HistoryQuery::default() };
        let page = world.store.history(world.org, query).await.unwrap();
        assert!(page.items.len() <= 3);
        paged.extend(page.items.iter().map(|item| item.delivery.id));
        before = paged.last().copied();
        if !page.has_more {
            break;
        }
    }
    assert_eq!(paged, opened);
    let exact = HistoryQuery { limit: 7, ..HistoryQuery::default() };
    assert!(!world.store.history(world.org, exact).await.unwrap().has_more);
}

/// A delivery with its attempts, its children and its events, of which at most 1,000 are listed.
pub async fn detail(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(1500).await;
    let delivery = flow.open_all().await;
    let (settled, children) = flow.end(&delivery, vec![(1200, delivered()), (300, retry())]).await;
    let detail = world.store.delivery(world.org, delivery.id).await.unwrap();
    assert_eq!((detail.delivery, detail.attempts.len(), detail.children), (settled, 1, vec![children[0].id]));
    assert_eq!(detail.events.len(), 1000);
    assert!(detail.events.iter().map(|event| event.seq).eq((1..=1000).map(Seq)));
    assert_eq!(detail.recovered_by, None);
    let child = world.store.delivery(world.org, children[0].id).await.unwrap();
    assert_eq!((child.events.len(), child.delivery.parent), (300, Some(delivery.id)));
}

/// A list says what the last attempt of each delivery came to, and nothing where none was made.
pub async fn lists_tell_the_last_attempt(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(3).await;
    let first = flow.deliver(&flow.open_to(1).await.unwrap()).await;
    let mut retried = flow.open_to(2).await.unwrap();
    for (http_status, duration_ms) in [(Some(503), 7), (None, 9)] {
        let mut settlement = flow.judge(&retried, vec![(1, retry())]);
        let attempt = settlement.attempt.as_mut().unwrap();
        (attempt.http_status, attempt.duration_ms) = (http_status, duration_ms);
        retried = settlement.delivery.clone();
        flow.settle(settlement).await.unwrap();
    }
    let waits = flow.open_to(3).await.unwrap();
    let query = HistoryQuery { limit: 9, ..HistoryQuery::default() };
    let page = world.store.history(world.org, query).await.unwrap();
    let mut found = Vec::new();
    for item in page.items {
        let detail = world.store.delivery(world.org, item.delivery.id).await.unwrap();
        assert_eq!((&item.delivery, item.last), (&detail.delivery, LastAttempt::of(&detail.attempts)));
        found.push((item.delivery.id, item.last));
    }
    let last = |http_status, duration_ms| Some(LastAttempt { http_status, duration_ms });
    assert_eq!(found, [(waits.id, None), (retried.id, last(None, 9)), (first.id, last(Some(200), 3))]);
}

/// A delivery names the later one that brought what it had parked; that one, and what arrived by itself, names none.
pub async fn a_recovery_is_named(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(4).await;
    let recovered_by = async |id| world.store.delivery(world.org, id).await.unwrap().recovered_by;
    let arrived = flow.deliver(&flow.open_to(1).await.unwrap()).await;
    let failed = flow.fail(&flow.open_to(3).await.unwrap()).await;
    let again = flow.open_parked(run(2, 2)).await;
    assert_eq!(recovered_by(failed.id).await, None, "still on its way");
    flow.fail(&again).await;
    assert_eq!(recovered_by(failed.id).await, None);
    let at_last = flow.open_parked(run(2, 3)).await;
    flow.deliver(&at_last).await;
    assert_eq!(recovered_by(failed.id).await, Some(at_last.id));
    assert_eq!(recovered_by(again.id).await, Some(at_last.id));
    assert_eq!((recovered_by(at_last.id).await, recovered_by(arrived.id).await), (None, None));
    // Lists say the same.
    for item in
        world.store.history(world.org, HistoryQuery { limit: 10, ..HistoryQuery::default() }).await.unwrap().items
    {
        assert_eq!(item.recovered_by, recovered_by(item.delivery.id).await);
    }
    // What is sent beside the account parks nothing, so nothing recovers it.
    let beside = world.delivery(flow.stream, Trigger::Replay, run(2, 3));
    flow.open(Open { deliveries: vec![beside.clone()], taken: Taken::Beside, job: None }).await.unwrap();
    assert_eq!(recovered_by(beside.id).await, None);
}
