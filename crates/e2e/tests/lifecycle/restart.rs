//! Restarts: events that wait survive a gentle end and a kill, a connector that was switched off goes on where it was told to, and a
//! shutdown under load breaks no promise.

use std::sync::Arc;

use http::Method;
use tokio::sync::watch;
use tokio::task::JoinSet;
use toktra_siem_fake::splunk::Endpoint;
use toktra_siem_sim::oracle::{Arrived, Oracle};
use toktra_siem_sim::producer::produce;
use toktra_siem_sim::seed::Seed;
use toktra_siem_testkit::prelude::*;

#[tokio::test]
async fn events_that_wait_survive_a_gentle_end_and_a_kill() {
    let (mut world, splunk) = (World::start().await, splunk().await);
    let connector = world.connect(&splunk).await;
    splunk.down().await;
    let mut ids = world.post_some(5).await;
    world.restart().await;
    ids.extend(world.post_some(5).await);
    // Failed and parked by now, or still in its attempts: both must survive.
    world.kill().await;

    world.again().await;
    ids.extend(world.post_some(5).await);
    connector.until_stands("degraded").await;
    world.kill().await;

    splunk.up().unwrap();
    world.again().await;
    world.all_arrived().await;
    connector.accounted(&[("accepted", 15), ("delivered", 15)]).await;
    assert_each_once(&splunk, &ids);
    connector.until_stands("healthy").await;
    world.end().await;
}

#[tokio::test]
async fn a_connector_that_is_switched_on_again_takes_the_backlog_or_leaves_it() {
    let (mut world, splunk) = (World::start().await, splunk().await);
    let connector = world.connect(&splunk).await;
    let mut wanted = world.post_some(1).await;
    world.all_arrived().await;

    connector.patch(json!({ "active": false })).await;
    assert_eq!(connector.stands().await["state"], "off");
    wanted.extend(world.post_some(3).await);
    let on = connector.patch(json!({ "active": true })).await;
    assert_eq!((&on["backlog"], &on["skipped"]), (&json!(3), &json!(0)), "the backlog is the default");
    world.all_arrived().await;

    connector.patch(json!({ "active": false })).await;
    let left = world.post_some(4).await;
    let on = connector.patch(json!({ "active": true, "resume": "now" })).await;
    assert_eq!((&on["backlog"], &on["skipped"]), (&json!(0), &json!(4)));
    wanted.extend(world.post_some(2).await);
    world.all_arrived().await;
    connector.accounted(&[("accepted", 10), ("delivered", 6), ("skipped", 4)]).await;
    assert_each_once(&splunk, &wanted);
    let skipped = world.read(&format!("/v1/events/{}", left[0])).await;
    assert_eq!(skipped["outcomes"][0]["outcome"], "skipped", "{skipped}");

    // Off survives a restart, and so does what came meanwhile.
    connector.patch(json!({ "active": false })).await;
    wanted.extend(world.post_some(2).await);
    world.restart().await;
    let on = connector.patch(json!({ "active": true, "resume": "backlog" })).await;
    assert_eq!(on["backlog"], 2);
    world.all_arrived().await;
    assert_each_once(&splunk, &wanted);
    world.end().await;
}

#[tokio::test]
async fn deleting_a_connector_says_how_many_events_are_given_up_with_it() {
    let (failing, off) = (splunk().await, splunk().await);
    let world = World::start().await;
    let first = world.connect(&failing).await;
    let second = world.connect_with(&off, json!({ "name": "off" })).await;
    world.post_some(1).await;
    world.all_arrived().await;
    second.patch(json!({ "active": false })).await;
    failing.down().await;
    world.post_some(4).await;
    // Some of them are parked, in a pending delivery, or wait behind the cursor: all are given up.
    first.accounted(&[("delivered", 1)]).await;
    for connector in [first, second] {
        let deleted = world.remove(&connector.path("")).await;
        assert_eq!(deleted, json!({ "discarded": 4 }));
        world.get(&connector.path("")).await.expect_status(404);
    }
    failing.up().unwrap();
    let replacement = world.connect(&failing).await;
    world.post_some(1).await;
    world.all_arrived().await;
    replacement.accounted(&[("accepted", 1), ("delivered", 1)]).await;
    assert_eq!((failing.event_ids().len(), off.event_ids().len()), (2, 1));
    world.end().await;
}

#[tokio::test]
async fn a_shutdown_under_load_delivers_everything_that_was_promised_and_exits_cleanly() {
    let (mut world, splunk) = (World::start().await, splunk().await);
    world.connect(&splunk).await;
    let oracle = Arc::new(Oracle::default());
    let (here, whereabouts) = watch::channel(Some(world.client.clone()));
    let mut producers = JoinSet::new();
    for seed in 0..4 {
        producers.spawn(produce(Seed::new(seed), world.id.clone(), whereabouts.clone(), Arc::clone(&oracle)));
    }
    poll::until("events flow", async || (oracle.promises() > 500).then_some(())).await;
    world.stop().await;
    here.send_replace(None);
    drop(here);
    while let Some(ended) = producers.join_next().await {
        ended.unwrap();
    }
    let log = world.log();
    assert!(log.contains("ending: no more events are taken in") && !log.contains("grace period"), "{log}");
    let arrived = Arrived { times: splunk.event_ids(), ..Arrived::default() };
    let findings = oracle.judge(&arrived);
    assert!(findings.missing.is_empty() && findings.invented.is_empty(), "{findings:?}");
    assert_eq!(findings.duplicates, 0);

    world.again().await;
    world.all_arrived().await;
    world.end().await;
    assert_eq!(splunk.event_ids().len(), arrived.times.len(), "everything had been delivered before the end");
}

