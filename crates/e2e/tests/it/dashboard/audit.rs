//! The audit log as people read it.

use toktra_siem_testkit::prelude::*;

async fn with_changes() -> (Here, Tab, String) {
    let (world, tab) = World::here_as_admin().await;
    let mut body = splunk_body("Prod Splunk");
    body["config"]["hec_token"] = "canary-hec-token-1234".into();
    body["signing_secret"] = "canary-signing-secret-4321".into();
    let made = world.make("/v1/siem/connectors", &body).await;
    let id = made.id();
    let change =
        json!({ "filter": { "severity": ["high", "critical"] }, "config": { "hec_token": "canary-other-token-5678" } });
    world.change(&format!("/v1/siem/connectors/{id}"), &change).await;
    (world, tab, id)
}

#[tokio::test]
async fn changes_are_sentences_with_what_differs() {
    let (_bench, tab, id) = with_changes().await;
    let page = tab.get("/audit").await.expect_status(200);
    insta::assert_snapshot!("audit", content(&page));
    assert!(!page.text().contains("canary"));
    let one =
        tab.get(&format!("/audit?object={id}&kind=connector.&from=2020-01-01T00:00")).await.expect_status(200).text();
    assert!(one.contains("changed the filter and credentials of") && !one.contains("logged in"), "{one}");
    assert!(
        one.contains("value=\"2020-01-01T00:00\"") && one.contains("<option value=\"connector.\" selected>"),
        "{one}"
    );
    let none = tab.get("/audit?actor=nobody").await.expect_status(200).text();
    assert!(none.contains("No changes match") && none.contains("value=\"nobody\""));
}

#[tokio::test]
async fn what_cannot_be_asked_is_said_beside_its_field() {
    let (_bench, tab, _) = with_changes().await;
    let page = tab.get("/audit?from=yesterday&actor=ada").await.expect_status(422).text();
    assert!(page.contains("yesterday") && page.contains("value=\"ada\""), "{page}");
    let fault = page.split("id=\"from-fault\">").nth(1).unwrap();
    assert!(fault.starts_with("`yesterday` is not") || fault.contains("is not a time"), "{fault}");
}

#[tokio::test]
async fn long_logs_have_pages() {
    let (world, tab, id) = with_changes().await;
    for n in 0..60 {
        let change = json!({ "name": format!("Name {n}") });
        world.change(&format!("/v1/siem/connectors/{id}"), &change).await;
    }
    let first = tab.get("/audit?kind=connector.").await.expect_status(200).text();
    let older =
        first.split("class=\"pages\"").nth(1).unwrap().split("href=\"").nth(1).unwrap().split('"').next().unwrap();
    let older = older.replace("&#38;", "&").replace("&amp;", "&");
    assert!(older.contains("kind=connector.") && older.contains("cursor="), "{older}");
    let second = tab.get(&older).await.expect_status(200).text();
    assert!(second.contains("Newest") && second.contains("added connector") && !first.contains("added connector"));
}

#[tokio::test]
async fn names_that_people_chose_stay_text() {
    let (world, tab) = World::here_as_admin().await;
    let name = "<img src=x onerror=alert(1)>";
    let made = world.make("/v1/siem/connectors", &splunk_body(name)).await;
    world.person("x@company.example", "viewer").await;
    let (_, key) = world.key(&DEFAULT_ORG.to_string(), &["siem:read"]).await;
    world.remove(&format!("/v1/api-keys/{key}")).await;
    let path = format!("/v1/siem/connectors/{}", made["id"].as_str().unwrap());
    world.remove(&path).await;
    let page = tab.get("/audit").await.expect_status(200).text();
    assert!(!page.contains("<img"), "{page}");
    assert!(page.contains("deleted connector") && page.contains("revoked API key") && page.contains("added user"));
    let searched = tab.get("/audit?actor=%22%3E%3Cimg%20src%3Dx%3E").await.expect_status(200).text();
    assert!(!searched.contains("<img"));
}
