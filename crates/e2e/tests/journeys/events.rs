//! Events in: every frame through to a platform, idempotency, limits to the byte, faults named by index.

use std::collections::BTreeSet;

use toktra_siem_fake::splunk::{Splunk, SplunkOptions};
use toktra_siem_testkit::prelude::*;

/// The largest event, in bytes.
const EVENT_BYTES: usize = 256 * 1024;
/// The largest request, inflated.
const REQUEST_BYTES: usize = 4 * 1024 * 1024;
/// How deep an event may be nested, itself included.
const DEPTH: usize = 32;

/// A server, an org and a Splunk connector that takes everything.
async fn all_to_splunk(splunk: &Splunk) -> (World, Org, Connector) {
    let world = World::start().await;
    let org = world.org("Acme").await;
    let connector = org.connect(splunk).await;
    (world, org, connector)
}

#[tokio::test]
async fn every_frame_reaches_the_platform() {
    let (world, org, splunk, connector) = World::with_splunk().await;
    let one = event("anomaly", "high").to_string();
    let mut ids = Vec::new();
    for (content_type, body, count) in [
        ("application/json", one.clone(), 1),
        ("application/json", format!(" [ {one} ,\n{one}] "), 2),
        ("application/json", format!("{{\"events\":[{one},{one},{one}]}}"), 3),
        ("application/x-ndjson", format!("{one}\n\n{one}\r\n"), 2),
    ] {
        for zipped in [false, true] {
            let answer = if zipped {
                org.post_gzip("/v1/events", content_type, body.as_bytes()).await
            } else {
                org.post_bytes("/v1/events", content_type, body.clone()).await
            };
            let answer = answer.expect_status(202).json();
            let members: BTreeSet<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members, BTreeSet::from(["accepted", "duplicates", "events"]));
            assert_eq!((&answer["accepted"], &answer["duplicates"]), (&json!(count), &json!(0)));
            let events = answer["events"].list();
            assert_eq!(events.len(), count);
            for taken in events {
                assert_eq!(taken, json!({ "event_id": taken["event_id"], "status": "accepted" }));
                ids.push(taken["event_id"].text());
            }
        }
    }
    accepted(&splunk, 16).await;
    assert_each_once(&splunk, &ids);
    world.end_with(&[(&connector, &[("events", Account::delivered(16))])]).await;
}

#[tokio::test]
async fn the_same_id_again_is_answered_and_not_delivered_again() {
    let (world, org, splunk, connector) = World::with_splunk().await;
    let id = "0190d3a5-7e8b-4cc3-98c4-dc0c0c07398f";
    let first = with(event("anomaly", "high"), "event_id", id);
    let post = async |body: Value| {
        let answer = org.begin("/v1/events", &body).await;
        (answer["accepted"].clone(), answer["duplicates"].clone(), answer["events"].clone())
    };
    let shown = |status: &str| json!({ "event_id": id, "status": status });
    assert_eq!(post(first.clone()).await, (json!(1), json!(0), json!([shown("accepted")])));
    assert_eq!(post(first.clone()).await, (json!(0), json!(1), json!([shown("duplicate")])));
    let other = with(first.clone(), "severity", "low");
    let differs = with(shown("duplicate"), "differs", true);
    assert_eq!(post(other).await, (json!(0), json!(1), json!([differs])));
    // Within one request, beside a new one, and spelt otherwise.
    let spelt = with(event("anomaly", "high"), "event_id", id.to_uppercase());
    let fresh = with(event("lockout", "low"), "event_id", "0190d3a5-7e8b-4cc3-98c4-000000000001");
    let (accepted_now, duplicates, events) = post(json!([spelt, fresh, fresh])).await;
    assert_eq!((accepted_now, duplicates), (json!(1), json!(2)));
    let statuses: Vec<_> = events.list().iter().map(|event| event["status"].text()).collect();
    assert_eq!(statuses, ["duplicate", "accepted", "duplicate"]);

    // The same id in another org is another event.
    let neighbour = world.org("Neighbour").await;
    neighbour.post_event(first).await;
    accepted(&splunk, 2).await;
    assert_each_once(&splunk, &[id.to_owned(), "0190d3a5-7e8b-4cc3-98c4-000000000001".to_owned()]);
    assert_eq!(org.stored_without_nulls(id).await, splunk.events()[0].event, "the first one holds");
    world.end_with(&[(&connector, &[("events", Account::delivered(2))])]).await;
}

