//! `/v1/api-keys`.

use std::time::Duration;

use toktra_siem_testkit::prelude::*;

#[tokio::test]
async fn a_key_is_shown_once_and_only_its_hash_is_kept() {
    let world = World::here().await;
    let body = json!({ "name": "ingest", "scopes": ["siem:read", "events:write", "siem:read"] });
    let made = world.post("/v1/api-keys", &body).await;
    insta::assert_json_snapshot!("created_key", shown(&made));
    let key = made.json()["key"].text();
    assert!(key.len() > 4 + 48, "at least 192 random bits");
    let listed = world.get("/v1/api-keys").await;
    insta::assert_json_snapshot!("listed_keys", shown(&listed));
    let stored = format!("{:?} {:?}", world.store.keys(DEFAULT_ORG).await, world.audit(DEFAULT_ORG).await);
    assert!(!stored.contains(&key) && !listed.text().contains(&key));
    assert!(!stored.contains(BOOTSTRAP));
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_have() {
    let world = World::here().await;
    let org = world.tenant("tenant").await;
    let (admin, _) = world.key(&org, &["admin"]).await;
    let body = json!({ "name": "x", "scopes": ["platform"] });
    insta::assert_json_snapshot!("grant_refused", shown(&admin.post("/v1/api-keys", &body).await));
    let body = json!({ "name": "x", "scopes": ["siem:write"] });
    let made = admin.make("/v1/api-keys", &body).await;
    assert_eq!(made["org_id"], json!(org));
}

#[tokio::test]
async fn faults_of_a_new_key_are_named() {
    let world = World::here().await;
    for (body, pointer) in [
        (json!({ "scopes": ["siem:read"] }), "/name"),
        (json!({ "name": "x" }), "/scopes"),
        (json!({ "name": "x", "scopes": [] }), "/scopes"),
        (json!({ "name": "x", "scopes": ["root"] }), "/scopes"),
        (json!({ "name": "x", "scopes": ["siem:read"], "expires_at": "2020-01-01T00:00:00Z" }), "/expires_at"),
        (json!({ "name": "x", "scopes": ["siem:read"], "key": "mine" }), "/key"),
    ] {
        let answer = world.post("/v1/api-keys", &body).await.expect_status(422).json();
        assert_eq!(answer["error"]["fields"][0]["pointer"], pointer, "{answer}");
    }
}

#[tokio::test]
async fn a_revoked_key_fails_with_its_next_request() {
    let world = World::here().await;
    let (client, id) = world.key(&DEFAULT_ORG.to_string(), &["siem:read"]).await;
    client.get("/v1/siem/connectors").await.expect_status(200);
    world.remove(&format!("/v1/api-keys/{id}")).await;
    client.get("/v1/siem/connectors").await.expect_status(401);
    world.delete(&format!("/v1/api-keys/{id}")).await.expect_status(404);
    let platform = world.post("/v1/api-keys", &json!({ "name": "p", "scopes": ["platform"] })).await;
    let platform = platform.expect_status(201).json();
    let listed = world.get("/v1/api-keys").await.json();
    assert_eq!(listed["items"][0]["org_id"], Value::Null);
    let path = format!("/v1/api-keys/{}", platform["id"].as_str().unwrap());
    world.remove(&path).await;
    world.with_key(platform["key"].as_str().unwrap()).get("/v1/orgs").await.expect_status(401);
}

#[tokio::test]
async fn a_key_says_who_made_it_and_when_it_was_last_used() {
    let world = World::here().await;
    let (client, id) = world.key(&DEFAULT_ORG.to_string(), &["siem:read"]).await;
    let path = format!("/v1/api-keys/{id}");
    let shown = async || world.read(&path).await;
    let unused = shown().await;
    assert_eq!((&unused["created_by"], &unused["last_used_at"]), (&json!("bootstrap"), &Value::Null));
    assert!(unused.get("key").is_none() && unused.get("hash").is_none(), "{unused}");
    let used = async |since: Value| {
        client.get("/v1/siem/connectors").await.expect_status(200);
        poll::until("the use of the key is noted", async || {
            Some(shown().await["last_used_at"].clone()).filter(|last| *last != since)
        })
        .await
    };
    let first = used(Value::Null).await;
    assert_eq!(first, json!(START));
    world.pass(Duration::from_secs(59));
    client.get("/v1/siem/connectors").await.expect_status(200);
    world.pass(Duration::from_secs(1));
    assert_eq!(used(first).await, json!(START.plus(Duration::from_mins(1))), "to the minute");
}

#[tokio::test]
async fn a_key_that_somebody_else_revoked_in_the_store_fails_once_the_cache_has_forgotten_it() {
    let world = World::here().await;
    let (client, id) = world.key(&DEFAULT_ORG.to_string(), &["siem:read"]).await;
    client.get("/v1/siem/connectors").await.expect_status(200);
    world.store.revoke_key(DEFAULT_ORG, id.parse().unwrap(), audit()).await.unwrap();
    poll::until("the key is refused", async || (client.get("/v1/siem/connectors").await.status == 401).then_some(()))
        .await;
}

#[tokio::test]
async fn an_org_neither_sees_nor_revokes_what_is_above_it() {
    let world = World::here().await;
    let platform = json!({ "name": "backend", "scopes": ["platform"] });
    let platform = world.make("/v1/api-keys", &platform).await;
    let platform = platform.id();
    // The default org is an org like any other.
    let org = DEFAULT_ORG.to_string();
    let (key, own) = world.key(&org, &["admin"]).await;
    world.user(&org, "jo@company.com", "admin").await;
    for client in [key, world.login("jo@company.com").await] {
        let path = format!("/v1/api-keys/{platform}");
        client.get(&path).await.expect_status(404);
        client.delete(&path).await.expect_status(404);
        client.delete(&format!("{path}?org_id={org}")).await.expect_status(404);
        let listed = client.read("/v1/api-keys").await;
        assert_eq!((&listed["total_count"], &listed["items"][0]["id"]), (&json!(1), &json!(own)));
        for scopes in [json!(["platform"]), json!(["admin", "platform"])] {
            let body = json!({ "name": "x", "scopes": scopes });
            client.post("/v1/api-keys", &body).await.expect_status(403);
            client.post(&format!("/v1/api-keys?org_id={org}"), &body).await.expect_status(403);
        }
        client.post("/v1/orgs", &json!({ "name": "x" })).await.expect_status(403);
    }
    world.get(&format!("/v1/api-keys/{platform}")).await.expect_status(200);
}
