//! A server that is newer than the command: what it says in words that are not known is said as it is, and nothing of it is lost in JSON.

use serde_json::{Value, json};

use super::answers::{ID, TIME, accounting, delivery, job, splunk, tested, with};
use super::responder::{Responder, answer, page};

/// A connector of a newer server: for a platform, from a place and with a filter that are not known.
fn newer() -> Value {
    let own = json!({
        "platform": "kafka", "managed_by": "terraform", "filter": {"severity": ["urgent"], "regions": ["eu"]}, "config": {"topic": "x"},
        "labels": {"team": "soc"}, "signing_secret": {"set": true, "hint": "…1234", "rotated": true},
    });
    with(splunk(), &own)
}

fn connectors() -> (&'static str, Value) {
    ("GET /v1/siem/connectors?", with(page(&json!([newer()])), &json!({"took_ms": 1})))
}

/// A channel of a newer server: of a kind, and told of a topic, that are not known.
fn channels() -> Value {
    page(&json!([{
        "id": ID, "name": "Coop", "kind": "pigeon", "config": {"loft": "north", "ring": {"set": true, "hint": "…1234"}}, "events": ["down", "storm"],
        "active": true, "created_at": TIME, "updated_at": TIME, "last_sent_at": null, "failing": null, "speed": 90,
    }]))
}

