//! Events, verify, the audit log, addresses that lead nowhere, and the list of shortcuts.

use serde_json::json;
use toktra_siem_core::signing;
use toktra_siem_testkit::browser::Page;
use toktra_siem_testkit::server::{ServerProcess, ServerSetup};

use crate::support::{browser, looks_right_everywhere, server};

const EMAIL: &str = "ada@company.example";
const PASSWORD: &str = "correct horse battery";
const SECRET: &str = "a-signing-secret-of-some-length";
const BODY: &str = r#"{"event_type":"lockout","severity":"high"}"#;

fn setup() -> ServerSetup {
    server().env("TOKTRA_SIEM_ADMIN_EMAIL", EMAIL).env("TOKTRA_SIEM_ADMIN_PASSWORD", PASSWORD)
}

async fn log_in(page: &Page, server: &ServerProcess) {
    page.goto(&format!("{}/login", server.base())).await;
    page.fill("#email", EMAIL).await;
    page.fill("#password", PASSWORD).await;
    page.click("form .primary").await;
    page.wait_for_url("/integrations/siem").await;
}

async fn fill_in(page: &Page, server: &ServerProcess, body: &str) {
    page.goto(&format!("{}/verify", server.base())).await;
    page.fill("#body", body).await;
    page.fill("#header", &signing::signature(&SECRET.into(), BODY.as_bytes())).await;
    page.fill("#secret", SECRET).await;
    page.click("form.fields .primary").await;
}

#[tokio::test]
async fn an_event_is_found_and_tells_what_became_of_it() {
    let Some((_browser, page)) = browser().await else { return };
    let setup = setup();
    let server = setup.start().await;
    log_in(&page, &server).await;
    page.goto(&format!("{}/events", server.base())).await;
    page.wait_for_text("main", "No events yet").await;
    looks_right_everywhere(&page, "events-none").await;

    let event = json!({
        "event_type": "policy_violation", "severity": "critical", "summary": "A customer list went into a chat", "user_email": "jo@company.example",
        "details": { "tokens": 12_000, "rules": ["pii"] }, "tags": { "team": "sales" },
    });
    let posted = server.client().post("/v1/events", &event).await.expect_status(202).json();
    let id = posted["events"][0]["event_id"].as_str().unwrap().to_owned();
    page.reload().await;
    page.wait_for_text("tbody", "A customer list went into a chat").await;
    looks_right_everywhere(&page, "events").await;

    page.press("/").await;
    page.fill("[data-search]", &format!("event_id=\"{id}\"")).await;
    page.click(".search .primary").await;
    page.wait_for_url(&format!("/events/{id}")).await;
    page.wait_for_text("pre", "\"tokens\": 12000").await;
    looks_right_everywhere(&page, "event").await;

    page.goto(&format!("{}/audit", server.base())).await;
    page.wait_for_text(".log", "logged in from 127.0.0.1").await;
    page.click(".log summary").await;
    looks_right_everywhere(&page, "audit").await;
    server.stop().await;
}

#[tokio::test]
async fn a_signature_is_checked_in_place_and_the_secret_stays_in_its_field() {
    let Some((_browser, page)) = browser().await else { return };
    let setup = setup();
    let server = setup.start().await;
    log_in(&page, &server).await;
    fill_in(&page, &server, BODY).await;
    page.wait_for_text("#verdict .badge", "Valid").await;
    assert_eq!(page.value("#secret").await, SECRET, "nothing typed is lost");
    page.fill("#body", &format!("{BODY}\n")).await;
    page.click("form.fields .primary").await;
    page.wait_for_text("#verdict", "white space at its end").await;
    looks_right_everywhere(&page, "verify").await;
    assert!(!page.eval("document.documentElement.outerHTML").await.to_string().contains(SECRET));
    assert!(!server.whole_log().contains(SECRET));
    server.stop().await;
}

#[tokio::test]
async fn a_signature_is_checked_without_javascript() {
    let Some((_browser, page)) = browser().await else { return };
    let setup = setup();
    let server = setup.start().await;
    page.without_javascript().await;
    log_in(&page, &server).await;
    // The browser sends CRLF; what was signed has LF.
    let (body, secret) = ("{\"a\":1}\n{\"b\":2}\n", SECRET);
    fill_in(&page, &server, body).await;
    page.wait_for_text("#verdict", "Not valid").await;
    assert_eq!((page.value("#body").await.as_str(), page.value("#secret").await.as_str()), (body, ""));
    page.fill("#header", &signing::signature(&secret.into(), body.as_bytes())).await;
    page.fill("#secret", secret).await;
    page.click("form.fields .primary").await;
    page.wait_for_text("#verdict", "The documented code accepts it.").await;
    server.stop().await;
}

#[tokio::test]
async fn shortcuts_are_listed_and_lost_people_are_led_back() {
    let Some((_browser, page)) = browser().await else { return };
    let setup = setup();
    let server = setup.start().await;
    log_in(&page, &server).await;
    page.press("?").await;
    page.wait_for("#shortcuts[open]").await;
    looks_right_everywhere(&page, "shortcuts").await;
    page.press("Escape").await;
    page.wait_gone("#shortcuts[open]").await;
    page.press("g a").await;
    page.wait_for_url("/audit").await;

    page.goto(&format!("{}/nowhere", server.base())).await;
    page.assert_quiet_except(&["404"]).await;
    page.wait_for_text("h1", "Not found").await;
    looks_right_everywhere(&page, "nowhere").await;
    page.goto(&format!("{}/events/0195a2b4-7c1e-7f00-8a2b-1c2d3e4f5a6b", server.base())).await;
    page.assert_quiet_except(&["404"]).await;
    looks_right_everywhere(&page, "event-missing").await;
    server.stop().await;
}
