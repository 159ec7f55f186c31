//! Live views in a browser: one stream for all of its windows, in browsers that lack something as well, and what a page says where the
//! stream is gone.

use toktra_siem_testkit::prelude::*;

/// The body of a connector that leads nowhere and is off.
pub(crate) fn unreachable(name: &str) -> Value {
    let config = json!({ "hec_url": "http://127.0.0.1:9", "hec_token": "11111111-2222-3333-4444-555555555555" });
    json!({ "name": name, "platform": "splunk", "config": config })
}

/// Waits until the script says `true`.
async fn becomes_true(page: &Page, script: &str) {
    let mut last = Value::Null;
    let met = poll::within(poll::PATIENCE, async || {
        last = page.eval(script).await;
        (last == json!(true)).then_some(())
    });
    assert!(met.await.is_some(), "{script}: {last}");
}

#[tokio::test]
async fn ten_windows_of_a_browser_share_one_stream() {
    let Some((world, page)) = World::office().await else { return };
    world.make("/v1/siem/connectors", &unreachable("First")).await;
    world.log_in(&page).await;
    page.eval(
        "window.others = Array.from({ length: 9 }, (_, n) => open('/integrations/siem', `w${n}`, 'popup,width=500,height=400')); return true",
    )
    .await;
    let show = |name: &str| {
        format!(
            "const shown = [window, ...others].map((w) => `${{w.document.hidden}} ${{w.document.querySelector('#connectors')?.textContent.includes('{name}')}}`); return shown.every((s) => s.endsWith('true')) || shown"
        )
    };
    becomes_true(&page, &show("First")).await;
    world.make("/v1/siem/connectors", &unreachable("A second")).await;
    becomes_true(&page, &show("A second")).await;
    // With a stream for each window, a browser has no connection left for anything else (six of HTTP/1.1 for each host).
    let asked = "window.answered = 0; for (const w of [window, ...others]) w.fetch('/shortcuts').then((a) => { if (a.ok) answered += 1; }); return true";
    page.eval(asked).await;
    becomes_true(&page, "return answered === 10").await;
    page.assert_quiet().await;
    world.end().await;
}

#[tokio::test]
async fn a_browser_without_shared_workers_has_a_stream_for_the_window_in_front() {
    let Some((world, page)) = World::office().await else { return };
    page.begin_with("delete window.SharedWorker;").await;
    world.log_in(&page).await;
    world.make("/v1/siem/connectors", &unreachable("First")).await;
    page.wait_for_text("#connectors", "First").await;
    page.assert_quiet().await;
    world.end().await;
}

#[tokio::test]
async fn rows_that_a_page_does_not_have_come_back() {
    let Some((world, page)) = World::at_work().await else { return };
    for name in ["First", "Second"] {
        world.make("/v1/siem/connectors", &unreachable(name)).await;
        page.wait_for_text("#connectors", name).await;
    }
    page.eval("for (const row of document.querySelectorAll('#connectors tr[id]')) row.remove(); return true").await;
    world.make("/v1/siem/connectors", &unreachable("Third")).await;
    for name in ["Third", "First", "Second"] {
        page.wait_for_text("#connectors", name).await;
    }
    let rows = "return Array.from(document.querySelectorAll('#connectors tr[id]'), (row) => row.children.length > 0)";
    assert_eq!(page.eval(rows).await, json!([true, true, true]));
    page.assert_quiet().await;
    world.end().await;
}

#[tokio::test]
async fn a_filtered_list_is_drawn_again_and_again_and_there_is_nothing_to_go_back_to() {
    let Some((world, page)) = World::at_work().await else { return };
    world.open(&page, "/integrations/siem?q=Prod").await;
    let before = page.eval("return history.length").await;
    for name in ["Prod A", "Other", "Prod B", "Prod C"] {
        world.make("/v1/siem/connectors", &unreachable(name)).await;
        if name.starts_with("Prod") {
            page.wait_for_text("#connectors", name).await;
        }
    }
    assert!(!page.text("#connectors").await.contains("Other"));
    assert_eq!(page.eval("return history.length").await, before);
    assert!(page.url().await.ends_with("?q=Prod"));
    page.assert_quiet().await;
    world.end().await;
}

