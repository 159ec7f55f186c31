//! A connector from nothing to the first event that arrives, for each platform against its fake; and how one is changed afterwards.

use toktra_siem_fake::splunk::Endpoint as SplunkEndpoint;
use toktra_siem_fake::{Receiver, Rules};
use toktra_siem_testkit::prelude::*;

use crate::company::leak;
use crate::looks::{looks_right_everywhere, picture};

/// The button that tries what stands in the form.
pub(crate) const TRY: &str = "button[formaction$=\"/test\"]";
const SAVE: &str = ".finish .primary";

/// Pastes over what stands in a field, from the clipboard and by the keyboard.
async fn paste(page: &Page, css: &str, text: &str) {
    // Another field lends the text its way to the clipboard.
    page.fill("#name", text).await;
    page.press("Control+a Control+x").await;
    page.fill(css, "").await;
    page.click(css).await;
    page.press("Control+v").await;
}

/// The id of the event that the test run on the page was about.
async fn tested_event(page: &Page) -> String {
    page.attr("#test-run .id [data-copy]", "data-copy").await.unwrap()
}

/// Goes on from a form that is filled in: tests, switches on, saves, posts an event, sees it arrive at the fake and in the list. The
/// connector's name.
async fn tested_saved_and_delivering<R: Rules>(world: &World, page: &Page, fake: &Receiver<R>, name: &str) {
    page.fill("#name", name).await;
    // What an earlier test left there must not be taken for this one's.
    let earlier = page.eval("return document.querySelector('#test-run .id [data-copy]')?.dataset.copy ?? ''").await;
    page.click(TRY).await;
    poll::until("the test has been made", async || {
        let new = json!(tested_event(page).await) != earlier;
        (new && page.text("#test-run .outcome").await.contains("Delivered to")).then_some(())
    })
    .await;
    let event = tested_event(page).await;
    assert!(fake.event_ids().contains_key(&event), "{:?}", fake.event_ids());
    assert!(page.text("#test-run .snippet").await.contains(&event), "a search that finds it");

    assert!(
        !page.exists("input[name=active]:checked").await,
        "it is switched on by hand (product spec, \"Save and activate\")"
    );
    page.click("input[name=active]").await;
    page.click(SAVE).await;
    page.wait_for_text("h1", name).await;
    page.wait_for_text("#notices", &format!("“{name}” was added, and is active.")).await;
    assert!(page.text(".once .snippet pre").await.len() >= 32, "its signing secret, as a card");
    page.click("a.back").await;
    page.wait_for_text("#connectors th", name).await;
    let before = page.text("#connectors tbody").await;
    page.eval("window.still = true;").await;
    let event = world.post_events(&[leak()]).await.remove(0);
    poll::until("the event has arrived", async || fake.event_ids().contains_key(&event).then_some(())).await;
    let moved = async || (page.text("#connectors tbody").await != before).then_some(());
    poll::until(&format!("the list says something else than {before:?}"), moved).await;
    page.wait_for_text("#steps-title", "Your first event was delivered").await;
    assert!(page.attr(".checklist a[href^='/events/']", "href").await.is_some(), "where it is told of");
    assert_eq!(page.eval("return window.still;").await, json!(true), "without a reload");
    assert_eq!(fake.violations(), []);
    page.assert_quiet().await;
}

