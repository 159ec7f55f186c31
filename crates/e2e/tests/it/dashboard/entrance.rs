//! The one-time links: the first account of a server, and the way into the demo.

use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use toktra_siem_base::random::SystemRandom;
use toktra_siem_identity::first_login::{Entrance, OneTimeLink, Welcome};
use toktra_siem_testkit::prelude::*;

/// A server without people, and the token of its link.
async fn new_server() -> (Here, String) {
    let (token, link) = OneTimeLink::new(&SystemRandom);
    let entrance = Entrance { setup: Some(link), welcome: None };
    let world = World::here_with(Options { entrance, ..Options::default() }).await;
    (world, format!("/setup/{}", token.expose_secret()))
}

const ADA: [(&str, &str); 3] = [("name", "Ada Lovelace"), ("email", "ada@company.example"), ("password", PASSWORD)];

#[tokio::test]
async fn whoever_has_the_link_makes_the_first_account_and_is_logged_in() {
    let (world, link) = new_server().await;
    let tab = Tab::new(&world);
    insta::assert_snapshot!("setup", content(&tab.get(&link).await.expect_status(200)));
    let answer = tab.post(&link, &ADA).await.expect_status(303);
    assert_eq!(answer.header("location"), Some("/integrations/siem"));
    let page = tab.get("/account").await.expect_status(200).text();
    assert!(page.contains("Ada Lovelace") && page.contains("Admin: may change everything"), "{page}");

    let (lines, _) = world.audit(DEFAULT_ORG).await;
    let made = lines.iter().find(|line| line.action == "user.create").unwrap();
    assert_eq!(made.actor.name, "first start");
    assert_eq!(
        made.detail["after"],
        json!({ "email": "ada@company.example", "name": "Ada Lovelace", "role": "admin" })
    );
    assert!(!format!("{lines:?}").contains(PASSWORD));
}

#[tokio::test]
async fn a_link_that_was_used_says_what_to_do_and_leads_on_whoever_is_in() {
    let (world, link) = new_server().await;
    let tab = Tab::new(&world);
    tab.get(&link).await.expect_status(200);
    tab.post(&link, &ADA).await.expect_status(303);
    assert_eq!(tab.get(&link).await.expect_status(303).header("location"), Some("/integrations/siem"));

    let other = Tab::new(&world);
    insta::assert_snapshot!("setup_void", content(&other.get(&link).await.expect_status(404)));
    other
        .post(&link, &[("name", "Eve"), ("email", "eve@company.example"), ("password", PASSWORD)])
        .await
        .expect_status(404);
    assert_eq!(world.store.users(DEFAULT_ORG).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_link_is_void_once_somebody_has_an_account_however_they_came_to_it() {
    let (world, link) = new_server().await;
    let tab = Tab::new(&world);
    let login = tab.get("/login").await.expect_status(200).text();
    assert!(login.contains("Nobody has an account here yet"), "{login}");
    tab.get(&link).await.expect_status(200);
    world.person("vic@company.example", "viewer").await;
    tab.get(&link).await.expect_status(404);
    tab.post(&link, &ADA).await.expect_status(404);
    assert_eq!(world.store.users(DEFAULT_ORG).await.unwrap().len(), 1);
    let login = tab.get("/login").await.expect_status(200).text();
    assert!(!login.contains("Nobody has an account"), "{login}");
}

#[tokio::test]
async fn only_the_link_itself_opens_the_form() {
    let (world, link) = new_server().await;
    let tab = Tab::new(&world);
    for wrong in
        ["/setup/x".to_owned(), link.to_uppercase().replace("/SETUP", "/setup"), format!("/setup/{}", "0".repeat(64))]
    {
        let page = tab.get(&wrong).await.expect_status(404);
        assert!(page.text().contains("first-login-link"), "{}", page.text());
        tab.post(&wrong, &ADA).await.expect_status(404);
    }
    assert!(world.store.users(DEFAULT_ORG).await.unwrap().is_empty());
    let closed = World::here().await;
    Tab::new(&closed).get(&link).await.expect_status(404);
}

#[tokio::test]
async fn faults_stand_beside_their_fields_and_the_link_goes_on_working() {
    let (world, link) = new_server().await;
    let tab = Tab::new(&world);
    tab.get(&link).await.expect_status(200);
    let wrong = [("name", " "), ("email", "ada<script>"), ("password", "canary word")];
    let page = tab.post(&link, &wrong).await.expect_status(422);
    assert!(!page.text().contains("canary"), "a password is never sent back");
    insta::assert_snapshot!("setup_faults", content(&page));
    let part = tab.post_part(&link, &wrong).await.expect_status(422).text();
    assert!(part.contains("hx-morph-skip") && part.contains("role=\"alert\"") && !part.contains("<html"), "{part}");
    tab.post(&link, &ADA).await.expect_status(303);
}

#[tokio::test]
async fn of_two_people_at_once_one_becomes_the_admin() {
    let (world, link) = new_server().await;
    let (ada, eve) = (Tab::new(&world), Tab::new(&world));
    ada.get(&link).await.expect_status(200);
    eve.get(&link).await.expect_status(200);
    let other = [("name", "Eve"), ("email", "eve@company.example"), ("password", PASSWORD)];
    let (first, second) = tokio::join!(ada.post(&link, &ADA), eve.post(&link, &other));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 404]);
    assert_eq!(world.store.users(DEFAULT_ORG).await.unwrap().len(), 1);
}

/// The demo's link, once its admin is there.
async fn demo() -> (Here, String) {
    let (token, link) = OneTimeLink::new(&SystemRandom);
    let welcome = Welcome { link, email: "ada@company.example".to_owned(), password: SecretString::from(PASSWORD) };
    let world =
        World::here_with(Options { entrance: Entrance { setup: None, welcome: Some(welcome) }, ..Options::default() })
            .await;
    world.person("ada@company.example", "admin").await;
    (world, format!("/welcome/{}", token.expose_secret()))
}

#[tokio::test]
async fn the_link_of_the_demo_logs_in_once_and_not_ahead() {
    let (world, link) = demo().await;
    let tab = Tab::new(&world);
    let ahead = [("sec-purpose", "prefetch;prerender")];
    tab.send(Method::GET, &link, &ahead, bytes::Bytes::new()).await.expect_status(503);
    tab.send(Method::HEAD, &link, &[], bytes::Bytes::new()).await.expect_status(503);
    assert_eq!(tab.get(&link).await.expect_status(303).header("location"), Some("/integrations/siem"));
    tab.get("/integrations/siem").await.expect_status(200);
    assert_eq!(
        tab.get(&link).await.expect_status(303).header("location"),
        Some("/integrations/siem"),
        "back and reload do no harm"
    );

    let other = Tab::new(&world);
    insta::assert_snapshot!("welcome_void", content(&other.get(&link).await.expect_status(404)));
    other.log_in("ada@company.example").await;
}
