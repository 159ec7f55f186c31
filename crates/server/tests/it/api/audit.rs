//! Every change leaves a line in the audit log: who, what, before and after, and no secret.

use serde_json::json;
use toktra_siem_core::ids::OrgId;
use toktra_siem_store::OrgStore as _;

use super::bench::{Bench, splunk};

#[tokio::test]
async fn every_change_is_recorded_with_its_actor_and_without_secrets() {
    let bench = Bench::start().await;
    let org = bench.org("tenant").await;
    bench.client.patch(&format!("/v1/orgs/{org}"), &json!({ "name": "Tenant" })).await.expect_status(200);
    let (admin, key) = bench.key(&org, &["admin"]).await;
    let mut body = splunk("x");
    body["signing_secret"] = "canary-signing-secret".into();
    body["config"]["hec_token"] = "canary-hec-token".into();
    let made = admin.post("/v1/siem/connectors", &body).await.expect_status(201).json();
    let path = format!("/v1/siem/connectors/{}", made["id"].as_str().unwrap());
    admin.patch(&path, &json!({ "config": { "hec_token": "canary-other-token" } })).await.expect_status(200);
    let next = json!({ "signing_secret": "canary-next-secret" });
    admin.post(&format!("{path}/signing-secret/rotate"), &next).await.expect_status(200);
    admin.post(&format!("{path}/signing-secret/activate"), &json!({})).await.expect_status(200);
    admin.delete(&path).await.expect_status(200);
    bench.client.delete(&format!("/v1/api-keys/{key}?org_id={org}")).await.expect_status(200);

    let org: OrgId = org.parse().unwrap();
    let log = bench.store.audit(org, None, 50).await.unwrap();
    let lines: Vec<_> = log.items.iter().rev().map(|(_, e)| (e.actor.as_str(), e.action.as_str())).collect();
    assert_eq!(
        lines,
        [
            ("bootstrap", "org.create"),
            ("bootstrap", "org.rename"),
            ("bootstrap", "api_key.create"),
            ("test key", "connector.create"),
            ("test key", "connector.update"),
            ("test key", "connector.signing_secret.rotate"),
            ("test key", "connector.signing_secret.activate"),
            ("test key", "connector.delete"),
            ("bootstrap", "api_key.revoke"),
        ]
    );
    assert!(!format!("{log:?}").contains("canary"), "{log:?}");
}