#[tokio::test]
async fn where_no_stream_comes_through_the_page_asks_again_and_again() {
    let Some((world, page)) = World::office().await else { return };
    page.begin_with("delete window.SharedWorker; window.EventSource = class { close() {} };").await;
    world.log_in(&page).await;
    world.make("/v1/siem/connectors", &unreachable("First")).await;
    page.wait_for_text("#connectors", "First").await;
    world.make("/v1/siem/connectors", &unreachable("A second")).await;
    page.wait_for_text("#connectors", "A second").await;
    assert_eq!(page.eval("return document.getElementById('stale').hidden").await, json!(true));
    page.assert_quiet().await;
    world.end().await;
}

/// Behind the block of docs/operation.md.
#[tokio::test]
async fn behind_nginx_the_list_goes_live_by_its_stream() {
    let Some(program) = Nginx::program() else { return };
    let front = free_address();
    let (setup, url) = behind_nginx(with_admin(setup()), &front);
    let Some((world, page)) = World::browsed(setup).await else { return };
    let server = world.base().trim_start_matches("http://");
    // Who works at this page is nobody of the own network: `/healthz` is not for them.
    let nginx = Nginx::start(&program, Place { front: &front, server, inside: "192.0.2.1", buffers: false }).await;
    page.goto(&format!("{url}/login")).await;
    page.fill("#email", ADMIN).await;
    page.fill("#password", PASSWORD).await;
    page.click("form .primary").await;
    page.wait_for_url("/integrations/siem").await;
    for name in ["First", "A second"] {
        world.make("/v1/siem/connectors", &unreachable(name)).await;
        page.wait_for_text("#connectors", name).await;
    }
    page.click("#connectors .switch").await;
    page.wait_for("#connectors .switch[aria-checked=true]").await;
    assert!(!nginx.log().contains("once=yes"), "the page had to ask again and again:\n{}", nginx.log());
    page.assert_quiet().await;
    world.end().await;
}

#[tokio::test]
async fn a_page_says_since_when_it_is_not_live_and_connects_again_by_itself() {
    // It comes back where it was.
    let setup = with_admin(setup()).env("TOKTRA_SIEM_LISTEN", free_address());
    let Some((mut world, page)) = World::browsed(setup).await else { return };
    world.make("/v1/siem/connectors", &unreachable("First")).await;
    world.log_in(&page).await;
    page.wait_for_text("#connectors", "First").await;
    assert_eq!(page.eval("return document.getElementById('stale').hidden").await, json!(true));
    world.kill().await;
    page.wait_for("#stale:not([hidden])").await;
    let said = page.text("#stale").await;
    let clock = said.strip_prefix("Not live since ").and_then(|rest| rest.get(..8)).unwrap_or_else(|| panic!("{said}"));
    assert!(clock.bytes().enumerate().all(|(n, b)| if n % 3 == 2 { b == b':' } else { b.is_ascii_digit() }), "{said}");
    world.again().await;
    becomes_true(&page, "return document.getElementById('stale').hidden").await;
    world.make("/v1/siem/connectors", &unreachable("A second")).await;
    page.wait_for_text("#connectors", "A second").await;
    world.end().await;
}

#[tokio::test]
async fn a_form_of_a_live_row_works_and_what_a_viewer_sees_has_none() {
    let Some((world, page)) = World::at_work().await else { return };
    let vic = world.tab().await;
    world.log_in_as(&vic, VIEWER).await;
    world.make("/v1/siem/connectors", &unreachable("Came live")).await;
    vic.wait_for_text("#connectors", "Came live").await;
    assert!(!vic.exists("#connectors form").await);
    page.wait_for_text("#connectors", "Came live").await;
    page.click("#connectors .switch").await;
    page.wait_for_text("#notices", "is on").await;
    vic.assert_quiet().await;
    world.end().await;
}
