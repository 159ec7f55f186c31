//! `open`: nothing is passed without account, and whoever does not know the newest state is refused.

use toktra_siem_core::delivery::{Delivery, Trigger};
use toktra_siem_core::event::Severity::{High, Low};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{Revision, Seq, StreamKind};
use toktra_siem_core::members::Members;

use super::World;
use super::flow::Flow;
use super::world::{only, refused, run, stream_of};
use crate::{Open, Passed, StoreError, StreamRecord, Taken};

async fn unchanged(flow: &Flow<'_>, before: &StreamRecord) {
    assert_eq!(flow.record().await, *before);
    assert!(flow.world.store.pending(flow.stream).await.unwrap().is_empty());
}

/// Invariant D3: a move that is off by one, in either direction, or names other events, is refused and changes nothing.
pub async fn every_event_is_accounted_for(world: &World) {
    let connector = world.splunk(only(&[High])).await;
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    world.append_severities(&[High, Low, High, High]).await;
    let before = flow.record().await;
    let revision = flow.revision().await;
    let batch = |members| vec![world.delivery(flow.stream, Trigger::Live, members)];
    let live = |from, to, filtered, deliveries| {
        let passed = Passed { filtered, expired: 0 };
        Open { deliveries, taken: Taken::Live { from: Seq(from), to: Seq(to), passed, revision }, job: None }
    };
    let both = [batch(run(1, 2)), batch(run(2, 3))].concat();
    let odd_and_even = [[1, 3], [2, 4]].map(|seqs| Members::from_ascending(seqs.map(Seq)));
    let interleaved = odd_and_even.map(|members| batch(members).remove(0)).into();
    let unaccounted = Delivery { accounted: false, ..batch(run(1, 1)).remove(0) };
    let settled = Delivery { status: toktra_siem_core::delivery::Status::Delivered, ..batch(run(1, 1)).remove(0) };
    for (open, why) in [
        (live(0, 2, 0, batch(run(1, 1))), "one is lost"),
        (live(0, 2, 2, batch(run(1, 1))), "one is invented"),
        (live(0, 5, 4, batch(run(1, 1))), "past the head"),
        (live(0, 2, 1, batch(run(3, 3))), "not among the passed"),
        (live(0, 4, 0, both), "one is in two"),
        (live(0, 4, 0, interleaved), "one runs into the other"),
        (live(0, 1, 0, vec![unaccounted]), "not accounted"),
        (live(0, 1, 0, vec![settled]), "not pending"),
    ] {
        let result = flow.open(open).await;
        assert!(matches!(result, Err(StoreError::Unaccounted(_))), "{why}: {result:?}");
        unchanged(&flow, &before).await;
    }
    let right = flow.prepare(Seq(4)).await;
    flow.open(right.clone()).await.unwrap();
    let record = flow.record().await;
    assert_eq!((record.cursor, record.counts.pending, record.counts.filtered), (Seq(4), 3, 1));
    assert_eq!(world.store.pending(flow.stream).await.unwrap(), right.deliveries);
    assert_eq!(world.store.delivery_record(right.deliveries[0].id).await.unwrap().as_ref(), right.deliveries.first());
    assert_eq!(world.store.delivery_record(world.delivery_id()).await.unwrap(), None);
}

/// The same move twice is a conflict the second time.
pub async fn the_cursor_is_compared(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(4).await;
    let (first, second) = (flow.prepare(Seq(2)).await, flow.prepare(Seq(2)).await);
    flow.open(first).await.unwrap();
    let after = flow.record().await;
    refused!(flow.open(second).await, StoreError::Conflict(_));
    assert_eq!(flow.record().await, after);
    flow.open_to(4).await.unwrap();
}

/// A revision that holds for an event of the move must be known; one that starts later need not.
pub async fn a_newer_filter_makes_it_stale(world: &World) {
    let connector = world.splunk(Filter::default()).await;
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    world.append(2).await;
    let early = flow.prepare(Seq(2)).await;
    world.save_filter(&connector, only(&[Low])).await;
    let flow = flow.renewed().await;
    world.append_severities(&[High]).await;
    let before = flow.record().await;
    let late = Open {
        deliveries: vec![world.delivery(flow.stream, Trigger::Live, run(1, 3))],
        taken: Taken::Live { from: Seq(0), to: Seq(3), passed: Passed::default(), revision: Revision(1) },
        job: None,
    };
    refused!(flow.open(late).await, StoreError::Stale);
    unchanged(&flow, &before).await;
    flow.open(early).await.unwrap();
    assert_eq!(flow.open_to(3).await, None, "passed by altogether: a plain advance");
    let record = flow.record().await;
    assert_eq!((record.cursor, record.counts.filtered), (Seq(3), 1));
}

