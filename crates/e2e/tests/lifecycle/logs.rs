//! The log: a record is a line, whatever events and SIEMs put into it (log injection).

use bytes::Bytes;
use http::Method;
use toktra_siem_fake::splunk::Endpoint;
use toktra_siem_testkit::prelude::*;

/// What would end a line, or steer a terminal.
const NASTY: &str = "x\r\n2026-01-01T00:00:00Z ERROR forged\u{1b}[31m\u{2028}\u{2029}\u{85}y";

/// A run in which nasty text comes from a producer, in a path, and from a SIEM; what it logged.
async fn logged(setup: ServerSetup) -> String {
    let splunk = splunk().await;
    let mut world = World::with(setup.env("TOKTRA_SIEM_LOG_LEVEL", "debug")).await;
    let connector = world.connect(&splunk).await;
    let reply = Reply::json(400, &json!({ "text": NASTY, "code": 12, "invalid-event-number": 0 }));
    splunk.script(Endpoint::Event, (0..3).map(|_| Behaviour::reply(reply.clone())));
    let fields = json!({ "summary": NASTY, "user_id": NASTY, "details": { NASTY: NASTY }, "tags": { "a": NASTY } });
    world.post_events(&[violation(fields)]).await;
    connector.accounted(&[("accepted", 1), ("pending", 0)]).await;
    world
        .send(Method::GET, "/v1/%0d%0aforged%1b", &[("x-request-id", "log-test")], Bytes::new())
        .await
        .expect_status(404);
    splunk.healthy();
    world.post_events(&[violation(json!({}))]).await;
    connector.accounted(&[("delivered", 1)]).await;
    world.stop().await;
    world.log()
}

#[tokio::test]
async fn as_json_every_line_is_an_object_with_the_same_keys() {
    let log = logged(setup().env("TOKTRA_SIEM_LOG", "json")).await;
    let lines: Vec<&str> = log.split('\n').filter(|line| !line.is_empty()).collect();
    assert!(lines.len() > 5, "{log}");
    for line in &lines {
        assert!(!line.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')), "{line:?}");
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if record["listening"].is_string() {
            continue;
        }
        for key in ["timestamp", "level", "target", "message"] {
            assert!(record[key].is_string(), "{key} is missing: {line}");
        }
    }
    let record = |message: &str| {
        let found = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        found
            .into_iter()
            .find(|record| record["message"].as_str().is_some_and(|text| text.starts_with(message)))
            .unwrap()
    };
    assert_eq!(record("listening")["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&record("ended")["accepted"], &record("ended")["pending"]), (&json!(2), &json!(0)));
    let failed = record("delivery failed");
    assert_eq!((&failed["level"], &failed["attempts"], &failed["status"]), (&json!("WARN"), &json!(3), &json!(400)));
    assert_eq!(failed["cause"], "splunk_12_event_field_required");
    assert!(failed["why"].as_str().is_some_and(|why| why.starts_with("Splunk answered 400")), "{failed}");
    let answered = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let answered: Vec<Value> = answered.filter(|record| record["request_id"] == "log-test").collect();
    assert_eq!(answered.len(), 1, "{answered:?}");
    assert_eq!((&answered[0]["message"], &answered[0]["status"]), (&json!("answered"), &json!(404)));
}

#[tokio::test]
async fn as_text_every_line_begins_with_a_time() {
    let log = logged(setup()).await;
    for line in log.split('\n').filter(|line| !line.is_empty() && !line.starts_with("{\"listening\"")) {
        let begins =
            line.get(..4).is_some_and(|year| year.bytes().all(|b| b.is_ascii_digit())) && line.get(4..5) == Some("-");
        assert!(begins && !line.contains(|c: char| c.is_control() || c == '\u{2028}'), "{line:?}");
    }
}

#[tokio::test]
async fn a_start_that_fails_says_so_in_json_where_the_rest_does() {
    let world = World::with(setup().env("TOKTRA_SIEM_LOG", "json")).await;
    // Another process on the same data directory.
    let log = world.refused(1).await;
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{log}"))).collect();
    let last = lines.last().unwrap();
    assert_eq!(last["level"], "ERROR");
    assert!(last["error"].as_str().unwrap().contains("in use by a running server"), "{last}");
    world.end().await;
}