#[tokio::test]
async fn a_destination_that_hangs_does_not_hold_up_a_shutdown_beyond_its_grace() {
    let splunk = splunk().await;
    let mut world = World::with(setup().env("TOKTRA_SIEM_SHUTDOWN_GRACE", "1s")).await;
    let connector = world.connect(&splunk).await;
    splunk.always(Endpoint::Event, Behaviour::never());
    let ids = world.post_some(2).await;
    splunk.wait_for_requests(1).await;
    world.stop().await;
    assert!(world.log().contains("the grace period ended before these tasks did"), "{}", world.log());

    splunk.healthy();
    world.again().await;
    world.all_arrived().await;
    connector.accounted(&[("delivered", 2)]).await;
    assert_each_once(&splunk, &ids);
    world.end().await;
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_and_disturbs_nothing() {
    let (world, splunk) = (World::start().await, splunk().await);
    world.connect(&splunk).await;
    let log = world.refused(1).await;
    assert!(log.contains("in use by a running server") && !log.contains("\"listening\""), "{log}");
    let ids = world.post_some(1).await;
    world.all_arrived().await;
    assert_each_once(&splunk, &ids);
    world.end().await;
}

#[tokio::test]
async fn with_a_key_that_does_not_open_the_credentials_nothing_is_sent_and_nothing_is_lost() {
    let splunk = splunk().await;
    let (right, wrong) = ("ab".repeat(32), "cd".repeat(32));
    let mut world = World::with(setup().env("TOKTRA_SIEM_ENCRYPTION_KEY", right.as_str())).await;
    let connector = world.connect(&splunk).await;
    let mut ids = world.post_some(1).await;
    world.all_arrived().await;
    world.set("TOKTRA_SIEM_ENCRYPTION_KEY", wrong.as_str());
    world.restart().await;
    ids.extend(world.post_events(&[violation(json!({}))]).await);
    let told = async || {
        let log = world.log();
        (log.contains("its secrets cannot be opened") && log.contains(&connector.id)).then_some(log)
    };
    let log = poll::until("the log names the connector", told).await;
    assert!(!log.contains(CREDENTIAL) && !log.contains(&wrong), "{log}");
    connector.accounted(&[("delivered", 1), ("pending", 1)]).await;
    world.set("TOKTRA_SIEM_ENCRYPTION_KEY", right.as_str());
    world.restart().await;
    world.all_arrived().await;
    assert_each_once(&splunk, &ids);
    world.stop().await;

    // What is no key at all is refused before anything is started.
    world.set("TOKTRA_SIEM_ENCRYPTION_KEY", "not-a-key");
    let log = world.refused(2).await;
    assert!(log.contains("TOKTRA_SIEM_ENCRYPTION_KEY") && !log.contains("not-a-key"), "{log}");
}

#[tokio::test]
async fn a_filter_that_was_changed_before_a_restart_applies_from_its_save_on() {
    let (mut world, splunk) = (World::start().await, splunk().await);
    let connector = world.connect(&splunk).await;
    splunk.down().await;
    let of = |severity: &str| violation(json!({ "severity": severity }));
    let before = world.post_events(&[of("low"), of("critical")]).await;
    connector.patch(json!({ "filter": { "severity": ["critical"] } })).await;
    let after = world.post_events(&[of("low"), of("critical")]).await;
    world.stop().await;
    splunk.up().unwrap();
    world.again().await;
    world.all_arrived().await;
    connector.accounted(&[("delivered", 3), ("filtered", 1)]).await;
    assert_each_once(&splunk, &[before[0].clone(), before[1].clone(), after[1].clone()]);
    let passed_by: Value = world.read(&format!("/v1/events/{}", after[0])).await;
    assert_eq!(passed_by["outcomes"][0]["outcome"], "filtered", "{passed_by}");
    world.end().await;
}

#[tokio::test]
async fn a_secret_that_was_shown_once_survives_a_kill() {
    let mut world = World::start().await;
    let body = json!({ "name": "CI", "scopes": ["events:write"] }).to_string();
    let headers = [("content-type", "application/json"), ("idempotency-key", "once")];
    let made = world.send(Method::POST, "/v1/api-keys", &headers, body.clone().into()).await.expect_status(201);
    world.kill().await;
    world.again().await;
    let again = world.send(Method::POST, "/v1/api-keys", &headers, body.into()).await.expect_status(201);
    assert_eq!((&again.body, again.header("idempotent-replayed")), (&made.body, Some("true")));
    let shown = world.read("/v1/secrets").await;
    let reveal = format!("/v1/secrets/{}/reveal", shown["items"][0]["id"].as_str().unwrap());
    let revealed = world.call(&reveal, &json!({})).await;
    assert_eq!(revealed["secret"], made.json()["key"]);
    world.end().await;
}