/// An event of exactly this many bytes.
fn sized(bytes: usize) -> String {
    let empty = with(event("anomaly", "high"), "details", json!({ "text": "" })).to_string();
    empty.replace(r#""text":"""#, &format!(r#""text":"{}""#, "x".repeat(bytes - empty.len())))
}

/// An event of this depth: the event is the first level, `details` the second.
fn nested(depth: usize) -> String {
    let arrays = depth - 2;
    let deep = format!("{}{}", "[".repeat(arrays), "]".repeat(arrays));
    format!(r#"{{"event_type":"anomaly","severity":"high","details":{{"deep":{deep}}}}}"#)
}

#[tokio::test]
async fn limits_hold_to_the_byte() {
    // A limit of the fake's own must not stand in the way.
    let splunk =
        Splunk::start(SplunkOptions { max_bytes: 10_000_000, ..SplunkOptions::new(CREDENTIAL) }).await.unwrap();
    let (world, org, connector) = all_to_splunk(&splunk).await;
    let post = async |body: String| org.post_bytes("/v1/events", "application/json", body).await;
    let refused = async |body: String, status: u16, code: &str| {
        let answer = post(body).await.expect_status(status).json();
        assert_eq!(answer["error"]["code"], code, "{answer}");
        answer
    };
    assert_eq!(sized(EVENT_BYTES).len(), EVENT_BYTES);
    post(sized(EVENT_BYTES)).await.expect_status(202);
    let answer = refused(sized(EVENT_BYTES + 1), 422, "invalid").await;
    assert_eq!(answer["error"]["fields"][0]["pointer"], "");

    post(nested(DEPTH)).await.expect_status(202);
    refused(nested(DEPTH + 1), 422, "invalid").await;

    let padded = |bytes: usize| {
        let event = event("lockout", "low").to_string();
        format!("{event}{}", " ".repeat(bytes - event.len()))
    };
    post(padded(REQUEST_BYTES)).await.expect_status(202);
    refused(padded(REQUEST_BYTES + 1), 413, "bad_request").await;
    let zipped = async |body: String| org.post_gzip("/v1/events", "application/json", body.as_bytes()).await;
    zipped(padded(REQUEST_BYTES)).await.expect_status(202);
    zipped(padded(REQUEST_BYTES + 1)).await.expect_status(413);

    accepted(&splunk, 4).await;
    let largest = splunk.events().iter().map(|taken| taken.event.len()).max().unwrap();
    assert!(largest > EVENT_BYTES, "what was filled in comes on top of what was sent");
    assert_eq!(splunk.violations(), []);
    world.end_with(&[(&connector, &[("events", Account::delivered(4))])]).await;
}

#[tokio::test]
async fn one_invalid_event_refuses_the_request_and_every_fault_is_named_by_index() {
    let (world, org, splunk, connector) = World::with_splunk().await;
    let good = event("anomaly", "high");
    let bad = [
        good.clone(),
        with(event("heartbeat", "urgent"), "colour", "red"),
        json!({ "severity": "low" }),
        with(good.clone(), "timestamp", "1999-12-31T23:59:59Z"),
        with(good.clone(), "integrity", "reserved"),
        with(good.clone(), "tags", json!({ "team": 7 })),
        good.clone(),
    ];
    let named = |prefix: &str| -> BTreeSet<String> {
        ["1/event_type", "1/severity", "1/colour", "2/event_type", "3/timestamp", "4/integrity", "5/tags/team"]
            .iter()
            .map(|fault| format!("{prefix}/{fault}"))
            .collect()
    };
    let lines: Vec<String> = bad.iter().map(Value::to_string).collect();
    for (content_type, body, prefix) in [
        ("application/json", json!(bad).to_string(), ""),
        ("application/json", json!({ "events": bad }).to_string(), "/events"),
        ("application/x-ndjson", lines.join("\n"), ""),
    ] {
        let answer = org.post_bytes("/v1/events", content_type, body).await.expect_status(422).json();
        assert_eq!(answer["error"]["code"], "invalid");
        let fields = answer["error"]["fields"].list();
        let pointers: BTreeSet<String> = fields.iter().map(|fault| fault["pointer"].text()).collect();
        assert_eq!(pointers, named(prefix), "{answer}");
    }
    let foreign = with(good.clone(), "org_id", "0190d3a5-7e8b-4cc3-98c4-dc0c0c07398f");
    let answer = org.post("/v1/events", &json!([good, foreign])).await.expect_status(422).json();
    assert_eq!(answer["error"]["fields"][0]["pointer"], "/1/org_id");
    org.anonymous().post("/v1/events", &good).await.expect_status(401);

    // Nothing of all that was kept: the next event is the first one, and the only one that arrives.
    let id = org.post_event(good).await;
    accepted(&splunk, 1).await;
    assert_each_once(&splunk, &[id]);
    world.end_with(&[(&connector, &[("events", Account::delivered(1))])]).await;
}
