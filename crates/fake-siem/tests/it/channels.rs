//! Slack, Teams and PagerDuty: what each takes, and the breaches that it refuses.

use serde_json::{Value, json};
use toktra_siem_fake::ReceiverOptions;
use toktra_siem_fake::pagerduty::Pagerduty;
use toktra_siem_fake::slack::Slack;
use toktra_siem_fake::teams::Teams;

use crate::client::{Answer, exchange};

const JSON: (&str, &str) = ("content-type", "application/json");
const KEY: &str = "0123456789abcdef0123456789abcdef";

async fn post(address: std::net::SocketAddr, target: &str, body: &Value) -> Answer {
    exchange(address, "POST", target, &[JSON], body.to_string()).await.unwrap()
}

/// `valid` with one member changed, `null` for taken away.
fn changed(valid: &Value, pointer: &str, value: Value) -> Value {
    let mut changed = valid.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let members = changed.pointer_mut(parent).unwrap();
    match (members, value) {
        (Value::Object(members), Value::Null) => drop(members.remove(name)),
        (Value::Object(members), value) => drop(members.insert(name.to_owned(), value)),
        (Value::Array(items), value) => items[name.parse::<usize>().unwrap()] = value,
        _ => panic!("{pointer}"),
    }
    changed
}

#[tokio::test]
async fn slack_takes_blocks_within_their_limits() {
    let slack = Slack::start(ReceiverOptions::default()).await.unwrap();
    let url = slack.url();
    let path = url.strip_prefix(&slack.base_url()).unwrap();
    let section = json!({ "type": "section", "text": { "type": "mrkdwn", "text": "a &amp; b <https://x.example|c>", "verbatim": true } });
    let header = json!({ "type": "header", "text": { "type": "plain_text", "text": "Title" } });
    let valid = json!({ "text": "a", "blocks": [header, section] });
    let answer = post(slack.address(), path, &valid).await;
    assert_eq!((answer.status, answer.body.as_ref()), (200, &b"ok"[..]));
    assert_eq!((slack.violations().len(), slack.events().len()), (0, 1));
    let many: Vec<Value> = (0..51).map(|_| json!({ "type": "divider" })).collect();
    for (pointer, value, word) in [
        ("/text", Value::Null, "no_text"),
        ("/text", json!("<!channel>"), "invalid_payload"),
        ("/text", json!("a & b"), "invalid_payload"),
        ("/color", json!("red"), "invalid_payload"),
        ("/blocks/0/text/text", json!("x".repeat(151)), "invalid_blocks"),
        ("/blocks/1/text/text", json!("x".repeat(3_001)), "invalid_blocks"),
        ("/blocks/1/text/text", json!("<@U123>"), "invalid_blocks"),
        ("/blocks/1/type", json!("sectoin"), "invalid_blocks"),
        ("/blocks", json!(many), "invalid_blocks"),
        ("/text", json!("x".repeat(40_001)), "msg_too_long"),
    ] {
        let answer = post(slack.address(), path, &changed(&valid, pointer, value)).await;
        assert_eq!((answer.status, answer.body.as_ref()), (400, word.as_bytes()), "{pointer}");
    }
    let elsewhere = post(slack.address(), "/services/T0/B0/other", &valid).await;
    assert_eq!((elsewhere.status, elsewhere.body.as_ref()), (404, &b"no_service"[..]));
    assert_eq!((slack.violations().len(), slack.events().len()), (11, 1));
}

#[tokio::test]
async fn teams_takes_one_card() {
    let teams = Teams::start(ReceiverOptions::default()).await.unwrap();
    let url = teams.url();
    let path = url.strip_prefix(&teams.base_url()).unwrap();
    let run = json!({ "type": "RichTextBlock", "inlines": [{ "type": "TextRun", "text": "a" }] });
    let card = json!({ "type": "AdaptiveCard", "version": "1.2", "body": [run, { "type": "TextBlock", "text": "b" }] });
    let kind = "application/vnd.microsoft.card.adaptive";
    let valid = json!({ "type": "message", "attachments": [{ "contentType": kind, "content": card }] });
    assert_eq!(post(teams.address(), path, &valid).await.status, 202);
    assert_eq!((teams.violations().len(), teams.events().len()), (0, 1));
    let at = |rest: &str| format!("/attachments/0/content{rest}");
    for (pointer, value, status) in [
        ("/type".to_owned(), json!("MessageCard"), 400),
        (at("/version"), json!("1.1"), 400),
        (at("/body"), json!([]), 400),
        (at("/body/1/text"), json!("[a](https://x.example)"), 400),
        (at("/body/1/type"), json!("Text"), 400),
        (at("/body/1/text"), json!("x".repeat(21_000)), 413),
        (at("/actions"), json!([{ "type": "Action.OpenUrl", "title": "a", "url": "javascript:x" }]), 400),
    ] {
        assert_eq!(post(teams.address(), path, &changed(&valid, &pointer, value)).await.status, status, "{pointer}");
    }
    assert_eq!(post(teams.address(), &path.replace("sig=", "sig=x"), &valid).await.status, 401);
    assert_eq!(post(teams.address(), "/workflows/other", &valid).await.status, 404);
    assert_eq!(teams.events().len(), 1);
}

#[tokio::test]
async fn pagerduty_opens_and_resolves() {
    let duty = Pagerduty::start(KEY, ReceiverOptions::default()).await.unwrap();
    let payload = json!({ "summary": "a", "source": "b", "severity": "error", "timestamp": "2026-11-29T01:51:00Z" });
    let valid = json!({ "routing_key": KEY, "event_action": "trigger", "dedup_key": "k", "payload": payload });
    let answer = post(duty.address(), "/v2/enqueue", &valid).await;
    assert_eq!((answer.status, answer.json()["dedup_key"].clone()), (202, json!("k")));
    for (pointer, value) in [
        ("/routing_key", json!("other")),
        ("/event_action", json!("open")),
        ("/dedup_key", Value::Null),
        ("/dedup_key", json!("x".repeat(256))),
        ("/payload/summary", json!("x".repeat(1_025))),
        ("/payload/source", Value::Null),
        ("/payload/severity", json!("high")),
        ("/payload/timestamp", json!("yesterday")),
        ("/payload/colour", json!("red")),
        ("/links", json!([{ "href": "javascript:x" }])),
    ] {
        let answer = post(duty.address(), "/v2/enqueue", &changed(&valid, pointer, value)).await;
        assert_eq!((answer.status, answer.json()["status"].clone()), (400, json!("invalid event")), "{pointer}");
    }
    let big = changed(&valid, "/payload/custom_details", json!({ "x": "y".repeat(600_000) }));
    assert_eq!(post(duty.address(), "/v2/enqueue", &big).await.status, 413);
    assert_eq!(duty.open().into_keys().collect::<Vec<_>>(), ["k"]);
    let resolve = json!({ "routing_key": KEY, "event_action": "resolve", "dedup_key": "k" });
    assert_eq!(post(duty.address(), "/v2/enqueue", &resolve).await.status, 202);
    assert!(duty.open().is_empty());
}
