//! The OpenTelemetry Collector's own receiver of the HTTP Event Collector's protocol: every event is read back from it as it was posted, and the
//! fake that plays it elsewhere answers as it does.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use toktra_siem_fake::splunk::{Dialect, otel};
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;
use toktra_siem_testkit::world::free_address;

/// A running receiver with its sink.
struct Collector {
    process: Child,
    url: String,
    sink: Client,
}

impl Collector {
    async fn start(program: &Path) -> Self {
        let (receiver, sink) = (free_address(), free_address());
        let mut command = Command::new(program);
        command.args([&receiver, &sink]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        let started = Self { process, url: format!("http://{receiver}"), sink: Client::new(&format!("http://{sink}")) };
        let receiver = Client::new(&started.url);
        let answers = async |client: &Client, path: &str| {
            client.try_send(http::Method::GET, path, &[], bytes::Bytes::new()).await.is_ok()
        };
        poll::until("the receiver and its sink answer", async || {
            let both =
                answers(&receiver, "/services/collector/health").await && answers(&started.sink, "/records").await;
            both.then_some(())
        })
        .await;
        started
    }

    async fn records(&self) -> Vec<Value> {
        let text = self.sink.get("/records").await.text();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a receiver makes of a body: the status, the code, and the number of the event where it tells one.
async fn said(url: &str, body: &'static str) -> (u16, Value, Value) {
    let headers = [("authorization", "Splunk anything")];
    let client = Client::new(url);
    let sent = client.try_send(http::Method::POST, "/services/collector", &headers, body.as_bytes().into()).await;
    let answer = sent.unwrap();
    let json = answer.json();
    (answer.status, json["code"].clone(), json["invalid-event-number"].clone())
}

#[tokio::test]
async fn the_fake_answers_as_the_receiver_of_the_collector_does() {
    let Some(program) = real::OTEL_HEC.path() else { return };
    let collector = Collector::start(&program).await;
    let fake = splunk_with(|options| {
        options.dialect = Dialect::Otel;
        options.anonymous = true;
    })
    .await;
    for (body, _) in otel::SAMPLES {
        assert_eq!(said(&fake.base_url(), body).await, said(&collector.url, body).await, "{body}");
    }
}

#[tokio::test]
async fn every_event_is_read_back_from_the_collector_as_it_was_posted() {
    let Some(program) = real::OTEL_HEC.path() else { return };
    let collector = Collector::start(&program).await;
    let world = World::start().await;
    let mut connectors = Vec::new();
    for (name, compression, token) in [("none", "none", Value::Null), ("gzip", "gzip", CREDENTIAL.into())] {
        let config = json!({
            "hec_url": collector.url, "hec_token": token, "dialect": "otel", "index": name, "compression": compression,
        });
        connectors.push((name, world.connector("splunk", config, json!({ "name": name })).await));
    }
    let event = |n: u64| {
        violation(json!({
            "timestamp": format!("2025-01-15T10:30:{:02}.{:03}Z", n % 60, n), "summary": format!("{n} “quoted” \\ é\n\t{{"),
            "tags": { "team": "red", "empty": "" },
            "details": { "actual": n, "share": 0.25, "yes": true, "deep": { "er": "x".repeat(200) }, "list": [1, "two"] },
        }))
    };
    let events: Vec<Value> = (0..900).map(event).collect();
    let ids = world.post_events(&events).await;
    world.all_arrived().await;
    let records = collector.records().await;
    for (name, connector) in &connectors {
        connector.accounted(&[("delivered", 900), ("rejected", 0), ("failed", 0)]).await;
        let of_connector = |record: &&Value| record["resource"]["com.splunk.index"] == **name;
        let mine: Vec<&Value> = records.iter().filter(of_connector).collect();
        assert_eq!(mine.len(), ids.len(), "{name}: {:?}", records.first());
        for (id, event) in ids.iter().zip(&events) {
            let record = mine.iter().find(|record| record["body"]["event_id"] == id.as_str()).unwrap();
            for (member, value) in event.as_object().unwrap() {
                assert_eq!(&record["body"][member], value, "{name}: {member}: {record}");
            }
            let time: jiff::Timestamp = event["timestamp"].as_str().unwrap().parse().unwrap();
            // It reads the time as a float: to the microsecond, nothing is lost.
            let off = record["time_unix_nano"].as_i64().unwrap() - i64::try_from(time.as_nanosecond()).unwrap();
            assert!(off.abs() < 1_000, "{record}");
            assert_eq!(record["resource"]["com.splunk.sourcetype"], "toktra:security", "{record}");
        }
        let test = connector.test(json!({})).await;
        assert_eq!(test["delivered"], true, "{test}");
        assert!(test["hint"].text().contains("has the event. Check"), "{test}");
    }
    world.end().await;
}
