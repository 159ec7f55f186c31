//! Restarts: events that wait survive a gentle end and a kill, a connector that was switched off goes on where it was told to, and a
//! shutdown under load breaks no promise.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use toktra_siem_fake::Behaviour;
use toktra_siem_fake::splunk::{Endpoint, Splunk, SplunkOptions};
use toktra_siem_sim::oracle::{Arrived, Oracle};
use toktra_siem_sim::producer::produce;
use toktra_siem_sim::seed::Seed;
use toktra_siem_testkit::client::Client;
use toktra_siem_testkit::poll;

use crate::support::{
    TOKEN, accounted, all_add_up, all_arrived, connect, default_org, event, healthy_as, patch, path, post, post_some,
    read, setup,
};

async fn splunk() -> Splunk {
    Splunk::start(SplunkOptions::new(TOKEN)).await.unwrap()
}

async fn connect_to(client: &Client, splunk: &Splunk) -> String {
    connect(client, "splunk", "Splunk", &json!({ "hec_url": splunk.base_url(), "hec_token": TOKEN })).await
}

/// Every one of these events arrived, and none twice.
fn each_once(splunk: &Splunk, ids: &[String]) {
    let arrived = splunk.event_ids();
    assert_eq!(arrived.len(), ids.len());
    assert!(ids.iter().all(|id| arrived.get(id) == Some(&1)), "{arrived:?}");
    assert!(splunk.violations().is_empty(), "{:?}", splunk.violations());
}

#[tokio::test]
async fn events_that_wait_survive_a_gentle_end_and_a_kill() {
    let splunk = splunk().await;
    let setup = setup();
    let server = setup.start().await;
    let connector = connect_to(server.client(), &splunk).await;
    splunk.down().await;
    let mut ids = post_some(server.client(), 5).await;
    assert_eq!(server.stop().await.code(), Some(0));

    let server = setup.start().await;
    ids.extend(post_some(server.client(), 5).await);
    // Failed and parked by now, or still in its attempts: both must survive.
    server.kill().await;

    let server = setup.start().await;
    ids.extend(post_some(server.client(), 5).await);
    healthy_as(server.client(), &connector, "degraded").await;
    server.kill().await;

    splunk.up().unwrap();
    let server = setup.start().await;
    all_arrived(server.client()).await;
    accounted(server.client(), &connector, &[("accepted", 15), ("delivered", 15)]).await;
    each_once(&splunk, &ids);
    healthy_as(server.client(), &connector, "healthy").await;
    all_add_up(server.client()).await;
    server.stop().await;
}

#[tokio::test]
async fn a_connector_that_is_switched_on_again_takes_the_backlog_or_leaves_it() {
    let splunk = splunk().await;
    let setup = setup();
    let server = setup.start().await;
    let client = server.client();
    let connector = connect_to(client, &splunk).await;
    let mut wanted = post_some(client, 1).await;
    all_arrived(client).await;

    patch(client, &connector, &json!({ "active": false })).await;
    assert_eq!(read(client, &format!("{}/health", path(&connector))).await["state"], "off");
    wanted.extend(post_some(client, 3).await);
    let on = patch(client, &connector, &json!({ "active": true })).await;
    assert_eq!((&on["backlog"], &on["skipped"]), (&json!(3), &json!(0)), "the backlog is the default");
    all_arrived(client).await;

    patch(client, &connector, &json!({ "active": false })).await;
    let left = post_some(client, 4).await;
    let on = patch(client, &connector, &json!({ "active": true, "resume": "now" })).await;
    assert_eq!((&on["backlog"], &on["skipped"]), (&json!(0), &json!(4)));
    wanted.extend(post_some(client, 2).await);
    all_arrived(client).await;
    accounted(client, &connector, &[("accepted", 10), ("delivered", 6), ("skipped", 4)]).await;
    each_once(&splunk, &wanted);
    let skipped = read(client, &format!("/v1/events/{}", left[0])).await;
    assert_eq!(skipped["outcomes"][0]["outcome"], "skipped", "{skipped}");

    // Off survives a restart, and so does what came meanwhile.
    patch(client, &connector, &json!({ "active": false })).await;
    wanted.extend(post_some(client, 2).await);
    server.stop().await;
    let server = setup.start().await;
    let client = server.client();
    let on = patch(client, &connector, &json!({ "active": true, "resume": "backlog" })).await;
    assert_eq!(on["backlog"], 2);
    all_arrived(client).await;
    each_once(&splunk, &wanted);
    all_add_up(client).await;
    server.stop().await;
}

