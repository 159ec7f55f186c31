//! Parked events: listed, sent again, expired.

use toktra_siem_core::accounting::Counts;
use toktra_siem_core::delivery::{Delivery, ParkKind, Trigger};
use toktra_siem_core::ids::Seq;
use toktra_siem_core::members::Members;

use super::World;
use super::flow::{Flow, delivered, rejected, retry};
use super::world::{refused, run};
use crate::{Open, StoreError, StreamFate, Taken};

/// Ten events: 1–6 failed, 7–10 rejected.
async fn parked(world: &World) -> Flow<'_> {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(10).await;
    flow.fail(&flow.open_to(6).await.unwrap()).await;
    flow.reject(&flow.open_to(10).await.unwrap()).await;
    flow
}

async fn list(flow: &Flow<'_>, kind: ParkKind, after: u64, limit: usize) -> Vec<u64> {
    let parked = flow.world.store.parked(flow.stream, kind, Seq(after), limit).await.unwrap();
    parked.iter().map(|parked| parked.seq.0).collect()
}

/// By kind, ascending, after the last of the page before.
pub async fn pages_ascend(world: &World) {
    let flow = parked(world).await;
    assert_eq!(list(&flow, ParkKind::Failed, 0, 4).await, [1, 2, 3, 4]);
    assert_eq!(list(&flow, ParkKind::Failed, 4, 4).await, [5, 6]);
    assert_eq!(list(&flow, ParkKind::Rejected, 0, 3).await, [7, 8, 9]);
    assert_eq!(list(&flow, ParkKind::Rejected, 10, 3).await, [0; 0]);
    let first = world.store.parked(flow.stream, ParkKind::Failed, Seq(0), 1).await.unwrap().remove(0);
    assert_eq!((first.events, first.cause.code.as_ref(), first.since), (1, "down", world.now()));
}

/// Opening moves them to pending, whichever kind they were of, and takes them off the list while they are on their way.
pub async fn on_their_way_they_are_not_listed(world: &World) {
    let flow = parked(world).await;
    flow.open_parked(run(5, 8)).await;
    assert_eq!(flow.record().await.counts, Counts { pending: 4, failed: 4, rejected: 2, ..Counts::default() });
    assert_eq!(list(&flow, ParkKind::Failed, 0, 10).await, [1, 2, 3, 4]);
    assert_eq!(list(&flow, ParkKind::Rejected, 0, 10).await, [9, 10]);
}

/// Those that arrive are linked to the delivery that brought them, and parked no more.
pub async fn arrive_under_a_new_delivery(world: &World) {
    let flow = parked(world).await;
    let delivery = flow.open_parked(run(5, 8)).await;
    flow.deliver(&delivery).await;
    assert_eq!(flow.record().await.counts, Counts { delivered: 4, failed: 4, rejected: 2, ..Counts::default() });
    assert_eq!(list(&flow, ParkKind::Failed, 0, 10).await, [1, 2, 3, 4]);
    let members = Members::from_ascending([Seq(5)]);
    let event = world.store.read_members(world.org, &members).await.unwrap().remove(0);
    let fates = world.store.fates(world.org, event.event_id).await.unwrap();
    assert_eq!(fates[0].fate, StreamFate::Delivered { delivery: delivery.id });
}

/// Those that fail again, in whatever kind and through children too, are parked anew with the newest cause.
pub async fn fail_again(world: &World) {
    let flow = parked(world).await;
    world.pass(5000);
    let delivery = flow.open_parked(run(5, 8)).await;
    let (_, children) = flow.end(&delivery, vec![(1, rejected()), (1, delivered()), (2, retry())]).await;
    assert_eq!(list(&flow, ParkKind::Rejected, 0, 10).await, [5, 9, 10]);
    flow.fail(&children[0]).await;
    assert_eq!(list(&flow, ParkKind::Failed, 0, 10).await, [1, 2, 3, 4, 7, 8]);
    assert_eq!(flow.record().await.counts, Counts { delivered: 1, failed: 6, rejected: 3, ..Counts::default() });
    let newest = world.store.parked(flow.stream, ParkKind::Failed, Seq(6), 1).await.unwrap().remove(0);
    assert_eq!((newest.delivery, newest.since), (children[0].id, world.now()));
}

/// Expiry moves the count; those on their way, gone or unknown are passed over.
pub async fn expire(world: &World) {
    let flow = parked(world).await;
    flow.open_parked(run(2, 2)).await;
    let seqs = || [1, 2, 7, 99].map(Seq).into();
    for _ in 0..2 {
        world.store.expire_parked(&flow.lease, seqs(), world.now()).await.unwrap();
        let counts = Counts { expired: 2, pending: 1, failed: 4, rejected: 3, ..Counts::default() };
        assert_eq!(flow.record().await.counts, counts);
    }
    assert_eq!(list(&flow, ParkKind::Failed, 0, 10).await, [3, 4, 5, 6]);
}

/// What is not parked any more cannot be taken, and what is taken must all be in a delivery.
pub async fn taken_once(world: &World) {
    let flow = parked(world).await;
    flow.open_parked(run(2, 2)).await;
    let before = flow.record().await;
    let open = |taken, members| {
        let deliveries = vec![world.delivery(flow.stream, Trigger::Recovery, members)];
        Open { deliveries, taken: Taken::Parked(taken), job: None }
    };
    refused!(flow.open(open(run(1, 3), run(1, 3))).await, StoreError::Conflict(_));
    refused!(flow.open(open(run(90, 91), run(90, 91))).await, StoreError::Conflict(_));
    refused!(flow.open(open(run(3, 5), run(3, 4))).await, StoreError::Unaccounted(_));
    refused!(flow.open(open(run(3, 4), run(3, 5))).await, StoreError::Unaccounted(_));
    refused!(flow.open(open(run(3, 4), run(4, 5))).await, StoreError::Unaccounted(_));
    assert_eq!(flow.record().await, before);
    let redelivery = Delivery { accounted: true, ..world.delivery(flow.stream, Trigger::Redelivery, run(3, 4)) };
    let taken = Taken::Parked(run(3, 4));
    flow.open(Open { deliveries: vec![redelivery.clone()], taken, job: None }).await.unwrap();
    flow.deliver(&redelivery).await;
    assert_eq!(flow.record().await.counts.delivered, 2);
}
