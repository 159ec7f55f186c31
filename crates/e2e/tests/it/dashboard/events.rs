//! Events: the list, the search, and one of them with what became of it.

use std::time::Duration;

use toktra_siem_testkit::prelude::*;

use crate::api::history::with_history;
use toktra_siem_core::delivery::{Delivery, Trigger};
use toktra_siem_core::ids::{DeliveryId, Revision, Seq, StreamId, StreamKind};
use toktra_siem_core::members::Members;
use toktra_siem_store::{Open, Passed, Retention, Taken};
use uuid::Uuid;

fn event(n: u128) -> String {
    format!("/events/{}", Uuid::from_u128(n))
}

#[tokio::test]
async fn the_first_visit_teaches_how_to_post_an_event() {
    let (world, tab) = World::here_as_admin().await;
    let page = content(&tab.get("/events").await.expect_status(200));
    insta::assert_snapshot!("no_events", page.replace(&world.address.to_string(), "HOST"));
    let viewer = Tab::of_viewer(&world).await;
    assert!(!content(&viewer.get("/events").await).contains("/api-keys"), "a viewer cannot make a key");
}

#[tokio::test]
async fn events_are_listed_filtered_and_paged() {
    let (world, _) = with_history().await;
    let tab = Tab::of_viewer(&world).await;
    insta::assert_snapshot!("events", content(&tab.get("/events").await.expect_status(200)));
    let none = tab.get("/events?severity=critical").await.expect_status(200).text();
    assert!(none.contains("No events match") && none.contains("<option value=\"critical\" selected>"), "{none}");
    let event = json!({ "event_type": "lockout", "severity": "critical" });
    for _ in 0..51 {
        world.begin("/v1/events", &event).await;
    }
    let some = tab.get("/events?type=lockout&severity=critical").await.expect_status(200).text();
    let older =
        some.split("class=\"pages\"").nth(1).unwrap().split("href=\"").nth(1).unwrap().split('"').next().unwrap();
    let older = older.replace("&#38;", "&").replace("&amp;", "&");
    let page = tab.get(&older).await.expect_status(200).text();
    assert_eq!(page.matches("<td data-label=\"Severity\">").count(), 1, "{page}");
    assert!(page.contains("Newest"));
}

#[tokio::test]
async fn events_are_found_by_person_text_outcome_and_time() {
    let (world, connector) = with_history().await;
    let found = async |query: &str| {
        let list = world.read(&format!("/v1/events?limit=100&{query}")).await;
        list["items"].list().iter().map(|one| one["event_id"].text()).collect::<Vec<_>>()
    };
    let all = world.read("/v1/events?limit=100").await;
    let of = |outcome: &str| {
        let events = all["items"].list();
        let such = events.iter().filter(|one| one["outcome"] == json!(outcome));
        such.map(|one| one["event_id"].text()).collect::<Vec<_>>()
    };
    for outcome in ["delivered", "failed", "pending"] {
        assert!(!of(outcome).is_empty(), "{outcome}: {}", json!(all));
        assert_eq!(found(&format!("outcome={outcome}")).await, of(outcome), "{outcome}");
        assert_eq!(found(&format!("outcome={outcome}&connector={connector}")).await, of(outcome), "{outcome}");
    }
    world.get(&format!("/v1/events?connector={}", Uuid::from_u128(99))).await.expect_status(404);
    let marked = json!({
        "event_type": "policy_violation", "severity": "high", "user_id": "u-7", "user_email": "Eve@Company.example",
        "summary": "Max <b>tokens</b> exceeded", "details": { "policy_name": "max-tokens" },
    });
    let marked = world.begin("/v1/events", &marked).await["events"][0]["event_id"].text();
    // What is rare is found among many others, and the page says how to go on.
    let others: Vec<_> = (0..400).map(|_| json!({ "event_type": "lockout", "severity": "low" })).collect();
    world.begin("/v1/events", &json!(others)).await;
    for query in ["user=eve%40", "user=U-7", "q=max-tokens", "q=EXCEEDED", "q=company&event_type=policy_violation"] {
        assert_eq!(found(query).await, std::slice::from_ref(&marked), "{query}");
    }
    assert!(found("user=nobody").await.is_empty());
    world.get(&format!("/v1/events?q={}", "x".repeat(201))).await.expect_status(422);

    let tab = Tab::of_viewer(&world).await;
    let page = tab.get("/events?user=eve&q=tokens").await.expect_status(200).text();
    assert!(page.contains(&marked) && page.contains("Max &#60;b&#62;") && !page.contains("<b>tokens"), "{page}");
    let wrong = tab.get("/events?from=2025-01-16T10:00&to=2025-01-15T10:00").await.expect_status(422).text();
    assert!(wrong.contains("The range ends before it begins."), "{wrong}");
    let long = tab.get(&format!("/events?user={}", "y".repeat(300))).await.expect_status(422).text();
    assert!(long.contains("id=\"user-fault\">"), "{long}");
}

