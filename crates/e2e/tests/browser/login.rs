//! Coming in and being put out.

use toktra_siem_testkit::prelude::*;

use crate::company::Company;
use crate::looks::looks_right_everywhere;

#[tokio::test]
async fn a_wrong_password_is_said_and_the_right_one_leads_to_where_one_wanted() {
    let Some((world, page)) = World::office().await else { return };
    world.open(&page, "/deliveries?status=failed").await;
    page.wait_for_text("h1", "Log in").await;
    looks_right_everywhere(&page, "login").await;
    page.size(1280, 800).await;
    page.fill("#email", ADMIN).await;
    page.fill("#password", "not this one").await;
    page.press("Enter").await;
    page.wait_for("[role=alert]").await;
    assert_eq!(page.value("#email").await, ADMIN, "what was typed is still there");
    assert_eq!(page.value("#password").await, "", "but a password is not sent back");
    page.assert_quiet_except(&["401"]).await;
    looks_right_everywhere(&page, "login-wrong").await;
    page.fill("#password", PASSWORD).await;
    page.press("Enter").await;
    page.wait_for_url("/deliveries?status=failed").await;
    assert_eq!(page.value("#status").await, "failed");

    page.click(".account summary").await;
    page.click("form[action='/logout'] button").await;
    page.wait_for_url("/login").await;
    page.back().await;
    page.reload().await;
    page.wait_for_text("h1", "Log in").await;
    world.end().await;
}

/// As in another tab, which shares the cookies.
async fn log_in_elsewhere(page: &Page) {
    let script = format!(
        "const form = new DOMParser().parseFromString(await (await fetch('/login')).text(), 'text/html').querySelector('form');
         const body = new URLSearchParams(new FormData(form)); body.set('email', {}); body.set('password', {});
         return (await fetch('/login', {{ method: 'POST', body }})).status;",
        json!(ADMIN),
        json!(PASSWORD)
    );
    let script = format!("return (async () => {{ {script} }})();");
    assert_eq!(page.eval(&script).await, 200);
}

#[tokio::test]
async fn a_session_that_ends_takes_nothing_with_it_that_was_typed() {
    let Some((world, page)) = World::at_work().await else { return };
    world.open(&page, "/verify").await;
    page.fill("#body", "something long that took a while to find").await;
    let users = world.list("/v1/users").await;
    let admin = users.iter().find(|user| user["email"] == ADMIN).unwrap();
    // Whoever gets a new password is logged out everywhere.
    let path = format!("/v1/users/{}", admin["id"].as_str().unwrap());
    world.change(&path, &json!({ "password": PASSWORD })).await;
    page.click("form.fields .primary").await;
    page.wait_for_text("[role=alert]", "Your session has ended").await;
    assert_eq!(page.value("#body").await, "something long that took a while to find");
    log_in_elsewhere(&page).await;
    page.click("form.fields .primary").await;
    page.wait_for_text("#verdict", "Not checked yet").await;
    assert_eq!(page.value("#body").await, "something long that took a while to find");
    page.assert_quiet_except(&["401", "422"]).await;
    world.end().await;
}

#[tokio::test]
async fn a_viewer_sees_everything_and_no_control_for_changes() {
    let Some((company, page)) = Company::build().await else { return };
    company.log_in_as(&page, VIEWER).await;
    let Company { prod, lake, delivered, job, events, .. } = &company;
    let pages = [
        "/integrations/siem".to_owned(),
        format!("/integrations/siem/{prod}"),
        format!("/integrations/siem/{lake}"),
        format!("/integrations/siem/{prod}/deliveries"),
        format!("/deliveries/{delivered}"),
        "/jobs".to_owned(),
        format!("/jobs/{job}"),
        "/events".to_owned(),
        format!("/events/{}", events[0]),
        "/notifications".to_owned(),
    ];
    for address in pages {
        company.open(&page, &address).await;
        page.wait_for("h1").await;
        let changes = page
            .eval("return Array.from(document.querySelectorAll('main form[method=post]'), form => form.action);")
            .await;
        assert_eq!(changes, json!([]), "{address}");
        let leads = "a[href$='/edit'], a[href$='/new'], a[href$='/delete'], a[href$='/resume'], a[href$='/discard'], a[href$='/replay'], a[href$='/redeliver-failed'], a[href$='/acknowledge']";
        assert_eq!(page.texts(leads).await, Vec::<String>::new(), "{address}");
    }
    assert_eq!(page.texts(".rail a").await, ["SIEM", "Deliveries", "Events", "Notifications"]);
    page.assert_quiet().await;
    company.open(&page, "/users").await;
    page.wait_for_text("main", "for admins of your org").await;
    page.assert_quiet_except(&["403"]).await;
    looks_right_everywhere(&page, "forbidden").await;
    company.end().await;
}
