//! One connector's page in a browser: it is live, its charts are told apart by the address, and what it changes, it asks about first.

use serde_json::json;
use toktra_siem_fake::splunk::Splunk;

use crate::support::{browser, looks_right_everywhere};
use crate::world::{Office, splunk, splunk_config, violation};

/// An office with one connector that delivers; where its page is.
async fn delivering(office: &Office, fake: &Splunk) -> (String, String) {
    let id = office.connector("Prod Splunk", "splunk", splunk_config(fake)).await;
    let path = format!("/integrations/siem/{id}");
    (id, path)
}

#[tokio::test]
async fn what_happens_is_seen_without_loading_the_page_again() {
    let Some((_browser, page)) = browser().await else { return };
    let (office, fake) = (Office::start().await, splunk().await);
    let (id, path) = delivering(&office, &fake).await;
    office.log_in(&page).await;
    office.open(&page, &path).await;
    page.wait_for_text("#health", "Ready, nothing delivered yet").await;
    page.wait_for_text("#deliveries", "Nothing was sent yet").await;
    let event = office.post(&[violation()]).await.remove(0);
    office.until_outcome(&id, &event, "delivered").await;
    page.wait_for_text("#deliveries tbody tr", "Delivered").await;
    page.wait_for_text("#health", "Healthy").await;
    page.assert_quiet().await;
    office.close().await;
}

#[tokio::test]
async fn the_charts_of_another_time_have_an_address_and_back_means_back() {
    let Some((_browser, page)) = browser().await else { return };
    let (office, fake) = (Office::start().await, splunk().await);
    let (_, path) = delivering(&office, &fake).await;
    office.log_in(&page).await;
    office.open(&page, &path).await;
    page.wait_for_text("#charts", "Nothing was delivered in this time.").await;
    page.click("#charts a[href$='range=7d']").await;
    page.wait_for_url("range=7d").await;
    page.wait_for_text("#charts [aria-current]", "7 days").await;
    page.reload().await;
    page.wait_for_text("#charts [aria-current]", "7 days").await;
    page.back().await;
    page.wait_for_text("#charts [aria-current]", "24 hours").await;
    page.assert_quiet().await;
    office.close().await;
}

#[tokio::test]
async fn pausing_and_resuming_work_without_javascript() {
    let Some((_browser, page)) = browser().await else { return };
    let (office, fake) = (Office::start().await, splunk().await);
    let (id, path) = delivering(&office, &fake).await;
    page.without_javascript().await;
    office.log_in(&page).await;
    office.open(&page, &path).await;
    page.click("#health form button").await;
    page.wait_for_text("#notices", "“Prod Splunk” is paused").await;
    let event = office.post(&[violation()]).await.remove(0);
    office.open(&page, &path).await;
    page.click("#health a.primary").await;
    page.wait_for_text("h1", "Resume Prod Splunk").await;
    page.click("button[value='backlog']").await;
    page.wait_for_text("#notices", "1 event that had waited is delivered").await;
    office.until_outcome(&id, &event, "delivered").await;
    office.close().await;
}

#[tokio::test]
async fn the_questions_look_right_everywhere() {
    let Some((_browser, page)) = browser().await else { return };
    let (office, fake) = (Office::start().await, splunk().await);
    let (id, path) = delivering(&office, &fake).await;
    office.log_in(&page).await;
    let off = json!({ "active": false });
    office.server.client().patch(&format!("/v1/siem/connectors/{id}"), &off).await.expect_status(200);
    office.post(&[violation(), violation()]).await;
    office.open(&page, &format!("{path}/resume")).await;
    page.wait_for_text("main", "Deliver 2 events").await;
    looks_right_everywhere(&page, "resume-with-a-backlog").await;
    office.open(&page, &format!("{path}/delete")).await;
    page.wait_for_text("main", "Delete Prod Splunk and discard 2 undelivered events").await;
    office.open(&page, &path).await;
    page.click("form[action$='/rotate'] button").await;
    page.wait_for_text("h1", "New signing secret of Prod Splunk").await;
    looks_right_everywhere(&page, "new-signing-secret").await;
    office.close().await;
}
