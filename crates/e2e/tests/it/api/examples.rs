//! The examples of the OpenAPI document: one conversation with the server, written down as it went. `INSTA_UPDATE=always` writes it anew.

use std::sync::Arc;

use http::Method;
use parking_lot::Mutex;
use toktra_siem_base::random::SeededRandom;
use toktra_siem_core::delivery::Status;
use toktra_siem_core::ids::{StreamId, StreamKind};
use toktra_siem_testkit::prelude::*;

use super::history::deliver;
use toktra_siem_testkit::contract;

/// Asks, and writes down what is answered, by the name of the operation.
struct Scribe<'b> {
    world: &'b Here,
    written: Mutex<serde_json::Map<String, Value>>,
}

impl Scribe<'_> {
    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        self.ask_as(&self.world.client, method, path, body).await
    }

    async fn ask_as(&self, client: &Client, method: &str, path: &str, body: Option<Value>) -> Value {
        let (id, line) = self.exchange(client, method, path, body).await;
        let answer = line["answer"].clone();
        assert!(self.written.lock().insert(id.clone(), line).is_none(), "{id} is asked twice");
        answer
    }

    /// An answer of an operation that has several, beside the one that is written down by its name alone: by name and status.
    async fn rehearse(&self, path: &str, body: Value) {
        let (id, line) = self.exchange(&self.world.client, "POST", path, Some(body)).await;
        let key = format!("{id} {}", line["status"]);
        assert!(self.written.lock().insert(key.clone(), line).is_none(), "{key} is asked twice");
    }

    /// Asks: the operation, and what was asked and answered.
    async fn exchange(&self, client: &Client, method: &str, path: &str, body: Option<Value>) -> (String, Value) {
        let method: Method = method.parse().unwrap();
        let sent = body.as_ref().map_or_else(String::new, ToString::to_string);
        let headers: &[_] = if body.is_some() { &[("content-type", "application/json")] } else { &[] };
        let answer = client.send(method.clone(), path, headers, sent.into()).await;
        let id = contract::operation_id(&method, path.split('?').next().unwrap());
        let line = json!({ "request": body, "status": answer.status, "answer": answer.json() });
        assert!(answer.status < 300, "{id}: {}", answer.text());
        (id, line)
    }

    async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.ask("POST", path, Some(body)).await
    }
}

fn id(value: &Value) -> String {
    value.id()
}

