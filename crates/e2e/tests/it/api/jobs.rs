//! Redelivering, replaying and discarding as the API answers them, and exports of the history. What the dispatcher makes of a job is tested
//! beside the dispatcher.

use std::time::Duration;

use toktra_siem_core::breaker::{Breaker, FOR_GOOD, OpenKind};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Delivery, Trigger, Window};
use toktra_siem_core::destination::Tally;
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::ids::{DeliveryId, EventId, NodeId, Revision, Seq, StreamId, StreamKind};
use toktra_siem_core::members::Members;
use toktra_siem_store::{AuditQuery, Change, Open, Passed, Taken, TestEvent, TestOpen};
use toktra_siem_testkit::prelude::*;
use uuid::Uuid;

use super::history::with_history;

/// The conflict's sentence.
fn why(answer: &Answer) -> String {
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], "conflict");
    answer.json()["error"]["message"].text()
}

fn stream_of(connector: &str, kind: StreamKind) -> StreamId {
    StreamId { connector: connector.parse().unwrap(), kind }
}

async fn set_breaker(world: &Here, connector: &str, breaker: Breaker) {
    let (lease, _) = world.take_over(stream_of(connector, StreamKind::Events)).await;
    world.store.set_breaker(&lease, breaker).await.unwrap();
}

fn path(connector: &str, below: &str) -> String {
    format!("/v1/siem/connectors/{connector}/{below}")
}

#[tokio::test]
async fn a_job_is_answered_at_once_and_says_what_it_waits_for() {
    let (world, id) = with_history().await;
    let asked = world.post(&path(&id, "redeliver-failed"), &json!({})).await.expect_status(202);
    insta::assert_json_snapshot!("job_waiting", shown(&asked));
    let job = asked.json().id();
    assert_eq!(asked.header("location"), Some(format!("/v1/siem/jobs/{job}").as_str()));
    assert_eq!(*world.dispatch.jobs.lock(), [id.parse().unwrap()]);

    let now = async || world.read(&format!("/v1/siem/jobs/{job}")).await;
    let cause = Cause::new("splunk_7_incorrect_index", "Splunk does not have the index `toktra`.");
    let kind = OpenKind::Misconfigured;
    let open = Breaker::Open { kind, cause, since: START, failures: 0, probe_at: START };
    set_breaker(&world, &id, open).await;
    insta::assert_json_snapshot!("reason_misconfigured", now().await["reason"]);
    set_breaker(&world, &id, Breaker::default()).await;
    assert_eq!((&now().await["state"], &now().await["reason"]), (&json!("running"), &Value::Null));
    world.pass(Duration::from_millis(1));
    let second = world.begin(&path(&id, "replay"), &json!({})).await;
    assert_eq!(second["state"], "waiting");
    assert!(second["reason"].as_str().unwrap().contains(&job), "{second}");
    world.change(&format!("/v1/siem/connectors/{id}"), &json!({ "active": false })).await;
    insta::assert_json_snapshot!("reason_off", now().await["reason"]);
}

/// A receiver that answered 410. Nothing is tried until somebody acts, and job, event and page all say so.
#[tokio::test]
async fn what_waits_for_a_person_says_so_everywhere() {
    let (world, id) = with_history().await;
    let cause = Cause::new("webhook_gone", "The receiver answered 410.");
    let kind = OpenKind::Misconfigured;
    let open = Breaker::Open { kind, cause, since: START, failures: 3, probe_at: START.plus(FOR_GOOD) };
    set_breaker(&world, &id, open).await;
    let job = world.begin(&path(&id, "redeliver-failed"), &json!({})).await;
    let event = world.read(&format!("/v1/events/{}", Uuid::from_u128(2))).await;
    let page = Tab::of_admin(&world).await.get(&format!("/integrations/siem/{id}")).await.expect_status(200).text();
    for (said, acts) in [
        (job["reason"].text(), "The job goes on once somebody saves the connector, or a test delivery arrives."),
        (
            event["outcomes"][0]["why"].text(),
            "It is sent again once somebody saves the connector, or a test delivery arrives.",
        ),
        (page, "1 event failed and is sent again once the connector is saved, or a test delivery arrives."),
    ] {
        assert!(said.contains(acts), "{said}");
    }
}

