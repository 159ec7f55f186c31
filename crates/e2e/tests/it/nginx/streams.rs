//! What is told while it happens comes through nginx while it happens.

use toktra_siem_fake::splunk::Endpoint;
use toktra_siem_testkit::prelude::*;

use super::bench::{Flow, Front, VERSIONS};

#[tokio::test]
async fn a_live_view_comes_at_once_and_so_does_each_change() {
    let Some(front) = Front::up().await else { return };
    live_views_come(front).await;
}

#[tokio::test]
async fn a_live_view_comes_also_where_nginx_was_set_up_to_hold_answers_back() {
    let Some(front) = Front::up_with(true).await else { return };
    live_views_come(front).await;
}

async fn live_views_come(front: Front) {
    for version in VERSIONS {
        let ada = front.curl(version);
        ada.log_in().await;
        for more in [&[][..], &["--compressed"]] {
            let mut live = ada.follow("/live?view=/integrations/siem/live", more).await;
            live.until("\"view\":\"/integrations/siem/live\"").await;
            for n in 1..=2 {
                let name = format!("{version:?} {more:?} {n}").replace(['"', '[', ']', '-'], "");
                front.world.make("/v1/siem/connectors", &splunk_body(&name)).await;
                live.until(&name).await;
                assert!(live.is_open(), "there is more to come");
            }
        }
    }
    front.end().await;
}

/// Splunk does not answer before the gate opens, and it opens only once everything before has come.
async fn told_one_by_one(mut told: Flow, gate: &Gate, before: &str, after: &str) {
    told.until(before).await;
    gate.arrived(1).await;
    assert!(told.is_open());
    gate.open();
    told.until(after).await;
    told.ends().await;
}

#[tokio::test]
async fn the_stages_of_a_test_come_one_by_one() {
    let Some(front) = Front::up().await else { return };
    stages_come(front).await;
}

#[tokio::test]
async fn the_stages_of_a_test_come_also_where_nginx_was_set_up_to_hold_answers_back() {
    let Some(front) = Front::up_with(true).await else { return };
    stages_come(front).await;
}

async fn stages_come(front: Front) {
    let splunk = splunk().await;
    let connector = front.world.connect(&splunk).await;
    let closed = || {
        let gate = Gate::new();
        splunk.script(Endpoint::Event, [Behaviour::strict().answer_held(&gate)]);
        gate
    };
    let url = splunk.base_url();
    let form = [("platform", "splunk"), ("name", ""), ("splunk_hec_url", &*url), ("splunk_hec_token", CREDENTIAL)];
    for version in VERSIONS {
        let (client, ada) = (front.curl(version).with_key(), front.curl(version));
        ada.log_in().await;
        // The server leaves both as they are, so that nginx compresses them where it may.
        for more in [&[][..], &["--compressed"]] {
            let lines = ["--header", "content-type: application/json", "--header", "accept: application/x-ndjson"];
            let gate = closed();
            let options = [&lines[..], &["--data-raw", "{}"], more].concat();
            let told = client.follow(&connector.path("/test"), &options).await;
            told_one_by_one(told, &gate, "\"stage\":\"tcp\"", "\"delivered\":true").await;
            let gate = closed();
            let told = ada.follow_form("/integrations/siem/test", &form, more).await;
            told_one_by_one(told, &gate, "badge good\"", "Delivered to").await;
        }
    }
    front.end().await;
}
