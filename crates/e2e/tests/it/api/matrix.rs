//! Every route against everybody who must not pass (threats.md, "reaching another org's object"). A route of the table that has no
//! sample here fails the test, so that none escapes.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use toktra_siem_api::guard::Access;
use toktra_siem_api::routes::{Route, routes};
use toktra_siem_store::Scope;
use toktra_siem_testkit::client::{Answer, Client};

use super::bench::{Bench, PASSWORD, START};

/// What the victim owns.
pub(super) struct Victim {
    pub(super) org: String,
    pub(super) connector: String,
    event: String,
    key: String,
    job: String,
    user: String,
    /// Of an admin and of a viewer.
    pub(super) emails: [String; 2],
}

/// A request to the route that would succeed for whoever may make it.
pub(super) fn sample(route: &Route, victim: &Victim) -> (String, Option<Value>) {
    let id = match route.path {
        path if path.starts_with("/v1/events/") => &victim.event,
        path if path.starts_with("/v1/orgs/") => &victim.org,
        path if path.starts_with("/v1/api-keys/") => &victim.key,
        path if path.starts_with("/v1/siem/jobs/") => &victim.job,
        path if path.starts_with("/v1/users/") => &victim.user,
        _ => &victim.connector,
    };
    let path = route.path.replace("{id}", id).replace("{event_id}", id);
    let body = match (route.method.as_str(), route.path) {
        ("GET" | "DELETE", _) => None,
        ("POST", "/v1/events") => Some(json!({ "event_type": "anomaly", "severity": "low" })),
        ("POST", "/v1/siem/connectors" | "/v1/siem/connectors/test") => Some(super::bench::splunk("sample")),
        ("PATCH", "/v1/siem/connectors/{id}" | "/v1/orgs/{id}" | "/v1/users/{id}") => {
            Some(json!({ "name": "renamed" }))
        }
        ("POST", "/v1/users") => {
            let email = format!("another-{}", victim.emails[0]);
            Some(json!({ "email": email, "name": "Di", "role": "viewer", "password": PASSWORD }))
        }
        ("POST", "/v1/sessions") => Some(json!({ "email": victim.emails[0], "password": PASSWORD })),
        ("POST", "/v1/sessions/current/password") => {
            Some(json!({ "current": PASSWORD, "new": "canary of a new password" }))
        }
        ("POST", "/v1/siem/connectors/{id}/signing-secret/rotate") => {
            Some(json!({ "signing_secret": "canary-signing-secret" }))
        }
        (
            "POST",
            "/v1/siem/connectors/{id}/signing-secret/activate"
            | "/v1/siem/connectors/{id}/index-template"
            | "/v1/siem/connectors/{id}/redeliver-failed"
            | "/v1/siem/connectors/{id}/replay"
            | "/v1/siem/connectors/{id}/discard"
            | "/v1/siem/deliveries/{id}/redeliver"
            | "/v1/siem/connectors/{id}/test"
            | "/v1/secrets/{id}/reveal",
        ) => Some(json!({})),
        ("POST", "/v1/siem/filter/preview") => Some(json!({ "filter": { "severity": ["high"] }, "days": 3 })),
        ("POST", "/v1/orgs") => Some(json!({ "name": "another" })),
        ("POST", "/v1/api-keys") => Some(json!({ "name": "another", "scopes": ["siem:read"] })),
        (method, path) => panic!("{method} {path} has no sample in the authorisation matrix: add one"),
    };
    (path, body)
}

pub(super) async fn call(client: &Client, route: &Route, path: &str, body: Option<&Value>) -> Answer {
    let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
    client.send(route.method.clone(), path, &[("content-type", "application/json")], body).await
}

fn refused(answer: &Answer, status: u16, code: &str, route: &Route, who: &str) {
    assert_eq!(answer.status, status, "{who} at {} {}: {}", route.method, route.path, answer.text());
    assert_eq!(answer.json()["error"]["code"], code, "{who} at {} {}", route.method, route.path);
}

/// Scopes that are not enough for the route.
fn too_little(access: Access) -> &'static [&'static str] {
    match access {
        Access::Open => &[],
        Access::Events | Access::Org(Scope::SiemWrite) => &["siem:read"],
        Access::Org(_) => &["events:write", "siem:write"],
        Access::Keys => &["events:write", "siem:read", "siem:write"],
        // No key has a session.
        Access::Session => &["admin"],
        Access::Platform => &["events:write", "siem:read", "siem:write", "admin"],
    }
}