#[tokio::test]
async fn a_dry_run_says_how_many_and_makes_nothing() {
    let (world, id) = with_history().await;
    world.pass(Duration::from_mins(1));
    for (below, body, total) in [
        ("replay", json!({}), 3),
        ("replay", json!({ "from": "2025-01-15T10:30:00.001Z" }), 0),
        ("replay", json!({ "from": "2025-01-15T10:30:00Z", "to": "2025-01-15T10:30:01Z" }), 3),
        ("replay", json!({ "from": null, "to": "2025-01-15T10:30:00Z" }), 0),
        ("redeliver-failed", json!({}), 1),
        ("discard", json!({}), 1),
        ("discard", json!({ "to": "2025-01-15T10:30:00Z" }), 0),
    ] {
        let mut body = body;
        body["dry_run"] = true.into();
        let answer = world.call(&path(&id, below), &body).await;
        assert_eq!(answer, json!({ "dry_run": true, "total": total }), "{below} {body}");
    }
    // The filter of now, not that of then.
    world
        .change(&format!("/v1/siem/connectors/{id}"), &json!({ "filter": { "severity": ["high"] }, "active": false }))
        .await;
    let answer = world.call(&path(&id, "replay"), &json!({ "dry_run": true })).await;
    assert_eq!(answer["total"], 0);
    let jobs = world.read("/v1/siem/jobs").await;
    assert_eq!(jobs, json!({ "items": [], "next_cursor": null, "has_more": false, "total_count": null }));
    assert!(world.dispatch.jobs.lock().is_empty());
}

#[tokio::test]
async fn a_bad_range_is_named_by_its_field() {
    let (world, id) = with_history().await;
    let mixed_up = json!({ "from": "2025-01-15T10:00:00Z", "to": "2025-01-15T09:00:00Z" });
    let answer = world.post(&path(&id, "replay"), &mixed_up).await;
    insta::assert_json_snapshot!("range_mixed_up", shown(&answer));
    let all = json!({ "from": "2031-01-01T00:00:00Z", "to": "tomorrow", "dry_run": 1, "limit": 5 });
    let answer = world.post(&path(&id, "discard"), &all).await;
    insta::assert_json_snapshot!("range_faults", shown(&answer));
    let empty = json!({ "from": "2025-01-15T10:00:00Z", "to": "2025-01-15T10:00:00Z" });
    world.post(&path(&id, "redeliver-failed"), &empty).await.expect_status(422);
    let future = json!({ "to": "2031-01-01T00:00:00Z" });
    let answer = world.post(&path(&id, "replay"), &future).await.expect_status(422).json();
    assert_eq!(answer["error"]["fields"][0]["pointer"], "/to");
    assert_eq!(world.get("/v1/siem/jobs").await.json()["items"], json!([]));
}

#[tokio::test]
async fn one_delivery_is_sent_again() {
    let (world, id) = with_history().await;
    let delivery = Uuid::from_u128(1001);
    let answer = world.post(&format!("/v1/siem/deliveries/{delivery}/redeliver"), &json!({})).await;
    let job = answer.expect_status(202).json();
    assert_eq!((&job["kind"], &job["delivery_id"]), (&json!("redeliver"), &json!(delivery)));
    assert_eq!((&job["total"], &job["connector_id"]), (&json!(1), &json!(id)));
    let unknown = world.post(&format!("/v1/siem/deliveries/{id}/redeliver"), &json!({})).await;
    unknown.expect_status(404);
    let surplus = world.post(&format!("/v1/siem/deliveries/{delivery}/redeliver"), &json!({ "x": 1 })).await;
    surplus.expect_status(422);
}

/// A Datadog connector, and a settled window of its metrics.
async fn window(world: &Here) -> DeliveryId {
    let body = json!({ "name": "d", "platform": "datadog", "config": { "api_key": "0123456789abcdef0123456789abcdef" }, "active": true });
    let made = world.make("/v1/siem/connectors", &body).await;
    let stream = stream_of(made["id"].as_str().unwrap(), StreamKind::Metrics);
    let event = json!({ "event_type": "anomaly", "severity": "low" });
    world.begin("/v1/events", &event).await;
    let (lease, record) = world.take_over(stream).await;
    let mut tally = Tally::default();
    tally.add(EventType::Anomaly, Severity::Low);
    let id = DeliveryId(Uuid::from_u128(2001));
    let members = Members::from_ascending([record.head]);
    let delivery = Delivery::new(id, DEFAULT_ORG, stream, Trigger::Live, members, START);
    let delivery = Delivery { window: Some(Window { start: START, tally }), ..delivery };
    let (from, to) = (record.cursor, record.head);
    let taken = Taken::Live { from, to, passed: Passed::default(), revision: Revision(1) };
    world.store.open(&lease, Open { deliveries: vec![delivery], taken, job: None }).await.unwrap();
    id
}

