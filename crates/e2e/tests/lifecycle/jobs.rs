//! A job survives the end of the process: it goes on where it stood, and comes to its end.

use serde_json::json;
use toktra_siem_fake::splunk::{Endpoint, Splunk, SplunkOptions};
use toktra_siem_fake::{Behaviour, Gate};

use crate::support::{TOKEN, all_add_up, all_arrived, connect, path, post_some, read, setup, until};

/// Three batches, as Splunk takes them.
const EVENTS: u64 = 5_000;

#[tokio::test]
async fn a_replay_that_is_killed_on_its_way_goes_on_and_ends() {
    let splunk = Splunk::start(SplunkOptions::new(TOKEN)).await.unwrap();
    let setup = setup();
    let server = setup.start().await;
    let config = json!({ "hec_url": splunk.base_url(), "hec_token": TOKEN, "max_in_flight": 1 });
    let connector = connect(server.client(), "splunk", "Splunk", &config).await;
    for _ in 0..5 {
        post_some(server.client(), 1_000).await;
    }
    all_arrived(server.client()).await;

    // The second request of the replay is on its way when the server is killed.
    let gate = Gate::new();
    splunk.script(Endpoint::Event, [Behaviour::strict(), Behaviour::strict().gated(&gate)]);
    let asked =
        server.client().post(&format!("{}/replay", path(&connector)), &json!({})).await.expect_status(202).json();
    assert_eq!(asked["total"], EVENTS);
    gate.arrived(1).await;
    let job = format!("/v1/siem/jobs/{}", asked["id"].as_str().unwrap());
    let halfway = until("the first request is counted", async || {
        let job = read(server.client(), &job).await;
        (job["processed"] != 0).then_some(job)
    })
    .await;
    assert_eq!(halfway["state"], "running");
    server.kill().await;
    gate.open();

    let server = setup.start().await;
    let done = until("the job is done", async || {
        let job = read(server.client(), &job).await;
        (job["state"] == "done").then_some(job)
    })
    .await;
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
    all_add_up(server.client()).await;
    assert_eq!(server.stop().await.code(), Some(0));
}
