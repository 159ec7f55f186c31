//! `recover`: what waited while the breaker was open is set apart, so that fresh events need not queue behind it.

use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::delivery::Trigger;
use toktra_siem_core::event::Severity::{High, Low};
use toktra_siem_core::ids::{Seq, StreamKind};

use super::World;
use super::flow::Flow;
use super::world::{only, stream_of};
use crate::BacklogRange;

async fn recover(flow: &Flow<'_>) -> Option<BacklogRange> {
    let (world, id) = (flow.world, flow.world.range_id());
    let made = world.store.recover(&flow.lease, id, Trigger::Recovery, Breaker::default(), world.now()).await.unwrap();
    assert!(made.as_ref().is_none_or(|range| range.id == id));
    flow.record().await;
    made
}

/// The range holds exactly what waited, as pending; ranges are listed oldest first.
pub async fn what_waits_becomes_a_range(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(3).await;
    flow.open_to(1).await;
    world.store.set_breaker(&flow.lease, super::resume::open_breaker(world)).await.unwrap();
    let first = recover(&flow).await.unwrap();
    assert_eq!((first.cursor, first.to, first.trigger, first.since), (Seq(1), Seq(3), Trigger::Recovery, world.now()));
    let record = flow.record().await;
    assert!(record.breaker.is_closed());
    assert_eq!((record.cursor, record.counts.pending), (Seq(3), 3));
    world.append(2).await;
    let second = recover(&flow).await.unwrap();
    assert_eq!(world.store.ranges(flow.stream).await.unwrap(), [first, second]);
}

/// With the cursor at the head there is no range, but the breaker is stored.
pub async fn nothing_waits(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(1).await;
    flow.open_to(1).await;
    world.store.set_breaker(&flow.lease, super::resume::open_breaker(world)).await.unwrap();
    assert_eq!(recover(&flow).await, None);
    assert!(flow.record().await.breaker.is_closed());
    assert!(world.store.ranges(flow.stream).await.unwrap().is_empty());
}

/// Invariant D6: the events of a range are judged by the filter of their time.
pub async fn a_range_is_filtered_by_its_time(world: &World) {
    let connector = world.splunk(only(&[High])).await;
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    world.append_severities(&[High, Low]).await;
    let range = recover(&flow).await.unwrap();
    world.save_filter(&connector, only(&[Low])).await;
    let flow = flow.renewed().await;
    let delivery = flow.open_range(&range, Seq(2)).await.unwrap();
    assert_eq!(delivery.members.iter().collect::<Vec<_>>(), [Seq(1)]);
    assert_eq!(flow.record().await.counts.filtered, 1);
}