#[tokio::test]
async fn deleting_a_connector_says_how_many_events_are_given_up_with_it() {
    let (failing, off) = (splunk().await, splunk().await);
    let setup = setup();
    let server = setup.start().await;
    let client = server.client();
    let first = connect_to(client, &failing).await;
    let config = json!({ "hec_url": off.base_url(), "hec_token": TOKEN });
    let second = connect(client, "splunk", "off", &config).await;
    post_some(client, 1).await;
    all_arrived(client).await;
    patch(client, &second, &json!({ "active": false })).await;
    failing.down().await;
    post_some(client, 4).await;
    // Some of them are parked, in a pending delivery, or wait behind the cursor: all are given up.
    accounted(client, &first, &[("delivered", 1)]).await;
    for connector in [first, second] {
        let deleted = client.delete(&path(&connector)).await.expect_status(200).json();
        assert_eq!(deleted, json!({ "discarded": 4 }));
        client.get(&path(&connector)).await.expect_status(404);
    }
    failing.up().unwrap();
    let replacement = connect_to(client, &failing).await;
    post_some(client, 1).await;
    all_arrived(client).await;
    accounted(client, &replacement, &[("accepted", 1), ("delivered", 1)]).await;
    assert_eq!((failing.event_ids().len(), off.event_ids().len()), (2, 1));
    all_add_up(client).await;
    server.stop().await;
}

#[tokio::test]
async fn a_shutdown_under_load_delivers_everything_that_was_promised_and_exits_cleanly() {
    let splunk = splunk().await;
    let setup = setup();
    let mut server = setup.start().await;
    connect_to(server.client(), &splunk).await;
    let org = default_org(server.client()).await;
    let oracle = Arc::new(Oracle::default());
    let (here, whereabouts) = watch::channel(Some(server.client().clone()));
    let mut producers = JoinSet::new();
    for seed in 0..4 {
        producers.spawn(produce(Seed::new(seed), org.clone(), whereabouts.clone(), Arc::clone(&oracle)));
    }
    poll::until("events flow", async || (oracle.promises() > 500).then_some(())).await;
    server.terminate().await;
    assert_eq!(server.exited().await.code(), Some(0), "{}", server.log());
    here.send_replace(None);
    drop(here);
    while let Some(ended) = producers.join_next().await {
        ended.unwrap();
    }
    let log = server.whole_log();
    assert!(log.contains("ending: no more events are taken in") && !log.contains("grace period"), "{log}");
    let arrived = Arrived { times: splunk.event_ids(), ..Arrived::default() };
    let findings = oracle.judge(&arrived);
    assert!(findings.missing.is_empty() && findings.invented.is_empty(), "{findings:?}");
    assert_eq!(findings.duplicates, 0);

    let server = setup.start().await;
    all_arrived(server.client()).await;
    all_add_up(server.client()).await;
    server.stop().await;
    assert_eq!(splunk.event_ids().len(), arrived.times.len(), "everything had been delivered before the end");
}

