//! The history, one delivery, and saving all of it: what people see of it, and that nothing of a SIEM's answer becomes HTML.

use std::time::Duration;

use toktra_siem_testkit::prelude::*;

use crate::api::history::{sent, with_history};
use toktra_siem_core::accounting::Counts;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Attempt, Delivery, ParkKind, Parked, Status, Trigger};
use toktra_siem_core::destination::Reply;
use toktra_siem_core::destination::reply::Redactor;
use toktra_siem_core::exchange::{Headers, SentRequest};
use toktra_siem_core::ids::{DeliveryId, Revision, Seq, StreamId, StreamKind};
use toktra_siem_core::members::Members;
use toktra_siem_store::{Open, Passed, Settlement, Taken};
use uuid::Uuid;

const DELIVERED: Uuid = Uuid::from_u128(1001);
const FAILED: Uuid = Uuid::from_u128(1002);
const PAYLOAD: &str = "<script>alert(1)</script><img src=x onerror='alert(2)'>\"'&\u{2028}";

/// The third event in a delivery that is refused for good, with everything that a SIEM says being an attempt at script.
async fn hostile(world: &Here, connector: &str) -> Uuid {
    let stream = StreamId { connector: connector.parse().unwrap(), kind: StreamKind::Events };
    let (lease, _) = world.take_over(stream).await;
    let id = DeliveryId(Uuid::from_u128(1003));
    let mut delivery = Delivery::new(id, DEFAULT_ORG, stream, Trigger::Live, Members::from_ascending([Seq(3)]), START);
    let taken = Taken::Live { from: Seq(2), to: Seq(3), passed: Passed::default(), revision: Revision(1) };
    world.store.open(&lease, Open { deliveries: vec![delivery.clone()], taken, job: None }).await.unwrap();
    let cause = Cause::coded(PAYLOAD, PAYLOAD);
    delivery.status = Status::Rejected;
    delivery.attempts = 1;
    delivery.due_at = None;
    delivery.settled_at = Some(START);
    delivery.rejected = 1;
    delivery.cause = Some(cause.clone());
    let headers = vec![("x-said".to_owned(), PAYLOAD.into()), (PAYLOAD.to_owned(), "a name".into())];
    let attempt = Attempt {
        number: 1,
        at: START,
        duration_ms: 1_250,
        http_status: Some(400),
        excerpt: Some(PAYLOAD.into()),
        cause: Some(cause.clone()),
        request: Some(SentRequest::of(&sent(id))),
        response_headers: Some(Headers::of(&Reply { headers, ..Reply::default() }, &Redactor::default())),
    };
    let settlement = Settlement {
        delivery,
        expected_attempts: 0,
        attempt: Some(attempt),
        children: vec![],
        parked: vec![Parked { seq: Seq(3), events: 1, kind: ParkKind::Rejected, cause, delivery: id, since: START }],
        arrived: Members::default(),
        counts: Counts { pending: -1, rejected: 1, ..Counts::default() },
        breaker: None,
        held: vec![],
    };
    world.store.settle(&lease, settlement).await.unwrap();
    id.0
}

#[tokio::test]
async fn the_history_shows_each_delivery_with_its_answer() {
    let (world, id) = with_history().await;
    world.pass(Duration::from_secs(90));
    let tab = Tab::of_admin(&world).await;
    let of_one = tab.get(&format!("/integrations/siem/{id}/deliveries")).await.expect_status(200);
    insta::assert_snapshot!("deliveries", content(&of_one));
    let of_all = tab.get("/deliveries").await.expect_status(200).text();
    assert!(of_all.contains("<th scope=\"col\">Connector</th>") && of_all.contains(&format!("/deliveries/{FAILED}")));
}

#[tokio::test]
async fn the_request_of_an_attempt_is_a_page_and_a_part_of_one() {
    let (world, _) = with_history().await;
    let tab = Tab::of_viewer(&world).await;
    let path = format!("/deliveries/{FAILED}/attempts/1/request");
    assert!(tab.get(&format!("/deliveries/{FAILED}")).await.text().contains(&format!("<a href=\"{path}\">")));
    let page = tab.get(&path).await.expect_status(200).text();
    let part = tab.part(&path).await.expect_status(200).text();
    assert!(page.contains("<h1>Request of attempt 1</h1>") && page.contains(part.trim()), "{page}");
    assert!(!part.contains("<h1>"), "{part}");
    for shown in [
        "POST https://splunk.company.com:8088/services/collector/event\nauthorization: [redacted]",
        "&#34;sourcetype&#34;:&#34;toktra:security&#34;",
        "aria-label=\"Copy the body\"",
        "No signature is kept of this attempt",
    ] {
        assert!(part.contains(shown), "{shown}: {part}");
    }
    tab.get(&path.replace("/1/", "/9/")).await.expect_status(404);
}