#[tokio::test]
async fn a_search_by_outcome_passes_over_no_event_however_many_streams_there_are() {
    let (world, _) = World::here_as_admin().await;
    world.idle_connector(&world, "Splunk").await;
    let config = json!({ "site": "datadoghq.eu", "api_key": "0123456789abcdef0123456789abcdef" });
    world.make("/v1/siem/connectors", &json!({ "name": "Datadog", "platform": "datadog", "config": config })).await;
    // Three streams: a request can judge some 700 events, which is no whole number of strides.
    let event = json!({ "event_type": "lockout", "severity": "low" });
    for _ in 0..2 {
        world.begin("/v1/events", &json!(vec![event.clone(); 1_000])).await;
    }
    let (mut found, mut cursor, mut pages) = (std::collections::HashSet::new(), String::new(), 0);
    loop {
        let page = world.read(&format!("/v1/events?outcome=pending&limit=100{cursor}")).await;
        found.extend(page["items"].list().iter().map(|one| one["event_id"].text()));
        pages += 1;
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found.len(), 2_000, "in {pages} pages");
    let tab = Tab::of_viewer(&world).await;
    let page = tab.get("/events?outcome=rejected").await.expect_status(200).text();
    assert!(
        page.contains("<h3>No event matches after <time class=\"exact\"") && page.contains("Look further back"),
        "{page}"
    );
    // None is rejected: each request ends where it has judged enough, and says from where to go on.
    let none = world.read("/v1/events?outcome=rejected").await;
    assert_eq!((none["items"].list().len(), &none["has_more"]), (0, &json!(true)), "{none}");
}

#[tokio::test]
async fn an_event_is_found_by_whatever_has_its_id() {
    let (world, _) = with_history().await;
    let tab = Tab::of_viewer(&world).await;
    let id = Uuid::from_u128(1);
    for pasted in [format!(" {id} "), format!("%22{id}%22"), format!("event_id%3D%22{id}%22")] {
        let answer = tab.get(&format!("/events?id={pasted}").replace(' ', "+")).await.expect_status(303);
        assert_eq!(answer.header("location"), Some(&*event(1)));
    }
    let lost = tab.get("/events?id=%3Cscript%3E0195").await.expect_status(422).text();
    assert!(lost.contains("No event ID found in this text") && !lost.contains("<script>0195"), "{lost}");
    assert!(lost.contains("0195\" data-search"), "what was typed is still there");
}

#[tokio::test]
async fn every_stream_says_what_it_did_and_why() {
    let (world, connector) = with_history().await;
    let tab = Tab::of_viewer(&world).await;
    insta::assert_snapshot!("event_delivered", content(&tab.get(&event(1)).await.expect_status(200)));
    let failed = content(&tab.get(&event(2)).await.expect_status(200));
    assert!(
        failed.contains("Failed, will retry")
            && failed.contains("Splunk is busy.")
            && failed.contains("href=\"/deliveries/"),
        "{failed}"
    );
    assert!(failed.contains("data-live=\"/events/"), "it goes on by itself");
    assert!(!failed.contains("the search"), "what has not arrived is not searched for");
    // The newest attempt is behind one link, whichever it is.
    let newest = |page: &str| page.split('"').find(|part| part.ends_with("/attempts/last/request")).map(str::to_owned);
    let request = tab.get(&newest(&failed).unwrap()).await.expect_status(200).text();
    assert!(request.contains("Request of attempt 1"), "{request}");
    let waits = content(&tab.get(&event(3)).await.expect_status(200));
    assert!(waits.contains("Waiting") && newest(&waits).is_none(), "{waits}");
    let missing = tab.get("/events/01890000-0000-7000-8000-000000000000").await.expect_status(404);
    insta::assert_snapshot!("event_missing", content(&missing));
    tab.get("/events/nonsense").await.expect_status(404);

    world.remove(&format!("/v1/siem/connectors/{connector}")).await;
    let gone = content(&tab.get(&event(2)).await.expect_status(200));
    assert!(
        gone.contains("<span>x</span> <span class=\"soft\">Deleted connector</span>")
            && gone.contains("Discarded")
            && !gone.contains("/integrations/siem/"),
        "{gone}"
    );
}

