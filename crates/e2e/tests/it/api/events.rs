//! `POST /v1/events`, `GET /v1/events` and `GET /v1/events/{event_id}`.

use std::time::Duration;

use toktra_siem_core::ids::Seq;
use toktra_siem_testkit::prelude::*;

const ID: &str = "0190d3a5-7e8b-4cc3-98c4-dc0c0c07398f";

fn event() -> Value {
    json!({ "event_type": "policy_violation", "severity": "high", "details": { "threshold": 1 } })
}

async fn head(world: &Here) -> Seq {
    *world.store.head(DEFAULT_ORG).await.unwrap().borrow()
}

#[tokio::test]
async fn every_frame_is_taken_in() {
    let world = World::here().await;
    let one = event().to_string();
    let array = format!("[{one},{one}]");
    let wrapped = format!("{{\"events\":[{one},{one},{one}]}}");
    let lines = format!("{one}\n\n{one}\r\n");
    for (content_type, body, count) in [
        ("application/json", &one, 1),
        ("application/json; charset=utf-8", &array, 2),
        ("application/json", &wrapped, 3),
        ("application/x-ndjson", &lines, 2),
    ] {
        for zipped in [false, true] {
            let answer = if zipped {
                world.post_gzip("/v1/events", content_type, body.as_bytes()).await
            } else {
                world.post_bytes("/v1/events", content_type, body.clone()).await
            };
            let answer = answer.expect_status(202).json();
            assert_eq!((&answer["accepted"], &answer["duplicates"]), (&json!(count), &json!(0)));
            assert_eq!(answer["events"].as_array().map(Vec::len), Some(count));
        }
    }
    assert_eq!(head(&world).await, Seq(16));
}

#[tokio::test]
async fn the_same_id_again_is_a_duplicate_and_says_when_it_differs() {
    let world = World::here().await;
    let mut event = event();
    event["event_id"] = ID.into();
    insta::assert_json_snapshot!("accepted", shown(&world.post("/v1/events", &event).await));
    insta::assert_json_snapshot!("duplicate", shown(&world.post("/v1/events", &event).await));
    event["severity"] = "low".into();
    insta::assert_json_snapshot!("duplicate_that_differs", shown(&world.post("/v1/events", &event).await));
    assert_eq!(head(&world).await, Seq(1));
}

#[tokio::test]
async fn one_invalid_event_refuses_all_and_every_fault_is_named() {
    let world = World::here().await;
    let body = json!([
        event(),
        { "event_type": "heartbeat", "severity": "urgent", "colour": "red" },
        { "event_type": "anomaly", "severity": "low", "org_id": "not-a-uuid", "integrity": "x" },
    ]);
    let (client, _) = world.key(&DEFAULT_ORG.to_string(), &["events:write"]).await;
    insta::assert_json_snapshot!("invalid_events", shown(&client.post("/v1/events", &body).await));
    let foreign = json!({ "event_type": "anomaly", "severity": "low", "org_id": ID });
    insta::assert_json_snapshot!("event_of_another_org", shown(&client.post("/v1/events", &foreign).await));
    assert_eq!(head(&world).await, Seq(0));
}

/// The product spec, "Event types": `test_connection` fires at a manual test delivery, and at nothing else.
#[tokio::test]
async fn test_events_and_the_services_own_cannot_be_posted() {
    let world = World::here().await;
    for event_type in ["test_connection", "heartbeat", "connector_alert"] {
        let mut posted = event();
        posted["event_type"] = event_type.into();
        let refused = world.post("/v1/events", &posted).await.expect_status(422).json();
        let fault = &refused["error"]["fields"][0];
        assert_eq!((&fault["pointer"], &fault["code"]), (&json!("/event_type"), &json!("reserved")), "{refused}");
    }
    assert_eq!(head(&world).await, Seq(0));
}

#[tokio::test]
async fn bad_bodies_are_refused_without_an_echo() {
    let world = World::here().await;
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    let deep = format!("{{\"event_type\":\"anomaly\",\"severity\":\"low\",\"details\":{{\"a\":{deep}}}}}");
    let huge = format!("{{\"event_type\":\"anomaly\",\"severity\":\"low\",\"summary\":\"{}\"}}", "x".repeat(300_000));
    for (content_type, body, status, code) in [
        ("application/json", "", 400, "bad_request"),
        ("application/json", "[]", 400, "bad_request"),
        ("application/json", "[{}", 400, "bad_request"),
        ("application/json", "\"hunter2\"", 400, "bad_request"),
        ("application/json", "{\"hunter2", 422, "invalid"),
        ("application/json", "{}", 422, "invalid"),
        ("application/json", deep.as_str(), 422, "invalid"),
        ("application/json", huge.as_str(), 422, "invalid"),
        ("application/x-ndjson", "{}\nhunter2", 422, "invalid"),
        ("text/plain", "{}", 415, "bad_request"),
        ("application/x-www-form-urlencoded", "a=b", 415, "bad_request"),
    ] {
        let answer = world.post_bytes("/v1/events", content_type, body.to_owned()).await;
        let start: String = body.chars().take(40).collect();
        assert_eq!(answer.status, status, "{start}: {}", answer.text());
        assert_eq!(answer.json()["error"]["code"], code, "{start}");
        assert!(!answer.text().contains("hunter2"), "{start}: {}", answer.text());
    }
    assert_eq!(head(&world).await, Seq(0));
}

