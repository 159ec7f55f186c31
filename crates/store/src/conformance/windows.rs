//! Windows of metrics: one delivery holds the whole range that the window took off the log.

use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::{Delivery, Input, ParkKind, Trigger};
use toktra_siem_core::event::Severity::{High, Low};
use toktra_siem_core::ids::{Seq, StreamKind};
use toktra_siem_core::members::Members;

use super::World;
use super::flow::{Flow, rejected};
use super::world::{datadog, only, refused, run, stream_of};
use crate::{Open, StoreError, StreamFate, Taken};

/// A stream of metrics that takes events of high severity only.
async fn metrics(world: &World) -> Flow<'_> {
    let draft = Connector { filter: only(&[High]), ..world.draft(datadog(true), true) };
    Flow::take_over(world, stream_of(&world.create(draft).await, StreamKind::Metrics)).await
}

/// The members are every event of the window, the tally those that the filter takes; the account is kept with the tally.
pub async fn members_are_the_whole_range(world: &World) {
    let flow = metrics(world).await;
    let ids = world.append_severities(&[Low, High, Low, High]).await;
    let window = flow.open_all().await;
    assert_eq!((window.members.clone(), window.events()), (run(1, 4), 2));
    let record = flow.record().await;
    assert_eq!(record.last_window, Some(world.now()));
    assert_eq!((record.counts.pending, record.counts.filtered), (2, 2));
    let settled = flow.deliver(&window).await;
    assert_eq!((settled.delivered, flow.record().await.counts.delivered), (2, 2));
    let fates =
        [ids[0], ids[1]].map(|id| async move { world.store.fates(world.org, id).await.unwrap()[1].fate.clone() });
    let [filtered, arrived] = fates;
    assert!(matches!(filtered.await, StreamFate::Filtered { .. }));
    assert_eq!(arrived.await, StreamFate::Delivered { delivery: window.id });
}

/// The start of a window is later than that of the one before.
pub async fn go_forward_only(world: &World) {
    let flow = metrics(world).await;
    world.append_severities(&[High]).await;
    flow.open_all().await;
    let before = flow.record().await;
    world.append_severities(&[High]).await;
    refused!(flow.open(flow.prepare(Seq(2)).await).await, StoreError::Conflict(_));
    assert_eq!(flow.record().await, crate::StreamRecord { head: Seq(2), ..before });
    world.pass(10_000);
    flow.open_all().await;
    assert_eq!(flow.record().await.last_window, Some(world.now()));
}

/// A failed window is parked under its first sequence with the number of its events, and sent again as it was; an old one expires.
pub async fn are_parked_and_sent_as_one(world: &World) {
    let flow = metrics(world).await;
    world.append_severities(&[Low, High, High]).await;
    let window = flow.open_all().await;
    flow.fail(&window).await;
    let parked = world.store.parked(flow.stream, ParkKind::Failed, Seq(0), 10).await.unwrap();
    assert_eq!(parked.iter().map(|p| (p.seq, p.events, p.delivery)).collect::<Vec<_>>(), [(Seq(1), 2, window.id)]);
    assert_eq!(flow.record().await.counts.failed, 2);

    world.pass(30_000);
    let again = |world: &World| Delivery {
        window: window.window.clone(),
        ..world.delivery(flow.stream, Trigger::Recovery, window.members.clone())
    };
    let taken = || Taken::Parked(Members::from_ascending([Seq(1)]));
    let second = again(world);
    flow.open(Open { deliveries: vec![second.clone()], taken: taken(), job: None }).await.unwrap();
    let record = flow.record().await;
    assert_eq!((record.counts.pending, record.counts.failed), (2, 0));
    assert_eq!(record.last_window, Some(window.window.clone().unwrap().start), "sending again pins no newer window");
    flow.end(&second, vec![(1, rejected())]).await;
    assert_eq!(flow.record().await.counts.rejected, 2);

    let third = again(world);
    flow.open(Open { deliveries: vec![third.clone()], taken: taken(), job: None }).await.unwrap();
    let expiry = flow.settlement(&third, Input::Expired(Cause::new("too_old", "It is too old.")), None);
    flow.settle(expiry).await.unwrap();
    let record = flow.record().await;
    assert_eq!((record.counts.pending, record.counts.expired, record.counts.filtered), (0, 2, 1));
    assert!(world.store.parked(flow.stream, ParkKind::Rejected, Seq(0), 10).await.unwrap().is_empty());
}

/// A window without an event that the filter takes makes no delivery, only a move.
pub async fn may_be_filtered_altogether(world: &World) {
    let flow = metrics(world).await;
    world.append_severities(&[Low, Low]).await;
    assert_eq!(flow.open_to(2).await, None);
    let record = flow.record().await;
    assert_eq!((record.cursor, record.counts.filtered, record.last_window), (Seq(2), 2, None));
}
