//! The probes of an outage: those that fail are attempts of one delivery.

use toktra_siem_core::breaker::{Breaker, OpenKind};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Delivery, Trigger};
use toktra_siem_core::ids::{DeliveryId, Revision, Seq};
use toktra_siem_core::outage::{FIRST_PROBES, LAST_PROBES, Lasts};
use toktra_siem_core::time::Timestamp;

use super::World;
use super::flow::{Flow, retry};
use super::world::run;
use crate::{DeliveryDetail, HistoryQuery, Open, Passed, Settlement, StreamFate, Taken};

fn open(since: Timestamp, failures: u32) -> Breaker {
    let cause = Cause::new("down", "It is down.");
    Breaker::Open { kind: OpenKind::Down, cause, since, failures, probe_at: since }
}

/// A probe takes up what stands at `seq`, and fails.
async fn probe(flow: &Flow<'_>, taken: Taken, seq: u64, since: Timestamp) -> DeliveryId {
    let mut delivery = flow.world.delivery(flow.stream, Trigger::Recovery, run(seq, seq));
    delivery.probe = true;
    flow.open(Open { deliveries: vec![delivery.clone()], taken, job: None }).await.unwrap();
    flow.world.pass(1_000);
    let settlement = flow.judge(&delivery, vec![(1, retry())]);
    flow.settle(Settlement { breaker: Some(open(since, 1)), ..settlement }).await.unwrap();
    flow.record().await;
    delivery.id
}

async fn parked(flow: &Flow<'_>, seq: u64, since: Timestamp) -> DeliveryId {
    probe(flow, Taken::Parked(run(seq, seq)), seq, since).await
}

async fn listed(world: &World) -> Vec<Delivery> {
    let all = HistoryQuery { limit: 100, ..HistoryQuery::default() };
    world.store.history(world.org, all).await.unwrap().items.into_iter().map(|item| item.delivery).collect()
}

async fn detail(world: &World, id: DeliveryId) -> DeliveryDetail {
    world.store.delivery(world.org, id).await.unwrap()
}

/// The first that fails is the outage's row; later ones are counted there, and of many the first and the last attempts are kept. Their events
/// stay where they were parked.
pub async fn an_outage_has_one_row(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    let ids = world.append(3).await;
    let live = flow.fail(&flow.open_to(3).await.unwrap()).await;
    let since = world.now();
    world.store.set_breaker(&flow.lease, open(since, 0)).await.unwrap();
    let first = parked(&flow, 1, since).await;
    let one = detail(world, first).await;
    assert_eq!((one.delivery.outage, one.attempts.len()), (Some(Lasts { since, until: None }), 1));
    for n in 1..30 {
        let gone = parked(&flow, n / 2 % 3 + 1, since).await;
        assert!(world.store.delivery(world.org, gone).await.is_err(), "{n}");
    }
    let row = detail(world, first).await;
    assert_eq!(listed(world).await, [row.delivery.clone(), live.clone()]);
    assert_eq!((row.delivery.attempts, row.delivery.settled_at), (30, Some(world.now())));
    let numbers: Vec<u32> = row.attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, (1..=FIRST_PROBES).chain(30 - LAST_PROBES + 1..=30).collect::<Vec<_>>());
    for (id, delivery) in ids.iter().zip([first, live.id, live.id]) {
        let fates = world.store.fates(world.org, *id).await.unwrap();
        assert!(matches!(fates[0].fate, StreamFate::Failed { delivery: of, .. } if of == delivery), "{fates:?}");
    }
    assert_eq!(world.store.pending(flow.stream).await.unwrap(), []);

    // What was never parked has a row of its own: that it failed is the first that is known of it.
    let fresh = world.append(1).await.remove(0);
    let (from, to, passed) = (Seq(3), Seq(4), Passed::default());
    let own = probe(&flow, Taken::Live { from, to, passed, revision: Revision(1) }, 4, since).await;
    assert_eq!(listed(world).await.len(), 3);
    let again = parked(&flow, 4, since).await;
    let fates = world.store.fates(world.org, fresh).await.unwrap();
    assert!(matches!(fates[0].fate, StreamFate::Failed { delivery, .. } if delivery == own), "{again}: {fates:?}");

    world.pass(1_000);
    let (range, until) = (world.range_id(), world.now());
    world.store.recover(&flow.lease, range, Trigger::Recovery, Breaker::default(), until).await.unwrap();
    let over = detail(world, first).await.delivery;
    assert_eq!((over.outage, over.attempts), (Some(Lasts { since, until: Some(until) }), 31));

    world.store.set_breaker(&flow.lease, open(until, 0)).await.unwrap();
    let next = parked(&flow, 2, until).await;
    assert_eq!(detail(world, next).await.delivery.outage, Some(Lasts { since: until, until: None }), "another outage");
    assert_eq!(listed(world).await.len(), 4);
    world.pass(1_000);
    world
        .store
        .delete_connector(
            world.org,
            flow.stream.connector,
            None,
            world.audit("connector.delete", &flow.stream.connector),
        )
        .await
        .unwrap();
    let ended = Lasts { since: until, until: Some(world.now()) };
    assert_eq!(detail(world, next).await.delivery.outage, Some(ended), "it ends with its connector");
}

/// What a former owner learns of its last probe is recorded as it is: only the newest owner's breaker says that there is an outage.
pub async fn a_former_owners_probe_has_its_own_row(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(1).await;
    flow.fail(&flow.open_to(1).await.unwrap()).await;
    let since = world.now();
    world.store.set_breaker(&flow.lease, open(since, 0)).await.unwrap();
    let mut delivery = world.delivery(flow.stream, Trigger::Recovery, run(1, 1));
    delivery.probe = true;
    flow.open(Open { deliveries: vec![delivery.clone()], taken: Taken::Parked(run(1, 1)), job: None }).await.unwrap();
    world.owner.take_over(&*world.store, flow.stream).await.unwrap();
    let settlement = flow.judge(&delivery, vec![(1, retry())]);
    flow.settle(Settlement { breaker: Some(open(since, 1)), ..settlement }).await.unwrap();
    assert_eq!(detail(world, delivery.id).await.delivery.outage, None);
}
