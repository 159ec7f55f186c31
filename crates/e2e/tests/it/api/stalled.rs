//! What a client, a person and Prometheus are told of a stream in which nothing moves.

use std::collections::HashSet;
use std::time::Duration;

use toktra_siem_core::cause::Cause;
use toktra_siem_core::ids::{ConnectorId, StreamId, StreamKind};
use toktra_siem_dispatch::watchdog::Verdict;
use toktra_siem_telemetry::Seen;
use toktra_siem_testkit::prelude::*;

/// A connector with one event that waits.
async fn waiting(world: &Here) -> ConnectorId {
    let mut body = splunk_body("prod");
    body["active"] = true.into();
    let id = world.make("/v1/siem/connectors", &body).await.id();
    world.begin("/v1/events", &json!({ "event_type": "lockout", "severity": "high" })).await;
    id.parse().unwrap()
}

/// What the watchdog tells of it.
fn stall(world: &Here, connector: ConnectorId, hub: Duration) {
    let cause = Cause::new("stalled_worker", "What works on this connector hangs.");
    *world.dispatch.verdict.lock() = Some(Verdict::Stalled { since: START, cause });
    let stalled = HashSet::from([StreamId { connector, kind: StreamKind::Events }]);
    let turned = tokio::time::Instant::now().checked_sub(hub).unwrap();
    world.telemetry.watched(Seen { stalled, failing: HashSet::new(), turned });
}

#[tokio::test]
async fn a_stalled_connector_is_told_alike_by_api_page_and_metrics() {
    let world = World::here().await;
    let id = waiting(&world).await;
    stall(&world, id, Duration::ZERO);
    let path = format!("/v1/siem/connectors/{id}/health");
    assert_eq!(world.read(&path).await["state"], "healthy", "it has not waited for long");
    world.pass(Duration::from_secs(61));
    let health = world.read(&path).await;
    let stream = &health["streams"][0];
    assert_eq!((health["state"].as_str(), stream["delay"]["reason"].as_str()), (Some("stalled"), Some("stalled")));
    assert_eq!(stream["last_error"]["cause"]["code"], "stalled_worker");
    assert_eq!((&stream["since"], &stream["delay"]["since"]), (&json!(START), &json!(START)));
    assert_eq!(health["sentence"], "Stalled: nothing has moved for 1 min, 1 event waits");

    let metrics = world.anonymous().get("/metrics").await.expect_status(200).text();
    assert!(metrics.contains(&format!(
        "toktra_siem_stream_stalled{{connector=\"{id}\",platform=\"splunk\",stream=\"events\"}} 1\n"
    )));
    assert!(metrics.contains("toktra_siem_stalled_connectors 1\n"));
    let ready = world.anonymous().get("/readyz").await.expect_status(200).json();
    assert_eq!((&ready["status"], &ready["stalled"]), (&json!("ready"), &json!("connectors")));

    let tab = Tab::of_admin(&world).await;
    let page = tab.get(&format!("/integrations/siem/{id}")).await.expect_status(200).text();
    for said in [
        "Stalled</span>",
        "Nothing has moved for 1 min, 1 event waits",
        "What works on this connector hangs.",
        "stalled_worker",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    let list = tab.get("/integrations/siem?state=stalled").await.expect_status(200).text();
    assert!(list.contains("prod") && list.contains("Stalled"), "{list}");
}

#[tokio::test]
async fn a_dispatcher_that_hangs_shows_although_the_service_is_ready() {
    let world = World::here().await;
    let id = waiting(&world).await;
    stall(&world, id, Duration::from_secs(89));
    let ready = async || world.anonymous().get("/readyz").await.expect_status(200).json();
    assert_eq!(ready().await["stalled"], "connectors");
    stall(&world, id, Duration::from_secs(91));
    assert_eq!(ready().await, json!({ "status": "ready", "stalled": "dispatcher" }));
}