/// Whether a viewer may use the route.
fn viewers_may(access: Access) -> bool {
    matches!(access, Access::Open | Access::Session | Access::Org(Scope::SiemRead))
}

pub(super) async fn victim(bench: &Bench) -> Victim {
    let org = bench.org("victim").await;
    let (client, key) = bench.key(&org, &["admin"]).await;
    let connector = bench.connector(&client, "theirs").await["id"].as_str().unwrap().to_owned();
    let posted = client.post("/v1/events", &json!({ "event_type": "anomaly", "severity": "low" })).await;
    let event = posted.expect_status(202).json()["events"][0]["event_id"].as_str().unwrap().to_owned();
    let job = client.post(&format!("/v1/siem/connectors/{connector}/discard"), &json!({})).await.expect_status(202);
    let job = job.json()["id"].as_str().unwrap().to_owned();
    let emails = ["admin", "viewer"].map(|role| format!("{role}@{org}.example"));
    bench.user(&org, &emails[0], "admin").await;
    let user = bench.user(&org, &emails[1], "viewer").await;
    Victim { org, connector, event, key, job, user, emails }
}

#[tokio::test]
async fn nobody_passes_who_must_not() {
    let bench = Bench::start().await;
    let victim = victim(&bench).await;
    let attacker_org = bench.org("attacker").await;
    let (attacker, _) = bench.key(&attacker_org, &["admin"]).await;
    bench.user(&attacker_org, "admin@attacker.example", "admin").await;
    let attacking_person = bench.login("admin@attacker.example").await;
    let viewer = bench.login(&victim.emails[1]).await;
    let ended = bench.login(&victim.emails[0]).await;
    ended.get("/v1/siem/connectors").await.expect_status(200);
    ended.delete("/v1/sessions/current").await.expect_status(200);
    let (revoked, revoked_id) = bench.key(&victim.org, &["admin"]).await;
    let revocation = format!("/v1/api-keys/{revoked_id}?org_id={}", victim.org);
    assert_eq!(revoked.get("/v1/siem/connectors").await.status, 200);
    bench.client.delete(&revocation).await.expect_status(200);

    for route in routes() {
        let (path, body) = sample(&route, &victim);
        let body = body.as_ref();
        let anonymous = bench.client.anonymous();
        if route.access == Access::Open {
            let answer = call(&anonymous, &route, &path, body).await;
            assert!(matches!(answer.status, 200 | 201), "{} {}: {}", route.method, route.path, answer.text());
            continue;
        }
        refused(&call(&anonymous, &route, &path, body).await, 401, "unauthorized", &route, "nobody");
        for unknown in ["tsk_0000", "tss_0000"].map(|key| bench.client.with_key(key)) {
            refused(&call(&unknown, &route, &path, body).await, 401, "unauthorized", &route, "an unknown key");
        }
        refused(&call(&revoked, &route, &path, body).await, 401, "unauthorized", &route, "a revoked key");
        refused(&call(&ended, &route, &path, body).await, 401, "unauthorized", &route, "an ended session");
        let (weak, _) = bench.key(&victim.org, too_little(route.access)).await;
        refused(&call(&weak, &route, &path, body).await, 403, "forbidden", &route, "a weaker key");
        if !viewers_may(route.access) {
            refused(&call(&viewer, &route, &path, body).await, 403, "forbidden", &route, "a viewer");
        }
        if route.access == Access::Platform {
            let answer = call(&attacking_person, &route, &path, body).await;
            refused(&answer, 403, "forbidden", &route, "an admin of an org");
            continue;
        }
        let named = format!("{path}?org_id={}", victim.org);
        for (attacker, who) in [(&attacker, "another org"), (&attacking_person, "an admin of another org")] {
            if route.access == Access::Session && who == "another org" {
                continue;
            }
            let answer = call(attacker, &route, &named, body).await;
            refused(&answer, 404, "not_found", &route, &format!("{who}, naming the victim"));
            if route.path.contains('{') {
                let answer = call(attacker, &route, &path, body).await;
                refused(&answer, 404, "not_found", &route, &format!("{who}, with the victim's id"));
            }
        }
    }
    let connectors = bench.client.get(&format!("/v1/siem/connectors?org_id={}", victim.org)).await.json();
    assert_eq!(connectors["items"][0]["name"], "theirs", "nothing was changed");
    assert_eq!(connectors["total_count"], 1);
    let users = bench.client.get(&format!("/v1/users?org_id={}", victim.org)).await.json();
    assert_eq!(users["total_count"], 2);
}

