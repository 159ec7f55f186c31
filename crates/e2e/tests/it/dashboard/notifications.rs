//! Who is told, as the page shows it; and what somebody knows of a connector already.

use std::time::Duration;

use toktra_siem_testkit::prelude::*;

const HOOK: &str = "https://siem.example/services/T000/B000/canary-of-a-url";

/// Makes a channel over the page; its address.
async fn add(tab: &Tab, fields: &[(&str, &str)]) -> Answer {
    let common = [("forward", "all"), ("active", "on")];
    let fields: Vec<_> = common.iter().chain(fields).copied().collect();
    tab.post("/notifications/new", &fields).await
}

async fn soc(tab: &Tab) -> String {
    add(tab, &[("kind", "email"), ("name", "SOC <b>"), ("email_to", "soc@company.example\r\njo@company.example")])
        .await
        .expect_status(303);
    address(tab).await
}

/// Where the only channel is.
async fn address(tab: &Tab) -> String {
    let list = tab.get("/notifications").await.expect_status(200).text();
    let (_, rest) = list.split_once("class=\"row-link\" href=\"").expect("a channel is listed");
    rest.split_once('"').unwrap().0.to_owned()
}

/// The content with this run's ids left out.
fn shown(path: &str, answer: &Answer) -> String {
    content(answer).replace(path.rsplit('/').next().unwrap(), "CHANNEL")
}

#[tokio::test]
async fn the_list_says_what_to_do_and_then_who_is_told() {
    let (_world, tab) = World::here_as_admin().await;
    insta::assert_snapshot!("notifications_none", content(&tab.get("/notifications").await.expect_status(200)));
    insta::assert_snapshot!("notification_new", content(&tab.get("/notifications/new").await.expect_status(200)));
    let path = soc(&tab).await;
    insta::assert_snapshot!("notifications", shown(&path, &tab.get("/notifications").await.expect_status(200)));
    insta::assert_snapshot!("notification_edit", shown(&path, &tab.get(&path).await.expect_status(200)));
}

#[tokio::test]
async fn a_channel_is_changed_without_its_secrets_being_typed_again() {
    let (_world, tab) = World::here_as_admin().await;
    add(&tab, &[("kind", "slack"), ("name", "Slack"), ("slack_url", HOOK)]).await.expect_status(303);
    let path = address(&tab).await;
    let page = tab.get(&path).await.expect_status(200).text();
    assert!(page.contains("Set, https://siem.example, ends in …-url.") && !page.contains("canary"), "{page}");
    let change = [("name", "Ops"), ("slack_url", ""), ("forward", "only"), ("events", "down"), ("events", "recovered")];
    tab.post(&path, &change).await.expect_status(303);
    let list = tab.get("/notifications").await.text();
    assert!(
        list.contains("“Ops” was saved.") && list.contains("SIEM down, Recovered") && list.contains("Off"),
        "{list}"
    );
    assert!(list.contains("https://siem.example, ends in …-url") && !list.contains("canary"), "{list}");
}

async fn page_of(tab: &Tab, path: &str) -> String {
    tab.get(path).await.expect_status(200).text()
}

#[tokio::test]
async fn a_secret_that_was_made_is_shown_once_and_once_again() {
    let (_world, tab) = World::here_as_admin().await;
    let page =
        add(&tab, &[("kind", "webhook"), ("name", "Hook"), ("webhook_url", HOOK)]).await.expect_status(200).text();
    let (_, rest) = page.split_once("<pre tabindex=\"0\">").expect("a secret is shown");
    let secret = rest.split_once('<').unwrap().0;
    assert!(secret.starts_with("whsec_") && page.contains("Signing secret (shown only once)"), "{page}");
    let path = address(&tab).await;
    for page in [&*path, "/notifications", "/audit"] {
        assert!(!page_of(&tab, page).await.contains(secret), "{page}");
    }
    let page = page_of(&tab, &path).await;
    let (_, again) = page.split_once("action=\"/secrets/").expect("it can be shown again");
    let id = again.split_once('/').unwrap().0;
    let shown = tab.post(&format!("/secrets/{id}/reveal"), &[]).await.expect_status(200).text();
    assert!(shown.contains(secret) && shown.contains(&format!("href=\"{path}\"")), "{shown}");
    assert!(!page_of(&tab, &path).await.contains("action=\"/secrets/"), "once");
    // A hyphen alone has another one made; one that is typed is not shown.
    let anew = [("name", "Hook"), ("forward", "all"), ("webhook_signing_secret", "-")];
    let page = tab.post(&path, &anew).await.expect_status(200).text();
    assert!(page.contains("Hook was saved") && page.contains("whsec_") && !page.contains(secret), "{page}");
    tab.post(&path, &[("name", "Hook"), ("forward", "all"), ("webhook_signing_secret", "my-own-secret-of-a-webhook")])
        .await
        .expect_status(303);
    assert!(!tab.get("/notifications").await.text().contains("my-own"));
}