#[tokio::test]
async fn splunk_from_nothing_to_the_first_event() {
    let Some((world, page)) = World::office().await else { return };
    let splunk = splunk().await;
    for severity in ["low", "high", "high"] {
        world.post_events(&[json!({ "event_type": "anomaly", "severity": severity })]).await;
    }
    world.log_in(&page).await;
    page.wait_for_text("h2", "No connector yet").await;
    looks_right_everywhere(&page, "connectors-none").await;
    page.click("a[href$='?platform=splunk']").await;
    page.wait_for_text("h1", "Add").await;
    paste(&page, "#splunk_hec_url", &format!("{}/services/collector/event", splunk.base_url())).await;
    page.wait_for_text("#splunk_hec_url-said", "Understood").await;
    assert_eq!(page.value("#splunk_hec_url").await.trim_end_matches('/'), splunk.base_url().trim_end_matches('/'));
    page.fill("#splunk_hec_token", CREDENTIAL).await;
    page.click("#forward-only").await;
    for severity in ["high", "critical"] {
        page.click(&format!("input[name=severity][value={severity}]")).await;
    }
    page.wait_for_text("#filter-preview", "Would have forwarded 2 of the last 7 days' 3 events").await;

    // The stages are told as they come: the connection stands, and Splunk takes its time.
    let gate = Gate::new();
    splunk.script(SplunkEndpoint::Event, [Behaviour::strict().answer_held(&gate)]);
    page.fill("#name", "Prod Splunk").await;
    page.click(TRY).await;
    gate.arrived(1).await;
    page.wait_for_text("#test-run .stages", "Connection").await;
    assert!(!page.text("#test-run").await.contains("Delivered to"));
    gate.open();
    page.wait_for_text("#test-run", "Delivered to").await;
    looks_right_everywhere(&page, "connector-tested").await;
    picture(&page, "connector-tested", (1280, 800), Theme::Light).await;
    page.size(1280, 800).await;
    tested_saved_and_delivering(&world, &page, &splunk, "Prod Splunk").await;
    world.end().await;
}

#[tokio::test]
async fn datadog_from_nothing_to_the_first_event() {
    let Some((world, page)) = World::at_work().await else { return };
    let datadog = datadog().await;
    page.click("a[href$='?platform=datadog']").await;
    page.wait_for("#datadog_site").await;
    page.select("#datadog_site", "other").await;
    page.fill("#datadog_url", &datadog.base_url()).await;
    page.fill("#datadog_api_key", CREDENTIAL).await;
    tested_saved_and_delivering(&world, &page, &datadog, "Datadog Europe").await;
    assert!(!datadog.points().is_empty(), "the metrics of the test");
    world.end().await;
}

#[tokio::test]
async fn elasticsearch_from_nothing_to_the_first_event() {
    let Some((world, page)) = World::at_work().await else { return };
    let elasticsearch = elasticsearch().await;
    page.click("a[href$='?platform=elasticsearch']").await;
    page.wait_for("#elasticsearch_where").await;
    // An example as the vendor's page has it: address and key in one.
    let example = format!("curl -k -H \"Authorization: ApiKey {CREDENTIAL}\" {}/_bulk", elasticsearch.base_url());
    paste(&page, "#elasticsearch_where", &example).await;
    page.wait_for_text("#elasticsearch_where-said", "Understood").await;
    page.wait_for_text("#elasticsearch_where-said", "Not understood: --insecure").await;
    assert_eq!(
        page.value("#elasticsearch_where").await.trim_end_matches('/'),
        elasticsearch.base_url().trim_end_matches('/')
    );
    assert_eq!(page.value("#elasticsearch_api_key").await, CREDENTIAL);
    tested_saved_and_delivering(&world, &page, &elasticsearch, "Security lake").await;
    assert!(elasticsearch.templates().len() == 1, "the index template was put in place");
    world.end().await;
}

#[tokio::test]
async fn what_cannot_be_saved_is_marked_and_nothing_that_was_typed_is_lost() {
    let Some((world, page)) = World::at_work().await else { return };
    let splunk = splunk().await;
    world.open(&page, "/integrations/siem/new?platform=splunk").await;
    page.fill("#name", "Prod Splunk").await;
    page.fill("#splunk_hec_url", "ftp://splunk.company.example").await;
    page.fill("#splunk_hec_token", CREDENTIAL).await;
    page.click("#forward-only").await;
    page.click("input[name=severity][value=critical]").await;
    page.click(SAVE).await;
    page.wait_for_text("#splunk_hec_url-fault", "http").await;
    page.wait_for("#form-summary .notice").await;
    assert_eq!(page.attr("#splunk_hec_url", "aria-invalid").await.as_deref(), Some("true"));
    assert_eq!(page.value("#name").await, "Prod Splunk");
    assert_eq!(page.value("#splunk_hec_url").await, "ftp://splunk.company.example");
    assert_eq!(page.value("#splunk_hec_token").await, CREDENTIAL);
    assert!(page.exists("input[name=severity][value=critical]:checked").await);
    page.assert_quiet_except(&["422"]).await;
    looks_right_everywhere(&page, "connector-new-fault").await;
    page.size(1280, 800).await;
    page.fill("#splunk_hec_url", &splunk.base_url()).await;
    page.click(SAVE).await;
    page.wait_for_text("#notices", "“Prod Splunk” was added").await;
    world.end().await;
}

