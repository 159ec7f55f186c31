//! Splunk that is down: refused and broken connections, a storm of 503, a pause that it asks for. Nothing is lost, nothing comes twice.

use std::time::Duration;

use toktra_siem_fake::Delivery;
use toktra_siem_fake::splunk::{Endpoint, Splunk, reply};
use toktra_siem_testkit::prelude::*;

use crate::replies::{assert_paused, started};

/// The live delivery failed without an answer after three attempts, for this cause.
async fn assert_unanswered(connector: &Connector, id: &str, cause: &str) {
    let delivery = connector.until_settled("trigger=live").await;
    assert_eq!((&delivery["status"], &delivery["attempt_count"]), (&json!("failed"), &json!(3)), "{delivery}");
    for attempt in delivery["attempts"].as_array().unwrap() {
        assert_eq!((&attempt["http_status"], &attempt["cause"]["code"]), (&Value::Null, &json!(cause)), "{delivery}");
    }
    let fate = connector.until_outcome("events", id, "failed").await;
    assert_eq!(fate["cause"]["code"], cause);
    connector.until_health("events", "degraded").await;
}

#[tokio::test]
async fn a_refused_connection_is_told_and_ends_by_itself() {
    let (world, org, splunk, connector) = World::with_splunk().await;
    splunk.down().await;
    let mut ids = vec![org.post_event(event("anomaly", "high")).await];
    assert_unanswered(&connector, &ids[0], "network_refused").await;
    ids.push(org.post_event(event("lockout", "critical")).await);
    splunk.up().unwrap();
    accepted(&splunk, 2).await;
    connector.until_health("events", "healthy").await;
    assert_each_once(&splunk, &ids);
    world.end_with(&[(&connector, &[("events", Account::delivered(2))])]).await;
}

#[tokio::test]
async fn a_broken_connection_is_a_failed_attempt_wherever_it_breaks() {
    let world = World::start().await;
    let cut = |how: Delivery| Behaviour::reply(reply(0)).delivered(how);
    let mut walks = Vec::new();
    for (name, behaviour) in [
        ("closed without an answer", Behaviour::close()),
        ("reset while the body is read", Behaviour::reset_while_reading(1)),
        ("reset after the answer's head", cut(Delivery::ResetAfterHead)),
        ("reset within the answer's body", cut(Delivery::ResetMidBody)),
    ] {
        let splunk = splunk().await;
        splunk.always(Endpoint::Event, behaviour);
        let org = world.org(name).await;
        let connector = org.connect(&splunk).await;
        let id = org.post_event(event("anomaly", "high")).await;
        walks.push((splunk, connector, id));
    }
    for (splunk, connector, id) in &walks {
        assert_unanswered(connector, id, "network_reset").await;
        splunk.healthy();
    }
    for (splunk, _, id) in &walks {
        accepted(splunk, 1).await;
        assert_each_once(splunk, std::slice::from_ref(id));
    }
    let account = [("events", Account::delivered(1))];
    let expected: Vec<(&Connector, &[(&str, Account)])> = walks.iter().map(|(_, c, _)| (c, &account[..])).collect();
    world.end_with(&expected).await;
}

#[tokio::test]
async fn a_storm_of_503_opens_the_breaker_and_all_that_waited_arrives_once() {
    let (world, org, splunk, connector) = World::with_splunk().await;
    let numbered = |from: u32| -> Vec<Value> {
        (from..from + 100).map(|n| with(event("anomaly", "high"), "summary", format!("event {n}"))).collect()
    };
    let mut ids = org.post_events(&numbered(0)).await;
    accepted(&splunk, 100).await;

    splunk.always(Endpoint::Event, Behaviour::reply(Reply::html(503, "Service Unavailable")));
    ids.extend(org.post_events(&numbered(100)).await);
    connector.until_health("events", "degraded").await;
    let failed = connector.deliveries("status=failed&trigger=live").await;
    assert_eq!(failed.len(), 1, "one delivery is burned, the rest waits: {failed:?}");
    let before = splunk.counts().requests;
    ids.extend(org.post_events(&numbered(200)).await);
    let health = connector.health("events").await;
    assert_eq!(health["last_error"]["cause"]["code"], "splunk_http_503");
    assert!(health["lag_events"].as_i64().unwrap() >= 100, "{health}");
    // Only probes go out, one event each, until one of them succeeds.
    requested(&splunk, before + 3).await;
    let probed = splunk.requests().into_iter().filter(|request| request.order >= before);
    for probe in probed {
        assert_eq!(str::from_utf8(&probe.wire).unwrap().lines().count(), 1, "a probe is one event");
    }
    splunk.healthy();
    accepted(&splunk, 300).await;
    assert_each_once(&splunk, &ids);
    connector.until_health("events", "healthy").await;
    let outage = connector.deliveries("status=failed&trigger=recovery").await;
    assert_eq!(outage.len(), 1, "its probes are attempts of one delivery: {outage:?}");
    assert!(outage[0]["outage"]["until"].is_string() && outage[0]["outage"]["probes"].number() >= 2, "{outage:?}");
    assert_eq!(outage[0]["outage"]["probes"], outage[0]["attempt_count"]);
    world.end_with(&[(&connector, &[("events", Account::delivered(300))])]).await;
}

