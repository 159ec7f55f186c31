//! Delivery history, a delivery, and jobs, in a browser, against a server that really delivered.

use toktra_siem_fake::splunk::{Endpoint, Splunk, reply};
use toktra_siem_testkit::prelude::*;

use crate::looks::looks_right_everywhere;

const SCRIPT: &str = "<script>document.title=1</script><img src=x onerror=document.title=1>";

/// A server with a connector whose history has a bit of everything: taken, refused, and taken at the third attempt. And an admin's page.
async fn stage() -> Option<(World, Page, Connector, Splunk)> {
    let (world, page) = World::office().await?;
    let splunk = splunk().await;
    let connector = world.connect_with(&splunk, json!({ "name": "Prod Splunk" })).await;
    let hostile = || Behaviour::reply(Reply::json(400, &json!({ "text": SCRIPT, "code": 6 })));
    let busy = || Behaviour::reply(reply(9));
    for (event_type, severity, behaviours, outcome) in [
        ("lockout", "critical", vec![], "delivered"),
        ("anomaly", "low", vec![hostile(), hostile(), hostile()], "rejected"),
        ("policy_violation", "high", vec![busy(), busy()], "delivered"),
    ] {
        splunk.script(Endpoint::Event, behaviours);
        let event = world.post_event(event(event_type, severity)).await;
        connector.until_outcome("events", &event, outcome).await;
    }
    Some((world, page, connector, splunk))
}

/// Opens a page as an admin.
async fn open(world: &World, page: &Page, path: &str) {
    page.reduced_motion().await;
    world.log_in(page).await;
    world.open(page, path).await;
}

/// A page below the connector's.
fn below(connector: &Connector, page: &str) -> String {
    format!("/integrations/siem/{connector}/{page}")
}

#[tokio::test]
async fn the_history_looks_right_everywhere() {
    let Some((world, page, connector, _splunk)) = stage().await else { return };
    open(&world, &page, &below(&connector, "deliveries")).await;
    page.wait_for_text("table", "Failed").await;
    looks_right_everywhere(&page, "history").await;
    world.open(&page, "/deliveries?status=pending").await;
    looks_right_everywhere(&page, "history-none").await;
    world.open(&page, "/deliveries?status=failed").await;
    page.click("tbody tr .row-link").await;
    page.wait_for_text("dialog h3", "Attempts").await;
    looks_right_everywhere(&page, "delivery-sheet").await;
    page.reload().await;
    page.wait_for_text("h1", "Delivery to Prod Splunk").await;
    let answered = json!(SCRIPT).to_string();
    let shown = page.texts("pre").await;
    assert!(
        shown.iter().any(|text| text.contains(answered.trim_matches('"'))),
        "what the SIEM answered is text: {shown:?}"
    );
    assert!(page.title().await.starts_with("Delivery to Prod Splunk"), "and no script of it ran");
    page.click("#asked-1 > summary").await;
    page.wait_for_text("#request-1 .hint", "It is byte for byte what was signed").await;
    assert!(page.texts("#request-1 pre").await[1].contains("\"event_id\""), "the body is shown");
    looks_right_everywhere(&page, "delivery").await;
    world.end().await;
}

#[tokio::test]
async fn jobs_look_right_everywhere() {
    let Some((world, page, connector, _splunk)) = stage().await else { return };
    for wish in ["redeliver-failed", "replay", "discard"] {
        open(&world, &page, &below(&connector, wish)).await;
        page.wait_for(".preview button").await;
        looks_right_everywhere(&page, wish).await;
    }
    world.open(&page, &below(&connector, "replay?from=")).await;
    page.click(".preview button").await;
    page.wait_for_text(".badge", "Done").await;
    looks_right_everywhere(&page, "job").await;
    world.open(&page, &below(&connector, "jobs")).await;
    looks_right_everywhere(&page, "jobs").await;
    world.end().await;
}