#[tokio::test]
async fn faults_stand_at_their_fields_and_nothing_typed_is_lost() {
    let (_world, tab) = World::here_as_admin().await;
    let wrong = [("kind", "email"), ("name", ""), ("email_to", "soc@company.example\nnobody"), ("forward", "only")];
    insta::assert_snapshot!(
        "notification_faults",
        content(&tab.post("/notifications/new", &wrong).await.expect_status(422))
    );
    let page = tab.post_part(
        "/notifications/new",
        &[("kind", "pagerduty"), ("name", "Duty"), ("pagerduty_routing_key", "canary"), ("forward", "all")],
    );
    let part = page.await.expect_status(422).text();
    assert!(
        part.contains("id=\"pagerduty_routing_key-fault\">Must be the 32 letters and digits")
            && !part.contains("<html"),
        "{part}"
    );
    assert!(!part.contains("canary") && part.contains("value=\"Duty\""), "{part}");
    let page = add(&tab, &[("kind", "webhook"), ("name", "Inside"), ("webhook_url", "https://10.0.0.1/hook")]).await;
    let page = page.expect_status(403).text();
    assert!(page.contains("id=\"webhook_url-fault\">The URL leads to a private address."), "{page}");
    let page = add(&tab, &[("kind", "pigeon"), ("name", "Coop")]).await.expect_status(422).text();
    assert!(page.contains("id=\"kind-fault\">`pigeon` is not one of email, slack"), "{page}");
    soc(&tab).await;
    let again = [("kind", "email"), ("name", "SOC <b>"), ("email_to", "soc@company.example")];
    let page = add(&tab, &again).await.expect_status(409).text();
    assert!(page.contains("id=\"name-fault\">Another notification channel has this name."), "{page}");
}

#[tokio::test]
async fn a_test_says_beside_the_channel_what_came_of_it() {
    let (_world, tab) = World::here_as_admin().await;
    let path = soc(&tab).await;
    let page = tab.post(&format!("{path}/test"), &[]).await.expect_status(200).text();
    assert!(page.contains("Nobody was told.") && page.contains("TOKTRA_SIEM_SMTP_URL"), "{page}");
    let part = tab.post_part(&format!("{path}/test"), &[]).await.expect_status(200).text();
    assert!(part.starts_with("<div class=\"notice failed\">") && part.contains("TOKTRA_SIEM_SMTP_URL"), "{part}");
    let fields =
        [("name", "SOC"), ("forward", "all"), ("active", "on"), ("email_to", "soc@company.example"), ("then", "test")];
    tab.post(&path, &fields).await.expect_status(303);
    let list = tab.get("/notifications").await.text();
    assert!(list.contains("“SOC” was saved. Nobody was told."), "{list}");
}

#[tokio::test]
async fn deleting_asks_first_and_viewers_only_look() {
    let (world, tab) = World::here_as_admin().await;
    let vic = Tab::of_viewer(&world).await;
    let empty = vic.get("/notifications").await.expect_status(200).text();
    assert!(
        empty.contains("An admin of your org can add a channel.") && !empty.contains("/notifications/new"),
        "{empty}"
    );
    let path = soc(&tab).await;
    let seen = vic.get("/notifications").await.expect_status(200).text();
    assert!(seen.contains("soc@company.example, jo@company.example") && seen.contains("SOC &#60;b&#62;"), "{seen}");
    assert!(!seen.contains(&path) && seen.contains("href=\"/notifications\" aria-current"), "{seen}");
    vic.get(&path).await.expect_status(403);
    vic.post(&format!("{path}/delete"), &[]).await.expect_status(403);
    insta::assert_snapshot!(
        "notification_delete",
        shown(&path, &tab.get(&format!("{path}/delete")).await.expect_status(200))
    );
    tab.post(&format!("{path}/delete"), &[]).await.expect_status(303);
    assert!(tab.get("/notifications").await.text().contains("was deleted. Nobody is told through it any more."));
    tab.get(&path).await.expect_status(404);
    let log = tab.get("/audit?kind=notification_channel.").await.expect_status(200).text();
    assert!(log.contains("added notification channel") && log.contains("deleted notification channel"), "{log}");
}

#[tokio::test]
async fn somebody_acknowledges_and_takes_it_back() {
    let (world, tab) = World::here_as_admin().await;
    let id = world.make("/v1/siem/connectors", &splunk_body("Prod")).await.id();
    let (path, form) = (format!("/integrations/siem/{id}"), format!("/integrations/siem/{id}/acknowledge"));
    let page = tab.get(&path).await.expect_status(200).text();
    assert!(page.contains("Announce maintenance") && !page.contains("Take back"), "{page}");
    let asked = content(&tab.get(&form).await.expect_status(200)).replace(&id, "CONNECTOR");
    insta::assert_snapshot!("acknowledge", asked);
    let page =
        tab.post(&form, &[("note", ""), ("ends", "at"), ("at", "2020-01-01T00:00")]).await.expect_status(422).text();
    assert!(page.contains("id=\"note-fault\">") && page.contains("in the future and at most 30 days away"), "{page}");
    tab.post(&form, &[("note", "CHG-123 <b>"), ("ends", "4h")]).await.expect_status(303);
    let page = tab.get(&path).await.text();
    assert!(
        page.contains("Acknowledged until 2025-01-15 14:30:00 UTC") && page.contains("CHG-123 &#60;b&#62;"),
        "{page}"
    );
    let list = tab.get("/integrations/siem").await.text();
    assert!(list.contains("acknowledged until <time class=\"exact\" datetime=\"2025-01-15T14:30"), "{list}");
    let vic = Tab::of_viewer(&world).await;
    let seen = vic.get(&path).await.text();
    assert!(seen.contains("CHG-123") && !seen.contains("Take back"), "{seen}");

    tab.post(&format!("{form}/end"), &[]).await.expect_status(303);
    let page = tab.get(&path).await.text();
    assert!(page.contains("People are told of “Prod” again.") && !page.contains("CHG-123"), "{page}");
    tab.post(&form, &[("note", "CHG-124"), ("ends", "1h")]).await.expect_status(303);
    world.pass(Duration::from_hours(1));
    assert!(!tab.get(&path).await.text().contains("CHG-124"), "it has ended");
    let log = tab.get("/audit").await.text();
    assert!(log.contains("acknowledged") && log.contains("ended the acknowledgement of"), "{log}");
}
