//! The history as a whole: pages of it, its filters in an address that a colleague opens, what is saved of it, and what is sent again.

use toktra_siem_fake::splunk::Endpoint;
use toktra_siem_testkit::prelude::*;

use crate::company::{Company, leak};

#[tokio::test]
async fn a_delivery_is_sent_again_and_arrives_a_second_time() {
    let Some((company, page)) = Company::at_work().await else { return };
    let event = &company.events[0];
    // The replay has brought it a second time already.
    assert_eq!(company.siems.splunk.event_ids()[event], 2);
    company.open(&page, &format!("/deliveries?event_id={event}")).await;
    page.wait_for_text("tbody", "Rejected").await;
    page.click(&format!("tbody a[href='/deliveries/{}']", company.delivered)).await;
    page.wait_for("dialog.sheet[open]").await;
    page.click("dialog form[action$='/redeliver'] button").await;
    page.wait_for_text("h1", "Redelivery").await;
    page.wait_for_text("#job .badge", "Done").await;
    assert_eq!(company.siems.splunk.event_ids()[event], 3);

    // What was rejected arrives where the SIEM was put right.
    company.open(&page, &format!("/integrations/siem/{}/redeliver-failed", company.lake)).await;
    page.wait_for_text(".verdict", "1 event").await;
    page.click(".preview form button").await;
    page.wait_for_text("#job .badge", "Done").await;
    assert_eq!(company.siems.elasticsearch.event_ids().get(event), Some(&1));
    company.open(&page, &format!("/events/{event}")).await;
    page.wait_for_text(".fate", "Delivered").await;
    assert_eq!(company.siems.datadog.event_ids().get(event), None, "which only wants what is loud");
    page.wait_for_text(".fates", "Filtered").await;
    // What was sent is loaded where somebody opens it.
    page.click(".fate details > summary").await;
    page.wait_for_text(".fate details[open] pre", "webhook-id: ").await;
    page.assert_quiet().await;
    company.end().await;
}

#[tokio::test]
async fn a_long_history_has_pages_that_one_can_go_back_through() {
    let Some((world, page)) = World::office().await else { return };
    let splunk = splunk().await;
    let prod = world.connect_with(&splunk, json!({ "name": "Prod Splunk" })).await;
    // Each a delivery of its own, more than one page takes.
    for _ in 0..60 {
        let event = world.post_events(&[leak()]).await.remove(0);
        prod.until_outcome("events", &event, "delivered").await;
    }
    world.log_in(&page).await;
    world.open(&page, "/deliveries?trigger=live").await;
    let newest = page.attr("tbody .row-link", "href").await;
    page.click("a[rel=next]").await;
    page.wait_for_url("cursor=").await;
    page.wait_for("tbody tr").await;
    assert!(page.url().await.contains("trigger=live"), "the filter stays");
    assert_ne!(page.attr("tbody .row-link", "href").await, newest);
    page.back().await;
    page.wait_for("a[rel=next]").await;
    assert_eq!(page.attr("tbody .row-link", "href").await, newest);
    // A range in the address alone, and what does not match it.
    world.open(&page, "/deliveries?from=2020-01-01T00:00&to=2020-01-02T00:00").await;
    page.wait_for_text("h2", "No delivery matches").await;
    page.assert_quiet().await;
    world.end().await;
}

#[tokio::test]
async fn what_matches_is_saved_as_a_file() {
    let Some((company, page)) = Company::at_work().await else { return };
    company.open(&page, "/deliveries?status=rejected").await;
    let link = page.attr(".save a", "href").await.unwrap();
    assert!(page.text(".save").await.contains("what matches"));
    let script = format!(
        "return fetch({}).then(async answer => [answer.status, answer.headers.get('content-type'), answer.headers.get('content-disposition'), await answer.text()]);",
        json!(link)
    );
    let saved = page.eval(&script).await;
    let text = |place: usize| saved[place].as_str().unwrap_or_default().to_owned();
    assert_eq!(saved[0], 200);
    assert!(text(1).starts_with("text/csv") && text(2).starts_with("attachment"), "{saved}");
    let lines: Vec<String> = text(3).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "the heads of the columns, and one rejected delivery: {lines:?}");
    assert!(lines[1].contains(&company.rejected), "{lines:?}");
    company.end().await;
}

#[tokio::test]
async fn the_list_says_by_itself_what_happens() {
    let Some((world, page)) = World::office().await else { return };
    let splunk = splunk().await;
    let prod = world.connect_with(&splunk, json!({ "name": "Prod Splunk" })).await;
    world.log_in(&page).await;
    page.wait_for_text("#connectors", "Prod Splunk").await;
    page.eval("window.still = true;").await;
    splunk.set_token_enabled(false);
    let event = world.post_events(&[leak()]).await.remove(0);
    prod.until_outcome("events", &event, "failed").await;
    page.wait_for_text("#connectors .badge", "Action needed").await;
    page.wait_for_text("#connectors", "Token disabled").await;
    splunk.set_token_enabled(true);
    // It tries again by itself; a test delivery is quicker.
    let test = world.post(&format!("/v1/siem/connectors/{prod}/test"), &json!({})).await;
    assert_eq!(test.expect_status(200).json()["delivered"], true);
    prod.until_outcome("events", &event, "delivered").await;
    page.wait_gone("#connectors .badge.failed").await;
    assert_eq!(page.eval("return window.still;").await, json!(true), "nothing was loaded again");
    // One connection, which ends with the page.
    world.open(&page, &format!("/deliveries?event_id={event}")).await;
    page.wait_for_text("tbody", "Delivered").await;
    poll::until("the event is in Splunk", async || splunk.event_ids().contains_key(&event).then_some(())).await;
    page.assert_quiet().await;
    world.end().await;
}

#[tokio::test]
async fn a_job_shows_how_far_it_is_while_one_looks() {
    let Some((world, page)) = World::office().await else { return };
    let splunk = splunk().await;
    let prod = world.connect_with(&splunk, json!({ "name": "Prod Splunk" })).await;
    let events: Vec<Value> = (0..20).map(|_| leak()).collect();
    for event in world.post_events(&events).await {
        prod.until_outcome("events", &event, "delivered").await;
    }
    world.log_in(&page).await;
    let gate = Gate::new();
    splunk.always(Endpoint::Event, Behaviour::strict().answer_held(&gate));
    world.open(&page, &format!("/integrations/siem/{prod}/replay?from=")).await;
    page.wait_for_text(".verdict", "20 events").await;
    page.click(".preview form button").await;
    page.wait_for_text("h1", "Replay").await;
    page.wait_for("#job-live").await;
    assert_eq!(page.attr("progress", "value").await.as_deref(), Some("0"));
    page.eval("window.still = true;").await;
    gate.open();
    page.wait_for_text("#job .badge", "Done").await;
    assert_eq!(page.attr("progress", "value").await.as_deref(), Some("20"));
    assert_eq!(page.eval("return window.still;").await, json!(true));
    page.assert_quiet().await;
    world.end().await;
}
