//! What people look at, through an outage, a misconfiguration and restarts: health in sentences, rates that are still there afterwards, and for
//! every event where it is and why.

use serde_json::{Value, json};
use toktra_siem_fake::splunk::{Splunk, SplunkOptions};
use toktra_siem_testkit::client::Client;

use crate::support::{
    TOKEN, accounted, all_add_up, all_arrived, connect, health, healthy_as, path, post, post_some, read, setup, until,
};

async fn splunk() -> Splunk {
    Splunk::start(SplunkOptions::new(TOKEN)).await.unwrap()
}

async fn connect_to(client: &Client, splunk: &Splunk) -> String {
    connect(client, "splunk", "Prod Splunk", &json!({ "hec_url": splunk.base_url(), "hec_token": TOKEN })).await
}

/// The only outcome of an event.
async fn outcome(client: &Client, event: &str) -> Value {
    read(client, &format!("/v1/events/{event}")).await["outcomes"][0].clone()
}

fn begins(sentence: &Value, expected: &str) {
    assert!(sentence.as_str().unwrap().starts_with(expected), "{sentence} does not begin with {expected}");
}

fn contains(sentence: &Value, expected: &str) {
    assert!(sentence.as_str().unwrap().contains(expected), "{sentence} does not contain {expected}");
}

#[tokio::test]
async fn an_outage_and_a_misconfiguration_are_told_in_sentences() {
    let splunk = splunk().await;
    let setup = setup();
    let server = setup.start().await;
    let client = server.client();
    let connector = connect_to(client, &splunk).await;
    let stands = health(client, &connector).await;
    assert_eq!((&stands["state"], &stands["sentence"]), (&json!("healthy"), &json!("Ready, nothing delivered yet")));
    assert_eq!((&stands["name"], &stands["streams"][0]["latency"]), (&json!("Prod Splunk"), &Value::Null));

    let first = post_some(client, 3).await;
    all_arrived(client).await;
    let delivering = until("the rate is told", async || {
        let stands = health(client, &connector).await;
        (stands["streams"][0]["rates"]["last_5_minutes"]["delivered"].as_f64() > Some(0.0)).then_some(stands)
    })
    .await;
    begins(&delivering["sentence"], "Delivering, ");
    let stream = &delivering["streams"][0];
    assert_eq!(stream["undelivered"], json!({ "total": 0, "waiting": 0, "pending": 0, "failed": 0 }));
    assert!(stream["latency"]["p50_ms"].as_u64() <= stream["latency"]["p99_ms"].as_u64(), "{stream}");
    let arrived = outcome(client, &first[0]).await;
    assert_eq!((&arrived["outcome"], &arrived["connector_name"]), (&json!("delivered"), &json!("Prod Splunk")));
    begins(&arrived["why"], "Splunk took it at ");

    splunk.down().await;
    let lost = post_some(client, 2).await;
    let down = healthy_as(client, &connector, "degraded").await;
    begins(&down["sentence"], "Waiting: connection refused ");
    contains(&down["sentence"], ", 2 events wait");
    let stream = &down["streams"][0];
    assert_eq!((&stream["undelivered"]["total"], &stream["oldest_undelivered_event_id"]), (&json!(2), &json!(lost[0])));
    assert_eq!(stream["last_error"]["cause"]["code"], "network_refused");
    assert!(stream["since"].is_string() && stream["next_probe_at"].is_string(), "{stream}");
    let behind = post_some(client, 1).await;
    let waits = outcome(client, &behind[0]).await;
    assert_eq!((&waits["outcome"], &waits["cause"]["code"]), (&json!("pending"), &json!("network_refused")));
    begins(&waits["why"], "It waits with the events after it: the endpoint has taken nothing since ");
    let parked = until("the first is told as failed", async || {
        let told = outcome(client, &lost[0]).await;
        (told["outcome"] == "failed").then_some(told)
    })
    .await;
    contains(&parked["why"], "It is sent again by itself once the endpoint takes events.");

    splunk.up().unwrap();
    all_arrived(client).await;
    assert_eq!(healthy_as(client, &connector, "healthy").await["streams"][0]["oldest_undelivered_at"], Value::Null);
    splunk.set_token("another-token-altogether");
    post_some(client, 4).await;
    let wrong = healthy_as(client, &connector, "misconfigured").await;
    begins(&wrong["sentence"], "Misconfigured: token rejected ");
    contains(&wrong["sentence"], ", 4 events wait");
    let all = read(client, "/v1/siem/health").await;
    assert_eq!((&all["items"][0]["state"], &all["total_count"]), (&json!("misconfigured"), &json!(1)));
    splunk.set_token(TOKEN);
    all_arrived(client).await;
    accounted(client, &connector, &[("accepted", 10), ("delivered", 10)]).await;
    all_add_up(client).await;
    server.stop().await;
}

