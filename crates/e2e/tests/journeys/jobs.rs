//! What people ask to be sent again, or given up: a refused event after the SIEM was put right, a range once more, what nobody wants any
//! more. Seen from the outside, with the platforms as they are.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use toktra_siem_fake::datadog::{Datadog, DatadogOptions};
use toktra_siem_fake::elasticsearch::{Elasticsearch, ElasticsearchOptions, Flavour};
use toktra_siem_fake::splunk::{Endpoint, reply};
use toktra_siem_fake::{Behaviour, Gate};
use toktra_siem_testkit::client::Client;
use toktra_siem_testkit::poll;

use crate::splunk::fake;
use crate::support::{Account, CREDENTIAL, Stage, accepted, event, splunk_config, text, with};

/// Asks for a job; its answer.
async fn ask(client: &Client, path: &str, body: &Value) -> Value {
    client.post(path, body).await.expect_status(202).json()
}

/// Waits until the job is in this state.
async fn until(client: &Client, job: &Value, state: &str) -> Value {
    let path = format!("/v1/siem/jobs/{}", text(&job["id"]));
    poll::until(&format!("the job is {state}"), async || {
        let job = client.get(&path).await.expect_status(200).json();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        (job["state"] == state).then_some(job)
    })
    .await
}

/// The numbers of a job that are not zero.
fn numbers(job: &Value) -> BTreeMap<&str, u64> {
    ["total", "processed", "delivered", "rejected", "failed", "discarded"]
        .into_iter()
        .map(|name| (name, job[name].as_u64().unwrap()))
        .filter(|(_, number)| *number > 0)
        .collect()
}

#[tokio::test]
async fn a_refused_event_arrives_after_the_siem_was_put_right() {
    let (stage, splunk) = (Stage::start().await, fake().await);
    let org = stage.org("Acme").await;
    let connector = org.splunk(&splunk).await;
    splunk.script(Endpoint::Event, [Behaviour::reply(reply(6)), Behaviour::reply(reply(6))]);
    let first = org.post_one(event("lockout", "high")).await;
    let rejected = connector.until_outcome("events", &first, "rejected").await;
    let second = org.post_one(event("lockout", "low")).await;
    connector.until_outcome("events", &second, "rejected").await;

    // One by its delivery, the other with all that failed.
    let path = format!("/v1/siem/deliveries/{}/redeliver", text(&rejected["delivery"]));
    let job = ask(&org.client, &path, &json!({})).await;
    let done = until(&org.client, &job, "done").await;
    assert_eq!(numbers(&done), [("delivered", 1), ("processed", 1), ("total", 1)].into());
    let outcome = connector.until_outcome("events", &first, "delivered").await;
    let delivery = connector.delivery(&text(&outcome["delivery"])).await;
    assert_eq!((&delivery["trigger"], &delivery["job_id"]), (&json!("redelivery"), &job["id"]));
    let dry = json!({ "dry_run": true });
    let counted = org.client.post(&connector.path("/redeliver-failed"), &dry).await.expect_status(200).json();
    assert_eq!(counted["total"], 1);
    let job = ask(&org.client, &connector.path("/redeliver-failed"), &json!({})).await;
    until(&org.client, &job, "done").await;
    connector.until_outcome("events", &second, "delivered").await;
    assert_eq!(connector.deliveries(&format!("job={}", text(&job["id"]))).await.len(), 1);
    stage.end(&[(&connector, &[("events", Account::delivered(2))])]).await;
}

