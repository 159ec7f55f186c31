//! Found, as a person sees it: the search goes on where the stages tick off, and a link leads into the SIEM from everywhere.

use toktra_siem_testkit::prelude::*;

const SEARCH: &str = "a-credential-that-reads-9876";

#[tokio::test]
async fn a_test_shows_its_search_and_links_lead_into_the_siem() {
    let Some((world, page)) = World::office().await else { return };
    let splunk = splunk_with(|options| options.search_token = Some(SEARCH.to_owned())).await;
    let search = json!({ "url": splunk.base_url(), "token": SEARCH });
    let more = json!({ "config": { "search": search, "web_url": "https://splunk.example:8000" } });
    let connector = world.connect_with(&splunk, more).await;
    world.log_in(&page).await;
    world.open(&page, &format!("/integrations/siem/{}", connector.id)).await;
    page.wait_for_text("h1", "splunk").await;

    // So many questions take a while: it is told that it searches, and for how long.
    splunk.hide_from(3);
    page.click("form[action$='/test'] button").await;
    page.wait_for_text("#test-run .stages", "Searching … ").await;
    page.wait_for_text("#test-run .outcome", "searchable after ").await;
    let link = "a[target=_blank][rel~=noopener]";
    let open = page.attr(&format!("#test-run {link}"), "href").await.unwrap();
    let event = page.attr("#test-run .id [data-copy]", "data-copy").await.unwrap();
    assert!(
        open.starts_with("https://splunk.example:8000/en-US/app/search/search?q=") && open.contains(&event),
        "{open}"
    );

    world.open(&page, &format!("/events/{event}")).await;
    page.wait_for_text(".fate", "Open in Splunk").await;
    world.open(&page, "/deliveries").await;
    page.click("tbody .row-link").await;
    page.wait_for_text("dialog.sheet", "Open in Splunk").await;

    page.assert_quiet().await;
    world.end().await;
}
