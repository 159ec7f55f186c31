//! A kill in the middle of a test delivery: the next start says that it was interrupted, and goes on.

use serde_json::json;
use toktra_siem_fake::splunk::{Endpoint, Splunk, SplunkOptions};
use toktra_siem_fake::{Behaviour, Gate};

use crate::support::{TOKEN, accounted, all_add_up, connect, deliveries, path, post_some, setup};

#[tokio::test]
async fn a_test_that_a_kill_interrupts_is_settled_at_the_next_start() {
    let setup = setup();
    let splunk = Splunk::start(SplunkOptions::new(TOKEN)).await.unwrap();
    let server = setup.start().await;
    let config = json!({ "hec_url": splunk.base_url(), "hec_token": TOKEN });
    let id = connect(server.client(), "splunk", "Splunk", &config).await;
    let gate = Gate::new();
    splunk.script(Endpoint::Event, [Behaviour::strict().answer_held(&gate)]);
    let (client, test) = (server.client().clone(), format!("{}/test", path(&id)));
    let asking = tokio::spawn(async move { client.post(&test, &json!({})).await });
    gate.arrived(1).await;
    server.kill().await;
    asking.abort();
    gate.open();

    let server = setup.start().await;
    let client = server.client();
    let [interrupted] = deliveries(client, &id).await.try_into().unwrap();
    assert_eq!((&interrupted["trigger"], &interrupted["status"]), (&json!("test"), &json!("failed")), "{interrupted}");
    assert_eq!((&interrupted["cause"]["code"], &interrupted["attempts"]), (&json!("interrupted"), &json!([])));
    let event = interrupted["events"][0]["event_id"].as_str().unwrap();
    let shown = client.get(&format!("/v1/events/{event}")).await.expect_status(200).json();
    assert_eq!((&shown["test"], &shown["outcomes"][0]["outcome"]), (&json!(true), &json!("failed")), "{shown}");

    post_some(client, 2).await;
    accounted(client, &id, &[("delivered", 2)]).await;
    let again = client.post(&format!("{}/test", path(&id)), &json!({})).await.expect_status(200).json();
    assert_eq!(again["delivered"], true, "{again}");
    all_add_up(client).await;
    server.stop().await;
}
