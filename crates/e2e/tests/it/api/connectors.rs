//! `/v1/siem/connectors`.

use std::time::Duration;

use http::Method;
use toktra_siem_app::TemplateFailure;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::ManagedBy;
use toktra_siem_core::ids::{ConnectorId, Revision};
use toktra_siem_store::Change;
use toktra_siem_testkit::prelude::*;
use uuid::Uuid;

const TOKEN: &str = "00000000-1111-2222-3333-444444444444";

fn path(connector: &Value) -> String {
    format!("/v1/siem/connectors/{}", connector["id"].as_str().unwrap())
}

async fn patch_if(client: &Client, path: &str, tag: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json"), ("if-match", tag)];
    client.send(Method::PATCH, path, &headers, body.to_string().into()).await
}

#[tokio::test]
async fn made_shown_listed_and_never_with_its_secrets() {
    let world = World::here().await;
    let made = world.post("/v1/siem/connectors", &splunk_body("Splunk")).await;
    insta::assert_json_snapshot!("created_splunk", shown(&made));
    assert_eq!(made.header("etag"), Some("\"1\""));
    let location = made.header("location").unwrap().to_owned();
    let got = world.get(&location).await;
    insta::assert_json_snapshot!("splunk", shown(&got));
    world.pass(Duration::from_millis(1));
    let datadog = json!({
        "name": "Datadog", "platform": "datadog", "active": true, "signing_secret": "a-secret-of-our-own",
        "config": { "api_key": "0123456789abcdef0123456789abcdef", "site": "datadoghq.eu" },
        "filter": { "severity": ["high", "critical"], "event_types": ["policy_violation"] },
    });
    let made = world.post("/v1/siem/connectors", &datadog).await;
    insta::assert_json_snapshot!("created_datadog", shown(&made));
    world.pass(Duration::from_millis(1));
    let elasticsearch = json!({
        "name": "Elasticsearch", "platform": "elasticsearch",
        "config": { "url": "https://siem.example:9200", "username": "toktra", "password": "correct horse battery" },
    });
    let made = world.post("/v1/siem/connectors", &elasticsearch).await;
    insta::assert_json_snapshot!("created_elasticsearch", shown(&made));

    let first = world.get("/v1/siem/connectors?limit=2").await.expect_status(200);
    let next = first.json()["next_cursor"].text();
    let second = world.get(&format!("/v1/siem/connectors?limit=2&cursor={next}")).await.expect_status(200);
    let names: Vec<_> =
        [&first, &second].iter().flat_map(|page| page.json()["items"].list()).map(|item| item["name"].text()).collect();
    assert_eq!(names, ["Splunk", "Datadog", "Elasticsearch"]);
    assert_eq!((&second.json()["has_more"], &second.json()["total_count"]), (&json!(false), &json!(3)));
    assert_eq!(world.dispatch.changed.lock().len(), 3);
    let (audit, _) = world.audit(DEFAULT_ORG).await;
    assert_eq!(audit[1].actor.name, "bootstrap");
    for text in [first.text(), second.text(), got.text(), format!("{audit:?}")] {
        for secret in [TOKEN, "a-secret-of-our-own", "0123456789abcdef0123456789abcdef", "correct horse battery"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test]
async fn every_fault_of_a_new_connector_is_named_and_no_secret_echoed() {
    let world = World::here().await;
    let body = json!({
        "name": "", "platform": "splunk", "colour": 1, "active": "yes", "signing_secret": "short",
        "config": { "hec_url": "ftp://x", "hec_token": "hunter2\n", "indx": "a" },
        "filter": { "severity": ["urgent"] },
    });
    let answer = world.post("/v1/siem/connectors", &body).await;
    insta::assert_json_snapshot!("invalid_connector", shown(&answer));
    assert!(!answer.text().contains("hunter2"));
    for (body, pointer) in [
        (json!({}), "/name"),
        (json!({ "name": "x", "platform": "qradar" }), "/platform"),
        (json!({ "name": "x", "platform": "splunk" }), "/config/hec_url"),
    ] {
        let answer = world.post("/v1/siem/connectors", &body).await.expect_status(422).json();
        let fields = answer["error"]["fields"].as_array().unwrap();
        assert!(fields.iter().any(|field| field["pointer"] == pointer), "{answer}");
    }
    world.idle_connector(&world, "taken").await;
    insta::assert_json_snapshot!("name_taken", shown(&world.post("/v1/siem/connectors", &splunk_body("taken")).await));
}

#[tokio::test]
async fn forbidden_targets_are_refused_at_creation_and_change() {
    let world = World::here().await;
    let connector = world.idle_connector(&world, "x").await;
    for url in [
        "https://127.0.0.1:8088",
        "https://0x7f.1",
        "https://2130706433",
        "https://[::ffff:169.254.169.254]",
        "https://169.254.169.254",
        "https://10.0.0.1",
        "https://metadata.google.internal",
        "https://localhost",
        "http://siem.example:8088",
        "https://inside.example",
    ] {
        let mut body = splunk_body("y");
        body["config"]["hec_url"] = url.into();
        for answer in [
            world.post("/v1/siem/connectors", &body).await,
            world.patch(&path(&connector), &json!({ "config": body["config"] })).await,
        ] {
            assert_eq!(answer.status, 403, "{url}: {}", answer.text());
            assert_eq!(answer.json()["error"]["code"], "destination_forbidden", "{url}");
            assert!(!answer.text().contains("10.1.2.3"), "tells what a name resolves to");
        }
    }
    let mut unresolved = splunk_body("later");
    unresolved["config"]["hec_url"] = "https://not-there-yet.example".into();
    world.make("/v1/siem/connectors", &unresolved).await;
}

#[tokio::test]
async fn a_change_merges_and_needs_the_credential_for_another_host() {
    let world = World::here().await;
    let connector = world.idle_connector(&world, "x").await;
    let path = path(&connector);
    let changed = world
        .patch(
            &path,
            &json!({ "name": "renamed", "config": { "index": "security" }, "filter": { "severity": ["high"] } }),
        )
        .await;
    insta::assert_json_snapshot!("changed", shown(&changed));
    assert_eq!(changed.header("etag"), Some("\"2\""));
    let other_host = json!({ "config": { "hec_url": "https://elsewhere.example" } });
    insta::assert_json_snapshot!("credential_needed", shown(&world.patch(&path, &other_host).await));
    let with_token = json!({ "config": { "hec_url": "https://elsewhere.example", "hec_token": TOKEN } });
    world.change(&path, &with_token).await;
    let reset = world.change(&path, &json!({ "config": { "index": null }, "filter": null })).await;
    assert_eq!((&reset["config"]["index"], &reset["filter"]), (&json!("toktra"), &json!({})));
    let platform = world.patch(&path, &json!({ "platform": "datadog" })).await.expect_status(422);
    assert_eq!(platform.json()["error"]["fields"][0]["pointer"], "/platform");
    let unsigned = world.patch(&path, &json!({ "signing_secret": null })).await.expect_status(422);
    assert_eq!(unsigned.json()["error"]["fields"][0]["pointer"], "/signing_secret");
    world.change(&path, &json!({ "signing_secret": "another-secret-1234" })).await;
    let shown = world.get(&path).await.json();
    assert_eq!(shown["signing_secret"], json!({ "set": true, "hint": "…1234" }));
}

#[tokio::test]
async fn if_match_guards_against_lost_updates() {
    let world = World::here().await;
    let connector = world.idle_connector(&world, "x").await;
    let path = path(&connector);
    patch_if(&world, &path, "\"1\"", &json!({ "name": "y" })).await.expect_status(200);
    let stale = patch_if(&world, &path, "\"1\"", &json!({ "name": "z" })).await;
    insta::assert_json_snapshot!("stale", shown(&stale));
    let stale = world.send(Method::DELETE, &path, &[("if-match", "\"1\"")], bytes::Bytes::new()).await;
    assert_eq!(stale.status, 412);
    patch_if(&world, &path, "*", &json!({ "name": "z" })).await.expect_status(200);
    assert_eq!(world.get(&path).await.json()["name"], "z");
}

#[tokio::test]
async fn switching_on_again_says_how_many_events_wait_or_are_skipped() {
    let world = World::here().await;
    for (resume, backlog, skipped) in [("backlog", 3, 0), ("now", 0, 3)] {
        let connector = world.idle_connector(&world, resume).await;
        let path = path(&connector);
        world.change(&path, &json!({ "active": true })).await;
        world.change(&path, &json!({ "active": false })).await;
        for _ in 0..3 {
            let event = json!({ "event_type": "anomaly", "severity": "low" });
            world.begin("/v1/events", &event).await;
        }
        let on = world.change(&path, &json!({ "active": true, "resume": resume })).await;
        assert_eq!((&on["active"], &on["backlog"], &on["skipped"]), (&json!(true), &json!(backlog), &json!(skipped)));
    }
}

#[tokio::test]
async fn removing_says_what_was_given_up() {
    let world = World::here().await;
    let mut body = splunk_body("x");
    body["active"] = true.into();
    let connector = world.make("/v1/siem/connectors", &body).await;
    world.begin("/v1/events", &json!({ "event_type": "anomaly", "severity": "low" })).await;
    let deleted = world.remove(&path(&connector)).await;
    assert_eq!(deleted, json!({ "discarded": 1 }));
    world.get(&path(&connector)).await.expect_status(404);
    world.delete(&path(&connector)).await.expect_status(404);
}

/// Stores a connector as the environment makes it; its path.
async fn of_environment(world: &Here, id: ConnectorId) -> String {
    let made = world.idle_connector(world, "template").await;
    let template: ConnectorId = made["id"].as_str().unwrap().parse().unwrap();
    let mut record = world.store.connector(DEFAULT_ORG, template).await.unwrap();
    record.connector.id = id;
    record.connector.name = "environment".into();
    record.connector.managed_by = ManagedBy::Environment;
    record.connector.revision = Revision(1);
    record.secrets.clear();
    world.store.create_connector(DEFAULT_ORG, Change { value: record, audit: audit() }).await.unwrap();
    format!("/v1/siem/connectors/{id}")
}

#[tokio::test]
async fn a_connector_that_the_environment_does_not_describe_any_more_may_be_removed_but_not_changed() {
    let world = World::here().await;
    let path = of_environment(&world, ConnectorId(Uuid::from_u128(6))).await;
    insta::assert_json_snapshot!("not_described", shown(&world.patch(&path, &json!({ "active": true })).await));
    world.post(&format!("{path}/signing-secret/rotate"), &json!({})).await.expect_status(409);
    let stale = world.send(Method::DELETE, &path, &[("if-match", "\"7\"")], bytes::Bytes::new()).await;
    assert_eq!(stale.status, 412);
    world.remove(&path).await;
    world.get(&path).await.expect_status(404);
}

#[tokio::test]
async fn a_connector_of_the_environment_is_read_only() {
    let world = World::here().await;
    let path = of_environment(&world, DESCRIBED).await;
    insta::assert_json_snapshot!("read_only", shown(&world.patch(&path, &json!({ "active": false })).await));
    world.delete(&path).await.expect_status(409);
    world.post(&format!("{path}/signing-secret/rotate"), &json!({})).await.expect_status(409);
    assert_eq!(world.get(&path).await.json()["managed_by"], "environment");
}

#[tokio::test]
async fn the_default_orgs_connectors_sign_with_the_operators_secret() {
    let signing_secret = Some("operator-secret");
    let world = World::here_with(Options { signing_secret, ..Options::default() }).await;
    let shared = world.idle_connector(&world, "shared").await;
    assert_eq!(shared["signing_secret"], json!({ "set": true, "source": "SIEM_SIGNING_SECRET" }));
    world.change(&path(&shared), &json!({ "signing_secret": "its-own-secret-5678" })).await;
    let back = world.change(&path(&shared), &json!({ "signing_secret": null })).await;
    assert_eq!(back["signing_secret"]["source"], "SIEM_SIGNING_SECRET");
    let org = world.tenant("tenant").await;
    let (tenant, _) = world.key(&org, &["siem:write"]).await;
    let own = world.idle_connector(&tenant, "own").await;
    assert_eq!(own["signing_secret"]["value"].as_str().map(str::len), Some("whsec_".len() + 44));
}

#[tokio::test]
async fn the_index_template_is_applied_on_request() {
    let world = World::here().await;
    let connector = world.idle_connector(&world, "x").await;
    let path = format!("{}/index-template", path(&connector));
    insta::assert_json_snapshot!("template_applied", shown(&world.post(&path, &json!({})).await));
    *world.dispatch.failure.lock() = Some(TemplateFailure::Unsupported);
    insta::assert_json_snapshot!("template_unsupported", shown(&world.post(&path, &json!({})).await));
    let cause = Cause::new("elasticsearch_security_exception", "The API key may not manage templates.");
    *world.dispatch.failure.lock() = Some(TemplateFailure::Endpoint(cause));
    insta::assert_json_snapshot!("template_refused", shown(&world.post(&path, &json!({})).await));
}
