//! Traces: what a collector gets of one event, read with OpenTelemetry's own messages; across a restart, and while there is no collector.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, Method};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

type Bodies = Arc<Mutex<Vec<Bytes>>>;

/// A collector on loopback that keeps what it gets.
struct Collector {
    base: String,
    bodies: Bodies,
    serving: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Collector {
    async fn start() -> Self {
        let bodies = Bodies::default();
        let take = async |State(bodies): State<Bodies>, headers: HeaderMap, body: Bytes| {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            bodies.lock().push(body);
        };
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&bodies));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { base, bodies, serving }
    }

    /// Every span so far.
    async fn spans(&self, python: &Path) -> Vec<Value> {
        let bodies: Vec<String> = self.bodies.lock().iter().map(|body| BASE64.encode(body)).collect();
        let script = root().join("crates/e2e/tests/lifecycle/otlp_traces.py");
        let spans = ask(python, &[script.to_str().unwrap()], &json!(bodies)).await;
        spans.as_array().unwrap().clone()
    }

    /// The spans of a trace, once at least so many have this name (probes make more).
    async fn trace(&self, python: &Path, id: &str, name: &str, count: usize) -> Vec<Value> {
        let trace = id.replace('-', "");
        poll::until(&format!("the trace {trace} has {count} spans {name}"), async || {
            let spans: Vec<Value> =
                self.spans(python).await.into_iter().filter(|span| span["trace"] == trace).collect();
            (spans.iter().filter(|span| span["name"] == name).count() >= count).then_some(spans)
        })
        .await
    }
}

/// A server that sends so many of its traces there.
async fn traced(collector: &str, sample: &str) -> World {
    let setup = setup().env("TOKTRA_SIEM_OTLP_ENDPOINT", collector).env("TOKTRA_SIEM_TRACES_SAMPLE", sample);
    World::with(setup).await
}

fn named<'s>(spans: &'s [Value], name: &str) -> Vec<&'s Value> {
    spans.iter().filter(|span| span["name"] == name).collect()
}

#[tokio::test]
async fn the_trace_of_an_event_goes_from_its_intake_to_its_delivery_over_a_restart() {
    let Some(python) = real::PYTHON.path() else { return };
    let (splunk, collector) = (splunk().await, Collector::start().await);
    let mut world = traced(&collector.base, "1").await;
    let connector = world.connect(&splunk).await;
    let body = violation(json!({})).to_string();
    let headers = [("traceparent", TRACEPARENT), ("content-type", "application/json")];
    let posted = world.send(Method::POST, "/v1/events", &headers, body.into()).await.expect_status(202).json();
    let first = posted["events"][0]["event_id"].text();
    world.all_arrived().await;

    // Intake, linked to the producer; delivery, linked to its own trace; and there the one attempt.
    let spans = collector.trace(&python, &first, "deliver", 1).await;
    let (ingest, deliver) = (named(&spans, "ingest")[0], named(&spans, "deliver")[0]);
    assert_eq!(spans.len(), 2, "{spans:?}");
    assert_eq!((&ingest["parent"], &ingest["kind"]), (&json!(""), &json!("SPAN_KIND_SERVER")));
    assert_eq!(ingest["links"], json!([{ "trace": &TRACEPARENT[3..35], "span": &TRACEPARENT[36..52] }]));
    assert_eq!(ingest["attributes"], json!({ "toktra.event.id": first, "toktra.event.sequence": 1 }));
    assert_eq!(
        ingest["resource"],
        json!({ "service.name": "toktra-siem", "service.version": env!("CARGO_PKG_VERSION") })
    );
    assert_eq!(deliver["parent"], ingest["span"]);
    assert!(ingest["start"].as_u64() <= ingest["end"].as_u64() && deliver["start"].as_u64() <= deliver["end"].as_u64());
    let of = &deliver["attributes"];
    let delivery = of["toktra.delivery.id"].as_str().unwrap();
    assert_eq!((&of["toktra.connector.id"], &of["toktra.stream"]), (&json!(connector.id), &json!("events")));
    assert_eq!((&of["toktra.platform"], &of["toktra.delivery.status"]), (&json!("splunk"), &json!("delivered")));
    assert_eq!((&of["toktra.delivery.attempts"], &of["http.response.status_code"]), (&json!(1), &json!(200)));
    assert_eq!((&of["toktra.event.outcome"], &deliver["status"]), (&json!("delivered"), &json!("STATUS_CODE_UNSET")));
    let own = collector.trace(&python, delivery, "delivery", 1).await;
    let root = named(&own, "delivery")[0];
    assert_eq!(deliver["links"], json!([{ "trace": root["trace"], "span": root["span"] }]));
    let attempts = named(&own, "attempt");
    assert_eq!((attempts.len(), &attempts[0]["parent"]), (1, &root["span"]));
    assert_eq!(attempts[0]["attributes"]["http.response.status_code"], 200);

    // An event that fails in one run of the process and arrives in the next.
    splunk.down().await;
    let second = world.post_some(1).await.remove(0);
    let failed = collector.trace(&python, &second, "deliver", 1).await;
    assert_eq!(named(&failed, "deliver")[0]["status"], "STATUS_CODE_ERROR", "{failed:?}");
    world.stop().await;
    splunk.up().unwrap();
    world.again().await;
    world.all_arrived().await;
    let delivered = |span: &Value| span["attributes"]["toktra.delivery.status"] == "delivered";
    let trace = second.replace('-', "");
    let spans = poll::until("the second run's span is there", async || {
        let spans: Vec<Value> = collector.spans(&python).await.into_iter().filter(|s| s["trace"] == trace).collect();
        spans.iter().any(delivered).then_some(spans)
    });
    let spans = spans.await;
    let ingest = named(&spans, "ingest");
    assert_eq!(ingest.len(), 1, "{spans:?}");
    assert!(named(&spans, "deliver").iter().all(|deliver| deliver["parent"] == ingest[0]["span"]), "{spans:?}");
    let mut ids: Vec<&str> = spans.iter().map(|span| span["span"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), spans.len(), "each span has an id of its own: {spans:?}");
    world.end().await;
}

