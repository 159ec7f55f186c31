//! How connectors stand, what flowed, what a filter would do, where an event is and why.

use std::time::Duration;

use toktra_siem_core::ids::{StreamId, StreamKind};
use toktra_siem_core::traffic::{Traffic, bucket};
use toktra_siem_store::TrafficRow;
use toktra_siem_testkit::prelude::*;
use uuid::Uuid;

/// An active connector.
async fn connector(world: &Here, name: &str) -> String {
    let mut body = splunk_body(name);
    body["active"] = true.into();
    let made = world.make("/v1/siem/connectors", &body).await;
    made.id()
}

fn stream(connector: &str) -> StreamId {
    StreamId { connector: connector.parse().unwrap(), kind: StreamKind::Events }
}

/// Adds traffic to a bucket so many minutes after the start.
async fn flowed(world: &Here, connector: &str, minutes: u64, delivered: u64, lag: u64) {
    let mut traffic = Traffic { delivered, lag, failed: 1, attempts: 2, attempts_failed: 1, ..Traffic::default() };
    traffic.latency.add(Duration::from_millis(80), delivered);
    let at = bucket(START.plus(Duration::from_mins(minutes)));
    world.store.add_traffic(vec![TrafficRow { stream: stream(connector), at, traffic }]).await.unwrap();
}

async fn post(world: &Here, event_type: &str, severity: &str, n: u128) -> String {
    let id = Uuid::from_u128(n).to_string();
    let event =
        json!({ "event_type": event_type, "severity": severity, "event_id": id, "timestamp": "2025-01-15T09:00:00Z" });
    world.begin("/v1/events", &event).await;
    id
}

async fn get(world: &Here, path: &str) -> Value {
    world.read(path).await
}

#[tokio::test]
async fn health_tells_rates_and_latency_of_what_flowed() {
    let world = World::here().await;
    let id = connector(&world, "x").await;
    flowed(&world, &id, 0, 300, 0).await;
    flowed(&world, &id, 55, 60, 0).await;
    world.pass(Duration::from_mins(57));
    let answer = world.get(&format!("/v1/siem/connectors/{id}/health")).await;
    insta::assert_json_snapshot!("health_delivering", shown(&answer));
}

#[tokio::test]
async fn the_health_of_all_is_told_at_once_worst_first() {
    let world = World::here().await;
    let idle = connector(&world, "idle").await;
    world.pass(Duration::from_secs(1));
    let late = connector(&world, "late").await;
    world.change(&format!("/v1/siem/connectors/{idle}"), &json!({ "active": false })).await;
    post(&world, "anomaly", "low", 1).await;
    world.pass(Duration::from_mins(12));
    let all = get(&world, "/v1/siem/health").await;
    let brief = |view: &Value| (view["connector_id"].clone(), view["state"].clone(), view["sentence"].clone());
    let expected = [
        (json!(late), json!("degraded"), json!("Catching up: 1 event waits, the oldest for 12 min")),
        (json!(idle), json!("off"), json!("Paused, 1 event waits")),
    ];
    assert_eq!(all["items"].as_array().unwrap().iter().map(brief).collect::<Vec<_>>(), expected);
    assert_eq!((&all["has_more"], &all["total_count"]), (&json!(false), &json!(2)));
    for view in all["items"].as_array().unwrap() {
        let one = get(&world, &format!("/v1/siem/connectors/{}/health", view["connector_id"].as_str().unwrap())).await;
        assert_eq!(*view, one, "the same as when it is asked for alone");
    }
    let stranger = world.tenant("stranger").await;
    let (client, _) = world.key(&stranger, &["siem:read"]).await;
    for path in ["/v1/siem/health", "/v1/siem/accounting"] {
        assert_eq!(client.read(path).await["items"], json!([]), "{path}");
    }
}

#[tokio::test]
async fn the_accounts_of_all_are_those_of_each() {
    let world = World::here().await;
    for name in ["a", "b"] {
        connector(&world, name).await;
    }
    post(&world, "anomaly", "low", 1).await;
    let all = get(&world, "/v1/siem/accounting").await;
    assert_eq!(all["total_count"], 2);
    for accounts in all["items"].as_array().unwrap() {
        assert_eq!(accounts["streams"][0]["pending"], 1);
        let path = format!("/v1/siem/connectors/{}/accounting", accounts["connector_id"].as_str().unwrap());
        assert_eq!(*accounts, get(&world, &path).await);
    }
}

