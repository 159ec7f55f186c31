//! Receivers that speak as Splunk's HTTP Event Collector does: each fake as strict as its receiver, and VictoriaLogs, a real one.

use toktra_siem_fake::splunk::{Dialect, Endpoint, Fault, Splunk};
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real::VICTORIA_LOGS;
use url::form_urlencoded::byte_serialize;

use crate::nodes::day;

/// A receiver, and a connector to it.
struct Played {
    dialect: Dialect,
    fake: Splunk,
    connector: Connector,
}

impl Played {
    async fn begin(world: &World, dialect: Dialect, anonymous: bool, more: Value) -> Self {
        let fake = splunk_with(|options| {
            options.dialect = dialect;
            options.anonymous = anonymous;
            if dialect == Dialect::LogScale {
                options.indexes = vec!["repository".to_owned()];
            }
        })
        .await;
        let mut config = more;
        if anonymous {
            config["hec_token"] = Value::Null;
        }
        let name = format!("{} {anonymous}", dialect.word());
        let connector = world.connect_with(&fake, json!({ "name": name, "config": config })).await;
        Self { dialect, fake, connector }
    }

    fn word(&self) -> &'static str {
        self.dialect.word()
    }
}

#[tokio::test]
async fn each_receiver_gets_every_event_in_the_way_that_it_takes_them() {
    let world = World::start().await;
    let mut played = Vec::new();
    for dialect in Dialect::ALL {
        played.push(Played::begin(&world, dialect, false, json!({ "compression": "gzip" })).await);
        if !matches!(dialect, Dialect::Splunk | Dialect::LogScale) {
            played.push(Played::begin(&world, dialect, true, json!({})).await);
        }
    }
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.extend(world.post_some(800).await);
    }
    world.all_arrived().await;
    for Played { dialect, fake, connector } in &played {
        assert_each_once(fake, &ids);
        connector.accounted(&[("delivered", 2_400), ("rejected", 0), ("failed", 0)]).await;
        let named = |name: &str| fake.events().iter().filter(|event| event.meta.contains_key(name)).count();
        assert_eq!(named("sourcetype"), 2_400, "{dialect:?}");
        assert_eq!(named("index"), if *dialect == Dialect::LogScale { 0 } else { 2_400 }, "{dialect:?}");
        let test = connector.test(json!({})).await;
        assert_eq!(test["delivered"], true, "{dialect:?}: {test}");
        let onward = test["hint"].as_str().unwrap_or_default();
        let sends_on = !matches!(dialect, Dialect::Splunk | Dialect::LogScale);
        assert_eq!(onward.contains("has the event. Check"), sends_on, "{dialect:?}: {test}");
    }
    world.end().await;
}

#[tokio::test]
async fn what_is_set_wrongly_is_named_in_the_words_of_the_receiver() {
    let world = World::start().await;
    for (dialect, wrong, code, words) in [
        (Dialect::LogScale, json!({ "hec_token": "another" }), "splunk_http_401", "Ingest tokens"),
        (Dialect::LogScale, json!({ "index": "toktra" }), "splunk_7_incorrect_index", "take the index out"),
        (Dialect::LogScale, json!({ "dialect": "splunk" }), "splunk_wrong_path", "The HEC URL is probably wrong"),
        (Dialect::Cribl, json!({ "hec_token": "another" }), "splunk_4_invalid_token", "In Cribl: Data → Sources"),
        (Dialect::EdgeProcessor, json!({ "hec_token": "another" }), "splunk_4_invalid_token", "shared settings"),
        (Dialect::EdgeProcessor, json!({ "dialect": "otel" }), "splunk_wrong_path", "splunk_hec receiver"),
        (Dialect::Otel, json!({ "hec_token": "another" }), "splunk_http_401", "access_token_passthrough"),
        (Dialect::Otel, json!({ "hec_token": Value::Null }), "splunk_http_401", "receivers → splunk_hec"),
        (Dialect::Otel, json!({ "dialect": "logscale" }), "splunk_http_401", "Ingest tokens"),
    ] {
        let org = world.org(&format!("{} {wrong}", dialect.word())).await;
        let fake = splunk_with(|options| {
            options.dialect = dialect;
            if dialect == Dialect::LogScale {
                options.indexes = vec!["repository".to_owned()];
            }
        })
        .await;
        let connector = org.connect(&fake).await;
        let test = connector.test(json!({ "config": wrong })).await;
        let (cause, hint) = (&test["streams"][0]["cause"]["code"], test["hint"].as_str().unwrap_or_default());
        assert!(cause == code && hint.contains(words) && !hint.contains("In Splunk:"), "{dialect:?} {wrong}: {test}");
        connector.patch(json!({ "config": wrong })).await;
        org.post_some(1).await;
        let health = connector.until_stands("misconfigured").await;
        assert_eq!(health["streams"][0]["last_error"]["cause"]["code"], code, "{dialect:?} {wrong}: {health}");
        let right = json!({ "dialect": dialect.word(), "hec_token": CREDENTIAL, "index": null });
        connector.patch(json!({ "config": right })).await;
        connector.accounted(&[("delivered", 1)]).await;
    }
    world.end().await;
}

