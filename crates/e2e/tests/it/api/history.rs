//! The history of deliveries, health and accounting.

use std::time::Duration;

use toktra_siem_core::accounting::Counts;
use toktra_siem_core::breaker::{Breaker, OpenKind};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Attempt, Delivery, ParkKind, Parked, Status, Trigger};
use toktra_siem_core::destination::reply::Redactor;
use toktra_siem_core::destination::{HeaderText, Method, OutboundRequest, Reply};
use toktra_siem_core::exchange::{Headers, SentRequest};
use toktra_siem_core::ids::{DeliveryId, OrgId, Revision, Seq, StreamId, StreamKind};
use toktra_siem_core::members::Members;
use toktra_siem_core::signing::{SignedRequest, SigningKeys};
use toktra_siem_store::{Open, Passed, Settlement, Taken};
use toktra_siem_testkit::prelude::*;
use uuid::Uuid;

/// What Splunk says when it is busy.
const BUSY: &str = "Splunk is busy.";

/// A world with an active connector that has taken two of its three events into deliveries: the first arrived, the second failed.
pub(crate) async fn with_history() -> (Here, String) {
    let world = World::here().await;
    let mut body = splunk_body("x");
    body["active"] = true.into();
    let connector = world.make("/v1/siem/connectors", &body).await;
    let id = connector.id();
    for n in 1..=3u128 {
        let event = json!({ "event_type": "anomaly", "severity": "low", "event_id": Uuid::from_u128(n) });
        world.begin("/v1/events", &event).await;
    }
    let stream = StreamId { connector: id.parse().unwrap(), kind: StreamKind::Events };
    deliver(&world, stream, 1, Status::Delivered).await;
    deliver(&world, stream, 2, Status::Failed).await;
    (world, id)
}

/// What was sent for `delivery`.
pub(crate) fn sent(delivery: DeliveryId) -> SignedRequest {
    let request = OutboundRequest {
        method: Method::Post,
        url: "https://splunk.company.com:8088/services/collector/event".into(),
        secret_url: false,
        headers: vec![
            ("authorization".into(), HeaderText::Secret("Splunk 00000000-1111-2222-3333-444444444444".into())),
            ("content-type".into(), HeaderText::Plain("application/json".into())),
        ],
        body: "{}".into(),
    };
    SignedRequest::seal(request, &SigningKeys::default(), delivery, START)
}

/// What Splunk answered when it was busy.
fn answered() -> Reply {
    let header = |name: &str, value: &'static str| (name.to_owned(), value.into());
    let headers = vec![header("content-type", "application/json"), header("set-cookie", "splunkd_8088=abc; HttpOnly")];
    Reply { headers, ..Reply::default() }
}

/// A delivery that a test tells the store of.
pub(crate) struct Past<'a> {
    pub(crate) org: OrgId,
    pub(crate) stream: StreamId,
    /// Its one event.
    pub(crate) seq: u64,
    pub(crate) id: DeliveryId,
    /// How its first attempt ends; a pending one has had none.
    pub(crate) status: Status,
    /// What the SIEM says where it does not take the event.
    pub(crate) message: &'a str,
    /// How its answer begins.
    pub(crate) excerpt: &'a str,
}

/// Takes the event `seq` of the default org into a delivery that ends as `status` with its first attempt.
pub(crate) async fn deliver(world: &Here, stream: StreamId, seq: u64, status: Status) {
    let id = DeliveryId(Uuid::from_u128(1000 + u128::from(seq)));
    let (message, excerpt) = (BUSY, "{\"text\":\"…\"}");
    happened(world, Past { org: DEFAULT_ORG, stream, seq, id, status, message, excerpt }).await;
}

/// Tells the store of a delivery.
pub(crate) async fn happened(world: &Here, past: Past<'_>) {
    let Past { org, stream, seq, id, status, message, excerpt } = past;
    let cause = || Cause::new("splunk_9_server_busy", message);
    let (lease, _) = world.take_over(stream).await;
    let members = Members::from_ascending([Seq(seq)]);
    let mut delivery = Delivery::new(id, org, stream, Trigger::Live, members, START);
    let taken = Taken::Live { from: Seq(seq - 1), to: Seq(seq), passed: Passed::default(), revision: Revision(1) };
    world.store.open(&lease, Open { deliveries: vec![delivery.clone()], taken, job: None }).await.unwrap();
    if status == Status::Pending {
        return;
    }
    let (failed, rejected) = (status == Status::Failed, status == Status::Rejected);
    let lost = failed || rejected;
    delivery.status = status;
    delivery.attempts = 1;
    delivery.due_at = None;
    delivery.settled_at = Some(START.plus(Duration::from_secs(seq)));
    delivery.delivered = u64::from(!lost);
    delivery.rejected = u64::from(rejected);
    delivery.cause = lost.then(cause);
    let kind = if rejected { ParkKind::Rejected } else { ParkKind::Failed };
    let parked = Parked { seq: Seq(seq), events: 1, kind, cause: cause(), delivery: id, since: START };
    let breaker = Breaker::Open {
        kind: OpenKind::Down,
        cause: cause(),
        since: START,
        failures: 0,
        probe_at: START.plus(Duration::from_secs(1)),
    };
    let attempt = Attempt {
        number: 1,
        at: START,
        duration_ms: 12,
        http_status: Some(if failed { 503 } else { 200 }),
        excerpt: Some(excerpt.into()),
        cause: lost.then(cause),
        request: failed.then(|| SentRequest::of(&sent(id))),
        response_headers: failed.then(|| Headers::of(&answered(), &Redactor::default())),
    };
    let one = i64::from;
    let counts = Counts {
        pending: -1,
        delivered: one(!lost),
        failed: one(failed),
        rejected: one(rejected),
        ..Counts::default()
    };
    let settlement = Settlement {
        delivery,
        expected_attempts: 0,
        attempt: Some(attempt),
        children: vec![],
        parked: if lost { vec![parked] } else { vec![] },
        arrived: Members::default(),
        counts,
        breaker: failed.then_some(breaker),
        held: vec![],
    };
    world.store.settle(&lease, settlement).await.unwrap();
}