/// A pending replay, beside the account of the connector's only stream.
async fn replay(world: &Here, connector: &str, n: u128) -> DeliveryId {
    let stream = stream_of(connector, StreamKind::Events);
    let (lease, _) = world.take_over(stream).await;
    let id = DeliveryId(Uuid::from_u128(n));
    let delivery = Delivery::new(id, DEFAULT_ORG, stream, Trigger::Replay, Members::from_ascending([Seq(1)]), START);
    world.store.open(&lease, Open { deliveries: vec![delivery], taken: Taken::Beside, job: None }).await.unwrap();
    id
}

/// A pending test delivery of the connector's only stream.
async fn tested(world: &Here, connector: &str) -> DeliveryId {
    let id = DeliveryId(Uuid::from_u128(3001));
    let stream = stream_of(connector, StreamKind::Events);
    let delivery = Delivery::new(id, DEFAULT_ORG, stream, Trigger::Test, Members::default(), START);
    let event = TestEvent { event_id: EventId(id.0), event_time: START, payload: "{}".into() };
    let value = TestOpen { event, deliveries: vec![delivery], node: NodeId(Uuid::nil()) };
    world.store.open_tests(DEFAULT_ORG, Change { value, audit: audit() }).await.unwrap();
    id
}

#[tokio::test]
async fn what_cannot_be_sent_again_is_refused_with_the_reason() {
    let (world, id) = with_history().await;
    let redeliver = async |delivery: DeliveryId| {
        why(&world.post(&format!("/v1/siem/deliveries/{delivery}/redeliver"), &json!({})).await)
    };
    let mut said = vec![redeliver(window(&world).await).await];
    said.push(redeliver(tested(&world, &id).await).await);
    said.push(redeliver(replay(&world, &id, 3002).await).await);
    world.change(&format!("/v1/siem/connectors/{id}"), &json!({ "active": false })).await;
    let settled = DeliveryId(Uuid::from_u128(1001));
    said.push(redeliver(settled).await);
    for below in ["replay", "redeliver-failed"] {
        assert_eq!(why(&world.post(&path(&id, below), &json!({})).await), said[3]);
    }
    world.remove(&format!("/v1/siem/connectors/{id}")).await;
    said.push(redeliver(settled).await);
    insta::assert_json_snapshot!("refusals", said);
}

#[tokio::test]
async fn what_is_off_can_be_discarded() {
    let (world, id) = with_history().await;
    world.change(&format!("/v1/siem/connectors/{id}"), &json!({ "active": false })).await;
    let job = world.begin(&path(&id, "discard"), &json!({})).await;
    assert_eq!((&job["state"], &job["total"], &job["kind"]), (&json!("running"), &json!(1), &json!("discard")));
    let open = world.store.open_discards().await.unwrap();
    assert!(!world.store.discard(open[0], 500).await.unwrap());
    let path = format!("/v1/siem/jobs/{}", job["id"].as_str().unwrap());
    insta::assert_json_snapshot!("job_discarded", shown(&world.get(&path).await.expect_status(200)));
    let event = world.get(&format!("/v1/events/{}", Uuid::from_u128(2))).await.json();
    assert_eq!(event["outcomes"][0]["outcome"], "discarded");
}

