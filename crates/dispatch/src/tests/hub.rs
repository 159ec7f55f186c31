//! Removing a connector: whoever is told that it is done may count on it that nothing more is sent.

use super::*;
use crate::hub::Hub;

#[tokio::test(start_paused = true)]
async fn a_removal_is_answered_once_what_was_on_its_way_has_ended() {
    let mut bench = Bench::splunk().await;
    bench.stop().await;
    *bench.endpoint.takes.lock() = Duration::from_secs(2);
    let drain = CancellationToken::new();
    let (hub, handle) = Hub::new(bench.ctx.clone(), drain.clone());
    let hub = tokio::spawn(hub.run());
    bench.send(1).await;
    bench.pass(Duration::from_millis(500)).await;
    let [request] = bench.seen().try_into().unwrap();
    bench.store.delete_connector(ORG, CONNECTOR, None, audit()).await.unwrap();
    handle.connector_removed(ORG, CONNECTOR).await;
    assert!(bench.since.elapsed() >= request.at + Duration::from_secs(2), "the request was still on its way");
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(bench.seen().len(), 1);
    // One that is stuck holds nobody up for long, and neither does one that has no workers.
    handle.connector_removed(ORG, CONNECTOR).await;
    drain.cancel();
    hub.await.unwrap().unwrap();
    handle.connector_removed(ORG, CONNECTOR).await;
}