#[tokio::test]
async fn a_replay_brings_the_range_once_more_as_the_present_filter_says() {
    let (stage, splunk) = (Stage::start().await, fake().await);
    let elasticsearch = Elasticsearch::start(ElasticsearchOptions::new(Flavour::Elasticsearch)).await.unwrap();
    let org = stage.org("Acme").await;
    let to_splunk = org.splunk(&splunk).await;
    let to_elasticsearch = org.connector("elasticsearch", json!({ "url": elasticsearch.base_url() })).await;
    let before = org.post(&[event("anomaly", "low"), event("anomaly", "high")]).await;
    let noted = org.client.get(&format!("/v1/events/{}", before[1])).await.json()["accepted_at"].clone();
    accepted(&splunk, 2).await;
    let after = org.post(&[event("lockout", "low"), event("lockout", "high"), event("anomaly", "critical")]).await;
    accepted(&splunk, 5).await;
    accepted(&elasticsearch, 5).await;
    to_splunk.patch(json!({ "filter": { "severity": ["high", "critical"] } })).await;

    // Everything that the filter of now lets through: three of five.
    let dry = json!({ "dry_run": true });
    let counted = org.client.post(&to_splunk.path("/replay"), &dry).await.expect_status(200).json();
    assert_eq!(counted, json!({ "dry_run": true, "total": 3 }));
    let job = ask(&org.client, &to_splunk.path("/replay"), &json!({})).await;
    let done = until(&org.client, &job, "done").await;
    assert_eq!(numbers(&done), [("delivered", 3), ("processed", 3), ("total", 3)].into());
    let times = splunk.event_ids();
    for (id, expected) in [(&before[0], 1), (&before[1], 2), (&after[0], 1), (&after[1], 2), (&after[2], 2)] {
        assert_eq!(times[id], expected, "{id}");
    }

    // A range: from what was accepted after the first two. Sent twice, and one document each.
    let documents = |fake: &Elasticsearch| fake.documents().values().map(BTreeMap::len).sum::<usize>();
    assert_eq!(documents(&elasticsearch), 5);
    let range = json!({ "from": noted });
    let all = org.client.post(&to_elasticsearch.path("/replay"), &with(range.clone(), "dry_run", true)).await.json();
    let job = ask(&org.client, &to_elasticsearch.path("/replay"), &range).await;
    let done = until(&org.client, &job, "done").await;
    assert_eq!((&done["delivered"], &done["total"]), (&all["total"], &all["total"]));
    assert!(all["total"].as_u64().unwrap() >= 3, "{all}");
    assert_eq!(documents(&elasticsearch), 5, "no second document");
    let replays = to_elasticsearch.deliveries("trigger=replay").await;
    assert!(replays.iter().all(|delivery| delivery["status"] == "delivered"), "{replays:?}");

    // What was replayed is delivered as it was: the accounts did not move.
    let accounts = [("events", Account::delivered(5))];
    stage.end(&[(&to_splunk, &accounts), (&to_elasticsearch, &accounts)]).await;
}

#[tokio::test]
async fn what_nobody_wants_any_more_is_discarded_also_where_the_connector_is_off() {
    let (stage, splunk) = (Stage::start().await, fake().await);
    let org = stage.org("Acme").await;
    let connector = org.splunk(&splunk).await;
    splunk.down().await;
    let ids = org.post(&[event("anomaly", "low"), event("anomaly", "high")]).await;
    connector.until_outcome("events", &ids[0], "failed").await;
    connector.until_account("events", &Account { failed: 2, ..Account::default() }).await;
    let refused = org.client.post(&connector.path("/redeliver-failed"), &json!({})).await.expect_status(202).json();
    assert_eq!(refused["state"], "waiting");
    assert!(text(&refused["reason"]).contains("takes nothing at the moment"), "{refused}");
    connector.patch(json!({ "active": false })).await;
    let off = org.client.get(&format!("/v1/siem/jobs/{}", text(&refused["id"]))).await.json();
    assert!(text(&off["reason"]).contains("switched off"), "{off}");

    // A probe may have been on its way when it was switched off: what it left is discarded once it is parked again.
    connector.until_account("events", &Account { failed: 2, ..Account::default() }).await;
    let job = ask(&org.client, &connector.path("/discard"), &json!({})).await;
    let done = until(&org.client, &job, "done").await;
    assert_eq!(numbers(&done), [("discarded", 2), ("processed", 2), ("total", 2)].into());
    for id in &ids {
        assert_eq!(connector.outcome("events", id).await["outcome"], "discarded");
    }
    // The job that waited has nothing left to do; it is done once the connector is on.
    splunk.up().unwrap();
    connector.patch(json!({ "active": true })).await;
    let done = until(&org.client, &refused, "done").await;
    assert_eq!(numbers(&done), [("processed", 2), ("total", 2)].into());
    stage.end(&[(&connector, &[("events", Account { discarded: 2, ..Account::default() })])]).await;
}

