//! An outage in the history: one row with its probes inside, in the API, in exports and on the page.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use toktra_siem_core::accounting::Counts;
use toktra_siem_core::breaker::{Breaker, OpenKind};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Attempt, Delivery, ParkKind, Parked, Status, Trigger};
use toktra_siem_core::exchange::SentRequest;
use toktra_siem_core::ids::{DeliveryId, RangeId, Seq, StreamId, StreamKind};
use toktra_siem_core::members::Members;
use toktra_siem_store::{Open, Settlement, Taken};
use toktra_siem_testkit::prelude::*;
use uuid::Uuid;

use crate::api::history::{sent, with_history};

/// The event that failed in the history, tried again by a probe after so many seconds; the number of the probe, and what ids begin behind.
async fn probe(world: &Here, stream: StreamId, (ids, number): (u128, u32), second: u64) {
    let (lease, _) = world.take_over(stream).await;
    let (id, at) = (DeliveryId(Uuid::from_u128(ids + u128::from(number))), START.plus(Duration::from_secs(second)));
    let members = Members::from_ascending([Seq(2)]);
    let mut delivery = Delivery::new(id, DEFAULT_ORG, stream, Trigger::Recovery, members.clone(), at);
    delivery.probe = true;
    let open = Open { deliveries: vec![delivery.clone()], taken: Taken::Parked(members), job: None };
    world.store.open(&lease, open).await.unwrap();
    let cause = Cause::new("network_refused", "Splunk refused the connection.");
    (delivery.status, delivery.attempts, delivery.due_at) = (Status::Failed, 1, None);
    (delivery.settled_at, delivery.cause) = (Some(at), Some(cause.clone()));
    let attempt = Attempt {
        number: 1,
        at,
        duration_ms: 3,
        http_status: None,
        excerpt: None,
        cause: Some(cause.clone()),
        // Of some nothing was sent: the endpoint could not be prepared.
        request: (number.is_multiple_of(2)).then(|| SentRequest::of(&sent(id))),
        response_headers: None,
    };
    let parked =
        Parked { seq: Seq(2), events: 1, kind: ParkKind::Failed, cause: cause.clone(), delivery: id, since: at };
    let breaker = Breaker::Open { kind: OpenKind::Down, cause, since: START, failures: number, probe_at: at };
    let settlement = Settlement {
        delivery,
        expected_attempts: 0,
        attempt: Some(attempt),
        children: vec![],
        parked: vec![parked],
        arrived: Members::default(),
        counts: Counts { pending: -1, failed: 1, ..Counts::default() },
        breaker: Some(breaker),
        held: vec![],
    };
    world.store.settle(&lease, settlement).await.unwrap();
}

#[tokio::test]
async fn an_outage_is_one_row_wherever_the_history_is_shown() {
    let (world, id) = with_history().await;
    let stream = StreamId { connector: id.parse().unwrap(), kind: StreamKind::Events };
    for number in 1..=87 {
        probe(&world, stream, (2000, number), 20 * u64::from(number)).await;
    }
    let path = format!("/v1/siem/connectors/{id}/deliveries");
    let items = world.read(&path).await["items"].list();
    assert_eq!(items.len(), 3, "one delivered, one failed, one outage: {items:?}");
    let row = &items[0];
    let lasts = json!({ "since": "2025-01-15T10:30:00.000Z", "until": null, "probes": 87 });
    assert_eq!((&row["outage"], &row["status"], &row["attempt_count"]), (&lasts, &json!("failed"), &json!(87)));
    assert!(items[1].get("outage").is_none());
    let detail = world.read(&format!("/v1/siem/deliveries/{}", row.id())).await;
    let attempts: Vec<u64> = detail["attempts"].list().iter().map(|attempt| attempt["number"].number()).collect();
    assert_eq!(attempts, (1..=5).chain(73..=87).collect::<Vec<_>>());
    // Which event a later probe tried is not kept.
    for (number, code) in [(86, "other_event"), (87, "not_sent")] {
        let request = world.read(&format!("/v1/siem/deliveries/{}/attempts/{number}/request", row.id())).await;
        assert_eq!((&request["body"], &request["notes"][0]["code"]), (&json!(null), &json!(code)), "{request}");
        assert_eq!(request["exact"], false);
    }
    // What failed is still what failed first, and not its newest probe.
    let event = world.read(&format!("/v1/events/{}", Uuid::from_u128(2))).await;
    assert_eq!(event["outcomes"][0]["outcome"], "failed");

    world.clock.set(START.plus(Duration::from_mins(29)));
    let (lease, _) = world.take_over(stream).await;
    let (range, closed, now) = (RangeId(Uuid::from_u128(9)), Breaker::default(), START.plus(Duration::from_mins(29)));
    world.store.recover(&lease, range, Trigger::Recovery, closed, now).await.unwrap();
    let over = world.read(&path).await["items"].list();
    assert_eq!(over[0]["outage"]["until"], "2025-01-15T10:59:00.000Z");

    let export = async |accept: &str| world.send(Method::GET, &path, &[("accept", accept)], Bytes::new()).await.text();
    let lines: Vec<Value> =
        export("application/x-ndjson").await.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["outage"]["probes"]), (3, &json!(87)));
    let csv = export("text/csv").await;
    assert_eq!(csv.lines().count(), 4, "{csv}");
    assert!(csv.lines().next().unwrap().ends_with(",outage_since,outage_until"), "{csv}");
    assert!(csv.lines().nth(1).unwrap().ends_with(",2025-01-15T10:30:00.000Z,2025-01-15T10:59:00.000Z"), "{csv}");

    let tab = Tab::of_admin(&world).await;
    let told = "Down from 2025-01-15 10:30:00 UTC to 2025-01-15 10:59:00 UTC, 87 probes";
    let list = tab.get(&format!("/integrations/siem/{id}/deliveries")).await.expect_status(200).text();
    assert!(list.contains(told), "{list}");
    let shown = tab.get(&format!("/deliveries/{}", row.id())).await.expect_status(200).text();
    assert!(shown.contains(told) && shown.matches("No answer").count() == 20, "{shown}");
}

#[tokio::test]
async fn the_last_error_is_that_of_the_newest_probe_and_a_deletion_is_no_recovery() {
    let (world, id) = with_history().await;
    let stream = StreamId { connector: id.parse().unwrap(), kind: StreamKind::Events };
    // Their delivery is older than the one that failed, as if another event had failed while the outage went on.
    for number in 1..=3 {
        probe(&world, stream, (0, number), 20 * u64::from(number)).await;
    }
    let health = world.read(&format!("/v1/siem/connectors/{id}/health")).await;
    let error = &health["streams"][0]["last_error"];
    let told = (error["at"].text(), error["cause"]["code"].text(), error["delivery_id"].text());
    let probes = Uuid::from_u128(1).to_string();
    assert_eq!(told, ("2025-01-15T10:31:00.000Z".to_owned(), "network_refused".to_owned(), probes.clone()));

    world.clock.set(START.plus(Duration::from_mins(5)));
    world.remove(&format!("/v1/siem/connectors/{id}")).await;
    let outage = world.read(&format!("/v1/siem/deliveries/{probes}")).await["outage"].clone();
    assert_eq!((&outage["until"], &outage["deleted"]), (&json!("2025-01-15T10:35:00.000Z"), &json!(true)), "{outage}");
    let tab = Tab::of_admin(&world).await;
    let list = tab.get("/deliveries").await.expect_status(200).text();
    assert!(
        list.contains("until the connector was deleted at") && list.contains("Failed, connector deleted"),
        "{list}"
    );
}
