//! A kill in the middle of a test delivery: the next start says that it was interrupted, and goes on.

use toktra_siem_fake::splunk::Endpoint;
use toktra_siem_testkit::prelude::*;

#[tokio::test]
async fn a_test_that_a_kill_interrupts_is_settled_at_the_next_start() {
    let (mut world, splunk) = (World::start().await, splunk().await);
    let connector = world.connect(&splunk).await;
    let gate = Gate::new();
    splunk.script(Endpoint::Event, [Behaviour::strict().answer_held(&gate)]);
    let (client, test) = (world.client.clone(), connector.path("/test"));
    let asking = tokio::spawn(async move { client.post(&test, &json!({})).await });
    gate.arrived(1).await;
    world.kill().await;
    asking.abort();
    gate.open();

    world.again().await;
    let [interrupted] = connector.history().await.try_into().unwrap();
    assert_eq!((&interrupted["trigger"], &interrupted["status"]), (&json!("test"), &json!("failed")), "{interrupted}");
    assert_eq!((&interrupted["cause"]["code"], &interrupted["attempts"]), (&json!("interrupted"), &json!([])));
    let shown = world.read(&format!("/v1/events/{}", interrupted["events"][0]["event_id"].text())).await;
    assert_eq!((&shown["test"], &shown["outcomes"][0]["outcome"]), (&json!(true), &json!("failed")), "{shown}");

    world.post_some(2).await;
    connector.accounted(&[("delivered", 2)]).await;
    let again = connector.test(json!({})).await;
    assert_eq!(again["delivered"], true, "{again}");
    world.end().await;
}