#[tokio::test]
async fn jobs_are_listed_and_cancelled_and_both_are_in_the_audit_log() {
    let (world, id) = with_history().await;
    let mut made = Vec::new();
    for _ in 0..3 {
        let job = world.begin(&path(&id, "replay"), &json!({})).await;
        made.push(job.id());
        world.pass(Duration::from_millis(1));
    }
    set_breaker(&world, &id, Breaker::default()).await;
    let cancelled = world.remove(&format!("/v1/siem/jobs/{}", made[2])).await;
    assert_eq!((&cancelled["state"], &cancelled["processed"]), (&json!("cancelled"), &json!(0)));
    let again = world.remove(&format!("/v1/siem/jobs/{}", made[2])).await;
    assert_eq!(again, cancelled);
    let ids = async |query: &str| {
        let list = world.read(&format!("/v1/siem/jobs?{query}")).await;
        list["items"].as_array().unwrap().iter().map(Json::id).collect::<Vec<_>>()
    };
    let newest: Vec<String> = made.iter().rev().cloned().collect();
    assert_eq!(ids("").await, newest);
    assert_eq!(ids(&format!("connector={id}")).await, newest);
    assert_eq!(ids(&format!("connector={}", made[0])).await, [""; 0]);
    assert_eq!(ids("state=running").await, newest[2..]);
    assert_eq!(ids("state=waiting").await, newest[1..2]);
    assert_eq!(ids("state=cancelled").await, newest[..1]);
    assert_eq!(ids("state=done").await, [""; 0]);
    let first = world.read("/v1/siem/jobs?limit=2").await;
    assert_eq!(first["has_more"], true);
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(ids(&format!("limit=2&cursor={cursor}")).await, newest[2..]);
    world.get("/v1/siem/jobs?state=lost").await.expect_status(422);

    let audit = world.store.audit(DEFAULT_ORG, AuditQuery { limit: 99, ..AuditQuery::default() }).await.unwrap().items;
    let of = |action: &str| audit.iter().map(|(_, entry)| entry).filter(|e| e.action == action).collect::<Vec<_>>();
    assert_eq!((of("job.create").len(), of("job.cancel").len()), (3, 1));
    assert_eq!((&of("job.cancel")[0].object, &of("job.create")[0].detail["total"]), (&made[2], &json!(3)));
}

#[tokio::test]
async fn there_are_so_many_unfinished_jobs_and_no_more() {
    let (world, id) = with_history().await;
    for _ in 0..100 {
        world.begin(&path(&id, "replay"), &json!({})).await;
    }
    let said = why(&world.post(&path(&id, "replay"), &json!({})).await);
    assert!(said.contains("cancel some"), "{said}");
    assert_eq!(world.read("/v1/siem/jobs?limit=100").await["has_more"], false);
}

async fn export(world: &Here, path: &str, accept: &str) -> Answer {
    world.send(http::Method::GET, path, &[("accept", accept)], bytes::Bytes::new()).await
}

#[tokio::test]
async fn a_history_is_exported_whole_however_long_it_is() {
    let (world, id) = with_history().await;
    for n in 0..1_200u128 {
        replay(&world, &id, 10_000 + n).await;
    }
    let all = "/v1/siem/deliveries";
    let ndjson = export(&world, all, "application/x-ndjson").await.expect_status(200);
    assert_eq!(ndjson.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(ndjson.header("cache-control"), Some("no-store"));
    assert_eq!(ndjson.header("x-accel-buffering"), Some("no"), "a long one goes through proxies as it is made");
    let text = ndjson.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1_202);
    let page = world.get("/v1/siem/deliveries?limit=100").await.json();
    assert_eq!(lines[..100], *page["items"].as_array().unwrap(), "newest first, as lists show them");

    let csv = export(&world, &format!("/v1/siem/connectors/{id}/deliveries?status=pending"), "text/csv").await;
    let csv = csv.expect_status(200);
    assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"deliveries.csv\""));
    assert_eq!(csv.text().matches("\r\n").count(), 1_201, "a header, and a line for each");
    assert_eq!(csv.text().matches("connector_id").count(), 1);
    let failed = export(&world, "/v1/siem/deliveries?status=failed", "text/csv").await.expect_status(200);
    insta::assert_snapshot!("export_csv", failed.text().replace(&id, "<connector>"));

    for (query, accept) in
        [("limit=5", "text/csv"), ("cursor=x", "application/x-ndjson"), ("stauts=failed", "text/csv")]
    {
        export(&world, &format!("{all}?{query}"), accept).await.expect_status(422);
    }
    let page = export(&world, all, "text/html, */*;q=0.8").await.expect_status(200).json();
    assert_eq!(page["items"].as_array().map(Vec::len), Some(25));
    let none = export(&world, "/v1/siem/deliveries?status=split", "application/x-ndjson").await.expect_status(200);
    assert_eq!(none.text(), "");
}
