//! Switching on, and what a save does to what waits.

use toktra_siem_core::breaker::{Breaker, OpenKind};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::Trigger;
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{Seq, StreamKind};

use super::World;
use super::flow::Flow;
use super::world::{datadog, splunk, stream_of};
use crate::{BacklogRange, Resume};

/// An open breaker.
pub fn open_breaker(world: &World) -> Breaker {
    let (since, probe_at) = (world.now(), world.now());
    Breaker::Open { kind: OpenKind::Down, cause: Cause::new("down", "It is down."), since, failures: 1, probe_at }
}

async fn switch(world: &World, connector: &Connector, active: bool, resume: Resume) -> crate::Saved {
    world.save(Connector { active, ..connector.clone() }, resume).await
}

/// A connector that was never active skips what came since it was made, whatever the save says.
pub async fn the_first_activation_starts_from_now(world: &World) {
    let connector = world.create(world.draft(splunk(), false)).await;
    let stream = stream_of(&connector, StreamKind::Events);
    world.append(3).await;
    let saved = switch(world, &connector, true, Resume::Backlog).await;
    assert_eq!((saved.backlog, saved.skipped), (0, 3));
    let record = world.checked(stream).await;
    assert_eq!((record.cursor, record.counts.skipped), (Seq(3), 3));
    switch(world, &connector, false, Resume::Backlog).await;
    world.append(1).await;
    assert_eq!(switch(world, &connector, true, Resume::Backlog).await.backlog, 1, "the second time it continues");
    world.checked(stream).await;
}

/// Off and on again: what waits is set apart, pending, and fresh events go beside it.
pub async fn backlog_becomes_a_range(world: &World) {
    let connector = world.splunk(Filter::default()).await;
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    world.append(5).await;
    flow.open_to(2).await;
    switch(world, &connector, false, Resume::Backlog).await;
    world.append(2).await;
    world.pass(1000);
    let saved = switch(world, &connector, true, Resume::Backlog).await;
    assert_eq!((saved.backlog, saved.skipped), (5, 0));
    let record = flow.record().await;
    assert_eq!((record.cursor, record.counts.pending), (Seq(7), 7));
    let ranges = world.store.ranges(flow.stream).await.unwrap();
    let BacklogRange { cursor, to, trigger, since, .. } = ranges[0];
    assert_eq!((ranges.len(), cursor, to, trigger, since), (1, Seq(2), Seq(7), Trigger::Recovery, world.now()));
    let flow = Flow::take_over(world, flow.stream).await;
    assert_eq!(flow.open_range(&ranges[0], Seq(7)).await.unwrap().events(), 5);
}

/// "From now" skips what lies between cursor and head and what is left of backlog ranges; open deliveries and parked events stay.
pub async fn from_now_skips_what_waits(world: &World) {
    let connector = world.splunk(Filter::default()).await;
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    world.append(8).await;
    flow.fail(&flow.open_to(1).await.unwrap()).await;
    flow.open_to(2).await;
    let range = world.range_id();
    let range =
        world.store.recover(&flow.lease, range, Trigger::Recovery, Breaker::default(), world.now()).await.unwrap();
    flow.open_range(&range.unwrap(), Seq(4)).await;
    switch(world, &connector, false, Resume::Backlog).await;
    world.append(3).await;
    let saved = switch(world, &connector, true, Resume::Now).await;
    assert_eq!((saved.backlog, saved.skipped), (0, 4 + 3));
    let record = flow.record().await;
    assert_eq!((record.cursor, record.counts.skipped, record.counts.pending, record.counts.failed), (Seq(11), 7, 3, 1));
    assert!(world.store.ranges(flow.stream).await.unwrap().is_empty());
}

/// A save closes an open breaker and sets apart what waits, as recovery does; with a closed breaker it touches no cursor.
pub async fn a_save_closes_the_breaker(world: &World) {
    let connector = world.splunk(Filter::default()).await;
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    world.append(3).await;
    world.save(connector.clone(), Resume::Now).await;
    let flow = flow.renewed().await;
    assert_eq!(flow.record().await.cursor, Seq(0), "neither skipped nor set apart");

    world.store.set_breaker(&flow.lease, open_breaker(world)).await.unwrap();
    assert_eq!(flow.record().await.breaker, open_breaker(world));
    let saved = world.save(connector.clone(), Resume::Now).await;
    assert_eq!((saved.backlog, saved.skipped), (0, 0), "it was not switched on");
    let record = flow.record().await;
    assert!(record.breaker.is_closed());
    assert_eq!((record.cursor, record.counts.pending), (Seq(3), 3));
    assert_eq!(world.store.ranges(flow.stream).await.unwrap().len(), 1);

    let flow = flow.renewed().await;
    world.store.set_breaker(&flow.lease, open_breaker(world)).await.unwrap();
    world.append(1).await;
    switch(world, &connector, false, Resume::Backlog).await;
    let record = flow.record().await;
    assert!(record.breaker.is_closed());
    assert_eq!(record.cursor, Seq(3), "off, nothing is set apart");
}