#[tokio::test]
async fn the_examples_are_a_conversation_that_took_place() {
    let world = World::here_with(Options { random: Arc::new(SeededRandom::new(1)), ..Options::default() }).await;
    let scribe = Scribe { world: &world, written: Mutex::default() };

    let config =
        json!({ "hec_url": "https://splunk.company.com:8088", "hec_token": "00000000-1111-2222-3333-444444444444" });
    let filter = json!({ "severity": ["high", "critical"] });
    let new =
        json!({ "name": "Splunk", "platform": "splunk", "config": config.clone(), "filter": filter, "active": true });
    let connector = id(&scribe.post("/v1/siem/connectors", new).await);
    let connector = format!("/v1/siem/connectors/{connector}");

    let details = json!({ "policy_name": "max-tokens", "threshold": 100_000, "actual": 150_000 });
    let event = json!({
        "event_id": "0190d3a5-7e8b-7cc3-98c4-dc0c0c07398f", "event_type": "policy_violation", "severity": "high",
        "user_email": "jo@company.com", "provider": "openai", "model": "gpt-4", "details": details,
    });
    scribe.post("/v1/events", event).await;
    let failing = json!({ "event_type": "anomaly", "severity": "critical" });
    world.begin("/v1/events", &failing).await;
    let stream =
        StreamId { connector: connector.rsplit('/').next().unwrap().parse().unwrap(), kind: StreamKind::Events };
    deliver(&world, stream, 1, Status::Delivered).await;
    deliver(&world, stream, 2, Status::Failed).await;
    scribe.get("/v1/events?severity=high").await;
    scribe.get("/v1/events/0190d3a5-7e8b-7cc3-98c4-dc0c0c07398f").await;
    scribe.get(&format!("{connector}/health")).await;
    scribe.get(&format!("{connector}/accounting")).await;
    scribe.get(&format!("{connector}/traffic?step=43200")).await;
    scribe.get("/v1/siem/health").await;
    scribe.get("/v1/siem/accounting").await;
    scribe.get("/v1/siem/traffic?step=43200").await;
    scribe.post("/v1/siem/filter/preview", json!({ "filter": { "severity": ["high"] }, "days": 7 })).await;
    scribe.get(&format!("{connector}/deliveries")).await;
    let deliveries = scribe.get("/v1/siem/deliveries").await;
    scribe.get(&format!("/v1/siem/deliveries/{}", id(&deliveries["items"][0]))).await;

    let failed = id(&world.get("/v1/siem/deliveries?status=failed").await.json()["items"][0]);
    scribe.get(&format!("/v1/siem/deliveries/{failed}/attempts/1/request")).await;
    let delivered = "/v1/siem/deliveries?status=delivered";
    let delivered = id(&world.get(delivered).await.json()["items"][0]);
    scribe.post(&format!("/v1/siem/deliveries/{delivered}/redeliver"), json!({})).await;
    let range = json!({ "from": "2025-01-15T00:00:00Z" });
    let dry_run = json!({ "from": "2025-01-15T00:00:00Z", "dry_run": true });
    for job in ["redeliver-failed", "discard", "replay"] {
        scribe.rehearse(&format!("{connector}/{job}"), dry_run.clone()).await;
    }
    scribe.post(&format!("{connector}/redeliver-failed"), range.clone()).await;
    scribe.post(&format!("{connector}/discard"), range.clone()).await;
    let replay = id(&scribe.post(&format!("{connector}/replay"), range).await);
    scribe.get("/v1/siem/jobs?limit=2").await;
    scribe.get(&format!("/v1/siem/jobs/{replay}")).await;
    scribe.ask("DELETE", &format!("/v1/siem/jobs/{replay}"), None).await;

    let new = json!({ "name": "Datadog", "platform": "datadog", "config": { "api_key": "0123456789abcdef0123456789abcdef" } });
    scribe.post("/v1/siem/connectors/test", new).await;
    scribe.post(&format!("{connector}/test"), json!({})).await;

    scribe.get("/v1/siem/platforms").await;
    scribe.get("/v1/siem/connectors").await;
    scribe.get(&connector).await;
    scribe.ask("PATCH", &connector, Some(json!({ "filter": { "severity": ["critical"] } }))).await;
    scribe.post(&format!("{connector}/signing-secret/rotate"), json!({ "grace_seconds": 3600 })).await;
    scribe.post(&format!("{connector}/signing-secret/activate"), json!({})).await;
    world.call(&format!("{connector}/signing-secret/rotate"), &json!({})).await;
    scribe.post(&format!("{connector}/signing-secret/cancel"), json!({})).await;
    scribe.get(&format!("{connector}/setup")).await;
    scribe.post("/v1/siem/setup", json!({ "platform": "splunk", "config": { "index": "toktra" } })).await;
    scribe.post(&format!("{connector}/index-template"), json!({})).await;
    scribe.ask("DELETE", &connector, None).await;

    let key = id(&scribe.post("/v1/api-keys", json!({ "name": "CI", "scopes": ["events:write"] })).await);
    let shown = scribe.get("/v1/secrets").await;
    let shown = id(shown["items"].as_array().and_then(|items| items.last()).unwrap());
    scribe.post(&format!("/v1/secrets/{shown}/reveal"), json!({})).await;
    scribe.get("/v1/api-keys").await;
    scribe.get(&format!("/v1/api-keys/{key}")).await;
    scribe.ask("DELETE", &format!("/v1/api-keys/{key}"), None).await;

    let (email, password) = ("jo@company.com", "correct horse battery staple");
    let new = json!({ "email": email, "name": "Jo Doe", "role": "admin", "password": password });
    let user = format!("/v1/users/{}", id(&scribe.post("/v1/users", new).await));
    let opened = scribe.post("/v1/sessions", json!({ "email": email, "password": password })).await;
    let session = world.with_key(opened["token"].as_str().unwrap());
    scribe.ask_as(&session, "GET", "/v1/sessions/current", None).await;
    let change = json!({ "current": password, "new": "four quite unrelated words" });
    let opened = scribe.ask_as(&session, "POST", "/v1/sessions/current/password", Some(change)).await;
    let session = world.with_key(opened["token"].as_str().unwrap());
    scribe.ask_as(&session, "DELETE", "/v1/sessions/current", None).await;
    scribe.get("/v1/users").await;
    scribe.get(&user).await;
    scribe.ask("PATCH", &user, Some(json!({ "name": "Jo" }))).await;
    scribe.ask("DELETE", &user, None).await;
    scribe.get("/v1/audit?action=user.").await;

    let org = format!("/v1/orgs/{}", id(&scribe.post("/v1/orgs", json!({ "name": "Acme" })).await));
    scribe.get("/v1/orgs").await;
    scribe.get(&org).await;
    scribe.ask("PATCH", &org, Some(json!({ "name": "Acme Corp" }))).await;
    scribe.ask("DELETE", &org, None).await;

    scribe.get("/healthz").await;
    scribe.get("/readyz").await;

    let new = json!({ "name": "Splunk", "platform": "splunk", "config": config });
    let connector = format!("/v1/siem/connectors/{}", id(&world.make("/v1/siem/connectors", &new).await));
    let rotated = json!({ "config": { "hec_token": "00000000-1111-2222-3333-555555554444" } });
    scribe.post(&format!("{connector}/compare-secrets"), rotated).await;

    let known = json!({ "note": "CHG-123: Splunk is upgraded", "until": "2025-01-15T14:00:00Z" });
    scribe.post(&format!("{connector}/acknowledge"), known).await;
    scribe.ask("DELETE", &format!("{connector}/acknowledge"), None).await;
    let new = json!({ "name": "SOC", "kind": "email", "config": { "to": ["soc@company.com"] }, "events": ["down", "misconfigured", "recovered"] });
    let channel = format!("/v1/notification-channels/{}", id(&scribe.post("/v1/notification-channels", new).await));
    scribe.get("/v1/notification-channels").await;
    scribe.get(&channel).await;
    scribe.ask("PATCH", &channel, Some(json!({ "config": { "to": ["soc@company.com", "oncall@company.com"] } }))).await;
    scribe.post(&format!("{channel}/test"), json!({})).await;
    let duty = json!({ "name": "On call", "kind": "pagerduty", "config": { "routing_key": "0123456789abcdef0123456789abcdef" } });
    let duty = format!("/v1/notification-channels/{}", id(&world.make("/v1/notification-channels", &duty).await));
    let rotated = json!({ "config": { "routing_key": "fedcba9876543210fedcba9876543210" } });
    scribe.post(&format!("{duty}/compare-secrets"), rotated).await;
    scribe.ask("DELETE", &channel, None).await;

    let written = scribe.written.into_inner();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../../../api/src/openapi");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_json_snapshot!("examples", written));
}
