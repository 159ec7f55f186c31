//! What people ask to be sent again, or given up: a refused event after the SIEM was put right, a range once more, what nobody wants any
//! more. Seen from the outside, with the platforms as they are.

use std::collections::BTreeMap;

use toktra_siem_fake::elasticsearch::Elasticsearch;
use toktra_siem_fake::splunk::{Endpoint, reply};
use toktra_siem_testkit::prelude::*;

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
    let (world, org, splunk, connector) = World::with_splunk().await;
    splunk.script(Endpoint::Event, (0..6).map(|_| Behaviour::reply(reply(6))));
    let first = org.post_event(event("lockout", "high")).await;
    let rejected = connector.until_outcome("events", &first, "rejected").await;
    let second = org.post_event(event("lockout", "low")).await;
    connector.until_outcome("events", &second, "rejected").await;

    // One by its delivery, the other with all that failed.
    let path = format!("/v1/siem/deliveries/{}/redeliver", rejected["delivery"].text());
    let job = org.begin(&path, &json!({})).await;
    let done = org.until_job(&job.id(), "done").await;
    assert_eq!(numbers(&done), [("delivered", 1), ("processed", 1), ("total", 1)].into());
    let outcome = connector.until_outcome("events", &first, "delivered").await;
    let delivery = connector.delivery(&outcome["delivery"].text()).await;
    assert_eq!((&delivery["trigger"], &delivery["job_id"]), (&json!("redelivery"), &job["id"]));
    let dry = json!({ "dry_run": true });
    let counted = org.call(&connector.path("/redeliver-failed"), &dry).await;
    assert_eq!(counted["total"], 1);
    let job = connector.job("redeliver-failed", json!({})).await;
    org.until_job(&job.id(), "done").await;
    connector.until_outcome("events", &second, "delivered").await;
    assert_eq!(connector.deliveries(&format!("job={}", job.id())).await.len(), 1);
    world.end_with(&[(&connector, &[("events", Account::delivered(2))])]).await;
}

#[tokio::test]
async fn a_replay_brings_the_range_once_more_as_the_present_filter_says() {
    let (world, splunk) = (World::start().await, splunk().await);
    let elasticsearch = elasticsearch().await;
    let org = world.org("Acme").await;
    let to_splunk = org.connect(&splunk).await;
    let to_elasticsearch = org.connect(&elasticsearch).await;
    let before = org.post_events(&[event("anomaly", "low"), event("anomaly", "high")]).await;
    let noted = org.get(&format!("/v1/events/{}", before[1])).await.json()["accepted_at"].clone();
    accepted(&splunk, 2).await;
    let after =
        org.post_events(&[event("lockout", "low"), event("lockout", "high"), event("anomaly", "critical")]).await;
    accepted(&splunk, 5).await;
    accepted(&elasticsearch, 5).await;
    to_splunk.patch(json!({ "filter": { "severity": ["high", "critical"] } })).await;

    // Everything that the filter of now lets through: three of five.
    let dry = json!({ "dry_run": true });
    let counted = org.call(&to_splunk.path("/replay"), &dry).await;
    assert_eq!(counted, json!({ "dry_run": true, "total": 3 }));
    let job = to_splunk.job("replay", json!({})).await;
    let done = org.until_job(&job.id(), "done").await;
    assert_eq!(numbers(&done), [("delivered", 3), ("processed", 3), ("total", 3)].into());
    let times = splunk.event_ids();
    for (id, expected) in [(&before[0], 1), (&before[1], 2), (&after[0], 1), (&after[1], 2), (&after[2], 2)] {
        assert_eq!(times[id], expected, "{id}");
    }

    // A range: from what was accepted after the first two. Sent twice, and one document each.
    let documents = |fake: &Elasticsearch| fake.documents().values().map(BTreeMap::len).sum::<usize>();
    assert_eq!(documents(&elasticsearch), 5);
    let range = json!({ "from": noted });
    let all = org.post(&to_elasticsearch.path("/replay"), &with(range.clone(), "dry_run", true)).await.json();
    let job = to_elasticsearch.job("replay", range).await;
    let done = org.until_job(&job.id(), "done").await;
    assert_eq!((&done["delivered"], &done["total"]), (&all["total"], &all["total"]));
    assert!(all["total"].number() >= 3, "{all}");
    assert_eq!(documents(&elasticsearch), 5, "no second document");
    let replays = to_elasticsearch.deliveries("trigger=replay").await;
    assert!(replays.iter().all(|delivery| delivery["status"] == "delivered"), "{replays:?}");

    // What was replayed is delivered as it was: the accounts did not move.
    let accounts = [("events", Account::delivered(5))];
    world.end_with(&[(&to_splunk, &accounts), (&to_elasticsearch, &accounts)]).await;
}

