//! Somebody is told: an outage and its end reach every channel once, over kills and channels that do not answer, and nobody is told of what
//! somebody knows.

use std::time::Duration;

use toktra_siem_base::clock::{Clock as _, SystemClock};
use toktra_siem_fake::pagerduty::Pagerduty;
use toktra_siem_fake::slack::{self, Slack};
use toktra_siem_fake::{ReceiverOptions, Reply};
use toktra_siem_testkit::prelude::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const CHANNELS: &str = "/v1/notification-channels";

/// Messages as people see them.
fn messages(slack: &Slack) -> Vec<String> {
    slack.events().iter().map(|message| String::from_utf8_lossy(&message.event).into_owned()).collect()
}

async fn until_told(slack: &Slack, count: usize, text: &str) {
    poll::until(&format!("Slack has {count} messages, the last with {text}"), async || {
        let all = messages(slack);
        (all.len() == count && all.last().is_some_and(|last| last.contains(text))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_outage_is_told_to_each_channel_once_with_its_end_over_kills() {
    let slack = Slack::start(ReceiverOptions::default()).await.unwrap();
    let duty = Pagerduty::start(KEY, ReceiverOptions::default()).await.unwrap();
    let (mut world, splunk) = (World::start().await, splunk().await);
    let prod = world.connect_with(&splunk, json!({ "name": "Prod <!channel> Splunk" })).await;
    for (name, kind, config) in [
        ("Slack", "slack", json!({ "url": slack.url() })),
        ("On call", "pagerduty", json!({ "routing_key": KEY, "url": duty.base_url() })),
        ("Nobody", "email", json!({ "to": ["soc@company.com"] })),
    ] {
        let channel = world.make(CHANNELS, &json!({ "name": name, "kind": kind, "config": config })).await;
        assert!(!channel.to_string().contains("SECRET") && !channel.to_string().contains(KEY), "{channel}");
        let test = world.post(&format!("{CHANNELS}/{}/test", channel.id()), &json!({})).await.expect_status(200).json();
        assert_eq!(test["sent"], kind != "email", "{test}");
    }
    assert_eq!((messages(&slack).len(), duty.open().len()), (1, 0), "the tests alone");

    splunk.set_token_enabled(false);
    world.post_some(3).await;
    prod.until_stands("misconfigured").await;
    until_told(&slack, 2, "refuses its events").await;
    assert!(!messages(&slack)[1].contains("<!channel>"), "{:?}", messages(&slack));
    poll::until("PagerDuty has an incident", async || (duty.open().len() == 1).then_some(())).await;
    world.kill().await;
    world.again().await;

    splunk.set_token_enabled(true);
    prod.test(json!({})).await;
    world.all_arrived().await;
    until_told(&slack, 3, "accepts events again").await;
    poll::until("PagerDuty has none any more", async || duty.open().is_empty().then_some(())).await;
    world.restart().await;
    // One that comes later is told what comes later.
    let late = Slack::start(ReceiverOptions::default()).await.unwrap();
    world.make(CHANNELS, &json!({ "name": "Late", "kind": "slack", "config": { "url": late.url() } })).await;
    splunk.set_token_enabled(false);
    world.post_some(1).await;
    until_told(&late, 1, "refuses its events").await;
    until_told(&slack, 4, "refuses its events").await;
    assert_eq!((slack.violations(), duty.violations()), (vec![], vec![]));
    // Nobody could be reached by mail, which held up nobody else and is told where people look.
    let channels = world.read(CHANNELS).await["items"].list();
    let nobody = channels.iter().find(|channel| channel["name"] == "Nobody").unwrap();
    assert!(nobody["failing"]["cause"]["message"].text().contains("TOKTRA_SIEM_SMTP_URL"), "{nobody}");
    splunk.set_token_enabled(true);
    prod.test(json!({})).await;
    world.all_arrived().await;
    world.end().await;
}

#[tokio::test]
async fn a_channel_that_failed_is_told_at_once_after_it_was_changed() {
    let (wrong, right) = (Slack::start(ReceiverOptions::default()), Slack::start(ReceiverOptions::default()));
    let (wrong, right) = (wrong.await.unwrap(), right.await.unwrap());
    let gone = Reply::text(404, "text/html", "channel_not_found");
    wrong.always(slack::Endpoint::Hook, Behaviour::reply(gone));
    let (mut world, splunk) = (World::start().await, splunk().await);
    let prod = world.connect_with(&splunk, json!({ "name": "Prod Splunk" })).await;
    let body = json!({ "name": "SOC", "kind": "slack", "config": { "url": wrong.url() } });
    let path = format!("{CHANNELS}/{}", world.make(CHANNELS, &body).await.id());
    splunk.set_token_enabled(false);
    world.post_some(1).await;
    prod.until_stands("misconfigured").await;
    let failing = poll::until("the channel fails", async || {
        let channel = world.read(&path).await;
        (!channel["failing"].is_null()).then_some(channel)
    })
    .await;
    assert_eq!(failing["last_sent_at"], json!(null), "{failing}");
    world.kill().await;
    world.again().await;
    world.patch(&path, &json!({ "config": { "url": right.url() } })).await.expect_status(200);
    until_told(&right, 1, "Prod Splunk").await;
    let mended = poll::until("that is kept", async || {
        let channel = world.read(&path).await;
        (!channel["last_sent_at"].is_null()).then_some(channel)
    })
    .await;
    assert_eq!(mended["failing"], json!(null));
    splunk.set_token_enabled(true);
    prod.test(json!({})).await;
    world.all_arrived().await;
    world.end().await;
}

#[tokio::test]
async fn what_somebody_knows_stands_in_the_health_and_nobody_is_told_of_it() {
    let slack = Slack::start(ReceiverOptions::default()).await.unwrap();
    let (world, splunk) = (World::start().await, splunk().await);
    let (known, other) = (
        world.connect_with(&splunk, json!({ "name": "Known" })).await,
        world.connect_with(&splunk, json!({ "name": "Other" })).await,
    );
    world.make(CHANNELS, &json!({ "name": "SOC", "kind": "slack", "config": { "url": slack.url() } })).await;
    let path = known.path("/acknowledge");
    for (body, at) in [
        (json!({}), "/note"),
        (json!({ "note": "CHG-123", "until": "2020-01-01T00:00:00Z" }), "/until"),
        (json!({ "note": "CHG-123", "until": "2999-01-01T00:00:00Z" }), "/until"),
        (json!({ "note": " ", "until": "2020-01-01T00:00:00Z" }), "/note"),
    ] {
        let refused = world.post(&path, &body).await.expect_status(422).json();
        assert!(refused["error"]["fields"].to_string().contains(at), "{refused}");
    }
    let until = SystemClock.now().plus(Duration::from_hours(1));
    let health = world.post(&path, &json!({ "note": "CHG-123", "until": until })).await.expect_status(200).json();
    assert_eq!((&health["acknowledged"]["note"], &health["acknowledged"]["until"]), (&json!("CHG-123"), &json!(until)));
    splunk.set_token_enabled(false);
    world.post_some(1).await;
    for connector in [&known, &other] {
        connector.until_stands("misconfigured").await;
    }
    until_told(&slack, 1, "Other").await;
    assert!(!messages(&slack)[0].contains("Known"), "{:?}", messages(&slack));
    let health = world.delete(&path).await.expect_status(200).json();
    assert_eq!(health["acknowledged"], json!(null));
    until_told(&slack, 2, "Known").await;
    splunk.set_token_enabled(true);
    for connector in [&known, &other] {
        connector.test(json!({})).await;
    }
    world.all_arrived().await;
    world.end().await;
}

#[tokio::test]
async fn an_incident_ends_with_its_connector_and_with_its_org() {
    let duty = Pagerduty::start(KEY, ReceiverOptions::default()).await.unwrap();
    let (world, splunk) = (World::start().await, splunk().await);
    let tenant = world.org("Tenant").await;
    let paused = world.connect_with(&splunk, json!({ "name": "Paused" })).await;
    let deleted = world.connect_with(&splunk, json!({ "name": "Deleted" })).await;
    // An incident is opened of these alone, and resolved though the channels do not tell recoveries.
    let channel = json!({
        "name": "On call", "kind": "pagerduty", "events": ["misconfigured"], "config": { "routing_key": KEY, "url": duty.base_url() }
    });
    world.make(CHANNELS, &channel).await;
    tenant.make(CHANNELS, &channel).await;
    splunk.set_token_enabled(false);
    let theirs = tenant.connect_with(&splunk, json!({ "name": "Theirs" })).await;
    world.post_some(1).await;
    tenant.post_some(1).await;
    for connector in [&paused, &deleted, &theirs] {
        connector.until_stands("misconfigured").await;
    }
    let open = async |count: usize| {
        poll::until(&format!("PagerDuty has {count} incidents"), async || (duty.open().len() == count).then_some(()))
            .await;
    };
    open(3).await;
    world.remove(&deleted.path("")).await;
    open(2).await;
    world.change(&paused.path(""), &json!({ "active": false })).await;
    open(1).await;
    world.remove(&format!("/v1/orgs/{}", tenant.id)).await;
    assert_eq!(duty.open().len(), 0, "afterwards nobody would know");
    assert_eq!(duty.violations(), vec![]);
    world.end().await;
}