#[tokio::test]
async fn what_was_filtered_out_names_the_rule() {
    let world = World::here().await;
    let mut body = splunk_body("Prod Splunk");
    (body["active"], body["filter"]) = (true.into(), json!({ "severity": ["high", "critical"] }));
    let connector = world.make("/v1/siem/connectors", &body).await;
    for (n, severity) in [(1, "low"), (2, "high")] {
        let event = json!({ "event_type": "anomaly", "severity": severity, "event_id": Uuid::from_u128(n) });
        world.begin("/v1/events", &event).await;
    }
    let stream = StreamId { connector: connector["id"].as_str().unwrap().parse().unwrap(), kind: StreamKind::Events };
    let (lease, _) = world.take_over(stream).await;
    let members = Members::from_ascending([Seq(2)]);
    let id = DeliveryId(Uuid::from_u128(1000));
    let delivery = Delivery::new(id, DEFAULT_ORG, stream, Trigger::Live, members, START);
    let passed = Passed { filtered: 1, ..Passed::default() };
    let taken = Taken::Live { from: Seq(0), to: Seq(2), passed, revision: Revision(1) };
    world.store.open(&lease, Open { deliveries: vec![delivery], taken, job: None }).await.unwrap();

    let tab = Tab::of_viewer(&world).await;
    let page = content(&tab.get(&event(1)).await.expect_status(200));
    assert!(page.contains("Filtered out") && page.contains("Filter: severity"), "{page}");
    assert!(page.contains("forwards the severities high, critical; this event is low."), "{page}");
}

#[tokio::test]
async fn whatever_an_event_says_stays_text() {
    let (world, tab) = World::here_as_viewer().await;
    let bad = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'";
    let posted = json!({
        "event_id": Uuid::from_u128(7), "event_type": "anomaly", "severity": "high", "user_id": bad, "user_email": bad, "provider": bad,
        "model": bad, "policy_id": bad, "summary": bad, "details": { "key": bad, bad: { bad: [bad] } }, "tags": { bad: bad },
    });
    world.begin("/v1/events", &posted).await;
    for path in ["/events".to_owned(), event(7)] {
        let html = tab.get(&path).await.expect_status(200).text();
        assert!(html.contains("alert(1)"), "it is shown at {path}");
        for tag in ["<script>", "<img", "\">&lt;script"] {
            assert!(!html.contains(tag), "{tag} at {path}: {html}");
        }
    }
}

#[tokio::test]
async fn an_event_whose_text_is_gone_says_since_when_and_why() {
    let (world, _) = with_history().await;
    world.pass(Duration::from_hours(40 * 24));
    let before = |days: u64| START.plus(Duration::from_hours(24 * days));
    let retention = Retention { payloads_before: before(10), history_before: START };
    // Each call does a bounded piece.
    while world.store.expire(retention).await.unwrap().more {}
    let tab = Tab::of_viewer(&world).await;
    let page = content(&tab.get(&event(1)).await.expect_status(200));
    assert!(page.contains("Its text is not kept any more: it was accepted") && page.contains(">40 d ago<"), "{page}");
    assert!(page.contains("Delivered") && !page.contains("As JSON"), "{page}");
    assert!(content(&tab.get("/events").await.expect_status(200)).contains("Not kept any more"));
}
