//! `POST …/connectors/test` and `…/{id}/test`: what may be tried, and how the answer looks. What is sent, and what comes of it, is shown by
//! the journeys.

use std::sync::atomic::Ordering;

use toktra_siem_app::TestFailure;
use toktra_siem_core::connector::ManagedBy;
use toktra_siem_store::{Change, StoreError};
use toktra_siem_testkit::prelude::*;

const UNSAVED: &str = "/v1/siem/connectors/test";

fn test_path(connector: &Value) -> String {
    format!("/v1/siem/connectors/{}/test", connector["id"].as_str().unwrap())
}

fn with_config(mut body: Value, name: &str, value: impl Into<Value>) -> Value {
    body["config"][name] = value.into();
    body
}

#[tokio::test]
async fn the_first_stream_that_failed_stands_on_top() {
    let world = World::here().await;
    let datadog = json!({
        "name": "Datadog", "platform": "datadog", "config": { "api_key": "0123456789abcdef0123456789abcdef", "url": "https://siem.example" },
    });
    insta::assert_json_snapshot!("unsaved_datadog", shown(&world.post(UNSAVED, &datadog).await));
    let connector = world.idle_connector(&world, "Splunk").await;
    insta::assert_json_snapshot!("saved_splunk", shown(&world.post(&test_path(&connector), &json!({})).await));
    let connectors = world.get("/v1/siem/connectors").await.json();
    assert_eq!(connectors["total_count"], 1, "what is tried is not stored");
}

#[tokio::test]
async fn a_patch_is_laid_over_what_is_stored_and_brings_the_credential_to_another_host() {
    let world = World::here().await;
    let connector = world.idle_connector(&world, "Splunk").await;
    let path = test_path(&connector);
    world.call(&path, &json!({})).await;
    world.call(&path, &json!({ "config": { "index": "other" } })).await;
    let requests = std::mem::take(&mut *world.dispatch.tests.lock());
    let [whole, patched] = requests.try_into().unwrap();
    assert_eq!((whole.saved, patched.saved), (true, false));
    assert_eq!(whole.record.secrets, patched.record.secrets, "the stored credential is tried");
    assert_eq!(patched.audit.detail["connector"]["config"]["index"], "other");
    assert_eq!(
        (whole.audit.action.as_str(), whole.audit.object.as_str()),
        ("connector.test", connector["id"].as_str().unwrap())
    );
    let stored = world.store.connector(DEFAULT_ORG, whole.record.connector.id).await.unwrap();
    assert_eq!(stored, whole.record, "nothing was saved");

    let elsewhere = json!({ "config": { "hec_url": "https://siem.example:9999" } });
    let refused = world.post(&path, &elsewhere).await.expect_status(422).json();
    assert_eq!(refused["error"]["fields"][0]["pointer"], "/config/hec_token", "{refused}");
    let brought = with_config(elsewhere, "hec_token", "canary-token-0000");
    world.call(&path, &brought).await;
    let lines = world.dispatch.tests.lock().iter().map(|test| test.audit.clone()).collect::<Vec<_>>();
    assert!(!format!("{lines:?}").contains("canary"), "{lines:?}");
}

#[tokio::test]
async fn nothing_is_sent_where_connectors_may_not_lead() {
    let world = World::here().await;
    let connector = world.idle_connector(&world, "Splunk").await;
    let path = test_path(&connector);
    for url in
        ["https://inside.example:8088", "https://127.0.0.1:8088", "http://siem.example:8088", "https://169.254.169.254"]
    {
        let body = with_config(splunk_body("x"), "hec_url", url);
        let unsaved = world.post(UNSAVED, &body).await.expect_status(403).json();
        assert_eq!(unsaved["error"]["code"], "destination_forbidden", "{url}: {unsaved}");
        let patched = world.post(&path, &json!({ "config": body["config"] })).await.expect_status(403).json();
        assert_eq!(patched["error"]["code"], "destination_forbidden", "{url}: {patched}");
    }
    assert!(world.dispatch.tests.lock().is_empty());
}

#[tokio::test]
async fn settings_are_checked_as_for_a_save() {
    let world = World::here().await;
    for (platform, config, pointer, part) in [
        (
            "elasticsearch",
            json!({ "cloud_id": "prod:bm90aGluZw", "api_key": "aWQ6a2V5" }),
            "/config/cloud_id",
            "deployment's page",
        ),
        (
            "elasticsearch",
            json!({ "cloud_id": "no-colon", "api_key": "aWQ6a2V5" }),
            "/config/cloud_id",
            "not a Cloud ID",
        ),
        ("datadog", json!({ "site": "EU1", "api_key": "key" }), "/config/site", "datadoghq.eu"),
        (
            "splunk",
            json!({ "hec_url": "https://s.example/?token=x", "hec_token": "token" }),
            "/config/hec_url",
            "tokens never go",
        ),
        (
            "splunk",
            json!({ "hec_url": "https://s.example", "hec_token": "ApiKey token" }),
            "/config/hec_token",
            "the token alone",
        ),
    ] {
        let body = json!({ "name": "x", "platform": platform, "config": config });
        let refused = world.post(UNSAVED, &body).await.expect_status(422).json();
        let fault = &refused["error"]["fields"][0];
        assert_eq!(fault["pointer"], pointer, "{refused}");
        assert!(fault["message"].as_str().unwrap().contains(part), "{refused}");
    }
}