#[tokio::test]
async fn the_history_is_listed_filtered_and_paged() {
    let (world, id) = with_history().await;
    let path = format!("/v1/siem/connectors/{id}/deliveries");
    let all = world.get(&path).await;
    insta::assert_json_snapshot!("deliveries", shown(&all));
    let over_all = world.read("/v1/siem/deliveries").await;
    assert_eq!(over_all["items"], all.json()["items"]);
    for (filter, count) in [
        ("status=failed", 1),
        ("status=pending", 0),
        ("trigger=live&stream=events", 2),
        ("trigger=test", 0),
        ("job=00000000-0000-0000-0000-000000000001", 0),
        ("stream=logs", 0),
        ("event_id=00000000-0000-0000-0000-000000000001", 1),
        ("from=2025-01-15T10:30:00Z&to=2025-01-15T10:30:01Z", 2),
        ("to=2025-01-15T10:30:00Z", 0),
    ] {
        let found = world.read(&format!("{path}?{filter}")).await;
        assert_eq!(found["items"].as_array().map(Vec::len), Some(count), "{filter}");
    }
    let first = world.read(&format!("{path}?limit=1")).await;
    assert_eq!((&first["has_more"], &first["total_count"]), (&json!(true), &Value::Null));
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = world.read(&format!("{path}?limit=1&cursor={cursor}")).await;
    assert_eq!((&second["has_more"], &second["next_cursor"]), (&json!(false), &Value::Null));
    assert_ne!(first["items"][0]["id"], second["items"][0]["id"]);
}

#[tokio::test]
async fn a_misspelt_filter_is_refused_instead_of_ignored() {
    let (world, _) = with_history().await;
    let answer = world.get("/v1/siem/deliveries?stauts=failed&status=lost&limit=0&from=now&cursor=x").await;
    insta::assert_json_snapshot!("bad_filter", shown(&answer));
}

#[tokio::test]
async fn a_delivery_is_shown_with_attempts_and_events() {
    let (world, _) = with_history().await;
    let answer = world.get(&format!("/v1/siem/deliveries/{}", Uuid::from_u128(1002))).await;
    insta::assert_json_snapshot!("delivery", shown(&answer));
}

#[tokio::test]
async fn health_names_state_lag_and_the_last_error() {
    let (world, id) = with_history().await;
    world.pass(Duration::from_secs(90));
    let path = format!("/v1/siem/connectors/{id}/health");
    insta::assert_json_snapshot!("health_degraded", shown(&world.get(&path).await));
    world.change(&format!("/v1/siem/connectors/{id}"), &json!({ "active": false })).await;
    assert_eq!(world.get(&path).await.json()["state"], "off");
}

#[tokio::test]
async fn the_accounts_add_up() {
    let (world, id) = with_history().await;
    let answer = world.get(&format!("/v1/siem/connectors/{id}/accounting")).await;
    insta::assert_json_snapshot!("accounting", shown(&answer));
}

#[tokio::test]
async fn an_events_outcomes_link_to_its_deliveries() {
    let (world, _) = with_history().await;
    let outcomes = |n: u128| {
        let client = world.client.clone();
        async move { client.get(&format!("/v1/events/{}", Uuid::from_u128(n))).await.json()["outcomes"][0].clone() }
    };
    let delivered = outcomes(1).await;
    assert_eq!((&delivered["outcome"], &delivered["delivery"]), (&json!("delivered"), &json!(Uuid::from_u128(1001))));
    let failed = outcomes(2).await;
    assert_eq!((&failed["outcome"], &failed["cause"]["code"]), (&json!("failed"), &json!("splunk_9_server_busy")));
    assert_eq!(outcomes(3).await["outcome"], "pending");
}

#[tokio::test]
async fn a_delivery_of_a_deleted_connector_says_what_it_was_called() {
    let (world, id) = with_history().await;
    let of = |item: &Value| (item["connector_id"].text(), item.get("former_name").cloned());
    let path = "/v1/siem/deliveries";
    for item in world.read(path).await["items"].list() {
        assert_eq!(of(&item), (id.clone(), None), "it is there");
    }
    world.remove(&format!("/v1/siem/connectors/{id}")).await;
    let items = world.read(path).await["items"].list();
    assert_eq!(items.len(), 2);
    for item in items {
        assert_eq!(of(&item), (id.clone(), Some(json!("x"))));
        let one = world.read(&format!("{path}/{}", item["id"].text())).await;
        assert_eq!(one["former_name"], "x");
    }
}
