//! `/v1/api-keys`.

use serde_json::{Value, json};
use toktra_siem_store::OrgStore as _;

use super::bench::{BOOTSTRAP, Bench, DEFAULT_ORG, shown};

#[tokio::test]
async fn a_key_is_shown_once_and_only_its_hash_is_kept() {
    let bench = Bench::start().await;
    let body = json!({ "name": "ingest", "scopes": ["siem:read", "events:write", "siem:read"] });
    let made = bench.client.post("/v1/api-keys", &body).await;
    insta::assert_json_snapshot!("created_key", shown(&made));
    let key = made.json()["key"].as_str().unwrap().to_owned();
    assert!(key.len() > 4 + 48, "at least 192 random bits");
    let listed = bench.client.get("/v1/api-keys").await;
    insta::assert_json_snapshot!("listed_keys", shown(&listed));
    let stored = format!("{:?} {:?}", bench.store.keys(DEFAULT_ORG).await, bench.audit(DEFAULT_ORG).await);
    assert!(!stored.contains(&key) && !listed.text().contains(&key));
    assert!(!stored.contains(BOOTSTRAP));
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_have() {
    let bench = Bench::start().await;
    let org = bench.org("tenant").await;
    let (admin, _) = bench.key(&org, &["admin"]).await;
    let body = json!({ "name": "x", "scopes": ["platform"] });
    insta::assert_json_snapshot!("grant_refused", shown(&admin.post("/v1/api-keys", &body).await));
    let body = json!({ "name": "x", "scopes": ["siem:write"] });
    let made = admin.post("/v1/api-keys", &body).await.expect_status(201).json();
    assert_eq!(made["org_id"], json!(org));
}

#[tokio::test]
async fn faults_of_a_new_key_are_named() {
    let bench = Bench::start().await;
    for (body, pointer) in [
        (json!({ "scopes": ["siem:read"] }), "/name"),
        (json!({ "name": "x" }), "/scopes"),
        (json!({ "name": "x", "scopes": [] }), "/scopes"),
        (json!({ "name": "x", "scopes": ["root"] }), "/scopes"),
        (json!({ "name": "x", "scopes": ["siem:read"], "expires_at": "2020-01-01T00:00:00Z" }), "/expires_at"),
        (json!({ "name": "x", "scopes": ["siem:read"], "key": "mine" }), "/key"),
    ] {
        let answer = bench.client.post("/v1/api-keys", &body).await.expect_status(422).json();
        assert_eq!(answer["error"]["fields"][0]["pointer"], pointer, "{answer}");
    }
}

#[tokio::test]
async fn a_revoked_key_fails_with_its_next_request() {
    let bench = Bench::start().await;
    let (client, id) = bench.key(&DEFAULT_ORG.to_string(), &["siem:read"]).await;
    client.get("/v1/siem/connectors").await.expect_status(200);
    bench.client.delete(&format!("/v1/api-keys/{id}")).await.expect_status(200);
    client.get("/v1/siem/connectors").await.expect_status(401);
    bench.client.delete(&format!("/v1/api-keys/{id}")).await.expect_status(404);
    let platform = bench.client.post("/v1/api-keys", &json!({ "name": "p", "scopes": ["platform"] })).await;
    let platform = platform.expect_status(201).json();
    let listed = bench.client.get("/v1/api-keys").await.json();
    assert_eq!(listed["items"][0]["org_id"], Value::Null);
    let path = format!("/v1/api-keys/{}", platform["id"].as_str().unwrap());
    bench.client.delete(&path).await.expect_status(200);
    bench.client.with_key(platform["key"].as_str().unwrap()).get("/v1/orgs").await.expect_status(401);
}