#[tokio::test]
async fn what_nobody_wants_any_more_is_discarded_also_where_the_connector_is_off() {
    let (world, org, splunk, connector) = World::with_splunk().await;
    splunk.down().await;
    let ids = org.post_events(&[event("anomaly", "low"), event("anomaly", "high")]).await;
    connector.until_outcome("events", &ids[0], "failed").await;
    connector.until_account("events", &Account { failed: 2, ..Account::default() }).await;
    let refused = org.begin(&connector.path("/redeliver-failed"), &json!({})).await;
    assert_eq!(refused["state"], "waiting");
    assert!(refused["reason"].text().contains("takes nothing at the moment"), "{refused}");
    connector.patch(json!({ "active": false })).await;
    let off = org.get(&format!("/v1/siem/jobs/{}", refused.id())).await.json();
    assert!(off["reason"].text().contains("switched off"), "{off}");

    // A probe may have been on its way when it was switched off: what it left is discarded once it is parked again.
    connector.until_account("events", &Account { failed: 2, ..Account::default() }).await;
    let job = connector.job("discard", json!({})).await;
    let done = org.until_job(&job.id(), "done").await;
    assert_eq!(numbers(&done), [("discarded", 2), ("processed", 2), ("total", 2)].into());
    for id in &ids {
        assert_eq!(connector.outcome("events", id).await["outcome"], "discarded");
    }
    // The job that waited has nothing left to do; it is done once the connector is on.
    splunk.up().unwrap();
    connector.patch(json!({ "active": true })).await;
    let done = org.until_job(&refused.id(), "done").await;
    assert_eq!(numbers(&done), [("processed", 2), ("total", 2)].into());
    world.end_with(&[(&connector, &[("events", Account { discarded: 2, ..Account::default() })])]).await;
}

#[tokio::test]
async fn a_cancelled_replay_finishes_its_request_and_sends_nothing_more() {
    let (world, splunk) = (World::start().await, splunk().await);
    let org = world.org("Acme").await;
    let connector = org.connect_with(&splunk, json!({ "config": { "max_in_flight": 1 } })).await;
    let events: Vec<Value> = (0..2_500).map(|n| with(event("anomaly", "low"), "summary", format!("{n}"))).collect();
    org.post_events(&events).await;
    accepted(&splunk, 2_500).await;
    connector.until_account("events", &Account::delivered(2_500)).await;

    let gate = Gate::new();
    splunk.script(Endpoint::Event, [Behaviour::strict().gated(&gate)]);
    let job = connector.job("replay", json!({})).await;
    gate.arrived(1).await;
    let path = format!("/v1/siem/jobs/{}", job.id());
    let running = org.read(&path).await;
    assert_eq!((&running["state"], &running["processed"]), (&json!("running"), &json!(0)));
    let cancelled = org.remove(&path).await;
    assert_eq!(cancelled["state"], "cancelled");
    gate.open();
    let counted = poll::until("what was on its way is counted", async || {
        let job = org.read(&path).await;
        (job["delivered"] != 0).then_some(job)
    })
    .await;
    let delivered = counted["delivered"].number();
    assert!(delivered < 2_500, "{counted}");
    // A fresh event shows that the stream goes on, and that nothing of the job is sent before or after it.
    let fresh = org.post_event(event("lockout", "high")).await;
    connector.until_outcome("events", &fresh, "delivered").await;
    assert_eq!(splunk.event_ids().values().sum::<u64>(), 2_500 + delivered + 1);
    assert_eq!(connector.deliveries(&format!("job={}", job.id())).await.len(), 1);
    world.end_with(&[(&connector, &[("events", Account::delivered(2_501))])]).await;
}

#[tokio::test]
async fn datadogs_log_entries_are_sent_again_and_its_metrics_are_not() {
    let world = World::start().await;
    let datadog = datadog().await;
    let org = world.org("Acme").await;
    let connector = org.connect(&datadog).await;
    let ids = org.post_events(&[event("anomaly", "low"), event("lockout", "high")]).await;
    connector.until_account("logs", &Account::delivered(2)).await;
    connector.until_account("metrics", &Account::delivered(2)).await;
    let series = datadog.series();

    let job = connector.job("replay", json!({})).await;
    let done = org.until_job(&job.id(), "done").await;
    assert_eq!(numbers(&done), [("delivered", 2), ("processed", 2), ("total", 2)].into());
    assert!(ids.iter().all(|id| datadog.event_ids()[id] == 2), "{:?}", datadog.event_ids());
    assert_eq!(datadog.series(), series);
    let window = connector.deliveries("stream=metrics").await.remove(0);
    let path = format!("/v1/siem/deliveries/{}/redeliver", window.id());
    let refused = org.post(&path, &json!({})).await.expect_status(409).json();
    assert!(refused["error"]["message"].text().contains("metrics"), "{refused}");
    let accounts = [("logs", Account::delivered(2)), ("metrics", Account::delivered(2))];
    world.end_with(&[(&connector, &accounts)]).await;
}