#[tokio::test]
async fn a_destination_that_hangs_does_not_hold_up_a_shutdown_beyond_its_grace() {
    let splunk = splunk().await;
    let setup = setup().env("TOKTRA_SIEM_SHUTDOWN_GRACE", "1s");
    let mut server = setup.start().await;
    let connector = connect_to(server.client(), &splunk).await;
    splunk.always(Endpoint::Event, Behaviour::never());
    let ids = post_some(server.client(), 2).await;
    splunk.wait_for_requests(1).await;
    server.terminate().await;
    assert_eq!(server.exited().await.code(), Some(0), "{}", server.log());
    assert!(server.whole_log().contains("the grace period ended before these tasks did"), "{}", server.whole_log());

    splunk.healthy();
    let server = setup.start().await;
    all_arrived(server.client()).await;
    accounted(server.client(), &connector, &[("delivered", 2)]).await;
    each_once(&splunk, &ids);
    all_add_up(server.client()).await;
    server.stop().await;
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_and_disturbs_nothing() {
    let splunk = splunk().await;
    let setup = setup();
    let server = setup.start().await;
    connect_to(server.client(), &splunk).await;
    let mut second = setup.spawn();
    assert_eq!(second.exited().await.code(), Some(1));
    let log = second.whole_log();
    assert!(log.contains("in use by a running server") && !log.contains("\"listening\""), "{log}");
    let ids = post_some(server.client(), 1).await;
    all_arrived(server.client()).await;
    each_once(&splunk, &ids);
    all_add_up(server.client()).await;
    server.stop().await;
}

#[tokio::test]
async fn with_a_key_that_does_not_open_the_credentials_nothing_is_sent_and_nothing_is_lost() {
    let splunk = splunk().await;
    let (right, wrong) = ("ab".repeat(32), "cd".repeat(32));
    let mut setup = setup().env("TOKTRA_SIEM_ENCRYPTION_KEY", right.as_str());
    let server = setup.start().await;
    let connector = connect_to(server.client(), &splunk).await;
    let mut ids = post_some(server.client(), 1).await;
    all_arrived(server.client()).await;
    server.stop().await;

    setup = setup.env("TOKTRA_SIEM_ENCRYPTION_KEY", wrong.as_str());
    let server = setup.start().await;
    ids.extend(post(server.client(), &[event(&json!({}))]).await);
    let told = async || {
        let log = server.whole_log();
        (log.contains("its secrets cannot be opened") && log.contains(&connector)).then_some(log)
    };
    let log = poll::until("the log names the connector", told).await;
    assert!(!log.contains(TOKEN) && !log.contains(&wrong), "{log}");
    accounted(server.client(), &connector, &[("delivered", 1), ("pending", 1)]).await;
    all_add_up(server.client()).await;
    server.stop().await;

    setup = setup.env("TOKTRA_SIEM_ENCRYPTION_KEY", right.as_str());
    let server = setup.start().await;
    all_arrived(server.client()).await;
    each_once(&splunk, &ids);
    all_add_up(server.client()).await;
    server.stop().await;

    // What is no key at all is refused before anything is started.
    setup = setup.env("TOKTRA_SIEM_ENCRYPTION_KEY", "not-a-key");
    let mut refused = setup.spawn();
    assert_eq!(refused.exited().await.code(), Some(2));
    let log = refused.whole_log();
    assert!(log.contains("TOKTRA_SIEM_ENCRYPTION_KEY") && !log.contains("not-a-key"), "{log}");
}

#[tokio::test]
async fn a_filter_that_was_changed_before_a_restart_applies_from_its_save_on() {
    let splunk = splunk().await;
    let setup = setup();
    let server = setup.start().await;
    let connector = connect_to(server.client(), &splunk).await;
    splunk.down().await;
    let of = |severity: &str| event(&json!({ "severity": severity }));
    let before = post(server.client(), &[of("low"), of("critical")]).await;
    patch(server.client(), &connector, &json!({ "filter": { "severity": ["critical"] } })).await;
    let after = post(server.client(), &[of("low"), of("critical")]).await;
    server.stop().await;
    splunk.up().unwrap();
    let server = setup.start().await;
    all_arrived(server.client()).await;
    accounted(server.client(), &connector, &[("delivered", 3), ("filtered", 1)]).await;
    each_once(&splunk, &[before[0].clone(), before[1].clone(), after[1].clone()]);
    let passed_by: Value = read(server.client(), &format!("/v1/events/{}", after[0])).await;
    assert_eq!(passed_by["outcomes"][0]["outcome"], "filtered", "{passed_by}");
    all_add_up(server.client()).await;
    server.stop().await;
}

#[tokio::test]
async fn a_secret_that_was_shown_once_survives_a_kill() {
    let setup = setup();
    let server = setup.start().await;
    let body = json!({ "name": "CI", "scopes": ["events:write"] }).to_string();
    let headers = [("content-type", "application/json"), ("idempotency-key", "once")];
    let made =
        server.client().send(Method::POST, "/v1/api-keys", &headers, body.clone().into()).await.expect_status(201);
    server.kill().await;
    let server = setup.start().await;
    let again = server.client().send(Method::POST, "/v1/api-keys", &headers, body.into()).await.expect_status(201);
    assert_eq!((&again.body, again.header("idempotent-replayed")), (&made.body, Some("true")));
    let shown = server.client().get("/v1/secrets").await.expect_status(200).json();
    let reveal = format!("/v1/secrets/{}/reveal", shown["items"][0]["id"].as_str().unwrap());
    let revealed = server.client().post(&reveal, &json!({})).await.expect_status(200).json();
    assert_eq!(revealed["secret"], made.json()["key"]);
    server.stop().await;
}