#[tokio::test]
async fn a_platform_key_posts_for_any_org_that_exists() {
    let world = World::here().await;
    let org = world.tenant("tenant").await;
    let made = world.post("/v1/api-keys", &json!({ "name": "backend", "scopes": ["platform"] })).await;
    let made = made.expect_status(201).json();
    assert_eq!(made["org_id"], Value::Null);
    let backend = world.with_key(made["key"].as_str().unwrap());
    let mut named = event();
    named["org_id"] = org.clone().into();
    let mut unknown = event();
    unknown["org_id"] = ID.into();
    backend.begin("/v1/events", &named).await;
    backend.begin(&format!("/v1/events?org_id={org}"), &event()).await;
    let answer = backend.post("/v1/events", &json!([named, unknown])).await;
    insta::assert_json_snapshot!("unknown_org", shown(&answer));
    let answer = backend.post("/v1/events", &event()).await.expect_status(422);
    assert_eq!(answer.json()["error"]["fields"][0]["pointer"], "/org_id");
    backend.get("/v1/siem/connectors").await.expect_status(400);
    backend.get(&format!("/v1/siem/connectors?org_id={org}")).await.expect_status(200);
    assert_eq!(head(&world).await, Seq(0), "the default org is the bootstrap key's alone");
}

#[tokio::test]
async fn an_event_is_shown_with_its_outcome_by_stream() {
    let world = World::here().await;
    let mut body = splunk_body("before");
    body["filter"] = json!({ "severity": ["critical"] });
    world.make("/v1/siem/connectors", &body).await;
    let mut event = event();
    event["event_id"] = ID.into();
    world.begin("/v1/events", &event).await;
    world.idle_connector(&world, "after").await;
    insta::assert_json_snapshot!("event", shown(&world.get(&format!("/v1/events/{ID}")).await));
    world.get("/v1/events/0190d3a5-7e8b-4cc3-98c4-000000000000").await.expect_status(404);
    world.get("/v1/events/nonsense").await.expect_status(404);
    world.get("/v1/events/nonsense?page=2").await.expect_status(422);
}

#[tokio::test]
async fn events_are_listed_newest_first_and_found_by_type_severity_and_time() {
    let world = World::here().await;
    let post = async |event_type: &str, severity: &str| {
        let body = json!({ "event_type": event_type, "severity": severity, "user_email": "jo@company.com", "summary": severity });
        let posted = world.begin("/v1/events", &body).await;
        world.pass(Duration::from_secs(1));
        posted["events"][0]["event_id"].clone()
    };
    let ids = [post("anomaly", "high").await, post("lockout", "low").await, post("anomaly", "low").await];
    let [first, second, third] = &ids;
    insta::assert_json_snapshot!("listed_events", shown(&world.get("/v1/events?limit=1").await));
    for (query, expected) in [
        ("", vec![third, second, first]),
        ("?event_type=anomaly", vec![third, first]),
        ("?event_type=anomaly&severity=low", vec![third]),
        ("?from=2025-01-15T10:30:01Z", vec![third, second]),
        ("?from=2025-01-15T10:30:01Z&to=2025-01-15T10:30:02Z", vec![second]),
        ("?event_type=heartbeat", vec![]),
    ] {
        let page = world.read(&format!("/v1/events{query}")).await;
        let found: Vec<_> = page["items"].as_array().unwrap().iter().map(|item| &item["event_id"]).collect();
        assert_eq!(found, expected, "{query}");
        assert_eq!((&page["has_more"], &page["next_cursor"]), (&json!(false), &Value::Null), "{query}");
    }
    let mut cursor = String::new();
    let mut paged = Vec::new();
    loop {
        let page = world.read(&format!("/v1/events?limit=2{cursor}")).await;
        paged.extend(page["items"].as_array().unwrap().iter().map(|item| item["event_id"].clone()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, [third.clone(), second.clone(), first.clone()]);
    let wrong = world.get("/v1/events?event_type=party&severity=urgent&cursor=x&person=jo").await;
    insta::assert_json_snapshot!("bad_event_filter", shown(&wrong));
    let stranger = world.tenant("stranger").await;
    let (client, _) = world.key(&stranger, &["siem:read"]).await;
    assert_eq!(client.read("/v1/events").await["items"], json!([]));
}
