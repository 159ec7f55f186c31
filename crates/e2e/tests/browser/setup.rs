//! What of the form and the list only a browser can tell: what is shown beside a choice, and where the focus is.

use serde_json::json;
use toktra_siem_testkit::browser::Page;
use toktra_siem_testkit::server::ServerSetup;

use crate::support::{browser, server};

const EMAIL: &str = "ada@company.example";
const PASSWORD: &str = "correct horse battery staple";
const TOKEN: &str = "11111111-2222-3333-4444-555555555555";

fn with_admin() -> ServerSetup {
    server().env("TOKTRA_SIEM_ADMIN_EMAIL", EMAIL).env("TOKTRA_SIEM_ADMIN_PASSWORD", PASSWORD)
}

async fn log_in(page: &Page, base: &str) {
    page.goto(&format!("{base}/login")).await;
    page.fill("#email", EMAIL).await;
    page.fill("#password", PASSWORD).await;
    page.press("Enter").await;
    page.wait_for_url("/integrations/siem").await;
}

#[tokio::test]
async fn switching_the_platform_shows_what_belongs_to_it_and_loses_nothing() {
    let Some((_browser, page)) = browser().await else { return };
    let setup = with_admin();
    let server = setup.start().await;
    log_in(&page, server.base()).await;
    page.goto(&format!("{}/integrations/siem/new", server.base())).await;
    page.fill("#splunk_hec_url", "https://typed.example").await;
    page.select("#platform", "elasticsearch").await;
    page.click("#auth-password").await;
    page.fill("#elasticsearch_password", "typed").await;
    let shown = "return ['splunk_hec_url', 'elasticsearch_api_key', 'elasticsearch_password'].map(id => document.getElementById(id).offsetParent !== null)";
    assert_eq!(page.eval(shown).await, json!([false, false, true]));
    page.select("#platform", "splunk").await;
    assert_eq!(page.eval(shown).await, json!([true, false, false]));
    assert_eq!(page.value("#splunk_hec_url").await, "https://typed.example");
    assert_eq!(page.value("#elasticsearch_password").await, "typed");
    page.assert_quiet().await;
    server.stop().await;
}

#[tokio::test]
async fn the_list_is_live_and_keeps_the_focus() {
    let Some((_browser, page)) = browser().await else { return };
    let setup = with_admin();
    let server = setup.start().await;
    let body = |name: &str| json!({ "name": name, "platform": "splunk", "config": { "hec_url": "http://127.0.0.1:9", "hec_token": TOKEN } });
    server.client().post("/v1/siem/connectors", &body("First")).await.expect_status(201);
    log_in(&page, server.base()).await;
    page.eval("document.querySelector('.connectors .switch').focus(); return true").await;
    server.client().post("/v1/siem/connectors", &body("A second")).await.expect_status(201);
    page.wait_for_text("#connectors", "A second").await;
    let focused = "return document.activeElement.getAttribute('aria-label')";
    assert_eq!(page.eval(focused).await, json!("First is active"));
    server.stop().await;
}
