//! `/metrics`: open, honest while the store is not well, and silent about whose events they are. And the ids of requests.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use toktra_siem_fake::ReceiverOptions;
use toktra_siem_store::Shortage;
use toktra_siem_testkit::prelude::*;

use crate::hints::certificates::{Authority, server};

/// The value of the sample that begins like this.
fn value(page: &str, sample: &str) -> Option<f64> {
    let line = page.lines().find(|line| line.strip_prefix(sample).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn event() -> serde_json::Value {
    json!({ "event_type": "anomaly", "severity": "low", "summary": "a canary", "user_email": "canary@company.com" })
}

#[tokio::test]
async fn what_came_in_is_counted_by_what_became_of_it() {
    let world = World::here().await;
    let org = world.tenant("Canary Ltd").await;
    let (client, _) = world.key(&org, &["admin"]).await;
    let connector = world.idle_connector(&client, "canary connector").await.id();
    let accepted = client.begin("/v1/events", &event()).await;
    let id = accepted["events"][0]["event_id"].text();
    let mut again = event();
    again["event_id"] = json!(id);
    client.begin("/v1/events", &again).await;
    client.post("/v1/events", &json!({ "event_type": "nonsense" })).await.expect_status(422);
    world.anonymous().post("/v1/events", &event()).await.expect_status(401);
    // What is refused elsewhere is no refused event.
    world.anonymous().get("/v1/siem/connectors").await.expect_status(401);

    let answer = world.anonymous().get("/metrics").await.expect_status(200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let page = answer.text();
    let refused = |code: &str| value(&page, &format!("toktra_siem_intake_refused_requests_total{{code=\"{code}\"}}"));
    assert_eq!((refused("invalid"), refused("unauthorized"), refused("queue_full")), (Some(1.0), Some(1.0), Some(0.0)));
    assert_eq!(value(&page, "toktra_siem_events_accepted_total"), Some(1.0));
    assert_eq!(value(&page, "toktra_siem_events_duplicate_total"), Some(1.0));
    assert_eq!(value(&page, "toktra_siem_ingest_duration_seconds_count"), Some(2.0));
    let labels = format!("{{connector=\"{connector}\",platform=\"splunk\",stream=\"events\"}}");
    assert_eq!(value(&page, &format!("toktra_siem_stream_pending_events{labels}")), Some(1.0));
    assert_eq!(value(&page, &format!("toktra_siem_stream_active{labels}")), Some(0.0));
    assert!(!page.to_lowercase().contains("canary") && !page.contains(&org) && !page.contains(&id), "{page}");
}

#[tokio::test]
async fn a_store_that_cannot_be_read_leaves_its_figures_out_and_says_so() {
    let world = World::here().await;
    world.idle_connector(&world, "x").await;
    world.store.close().await.unwrap();
    let answer = world.get("/metrics").await.expect_status(200);
    let page = answer.text();
    assert_eq!(value(&page, "toktra_siem_store_readable"), Some(0.0));
    assert!(!page.contains("toktra_siem_stream_pending_events") && !page.contains("toktra_siem_store_used_bytes"));
    assert_eq!(value(&page, "toktra_siem_events_accepted_total"), Some(0.0));
}

#[tokio::test]
async fn after_a_failure_of_the_disk_the_service_is_not_ready() {
    let world = World::here().await;
    world.get("/readyz").await.expect_status(200);
    world.watched.poisoned.store(true, Ordering::SeqCst);
    let refused = world.anonymous().get("/readyz").await.expect_status(503);
    assert_eq!(refused.json()["error"]["code"], "unavailable");
    world.get("/healthz").await.expect_status(200);
    let answer = world.get("/metrics").await.expect_status(200);
    assert_eq!(value(&answer.text(), "toktra_siem_store_poisoned"), Some(1.0));
}

/// Whoever looks can see that, and why, although the service stays ready: it delivers.
#[tokio::test]
async fn where_there_is_no_room_for_events_the_service_says_so_and_stays_ready() {
    let world = World::here().await;
    *world.watched.refusing.lock() = Some(Shortage::FileSystem);
    let ready = world.anonymous().get("/readyz").await.expect_status(200).json();
    assert_eq!(ready["shortage"], "file_system");
    let answer = world.get("/metrics").await.expect_status(200);
    let refusing = |cause: &str| value(&answer.text(), &format!("toktra_siem_store_refusing{{cause=\"{cause}\"}}"));
    assert_eq!((refusing("budget"), refusing("file_system")), (Some(0.0), Some(1.0)));
}

#[tokio::test]
async fn every_answer_has_the_id_of_its_request() {
    let world = World::here().await;
    let ask = async |path: &str, id: &str| -> Answer {
        world.anonymous().send(Method::GET, path, &[("x-request-id", id)], Bytes::new()).await
    };
    for path in ["/healthz", "/nothing/here", "/v1/siem/connectors"] {
        assert_eq!(ask(path, "producer-7").await.header("x-request-id"), Some("producer-7"), "{path}");
        let made = ask(path, "not one\tthat is kept").await;
        let other = world.get(path).await;
        let (made, other) = (made.header("x-request-id").unwrap(), other.header("x-request-id").unwrap());
        assert!(made != other && made.len() > 16 && !made.contains(' '), "{made} {other}");
    }
}

/// The value of what expires next of a kind.
fn expiry(page: &str, kind: &str) -> Option<f64> {
    value(page, &format!("toktra_siem_next_expiry_timestamp_seconds{{kind=\"{kind}\"}}"))
}

#[tokio::test]
async fn what_expires_next_and_what_is_acknowledged_is_told_without_a_name() {
    let world = World::here().await;
    let page = async || world.anonymous().get("/metrics").await.expect_status(200).text();
    for (name, end) in [("canary of later", "2099-01-01T00:00:00Z"), ("canary of soon", "2025-01-16T10:30:00Z")] {
        let key = json!({ "name": name, "scopes": ["events:write"], "expires_at": end });
        world.make("/v1/api-keys", &key).await;
    }
    let mut body = splunk_body("canary connector");
    body["config"]["tls_ca"] = json!(include_str!("../../../../../fixtures/certificates/self-signed.pem"));
    world.make("/v1/siem/connectors", &with(body.clone(), "name", "canary that is off")).await;
    let before = page().await;
    assert_eq!(expiry(&before, "api_key"), Some(1_737_023_400.0));
    assert_eq!(expiry(&before, "trusted_certificate"), None, "a connector that is off trusts nobody");
    assert_eq!(value(&before, "toktra_siem_acknowledged_connectors"), Some(0.0));
    assert_eq!(value(&before, "toktra_siem_last_backup_timestamp_seconds"), None);

    let world = World::here().await;
    let page = async || world.anonymous().get("/metrics").await.expect_status(200).text();
    let made = world.make("/v1/siem/connectors", &with(body, "active", true)).await;
    let known = json!({ "note": "canary of a note", "until": "2025-01-15T14:00:00Z" });
    world.call(&format!("/v1/siem/connectors/{}/acknowledge", made.id()), &known).await;
    let told = page().await;
    assert_eq!(expiry(&told, "trusted_certificate"), Some(2_111_301_270.0));
    assert_eq!((expiry(&told, "api_key"), expiry(&told, "client_certificate")), (None, None));
    assert_eq!(value(&told, "toktra_siem_acknowledged_connectors"), Some(1.0));
    assert!(!(before + &told).contains("canary"), "{told}");
    world.pass(Duration::from_hours(4));
    poll::until("the acknowledgement has ended", async || {
        (value(&page().await, "toktra_siem_acknowledged_connectors") == Some(0.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_certificate_that_a_receiver_shows_is_told_once_it_was_seen() {
    let acme = Authority::new("Acme");
    let receiver = ReceiverOptions { tls: Some(server(&acme, "siem.test")), ..ReceiverOptions::default() };
    let splunk = splunk_with(|options| options.receiver = receiver).await;
    let world = World::start().await;
    world.connect_with(&splunk, json!({ "config": { "tls_ca": acme.pem(), "tls_server_name": "siem.test" } })).await;
    world.post_some(1).await;
    splunk.wait_for_events(1).await;
    poll::until("its end is told", async || {
        let page = world.anonymous().get("/metrics").await.expect_status(200).text();
        expiry(&page, "receiver_certificate").zip(expiry(&page, "trusted_certificate"))
    })
    .await;
    world.end().await;
}
