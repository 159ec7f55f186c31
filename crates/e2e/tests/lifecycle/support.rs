//! What the journeys share: how a server is set up, how a connector is made and an event posted, and how accounts are read.

use std::time::Duration;

use serde_json::{Value, json};
use toktra_siem_testkit::client::Client;
use toktra_siem_testkit::poll;
use toktra_siem_testkit::server::ServerSetup;

/// The token of every fake Splunk.
pub(crate) const TOKEN: &str = "a-hec-token-of-some-length";

/// Where an account puts an event (interface.md, `…/accounting`).
const PLACES: [&str; 8] = ["delivered", "rejected", "failed", "expired", "discarded", "skipped", "pending", "filtered"];

/// The time between two looks at the API: a key has so many requests a minute.
const PACE: Duration = Duration::from_millis(50);

/// As [`poll::until`], for what the API is asked about.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    poll::until(what, async || {
        let found = look().await;
        if found.is_none() {
            tokio::time::sleep(PACE).await;
        }
        found
    })
    .await
}

/// What a path shows; where the key's requests are used up, as soon as there are more.
pub(crate) async fn read(client: &Client, path: &str) -> Value {
    until(&format!("{path} is shown"), async || {
        let answer = client.get(path).await;
        (answer.status != 429).then(|| answer.expect_status(200).json())
    })
    .await
}

/// The binary under test.
pub(crate) fn setup() -> ServerSetup {
    ServerSetup::new(env!("CARGO_BIN_EXE_toktra-siem-under-test"))
}

/// A name that no other test run has, in the letters that index names and paths allow.
pub(crate) fn unique(setup: &ServerSetup) -> String {
    let directory = setup.data_dir();
    let own = directory.parent().and_then(|parent| parent.file_name()).unwrap().to_string_lossy();
    own.to_lowercase()
}

/// The org that was made on first start.
pub(crate) async fn default_org(client: &Client) -> String {
    read(client, "/v1/orgs").await["items"][0]["id"].as_str().unwrap().to_owned()
}

/// An event that is valid, with what a test adds.
pub(crate) fn event(more: &Value) -> Value {
    let mut event = json!({ "event_type": "policy_violation", "severity": "high" });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

/// Posts these events in one request; their ids.
pub(crate) async fn post(client: &Client, events: &[Value]) -> Vec<String> {
    let answer = client.post("/v1/events", &json!(events)).await.expect_status(202).json();
    let id = |event: &Value| event["event_id"].as_str().unwrap().to_owned();
    answer["events"].as_array().unwrap().iter().map(id).collect()
}

/// Posts `count` plain events in one request; their ids.
pub(crate) async fn post_some(client: &Client, count: usize) -> Vec<String> {
    let events: Vec<Value> = (0..count).map(|n| event(&json!({ "details": { "n": n } }))).collect();
    post(client, &events).await
}

/// Makes an active connector; its id.
pub(crate) async fn connect(client: &Client, platform: &str, name: &str, config: &Value) -> String {
    let body = json!({ "name": name, "platform": platform, "config": config, "active": true });
    let made = client.post("/v1/siem/connectors", &body).await.expect_status(201).json();
    made["id"].as_str().unwrap().to_owned()
}

/// Changes a connector; the answer.
pub(crate) async fn patch(client: &Client, id: &str, change: &Value) -> Value {
    client.patch(&path(id), change).await.expect_status(200).json()
}

/// A connector's path.
pub(crate) fn path(id: &str) -> String {
    format!("/v1/siem/connectors/{id}")
}

/// A connector's health.
pub(crate) async fn health(client: &Client, id: &str) -> Value {
    read(client, &format!("{}/health", path(id))).await
}

/// Waits until a connector is in `state`; its health then.
pub(crate) async fn healthy_as(client: &Client, id: &str, state: &str) -> Value {
    until(&format!("{id} is {state}"), async || {
        let health = health(client, id).await;
        (health["state"] == state).then_some(health)
    })
    .await
}

/// The accounts of a connector's streams, which add up.
pub(crate) async fn accounts(client: &Client, id: &str) -> Vec<Value> {
    let answer = read(client, &format!("{}/accounting", path(id))).await;
    assert_eq!(answer["adds_up"], true, "{answer}");
    let streams = answer["streams"].as_array().unwrap().clone();
    for stream in &streams {
        let sum: i64 = PLACES.iter().map(|place| stream[place].as_i64().unwrap()).sum();
        assert_eq!(Some(sum), stream["accepted"].as_i64(), "{stream}");
    }
    streams
}

/// Waits until the connector's first stream has `wanted` events in each of these places.
pub(crate) async fn accounted(client: &Client, id: &str, wanted: &[(&str, i64)]) {
    let mut streams = Vec::new();
    let found = poll::within(poll::PATIENCE, async || {
        streams = accounts(client, id).await;
        let there = wanted.iter().all(|(place, count)| streams[0][place] == *count);
        if !there {
            tokio::time::sleep(PACE).await;
        }
        there.then_some(())
    });
    let found = found.await;
    assert!(found.is_some(), "{wanted:?} expected, but {streams:?}");
}

/// Every connector that the client's org has.
pub(crate) async fn connectors(client: &Client) -> Vec<Value> {
    let list = read(client, "/v1/siem/connectors?limit=100").await;
    list["items"].as_array().unwrap().clone()
}

/// Asserts that the accounts of every connector add up: the end of a journey.
pub(crate) async fn all_add_up(client: &Client) {
    for connector in connectors(client).await {
        accounts(client, connector["id"].as_str().unwrap()).await;
    }
}

/// Waits until no stream of any connector has anything pending or parked.
pub(crate) async fn all_arrived(client: &Client) {
    for connector in connectors(client).await {
        let id = connector["id"].as_str().unwrap();
        until(&format!("nothing waits for {}", connector["name"]), async || {
            let streams = accounts(client, id).await;
            streams.iter().all(|stream| stream["pending"] == 0 && stream["failed"] == 0).then_some(())
        })
        .await;
    }
}

/// The connector's deliveries with their attempts, oldest first.
pub(crate) async fn deliveries(client: &Client, id: &str) -> Vec<Value> {
    let list = read(client, &format!("{}/deliveries?limit=100", path(id))).await;
    assert_eq!(list["has_more"], false, "a journey makes fewer deliveries");
    let mut all = Vec::new();
    for delivery in list["items"].as_array().unwrap().iter().rev() {
        let one = format!("/v1/siem/deliveries/{}", delivery["id"].as_str().unwrap());
        all.push(read(client, &one).await);
    }
    all
}