/// An outage follows the breaker in its transaction, whoever changes it, and is kept until all of it was told. While the connector is off it
/// goes on; that it is over is said once the connector is on again.
pub async fn what_has_to_be_told_is_kept(world: &World) {
    let connector = world.splunk(Filter::default()).await;
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    let outages = async || world.store.stream(flow.stream).await.unwrap().outages;
    world.append(2).await;
    let pinned = flow.open_to(1).await.unwrap();
    let since = world.now();
    let settlement = flow.judge(&pinned, vec![(1, super::flow::retry())]);
    flow.settle(crate::Settlement { breaker: Some(open_breaker(world)), ..settlement }).await.unwrap();
    let began = outages().await;
    assert_eq!((began.len(), began[0].since, began[0].until), (1, since, None));
    world.pass(60_000);
    world.store.set_breaker(&flow.lease, open_breaker(world)).await.unwrap();
    assert_eq!(outages().await[0].since, since, "it goes on");
    world.pass(1_000);
    switch(world, &connector, false, Resume::Backlog).await;
    assert_eq!(outages().await[0].until, None, "off");
    world.pass(1_000);
    switch(world, &connector, true, Resume::Backlog).await;
    let over = outages().await;
    assert_eq!((over.len(), over[0].until), (1, Some(world.now())));
    let alerts = over[0].alerts(world.now()).len();
    assert!(alerts >= 2, "{over:?}");
    world.store.tell_outage(flow.stream, since, alerts - 1).await.unwrap();
    assert_eq!(outages().await[0].told, alerts - 1);
    world.store.tell_outage(flow.stream, world.now(), alerts).await.unwrap();
    assert_eq!(outages().await.len(), 1, "there is no such outage");
    world.store.tell_outage(flow.stream, since, alerts).await.unwrap();
    assert_eq!(outages().await, []);

    let flow = Flow::take_over(world, flow.stream).await;
    world.store.set_breaker(&flow.lease, open_breaker(world)).await.unwrap();
    let (range, closed, now) = (world.range_id(), Breaker::default(), world.now());
    world.store.recover(&flow.lease, range, Trigger::Recovery, closed, now).await.unwrap();
    assert_eq!(
        outages().await.iter().map(|outage| outage.until).collect::<Vec<_>>(),
        [],
        "over before it was worth telling"
    );
    let missing = world
        .store
        .tell_outage(stream_of(&world.draft(super::world::splunk(), true), StreamKind::Events), now, 1)
        .await;
    assert!(matches!(missing, Err(crate::StoreError::NotFound)), "{missing:?}");
}

/// Windows go in their order: metrics make no range, neither by a save nor by recovery nor by switching on; "from now" skips.
pub async fn metrics_keep_their_order(world: &World) {
    let connector = world.create(world.draft(datadog(true), true)).await;
    let [logs, metrics] = [StreamKind::Logs, StreamKind::Metrics].map(|kind| stream_of(&connector, kind));
    let flow = Flow::take_over(world, metrics).await;
    world.append(4).await;
    world.store.set_breaker(&flow.lease, open_breaker(world)).await.unwrap();
    world.save(connector.clone(), Resume::Backlog).await;
    let flow = flow.renewed().await;
    assert!(flow.record().await.breaker.is_closed());
    let range = world.range_id();
    let made =
        world.store.recover(&flow.lease, range, Trigger::Recovery, open_breaker(world), world.now()).await.unwrap();
    assert_eq!((made, flow.record().await.breaker), (None, open_breaker(world)));
    switch(world, &connector, false, Resume::Backlog).await;
    assert_eq!(switch(world, &connector, true, Resume::Backlog).await.backlog, 4);
    let record = flow.record().await;
    assert_eq!((record.cursor, record.counts.pending), (Seq(0), 0));
    assert!(world.store.ranges(metrics).await.unwrap().is_empty());
    assert_eq!(world.store.ranges(logs).await.unwrap().len(), 1);

    switch(world, &connector, false, Resume::Backlog).await;
    assert_eq!(switch(world, &connector, true, Resume::Now).await.skipped, 4);
    for stream in [logs, metrics] {
        let record = world.checked(stream).await;
        assert_eq!((record.cursor, record.counts.skipped), (Seq(4), 4));
    }
}

/// What the slowest stream of an active connector still has to deliver: waiting, pending, failed. Connectors that are off do not count.
pub async fn the_slowest_stream_is_the_backlog(world: &World) {
    let backlog = async || world.store.backlog(world.org).await.unwrap();
    world.append(2).await;
    assert_eq!(backlog().await, 0);
    let connector = world.splunk(Filter::default()).await;
    let slow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    let fast = Flow::take_over(world, world.stream().await).await;
    world.append(5).await;
    assert_eq!(backlog().await, 5);
    fast.deliver(&fast.open_all().await).await;
    slow.deliver(&slow.open_to(3).await.unwrap()).await;
    slow.fail(&slow.open_to(4).await.unwrap()).await;
    slow.reject(&slow.open_to(5).await.unwrap()).await;
    slow.open_to(6).await.unwrap();
    assert_eq!(backlog().await, 3, "one failed, one pending, one waiting");
    switch(world, &connector, false, Resume::Backlog).await;
    assert_eq!(backlog().await, 0);
}
