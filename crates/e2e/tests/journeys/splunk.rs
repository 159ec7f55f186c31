//! Splunk as it is meant to be: the envelope to the byte, configured metadata, filters, partial batches, indexer acknowledgement.

use std::collections::BTreeSet;

use toktra_siem_fake::splunk::{Endpoint, Fault};
use toktra_siem_testkit::prelude::*;

/// Events with every field that there is, one a line, as a producer may send them.
const FIXTURE: &str = include_str!("../../../../fixtures/events.ndjson");
/// The org that they name.
const FIXTURE_ORG: &str = "7f6f1d6e-2b0a-4a5e-9d3c-0c3a5b8e1f10";

#[tokio::test]
async fn events_arrive_byte_for_byte_in_the_documented_envelope() {
    let (world, splunk) = (World::start().await, splunk().await);
    let org = world.org_of(json!({ "name": "Acme", "id": FIXTURE_ORG })).await;
    let connector = org.connect(&splunk).await;
    let line = FIXTURE.lines().next().unwrap();
    org.post_bytes("/v1/events", "application/json", line).await.expect_status(202);
    accepted(&splunk, 1).await;

    let request = splunk.requests().remove(0);
    assert_eq!(request.uri, "/services/collector/event");
    assert_eq!(request.header("authorization"), Some(format!("Splunk {CREDENTIAL}").as_str()));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("content-encoding"), None);
    // Small members first, `details` last, and each value as the producer spelt it.
    let sent: Value = serde_json::from_str(line).unwrap();
    let line = String::from_utf8(org.stored(&sent["event_id"].text()).await.to_vec()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), sent);
    assert!(line.starts_with("{\"event_id\":") && line.find("\"details\":") > line.find("\"tags\":"), "{line}");
    let envelope = format!(
        "{{\"time\":1736937000.123,\"host\":\"toktra\",\"source\":\"toktra\",\"sourcetype\":\"toktra:security\",\"index\":\"toktra\",\
         \"event\":{line}}}\n"
    );
    assert_eq!(str::from_utf8(&request.wire).unwrap(), envelope);

    // What a producer leaves out is filled in before the event is stored, and sent as it was stored.
    let minimal = org.post_event(event("lockout", "critical")).await;
    accepted(&splunk, 2).await;
    assert_eq!(splunk.events()[1].event, org.stored_without_nulls(&minimal).await);
    let outcome = connector.until_outcome("events", &minimal, "delivered").await;
    let delivery = connector.delivery(&outcome["delivery"].text()).await;
    assert_eq!(
        (&delivery["status"], &delivery["trigger"], &delivery["cause"]),
        (&json!("delivered"), &json!("live"), &Value::Null)
    );
    assert_eq!((&delivery["attempts"][0]["number"], &delivery["attempts"][0]["http_status"]), (&json!(1), &json!(200)));
    assert_eq!(delivery["events"][0]["event_id"], minimal.as_str());
    assert_eq!(connector.health("events").await["state"], "healthy");
    assert_eq!(splunk.violations(), []);
    world.end_with(&[(&connector, &[("events", Account::delivered(2))])]).await;
}

#[tokio::test]
async fn index_sourcetype_and_compression_are_as_configured() {
    let world = World::start().await;
    let splunk = splunk_with(|options| options.indexes = vec!["security".to_owned()]).await;
    let org = world.org("Acme").await;
    let config = json!({ "index": "security", "sourcetype": "acme:llm", "compression": "gzip" });
    let connector = org.connect_with(&splunk, json!({ "config": config })).await;
    let events: Vec<Value> =
        (0..50).map(|n| with(event("anomaly", "high"), "summary", format!("anomaly {n}"))).collect();
    let ids = org.post_events(&events).await;
    accepted(&splunk, 50).await;

    for request in splunk.requests() {
        assert_eq!(request.header("content-encoding"), Some("gzip"));
        assert!(request.wire.starts_with(&[0x1f, 0x8b]) && request.body.is_some());
    }
    for (taken, id) in splunk.events().iter().zip(&ids) {
        assert_eq!((&taken.meta["index"], &taken.meta["sourcetype"]), (&json!("security"), &json!("acme:llm")));
        assert_eq!(taken.event, org.stored_without_nulls(id).await);
    }
    assert_each_once(&splunk, &ids);
    world.end_with(&[(&connector, &[("events", Account::delivered(50))])]).await;
}

const TYPES: [&str; 4] = ["policy_violation", "anomaly", "budget_alert", "lockout"];
const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];

/// One event of each type and severity; each with its id.
async fn post_all_kinds(org: &Org) -> Vec<(&'static str, &'static str, String)> {
    let kinds = TYPES.iter().flat_map(|event_type| SEVERITIES.iter().map(move |severity| (*event_type, *severity)));
    let events: Vec<Value> = kinds.clone().map(|(event_type, severity)| event(event_type, severity)).collect();
    let ids = org.post_events(&events).await;
    kinds.zip(ids).map(|((event_type, severity), id)| (event_type, severity, id)).collect()
}

