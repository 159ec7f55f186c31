//! Addresses that lead nowhere: a page for people, the API's answer for everything else.

use bytes::Bytes;
use http::Method;
use toktra_siem_testkit::prelude::*;

const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");

async fn go(tab: &Tab, method: Method, path: &str, accept: (&str, &str)) -> Answer {
    tab.send(method, path, &[accept], Bytes::new()).await
}

#[tokio::test]
async fn a_person_is_told_within_the_page_that_nothing_is_there() {
    let (world, tab) = World::here_as_viewer().await;
    let answer = go(&tab, Method::GET, "/integrations/siam", BROWSER).await.expect_status(404);
    insta::assert_snapshot!("nowhere", content(&answer));
    assert!(answer.text().contains("aria-label=\"Main\""), "the frame is around it");
    assert!(answer.header("content-security-policy").is_some());

    let stranger = Tab::new(&world);
    let answer = go(&stranger, Method::GET, "/%3Cscript%3Ealert(1)%3C/script%3E?a=%22%3E%3Cimg", BROWSER)
        .await
        .expect_status(404);
    assert!(answer.text().contains("Go to the login") && !answer.text().contains("aria-label=\"Main\""));
    assert!(!answer.text().contains("<script>alert"));
    assert!(stranger.cookie("csrf").is_some(), "the forms of the frame have a token");

    tab.set_cookie("session", "tss_gone");
    let answer = go(&tab, Method::GET, "/nowhere", BROWSER).await.expect_status(404);
    assert!(answer.text().contains("Go to the login"));
}

#[tokio::test]
async fn programs_get_the_answer_of_the_api() {
    let (_world, tab) = World::here_as_admin().await;
    for (method, path, accept) in [
        (Method::GET, "/v1/nothing", ("accept", "application/json")),
        (Method::GET, "/v1/nothing", ("accept", "*/*")),
        (Method::GET, "/favicon.ico", ("accept", "image/avif,image/webp,*/*;q=0.8")),
        (Method::POST, "/nothing", BROWSER),
    ] {
        let answer = go(&tab, method, path, accept).await.expect_status(404).json();
        assert_eq!(answer["error"]["code"], "not_found", "{path}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(path));
    }
}

#[tokio::test]
async fn the_address_of_a_form_says_so() {
    let (_world, tab) = World::here_as_admin().await;
    let answer = go(&tab, Method::GET, "/logout", BROWSER).await.expect_status(405);
    assert!(answer.text().contains("be opened directly"), "{}", answer.text());
    assert!(answer.header("allow").is_some());
    let answer = go(&tab, Method::GET, "/logout", ("accept", "application/json")).await.expect_status(405);
    assert_eq!(answer.json()["error"]["code"], "bad_request");
    assert_eq!(tab.get("/integrations/siem").await.status, 200, "nobody was logged out");
}

#[tokio::test]
async fn shortcuts_are_a_page_and_a_dialog_on_every_page() {
    let (_world, tab) = World::here_as_viewer().await;
    let page = tab.get("/shortcuts").await.expect_status(200);
    assert!(content(&page).contains("<kbd>g</kbd> <kbd>c</kbd>") && !content(&page).contains("audit log"));
    let other = tab.get("/integrations/siem").await.expect_status(200).text();
    assert!(
        other.contains("<dialog id=\"shortcuts\"") && other.contains("href=\"/shortcuts\" data-open=\"shortcuts\"")
    );
}

#[tokio::test]
async fn the_reference_leads_back_and_looks_the_same() {
    let world = World::here().await;
    let tab = Tab::new(&world);
    assert!(tab.get("/docs").await.expect_status(200).text().contains("href=\"/integrations/siem\""));
    let style = tab.get("/docs/style.css").await.expect_status(200).text();
    let tokens = include_str!("../../../../api/assets/css/tokens.css");
    assert!(style.starts_with(tokens), "it has the tokens of the page");
    let own = &style[tokens.len()..];
    for used in own.split("var(").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(tokens.contains(&format!("{used}:")), "{used} is no token");
    }
}
