//! The service's own events: a heartbeat through a connector of the environment, and an alert about one connector that another brings.

use toktra_siem_fake::splunk::{Endpoint, Splunk, reply};
use toktra_siem_testkit::prelude::*;

/// The events that arrived, as JSON.
fn arrived(fake: &Splunk) -> Vec<Value> {
    fake.events().iter().map(|event| serde_json::from_slice(&event.event).unwrap()).collect()
}

#[tokio::test]
async fn a_heartbeat_is_filtered_like_the_rest_and_arrives_where_it_is_let_through() {
    let splunk = splunk().await;
    let setup = described(setup(), &[&splunk]).env("SIEM_SPLUNK_FILTER_EVENT_TYPES", "heartbeat");
    let world = World::with(setup.env("TOKTRA_SIEM_HEARTBEAT", "1h")).await;
    accepted(&splunk, 1).await;
    let beat = arrived(&splunk).remove(0);
    assert_eq!((&beat["event_type"], &beat["severity"]), (&json!("heartbeat"), &json!("low")), "{beat}");
    assert_eq!(beat["details"]["every_seconds"], 3600);
    let connector = world.connectors().await.remove(0);
    world.post_event(event("lockout", "critical")).await;
    let account = Account { filtered: 1, ..Account::delivered(1) };
    world.end_with(&[(&connector, &[("events", account)])]).await;
}

#[tokio::test]
async fn a_heartbeat_that_a_filter_does_not_let_through_is_counted_as_filtered() {
    let splunk = splunk().await;
    let setup = described(setup(), &[&splunk]).env("SIEM_SPLUNK_FILTER_SEVERITY", "critical");
    let world = World::with(setup.env("TOKTRA_SIEM_HEARTBEAT", "1h")).await;
    let connector = world.connectors().await.remove(0);
    let account = Account { filtered: 1, ..Account::delivered(0) };
    connector.until_account("events", &account).await;
    assert!(splunk.events().is_empty());
    world.end_with(&[(&connector, &[("events", account)])]).await;
}

#[tokio::test]
async fn a_connector_that_stops_is_told_through_another() {
    let (broken, well) = (splunk().await, splunk().await);
    broken.always(Endpoint::Event, Behaviour::reply(reply(4)));
    let world = World::with(setup().env("TOKTRA_SIEM_CONNECTOR_ALERTS", "true")).await;
    let org = world.org("Acme").await;
    let named = |name: &str, filter: Value| json!({ "name": name, "filter": filter });
    let stopped = org.connect_with(&broken, named("Prod Splunk", json!({ "severity": ["high"] }))).await;
    let alone = json!({ "event_types": ["connector_alert"] });
    let telling = org.connect_with(&well, named("Second Splunk", alone)).await;
    org.post_event(event("anomaly", "high")).await;

    accepted(&well, 1).await;
    let alert = arrived(&well).remove(0);
    assert_eq!((&alert["event_type"], &alert["severity"]), (&json!("connector_alert"), &json!("high")), "{alert}");
    let details = &alert["details"];
    assert_eq!((&details["connector_id"], &details["state"]), (&json!(stopped.id), &json!("misconfigured")));
    assert_eq!(details["cause"]["code"], "splunk_4_invalid_token", "{details}");

    broken.always(Endpoint::Event, Behaviour::reply(reply(0)));
    stopped.patch(json!({ "config": broken.config() })).await;
    accepted(&well, 2).await;
    let again = arrived(&well).remove(1);
    assert_eq!((&again["details"]["state"], &again["severity"]), (&json!("healthy"), &json!("low")), "{again}");
    world
        .end_with(&[
            (&stopped, &[("events", Account { filtered: 1, ..Account::delivered(2) })]),
            (&telling, &[("events", Account { filtered: 1, ..Account::delivered(2) })]),
        ])
        .await;
}

#[tokio::test]
async fn down_and_then_misconfigured_is_told_once_although_the_server_is_killed() {
    let (broken, well) = (splunk().await, splunk().await);
    broken.script(Endpoint::Event, (0..3).map(|_| Behaviour::reply(Reply::html(503, "Service Unavailable"))));
    broken.always(Endpoint::Event, Behaviour::reply(reply(4)));
    let mut world = World::with(setup().env("TOKTRA_SIEM_CONNECTOR_ALERTS", "true")).await;
    let org = world.default_org().clone();
    let named = |name: &str, event_type: &str| json!({ "name": name, "filter": { "event_types": [event_type] } });
    let stopped = org.connect_with(&broken, named("Prod Splunk", "anomaly")).await;
    let telling = org.connect_with(&well, named("Second Splunk", "connector_alert")).await;
    org.post_event(event("anomaly", "high")).await;
    stopped.until_health("events", "misconfigured").await;
    world.kill().await;
    world.again().await;
    telling.accounted(&[("delivered", 1)]).await;
    world.kill().await;
    world.again().await;

    broken.always(Endpoint::Event, Behaviour::reply(reply(0)));
    stopped.patch(json!({ "config": broken.config() })).await;
    world.kill().await;
    world.again().await;
    telling.accounted(&[("delivered", 2)]).await;
    // What a kill came between is sent again, under its own id.
    let mut alerts = arrived(&well);
    alerts.dedup_by_key(|alert| alert["event_id"].clone());
    let states: Vec<&Value> = alerts.iter().map(|alert| &alert["details"]["state"]).collect();
    assert_eq!(states, ["misconfigured", "healthy"]);
    world
        .end_with(&[
            (&stopped, &[("events", Account { filtered: 2, ..Account::delivered(1) })]),
            (&telling, &[("events", Account { filtered: 1, ..Account::delivered(2) })]),
        ])
        .await;
}