#[tokio::test]
async fn a_cancelled_replay_finishes_its_request_and_sends_nothing_more() {
    let (stage, splunk) = (Stage::start().await, fake().await);
    let org = stage.org("Acme").await;
    let mut config = splunk_config(&splunk);
    config["max_in_flight"] = 1.into();
    let connector = org.connector("splunk", config).await;
    let events: Vec<Value> = (0..2_500).map(|n| with(event("anomaly", "low"), "summary", format!("{n}"))).collect();
    org.post(&events).await;
    accepted(&splunk, 2_500).await;
    connector.until_account("events", &Account::delivered(2_500)).await;

    let gate = Gate::new();
    splunk.script(Endpoint::Event, [Behaviour::strict().gated(&gate)]);
    let job = ask(&org.client, &connector.path("/replay"), &json!({})).await;
    gate.arrived(1).await;
    let path = format!("/v1/siem/jobs/{}", text(&job["id"]));
    let running = org.client.get(&path).await.expect_status(200).json();
    assert_eq!((&running["state"], &running["processed"]), (&json!("running"), &json!(0)));
    let cancelled = org.client.delete(&path).await.expect_status(200).json();
    assert_eq!(cancelled["state"], "cancelled");
    gate.open();
    let counted = poll::until("what was on its way is counted", async || {
        let job = org.client.get(&path).await.expect_status(200).json();
        (job["delivered"] != 0).then_some(job)
    })
    .await;
    let delivered = counted["delivered"].as_u64().unwrap();
    assert!(delivered < 2_500, "{counted}");
    // A fresh event shows that the stream goes on, and that nothing of the job is sent before or after it.
    let fresh = org.post_one(event("lockout", "high")).await;
    connector.until_outcome("events", &fresh, "delivered").await;
    assert_eq!(splunk.event_ids().values().sum::<u64>(), 2_500 + delivered + 1);
    assert_eq!(connector.deliveries(&format!("job={}", text(&job["id"]))).await.len(), 1);
    stage.end(&[(&connector, &[("events", Account::delivered(2_501))])]).await;
}

#[tokio::test]
async fn datadogs_log_entries_are_sent_again_and_its_metrics_are_not() {
    let stage = Stage::start().await;
    let datadog = Datadog::start(DatadogOptions::new(CREDENTIAL)).await.unwrap();
    let org = stage.org("Acme").await;
    let connector = org.datadog(&datadog).await;
    let ids = org.post(&[event("anomaly", "low"), event("lockout", "high")]).await;
    connector.until_account("logs", &Account::delivered(2)).await;
    connector.until_account("metrics", &Account::delivered(2)).await;
    let series = datadog.series();

    let job = ask(&org.client, &connector.path("/replay"), &json!({})).await;
    let done = until(&org.client, &job, "done").await;
    assert_eq!(numbers(&done), [("delivered", 2), ("processed", 2), ("total", 2)].into());
    assert!(ids.iter().all(|id| datadog.event_ids()[id] == 2), "{:?}", datadog.event_ids());
    assert_eq!(datadog.series(), series);
    let window = connector.deliveries("stream=metrics").await.remove(0);
    let path = format!("/v1/siem/deliveries/{}/redeliver", text(&window["id"]));
    let refused = org.client.post(&path, &json!({})).await.expect_status(409).json();
    assert!(text(&refused["error"]["message"]).contains("metrics"), "{refused}");
    let accounts = [("logs", Account::delivered(2)), ("metrics", Account::delivered(2))];
    stage.end(&[(&connector, &accounts)]).await;
}
