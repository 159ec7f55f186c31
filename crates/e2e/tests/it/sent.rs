//! The request of an attempt, shown afterwards: where it says that it is exact, its body is byte for byte what the SIEM received, and no
//! secret is in it, whatever became of settings, events and connector since.

use std::time::Duration;

use toktra_siem_fake::splunk::{Endpoint, Splunk, reply};
use toktra_siem_fake::{Receiver, Recorded, Rules};
use toktra_siem_platform::Registry;
use toktra_siem_store::Retention;
use toktra_siem_testkit::prelude::*;

use crate::api::history::with_history;

const SECRET: &str = "a-signing-secret-of-a-test";

/// The request of an attempt, as the API shows it.
async fn shown(world: &Org, delivery: &str, attempt: u64) -> Value {
    world.read(&format!("/v1/siem/deliveries/{delivery}/attempts/{attempt}/request")).await
}

/// The codes of its notes.
fn notes(shown: &Value) -> Vec<String> {
    shown["notes"].list().iter().map(|note| note["code"].text()).collect()
}

/// What a fake received of a delivery, in order.
fn received<R: Rules>(fake: &Receiver<R>, delivery: &str) -> Vec<Recorded> {
    fake.requests().into_iter().filter(|request| request.header("webhook-id") == Some(delivery)).collect()
}

/// It is exact, and it is what was received.
fn assert_exact(shown: &Value, received: &Recorded) {
    assert_eq!((&shown["exact"], &shown["notes"]), (&json!(true), &json!([])), "{shown}");
    let body = received.body.as_ref().unwrap();
    assert_eq!((shown["body"].text().as_bytes(), shown["body_bytes"].number()), (&body[..], body.len() as u64));
    let request = &shown["request"];
    assert_eq!(request["method"], received.method.as_str());
    assert!(request["url"].text().ends_with(&received.uri.to_string()), "{shown}");
    for header in request["headers"].list() {
        let value = header[1].text();
        assert!(value == "[redacted]" || received.header(&header[0].text()) == Some(&value), "{header}");
    }
}

fn assert_no_secret(shown: &Value) {
    let text = shown.to_string();
    for secret in [CREDENTIAL, "MTExMTExMTEtMjIyMi0zMzMzLTQ0NDQt", SECRET] {
        assert!(!text.contains(secret), "{text}");
    }
}

