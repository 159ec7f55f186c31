//! `settle`: attempt and state together, compared and set, and no event lost on the way.

use toktra_siem_core::accounting::Counts;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Delivery, ParkKind, Status, Trigger};
use toktra_siem_core::destination::Judgement;
use toktra_siem_core::ids::Seq;

use super::World;
use super::flow::{Flow, delivered, exchanged, rejected, retry};
use super::world::{refused, run};
use crate::{Open, Settlement, StoreError, Taken};

async fn flow_with(world: &World, events: usize) -> Flow<'_> {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(events).await;
    flow
}

/// Attempts are kept in order with all they say, and the state goes with them.
pub async fn attempts_are_kept(world: &World) {
    let flow = flow_with(world, 2).await;
    let delivery = flow.open_all().await;
    let mut first = flow.judge(&delivery, vec![(2, retry())]);
    first.attempt = first.attempt.map(exchanged);
    flow.settle(first.clone()).await.unwrap();
    assert_eq!(world.store.pending(flow.stream).await.unwrap(), std::slice::from_ref(&first.delivery));
    assert_eq!(flow.record().await.counts.pending, 2);
    world.pass(1000);
    let second = flow.judge(&first.delivery, vec![(2, delivered())]);
    flow.settle(second.clone()).await.unwrap();
    let detail = world.store.delivery(world.org, delivery.id).await.unwrap();
    assert_eq!(detail.attempts, [first.attempt.unwrap(), second.attempt.unwrap()]);
    assert_eq!(detail.delivery, second.delivery);
    assert_eq!(detail.delivery.status, Status::Delivered);
    assert!(world.store.pending(flow.stream).await.unwrap().is_empty());
    assert_eq!(flow.record().await.counts, Counts { delivered: 2, ..Counts::default() });
}

/// Of two settlements made from the same state the second changes nothing; nor does one of a settled delivery.
pub async fn compares_and_sets(world: &World) {
    let flow = flow_with(world, 2).await;
    let delivery = flow.open_all().await;
    let (a, b) = (flow.judge(&delivery, vec![(2, retry())]), flow.judge(&delivery, vec![(2, delivered())]));
    flow.settle(a.clone()).await.unwrap();
    refused!(flow.settle(b).await, StoreError::Conflict(_));
    assert_eq!(flow.record().await.counts.pending, 2);
    flow.deliver(&a.delivery).await;
    refused!(flow.settle(flow.judge(&a.delivery, vec![(2, rejected())])).await, StoreError::Conflict(_));
    assert_eq!(flow.record().await.counts.delivered, 2);
    assert_eq!(world.store.delivery(world.org, delivery.id).await.unwrap().attempts.len(), 2);
    let unknown = world.delivery(flow.stream, Trigger::Live, run(1, 1));
    refused!(flow.settle(flow.judge(&unknown, vec![(1, delivered())])).await, StoreError::NotFound);
}

/// A settlement that loses or invents an event is refused and changes nothing.
pub async fn losing_an_event_is_refused(world: &World) {
    let flow = flow_with(world, 4).await;
    let delivery = flow.open_all().await;
    let right = flow.judge(&delivery, vec![(1, delivered()), (1, rejected()), (2, retry())]);
    let before = flow.record().await;
    let wrong = |change: &dyn Fn(&mut Settlement)| {
        let mut settlement = right.clone();
        change(&mut settlement);
        settlement
    };
    let stranger = |s: &mut Settlement| s.children[0].members = run(9, 10);
    for (settlement, why) in [
        (wrong(&|s| s.counts.pending += 1), "one stays behind"),
        (wrong(&|s| s.counts.delivered += 1), "one is invented"),
        (wrong(&|s| s.parked.clear()), "a rejected event is not kept"),
        (wrong(&|s| s.children.clear()), "the rest does not go on"),
        (wrong(&|s| s.children[0].members = run(3, 3)), "a child lacks one"),
        (wrong(&stranger), "a child has events of somebody else"),
        (wrong(&|s| s.children[0].parent = None), "a child without its parent"),
        (wrong(&|s| s.attempt = None), "an attempt is counted that was not made"),
    ] {
        let result = flow.settle(settlement).await;
        assert!(matches!(result, Err(StoreError::Unaccounted(_))), "{why}: {result:?}");
        assert_eq!(flow.record().await, before, "{why}");
        assert_eq!(world.store.pending(flow.stream).await.unwrap(), std::slice::from_ref(&delivery), "{why}");
    }
    flow.settle(right).await.unwrap();
    flow.record().await;
}

/// A split hands its events to two children, which keep them pending.
pub async fn children_carry_on(world: &World) {
    let flow = flow_with(world, 5).await;
    let delivery = flow.open_all().await;
    let split = flow.verdict(&delivery, Judgement::Split(Cause::new("too_large", "It is too large.")));
    flow.settle(split.clone()).await.unwrap();
    assert_eq!(flow.record().await.counts.pending, 5);
    let pending = world.store.pending(flow.stream).await.unwrap();
    assert_eq!(pending, split.children);
    assert_eq!(pending.iter().map(|d| d.members.clone()).collect::<Vec<_>>(), [run(1, 2), run(3, 5)]);
    let detail = world.store.delivery(world.org, delivery.id).await.unwrap();
    assert_eq!((detail.delivery.status, detail.children), (Status::Split, pending.iter().map(|d| d.id).collect()));
    for child in &pending {
        assert_eq!(child.parent, Some(delivery.id));
        flow.deliver(child).await;
    }
    assert_eq!(flow.record().await.counts.delivered, 5);
}

