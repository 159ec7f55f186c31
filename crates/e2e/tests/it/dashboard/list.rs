//! The list of connectors when there are many: counted, found, turned page by page, paused and resumed together.

use toktra_siem_testkit::prelude::*;

const LIST: &str = "/integrations/siem";

async fn many(world: &Here, number: usize) {
    for n in 0..number {
        let mut body = splunk_body(&format!("Connector {n:03}"));
        body["active"] = (n % 10 != 0).into();
        world.make("/v1/siem/connectors", &body).await;
    }
}

fn rows(page: &str) -> usize {
    page.matches("<tr id=\"c-").count()
}

#[tokio::test]
async fn many_connectors_are_counted_found_and_turned_page_by_page() {
    let (world, tab) = World::here_as_admin().await;
    many(&world, 120).await;
    let first = tab.get(LIST).await.expect_status(200).text();
    assert_eq!(rows(&first), 50);
    assert!(first.contains("Healthy</span> <b>108</b>") && first.contains("Paused</span> <b>12</b>"), "{first}");
    assert!(first.contains("1 to 50 of 120") && first.contains("href=\"/integrations/siem?page=2\""), "{first}");
    let last = tab.get(&format!("{LIST}?page=3")).await.expect_status(200).text();
    assert_eq!(rows(&last), 20);
    assert!(last.contains("101 to 120 of 120") && !last.contains("page=4"), "{last}");

    let part = tab.part(&format!("{LIST}/part?q=CONNECTOR+01")).await.expect_status(200);
    assert_eq!(part.header("hx-replace-url"), Some("/integrations/siem?q=CONNECTOR+01"));
    assert_eq!(rows(&part.text()), 10);
    assert!(part.text().contains("data-follows=\"/integrations/siem/live\""), "it is drawn anew when the list changes");
    let off = tab.get(&format!("{LIST}?state=off&q=datadog")).await.expect_status(200).text();
    assert!(off.contains("No connector matches"), "{off}");
    let by_platform = tab.get(&format!("{LIST}?state=off&q=splunk")).await.expect_status(200).text();
    assert_eq!(rows(&by_platform), 12);
    // What an address says that nobody understands leaves everything in sight.
    assert_eq!(rows(&tab.get(&format!("{LIST}?state=odd&page=x&other")).await.expect_status(200).text()), 50);
    assert!(tab.get(&format!("{LIST}?page=99999999999")).await.expect_status(200).text().contains("No connector"));
}

/// Sends the form of a question as a browser does.
async fn answered(tab: &Tab, question: &str, more: &[(&str, &str)]) {
    let form = question.split_once("action=\"/integrations/siem/bulk\"").unwrap().1.split_once("</form>").unwrap().0;
    let hidden = |name: &str| {
        let begin = format!("name=\"{name}\" value=\"");
        form.split(&begin).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (active, ids) = (hidden("active"), hidden("id"));
    let fields = [("active", active[0].as_str())].into_iter().chain(ids.iter().map(|id| ("id", id.as_str())));
    tab.post("/integrations/siem/bulk", &fields.chain(more.iter().copied()).collect::<Vec<_>>())
        .await
        .expect_status(303);
}

#[tokio::test]
async fn many_connectors_are_paused_and_resumed_after_a_question() {
    let (world, tab) = World::here_as_admin().await;
    many(&world, 30).await;
    let bulk = format!("{LIST}/bulk?q=connector+01&active=false");
    let question = tab.get(&bulk).await.expect_status(200).text();
    assert!(question.contains("Pause 9 connectors?") && question.contains("Connector 011"), "{question}");
    assert!(!question.contains("Connector 010") && !question.contains("Connector 020"), "{question}");
    // Who comes to match after the question was asked stays as it is.
    let late = json!({ "active": true, "name": "Connector 01 too", "platform": "splunk", "config": splunk_body("x")["config"] });
    let late = world.make("/v1/siem/connectors", &late).await.id();
    answered(&tab, &question, &[]).await;
    assert_eq!(world.read(&format!("/v1/siem/connectors/{late}")).await["active"], true);
    world.remove(&format!("/v1/siem/connectors/{late}")).await;
    let notice = tab.get(LIST).await.text();
    assert!(notice.contains("9 connectors paused."), "{notice}");
    let paused = |list: &Value| list["items"].list().iter().filter(|one| one["active"] == json!(false)).count();
    assert_eq!(paused(&world.read("/v1/siem/connectors?limit=100").await), 12);
    assert!(tab.get(&bulk).await.expect_status(200).text().contains("Nothing to pause"));

    world.begin("/v1/events", &json!({ "event_type": "lockout", "severity": "high" })).await;
    let back = format!("{LIST}/bulk?state=off&active=true");
    let question = tab.get(&back).await.expect_status(200).text();
    assert!(question.contains("Resume 12 connectors?") && question.contains("and 2 more"), "{question}");
    answered(&tab, &question, &[("resume", "backlog")]).await;
    assert_eq!(paused(&world.read("/v1/siem/connectors?limit=100").await), 0);
    tab.post("/integrations/siem/bulk", &[]).await.expect_status(422);
    let lines = world.read("/v1/audit?action=connector.update&limit=100").await;
    assert_eq!(lines["items"].list().len(), 9 + 12, "each is in the audit log");
}
