//! One connector's page in a browser: it is live, its charts are told apart by the address, and what it changes, it asks about first.

use toktra_siem_fake::splunk::Splunk;
use toktra_siem_testkit::prelude::*;

use crate::company::leak;
use crate::looks::looks_right_everywhere;

/// A connector that delivers; where its page is.
async fn delivering(world: &World, fake: &Splunk) -> (Connector, String) {
    let id = world.connect_with(fake, json!({ "name": "Prod Splunk" })).await;
    let path = format!("/integrations/siem/{id}");
    (id, path)
}

#[tokio::test]
async fn what_happens_is_seen_without_loading_the_page_again() {
    let Some((world, page)) = World::office().await else { return };
    let fake = splunk().await;
    let (id, path) = delivering(&world, &fake).await;
    world.log_in(&page).await;
    world.open(&page, &path).await;
    page.wait_for_text("#health", "Ready, nothing delivered yet").await;
    page.wait_for_text("#deliveries", "Nothing was sent yet").await;
    let event = world.post_events(&[leak()]).await.remove(0);
    id.until_outcome("events", &event, "delivered").await;
    page.wait_for_text("#deliveries tbody tr", "Delivered").await;
    page.wait_for_text("#health", "Healthy").await;
    page.assert_quiet().await;
    world.end().await;
}

#[tokio::test]
async fn the_charts_of_another_time_have_an_address_and_back_means_back() {
    let Some((world, page)) = World::office().await else { return };
    let fake = splunk().await;
    let (_, path) = delivering(&world, &fake).await;
    world.log_in(&page).await;
    world.open(&page, &path).await;
    page.wait_for_text("#charts", "Charts appear here once").await;
    page.click("#charts a[href$='range=7d']").await;
    page.wait_for_url("range=7d").await;
    page.wait_for_text("#charts [aria-current]", "7 days").await;
    page.reload().await;
    page.wait_for_text("#charts [aria-current]", "7 days").await;
    page.back().await;
    page.wait_for_text("#charts [aria-current]", "24 hours").await;
    page.assert_quiet().await;
    world.end().await;
}

#[tokio::test]
async fn pausing_and_resuming_work_without_javascript() {
    let Some((world, page)) = World::office().await else { return };
    let fake = splunk().await;
    let (id, path) = delivering(&world, &fake).await;
    page.without_javascript().await;
    world.log_in(&page).await;
    world.open(&page, &path).await;
    page.click("#health form button").await;
    page.wait_for_text("#notices", "“Prod Splunk” is paused").await;
    let event = world.post_events(&[leak()]).await.remove(0);
    world.open(&page, &path).await;
    page.click("#health a.primary").await;
    page.wait_for_text("h1", "Resume Prod Splunk").await;
    page.click("button[value='backlog']").await;
    page.wait_for_text("#notices", "1 event that had waited is delivered").await;
    id.until_outcome("events", &event, "delivered").await;
    world.end().await;
}

#[tokio::test]
async fn the_questions_look_right_everywhere() {
    let Some((world, page)) = World::office().await else { return };
    let fake = splunk().await;
    let (id, path) = delivering(&world, &fake).await;
    world.log_in(&page).await;
    let off = json!({ "active": false });
    world.change(&format!("/v1/siem/connectors/{id}"), &off).await;
    world.post_events(&[leak(), leak()]).await;
    world.open(&page, &format!("{path}/resume")).await;
    page.wait_for_text("main", "Deliver 2 events").await;
    looks_right_everywhere(&page, "resume-with-a-backlog").await;
    world.open(&page, &format!("{path}/delete")).await;
    page.wait_for_text("main", "Delete Prod Splunk and discard 2 undelivered events").await;
    world.open(&page, &format!("{path}/signing")).await;
    page.click("form[action$='/rotate'] button").await;
    page.wait_for_text("#secret-title", "shown only once").await;
    looks_right_everywhere(&page, "new-signing-secret").await;
    world.open(&page, &format!("{path}/signing")).await;
    looks_right_everywhere(&page, "signing-during-a-rotation").await;
    page.click("a[href$='/activate']").await;
    page.wait_for_text("h1", "Activate the new signing secret of Prod Splunk?").await;
    looks_right_everywhere(&page, "activate-signing-secret").await;
    world.end().await;
}
