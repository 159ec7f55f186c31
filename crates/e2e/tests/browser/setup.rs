//! What of the form and the list only a browser can tell: what is shown beside a choice, and where the focus is.

use toktra_siem_testkit::prelude::*;

use crate::live::unreachable;

#[tokio::test]
async fn switching_the_platform_shows_what_belongs_to_it_and_loses_nothing() {
    let Some((world, page)) = World::office().await else { return };
    world.log_in(&page).await;
    world.open(&page, "/integrations/siem/new").await;
    page.fill("#splunk_hec_url", "https://typed.example").await;
    page.click("#platform-elasticsearch").await;
    page.click("#auth-password").await;
    page.fill("#elasticsearch_password", "typed").await;
    let shown = "return ['splunk_hec_url', 'elasticsearch_api_key', 'elasticsearch_password'].map(id => document.getElementById(id).offsetParent !== null)";
    assert_eq!(page.eval(shown).await, json!([false, false, true]));
    page.click("#platform-splunk").await;
    assert_eq!(page.eval(shown).await, json!([true, false, false]));
    assert_eq!(page.value("#splunk_hec_url").await, "https://typed.example");
    assert_eq!(page.value("#elasticsearch_password").await, "typed");
    page.assert_quiet().await;
    world.end().await;
}

#[tokio::test]
async fn the_list_is_live_and_keeps_the_focus() {
    let Some((world, page)) = World::office().await else { return };
    world.make("/v1/siem/connectors", &unreachable("First")).await;
    world.log_in(&page).await;
    page.eval("document.querySelector('.connectors .switch').focus(); return true").await;
    world.make("/v1/siem/connectors", &unreachable("A second")).await;
    page.wait_for_text("#connectors", "A second").await;
    let focused = "return document.activeElement.getAttribute('aria-label')";
    assert_eq!(page.eval(focused).await, json!("First is active"));
    world.end().await;
}
