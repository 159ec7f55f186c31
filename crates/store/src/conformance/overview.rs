//! All streams at a glance, and how long the oldest event waits in each.

use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{Seq, StreamId, StreamKind};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;

use super::World;
use super::flow::Flow;
use super::world::{DATADOG, SPLUNK, START, datadog, run, stream_of};
use crate::{Open, Resume, Taken};

/// Streams of all orgs are there with their accounts; those that do not send say so; those of a removed connector are gone.
pub async fn every_stream_of_every_org(world: &World) {
    let splunk = world.splunk(Filter::default()).await;
    let silent = world.create(world.draft(datadog(false), true)).await;
    let off = world.create(world.draft(datadog(true), false)).await;
    let other = world.other_org().await;
    let mut theirs = world.draft(datadog(true), true);
    theirs.org = other;
    let theirs = world.create(theirs).await;
    let gone = world.splunk(Filter::default()).await;
    world.store.delete_connector(world.org, gone.id, None, world.audit("connector.delete", &gone.id)).await.unwrap();
    world.append(2).await;
    let flow = Flow::take_over(world, stream_of(&splunk, StreamKind::Events)).await;
    flow.deliver(&flow.open_all().await).await;

    let overview = world.store.overview().await.unwrap();
    let ids: Vec<StreamId> = overview.iter().map(|stream| stream.record.id).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    let mut expected: Vec<StreamId> = [&splunk, &silent, &off, &theirs]
        .into_iter()
        .flat_map(toktra_siem_core::connector::Connector::streams)
        .collect();
    expected.sort_unstable();
    assert_eq!(ids, expected);
    for stream in &overview {
        let id = stream.record.id;
        assert_eq!(stream.record, world.store.stream(id).await.unwrap());
        let platform = if id.connector == splunk.id { SPLUNK } else { DATADOG };
        let active = id.connector != off.id && (id.connector != silent.id || id.kind == StreamKind::Logs);
        assert_eq!((stream.platform, stream.active), (platform, active), "{id}");
    }
}

/// The oldest of what waits behind the cursor, in a range, in an open delivery or parked as failed; what was rejected or taken beside does
/// not count.
pub async fn the_oldest_undelivered_event(world: &World) {
    let connector = world.splunk(Filter::default()).await;
    let stream = stream_of(&connector, StreamKind::Events);
    let nobody = stream_of(&world.draft(datadog(true), true), StreamKind::Logs);
    let oldest = async || {
        let found = world.store.oldest_undelivered(vec![nobody, stream]).await.unwrap();
        assert!(found.iter().all(|(id, _)| *id == stream));
        found.first().map(|(_, accepted_at)| accepted_at.0 - START.0)
    };
    assert_eq!(oldest().await, None);
    for _ in 0..5 {
        world.pass(1_000);
        world.append(1).await;
    }
    let flow = Flow::take_over(world, stream).await;
    assert_eq!(oldest().await, Some(1_000), "behind the cursor");
    let first = flow.open_to(1).await.unwrap();
    assert_eq!(oldest().await, Some(1_000), "in an open delivery");
    let second = flow.open_to(2).await.unwrap();
    flow.deliver(&first).await;
    assert_eq!(oldest().await, Some(2_000));
    flow.fail(&second).await;
    assert_eq!((oldest().await, flow.record().await.undelivered()), (Some(2_000), 4), "parked, and tried again");

    world.save(off(&connector), Resume::Backlog).await;
    world.save(connector.clone(), Resume::Backlog).await;
    let ranges = world.store.ranges(stream).await.unwrap();
    assert_eq!((ranges.len(), oldest().await), (1, Some(2_000)), "parked still, and in a range behind it");
    let flow = Flow::take_over(world, stream).await;
    let opened = flow.open_range(&ranges[0], Seq(5)).await.unwrap();
    flow.reject(&opened).await;
    assert_eq!(
        (oldest().await, flow.record().await.undelivered()),
        (Some(2_000), 1),
        "what was rejected waits for a person"
    );

    let again = world.delivery(stream, toktra_siem_core::delivery::Trigger::Replay, run(1, 5));
    flow.open(Open { deliveries: vec![again], taken: Taken::Beside, job: None }).await.unwrap();
    assert_eq!(oldest().await, Some(2_000), "what is sent beside is not late");
    let parked = flow.open_parked(Members::from_ascending([Seq(2)])).await;
    assert_eq!(oldest().await, Some(2_000), "on its way again");
    flow.deliver(&parked).await;
    assert_eq!((oldest().await, world.now()), (None, Timestamp(START.0 + 5_000)));
}

fn off(connector: &toktra_siem_core::connector::Connector) -> toktra_siem_core::connector::Connector {
    toktra_siem_core::connector::Connector { active: false, ..connector.clone() }
}
