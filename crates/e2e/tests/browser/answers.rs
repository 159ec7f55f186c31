//! What became of what one did: a page that cannot reach the server says so, keeps what was typed, and leads to what has to be corrected.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use toktra_siem_testkit::prelude::*;

use crate::set_up::TRY;

const SAVE: &str = ".finish .primary";

/// Answers every request as a proxy does whose server is gone, at the address where the server was.
async fn bad_gateway(address: &str) -> JoinHandle<()> {
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut seen = vec![0; 65536];
                let _ = stream.read(&mut seen).await;
                let answer = b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 11\r\nconnection: close\r\n\r\n<h1>502</h1>";
                let _ = stream.write_all(answer).await;
            });
        }
    })
}

/// A server that comes back where it was, and a page that somebody is logged in at.
async fn at_a_fixed_address() -> Option<(World, Page, String)> {
    let address = free_address();
    let setup = with_admin(setup()).env("TOKTRA_SIEM_LISTEN", &address);
    let (world, page) = World::browsed(setup).await?;
    world.log_in(&page).await;
    Some((world, page, address))
}

async fn filled_in(page: &Page) {
    page.fill("#name", "Prod Splunk").await;
    page.fill("#splunk_hec_url", "https://splunk.company.example:8088").await;
    page.fill("#splunk_hec_token", CREDENTIAL).await;
}

/// The notice is there, in sight, and has the focus; nothing that was typed is gone, and the button can be pressed again.
async fn says(page: &Page, notice: &str) {
    page.wait_for_text("#notices .failed", notice).await;
    let seen = "const { top, bottom } = document.querySelector('#notices .failed').getBoundingClientRect(); \
                return [top >= 0 && bottom <= innerHeight, document.activeElement.matches('#notices .failed')]";
    assert_eq!(page.eval(seen).await, json!([true, true]), "{notice}");
    assert_eq!(page.value("#name").await, "Prod Splunk");
    assert_eq!(page.value("#splunk_hec_token").await, CREDENTIAL);
    page.wait_gone("[aria-busy=true]").await;
    page.click("#notices [data-dismiss]").await;
    page.wait_gone("#notices .failed").await;
}

#[tokio::test]
async fn a_form_says_that_the_server_is_gone_and_keeps_what_was_typed() {
    let Some((mut world, page, _)) = at_a_fixed_address().await else { return };
    world.open(&page, "/integrations/siem/new?platform=splunk").await;
    filled_in(&page).await;
    world.stop().await;
    for button in [SAVE, TRY, "button[formaction$='/setup']"] {
        page.eval(&format!(
            "document.querySelector({}).scrollIntoView({{ block: 'center' }}); return true",
            json!(button)
        ))
        .await;
        page.click(button).await;
        says(&page, "The server did not respond.").await;
    }
    world.again().await;
    page.click(SAVE).await;
    page.wait_for_text("#notices", "“Prod Splunk” was added").await;
    // A form that the browser itself sends.
    page.click("a[href$='/signing']").await;
    page.wait_for("form[action$='/rotate'] button").await;
    world.stop().await;
    page.click("form[action$='/rotate'] button").await;
    page.wait_for_text("#notices .failed", "The server did not respond.").await;
    assert!(page.url().await.ends_with("/signing"), "no page of the browser's own");
    world.again().await;
    page.click("form[action$='/rotate'] button").await;
    page.wait_for_text("#secret-title", "shown only once").await;
    world.end().await;
}

#[tokio::test]
async fn an_answer_of_somebody_in_between_is_not_taken_for_the_servers() {
    let Some((mut world, page, address)) = at_a_fixed_address().await else { return };
    world.open(&page, "/integrations/siem/new?platform=splunk").await;
    filled_in(&page).await;
    world.stop().await;
    let proxy = bad_gateway(&address).await;
    for button in [SAVE, TRY] {
        page.click(button).await;
        says(&page, "responded with status 502").await;
    }
    proxy.abort();
    let _ = proxy.await;
    world.again().await;
    page.click(SAVE).await;
    page.wait_for_text("#notices", "“Prod Splunk” was added").await;
    world.end().await;
}

#[tokio::test]
async fn what_has_to_be_corrected_has_the_focus_and_a_refused_token_is_marked() {
    let Some((world, page)) = World::at_work().await else { return };
    let splunk = splunk().await;
    splunk.set_token_enabled(false);
    world.open(&page, "/integrations/siem/new?platform=splunk").await;
    page.fill("#name", "Prod Splunk").await;
    page.click(SAVE).await;
    page.wait_for("#splunk_hec_url-fault:not(:empty)").await;
    let focused = "return document.activeElement.id";
    poll::until("the first field that is wrong has the focus", async || {
        (page.eval(focused).await == json!("splunk_hec_url")).then_some(())
    })
    .await;
    page.fill("#splunk_hec_url", &splunk.base_url()).await;
    page.fill("#splunk_hec_token", CREDENTIAL).await;
    page.click(TRY).await;
    page.wait_for_text("#splunk_hec_token-fault", "Splunk did not accept this").await;
    assert_eq!(page.attr("#splunk_hec_token", "aria-invalid").await.as_deref(), Some("true"));
    splunk.set_token_enabled(true);
    page.click(TRY).await;
    page.wait_for_text("#test-run .outcome", "Delivered to").await;
    page.wait_gone("#splunk_hec_token-fault:not(:empty)").await;
    page.click("#forward-only").await;
    page.click(SAVE).await;
    page.wait_for_text("#filter-fault", "Select a severity or an event type").await;
    world.end().await;
}

#[tokio::test]
async fn a_slash_finds_from_everywhere() {
    let Some((world, page)) = World::at_work().await else { return };
    let event = world.post_events(&[json!({ "event_type": "lockout", "severity": "high" })]).await.remove(0);
    for path in ["/account", "/api-keys", "/integrations/siem/new", "/events"] {
        world.open(&page, path).await;
        page.eval("document.activeElement.blur(); return true").await;
        page.press("/").await;
        poll::until(&format!("the search has the focus, from {path}"), async || {
            (page.eval("return document.activeElement.id").await == json!("id")).then_some(())
        })
        .await;
    }
    page.fill("#id", &event).await;
    page.press("Enter").await;
    page.wait_for_url(&format!("/events/{event}")).await;
    world.end().await;
}

#[tokio::test]
async fn times_are_chosen_in_the_readers_zone_and_sent_in_utc() {
    let Some((world, page)) = World::at_work().await else { return };
    world.open(&page, "/deliveries?from=2025-01-15T10:30").await;
    let zone = page.eval("return Intl.DateTimeFormat().resolvedOptions().timeZone").await;
    page.wait_for_text("label[for=from]", &format!("({})", zone.text())).await;
    let local = "const at = new Date('2025-01-15T10:30Z'), pad = (n) => String(n).padStart(2, '0'); \
                 return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}T${pad(at.getHours())}:${pad(at.getMinutes())}`";
    assert_eq!(json!(page.value("#from").await), page.eval(local).await);
    page.eval("const to = document.getElementById('to'); to.value = '2025-01-16T12:00'; to.dispatchEvent(new Event('change', { bubbles: true })); return true").await;
    let sent =
        page.eval("return new Date('2025-01-16T12:00').toISOString().slice(0, 16)").await.text().replace(':', "%3A");
    page.wait_for_url(&format!("to={sent}")).await;
    assert_eq!(page.value("#to").await, "2025-01-16T12:00", "what was chosen stays");
    page.click(".presets a:first-child").await;
    page.wait_for(".presets a:first-child[aria-current=true]").await;
    page.assert_quiet().await;
    world.end().await;
}
