//! What people look at, through an outage, a misconfiguration and restarts: health in sentences, rates that are still there afterwards, and for
//! every event where it is and why.

use toktra_siem_testkit::prelude::*;

/// The only outcome of an event.
async fn outcome(client: &Client, event: &str) -> Value {
    client.read(&format!("/v1/events/{event}")).await["outcomes"][0].clone()
}

fn begins(sentence: &Value, expected: &str) {
    assert!(sentence.as_str().unwrap().starts_with(expected), "{sentence} does not begin with {expected}");
}

fn contains(sentence: &Value, expected: &str) {
    assert!(sentence.as_str().unwrap().contains(expected), "{sentence} does not contain {expected}");
}

#[tokio::test]
async fn an_outage_and_a_misconfiguration_are_told_in_sentences() {
    let (world, splunk) = (World::start().await, splunk().await);
    let connector = world.connect_with(&splunk, json!({ "name": "Prod Splunk" })).await;
    let stands = connector.stands().await;
    assert_eq!((&stands["state"], &stands["sentence"]), (&json!("healthy"), &json!("Ready, nothing delivered yet")));
    assert_eq!((&stands["name"], &stands["streams"][0]["latency"]), (&json!("Prod Splunk"), &Value::Null));

    let first = world.post_some(3).await;
    world.all_arrived().await;
    let told = |stands: &Value| {
        let rate = stands["streams"][0]["rates"]["last_5_minutes"]["delivered"].as_f64();
        (rate > Some(0.0)).then(|| stands.clone())
    };
    let delivering = world.until("the rate is told", &connector.path("/health"), told).await;
    begins(&delivering["sentence"], "Delivering, ");
    let stream = &delivering["streams"][0];
    assert_eq!(stream["undelivered"], json!({ "total": 0, "waiting": 0, "pending": 0, "failed": 0 }));
    assert!(stream["latency"]["p50_ms"].as_u64() <= stream["latency"]["p99_ms"].as_u64(), "{stream}");
    let arrived = outcome(&world, &first[0]).await;
    assert_eq!((&arrived["outcome"], &arrived["connector_name"]), (&json!("delivered"), &json!("Prod Splunk")));
    begins(&arrived["why"], "Splunk took it at ");

    splunk.down().await;
    let lost = world.post_some(2).await;
    let down = connector.until_stands("degraded").await;
    begins(&down["sentence"], "Waiting: connection refused ");
    contains(&down["sentence"], ", 2 events wait");
    let stream = &down["streams"][0];
    assert_eq!((&stream["undelivered"]["total"], &stream["oldest_undelivered_event_id"]), (&json!(2), &json!(lost[0])));
    assert_eq!(stream["last_error"]["cause"]["code"], "network_refused");
    assert!(stream["since"].is_string() && stream["next_probe_at"].is_string(), "{stream}");
    let behind = world.post_some(1).await;
    let waits = outcome(&world, &behind[0]).await;
    assert_eq!((&waits["outcome"], &waits["cause"]["code"]), (&json!("pending"), &json!("network_refused")));
    begins(&waits["why"], "It waits with the events after it: the endpoint has taken nothing since ");
    let parked = connector.until_outcome("events", &lost[0], "failed").await;
    contains(&parked["why"], "It is sent again by itself once the endpoint takes events.");

    splunk.up().unwrap();
    world.all_arrived().await;
    assert_eq!(connector.until_stands("healthy").await["streams"][0]["oldest_undelivered_at"], Value::Null);
    splunk.set_token("another-token-altogether");
    world.post_some(4).await;
    let wrong = connector.until_stands("misconfigured").await;
    begins(&wrong["sentence"], "Action needed: token rejected ");
    contains(&wrong["sentence"], ", 4 events wait");
    let all = world.read("/v1/siem/health").await;
    assert_eq!((&all["items"][0]["state"], &all["total_count"]), (&json!("misconfigured"), &json!(1)));
    splunk.set_token(CREDENTIAL);
    world.all_arrived().await;
    connector.accounted(&[("accepted", 10), ("delivered", 10)]).await;
    world.end().await;
}

#[tokio::test]
async fn rates_and_charts_survive_a_restart_and_a_kill() {
    let (mut world, splunk) = (World::start().await, splunk().await);
    let connector = world.connect_with(&splunk, json!({ "name": "Prod Splunk" })).await;
    world.post_some(20).await;
    world.all_arrived().await;
    // The end adds what was not added yet.
    world.stop().await;

    let delivered = async |client: &Client| {
        let shown = client.read(&connector.path("/traffic")).await;
        let buckets = shown["streams"][0]["buckets"].list();
        let busy = buckets.iter().find(|bucket| bucket["delivered"] != 0);
        assert!(busy.is_none_or(|bucket| bucket["p99_ms"].as_u64() >= bucket["p50_ms"].as_u64()), "{busy:?}");
        buckets.iter().map(|bucket| bucket["delivered"].number()).sum::<u64>()
    };
    world.again().await;
    assert_eq!(delivered(&world).await, 20);
    let stream = connector.stands().await["streams"][0].clone();
    let rate = stream["rates"]["last_hour"]["delivered"].as_f64().unwrap();
    assert!(0.34 < rate && rate <= 20.0, "20 events since the connector was made, which is no hour ago: {stream}");
    assert!(stream["latency"]["p50_ms"].is_u64(), "{stream}");
    world.post_some(5).await;
    poll::until("what flowed is added", async || (delivered(&world).await == 25).then_some(())).await;
    world.kill().await;

    world.again().await;
    assert_eq!(delivered(&world).await, 25);
    world.end().await;
}

#[tokio::test]
async fn a_filter_is_tried_before_it_is_saved_and_tells_later_why() {
    let (world, splunk) = (World::start().await, splunk().await);
    let connector = world.connect_with(&splunk, json!({ "name": "Prod Splunk" })).await;
    let mut events = vec![json!({ "event_type": "lockout", "severity": "critical" })];
    events.extend((0..5).map(|_| json!({ "event_type": "anomaly", "severity": "low" })));
    let before = world.post_events(&events).await;
    world.all_arrived().await;
    let filter = json!({ "severity": ["high", "critical"] });
    let preview = world.call("/v1/siem/filter/preview", &json!({ "filter": filter })).await;
    assert_eq!((&preview["total"], &preview["matching"]), (&json!(6), &json!(1)));
    assert_eq!(preview["sample"][0]["event_id"], before[0].as_str());
    assert!(preview["sample"][0]["summary"].is_string());

    connector.patch(json!({ "filter": filter })).await;
    let after = world.post_events(&events).await;
    connector.accounted(&[("delivered", 7), ("filtered", 5), ("pending", 0)]).await;
    let filtered = outcome(&world, &after[1]).await;
    assert_eq!((&filtered["outcome"], &filtered["rule"]), (&json!("filtered"), &json!("severity")));
    assert_eq!(filtered["why"], "The filter of its time forwards the severities high, critical; this event is low.");
    assert_eq!(outcome(&world, &before[1]).await["outcome"], "delivered", "a filter is not retroactive");

    world.remove(&connector.path("")).await;
    let remembered = outcome(&world, &before[0]).await;
    assert_eq!((&remembered["outcome"], &remembered["connector_deleted"]), (&json!("delivered"), &json!(true)));
    assert_eq!(remembered["connector_name"], Value::Null);
    world.end().await;
}