#[tokio::test]
async fn with_acknowledgement_the_span_ends_with_the_confirmation() {
    let Some(python) = real::PYTHON.path() else { return };
    let splunk = splunk_with(|options| options.acks = true).await;
    let collector = Collector::start().await;
    let world = traced(&collector.base, "1").await;
    world.connect_with(&splunk, json!({ "config": { "indexer_ack": true } })).await;
    let id = world.post_some(1).await.remove(0);
    world.all_arrived().await;
    let spans = collector.trace(&python, &id, "deliver", 1).await;
    let deliver = named(&spans, "deliver")[0];
    assert_eq!(deliver["attributes"]["toktra.delivery.status"], "delivered", "{deliver}");
    world.end().await;
}

#[tokio::test]
async fn what_is_queued_is_sent_before_the_end() {
    let Some(python) = real::PYTHON.path() else { return };
    let collector = Collector::start().await;
    let world = traced(&collector.base, "1").await;
    let ids = world.post_some(20).await;
    world.end().await;
    let spans = collector.spans(&python).await;
    for id in ids {
        assert!(spans.iter().any(|span| span["trace"] == id.replace('-', "")), "{id} is missing");
    }
}

#[tokio::test]
async fn a_collector_that_is_gone_disturbs_nothing_and_is_named_once() {
    let splunk = splunk().await;
    let world = traced("http://127.0.0.1:9", "1").await;
    world.connect(&splunk).await;
    let ids = world.post_events(&[violation(json!({})), violation(json!({}))]).await;
    world.all_arrived().await;
    assert_eq!(splunk.event_ids().len(), ids.len());
    poll::until("the spans are given up", async || {
        let page = world.get("/metrics").await.text();
        let failed =
            page.lines().find_map(|line| line.strip_prefix("toktra_siem_trace_spans_total{outcome=\"failed\"} "));
        failed.is_some_and(|failed| failed != "0").then_some(())
    })
    .await;
    world.post_some(3).await;
    world.all_arrived().await;
    let log = world.log();
    world.end().await;
    assert_eq!(log.matches("the collector does not take traces").count(), 1, "{log}");
}

#[tokio::test]
async fn events_out_of_the_sample_and_all_without_a_collector_have_no_trace() {
    let Some(python) = real::PYTHON.path() else { return };
    let collector = Collector::start().await;
    let mut world = traced(&collector.base, "0.1").await;
    world.post_some(400).await;
    world.stop().await;
    let spans = collector.spans(&python).await.len();
    assert!((10..=90).contains(&spans), "{spans} of 400");
    world.unset("TOKTRA_SIEM_OTLP_ENDPOINT");
    world.again().await;
    world.post_some(400).await;
    assert!(!world.get("/metrics").await.text().contains("toktra_siem_trace"));
    world.end().await;
    assert_eq!(collector.spans(&python).await.len(), spans);
}
