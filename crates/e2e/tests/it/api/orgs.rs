//! `/v1/orgs`.

use toktra_siem_core::ids::OrgId;
use toktra_siem_testkit::prelude::*;
use uuid::Uuid;

#[tokio::test]
async fn made_renamed_listed_and_removed() {
    let world = World::here().await;
    let made = world.post("/v1/orgs", &json!({ "name": "Acme" })).await;
    insta::assert_json_snapshot!("created_org", shown(&made));
    let path = format!("/v1/orgs/{}", made.json()["id"].as_str().unwrap());
    let renamed = world.change(&path, &json!({ "name": "Acme Corp" })).await;
    assert_eq!(renamed["name"], "Acme Corp");
    insta::assert_json_snapshot!("listed_orgs", shown(&world.get("/v1/orgs").await));
    world.remove(&path).await;
    world.get(&path).await.expect_status(404);
    world.patch(&path, &json!({ "name": "x" })).await.expect_status(404);
}

#[tokio::test]
async fn an_id_may_be_chosen_once() {
    let world = World::here().await;
    let id = OrgId(Uuid::from_u128(99));
    let body = json!({ "name": "Chosen", "id": id });
    assert_eq!(world.make("/v1/orgs", &body).await["id"], json!(id));
    insta::assert_json_snapshot!("org_id_taken", shown(&world.post("/v1/orgs", &body).await));
    world.post("/v1/orgs", &json!({ "name": "x", "id": "acme" })).await.expect_status(422);
    world.post("/v1/orgs", &json!({})).await.expect_status(422);
}

#[tokio::test]
async fn a_member_given_twice_is_refused_at_any_depth() {
    let world = World::here().await;
    let org = world.post_bytes("/v1/orgs", "application/json", r#"{"name":"q","name":"r"}"#).await;
    insta::assert_json_snapshot!("given_twice", shown(&org));
    let listed = world.read("/v1/orgs").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    let connector = r#"{"name":"x","platform":"splunk","config":{"hec_url":"https://siem.example:8088","hec_token":"a-hec-token","hec_token":"hunter2"}}"#;
    let refused = world.post_bytes("/v1/siem/connectors", "application/json", connector).await;
    assert_eq!(refused.expect_status(422).json()["error"]["fields"][0]["pointer"], "/config/hec_token");
}

#[tokio::test]
async fn the_default_org_stays() {
    let world = World::here().await;
    insta::assert_json_snapshot!("default_org_stays", shown(&world.delete(&format!("/v1/orgs/{DEFAULT_ORG}")).await));
}

#[tokio::test]
async fn removing_an_org_stops_its_connectors() {
    let world = World::here().await;
    let org = world.tenant("tenant").await;
    let (admin, _) = world.key(&org, &["siem:write"]).await;
    let id = world.idle_connector(&admin, "x").await.id();
    world.dispatch.changed.lock().clear();
    world.remove(&format!("/v1/orgs/{org}")).await;
    let told: Vec<_> = world.dispatch.changed.lock().iter().map(|(_, connector)| connector.to_string()).collect();
    assert_eq!(told, [id]);
    let event = json!({ "event_type": "anomaly", "severity": "low", "org_id": org });
    world.post("/v1/events", &event).await.expect_status(422);
}

#[tokio::test]
async fn removing_an_org_says_what_it_discards() {
    let world = World::here().await;
    let org = world.tenant("tenant").await;
    let (client, _) = world.key(&org, &["admin"]).await;
    for name in ["a", "b"] {
        let mut body = splunk_body(name);
        body["active"] = json!(true);
        client.make("/v1/siem/connectors", &body).await;
    }
    world.idle_connector(&client, "off").await;
    let event = json!({ "event_type": "anomaly", "severity": "low" });
    client.begin("/v1/events", &json!([event, event, event])).await;
    let removed = world.delete(&format!("/v1/orgs/{org}")).await;
    // Three events for each of three connectors: one that was never on has taken none of them yet, and given them up all the same.
    assert_eq!(removed.expect_status(200).json()["discarded"], 9);
}