/// Some arrive, some are refused and kept, the rest goes on.
pub async fn a_partial_reply(world: &World) {
    let flow = flow_with(world, 4).await;
    let delivery = flow.open_all().await;
    let (settled, children) = flow.end(&delivery, vec![(1, delivered()), (1, rejected()), (2, retry())]).await;
    assert_eq!((settled.status, settled.delivered, settled.rejected), (Status::Partial, 1, 1));
    let counts = Counts { delivered: 1, rejected: 1, pending: 2, ..Counts::default() };
    assert_eq!(flow.record().await.counts, counts);
    let parked = world.store.parked(flow.stream, ParkKind::Rejected, Seq(0), 10).await.unwrap();
    assert_eq!((parked.len(), parked[0].seq, parked[0].delivery), (1, Seq(2), delivery.id));
    flow.fail(&children[0]).await;
    assert_eq!(flow.record().await.counts, Counts { delivered: 1, rejected: 1, failed: 2, ..Counts::default() });
}

/// Suspects return from rejected to failed, the one of this very settlement too; those that are not parked as rejected are passed
/// over. The store moves their counts itself.
pub async fn suspects_are_held(world: &World) {
    let flow = flow_with(world, 4).await;
    let mut deliveries = Vec::new();
    for to in 1..=4 {
        deliveries.push(flow.open_to(to).await.unwrap());
    }
    flow.reject(&deliveries[0]).await;
    flow.reject(&deliveries[1]).await;
    flow.deliver(&deliveries[2]).await;
    flow.open_parked(run(2, 2)).await;
    let mut last = flow.judge(&deliveries[3], vec![(1, rejected())]);
    last.held = [1, 2, 3, 4, 9].map(Seq).into();
    last.breaker = Some(super::resume::open_breaker(world));
    flow.settle(last).await.unwrap();
    let record = flow.record().await;
    assert_eq!(record.counts, Counts { delivered: 1, pending: 1, failed: 2, ..Counts::default() });
    assert_eq!(record.breaker, super::resume::open_breaker(world));
    let parked = world.store.parked(flow.stream, ParkKind::Failed, Seq(0), 10).await.unwrap();
    assert_eq!(parked.iter().map(|p| p.seq.0).collect::<Vec<_>>(), [1, 4]);
    assert!(world.store.parked(flow.stream, ParkKind::Rejected, Seq(0), 10).await.unwrap().is_empty());
}

/// What a former owner learns of its last request is recorded, but its breaker is not the stream's any more.
pub async fn a_former_owner_may_settle(world: &World) {
    let former = flow_with(world, 2).await;
    let delivery = former.open_all().await;
    let newest = Flow::take_over(world, former.stream).await;
    let mut settlement = former.judge(&delivery, vec![(2, delivered())]);
    settlement.breaker = Some(super::resume::open_breaker(world));
    former.settle(settlement).await.unwrap();
    let record = newest.record().await;
    assert_eq!(record.counts.delivered, 2);
    assert!(record.breaker.is_closed());
    assert_eq!(world.store.delivery(world.org, delivery.id).await.unwrap().attempts.len(), 1);
}

/// A delivery beside the log leaves counts, parked events and fates alone, however it ends; counts that it brings are refused.
pub async fn beside_leaves_outcomes_alone(world: &World) {
    let flow = flow_with(world, 3).await;
    let ids = [flow.open_to(1).await.unwrap(), flow.open_to(2).await.unwrap()];
    flow.deliver(&ids[0]).await;
    flow.fail(&ids[1]).await;
    let before = flow.record().await;
    for outcome in [delivered(), rejected(), retry()] {
        let replay = world.delivery(flow.stream, Trigger::Replay, run(1, 2));
        flow.open(Open { deliveries: vec![replay.clone()], taken: Taken::Beside, job: None }).await.unwrap();
        let mut claiming = flow.judge(&replay, vec![(2, outcome.clone())]);
        claiming.counts = Counts { delivered: 1, failed: -1, ..Counts::default() };
        refused!(flow.settle(claiming).await, StoreError::Unaccounted(_));
        match outcome {
            outcome if outcome == retry() => flow.fail(&replay).await,
            outcome => flow.end(&replay, vec![(2, outcome)]).await.0,
        };
    }
    let after = flow.record().await;
    assert_eq!((after.counts, after.cursor), (before.counts, before.cursor));
    let parked = async |kind| world.store.parked(flow.stream, kind, Seq(0), 10).await.unwrap();
    assert_eq!(parked(ParkKind::Failed).await.iter().map(|p| p.delivery).collect::<Vec<_>>(), [ids[1].id]);
    assert!(parked(ParkKind::Rejected).await.is_empty());
}

/// The newest time at which something was delivered is kept; a refusal does not count.
pub async fn success_is_noted(world: &World) {
    let flow = flow_with(world, 3).await;
    let mut deliveries: Vec<Delivery> = Vec::new();
    for to in 1..=3 {
        deliveries.push(flow.open_to(to).await.unwrap());
    }
    world.pass(10);
    let noted = world.now();
    flow.deliver(&deliveries[0]).await;
    assert_eq!(flow.record().await.last_success, Some(noted));
    world.pass(10);
    flow.reject(&deliveries[1]).await;
    assert_eq!(flow.record().await.last_success, Some(noted));
    world.pass(-1000);
    flow.deliver(&deliveries[2]).await;
    assert_eq!(flow.record().await.last_success, Some(noted), "a clock that jumps back does not make it older");
}