#[tokio::test]
async fn those_who_may_do_pass() {
    let bench = Bench::start().await;
    for route in routes().into_iter().filter(|route| route.access != Access::Open) {
        let victim = victim(&bench).await;
        let (path, body) = sample(&route, &victim);
        let (key, _) = bench.key(&victim.org, &["admin"]).await;
        let person = bench.login(&victim.emails[usize::from(viewers_may(route.access))]).await;
        let clients = match route.access {
            Access::Platform => vec![bench.client.clone()],
            Access::Session => vec![person],
            // Whoever comes second finds a thing that is there still.
            _ if route.method == Method::GET => vec![key, person],
            _ if route.path == "/v1/events" => vec![key, bench.login(&victim.emails[0]).await],
            _ => vec![person],
        };
        for client in clients {
            let answer = call(&client, &route, &path, body.as_ref()).await;
            // A sample names no delivery and no secret of the caller, and its connector is off and is not being rotated.
            let expected = match (route.method.as_str(), route.path) {
                ("GET", "/v1/siem/deliveries/{id}")
                | ("POST", "/v1/siem/deliveries/{id}/redeliver" | "/v1/secrets/{id}/reveal") => 404,
                (
                    "POST",
                    "/v1/siem/connectors/{id}/signing-secret/activate"
                    | "/v1/siem/connectors/{id}/redeliver-failed"
                    | "/v1/siem/connectors/{id}/replay",
                ) => 409,
                ("POST", "/v1/events" | "/v1/siem/connectors/{id}/discard") => 202,
                ("POST", "/v1/siem/connectors" | "/v1/orgs" | "/v1/api-keys" | "/v1/users") => 201,
                _ => 200,
            };
            assert_eq!(answer.status, expected, "{} {}: {}", route.method, route.path, answer.text());
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            let limited = answer.header("x-ratelimit-limit").is_some();
            assert_eq!(limited, route.access != Access::Events, "{} {}", route.method, route.path);
        }
    }
}

#[tokio::test]
async fn a_list_of_one_org_never_shows_anothers() {
    let bench = Bench::start().await;
    victim(&bench).await;
    let other = bench.org("other").await;
    let (client, _) = bench.key(&other, &["admin"]).await;
    for path in ["/v1/siem/connectors", "/v1/siem/deliveries", "/v1/siem/jobs", "/v1/users"] {
        assert_eq!(client.get(path).await.expect_status(200).json()["items"], json!([]), "{path}");
    }
    let keys = client.get("/v1/api-keys").await.expect_status(200).json();
    assert_eq!(keys["total_count"], 1, "its own key only: {keys}");
}

#[tokio::test]
async fn an_expired_key_and_the_keys_of_a_deleted_org_are_refused_at_once() {
    let bench = Bench::start().await;
    let org = bench.org("short-lived").await;
    let until = START.plus(Duration::from_mins(1)).to_string();
    let body = json!({ "name": "guest", "scopes": ["siem:read"], "expires_at": until });
    let made = bench.client.post(&format!("/v1/api-keys?org_id={org}"), &body).await.expect_status(201).json();
    let guest = bench.client.with_key(made["key"].as_str().unwrap());
    guest.get("/v1/siem/connectors").await.expect_status(200);
    bench.pass(Duration::from_mins(1));
    guest.get("/v1/siem/connectors").await.expect_status(401);

    let (lasting, _) = bench.key(&org, &["siem:read"]).await;
    lasting.get("/v1/siem/connectors").await.expect_status(200);
    bench.client.delete(&format!("/v1/orgs/{org}")).await.expect_status(200);
    lasting.get("/v1/siem/connectors").await.expect_status(401);
}

#[tokio::test]
async fn what_does_not_exist_is_said_in_the_same_envelope() {
    let bench = Bench::start().await;
    let unknown = bench.client.get("/v1/nothing").await;
    insta::assert_json_snapshot!("unknown_route", super::bench::shown(&unknown));
    let not_allowed = bench.client.send(Method::PUT, "/v1/siem/connectors", &[], Bytes::new()).await;
    insta::assert_json_snapshot!("method_not_allowed", super::bench::shown(&not_allowed));
    assert_eq!(not_allowed.header("allow"), Some("GET,HEAD,POST"));
    let anonymous = bench.client.anonymous().get("/v1/siem/connectors").await;
    insta::assert_json_snapshot!("unauthorized", super::bench::shown(&anonymous));
    assert_eq!(anonymous.header("www-authenticate"), Some("Bearer"));
}