/// Tests a connector to this fake, without compression and with it.
async fn tested<R: Rules>(world: &Org, fake: &Receiver<R>, name: &str)
where
    Receiver<R>: Siem,
{
    for compression in ["none", "gzip"] {
        let more = json!({
            "name": format!("{name} {compression}"), "signing_secret": SECRET, "config": { "compression": compression },
        });
        let connector = world.connect_with(fake, more).await;
        let report = connector.test(json!({})).await;
        for stream in report["streams"].list() {
            assert_eq!(stream["delivered"], true, "{report}");
            let delivery = stream["delivery_id"].text();
            let (shown, received) = (shown(world, &delivery, 1).await, received(fake, &delivery));
            assert_eq!(received.len(), 1);
            assert_exact(&shown, &received[0]);
            assert_no_secret(&shown);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_platforms_request_is_shown_as_it_was_received() {
    let world = World::whole(Registry::standard(), &[]).await;
    tested(&world, &splunk().await, "Splunk").await;
    tested(&world, &datadog().await, "Datadog").await;
    tested(&world, &elasticsearch().await, "Elasticsearch").await;
    tested(&world, &webhook().await, "Webhook").await;
    world.ends().await;
}

/// A connector to a Splunk that is busy for its first request, and the delivery of `events` events, which took two attempts.
async fn twice(world: &Org, splunk: &Splunk, events: &[Value]) -> (Connector, String) {
    let connector = world.connect_with(splunk, json!({ "signing_secret": SECRET })).await;
    splunk.script(Endpoint::Event, [Behaviour::reply(reply(9))]);
    world.post_events(events).await;
    let delivery = connector.until_settled("trigger=live").await;
    assert_eq!((&delivery["status"], &delivery["attempt_count"]), (&json!("delivered"), &json!(2)), "{delivery}");
    (connector, delivery.id())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_since_is_told_and_what_is_exact_is_proved() {
    let (world, splunk) = (World::whole(Registry::standard(), &[]).await, splunk().await);
    let (connector, id) = twice(&world, &splunk, &[event("anomaly", "high"), event("lockout", "low")]).await;
    let first = &received(&splunk, &id)[0];
    assert_exact(&shown(&world, &id, 1).await, first);
    // Of the one that simply arrived nothing is kept, so that nothing proves it.
    let arrived = shown(&world, &id, 2).await;
    assert_eq!((&arrived["exact"], notes(&arrived)), (&json!(false), vec!["not_kept".to_owned()]));
    assert_eq!(arrived["body"].text().as_bytes(), &first.body.as_ref().unwrap()[..]);
    assert_no_secret(&arrived);

    connector.patch(json!({ "config": { "sourcetype": "toktra:other" } })).await;
    let other = shown(&world, &id, 1).await;
    assert_eq!(
        (&other["exact"], notes(&other)),
        (&json!(false), vec!["connector_changed".into(), "not_proved".into()])
    );
    assert!(other["body"].text().contains("toktra:other"), "{other}");
    connector.patch(json!({ "config": { "sourcetype": connector.created["config"]["sourcetype"] } })).await;
    assert_exact(&shown(&world, &id, 1).await, first);
    connector.patch(json!({ "signing_secret": "another-signing-secret" })).await;
    assert_eq!(notes(&shown(&world, &id, 1).await), ["connector_changed", "not_proved"]);

    for number in ["0", "3", "01", "x"] {
        let path = format!("/v1/siem/deliveries/{id}/attempts/{number}/request");
        world.get(&path).await.expect_status(404);
    }
    world.remove(&connector.path("")).await;
    let gone = shown(&world, &id, 1).await;
    assert_eq!((&gone["body"], notes(&gone)), (&json!(null), vec!["connector_deleted".to_owned()]));
    assert_eq!(gone["request"]["method"], "POST");
    world.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_shown_as_they_are_whatever_is_in_them_and_a_long_body_is_cut() {
    let (world, fake) = (World::whole(Registry::standard(), &[]).await, splunk().await);
    let echo = with(event("anomaly", "high"), "summary", format!("token {CREDENTIAL} and {SECRET}"));
    let (connector, id) = twice(&world, &fake, &[echo]).await;
    // Whoever may look may read the event as well: a body that left out what looks like a secret would tell which guess was right.
    for (attempt, exact) in [(1, true), (2, false)] {
        let sent = shown(&world, &id, attempt).await;
        assert_eq!(sent["exact"], exact, "{sent}");
        assert!(sent["body"].text().contains(&format!("token {CREDENTIAL} and {SECRET}")), "{sent}");
        assert_no_secret(&sent["request"]);
    }
    world.remove(&connector.path("")).await;

    let long = |n: usize| with(event("anomaly", "high"), "summary", format!("{n} {}", "ü".repeat(900)));
    let fake = splunk().await;
    let (_, id) = twice(&world, &fake, &(0..80).map(long).collect::<Vec<_>>()).await;
    let (cut, whole) = (shown(&world, &id, 1).await, received(&fake, &id)[0].body.clone().unwrap());
    let body = cut["body"].text();
    assert!(whole.len() > 64 * 1024 && (64 * 1024 - 3..=64 * 1024).contains(&body.len()), "{}", body.len());
    assert!(whole.starts_with(body.as_bytes()));
    let told = (&cut["truncated"], &cut["exact"], cut["body_bytes"].number());
    assert_eq!(told, (&json!(true), &json!(true), whole.len() as u64));
    world.ends().await;
}

#[tokio::test]
async fn events_that_are_gone_and_requests_that_are_not_known_are_told() {
    let (world, connector) = with_history().await;
    let path = format!("/v1/siem/connectors/{connector}/deliveries?status=failed");
    let failed = world.read(&path).await["items"][0].id();
    let unsigned = shown(&world, &failed, 1).await;
    assert_eq!((&unsigned["exact"], notes(&unsigned)), (&json!(false), vec!["not_signed".to_owned()]));
    assert!(unsigned["body"].text().contains("\"event_id\""), "{unsigned}");
    world.pass(Duration::from_hours(24 * 40));
    let retention = Retention { payloads_before: START.plus(Duration::from_hours(24 * 10)), history_before: START };
    while world.store.expire(retention).await.unwrap().more {}
    let gone = shown(&world, &failed, 1).await;
    assert_eq!((&gone["body"], notes(&gone)), (&json!(null), vec!["events_gone".to_owned()]));
}
