//! The API keys of an org, as its admins see them.

use std::time::Duration;

use toktra_siem_testkit::prelude::*;

/// The key that a page shows.
fn key(answer: &Answer) -> String {
    let text = answer.text();
    let (_, rest) = text.split_once("<div class=\"snippet key\"><pre>").expect("a key is shown");
    rest.split_once('<').unwrap().0.to_owned()
}

/// The content with what this run drew left out.
fn shown(world: &Here, key: &str, answer: &Answer) -> String {
    content(answer).replace(&world.address.to_string(), "ADDRESS").replace(&key[..12], "PREFIX")
}

async fn make(tab: &Tab, fields: &[(&str, &str)]) -> Answer {
    tab.post("/api-keys/new", fields).await.expect_status(200)
}

#[tokio::test]
async fn a_key_is_shown_once_and_works_as_the_example_says() {
    let (world, tab) = World::here_as_admin().await;
    insta::assert_snapshot!("keys_none", content(&tab.get("/api-keys").await.expect_status(200)));
    insta::assert_snapshot!("key_new", content(&tab.get("/api-keys/new").await.expect_status(200)));
    let page = make(&tab, &[("name", "Gateway <b>"), ("scope", "events:write"), ("lifetime", "90")]).await;
    let key = key(&page);
    insta::assert_snapshot!("key_made", shown(&world, &key, &page));
    let event = serde_json::json!({ "event_type": "anomaly", "severity": "high", "summary": "My first event" });
    let client = Client::new(tab.origin()).with_key(&key);
    client.begin("/v1/events", &event).await;
    client.get("/v1/siem/connectors").await.expect_status(403);
    // A use is noted without the request waiting for it.
    let noted = || async { (!tab.get("/api-keys").await.text().contains("Never")).then_some(()) };
    poll::until("the use of the key is noted", noted).await;

    world.pass(Duration::from_hours(24));
    tab.log_in("ada@company.example").await;
    insta::assert_snapshot!(
        "keys",
        shown(&world, &key, &tab.get("/api-keys").await.expect_status(200)).replace("just now", "SOON")
    );
    assert!(!tab.get("/api-keys").await.text().contains(&key));
}

#[tokio::test]
async fn what_is_about_to_expire_and_what_has_expired_is_marked() {
    let (world, tab) = World::here_as_admin().await;
    make(&tab, &[("name", "Monitoring"), ("scope", "siem:read"), ("lifetime", "30")]).await;
    make(&tab, &[("name", "CI"), ("scope", "siem:read"), ("scope", "siem:write"), ("lifetime", "never")]).await;
    let list = tab.get("/api-keys").await.text();
    assert!(list.contains("in 30 d") && list.contains("Never") && list.contains("Read, Manage connectors"), "{list}");
    world.pass(Duration::from_hours(24 * 17));
    tab.log_in("ada@company.example").await;
    assert!(tab.get("/api-keys").await.text().contains("Expires in 13 d"));
    // It ends with its day, which began at 10:30.
    world.pass(Duration::from_hours(24 * 13) + Duration::from_mins(13 * 60 + 30));
    tab.log_in("ada@company.example").await;
    assert!(tab.get("/api-keys").await.text().contains("Expired just now"));
}

#[tokio::test]
async fn faults_stand_beside_their_fields_and_nothing_typed_is_lost() {
    let (_world, tab) = World::here_as_admin().await;
    let page = tab.post("/api-keys/new", &[("name", ""), ("lifetime", "30")]).await.expect_status(422);
    insta::assert_snapshot!("key_faults", content(&page));
    let part = tab.post_part("/api-keys/new", &[("name", "CI"), ("lifetime", "never")]).await.expect_status(422).text();
    assert!(
        part.contains("Choose at least one.") && part.contains("value=\"CI\"") && !part.contains("<html"),
        "{part}"
    );
    // What the form does not offer is refused as well.
    let page = tab.post("/api-keys/new", &[("name", "CI"), ("scope", "platform")]).await.expect_status(403).text();
    assert!(page.contains("Nobody can grant"), "{page}");
    let odd = [("name", "CI"), ("scope", "admin"), ("lifetime", "soon")];
    let page = tab.post("/api-keys/new", &odd).await.expect_status(422).text();
    assert!(page.contains("expires_at: must be a time in the future"), "{page}");
}

#[tokio::test]
async fn revoking_asks_first_and_ends_the_key_at_once() {
    let (_world, tab) = World::here_as_admin().await;
    let made = make(&tab, &[("name", "CI"), ("scope", "siem:read"), ("lifetime", "never")]).await;
    let key = key(&made);
    let client = Client::new(tab.origin()).with_key(&key);
    client.get("/v1/siem/connectors").await.expect_status(200);
    let list = tab.get("/api-keys").await.text();
    let start = list.find("/api-keys/0").expect("a link to revoke it");
    let path = list[start..].split_once('"').unwrap().0.to_owned();
    let asked = tab.get(&path).await.expect_status(200).text();
    assert!(asked.contains("Revoke CI") && asked.contains(&key[..12]), "{asked}");
    assert_eq!(tab.post(&path, &[]).await.expect_status(303).header("location"), Some("/api-keys"));
    client.get("/v1/siem/connectors").await.expect_status(401);
    let list = tab.get("/api-keys").await.text();
    assert!(list.contains("was revoked. Whatever still uses it is refused from now on."), "{list}");
    tab.get(&path).await.expect_status(404);
}
