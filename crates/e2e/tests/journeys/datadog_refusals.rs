//! Datadog that refuses: the reply table, one of the two streams refused while the other goes on, splitting, poison, and metrics that are
//! not wanted. All of it waits for the same window of metrics, so all of it happens at the same time.

use std::pin::Pin;
use std::rc::Rc;

use tokio::task::{JoinSet, LocalSet};
use toktra_siem_fake::datadog::{Datadog, Endpoint, Fault, error_reply};
use toktra_siem_testkit::prelude::*;

use crate::replies::{Class, Row, walk};

/// A journey at its end: the connector, what the accounts of its two streams come to, and the fake, which has to be there until then.
type Ended = (Connector, [(&'static str, Account); 2], Datadog);
type Journey = fn(Rc<World>) -> Pin<Box<dyn Future<Output = Ended>>>;

fn accounts(logs: Account, metrics: Account) -> [(&'static str, Account); 2] {
    [("logs", logs), ("metrics", metrics)]
}

#[tokio::test]
async fn what_datadog_refuses_is_split_rejected_held_or_sent_again() {
    let world = Rc::new(World::start().await);
    let journeys: [Journey; 6] = [
        |world| Box::pin(metrics_refused(world)),
        |world| Box::pin(logs_refused(world)),
        |world| Box::pin(too_large(world)),
        |world| Box::pin(poison(world)),
        |world| Box::pin(a_single_entry_too_large(world)),
        |world| Box::pin(without_metrics(world)),
    ];
    let together = async {
        let mut walks = JoinSet::new();
        for journey in journeys {
            walks.spawn_local(journey(Rc::clone(&world)));
        }
        for row in table() {
            walks.spawn_local(row_of_the_table(Rc::clone(&world), row));
        }
        walks.join_all().await
    };
    let ended = LocalSet::new().run_until(together).await;
    let expected: Vec<(&Connector, &[(&str, Account)])> =
        ended.iter().map(|(connector, streams, _)| (connector, &streams[..])).collect();
    Rc::into_inner(world).unwrap().end_with(&expected).await;
}

fn table() -> Vec<Row<Fault>> {
    use Class::{Held, Rejected, Retried};
    let status = |status, class, cause| Row::reply(error_reply(Endpoint::Logs, status), class, cause);
    vec![
        Row::delivered(Behaviour::strict(), 202),
        status(400, Rejected, "datadog_http_400"),
        status(401, Held, "datadog_api_key_refused"),
        status(403, Held, "datadog_api_key_refused"),
        status(404, Held, "datadog_wrong_path"),
        status(408, Retried, "datadog_http_408"),
        status(413, Rejected, "datadog_too_large"),
        status(429, Retried, "datadog_busy"),
        status(500, Retried, "datadog_http_500"),
        status(502, Retried, "datadog_http_502"),
        status(503, Retried, "datadog_http_503"),
        status(504, Retried, "datadog_http_504"),
        Row::reply(Reply::html(200, "Sign in"), Held, "datadog_unexpected_success"),
    ]
}

async fn row_of_the_table(world: Rc<World>, row: Row<Fault>) -> Ended {
    let datadog = datadog().await;
    let org = world.org(&row.name()).await;
    let connector = org.connect(&datadog).await;
    let logs = walk(&datadog, Endpoint::Logs, &org, (&connector, "logs"), row).await;
    (connector, accounts(logs, Account::delivered(1)), datadog)
}

/// Entries that can be told apart.
fn numbered(count: usize) -> Vec<Value> {
    (0..count).map(|n| with(event("anomaly", "high"), "summary", format!("event {n}"))).collect()
}

/// The sum of all points that the intake holds.
fn counted(datadog: &Datadog) -> f64 {
    datadog.series().values().flat_map(|points| points.values()).sum()
}

async fn metrics_refused(world: Rc<World>) -> Ended {
    let datadog = datadog().await;
    datadog.always(Endpoint::Series, Behaviour::reply(error_reply(Endpoint::Series, 503)));
    let org = world.org("metrics refused").await;
    let connector = org.connect(&datadog).await;
    let ids = org.post_events(&numbered(2)).await;
    connector.until_account("logs", &Account::delivered(2)).await;

    connector.until_health("metrics", "degraded").await;
    let window = connector.until_settled("stream=metrics&trigger=live").await;
    assert_eq!((&window["status"], &window["attempt_count"]), (&json!("failed"), &json!(3)), "{window}");
    let fate = connector.until_outcome("metrics", &ids[0], "failed").await;
    assert_eq!(fate["cause"]["code"], "datadog_http_503");
    assert_eq!(connector.outcome("logs", &ids[0]).await["outcome"], "delivered");
    assert_eq!(connector.health("logs").await["state"], "healthy");

    datadog.healthy();
    connector.until_outcome("metrics", &ids[1], "delivered").await;
    let recovered = connector.deliveries("stream=metrics&status=delivered").await;
    assert_eq!(recovered.len(), 1);
    assert_eq!(recovered[0]["window"], window["window"], "the same points with the same times");
    assert!((counted(&datadog) - 2.0).abs() < f64::EPSILON);
    assert_each_once(&datadog, &ids);
    (connector, accounts(Account::delivered(2), Account::delivered(2)), datadog)
}

async fn logs_refused(world: Rc<World>) -> Ended {
    let datadog = datadog().await;
    datadog.always(Endpoint::Logs, Behaviour::reply(error_reply(Endpoint::Logs, 403)));
    let org = world.org("logs refused").await;
    let connector = org.connect(&datadog).await;
    let ids = org.post_events(&numbered(3)).await;
    connector.until_health("logs", "misconfigured").await;
    let fate = connector.until_outcome("logs", &ids[0], "failed").await;
    assert_eq!(fate["cause"]["code"], "datadog_api_key_refused");
    assert!(fate["cause"]["message"].text().contains("site"), "the commonest mistake is named: {fate}");

    connector.until_account("metrics", &Account::delivered(3)).await;
    assert!((counted(&datadog) - 3.0).abs() < f64::EPSILON);
    assert_eq!(connector.health("metrics").await["state"], "healthy");
    // Somebody corrects the settings: the save closes the breaker, and what was held goes out.
    datadog.healthy();
    connector.patch(json!({ "config": { "service": "corrected" } })).await;
    accepted(&datadog, 3).await;
    connector.until_health("logs", "healthy").await;
    assert_each_once(&datadog, &ids);
    (connector, accounts(Account::delivered(3), Account::delivered(3)), datadog)
}

async fn too_large(world: Rc<World>) -> Ended {
    let datadog = datadog().await;
    datadog.always(Endpoint::Logs, Behaviour::fault(Fault::TooLargeOver(2)));
    datadog.always(Endpoint::Series, Behaviour::reply(error_reply(Endpoint::Series, 413)));
    let org = world.org("too large").await;
    let connector = org.connect(&datadog).await;
    let ids = org.post_events(&numbered(7)).await;
    accepted(&datadog, 7).await;
    connector.until_account("logs", &Account::delivered(7)).await;
    let deliveries = connector.deliveries("stream=logs").await;
    // 7 → 3 + 4, 3 → 1 + 2, 4 → 2 + 2: each refused request is answered by its halves, the first one first.
    let shape = |delivery: &Value| (delivery["status"].text(), delivery["event_count"].number());
    let mut shapes: Vec<_> = deliveries.iter().map(shape).collect();
    shapes.sort_unstable();
    let expected = [
        ("delivered", 1),
        ("delivered", 2),
        ("delivered", 2),
        ("delivered", 2),
        ("split", 3),
        ("split", 4),
        ("split", 7),
    ];
    assert_eq!(shapes, expected.map(|(status, events)| (status.to_owned(), events)));
    for delivery in &deliveries {
        assert_eq!(delivery["attempt_count"], 1);
        let whole = delivery["event_count"] == 7;
        assert_eq!(delivery["parent_id"].is_null(), whole, "{delivery}");
    }
    let sent: Vec<String> = datadog.events().into_iter().filter_map(|taken| taken.event_id).collect();
    assert_eq!(sent, ids, "depth first: the order is kept");
    assert_each_once(&datadog, &ids);
    // A window is never split.
    let fate = connector.until_outcome("metrics", &ids[0], "rejected").await;
    assert_eq!(fate["cause"]["code"], "datadog_too_large");
    (connector, accounts(Account::delivered(7), Account { rejected: 7, ..Account::default() }), datadog)
}

async fn poison(world: Rc<World>) -> Ended {
    let datadog = datadog().await;
    datadog.always(Endpoint::Logs, Behaviour::fault(Fault::Poison(vec!["event 5".to_owned()])));
    datadog.always(Endpoint::Series, Behaviour::reply(error_reply(Endpoint::Series, 400)));
    let org = world.org("poison").await;
    let connector = org.connect(&datadog).await;
    let mut ids = org.post_events(&numbered(9)).await;
    accepted(&datadog, 8).await;
    let poisoned = ids.remove(5);
    let fate = connector.until_outcome("logs", &poisoned, "rejected").await;
    assert_eq!(fate["cause"]["code"], "datadog_http_400");
    let rejected = connector.delivery(&fate["delivery"].text()).await;
    assert_eq!((&rejected["event_count"], &rejected["status"]), (&json!(1), &json!("failed")));
    assert_eq!(rejected["attempt_count"], 3);
    assert_eq!(rejected["events"].list()[0]["event_id"], poisoned.as_str());
    assert_each_once(&datadog, &ids);
    assert_eq!(connector.health("logs").await["state"], "healthy", "it blocks no other");
    let fate = connector.until_outcome("metrics", &ids[0], "rejected").await;
    assert_eq!(fate["cause"]["code"], "datadog_http_400");
    let logs = Account { delivered: 8, rejected: 1, ..Account::default() };
    (connector, accounts(logs, Account { rejected: 9, ..Account::default() }), datadog)
}

async fn a_single_entry_too_large(world: Rc<World>) -> Ended {
    let datadog = datadog().await;
    datadog.always(Endpoint::Logs, Behaviour::fault(Fault::TooLargeOver(0)));
    let org = world.org("single entries too large").await;
    let connector = org.connect(&datadog).await;
    let ids = org.post_events(&numbered(3)).await;
    for id in &ids {
        let fate = connector.until_outcome("logs", id, "rejected").await;
        assert_eq!(fate["cause"]["code"], "datadog_too_large");
    }
    assert_eq!(datadog.counts().events, 0);
    (connector, accounts(Account { rejected: 3, ..Account::default() }, Account::delivered(3)), datadog)
}

async fn without_metrics(world: Rc<World>) -> Ended {
    let datadog = datadog().await;
    let org = world.org("without metrics").await;
    let connector = org.connect_with(&datadog, json!({ "config": { "send_metrics": false } })).await;
    let ids = org.post_events(&numbered(2)).await;
    accepted(&datadog, 2).await;
    assert_eq!(connector.health("metrics").await["state"], "off");
    let fate = connector.until_outcome("metrics", &ids[0], "filtered").await;
    assert_eq!(fate["rule"], "send_metrics");
    assert!(datadog.points().is_empty());
    // Switched on, it counts from then on.
    connector.patch(json!({ "config": { "send_metrics": true } })).await;
    org.post_event(event("lockout", "critical")).await;
    connector.until_account("metrics", &Account { delivered: 1, filtered: 2, ..Account::default() }).await;
    assert!((counted(&datadog) - 1.0).abs() < f64::EPSILON);
    assert_eq!(datadog.violations(), []);
    (connector, accounts(Account::delivered(3), Account { delivered: 1, filtered: 2, ..Account::default() }), datadog)
}