#[tokio::test]
async fn traffic_is_shown_in_even_steps() {
    let world = World::here().await;
    let id = connector(&world, "x").await;
    flowed(&world, &id, 0, 3, 9).await;
    flowed(&world, &id, 5, 5, 2).await;
    flowed(&world, &id, 20, 1, 0).await;
    let path = format!("/v1/siem/connectors/{id}/traffic");
    let answer = world.get(&format!("{path}?from=2025-01-15T10:30:00Z&to=2025-01-15T11:00:00Z&step=600")).await;
    insta::assert_json_snapshot!("traffic", shown(&answer));
    world.pass(Duration::from_mins(7));
    let day = get(&world, &path).await;
    let buckets = day["streams"][0]["buckets"].as_array().unwrap();
    assert_eq!((buckets.len(), &day["step_seconds"]), (289, &json!(300)), "a day, to the present bucket");
    assert_eq!(buckets.iter().map(|bucket| bucket["delivered"].number()).sum::<u64>(), 8);
    assert_eq!(day["to"], "2025-01-15T10:40:00.000Z");
    insta::assert_json_snapshot!("bad_traffic", shown(&world.get(&format!("{path}?step=7&from=x&until=1")).await));
    let many = world.get(&format!("{path}?from=2024-01-01T00:00:00Z&step=300")).await;
    insta::assert_json_snapshot!("too_much_traffic", shown(&many));
}

#[tokio::test]
async fn the_traffic_of_all_is_told_at_once() {
    let world = World::here().await;
    let (first, second) = (connector(&world, "first").await, connector(&world, "second").await);
    flowed(&world, &first, 0, 3, 9).await;
    flowed(&world, &first, 5, 5, 2).await;
    flowed(&world, &second, 40, 1, 0).await;
    let query = "from=2025-01-15T10:30:00Z&to=2025-01-15T11:30:00Z&step=1800";
    let all = get(&world, &format!("/v1/siem/traffic?{query}")).await;
    assert_eq!((&all["has_more"], &all["total_count"]), (&json!(false), &json!(2)));
    let items = all["items"].as_array().unwrap();
    for (view, id) in items.iter().zip([&first, &second]) {
        let one = get(&world, &format!("/v1/siem/connectors/{id}/traffic?{query}")).await;
        assert_eq!(*view, one, "the same as when it is asked for alone");
    }
    let delivered = |view: &Value| {
        view["streams"][0]["buckets"].as_array().unwrap().iter().map(|b| b["delivered"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(items.iter().map(delivered).collect::<Vec<_>>(), [[json!(8), json!(0)], [json!(0), json!(1)]]);

    let day = get(&world, "/v1/siem/traffic").await;
    let (buckets, step) = (&day["items"][0]["streams"][0]["buckets"], &day["items"][0]["step_seconds"]);
    assert_eq!((buckets.as_array().unwrap().len(), step), (96, &json!(900)), "a day in at most 100 steps");
    let many = world.get("/v1/siem/traffic?step=300").await.expect_status(422).json();
    assert!(many["error"]["message"].as_str().unwrap().contains("at most 100 are shown"), "{many}");
    let stranger = world.tenant("stranger").await;
    let (client, _) = world.key(&stranger, &["siem:read"]).await;
    assert_eq!(client.read("/v1/siem/traffic").await["items"], json!([]));
}

#[tokio::test]
async fn a_filter_is_tried_on_what_came() {
    let world = World::here().await;
    post(&world, "anomaly", "low", 1).await;
    world.pass(Duration::from_hours(49));
    post(&world, "anomaly", "high", 2).await;
    post(&world, "lockout", "high", 3).await;
    post(&world, "lockout", "critical", 4).await;
    post(&world, "budget_alert", "low", 5).await;
    let path = "/v1/siem/filter/preview";
    let body = json!({ "filter": { "severity": ["high", "critical"], "event_types": ["lockout"] }, "days": 2 });
    insta::assert_json_snapshot!("preview", shown(&world.post(path, &body).await));
    let everything = world.call(path, &json!({})).await;
    assert_eq!((&everything["days"], &everything["total"], &everything["matching"]), (&json!(7), &json!(5), &json!(5)));
    let wrong = json!({ "filter": { "severity": ["urgent"] }, "days": 31, "limit": 3 });
    insta::assert_json_snapshot!("bad_preview", shown(&world.post(path, &wrong).await));
}

#[tokio::test]
async fn an_event_tells_why_it_is_where_it_is() {
    let world = World::here().await;
    let early = post(&world, "anomaly", "high", 1).await;
    let id = connector(&world, "Prod Splunk").await;
    let waits = post(&world, "anomaly", "high", 2).await;
    let why = async |event: &str| get(&world, &format!("/v1/events/{event}")).await["outcomes"].clone();
    let before = why(&early).await;
    assert_eq!((&before[0]["outcome"], &before[0]["connector_name"]), (&json!("before"), &json!("Prod Splunk")));
    assert_eq!(why(&waits).await[0]["why"], "It waits for its turn behind the events before it.");
    let path = format!("/v1/siem/connectors/{id}");
    world.change(&path, &json!({ "active": false })).await;
    assert_eq!(why(&waits).await[0]["why"], "It waits: the connector is switched off.");
    world.change(&path, &json!({ "active": true, "resume": "now" })).await;
    let skipped = why(&waits).await;
    assert_eq!(skipped[0]["outcome"], "skipped");
    assert!(skipped[0]["why"].as_str().unwrap().contains("was skipped"), "{skipped}");
    world.remove(&path).await;
    assert_eq!(why(&waits).await, json!([]), "it had not been taken up");
}