#[tokio::test]
async fn an_event_that_the_receiver_refuses_holds_up_no_other_and_none_is_lost() {
    let world = World::start().await;
    let poison = || Behaviour::fault(Fault::Poison { code: 6, text: "poison".to_owned() });
    let mut played = Vec::new();
    for dialect in Dialect::ALL {
        let one = Played::begin(&world, dialect, false, json!({})).await;
        one.fake.always(Endpoint::Event, poison());
        played.push(one);
    }
    let event = |n: usize| violation(json!({ "summary": if n == 17 { "poison" } else { "fine" } }));
    let events: Vec<Value> = (0..40).map(event).collect();
    let ids = world.post_events(&events).await;
    world.all_arrived().await;
    for one in &played {
        one.connector.accounted(&[("delivered", 39), ("rejected", 1)]).await;
        let there = one.fake.event_ids();
        assert!(!there.contains_key(&ids[17]) && there.len() == 39, "{}: {there:?}", one.word());
        assert!(there.values().all(|times| *times == 1), "{}: {there:?}", one.word());
    }
    world.end().await;
}

/// Members as VictoriaLogs keeps them: objects flattened to paths, every value a text.
fn flat(path: &str, value: &Value, all: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| flat(&format!("{path}.{name}"), value, all)),
        Value::String(text) => all.push((path.to_owned(), text.clone())),
        Value::Null => {}
        other => all.push((path.to_owned(), other.to_string())),
    }
}

#[tokio::test]
async fn victoria_logs_takes_them_by_hec_and_every_member_is_read_back() {
    let Some(url) = VICTORIA_LOGS.url() else { return };
    let world = World::start().await;
    let user = world.unique();
    let base = url.as_str().trim_end_matches('/').to_owned();
    let mut connectors = Vec::new();
    for (dialect, compression) in [("splunk", "gzip"), ("otel", "none")] {
        let config = json!({
            "hec_url": format!("{base}/insert/splunk"), "hec_token": CREDENTIAL, "dialect": dialect, "index": dialect, "compression": compression,
        });
        connectors.push((dialect, world.connector("splunk", config, json!({ "name": dialect })).await));
    }
    // It drops what is older than a week, and answers with success all the same.
    let yesterday = day(1).0;
    let event = |n: u64| {
        violation(json!({
            "user_id": user, "timestamp": format!("{yesterday}T10:30:{:02}.{:03}Z", n % 60, n), "summary": format!("{n} “quoted” \\ é\n\t{{"),
            "tags": { "team": "red", "empty": "" },
            "details": { "actual": n, "share": 0.25, "yes": true, "deep": { "er": "x".repeat(200) }, "list": [1, "two"] },
        }))
    };
    let events: Vec<Value> = (0..900).map(event).collect();
    let ids = world.post_events(&events).await;
    world.all_arrived().await;
    let client = Client::new(&base);
    for (dialect, connector) in &connectors {
        connector.accounted(&[("delivered", 900), ("rejected", 0), ("failed", 0)]).await;
        let query = format!("\"event.user_id\":=\"{user}\" index:=\"{dialect}\"");
        let path = format!("/select/logsql/query?query={}", byte_serialize(query.as_bytes()).collect::<String>());
        let all = async || {
            let rows: Vec<Value> =
                client.get(&path).await.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            (rows.len() == ids.len()).then_some(rows)
        };
        let rows = poll::until("VictoriaLogs finds all", all).await;
        for (id, event) in ids.iter().zip(&events) {
            let row = rows.iter().find(|row| row["event.event_id"] == id.as_str()).unwrap();
            let mut members = Vec::new();
            flat("event", event, &mut members);
            // What is empty is no field there.
            for (name, value) in members.iter().filter(|(_, value)| !value.is_empty()) {
                assert_eq!(&row[name], value, "{dialect}: {name}: {row}");
            }
            let time = |text: &Value| text.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
            assert_eq!(time(&row["_time"]), time(&event["timestamp"]), "{row}");
            assert_eq!(row["sourcetype"], "toktra:security", "{row}");
        }
    }
    world.end().await;
}
