//! How the page adapts to whoever reads it: theme, time zone, motion, a phone.

use toktra_siem_testkit::prelude::*;

use crate::company::Company;

/// The page's own colour, as it is drawn.
async fn ground(page: &Page) -> String {
    let colour = page.eval("return getComputedStyle(document.body).backgroundColor;").await;
    colour.as_str().unwrap().to_owned()
}

/// What the server renders, before any script or style sheet has come.
async fn rendered(page: &Page) -> String {
    let html = page.eval("return fetch(location.href).then(answer => answer.text());").await;
    html.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_theme_follows_the_system_until_somebody_chooses() {
    let Some((world, page)) = World::at_work().await else { return };
    let light = ground(&page).await;
    page.color_scheme(Theme::Dark).await;
    let dark = ground(&page).await;
    assert_ne!(light, dark, "as the system has it");

    page.eval("window.still = true;").await;
    page.click("[data-theme-switch]").await;
    page.wait_for("[data-theme=light] body").await;
    assert_eq!(ground(&page).await, light, "at once");
    assert_eq!(page.eval("return window.still;").await, json!(true), "without a reload");
    page.wait_for("[data-theme-switch]").await;
    page.click("[data-theme-switch]").await;
    page.wait_for("[data-theme=dark] body").await;
    page.color_scheme(Theme::Light).await;
    // Remembered by the server, so that a page is right before any script runs: nothing flashes.
    world.open(&page, "/deliveries").await;
    assert!(rendered(&page).await.contains(r#"<html lang="en" data-theme="dark""#));
    assert_eq!(ground(&page).await, dark);
    page.assert_quiet().await;
    world.end().await;
}

#[tokio::test]
async fn times_are_local_or_utc() {
    let Some((company, page)) = Company::at_work().await else { return };
    company.open(&page, &format!("/deliveries/{}", company.delivered)).await;
    let made = company.read(&format!("/v1/siem/deliveries/{}", company.delivered)).await;
    let made = made["created_at"].as_str().unwrap();
    let utc = format!("{} {} UTC", &made[..10], &made[11..19]);
    let local = page.text("dd time.exact").await;
    assert!(!local.contains("UTC"), "{local}");
    page.click("button[name=zone]").await;
    page.wait_for("[data-zone=utc] body").await;
    assert_eq!(page.text("dd time.exact").await, utc);
    page.reload().await;
    assert_eq!(page.text("dd time.exact").await, utc, "it is remembered");
    assert_eq!(page.attr("header.top ~ main p time", "title").await, Some(utc));
    page.click("button[name=zone]").await;
    page.wait_for("html:not([data-zone]) body").await;
    assert_eq!(page.text("dd time.exact").await, local);
    company.end().await;
}

#[tokio::test]
async fn nothing_moves_for_long_and_nothing_at_all_where_that_is_asked_for() {
    let Some((company, page)) = Company::at_work().await else { return };
    // In ms: the longest transition or animation of anything on the page. What turns while one waits is no motion of the page.
    let longest = "const ms = list => Math.max(...list.split(',').map(t => parseFloat(t) * (t.includes('ms') ? 1 : 1000)));
        return Math.max(...Array.from(document.querySelectorAll('body, body *:not(.busy)'), e => {
            const style = getComputedStyle(e);
            return Math.max(ms(style.transitionDuration), style.animationName === 'none' ? 0 : ms(style.animationDuration));
        }));";
    let pages =
        ["/integrations/siem".to_owned(), format!("/integrations/siem/{}", company.prod), "/deliveries".to_owned()];
    for address in &pages {
        company.open(&page, address).await;
        let longest = page.eval(longest).await.as_f64().unwrap();
        assert!(longest <= 150.0, "{address}: {longest} ms");
    }
    page.reduced_motion().await;
    for address in &pages {
        company.open(&page, address).await;
        let longest = page.eval(longest).await.as_f64().unwrap();
        assert!(longest < 1.0, "{address}: {longest} ms with reduced motion");
    }
    company.end().await;
}

#[tokio::test]
async fn on_a_phone_the_rail_is_a_menu_and_rows_are_cards() {
    let Some((company, page)) = Company::build().await else { return };
    page.size(360, 740).await;
    company.log_in(&page).await;
    page.wait_gone(".rail").await;
    page.click(".menu summary").await;
    page.wait_for_text(".menu nav", "Deliveries").await;
    page.assert_accessible().await;
    page.assert_fits().await;
    page.click(".menu a[href='/deliveries']").await;
    page.wait_for_text("h1", "Deliveries").await;
    let display = page.eval("return getComputedStyle(document.querySelector('tbody tr')).display;").await;
    assert_ne!(display, "table-row");
    // What a column's head says elsewhere stands before each value.
    let label = page
        .eval("return getComputedStyle(document.querySelector('td[data-label=Trigger]'), '::before').content;")
        .await;
    assert!(label.as_str().unwrap().contains("Trigger"), "{label}");
    page.click("tbody .row-link").await;
    page.wait_for("dialog.sheet[open]").await;
    page.assert_fits().await;
    page.assert_accessible().await;
    page.click("dialog [data-close]").await;
    page.wait_gone("dialog.sheet").await;
    // Fingers are larger than pointers (WCAG 2.2, 2.5.8): 24 by 24 pixels, or that much room around.
    let small = "return Array.from(document.querySelectorAll('button, summary, .button, nav li a'))
        .filter(e => e.checkVisibility({ visibilityProperty: true }) && !e.classList.contains('hidden'))
        .filter(e => { const box = e.getBoundingClientRect(); return box.width < 24 || box.height < 24; })
        .map(e => e.outerHTML.slice(0, 120));";
    assert_eq!(page.eval(small).await, json!([]));
    page.assert_quiet().await;
    company.end().await;
}