#[tokio::test]
async fn a_filter_stands_in_the_address_and_only_there() {
    let (world, id) = with_history().await;
    let tab = Tab::of_viewer(&world).await;
    let path = format!("/integrations/siem/{id}/deliveries");
    let typed = tab.get(&format!("{path}?status=failed&trigger=&from=&to=&event_id=")).await.expect_status(303);
    assert_eq!(typed.header("location"), Some(&*format!("{path}?status=failed")));
    let page = tab.get(&format!("{path}?status=failed")).await.expect_status(200).text();
    assert!(page.contains(&FAILED.to_string()) && !page.contains(&DELIVERED.to_string()));
    assert!(page.contains("<option value=\"failed\" selected>"), "the form shows what is filtered by");
    assert!(page.contains("format=csv&#38;status=failed"), "what is saved is what is seen");
    assert!(!page.contains("/redeliver-failed"), "a viewer is offered no changes");

    let part = tab.part(&format!("{path}?status=failed&trigger=")).await.expect_status(200);
    assert_eq!(part.header("hx-push-url"), Some(&*format!("{path}?status=failed")));
    assert!(part.text().trim_start().starts_with("<details class=\"fold\""), "a part has no frame: {}", part.text());
    let event = Uuid::from_u128(1);
    let found = tab.get(&format!("/deliveries?event_id={event}")).await.expect_status(200).text();
    assert!(found.contains(&format!("/deliveries/{DELIVERED}")) && !found.contains(&format!("/deliveries/{FAILED}")));
    let none = tab.get(&format!("/deliveries?connector={id}&trigger=test")).await.expect_status(200);
    assert!(none.text().contains("No delivery matches"), "{}", none.text());
    let early = tab.get("/deliveries?to=2025-01-15T10%3A30").await.expect_status(200).text();
    assert!(early.contains("No delivery matches") && early.contains("value=\"2025-01-15T10:30\""));
}

#[tokio::test]
async fn a_filter_that_makes_no_sense_stays_in_its_field_with_what_is_wrong() {
    let (world, _) = with_history().await;
    let tab = Tab::of_viewer(&world).await;
    let answer = tab.get("/deliveries?event_id=lost%3Cb%3E&from=yesterday").await.expect_status(422);
    insta::assert_snapshot!("deliveries_misunderstood", content(&answer));
    let stranger = Uuid::from_u128(9);
    tab.get(&format!("/integrations/siem/{stranger}/deliveries")).await.expect_status(404);
    tab.get(&format!("/deliveries?connector={stranger}")).await.expect_status(404);
    tab.get("/integrations/siem/x/deliveries").await.expect_status(404);
}

#[tokio::test]
async fn a_history_without_anything_says_how_to_begin() {
    let (world, tab) = World::here_as_viewer().await;
    let page = tab.get("/deliveries").await.expect_status(200).text();
    assert!(page.contains("Nothing was sent yet") && page.contains("Connect a SIEM</a> first."), "{page}");
    world.idle_connector(&world, "Prod").await;
    let page = tab.get("/deliveries").await.expect_status(200).text();
    assert!(page.contains("Nothing was sent yet") && page.contains("run a test delivery"), "{page}");
}

#[tokio::test]
async fn a_long_history_is_turned_page_by_page() {
    let (world, id) = with_history().await;
    let stream = StreamId { connector: id.parse().unwrap(), kind: StreamKind::Events };
    let (lease, _) = world.take_over(stream).await;
    for n in 0..60 {
        let delivery = DeliveryId(Uuid::from_u128(5_000 + n));
        let members = Members::from_ascending([Seq(1)]);
        let delivery = Delivery::new(delivery, DEFAULT_ORG, stream, Trigger::Replay, members, START);
        let open = Open { deliveries: vec![delivery], taken: Taken::Beside, job: None };
        world.store.open(&lease, open).await.unwrap();
    }
    let tab = Tab::of_viewer(&world).await;
    let mut path = "/deliveries?status=pending".to_owned();
    let mut pages = Vec::new();
    loop {
        let page = tab.get(&path).await.expect_status(200).text();
        pages.push(page.matches("class=\"row-link\"").count());
        assert_eq!(page.contains(">Newest</a>"), pages.len() > 1);
        let older = page.split("href=\"").find(|link| link.contains("rel=\"next\""));
        let Some(older) = older else { break };
        path = older.split('"').next().unwrap().replace("&#38;", "&");
        assert!(path.contains("status=pending"), "{path}");
    }
    assert_eq!(pages, [50, 10]);
}

#[tokio::test]
async fn a_delivery_is_a_page_and_a_sheet() {
    let (world, _) = with_history().await;
    world.pass(Duration::from_secs(90));
    let tab = Tab::of_admin(&world).await;
    let page = tab.get(&format!("/deliveries/{FAILED}")).await.expect_status(200);
    insta::assert_snapshot!("delivery", content(&page));
    let sheet = tab.part(&format!("/deliveries/{FAILED}")).await.expect_status(200);
    assert_eq!(sheet.header("hx-push-url"), Some(&*format!("/deliveries/{FAILED}")));
    let sheet = sheet.text();
    for (place, shown) in [("page", &page.text()), ("sheet", &sheet)] {
        assert!(
            shown
                .contains("POST https://splunk.company.com:8088/services/collector/event\nauthorization: [redacted]\n"),
            "{place}"
        );
        assert!(shown.contains("HTTP 503\ncontent-type: application/json\nset-cookie: [redacted]\n"), "{place}");
    }
    let plain = tab.get(&format!("/deliveries/{DELIVERED}")).await.expect_status(200).text();
    assert!(!plain.contains("Headers of"), "nothing is promised that is not kept: {plain}");
    assert!(sheet.contains("<h2 id=\"sheet-title\"") && !sheet.contains("<h1") && !sheet.contains("<html"), "{sheet}");
    let unknown = tab.get(&format!("/deliveries/{}", Uuid::from_u128(9))).await.expect_status(404).text();
    assert!(unknown.contains("Not found"), "{unknown}");
    let viewer = Tab::of_viewer(&world).await;
    let seen = viewer.get(&format!("/deliveries/{FAILED}")).await.expect_status(200).text();
    assert!(seen.contains("Splunk is busy.") && !seen.contains("Deliver again"), "{seen}");
}

