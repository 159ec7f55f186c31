//! Idempotency keys, and secrets that are shown once again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use toktra_siem_identity::passwords::{Argon2id, Hashing};
use toktra_siem_store::PasswordHash;
use toktra_siem_testkit::prelude::*;

const JSON: (&str, &str) = ("content-type", "application/json");

async fn send(client: &Client, path: &str, key: &str, body: &Value) -> Answer {
    client.send(Method::POST, path, &[JSON, ("idempotency-key", key)], body.to_string().into()).await
}

async fn count(client: &Client, path: &str) -> usize {
    client.read(path).await["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn the_same_request_is_done_once_and_answered_as_before() {
    let world = World::here().await;
    let first = send(&world, "/v1/siem/connectors", "a key", &splunk_body("Prod")).await.expect_status(201);
    let again = send(&world, "/v1/siem/connectors", "a key", &splunk_body("Prod")).await.expect_status(201);
    assert_eq!((first.body.clone(), first.header("etag")), (again.body.clone(), again.header("etag")));
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), (None, Some("true")));
    assert_eq!(count(&world, "/v1/siem/connectors").await, 1);
    let secret = first.json()["signing_secret"]["value"].text();
    assert!(!world.is_on_disk(&secret), "what is kept is sealed");

    let other = send(&world, "/v1/siem/connectors", "a key", &splunk_body("Test")).await.expect_status(422);
    assert_eq!(other.json()["error"]["code"], "idempotency_mismatch");
    send(&world, "/v1/siem/connectors", "another key", &splunk_body("Test")).await.expect_status(201);
    world.pass(Duration::from_hours(24));
    send(&world, "/v1/siem/connectors", "a key", &splunk_body("Third")).await.expect_status(201);
}

#[tokio::test]
async fn of_many_at_the_same_moment_one_is_done_and_all_have_its_answer() {
    let world = World::here().await;
    let body = json!({ "name": "CI", "scopes": ["events:write"] });
    let answers = tokio::join!(
        send(&world, "/v1/api-keys", "k", &body),
        send(&world, "/v1/api-keys", "k", &body),
        send(&world, "/v1/api-keys", "k", &body),
        send(&world, "/v1/api-keys", "k", &body),
    );
    let keys: Vec<String> = [answers.0, answers.1, answers.2, answers.3]
        .map(|answer| answer.expect_status(201).json()["key"].text())
        .to_vec();
    assert!(keys.iter().all(|key| *key == keys[0]), "one key");
    assert_eq!(count(&world, "/v1/api-keys").await, 1);
    let lines = world.audit(DEFAULT_ORG).await.0;
    assert_eq!(lines.iter().filter(|line| line.action == "api_key.create").count(), 1);
}

/// A refusal ends a turn while others wait for it: none of them may find a turn of its own beside one that is under way.
#[tokio::test]
async fn of_many_that_are_refused_at_the_same_moment_each_is_told_the_same() {
    let world = World::here().await;
    let refused = json!({ "name": "x" });
    for round in 0..20 {
        let key = format!("k{round}");
        let send = || send(&world, "/v1/siem/connectors", &key, &refused);
        let answers = tokio::join!(send(), send(), send(), send(), send(), send());
        for answer in [answers.0, answers.1, answers.2, answers.3, answers.4, answers.5] {
            answer.expect_status(422);
        }
    }
}

#[tokio::test]
async fn a_key_belongs_to_whoever_sent_it_and_to_the_route() {
    let world = World::here().await;
    let org = world.tenant("Other").await;
    let (theirs, _) = world.key(&org, &["admin"]).await;
    let (ours, _) = world.key(&DEFAULT_ORG.to_string(), &["admin"]).await;
    for client in [&world, &ours, &theirs] {
        let body = json!({ "name": "x", "scopes": ["events:write"] });
        let made = send(client, "/v1/api-keys", "1", &body).await.expect_status(201);
        assert_eq!(made.header("idempotent-replayed"), None);
    }
    send(&ours, "/v1/siem/connectors", "1", &splunk_body("A")).await.expect_status(201);
}

#[tokio::test]
async fn what_was_refused_may_be_sent_again_with_the_same_key() {
    let world = World::here().await;
    send(&world, "/v1/siem/connectors", "k", &json!({ "name": "x" })).await.expect_status(422);
    send(&world, "/v1/siem/connectors", "k", &splunk_body("x")).await.expect_status(201);
    for wrong in ["", &"x".repeat(256), "tab\there"] {
        let answer = send(&world, "/v1/api-keys", wrong, &json!({})).await.expect_status(400);
        assert!(answer.text().contains("1 to 255 printable"), "{}", answer.text());
    }
}

/// Tells when a password begins to be hashed, and goes on once the gate is open.
struct Held {
    begun: UnboundedSender<()>,
    gate: Mutex<Receiver<()>>,
}

impl Hashing for Held {
    fn hash(&self, password: &str, salt: [u8; 16]) -> Option<PasswordHash> {
        let _ = self.begun.send(());
        let _ = self.gate.lock().recv();
        Argon2id.hash(password, salt)
    }

    fn matches(&self, password: &str, hash: &PasswordHash) -> bool {
        Argon2id.matches(password, hash)
    }

    fn nobody(&self) -> PasswordHash {
        Argon2id.nobody()
    }
}

