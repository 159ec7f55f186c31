//! What is refused with which words, whatever the route. Who may use which route, about whose things, is in `isolation`.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use toktra_siem_testkit::prelude::*;

#[tokio::test]
async fn an_expired_key_and_the_keys_of_a_deleted_org_are_refused_at_once() {
    let world = World::here().await;
    let org = world.tenant("short-lived").await;
    let until = START.plus(Duration::from_mins(1)).to_string();
    let body = json!({ "name": "guest", "scopes": ["siem:read"], "expires_at": until });
    let made = world.make(&format!("/v1/api-keys?org_id={org}"), &body).await;
    let guest = world.with_key(made["key"].as_str().unwrap());
    guest.get("/v1/siem/connectors").await.expect_status(200);
    world.pass(Duration::from_mins(1));
    guest.get("/v1/siem/connectors").await.expect_status(401);

    let (lasting, _) = world.key(&org, &["siem:read"]).await;
    lasting.get("/v1/siem/connectors").await.expect_status(200);
    world.remove(&format!("/v1/orgs/{org}")).await;
    lasting.get("/v1/siem/connectors").await.expect_status(401);
}

#[tokio::test]
async fn what_does_not_exist_is_said_in_the_same_envelope() {
    let world = World::here().await;
    insta::assert_json_snapshot!("unknown_route", shown(&world.get("/v1/nothing").await));
    let not_allowed = world.send(Method::PUT, "/v1/siem/connectors", &[], Bytes::new()).await;
    insta::assert_json_snapshot!("method_not_allowed", shown(&not_allowed));
    assert_eq!(not_allowed.header("allow"), Some("GET,HEAD,POST"));
    let anonymous = world.anonymous().get("/v1/siem/connectors").await;
    insta::assert_json_snapshot!("unauthorized", shown(&anonymous));
    assert_eq!(anonymous.header("www-authenticate"), Some("Bearer"));
}