#[tokio::test]
async fn a_splunk_that_hangs_holds_up_nobody_else() {
    let (world, hanging, other) = (World::start().await, splunk().await, splunk().await);
    let gate = Gate::new();
    hanging.always(Endpoint::Event, Behaviour::strict().gated(&gate));
    let org = world.org("Acme").await;
    let slow = org.connect_with(&hanging, json!({ "name": "slow" })).await;
    let quick = org.connect_with(&other, json!({ "name": "quick" })).await;
    let mut ids = Vec::new();
    for round in 0..10 {
        ids.push(org.post_event(with(event("anomaly", "high"), "summary", format!("event {round}"))).await);
        requested(&hanging, 1).await;
        // The neighbour has this one before the next is posted, while the first request to the other still hangs.
        accepted(&other, round + 1).await;
    }
    quick.until_account("events", &Account::delivered(10)).await;
    assert_eq!(hanging.counts().events, 0);
    slow.until_account("events", &Account { pending: 10, ..Account::default() }).await;
    gate.open();
    accepted(&hanging, 10).await;
    assert_each_once(&hanging, &ids);
    assert_each_once(&other, &ids);
    let account = [("events", Account::delivered(10))];
    world.end_with(&[(&slow, &account), (&quick, &account)]).await;
}

async fn busy_once(world: &World, name: &str, retry_after: &str) -> (Splunk, Connector, String) {
    let splunk = splunk().await;
    splunk.script(Endpoint::Event, [Behaviour::reply(reply(9).with_header("retry-after", retry_after))]);
    let org = world.org(name).await;
    let connector = org.connect_with(&splunk, json!({ "name": name })).await;
    let id = org.post_event(event("anomaly", "high")).await;
    (splunk, connector, id)
}

#[tokio::test]
async fn the_pause_that_splunk_asks_for_is_kept() {
    let world = World::start().await;
    let until = later(Duration::from_secs(4));
    let walks = [
        // In seconds; as a date; one that is over already; and one that cannot be understood.
        (busy_once(&world, "seconds", "3").await, 3_000),
        (busy_once(&world, "a date", &httpdate::fmt_http_date(until)).await, 1_000),
        (busy_once(&world, "a date that has passed", "Wed, 21 Oct 2015 07:28:00 GMT").await, 1_000),
        (busy_once(&world, "no pause at all", "soon").await, 1_000),
    ];
    let account = [("events", Account::delivered(1))];
    let mut expected: Vec<(&Connector, &[(&str, Account)])> = Vec::new();
    for ((splunk, connector, id), least) in &walks {
        let delivery = connector.until_settled("trigger=live").await;
        assert_eq!((&delivery["status"], &delivery["attempt_count"]), (&json!("delivered"), &json!(2)), "{delivery}");
        assert_paused(&delivery, 0, *least);
        if connector.created["name"] == "a date" {
            assert!(started(&delivery, 1) >= whole_seconds(until), "{delivery}");
        }
        assert_each_once(splunk, std::slice::from_ref(id));
        expected.push((connector, &account));
    }
    world.end_with(&expected).await;
}

#[expect(clippy::disallowed_methods, reason = "a receiver names a date by its own clock, which is the machine's")]
fn later(by: Duration) -> std::time::SystemTime {
    std::time::SystemTime::now() + by
}

/// The time that a date names, which has whole seconds, in ms.
fn whole_seconds(time: std::time::SystemTime) -> i64 {
    i64::try_from(time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() * 1_000).unwrap()
}
