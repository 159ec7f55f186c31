//! A job survives the end of the process: it goes on where it stood, and comes to its end.

use toktra_siem_fake::splunk::Endpoint;
use toktra_siem_testkit::prelude::*;

/// Three batches, as Splunk takes them.
const EVENTS: u64 = 5_000;

#[tokio::test]
async fn a_replay_that_is_killed_on_its_way_goes_on_and_ends() {
    let (mut world, splunk) = (World::start().await, splunk().await);
    let connector = world.connect_with(&splunk, json!({ "config": { "max_in_flight": 1 } })).await;
    for _ in 0..5 {
        world.post_some(1_000).await;
    }
    world.all_arrived().await;

    // The second request of the replay is on its way when the server is killed.
    let gate = Gate::new();
    splunk.script(Endpoint::Event, [Behaviour::strict(), Behaviour::strict().gated(&gate)]);
    let asked = connector.job("replay", json!({})).await;
    assert_eq!(asked["total"], EVENTS);
    gate.arrived(1).await;
    let path = format!("/v1/siem/jobs/{}", asked.id());
    let counted = |job: &Value| (job["processed"] != 0).then(|| job.clone());
    let halfway = world.until("the first request is counted", &path, counted).await;
    assert_eq!(halfway["state"], "running");
    world.kill().await;
    gate.open();

    world.again().await;
    let done = world.until_job(&asked.id(), "done").await;
    assert_eq!(
        (&done["delivered"], &done["processed"], &done["total"]),
        (&json!(EVENTS), &json!(EVENTS), &json!(EVENTS))
    );
    let times = splunk.event_ids();
    assert_eq!(times.len() as u64, EVENTS);
    assert!(
        times.values().all(|times| *times == 2 || *times == 3),
        "at least once more each, and only what was on its way twice"
    );
    assert!(splunk.violations().is_empty(), "{:?}", splunk.violations());
    world.end().await;
}