#[tokio::test]
async fn a_secret_is_kept_by_a_change_and_asked_for_where_it_would_go_elsewhere() {
    let Some((world, page)) = World::office().await else { return };
    let (before, after) = (splunk().await, splunk().await);
    let connector = world.connect_with(&before, json!({ "name": "Prod Splunk" })).await;
    let edit = format!("/integrations/siem/{connector}/edit");
    world.log_in(&page).await;
    world.open(&page, &edit).await;
    assert_eq!(page.value("#splunk_hec_token").await, "", "a secret is never sent back");
    assert_eq!(page.attr("#splunk_hec_token", "placeholder").await.as_deref(), Some("Unchanged"));
    page.fill("#name", "Splunk in Dublin").await;
    page.click(SAVE).await;
    page.wait_for_text("h1", "Splunk in Dublin").await;
    let event = world.post_events(&[leak()]).await.remove(0);
    connector.until_outcome("events", &event, "delivered").await;

    world.open(&page, &edit).await;
    page.fill("#name", "Splunk in Cork").await;
    page.fill("#splunk_hec_url", &after.base_url()).await;
    page.click(SAVE).await;
    page.wait_for("#splunk_hec_token-fault:not(:empty)").await;
    assert_eq!(page.value("#splunk_hec_url").await, after.base_url());
    assert_eq!(page.value("#name").await, "Splunk in Cork");
    assert_eq!(after.requests().len(), 0, "nothing was sent there");
    page.assert_quiet_except(&["422"]).await;
    page.fill("#splunk_hec_token", CREDENTIAL).await;
    page.click(TRY).await;
    page.wait_for_text("#test-run", "Delivered to").await;
    page.click(SAVE).await;
    page.wait_for_text("h1", "Splunk in Cork").await;
    let event = world.post_events(&[leak()]).await.remove(0);
    connector.until_outcome("events", &event, "delivered").await;
    assert!(after.event_ids().contains_key(&event) && !before.event_ids().contains_key(&event));
    world.end().await;
}

#[tokio::test]
async fn a_connector_is_switched_off_and_on_and_what_waited_is_delivered() {
    let Some((world, page)) = World::office().await else { return };
    let splunk = splunk().await;
    let connector = world.connect_with(&splunk, json!({ "name": "Prod Splunk" })).await;
    world.log_in(&page).await;
    world.open(&page, &format!("/integrations/siem/{connector}")).await;
    page.click("#health form[action$='/active'] button").await;
    page.wait_for_text("#health .badge", "Paused").await;
    let event = world.post_events(&[leak()]).await.remove(0);
    page.wait_for("#health a[href$='/resume']").await;
    page.click("#health a[href$='/resume']").await;
    page.wait_for_text("h1", "Resume Prod Splunk").await;
    page.click("button[value=backlog]").await;
    connector.until_outcome("events", &event, "delivered").await;
    page.wait_for_text("#health .badge", "Healthy").await;

    world.open(&page, &format!("/integrations/siem/{connector}/delete")).await;
    page.click("main form button.danger").await;
    page.wait_for_text("#notices", "Prod Splunk").await;
    page.wait_for_text("h2", "No connector yet").await;
    page.assert_quiet().await;
    world.end().await;
}
