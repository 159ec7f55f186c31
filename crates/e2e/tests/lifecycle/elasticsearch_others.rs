//! Where documents go besides daily indices of Elasticsearch and OpenSearch: data streams, and services that take bulk requests without
//! having index templates.

use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real::VICTORIA_LOGS;

use crate::nodes::{connected, day};

#[tokio::test]
async fn a_data_stream_takes_events_of_any_age_once() {
    let world = World::start().await;
    let prefix = world.unique();
    let namespace = prefix.replace('-', "_");
    let nodes = connected(&world, &prefix, json!({ "data_stream": namespace })).await;
    let of = |date: &str, actual: u64| {
        violation(
            json!({ "timestamp": format!("{date}T08:00:00Z"), "details": { "actual": actual, "prompt": "x".repeat(33_000) } }),
        )
    };
    world.post_events(&[of("2001-02-03", 99_000), of(&day(1).0, 150_000), of(&day(0).0, 200_000)]).await;
    world.all_arrived().await;
    let stream = format!("logs-toktra.siem-{namespace}");
    for node in &nodes {
        let name = node.name;
        assert_eq!(node.count(&stream, &json!({ "match_all": {} })).await, 3, "{name}");
        // Elasticsearch's distribution of 7.17 without its free licence knows no data streams: the events go into an index of that name.
        let indices = node.get(&format!("/{stream}/_settings")).await;
        if indices.get(&stream).is_some() {
            let health = node.connector.health("events").await;
            assert!(name.contains('7') && !health["warning"].is_null(), "{name}: {health}");
            continue;
        }
        assert_eq!(
            node.count(&stream, &json!({ "range": { "details.actual": { "gt": 100_000 } } })).await,
            2,
            "{name}"
        );
        let template = node.template("logs-toktra.siem").await;
        assert_eq!(
            (&template["index_patterns"], &template["version"]),
            (&json!(["logs-toktra.siem-*"]), &json!(2)),
            "{name}"
        );
        let hidden = indices.as_object().unwrap().keys().all(|index| index.starts_with(".ds-logs-toktra.siem-"));
        assert!(hidden, "{name}: it is a data stream: {indices}");
        let job = node.connector.job("replay", json!({ "from": "2001-01-01T00:00:00Z", "dry_run": false })).await;
        world.until_job(job["id"].as_str().unwrap(), "done").await;
        assert_eq!(node.count(&stream, &json!({ "match_all": {} })).await, 3, "{name}: none is there twice");
        let test = node.connector.test(json!({})).await;
        assert_eq!(
            (&test["delivered"], &test["searchable"]["outcome"]),
            (&json!(true), &json!("found")),
            "{name}: {test}"
        );
        assert!(test["search"].as_str().unwrap().starts_with(&format!("GET {stream}/_search")), "{name}: {test}");
    }
    world.end().await;
}

#[tokio::test]
async fn victoria_logs_gets_every_event_and_the_connector_says_what_is_missing() {
    let Some(url) = VICTORIA_LOGS.url() else { return };
    let world = World::start().await;
    let base = url.as_str().trim_end_matches('/').to_owned();
    let config = json!({ "url": format!("{base}/insert/elasticsearch"), "compression": "gzip" });
    let connector = world.connector("elasticsearch", config, json!({ "name": "VictoriaLogs" })).await;
    let user = world.unique();
    let events: Vec<Value> = (0..200)
        .map(|n| {
            violation(
                json!({ "user_id": user, "details": { "actual": n, "team": "red", "prompt": "p".repeat(n * 10) } }),
            )
        })
        .collect();
    world.post_events(&events).await;
    world.all_arrived().await;
    connector.accounted(&[("delivered", 200), ("rejected", 0), ("failed", 0)]).await;
    let health = connector.until_stands("healthy").await;
    let warning = &health["streams"][0]["warning"];
    assert_eq!(warning["code"], "elasticsearch_template_unsupported", "{health}");
    assert!(!warning["message"].as_str().unwrap().contains("URL is probably wrong"), "{health}");
    let test = connector.test(json!({})).await;
    assert_eq!(test["delivered"], true, "{test}");
    assert!(test["hint"].as_str().unwrap().contains("it has no index templates"), "{test}");
    assert_eq!(test["searchable"]["outcome"], "not_searched", "it has no search of that kind: {test}");
    let found = Client::new(&base);
    let path = format!("/select/logsql/query?query=user_id:{user}%20%7C%20stats%20count()%20rows");
    // What is not visible yet is an empty answer, and no JSON.
    let said = async |path: &str| serde_json::from_str::<Value>(&found.get(path).await.text()).ok();
    let all = async || said(&path).await.filter(|said| said["rows"] == "200");
    poll::until("VictoriaLogs finds all", all).await;
    // What people read first there is the sentence, at the event's own time.
    let first = format!("/select/logsql/query?query=user_id:{user}&limit=1");
    let one = poll::until("VictoriaLogs shows one", async || said(&first).await).await;
    assert!(one["_msg"].text().contains("usage policy"), "{one}");
    let time = |text: &Value| text.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(time(&one["_time"]), time(&one["timestamp"]), "{one}");
    world.end().await;
}
