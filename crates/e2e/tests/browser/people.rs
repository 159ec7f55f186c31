//! The first run, users and API keys, as somebody goes through them with a browser.

use toktra_siem_testkit::prelude::*;

use crate::looks::looks_right_everywhere;

/// What the console says of an answer that a form is refused with.
const REFUSED: [&str; 2] = ["422", "409"];

/// Makes the first account by its link.
async fn set_up(page: &Page, world: &World) {
    page.goto(&world.first_link().unwrap()).await;
    page.fill("#name", "Ada Lovelace").await;
    page.fill("#email", ADMIN).await;
    page.fill("#password", PASSWORD).await;
    page.press("Enter").await;
    page.wait_for_url("/integrations/siem").await;
}

/// A server whose first account was made by its link, and that person's page.
async fn started() -> Option<(World, Page)> {
    let (world, page) = World::browsed(setup()).await?;
    page.reduced_motion().await;
    set_up(&page, &world).await;
    Some((world, page))
}

#[tokio::test]
async fn the_first_account_is_made_and_what_was_typed_survives_a_fault() {
    let Some((world, page)) = World::browsed(setup()).await else { return };
    page.reduced_motion().await;
    world.open(&page, "/login").await;
    page.wait_for_text(".notice", "Nobody has an account here yet").await;
    looks_right_everywhere(&page, "login-new").await;
    page.goto(&world.first_link().unwrap()).await;
    looks_right_everywhere(&page, "setup").await;

    page.fill("#name", "Ada").await;
    page.fill("#email", ADMIN).await;
    page.fill("#password", "password1234").await;
    page.press("Enter").await;
    page.wait_for_text("#password-fault", "among the first that anybody would try").await;
    assert_eq!(page.value("#password").await, "password1234", "the browser keeps what was typed");
    assert_eq!(page.attr("#password", "aria-invalid").await.as_deref(), Some("true"));
    page.assert_quiet_except(&REFUSED).await;
    looks_right_everywhere(&page, "setup-fault").await;
    page.click("[data-reveal=password]").await;
    assert_eq!(page.attr("#password", "type").await.as_deref(), Some("text"));

    page.fill("#password", PASSWORD).await;
    page.press("Enter").await;
    page.wait_for_url("/integrations/siem").await;
    assert!(page.text(".account summary").await.contains("Ada"));
    let cookies = page.cookies().await;
    assert!(cookies.iter().all(|cookie| cookie.http_only), "no script reads a cookie: {cookies:?}");
    world.end().await;
}

#[tokio::test]
async fn without_javascript_the_first_account_is_made_as_well() {
    let Some((world, page)) = World::browsed(setup()).await else { return };
    page.reduced_motion().await;
    page.without_javascript().await;
    set_up(&page, &world).await;
    world.open(&page, "/account").await;
    page.wait_for_text("h1", "Account").await;
    assert!(!page.exists("[data-reveal]:not([hidden])").await, "what needs a script is not offered without");
    world.end().await;
}

#[tokio::test]
async fn a_key_is_made_shown_once_and_revoked() {
    let Some((world, page)) = started().await else { return };
    world.open(&page, "/api-keys").await;
    looks_right_everywhere(&page, "keys-none").await;
    page.click("a[href='/api-keys/new']").await;
    page.wait_for_text("h1", "Make an API key").await;
    looks_right_everywhere(&page, "key-new").await;
    page.click("[value='events:write']").await;
    page.fill("#name", "Gateway, production").await;
    page.press("Enter").await;
    page.wait_for_text("#scopes-fault", "Choose at least one.").await;
    assert_eq!(page.value("#name").await, "Gateway, production");
    page.assert_quiet_except(&REFUSED).await;

    page.click("[value='events:write']").await;
    page.select("#lifetime", "30").await;
    page.click("form[action='/api-keys/new'] button.primary").await;
    page.wait_for_text("h1", "Gateway, production was made").await;
    let key = page.text(".key pre").await;
    assert!(key.starts_with("tsk_"), "{key}");
    assert_eq!(page.attr(".key [data-copy]", "data-copy").await, Some(key.clone()));
    looks_right_everywhere(&page, "key-made").await;
    // The address is that of the form: loading it again makes no second key, and shows none.
    page.reload().await;
    page.wait_for_text("h1", "Make an API key").await;

    world.open(&page, "/api-keys").await;
    page.wait_for_text("tbody", "Gateway, production").await;
    assert!(!page.text("main").await.contains(&key));
    looks_right_everywhere(&page, "keys").await;
    page.click("tbody .danger-quiet").await;
    page.wait_for_text("h1", "Revoke Gateway, production").await;
    looks_right_everywhere(&page, "key-revoke").await;
    page.click("button.danger").await;
    page.wait_for_text(".notice", "was revoked").await;
    world.end().await;
}

#[tokio::test]
async fn users_are_added_and_log_in_with_what_was_handed_over() {
    let Some((world, page)) = started().await else { return };
    world.open(&page, "/users").await;
    page.click("a[href='/users/new']").await;
    page.wait_for_text("h1", "Add user").await;
    looks_right_everywhere(&page, "user-new").await;
    page.fill("#name", "Vic").await;
    page.fill("#email", ADMIN).await;
    page.press("Enter").await;
    page.wait_for_text(".notice", "cannot be used").await;
    assert_eq!(page.value("#name").await, "Vic");
    page.assert_quiet_except(&REFUSED).await;
    page.fill("#email", "vic@company.example").await;
    page.press("Enter").await;
    page.wait_for_text("h1", "Vic was added").await;
    looks_right_everywhere(&page, "user-added").await;
    let password = page.attr("[aria-label='Copy the password']", "data-copy").await.unwrap();

    world.open(&page, "/users").await;
    looks_right_everywhere(&page, "users").await;
    page.click("tbody tr:nth-child(2) .row-link").await;
    page.wait_for_text("h1", "Vic").await;
    looks_right_everywhere(&page, "user").await;
    world.open(&page, "/account").await;
    looks_right_everywhere(&page, "account").await;

    page.click(".panel form[action='/logout'] button").await;
    page.wait_for_url("/login").await;
    page.fill("#email", "vic@company.example").await;
    page.fill("#password", &password).await;
    page.press("Enter").await;
    page.wait_for_url("/integrations/siem").await;
    assert!(!page.text(".rail").await.contains("Users"), "a viewer has no office");
    world.end().await;
}