#[tokio::test]
async fn nothing_that_a_siem_answers_becomes_html() {
    let (world, id) = with_history().await;
    let delivery = hostile(&world, &id).await;
    let tab = Tab::of_admin(&world).await;
    let pages = [
        tab.get(&format!("/deliveries/{delivery}")).await.expect_status(200).text(),
        tab.part(&format!("/deliveries/{delivery}")).await.expect_status(200).text(),
        tab.get("/deliveries").await.expect_status(200).text(),
    ];
    for page in &pages[..2] {
        assert!(page.contains("x-said: &#60;script&#62;") && page.contains(": a name"), "{page}");
    }
    for page in &pages {
        assert!(!page.contains("<script>alert") && !page.contains("<img"), "{page}");
        assert!(page.contains("alert(1)"), "it is shown as text");
    }
    assert!(pages[0].contains("&#60;script&#62;alert(1)&#60;/script&#62;"), "{}", pages[0]);
}

#[tokio::test]
async fn delivering_again_leads_to_the_job() {
    let (world, id) = with_history().await;
    let tab = Tab::of_admin(&world).await;
    let again = format!("/deliveries/{DELIVERED}/redeliver");
    let answer = tab.post(&again, &[]).await.expect_status(303);
    let job = answer.header("location").unwrap().to_owned();
    assert!(job.starts_with("/jobs/"), "{job}");
    let page = tab.get(&job).await.expect_status(200).text();
    assert!(
        page.contains("1 event will be sent again.") && page.contains(&format!("/deliveries/{DELIVERED}")),
        "{page}"
    );

    world.change(&format!("/v1/siem/connectors/{id}"), &json!({ "active": false })).await;
    let off = tab.get(&format!("/deliveries/{DELIVERED}")).await.expect_status(200).text();
    assert!(off.contains("x is switched off. Switch it on, then deliver again.") && !off.contains(&again), "{off}");
    let refused = tab.post(&again, &[]).await.expect_status(409).text();
    assert!(refused.contains("The connector is switched off"), "{refused}");
    world.remove(&format!("/v1/siem/connectors/{id}")).await;
    let deleted = tab.get(&format!("/deliveries/{DELIVERED}")).await.expect_status(200).text();
    assert!(deleted.contains("Delivery to x") && deleted.contains("nowhere to send it"), "{deleted}");
    let list = tab.get("/deliveries").await.expect_status(200).text();
    assert!(list.contains("x <span class=\"soft\">(deleted)</span>"), "{list}");
}

#[tokio::test]
async fn what_matches_is_saved_as_the_api_writes_it() {
    let (world, id) = with_history().await;
    let tab = Tab::of_viewer(&world).await;
    let csv = tab.get("/deliveries/export?format=csv&status=failed&from=2025-01-15T10%3A30").await.expect_status(200);
    assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"deliveries.csv\""));
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    assert_eq!(csv.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(csv.text().lines().count(), 2, "{}", csv.text());
    let path = format!("/integrations/siem/{id}/deliveries/export?format=ndjson");
    let ndjson = tab.get(&path).await.expect_status(200);
    assert_eq!(ndjson.header("content-disposition"), Some("attachment; filename=\"deliveries.ndjson\""));
    assert_eq!(ndjson.text().lines().count(), 2);
    tab.get("/deliveries/export?format=xml").await.expect_status(400);
    let wrong = tab.get("/deliveries/export?format=csv&status=lost").await.expect_status(422).text();
    assert!(wrong.contains("<code>lost</code> is not"), "{wrong}");
}

#[tokio::test]
async fn a_range_that_ends_before_it_begins_is_told_beside_its_field() {
    let (_world, tab) = World::here_as_admin().await;
    for path in ["/deliveries", "/audit"] {
        for to in ["2025-01-01T00:00", "2025-01-02T00:00"] {
            let answer = tab.get(&format!("{path}?from=2025-01-02T00%3A00&to={}", to.replace(':', "%3A"))).await;
            let text = answer.expect_status(422).text();
            assert!(text.contains("The range ends before it begins."), "{path}: {text}");
        }
    }
    let saved = tab.get("/deliveries/export?format=csv&from=2025-01-02T00%3A00&to=2025-01-01T00%3A00").await;
    assert!(saved.expect_status(422).text().contains("must be before"));
}
