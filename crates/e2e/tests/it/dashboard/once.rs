//! Forms that are sent twice, and secrets that are shown once again.

use toktra_siem_testkit::prelude::*;

use crate::api::history::with_history;

/// The idempotency key of the first form of a page.
async fn key_of(tab: &Tab, path: &str) -> String {
    let page = tab.get(path).await.expect_status(200).text();
    let (_, rest) = page.split_once("name=\"idempotency_key\" value=\"").unwrap_or_else(|| panic!("{path} has no key"));
    rest.split('"').next().unwrap().to_owned()
}

async fn items(world: &Here, path: &str) -> Vec<Value> {
    world.list(path).await
}

fn without_key(html: &str, key: &str) -> Vec<String> {
    // Each rendering has a key of its own for the forms that it holds.
    html.lines().filter(|line| !line.contains("idempotency_key")).map(|line| line.replace(key, "")).collect()
}

#[tokio::test]
async fn every_form_carries_a_key_and_each_page_another() {
    let world = World::here().await;
    let connector = world.idle_connector(&world, "Prod").await.id();
    let user = world.person("jo@company.example", "viewer").await;
    let tab = Tab::of_admin(&world).await;
    for path in [
        "/integrations/siem",
        "/integrations/siem/new",
        &format!("/integrations/siem/{connector}"),
        &format!("/integrations/siem/{connector}/edit"),
        &format!("/integrations/siem/{connector}/delete"),
        "/api-keys/new",
        "/users/new",
        &format!("/users/{user}"),
        "/account",
        "/verify",
    ] {
        let page = tab.get(path).await.expect_status(200).text();
        let (forms, keys) = (page.matches("method=\"post\"").count(), page.matches("name=\"idempotency_key\"").count());
        assert!(forms > 0 && forms == keys, "{path}: {forms} forms, {keys} keys");
        assert_ne!(key_of(&tab, path).await, key_of(&tab, path).await, "{path}");
    }
}

/// A form: where it stands, where it goes, its fields, what the answer shows, and how many of it there are afterwards.
type Form<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, usize);

#[tokio::test]
async fn a_form_that_is_sent_twice_does_one_thing_and_shows_one_answer() {
    let world = World::here().await;
    let connector = world.idle_connector(&world, "Prod").await.id();
    let tab = Tab::of_admin(&world).await;
    let connector = format!("/integrations/siem/{connector}");
    let (signing, rotate) = (format!("{connector}/signing"), format!("{connector}/signing-secret/rotate"));
    let new = [
        ("name", "Second"),
        ("platform", "splunk"),
        ("splunk_hec_url", "https://siem.example:8088"),
        ("splunk_hec_token", "00000000-1111-2222-3333-444444444444"),
    ];
    let forms: [Form<'_>; 4] = [
        ("/api-keys/new", "/api-keys/new", &[("name", "CI"), ("scope", "events:write")], "/v1/api-keys", 1),
        (
            "/users/new",
            "/users/new",
            &[("name", "Jo"), ("email", "jo@company.example"), ("role", "viewer")],
            "/v1/users",
            2,
        ),
        (&signing, &rotate, &[("grace", "3600")], "/v1/siem/connectors", 1),
        ("/integrations/siem/new", "/integrations/siem/new", &new, "/v1/siem/connectors", 2),
    ];
    for (page, action, fields, list, count) in forms {
        let key = key_of(&tab, page).await;
        let fields: Vec<_> = fields.iter().copied().chain([("idempotency_key", &*key)]).collect();
        let (first, again) = tokio::join!(tab.post(action, &fields), tab.post(action, &fields));
        assert_eq!((first.status, again.status), (200, 200), "{action}: {}", again.text());
        assert_eq!(without_key(&first.text(), &key), without_key(&again.text(), &key), "{action}");
        assert_eq!(items(&world, list).await.len(), count, "{action}");
        // A new page is a new wish.
        let other = key_of(&tab, page).await;
        assert_ne!(other, key);
    }
}

#[tokio::test]
async fn a_job_that_is_asked_for_twice_is_one() {
    let (world, connector) = with_history().await;
    let tab = Tab::of_admin(&world).await;
    let failed = items(&world, "/v1/siem/deliveries?status=failed").await;
    let delivery = format!("/deliveries/{}", failed[0]["id"].as_str().unwrap());
    let wishes = [
        (delivery.clone(), format!("{delivery}/redeliver")),
        (format!("/integrations/siem/{connector}/replay"), format!("/integrations/siem/{connector}/replay")),
    ];
    for (n, (page, action)) in wishes.into_iter().enumerate() {
        let key = key_of(&tab, &page).await;
        let first = tab.post(&action, &[("idempotency_key", &*key)]).await.expect_status(303);
        let again = tab.post(&action, &[("idempotency_key", &*key)]).await.expect_status(303);
        assert_eq!(first.header("location"), again.header("location"), "{action}");
        assert_eq!(items(&world, "/v1/siem/jobs").await.len(), n + 1, "{action}");
    }
}

#[tokio::test]
async fn a_secret_that_was_lost_is_shown_again_once_where_it_belongs() {
    let (world, tab) = World::here_as_admin().await;
    let bob = Tab::of(&world, "bob@company.example", "admin").await;
    world.make("/v1/siem/connectors", &splunk_body("Prod")).await;
    tab.get("/api-keys/new").await.expect_status(200);
    let made = tab.post("/api-keys/new", &[("name", "CI"), ("scope", "events:write")]).await.expect_status(200).text();
    let secret = made.split_once("data-copy=\"tsk_").unwrap().1.split('"').next().unwrap().to_owned();
    assert!(!bob.get("/api-keys").await.text().contains("Show the secret again"), "it is nobody else's");
    let list = tab.get("/api-keys").await.expect_status(200).text();
    assert!(list.contains("Show the secret again") && !list.contains(&secret), "{list}");
    let action = list.split_once("action=\"/secrets/").unwrap().1.split('"').next().unwrap();
    let action = format!("/secrets/{action}");
    let shown = tab.post(&action, &[]).await.expect_status(200);
    assert!(shown.text().contains(&format!("tsk_{secret}")), "{}", shown.text());
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    tab.post(&action, &[]).await.expect_status(404);
    assert!(!tab.get("/api-keys").await.text().contains("Show the secret again"));

    let user = world.person("jo@company.example", "viewer").await;
    let user = format!("/users/{user}");
    let handed = tab.post(&format!("{user}/password"), &[("how", "made-up")]).await.expect_status(200).text();
    assert!(handed.contains("has a new password"), "{handed}");
    assert!(tab.get(&user).await.text().contains("Show the secret again"));
    let lines = world.read("/v1/audit?action=api_key.reveal").await;
    assert_eq!(lines["items"].as_array().map(Vec::len), Some(1), "{}", json!(lines));
}
