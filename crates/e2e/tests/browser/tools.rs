//! Events, verify, the audit log, addresses that lead nowhere, and the list of shortcuts.

use toktra_siem_core::signing;
use toktra_siem_testkit::prelude::*;

use crate::looks::looks_right_everywhere;

const SECRET: &str = "a-signing-secret-of-some-length";
const BODY: &str = r#"{"event_type":"lockout","severity":"high"}"#;

async fn fill_in(page: &Page, world: &World, body: &str) {
    world.open(page, "/verify").await;
    page.fill("#body", body).await;
    page.fill("#header", &signing::signature(&SECRET.into(), BODY.as_bytes())).await;
    page.fill("#secret", SECRET).await;
    page.click("form.fields .primary").await;
}

#[tokio::test]
async fn an_event_is_found_and_tells_what_became_of_it() {
    let Some((world, page)) = World::at_work().await else { return };
    world.open(&page, "/events").await;
    page.wait_for_text("main", "No events yet").await;
    looks_right_everywhere(&page, "events-none").await;

    let event = json!({
        "event_type": "policy_violation", "severity": "critical", "summary": "A customer list went into a chat", "user_email": "jo@company.example",
        "details": { "tokens": 12_000, "rules": ["pii"] }, "tags": { "team": "sales" },
    });
    let id = world.post_event(event).await;
    page.reload().await;
    page.wait_for_text("tbody", "A customer list went into a chat").await;
    looks_right_everywhere(&page, "events").await;

    page.press("/").await;
    page.fill("[data-search]", &format!("event_id=\"{id}\"")).await;
    page.click(".search .primary").await;
    page.wait_for_url(&format!("/events/{id}")).await;
    page.wait_for_text("pre", "\"tokens\": 12000").await;
    looks_right_everywhere(&page, "event").await;

    world.open(&page, "/audit").await;
    page.wait_for_text(".log", "logged in from 127.0.0.1").await;
    page.click(".log summary").await;
    looks_right_everywhere(&page, "audit").await;
    world.end().await;
}

#[tokio::test]
async fn a_signature_is_checked_in_place_and_the_secret_stays_in_its_field() {
    let Some((world, page)) = World::at_work().await else { return };
    fill_in(&page, &world, BODY).await;
    page.wait_for_text("#verdict .badge", "Valid").await;
    assert_eq!(page.value("#secret").await, SECRET, "nothing typed is lost");
    page.fill("#body", &format!("{BODY}\n")).await;
    page.click("form.fields .primary").await;
    page.wait_for_text("#verdict", "white space at its end").await;
    looks_right_everywhere(&page, "verify").await;
    assert!(!page.eval("document.documentElement.outerHTML").await.to_string().contains(SECRET));
    assert!(!world.log().contains(SECRET));
    world.end().await;
}

#[tokio::test]
async fn a_signature_is_checked_without_javascript() {
    let Some((world, page)) = World::office().await else { return };
    page.without_javascript().await;
    world.log_in(&page).await;
    // The browser sends CRLF; what was signed has LF.
    let (body, secret) = ("{\"a\":1}\n{\"b\":2}\n", SECRET);
    fill_in(&page, &world, body).await;
    page.wait_for_text("#verdict", "Not valid").await;
    assert_eq!((page.value("#body").await.as_str(), page.value("#secret").await.as_str()), (body, ""));
    page.fill("#header", &signing::signature(&secret.into(), body.as_bytes())).await;
    page.fill("#secret", secret).await;
    page.click("form.fields .primary").await;
    page.wait_for_text("#verdict", "The documented code accepts it.").await;
    world.end().await;
}

#[tokio::test]
async fn shortcuts_are_listed_and_lost_people_are_led_back() {
    let Some((world, page)) = World::at_work().await else { return };
    page.press("?").await;
    page.wait_for("#shortcuts[open]").await;
    looks_right_everywhere(&page, "shortcuts").await;
    page.press("Escape").await;
    page.wait_gone("#shortcuts[open]").await;
    page.press("g a").await;
    page.wait_for_url("/audit").await;

    world.open(&page, "/nowhere").await;
    page.assert_quiet_except(&["404"]).await;
    page.wait_for_text("h1", "Not found").await;
    looks_right_everywhere(&page, "nowhere").await;
    world.open(&page, "/events/0195a2b4-7c1e-7f00-8a2b-1c2d3e4f5a6b").await;
    page.assert_quiet_except(&["404"]).await;
    looks_right_everywhere(&page, "event-missing").await;
    world.end().await;
}