#[tokio::test]
async fn a_filter_applies_as_one_chooses_and_back_takes_it_back() {
    let Some((world, page, _connector, _splunk)) = stage().await else { return };
    open(&world, &page, "/deliveries").await;
    page.wait_for_text("tbody", "Delivered").await;
    page.select("#status", "failed").await;
    page.wait_for_url("?status=failed").await;
    page.wait_gone("tbody .badge.good").await;
    assert_eq!(page.texts("tbody tr").await.len(), 1);
    page.click("h1").await;
    page.press("/").await;
    assert!(page.active_element().await.starts_with("input#event_id"), "{}", page.active_element().await);
    page.fill("#event_id", "nonsense").await;
    page.press("Enter").await;
    page.wait_for_text("#event_id-fault", "not a UUID").await;
    assert_eq!(page.value("#event_id").await, "nonsense", "what was typed is still there");
    page.back().await;
    page.wait_for_text("tbody", "Failed").await;
    page.back().await;
    page.wait_for_text("tbody", "Delivered").await;
    page.assert_quiet_except(&["422"]).await;
    world.end().await;
}

#[tokio::test]
async fn a_delivery_opens_over_the_history_and_closes_again() {
    let Some((world, page, _connector, _splunk)) = stage().await else { return };
    open(&world, &page, "/deliveries?status=failed").await;
    page.wait_for("tbody tr").await;
    page.eval("window.still = true;").await;
    for close in ["Escape", "button", "back"] {
        page.click("tbody tr .row-link").await;
        page.wait_for_text("dialog h2", "Delivery to Prod Splunk").await;
        page.wait_for_url("/deliveries/").await;
        match close {
            "back" => page.back().await,
            "button" => page.click("dialog [data-close]").await,
            key => page.press(key).await,
        }
        page.wait_gone("dialog").await;
        page.wait_for_url("/deliveries?status=failed").await;
        assert_eq!(page.eval("return window.still === true;").await, json!(true), "{close} loads nothing again");
        page.wait_for("tbody tr .row-link:focus").await;
    }
    page.assert_quiet().await;
    world.end().await;
}

#[tokio::test]
async fn what_was_refused_is_delivered_again_after_a_preview() {
    let Some((world, page, connector, _splunk)) = stage().await else { return };
    open(&world, &page, &below(&connector, "redeliver-failed")).await;
    page.wait_for_text(".verdict", "1 event").await;
    page.eval("const to = document.getElementById('to'); to.value = '2025-01-01T00:00'; to.dispatchEvent(new Event('change', { bubbles: true }));").await;
    page.wait_for_text(".preview", "No event that was accepted in this range is parked").await;
    page.click("a[href$='?from=']").await;
    page.click(".preview button").await;
    page.wait_for_text("h1", "Redelivery of what failed").await;
    page.wait_for_text(".badge", "Done").await;
    page.wait_gone("#job form").await;
    page.click("a[href^='/deliveries?job=']").await;
    page.wait_for_text("tbody", "Redelivery").await;
    page.assert_quiet().await;
    world.end().await;
}

#[tokio::test]
async fn all_of_it_works_without_javascript() {
    let Some((world, page, connector, _splunk)) = stage().await else { return };
    page.without_javascript().await;
    open(&world, &page, "/deliveries").await;
    page.select("#status", "failed").await;
    page.click(".filters button").await;
    page.wait_for_url("/deliveries?status=failed").await;
    page.click("tbody tr .row-link").await;
    page.wait_for_text("h1", "Delivery to Prod Splunk").await;
    page.click("form[action$='/redeliver'] button").await;
    page.wait_for_text("h1", "Redelivery").await;
    world.open(&page, &below(&connector, "replay")).await;
    page.click("form.filters button").await;
    page.wait_for_text(".verdict", "3 events").await;
    page.click(".preview button").await;
    page.wait_for_text("h1", "Replay").await;
    world.end().await;
}