#[tokio::test]
async fn a_connector_of_the_environment_is_tried_as_it_is() {
    let world = World::here().await;
    let made = world.idle_connector(&world, "Splunk").await;
    let mut record = world.store.connector(DEFAULT_ORG, made["id"].as_str().unwrap().parse().unwrap()).await.unwrap();
    (record.connector.id, record.connector.name) = (DESCRIBED, "Environment".into());
    record.connector.managed_by = ManagedBy::Environment;
    record.connector.settings.config["hec_url"] = "http://127.0.0.1:8088".into();
    world.store.create_connector(DEFAULT_ORG, Change { value: record, audit: audit() }).await.unwrap();
    let path = format!("/v1/siem/connectors/{DESCRIBED}/test");
    world.call(&path, &json!({})).await;
    let refused = world.post(&path, &json!({ "config": { "index": "other" } })).await.expect_status(409).json();
    assert!(refused["error"]["message"].as_str().unwrap().contains("managed by the environment"), "{refused}");
    assert_eq!(world.dispatch.tests.lock().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_tried_says_why() {
    let world = World::here().await;
    let path = test_path(&world.idle_connector(&world, "Splunk").await);
    *world.dispatch.test_failure.lock() = Some(TestFailure::Unusable("its secrets do not open".into()));
    let unusable = world.post(&path, &json!({})).await.expect_status(409).json();
    assert_eq!(unusable["error"]["message"], "This connector cannot be used: its secrets do not open.");
    *world.dispatch.test_failure.lock() = Some(TestFailure::Store(StoreError::Full));
    world.post(&path, &json!({})).await.expect_status(507);
}

#[tokio::test]
async fn a_test_is_told_line_by_line_and_ends_with_the_same_answer() {
    let world = World::here().await;
    let path = test_path(&world.idle_connector(&world, "Splunk").await);
    let mut lines = world.post_for_lines(&path, &json!({})).await;
    assert_eq!(lines.status, 200);
    assert_eq!(lines.headers["content-type"], "application/x-ndjson");
    assert_eq!(lines.headers["cache-control"], "no-store");
    assert_eq!(lines.headers["x-accel-buffering"], "no", "proxies pass each line on as it comes");
    let lines = lines.rest().await;
    insta::assert_json_snapshot!("live_splunk", lines);
    let whole = world.call(&path, &json!({})).await;
    assert_eq!(lines.last().unwrap()["test"], whole);
    let stages = lines.iter().filter_map(|line| line.get("stage")).collect::<Vec<_>>();
    assert_eq!(json!(stages), whole["stages"]);

    let datadog = json!({
        "name": "Datadog", "platform": "datadog", "config": { "api_key": "0123456789abcdef0123456789abcdef", "url": "https://siem.example" },
    });
    let lines = world.post_for_lines(UNSAVED, &datadog).await.rest().await;
    let of_metrics = lines.iter().filter(|line| line["stream"] == "metrics").count();
    assert_eq!((of_metrics, &lines.last().unwrap()["test"]["delivered"]), (3, &json!(false)), "{lines:?}");
}

#[tokio::test]
async fn what_keeps_a_test_from_beginning_is_an_ordinary_answer_and_what_ends_it_is_its_last_line() {
    let world = World::here().await;
    let path = test_path(&world.idle_connector(&world, "Splunk").await);
    let headers = [("content-type", "application/json"), ("accept", "application/x-ndjson")];
    let ask =
        async |path: &str, body: &Value| world.send(http::Method::POST, path, &headers, body.to_string().into()).await;
    *world.dispatch.test_failure.lock() = Some(TestFailure::Busy);
    let busy = ask(&path, &json!({})).await.expect_status(429);
    assert_eq!((&busy.json()["error"]["code"], busy.header("retry-after")), (&json!("queue_full"), Some("5")));
    *world.dispatch.test_failure.lock() = Some(TestFailure::Unusable("its secrets do not open".into()));
    ask(&path, &json!({})).await.expect_status(409);
    let inside = with_config(splunk_body("x"), "hec_url", "https://inside.example:8088");
    ask(UNSAVED, &inside).await.expect_status(403);
    ask(UNSAVED, &json!({ "name": "x" })).await.expect_status(422);

    world.dispatch.fails_late.store(true, Ordering::SeqCst);
    *world.dispatch.test_failure.lock() = Some(TestFailure::Store(StoreError::Full));
    let lines = world.post_for_lines(&path, &json!({})).await.rest().await;
    assert!(lines[0]["event_id"].is_string() && lines[1]["stage"]["ok"] == true, "{lines:?}");
    assert_eq!(lines.last().unwrap()["error"]["code"], "disk_full", "{lines:?}");
}