#[tokio::test]
async fn a_request_goes_on_where_its_client_has_gone() {
    let (begun, mut begins) = unbounded_channel();
    let (open, gate) = channel();
    let hashing = Arc::new(Held { begun, gate: Mutex::new(gate) });
    let world = World::here_with(Options { hashing, ..Options::default() }).await;
    let body = json!({ "email": "jo@company.example", "name": "Jo", "role": "viewer", "make_password": true });
    let (client, sent) = (world.client.clone(), body.clone());
    let asking = tokio::spawn(async move { send(&client, "/v1/users", "k", &sent).await });
    begins.recv().await.unwrap();
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled(), "it was broken off in the middle");
    drop(open);
    let again = send(&world, "/v1/users", "k", &body).await.expect_status(201);
    assert_eq!(again.header("idempotent-replayed"), Some("true"), "the first went on to its end");
    let password = again.json()["password"].text();
    assert_eq!(count(&world, "/v1/users").await, 1);
    world.attempt("jo@company.example", &password).await.expect_status(201);
}

#[tokio::test]
async fn of_a_request_that_ended_in_the_middle_nobody_pretends_to_know() {
    let world = World::here().await;
    let made = world.idle_connector(&world, "x").await;
    let path = format!("/v1/siem/connectors/{}/index-template", made["id"].as_str().unwrap());
    world.dispatch.panics.store(true, Ordering::SeqCst);
    send(&world, &path, "k", &json!({})).await.expect_status(500);
    world.dispatch.panics.store(false, Ordering::SeqCst);
    let again = send(&world, &path, "k", &json!({})).await.expect_status(409);
    assert!(again.text().contains("Look whether it was done"), "{}", again.text());
    send(&world, &path, "another", &json!({})).await.expect_status(200);
}

#[tokio::test]
async fn a_secret_is_shown_once_again_to_whoever_had_it_made() {
    let world = World::here().await;
    world.person("ada@company.example", "admin").await;
    world.person("bob@company.example", "admin").await;
    let (ada, bob) = (world.login("ada@company.example").await, world.login("bob@company.example").await);
    let made = ada.make("/v1/api-keys", &json!({ "name": "CI", "scopes": ["events:write"] })).await;
    world.pass(Duration::from_secs(1));
    let connector = ada.make("/v1/siem/connectors", &splunk_body("Prod")).await;
    let rotate = format!("/v1/siem/connectors/{}/signing-secret/rotate", connector["id"].as_str().unwrap());
    world.pass(Duration::from_secs(1));
    let rotated = ada.call(&rotate, &json!({})).await;
    world.pass(Duration::from_secs(1));
    let body = json!({ "email": "jo@company.example", "name": "Jo", "role": "viewer", "make_password": true });
    let jo = ada.make("/v1/users", &body).await;

    let listed = ada.read("/v1/secrets").await;
    let items = listed["items"].as_array().unwrap();
    let kinds: Vec<&str> = items.iter().map(|item| item["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["api_key", "signing_secret", "signing_secret", "password"]);
    assert!(items.iter().all(|item| item.get("secret").is_none()));
    assert_eq!(count(&bob, "/v1/secrets").await, 0, "nobody else sees them");
    let expected = [
        (&made["id"], &made["key"]),
        (&connector["id"], &connector["signing_secret"]["value"]),
        (&connector["id"], &rotated["signing_secret_next"]["value"]),
        (&jo["id"], &jo["password"]),
    ];
    for (item, (object, secret)) in items.iter().zip(expected) {
        let reveal = format!("/v1/secrets/{}/reveal", item["id"].as_str().unwrap());
        bob.post(&reveal, &json!({})).await.expect_status(404);
        let shown = ada.call(&reveal, &json!({})).await;
        assert_eq!((&shown["object_id"], &shown["secret"]), (object, secret));
        assert!(!world.is_on_disk(secret.as_str().unwrap()));
        ada.post(&reveal, &json!({})).await.expect_status(404);
    }
    let lines = world.audit(DEFAULT_ORG).await.0;
    let reveals: Vec<&str> = lines.iter().map(|line| line.action.as_str()).filter(|a| a.ends_with("reveal")).collect();
    assert_eq!(
        reveals,
        [
            "api_key.reveal",
            "connector.signing_secret.reveal",
            "connector.signing_secret.reveal",
            "user.password.reveal"
        ]
    );

    ada.make("/v1/api-keys", &json!({ "name": "CI 2", "scopes": ["events:write"] })).await;
    assert_eq!(count(&ada, "/v1/secrets").await, 1);
    world.pass(Duration::from_mins(10));
    assert_eq!(count(&ada, "/v1/secrets").await, 0, "ten minutes are over");
}

#[tokio::test]
async fn a_key_of_a_compressed_request_is_that_of_what_it_says() {
    let world = World::here().await;
    let body = json!({ "name": "CI", "scopes": ["events:write"] }).to_string();
    let zipped = toktra_siem_testkit::client::gzip(body.as_bytes());
    let headers = [JSON, ("idempotency-key", "k"), ("content-encoding", "gzip")];
    world.send(Method::POST, "/v1/api-keys", &headers, zipped).await.expect_status(201);
    let plain = world.send(Method::POST, "/v1/api-keys", &headers[..2], Bytes::from(body)).await;
    assert_eq!(plain.expect_status(201).header("idempotent-replayed"), Some("true"));
}