#[tokio::test]
async fn a_filter_holds_from_its_save_on_and_is_never_retroactive() {
    let (world, splunk) = (World::start().await, splunk().await);
    let org = world.org("Acme").await;
    let filter = json!({ "filter": { "severity": ["high", "critical"] } });
    let connector = org.connect_with(&splunk, filter).await;
    let before = post_all_kinds(&org).await;
    connector.patch(json!({ "filter": { "severity": ["low"], "event_types": ["lockout", "anomaly"] } })).await;
    let after = post_all_kinds(&org).await;

    let passes_before = |severity: &str| ["high", "critical"].contains(&severity);
    let passes_after =
        |event_type: &str, severity: &str| severity == "low" && ["lockout", "anomaly"].contains(&event_type);
    let first = before.iter().filter(|(_, severity, _)| passes_before(severity));
    let second = after.iter().filter(|(event_type, severity, _)| passes_after(event_type, severity));
    let expected: BTreeSet<String> = first.chain(second).map(|(_, _, id)| id.clone()).collect();
    assert_eq!(expected.len(), 10);
    accepted(&splunk, 10).await;
    assert_eq!(splunk.event_ids().into_keys().collect::<BTreeSet<_>>(), expected);

    connector.until_account("events", &Account { delivered: 10, filtered: 22, ..Account::default() }).await;
    for (event_type, severity, id) in before.iter().chain(&after) {
        let outcome = connector.outcome("events", id).await;
        if expected.contains(id) {
            assert_eq!(outcome["outcome"], "delivered");
        } else {
            let first_half = before.iter().any(|(_, _, earlier)| earlier == id);
            let by_severity = if first_half { !passes_before(severity) } else { *severity != "low" };
            let rule = if by_severity { "severity" } else { "event_types" };
            assert_eq!(
                (&outcome["outcome"], &outcome["rule"]),
                (&json!("filtered"), &json!(rule)),
                "{event_type} {severity}"
            );
        }
    }
    assert_eq!(splunk.violations(), []);
    world.end_with(&[(&connector, &[("events", Account { delivered: 10, filtered: 22, ..Account::default() })])]).await;
}

/// Six events in one request, of which the third holds this word.
async fn post_with_poison(org: &Org) -> Vec<String> {
    let summary = |n| if n == 2 { "poison".to_owned() } else { format!("event {n}") };
    let events: Vec<Value> = (0..6).map(|n| with(event("anomaly", "high"), "summary", summary(n))).collect();
    org.post_events(&events).await
}

#[tokio::test]
async fn a_bad_event_is_rejected_alone_and_what_follows_it_is_sent_again() {
    let world = World::start().await;
    let mut journeys = Vec::new();
    for (code, cause) in [
        (6, "splunk_6_invalid_data_format"),
        (12, "splunk_12_event_field_required"),
        (13, "splunk_13_event_field_blank"),
        (15, "splunk_15_indexed_fields"),
    ] {
        let splunk = splunk().await;
        splunk.always(Endpoint::Event, Behaviour::fault(Fault::Poison { code, text: "poison".to_owned() }));
        let org = world.org(cause).await;
        let connector = org.connect(&splunk).await;
        let mut ids = post_with_poison(&org).await;
        accepted(&splunk, 5).await;

        let outcome = connector.until_outcome("events", &ids[2], "rejected").await;
        assert_eq!(outcome["cause"]["code"], cause);
        connector.until_account("events", &Account { delivered: 5, rejected: 1, ..Account::default() }).await;
        let deliveries = connector.deliveries("").await;
        let [parent, children @ ..] = deliveries.as_slice() else { panic!("no delivery") };
        assert_eq!(standing(parent), ("partial", 6, 2, 0, 1), "{parent}");
        let mut told: Vec<_> = children.iter().map(standing).collect();
        told.sort_unstable();
        assert_eq!(told, [("delivered", 3, 3, 0, 1), ("failed", 1, 0, 1, 3)], "three attempts, alone");
        assert!(children.iter().all(|child| child["parent_id"] == parent["id"]));
        assert_eq!(connector.health("events").await["state"], "healthy");
        ids.remove(2);
        assert_each_once(&splunk, &ids);
        journeys.push(connector);
    }
    let account = [("events", Account { delivered: 5, rejected: 1, ..Account::default() })];
    let expected: Vec<(&Connector, &[(&str, Account)])> = journeys.iter().map(|c| (c, &account[..])).collect();
    world.end_with(&expected).await;
}

/// Status, events, delivered, rejected, attempts.
fn standing(delivery: &Value) -> (&str, u64, u64, u64, u64) {
    let number = |name: &str| delivery[name].as_u64().unwrap();
    let status = delivery["status"].as_str().unwrap();
    (status, number("event_count"), number("delivered"), number("rejected"), number("attempt_count"))
}