/// Of two owners only the newest may write.
pub async fn a_newer_lease_fences(world: &World) {
    let former = Flow::take_over(world, world.stream().await).await;
    world.append(2).await;
    let open = former.prepare(Seq(2)).await;
    let newest = Flow::take_over(world, former.stream).await;
    assert!(newest.lease.epoch > former.lease.epoch);
    refused!(former.open(open.clone()).await, StoreError::Fenced);
    refused!(world.store.set_breaker(&former.lease, super::resume::open_breaker(world)).await, StoreError::Fenced);
    refused!(world.store.expire_parked(&former.lease, vec![Seq(1)], world.now()).await, StoreError::Fenced);
    let (range, closed) = (world.range_id(), toktra_siem_core::breaker::Breaker::default());
    let recovered = world.store.recover(&former.lease, range, Trigger::Recovery, closed, world.now()).await;
    refused!(recovered, StoreError::Fenced);
    newest.open(open).await.unwrap();
    newest.record().await;
}

/// One move may fill several deliveries.
pub async fn several_at_once(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(6).await;
    let deliveries: Vec<_> =
        [run(1, 2), run(3, 3), run(4, 6)].map(|m| world.delivery(flow.stream, Trigger::Live, m)).into();
    let revision = flow.revision().await;
    let taken = Taken::Live { from: Seq(0), to: Seq(6), passed: Passed::default(), revision };
    flow.open(Open { deliveries: deliveries.clone(), taken, job: None }).await.unwrap();
    assert_eq!(flow.record().await.counts.pending, 6);
    assert_eq!(world.store.pending(flow.stream).await.unwrap(), deliveries);
    for delivery in &deliveries {
        flow.deliver(delivery).await;
    }
    assert_eq!(flow.record().await.counts.delivered, 6);
}

/// Tests, replays and redeliveries of what was delivered move no cursor and no count; they must not claim to be accounted.
pub async fn beside_moves_nothing(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(2).await;
    flow.deliver(&flow.open_all().await).await;
    let before = flow.record().await;
    let again = world.delivery(flow.stream, Trigger::Redelivery, run(1, 1));
    let replay = world.delivery(flow.stream, Trigger::Replay, run(1, 2));
    let open = Open { deliveries: vec![again.clone(), replay.clone()], taken: Taken::Beside, job: None };
    flow.open(open).await.unwrap();
    assert_eq!(flow.record().await, before);
    assert_eq!(world.store.pending(flow.stream).await.unwrap(), [again, replay]);
    let test = world.delivery(flow.stream, Trigger::Test, run(1, 0));
    refused!(
        flow.open(Open { deliveries: vec![test], taken: Taken::Beside, job: None }).await,
        StoreError::Unaccounted(_)
    );
    let claiming = Delivery { accounted: true, ..world.delivery(flow.stream, Trigger::Redelivery, run(1, 1)) };
    refused!(
        flow.open(Open { deliveries: vec![claiming], taken: Taken::Beside, job: None }).await,
        StoreError::Unaccounted(_)
    );
}

/// A delivery's id is used once.
pub async fn ids_are_used_once(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(2).await;
    let first = flow.open_to(1).await.unwrap();
    let before = flow.record().await;
    let mut again = flow.prepare(Seq(2)).await;
    again.deliveries[0].id = first.id;
    refused!(flow.open(again).await, StoreError::Conflict(_));
    assert_eq!(flow.record().await, before);
    world.append(1).await;
    let mut twice = flow.prepare(Seq(3)).await;
    let only = twice.deliveries.remove(0);
    twice.deliveries = [run(2, 2), run(3, 3)].map(|members| Delivery { members, ..only.clone() }).into();
    refused!(flow.open(twice).await, StoreError::Conflict(_));
    assert_eq!(flow.record().await.cursor, before.cursor);
}

/// A backlog range has its own cursor, compared like the live one, and is gone when it is used up.
pub async fn ranges_are_used_up(world: &World) {
    let connector = world.splunk(only(&[High])).await;
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    world.append_severities(&[High, High, Low, High]).await;
    let (id, closed) = (world.range_id(), toktra_siem_core::breaker::Breaker::default());
    let made = world.store.recover(&flow.lease, id, Trigger::Recovery, closed, world.now()).await.unwrap();
    let range = made.unwrap();
    flow.open_range(&range, Seq(2)).await.unwrap();
    let moved = world.store.ranges(flow.stream).await.unwrap();
    assert_eq!(moved, [crate::BacklogRange { cursor: Seq(2), ..range.clone() }]);
    let taken =
        |from, to, filtered| Taken::Range { id, from: Seq(from), to: Seq(to), passed: Passed { filtered, expired: 0 } };
    let open = |taken, members| Open {
        deliveries: vec![world.delivery(flow.stream, Trigger::Recovery, members)],
        taken,
        job: None,
    };
    refused!(flow.open(open(taken(0, 2, 0), run(1, 2))).await, StoreError::Conflict(_));
    refused!(flow.open(open(taken(2, 4, 0), run(4, 4))).await, StoreError::Unaccounted(_));
    refused!(flow.open(open(taken(2, 5, 2), run(4, 4))).await, StoreError::Unaccounted(_));
    flow.open(open(taken(2, 4, 1), run(4, 4))).await.unwrap();
    assert!(world.store.ranges(flow.stream).await.unwrap().is_empty());
    let record = flow.record().await;
    assert_eq!((record.counts.pending, record.counts.filtered), (3, 1));
    refused!(flow.open(open(taken(4, 4, 0), run(4, 4))).await, StoreError::Conflict(_));
}
