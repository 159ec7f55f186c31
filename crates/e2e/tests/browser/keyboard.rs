//! Everything by keyboard alone.

use toktra_siem_testkit::prelude::*;

use crate::company::Company;

/// Notes down what gets the focus, and whether it can be seen that it has it.
const WATCH: &str = "
    window.reached = new Set(); window.unseen = [];
    document.addEventListener('focusin', event => {
        const e = event.target;
        const marked = part => { const style = getComputedStyle(e, part); return style.outlineStyle !== 'none' || style.boxShadow !== 'none'; };
        window.reached.add(e);
        // The link of a row spreads over all of it, and so does its ring.
        const state = () => `focus ${e.matches(':focus')}, visible ${e.matches(':focus-visible')}, window ${document.hasFocus()}: `;
        if (!marked(null) && !marked('::after')) window.unseen.push(state() + e.outerHTML.slice(0, 160));
    });";

/// What can be operated, can be seen, and never had the focus. Of radio buttons Tab reaches one of each group, as everywhere.
const MISSED: &str = "
    const all = 'a[href], button, input:not([type=hidden]):not([type=radio]), select, textarea, summary, [tabindex=\"0\"]';
    return Array.from(document.querySelectorAll(all))
        .filter(e => e.checkVisibility({ visibilityProperty: true }) && e.tabIndex >= 0 && !e.disabled && !window.reached.has(e))
        .map(e => e.outerHTML.slice(0, 160));";

/// Types it on the keyboard, into whatever has the focus.
async fn type_text(page: &Page, text: &str) {
    let strokes: Vec<String> =
        text.chars().map(|c| if c == ' ' { "Space".to_owned() } else { c.to_string() }).collect();
    page.press(&strokes.join(" ")).await;
}

/// Presses Tab until something like this has the focus.
async fn tab_to(page: &Page, element: &str) {
    let mut passed = Vec::new();
    for _ in 0..80 {
        page.press("Tab").await;
        let active = page.active_element().await;
        if active.contains(element) {
            return;
        }
        passed.push(active);
    }
    panic!("Tab does not lead to {element}: {passed:?}");
}

#[tokio::test]
async fn from_the_login_to_a_delivery_and_back_without_a_mouse() {
    let Some((company, page)) = Company::build().await else { return };
    company.open(&page, "/login").await;
    assert!(page.active_element().await.starts_with("input#email"), "{}", page.active_element().await);
    type_text(&page, ADMIN).await;
    page.press("Tab").await;
    type_text(&page, PASSWORD).await;
    page.press("Enter").await;
    page.wait_for_url("/integrations/siem").await;

    page.wait_for("h1").await;
    page.press("Tab").await;
    assert_eq!(page.active_element().await, "a \"Skip to content\"");
    page.press("Enter").await;
    assert!(page.active_element().await.starts_with("main#content"), "{}", page.active_element().await);

    page.press("g d").await;
    page.wait_for_text("h1", "Deliveries").await;
    page.press("/").await;
    assert!(page.active_element().await.starts_with("input#event_id"), "{}", page.active_element().await);
    tab_to(&page, "Delivered").await;
    let opener = page.active_element().await;
    page.press("Enter").await;
    page.wait_for_text("dialog.sheet[open] h2", "Delivery to").await;
    page.press("Tab").await;
    let inside = page.eval("return document.activeElement.closest('dialog.sheet') !== null;").await;
    assert_eq!(inside, json!(true), "the focus is in the sheet: {}", page.active_element().await);
    page.press("Escape").await;
    page.wait_gone("dialog.sheet").await;
    page.wait_for("tbody a:focus").await;
    assert_eq!(page.active_element().await, opener, "where it was before");

    page.press("g c").await;
    page.wait_for_text("h1", "SIEM connectors").await;
    page.press("g e").await;
    page.wait_for_text("h1", "Events").await;
    page.press("g v").await;
    page.wait_for_text("h1", "Verify a signature").await;
    page.back().await;
    page.wait_for_text("h1", "Events").await;
    // What is typed into a field goes nowhere.
    page.press("/").await;
    type_text(&page, "g d").await;
    assert_eq!(page.value("[data-search]").await, "g d");
    page.assert_quiet().await;
    company.end().await;
}

#[tokio::test]
async fn the_menu_of_the_account_opens_and_closes_by_keyboard() {
    let Some((world, page)) = World::at_work().await else { return };
    tab_to(&page, "summary").await;
    page.press("Enter").await;
    page.wait_for(".account .drop").await;
    page.press("Tab").await;
    assert!(page.active_element().await.contains("Account and password"), "{}", page.active_element().await);
    page.press("Escape").await;
    page.wait_gone(".account .drop").await;
    assert!(page.active_element().await.starts_with("summary"), "{}", page.active_element().await);
    world.end().await;
}

#[tokio::test]
async fn tab_reaches_everything_on_every_main_page_and_shows_where_it_is() {
    let Some((company, page)) = Company::at_work().await else { return };
    let Company { prod, lake, europe, delivered, rejected, events, .. } = &company;
    let pages = [
        "/integrations/siem".to_owned(),
        "/integrations/siem/new".to_owned(),
        format!("/integrations/siem/{prod}"),
        format!("/integrations/siem/{europe}/edit"),
        format!("/integrations/siem/{lake}/redeliver-failed"),
        "/deliveries".to_owned(),
        format!("/deliveries/{delivered}"),
        format!("/deliveries/{rejected}"),
        "/events".to_owned(),
        format!("/events/{}", events[0]),
        "/verify".to_owned(),
        "/users/new".to_owned(),
        "/api-keys/new".to_owned(),
    ];
    let mut wrong = Vec::new();
    for address in &pages {
        company.open(&page, address).await;
        page.wait_for("h1").await;
        let there = page
            .eval("return document.querySelectorAll('a, button, input, select, textarea, summary, [tabindex]').length;")
            .await;
        // What has the focus by itself is left first, so that it is reached like everything else.
        page.eval("document.activeElement.blur(); document.body.tabIndex = -1; document.body.focus();").await;
        page.eval(WATCH).await;
        page.press(&"Tab ".repeat(usize::try_from(there.as_u64().unwrap()).unwrap() + 2)).await;
        for (what, found) in [
            ("is not reached", page.eval(MISSED).await),
            ("is not seen to have the focus", page.eval("return window.unseen;").await),
        ] {
            wrong.extend(found.list().iter().map(|element: &Value| format!("{address}: {what}: {element}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    company.end().await;
}