#[tokio::test]
async fn a_wrong_index_and_a_busy_splunk_keep_what_was_taken_in_and_send_the_rest_once() {
    let world = World::start().await;
    let (wrong_index, busy) = (splunk().await, splunk().await);
    wrong_index.always(Endpoint::Event, Behaviour::fault(Fault::Poison { code: 7, text: "poison".to_owned() }));
    busy.script(Endpoint::Event, [Behaviour::fault(Fault::BusyAfter(2))]);
    let (held_org, busy_org) = (world.org("wrong index").await, world.org("busy").await);
    let (held, retried) = (held_org.connect(&wrong_index).await, busy_org.connect(&busy).await);
    let (held_ids, busy_ids) = (post_with_poison(&held_org).await, post_with_poison(&busy_org).await);

    accepted(&busy, 6).await;
    retried.until_account("events", &Account::delivered(6)).await;
    let [parent, child] = retried.deliveries("").await.try_into().unwrap();
    assert_eq!(standing(&parent), ("partial", 6, 2, 0, 1), "{parent}");
    assert_eq!(standing(&child), ("delivered", 4, 4, 0, 1), "{child}");
    assert_eq!(parent["cause"]["code"], "splunk_9_busy");
    assert_each_once(&busy, &busy_ids);

    // The first two are in; the other four have three attempts of their own, and are parked.
    held.until_health("events", "misconfigured").await;
    let [parent, child] = held.deliveries("trigger=live").await.try_into().unwrap();
    assert_eq!(standing(&parent), ("partial", 6, 2, 0, 1), "{parent}");
    assert_eq!(standing(&child), ("failed", 4, 0, 0, 3), "{child}");
    assert_eq!(child["cause"]["code"], "splunk_7_incorrect_index");
    for (n, id) in held_ids.iter().enumerate() {
        let outcome = if n < 2 { "delivered" } else { "failed" };
        held.until_outcome("events", id, outcome).await;
    }
    wrong_index.healthy();
    accepted(&wrong_index, 6).await;
    assert_each_once(&wrong_index, &held_ids);
    let account = [("events", Account::delivered(6))];
    world.end_with(&[(&held, &account), (&retried, &account)]).await;
}

#[tokio::test]
async fn with_indexer_acknowledgement_delivered_means_indexed() {
    let world = World::start().await;
    let splunk = splunk_with(|options| options.acks = true).await;
    splunk.hold_acks(true);
    let org = world.org("Acme").await;
    let connector = org.connect_with(&splunk, json!({ "config": { "indexer_ack": true } })).await;
    let ids = org.post_events(&[event("anomaly", "high"), event("lockout", "critical")]).await;
    // The events, and then at least one question after them that is answered with "not yet".
    requested(&splunk, 2).await;
    let outcome = connector.outcome("events", &ids[0]).await;
    assert_eq!(outcome["outcome"], "pending");
    connector.until_account("events", &Account { pending: 2, ..Account::default() }).await;
    splunk.hold_acks(false);
    for id in &ids {
        connector.until_outcome("events", id, "delivered").await;
    }
    let delivery = connector.until_settled("").await;
    assert_eq!((standing(&delivery), &delivery["cause"]), (("delivered", 2, 2, 0, 1), &Value::Null));
    let channels: BTreeSet<_> =
        splunk.requests().iter().map(|request| request.header("x-splunk-request-channel").map(str::to_owned)).collect();
    assert_eq!(channels.len(), 1, "events and questions use one channel: {channels:?}");
    let questions = splunk.requests().into_iter().filter(|request| request.path() == "/services/collector/ack");
    for question in questions {
        assert_eq!(question.wire, r#"{"acks":[0]}"#);
    }
    assert_each_once(&splunk, &ids);
    world.end_with(&[(&connector, &[("events", Account::delivered(2))])]).await;
}

#[tokio::test]
async fn acknowledgement_on_one_side_only_is_told_and_loses_nothing() {
    let world = World::start().await;
    let (without, demanding) = (splunk().await, splunk_with(|options| options.acks = true).await);
    let (first, second) = (world.org("connector only").await, world.org("token only").await);
    let hopeful = first.connect_with(&without, json!({ "config": { "indexer_ack": true } })).await;
    let unaware = second.connect(&demanding).await;
    let (early, late) =
        (first.post_event(event("anomaly", "low")).await, second.post_event(event("anomaly", "low")).await);

    hopeful.until_outcome("events", &early, "delivered").await;
    let delivery = hopeful.until_settled("").await;
    assert_eq!(delivery["cause"]["code"], "splunk_no_ack_id", "delivered, with a warning");

    unaware.until_health("events", "misconfigured").await;
    let outcome = unaware.until_outcome("events", &late, "failed").await;
    assert_eq!(outcome["cause"]["code"], "splunk_10_channel_missing");
    unaware.patch(json!({ "config": { "indexer_ack": true } })).await;
    unaware.until_outcome("events", &late, "delivered").await;
    poll::until("the fake has it", async || demanding.event_ids().contains_key(&late).then_some(())).await;
    assert_each_once(&without, &[early]);
    let account = [("events", Account::delivered(1))];
    world.end_with(&[(&hopeful, &account), (&unaware, &account)]).await;
}
