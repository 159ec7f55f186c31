//! Who is told, as somebody sets it up with a browser; and what somebody knows of a connector already.

use toktra_siem_fake::slack::Slack;
use toktra_siem_testkit::prelude::*;

use crate::looks::looks_right_everywhere;

/// What the console says of an answer that a form is refused with.
const REFUSED: [&str; 1] = ["422"];

#[tokio::test]
async fn somebody_is_told_after_a_fault_a_test_and_a_change() {
    let Some((world, page)) = World::at_work().await else { return };
    let slack = Slack::start(toktra_siem_fake::ReceiverOptions::default()).await.unwrap();
    page.press("g n").await;
    page.wait_for_text("h1", "Notifications").await;
    looks_right_everywhere(&page, "notifications-none").await;
    page.click("a[href='/notifications/new?kind=slack']").await;
    page.wait_for_text("h1", "Add notification channel").await;
    let shown = async || {
        page.eval("return ['slack_url', 'email_to'].map((id) => document.getElementById(id).checkVisibility());").await
    };
    assert_eq!(shown().await, json!([true, false]));
    page.click("#kind-email").await;
    assert_eq!(shown().await, json!([false, true]));
    page.click("#kind-slack").await;
    page.fill("#slack_url", &slack.url()).await;
    page.click("#forward-only").await;
    page.click("[value=silence]").await;
    page.click(".submit .primary").await;
    page.wait_for_text("#name-fault", "Must have 1 to 100 characters").await;
    page.assert_quiet_except(&REFUSED).await;
    assert_eq!(page.value("#slack_url").await, slack.url(), "the browser keeps what was typed");
    looks_right_everywhere(&page, "notification-fault").await;

    page.fill("#name", "SOC on call").await;
    page.click("[name=then]").await;
    page.wait_for_url("/notifications").await;
    page.wait_for_text("#notices", "“SOC on call” was added. Slack answered 200").await;
    page.click("tbody form button").await;
    page.wait_for_text("tbody .notice", "Slack answered 200").await;
    assert_eq!(slack.requests().len(), 2);
    assert!(slack.violations().is_empty(), "{:?}", slack.violations());
    looks_right_everywhere(&page, "notifications-tested").await;

    page.click("tbody a.row-link").await;
    page.wait_for_text("h1", "Edit SOC on call").await;
    assert!(page.text("#slack_url-hint").await.contains("Set, http://127.0.0.1"));
    page.click(".submit a.danger").await;
    page.wait_for_text("h1", "Delete SOC on call?").await;
    page.click("button.danger").await;
    page.wait_for_url("/notifications").await;
    page.wait_for_text("#first-title", "Nobody is told yet").await;
    page.assert_quiet_except(&REFUSED).await;
    world.end().await;
}

#[tokio::test]
async fn maintenance_is_announced_until_a_time_in_the_reader_s_zone_and_taken_back() {
    let Some((world, page)) = World::at_work().await else { return };
    let splunk = splunk().await;
    let connector = world.connect(&splunk).await;
    let path = format!("/integrations/siem/{connector}");
    world.open(&page, &path).await;
    page.click(".acknowledge a").await;
    page.wait_for_text("h1", "Announce maintenance").await;
    let morning = page.value("[data-morning]").await;
    assert!(morning.ends_with(":00:00.000Z"), "{morning}");
    page.fill("#note", "CHG-123").await;
    page.click("[value=morning]").await;
    page.click(".submit .primary").await;
    page.wait_for_url(&path).await;
    page.wait_for_text(".acknowledged", "CHG-123").await;
    let health = world.read(&format!("/v1/siem/connectors/{connector}/health")).await;
    assert_eq!(health["acknowledged"]["until"], json!(morning));
    looks_right_everywhere(&page, "connector-acknowledged").await;
    page.click(".acknowledged form button").await;
    page.wait_for_text("#notices", "again.").await;
    assert!(!page.exists(".acknowledged").await);
    world.end().await;
}