#[tokio::test]
async fn rates_and_charts_survive_a_restart_and_a_kill() {
    let splunk = splunk().await;
    let setup = setup();
    let server = setup.start().await;
    let connector = connect_to(server.client(), &splunk).await;
    post_some(server.client(), 20).await;
    all_arrived(server.client()).await;
    // The end adds what was not added yet.
    assert_eq!(server.stop().await.code(), Some(0));

    let delivered = async |client: &Client| {
        let shown = read(client, &format!("{}/traffic", path(&connector))).await;
        let buckets = shown["streams"][0]["buckets"].as_array().unwrap().clone();
        let busy = buckets.iter().find(|bucket| bucket["delivered"] != 0);
        assert!(busy.is_none_or(|bucket| bucket["p99_ms"].as_u64() >= bucket["p50_ms"].as_u64()), "{busy:?}");
        buckets.iter().map(|bucket| bucket["delivered"].as_u64().unwrap()).sum::<u64>()
    };
    let server = setup.start().await;
    assert_eq!(delivered(server.client()).await, 20);
    let stream = health(server.client(), &connector).await["streams"][0].clone();
    assert_eq!(stream["rates"]["last_hour"]["delivered"], json!(0.33), "20 events in an hour: {stream}");
    assert!(stream["latency"]["p50_ms"].is_u64(), "{stream}");
    post_some(server.client(), 5).await;
    until("what flowed is added", async || (delivered(server.client()).await == 25).then_some(())).await;
    server.kill().await;

    let server = setup.start().await;
    assert_eq!(delivered(server.client()).await, 25);
    all_add_up(server.client()).await;
    server.stop().await;
}

#[tokio::test]
async fn a_filter_is_tried_before_it_is_saved_and_tells_later_why() {
    let splunk = splunk().await;
    let setup = setup();
    let server = setup.start().await;
    let client = server.client();
    let connector = connect_to(client, &splunk).await;
    let mut events = vec![json!({ "event_type": "lockout", "severity": "critical" })];
    events.extend((0..5).map(|_| json!({ "event_type": "anomaly", "severity": "low" })));
    let before = post(client, &events).await;
    all_arrived(client).await;
    let filter = json!({ "severity": ["high", "critical"] });
    let preview = client.post("/v1/siem/filter/preview", &json!({ "filter": filter })).await.expect_status(200).json();
    assert_eq!((&preview["total"], &preview["matching"]), (&json!(6), &json!(1)));
    assert_eq!(preview["sample"][0]["event_id"], before[0].as_str());
    assert!(preview["sample"][0]["summary"].is_string());

    crate::support::patch(client, &connector, &json!({ "filter": filter })).await;
    let after = post(client, &events).await;
    accounted(client, &connector, &[("delivered", 7), ("filtered", 5), ("pending", 0)]).await;
    let filtered = outcome(client, &after[1]).await;
    assert_eq!((&filtered["outcome"], &filtered["rule"]), (&json!("filtered"), &json!("severity")));
    assert_eq!(filtered["why"], "The filter of its time forwards the severities high, critical; this event is low.");
    assert_eq!(outcome(client, &before[1]).await["outcome"], "delivered", "a filter is not retroactive");

    client.delete(&path(&connector)).await.expect_status(200);
    let remembered = outcome(client, &before[0]).await;
    assert_eq!((&remembered["outcome"], &remembered["connector_deleted"]), (&json!("delivered"), &json!(true)));
    assert_eq!(remembered["connector_name"], Value::Null);
    server.stop().await;
}