#[tokio::test]
async fn connectors_are_listed_shown_changed_and_left_alone() {
    let path = "/v1/siem/connectors/0197a1b2-0000-7000-8000-000000000001";
    let server = Responder::start(move |seen| match seen.line.split_once(' ').unwrap() {
        ("PATCH", _) => answer(200, &with(newer(), &json!({"backlog": 0, "skipped": 0, "paused": 1}))),
        ("DELETE", _) => answer(200, &json!({"discarded": 0, "archived": 7})),
        (_, at) if at.ends_with("/accounting") => answer(200, &accounting(&json!({"stream": "traces", "delayed": 1}))),
        (_, at) if at.starts_with(path) => answer(200, &newer()),
        (_, at) if at.starts_with("/v1/notification-channels") => answer(200, &channels()),
        _ => answer(200, &connectors().1),
    })
    .await;
    assert!(server.text(&["connector", "list"]).await.contains("Splunk  kafka     on"));
    let text = server.text(&["connector", "get", "Splunk"]).await;
    for line in
        ["managed by      terraform\n", "severity        urgent\n", "event types     all\n", "topic           x\n"]
    {
        assert!(text.contains(line), "{line}{text}");
    }
    let shown: Value = serde_json::from_str(&server.text(&["connector", "get", "Splunk", "--json"]).await).unwrap();
    assert_eq!(shown, newer());
    let listed: Value = serde_json::from_str(&server.text(&["connector", "list", "--json"]).await).unwrap();
    assert_eq!(listed, json!([newer()]));
    let text = server.text(&["connector", "update", "Splunk", "--name", "S"]).await;
    assert!(text.starts_with("Saved: Splunk (kafka, on)."), "{text}");
    assert!(server.text(&["connector", "accounting", "Splunk"]).await.contains("Splunk  traces"));
    let exported = server.text(&["connector", "export"]).await;
    assert!(exported.contains("filter: {severity: [urgent]}") && exported.contains("kind: pigeon"), "{exported}");
    assert!(server.text(&["channel", "list"]).await.contains("Coop  pigeon"));
    let text = server.text(&["channel", "get", "Coop"]).await;
    assert!(text.contains("down, storm") && text.contains("set (…1234)"), "{text}");
    server.text(&["connector", "delete", "Splunk", "--yes"]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("none.yaml");
    std::fs::write(&file, "connectors: []\n").unwrap();
    let text = server.text(&["connector", "apply", "-f", file.to_str().unwrap()]).await;
    assert!(text.contains("left alone (--prune deletes them): Splunk."), "{text}");
}

#[tokio::test(start_paused = true)]
async fn deliveries_jobs_events_and_tests_are_told_in_its_words() {
    let number = "123456789012345678901234567890.10";
    let event = json!({
        "event_id": ID, "event_type": "impossible_travel", "severity": "urgent", "timestamp": TIME, "accepted_at": TIME, "sequence": 1,
        "test": false, "event": {"number": "NUMBER"}, "outcomes": [{
            "connector_id": ID, "connector_name": "Splunk", "connector_deleted": false, "stream": "traces", "outcome": "deferred",
            "why": "Later.", "rule": "region", "ring": 2,
        }],
    });
    let event = event.to_string().replace("\"NUMBER\"", number);
    let outage = json!({"since": "2025-01-15T01:51:00.000Z", "until": "2025-01-15T02:20:00.000Z", "probes": 87});
    let more = json!({"stream": "traces", "trigger": "canary", "status": "deferred", "cost": 1, "outage": outage});
    let mut sent = with(delivery(), &more);
    sent["attempts"][0]["request"] = json!({"method": "QUERY", "url": "https://x/", "headers": []});
    let mut test = tested(true);
    test["streams"][0]["stages"][0]["stage"] = json!("quic");
    let states = parking_lot::Mutex::new(vec![job("done", 10, 0), job("throttled", 5, 0), job("throttled", 1, 0)]);
    let server = Responder::start(move |seen| match seen.line.as_str() {
        line if line.contains("/v1/events/") => {
            super::responder::Answer { body: event.clone(), ..answer(200, &json!({})) }
        }
        line if line.contains("/v1/siem/jobs/") => answer(200, &states.lock().pop().unwrap()),
        line if line.contains("/v1/siem/jobs") => {
            answer(200, &page(&json!([with(job("throttled", 1, 0), &json!({"kind": "rewind"}))])))
        }
        line if line.contains("/v1/siem/deliveries/") => answer(200, &sent),
        line if line.contains("/v1/siem/deliveries") => answer(200, &page(&json!([sent]))),
        line if line.ends_with("/test") => answer(200, &test),
        _ => answer(200, &connectors().1),
    })
    .await;
    let tells = async |arguments: &[&str], words: &[&str]| {
        let said = server.text(arguments).await;
        assert!(words.iter().all(|word| said.contains(word)), "{arguments:?}: {said}");
    };
    tells(&["event", "get", ID], &["impossible_travel", "urgent", "traces  deferred", number]).await;
    tells(&["event", "get", ID, "--json"], &["\"ring\": 2", &format!("\"number\": {number}")]).await;
    let lasted = "down from 2025-01-15T01:51:00.000Z to 2025-01-15T02:20:00.000Z, 87 probes";
    tells(&["delivery", "list"], &["traces  canary   deferred", lasted]).await;
    tells(&["delivery", "get", ID], &[lasted]).await;
    tells(&["delivery", "list", "--json"], &["\"cost\": 1"]).await;
    tells(&["delivery", "get", ID], &["canary", "\"excerpt\":\"{\\\"code\\\":4}\""]).await;
    tells(&["job", "list"], &["rewind  throttled"]).await;
    tells(&["job", "watch", ID], &["done"]).await;
    tells(&["connector", "test", "Splunk"], &["quic", "✓ Delivered"]).await;
}

#[tokio::test]
async fn an_answer_of_another_kind_is_told_with_what_was_expected_and_where() {
    let server = Responder::with(vec![("GET /v1/siem/jobs/", json!({"id": ID, "kind": "replay"}))]).await;
    let (code, text) = server.fails(&["job", "get", ID]).await;
    assert!(code == 1 && text.starts_with(&format!("/v1/siem/jobs/{ID} was to answer Job")), "{text}");
    // `--json` shows what came all the same.
    let shown: Value = serde_json::from_str(&server.text(&["job", "get", ID, "--json"]).await).unwrap();
    assert_eq!(shown, json!({"id": ID, "kind": "replay"}));
}
