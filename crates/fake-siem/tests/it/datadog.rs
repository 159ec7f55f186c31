//! Datadog: keys, entry rules and limits of logs, schema, ages and last values of series.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};
use toktra_siem_fake::datadog::{Datadog, DatadogOptions, Endpoint, Fault, SeriesKey, error_reply};
use toktra_siem_fake::{Behaviour, ReceiverOptions, Recording};

use crate::client::{Answer, exchange, gzip};

const NOW: i64 = 1_736_937_000;
const KEY: (&str, &str) = ("dd-api-key", "key");
const JSON: (&str, &str) = ("content-type", "application/json");
const LOGS: &str = "/api/v2/logs";
const SERIES: &str = "/api/v2/series";

fn options() -> DatadogOptions {
    DatadogOptions { clock: Arc::new(|| NOW), ..DatadogOptions::new("key") }
}

async fn datadog() -> Datadog {
    Datadog::start(options()).await.unwrap()
}

async fn post(datadog: &Datadog, path: &str, body: impl Into<bytes::Bytes>) -> Answer {
    exchange(datadog.address(), "POST", path, &[KEY, JSON], body).await.unwrap()
}

fn entry(id: &str) -> Value {
    json!({ "message": "m", "ddsource": "toktra", "ddtags": "a:b,c:d", "service": "toktra", "status": "warning",
            "event_id": id, "timestamp": "2025-01-15T10:30:00Z" })
}

fn series(points: &Value) -> String {
    json!({ "series": [{ "metric": "toktra.security.events", "type": 1, "interval": 10, "points": points,
        "resources": [{ "type": "host", "name": "h" }], "tags": ["severity:high", "event_type:anomaly"] }] })
    .to_string()
}

fn point(timestamp: i64, value: f64) -> Value {
    json!([{ "timestamp": timestamp, "value": value }])
}

#[tokio::test]
async fn good_entries_are_accepted_byte_for_byte() {
    let datadog = datadog().await;
    let body = format!("[{},\n {}]", entry("a"), entry("b"));
    let answer = post(&datadog, LOGS, body).await;
    assert_eq!((answer.status, answer.json()), (202, json!({})));
    let events = datadog.events();
    assert_eq!(events[1].event, entry("b").to_string());
    assert_eq!(events[1].meta["ddtags"], "a:b,c:d");
    assert_eq!(datadog.event_ids().len(), 2);
    assert_eq!(datadog.violations(), []);
}

#[tokio::test]
async fn keys_are_checked_in_each_endpoints_own_shape() {
    let datadog = datadog().await;
    let wrong = ("dd-api-key", "other");
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)]| {
        let answer = exchange(datadog.address(), method, path, headers, "[]").await.unwrap();
        (answer.status, answer.json())
    };
    assert_eq!(ask("GET", "/api/v1/validate", &[KEY]).await, (200, json!({ "valid": true })));
    assert_eq!(ask("GET", "/api/v1/validate", &[wrong]).await, (403, json!({ "errors": ["Forbidden"] })));
    assert_eq!(ask("POST", SERIES, &[wrong, JSON]).await, (403, json!({ "errors": ["Forbidden"] })));
    assert_eq!(ask("POST", LOGS, &[JSON]).await.0, 401);
    let (status, body) = ask("POST", LOGS, &[wrong, JSON]).await;
    assert_eq!((status, &body["errors"][0]["title"]), (403, &json!("Forbidden")));
    datadog.set_api_key("other");
    assert_eq!(ask("POST", LOGS, &[wrong, JSON]).await.0, 202);
}

#[tokio::test]
async fn malformed_logs_are_refused_whole() {
    let datadog = datadog().await;
    let bad = [
        json!({ "message": "not in an array" }),
        json!([{ "message": "fine" }, { "service": "no message" }]),
        json!([{ "message": "m", "ddtags": ["a:b"] }]),
        json!([{ "message": 5 }]),
        json!(["text"]),
    ];
    for body in &bad {
        assert_eq!(post(&datadog, LOGS, body.to_string()).await.status, 400, "{body}");
    }
    let text = exchange(datadog.address(), "POST", LOGS, &[KEY, ("content-type", "text/plain")], "[]").await.unwrap();
    assert_eq!(text.status, 415);
    assert_eq!(exchange(datadog.address(), "GET", LOGS, &[KEY], "").await.unwrap().status, 405);
    assert_eq!(post(&datadog, "/v1/input", "[]").await.status, 404);
    assert_eq!((datadog.counts().events, datadog.counts().violations), (0, 8));
}

#[tokio::test]
async fn log_limits_hold_at_their_boundary() {
    let datadog = datadog().await;
    let entries = |count: usize| json!(vec![json!({ "message": "m" }); count]).to_string();
    assert_eq!(post(&datadog, LOGS, entries(1000)).await.status, 202);
    assert_eq!(post(&datadog, LOGS, entries(1001)).await.status, 413);
    let sized = |bytes: usize| {
        let filler = |total: usize| "x".repeat(total - r#"{"message":""}"#.len());
        let parts: Vec<Value> = (0..6).map(|_| json!({ "message": filler(800_000) })).collect();
        let rest = bytes - json!(parts).to_string().len() - 1;
        json!(parts.into_iter().chain([json!({ "message": filler(rest) })]).collect::<Vec<_>>()).to_string()
    };
    assert_eq!(sized(5_000_000).len(), 5_000_000);
    assert_eq!(post(&datadog, LOGS, sized(5_000_000)).await.status, 202);
    let over = gzip(sized(5_000_001).as_bytes());
    let packed = [KEY, JSON, ("content-encoding", "gzip")];
    assert_eq!(exchange(datadog.address(), "POST", LOGS, &packed, over).await.unwrap().status, 413);
    assert_eq!(datadog.violations().len(), 2);
}

#[tokio::test]
async fn a_large_entry_is_truncated_with_success() {
    let datadog = datadog().await;
    let large = json!([{ "message": "x".repeat(1_000_001) }]).to_string();
    assert_eq!(post(&datadog, LOGS, large).await.status, 202);
    assert_eq!(datadog.events()[0].event.len(), 1_000_000);
    assert!(datadog.violations()[0].rule.contains("truncated"));
}

#[tokio::test]
async fn times_of_entries_are_judged() {
    let datadog = datadog().await;
    let at = |timestamp: Value| json!([{ "message": "m", "timestamp": timestamp }]).to_string();
    post(&datadog, LOGS, at(json!((NOW - 19 * 3600) * 1000))).await;
    post(&datadog, LOGS, at(json!(NOW * 1000))).await;
    assert_eq!(datadog.violations(), []);
    let replaced: Vec<bool> = datadog.events().iter().map(|event| event.meta.contains_key("time_replaced")).collect();
    assert_eq!(replaced, [true, false]);
    assert_eq!(post(&datadog, LOGS, at(json!("yesterday"))).await.status, 202);
    assert_eq!(datadog.violations().len(), 1);
}

#[tokio::test]
async fn faults_depend_on_what_a_request_holds() {
    let datadog = datadog().await;
    datadog.always(Endpoint::Logs, Behaviour::fault(Fault::Poison(vec!["bad-1".to_owned()])));
    assert_eq!(post(&datadog, LOGS, json!([entry("a"), entry("bad-1")]).to_string()).await.status, 400);
    assert_eq!(post(&datadog, LOGS, json!([entry("a")]).to_string()).await.status, 202);
    datadog.always(Endpoint::Logs, Behaviour::fault(Fault::TooLargeOver(1)));
    assert_eq!(post(&datadog, LOGS, json!([entry("b"), entry("c")]).to_string()).await.status, 413);
    datadog.healthy();
    assert_eq!(post(&datadog, LOGS, json!([entry("bad-1"), entry("c")]).to_string()).await.status, 202);
    assert_eq!(datadog.event_ids().into_keys().collect::<Vec<_>>(), ["a", "bad-1", "c"]);
}

#[tokio::test]
async fn scripted_errors_have_each_endpoints_shape() {
    let datadog = datadog().await;
    for endpoint in [Endpoint::Logs, Endpoint::Series] {
        datadog.always(endpoint, Behaviour::reply(error_reply(endpoint, 429)));
    }
    let logs = post(&datadog, LOGS, "[]").await;
    let title = "Too Many Requests";
    let shape = json!({ "errors": [{ "status": "429", "title": title, "detail": title }] });
    assert_eq!((logs.status, logs.json()), (429, shape));
    let series = post(&datadog, SERIES, "{}").await;
    assert_eq!((series.status, series.json()), (429, json!({ "errors": [title] })));
}

#[tokio::test]
async fn the_last_value_of_a_second_stays() {
    let datadog = datadog().await;
    let answer = post(&datadog, SERIES, series(&point(NOW, 3.0))).await;
    assert_eq!((answer.status, answer.json()), (202, json!({ "errors": [] })));
    post(&datadog, SERIES, series(&point(NOW, 3.0))).await;
    assert_eq!(datadog.violations(), [], "the same point again is harmless");
    post(&datadog, SERIES, series(&point(NOW, 4.0))).await;
    assert!(datadog.violations()[0].rule.contains("replaced"));
    let tags = ["event_type:anomaly", "host:h", "severity:high"].map(str::to_owned).to_vec();
    let key = SeriesKey { metric: "toktra.security.events".to_owned(), tags };
    assert_eq!(datadog.series()[&key].iter().collect::<Vec<_>>(), [(&NOW, &4.0)]);
    assert_eq!(datadog.held()[0]["last"], json!({ NOW.to_string(): 4.0 }));
    assert_eq!(datadog.points().iter().map(|point| point.value).collect::<Vec<_>>(), [3.0, 3.0, 4.0]);
}

#[tokio::test]
async fn old_and_future_points_are_dropped_with_success() {
    let now = Arc::new(AtomicI64::new(NOW));
    let clock = Arc::clone(&now);
    let options = DatadogOptions { clock: Arc::new(move || clock.load(Ordering::Relaxed)), ..options() };
    let datadog = Datadog::start(options).await.unwrap();
    for timestamp in [NOW - 3600, NOW + 600] {
        post(&datadog, SERIES, series(&point(timestamp, 1.0))).await;
    }
    assert_eq!((datadog.points().len(), datadog.counts().violations), (2, 0));
    for timestamp in [NOW - 3601, NOW + 601] {
        assert_eq!(post(&datadog, SERIES, series(&point(timestamp, 1.0))).await.status, 202);
    }
    assert_eq!((datadog.points().len(), datadog.counts().violations), (2, 2));
    now.store(NOW + 1, Ordering::Relaxed);
    post(&datadog, SERIES, series(&point(NOW + 601, 1.0))).await;
    assert_eq!(datadog.points().len(), 3);
}

#[tokio::test]
async fn the_series_schema_is_exact() {
    let datadog = datadog().await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut body: Value = serde_json::from_str(&series(&point(NOW, 1.0))).unwrap();
        change(&mut body);
        body.to_string()
    };
    let bad = [
        with(&|body| body["extra"] = json!(1)),
        with(&|body| body["series"] = json!([])),
        with(&|body| body["series"][0]["metric"] = json!("1st")),
        with(&|body| body["series"][0]["metric"] = json!("with-dash")),
        with(&|body| body["series"][0]["metric"] = json!("x".repeat(201))),
        with(&|body| body["series"][0]["type"] = json!(0)),
        with(&|body| body["series"][0]["type"] = json!("count")),
        with(&|body| body["series"][0]["interval"] = json!(null)),
        with(&|body| body["series"][0]["points"] = json!([])),
        with(&|body| body["series"][0]["points"][0]["timestamp"] = json!(1_736_937_000.5)),
        with(&|body| body["series"][0]["points"][0]["value"] = json!("1")),
        with(&|body| body["series"][0]["tags"] = json!("a:b")),
        with(&|body| body["series"][0]["resources"] = json!([{ "host": "h" }])),
    ];
    for body in &bad {
        assert_eq!(post(&datadog, SERIES, body.clone()).await.status, 400, "{body}");
    }
    assert_eq!((datadog.points().len(), datadog.violations().len()), (0, bad.len()));
    let unbounded = with(&|body| body["series"][0]["tags"] = json!(["user_id:7"]));
    assert_eq!(post(&datadog, SERIES, unbounded).await.status, 202);
    assert!(datadog.violations().last().unwrap().rule.contains("unbounded"));
}

#[tokio::test]
async fn series_size_limits_hold() {
    let limits = DatadogOptions { max_series_bytes: 300, max_series_inflated: 400, ..options() };
    let datadog = Datadog::start(limits).await.unwrap();
    let padded = |bytes: usize| {
        let body = series(&point(NOW, 1.0));
        let missing = bytes - body.len();
        format!("{body}{}", " ".repeat(missing))
    };
    assert_eq!(post(&datadog, SERIES, padded(300)).await.status, 202);
    let wire = post(&datadog, SERIES, padded(301)).await;
    assert_eq!((wire.status, wire.json()), (413, json!({ "errors": ["Payload too large"] })));
    let packed = [KEY, JSON, ("content-encoding", "gzip")];
    let send = async |bytes: usize| {
        let body = gzip(padded(bytes).as_bytes());
        exchange(datadog.address(), "POST", SERIES, &packed, body).await.unwrap().status
    };
    assert_eq!((send(400).await, send(401).await), (202, 413));
}

#[tokio::test]
async fn counting_sees_entries_only() {
    let receiver = ReceiverOptions { recording: Recording::Counts, ..ReceiverOptions::default() };
    let datadog = Datadog::start(DatadogOptions { receiver, ..options() }).await.unwrap();
    post(&datadog, LOGS, json!([entry("a"), { "message": "{", "details": { "a": [{}] } }]).to_string()).await;
    assert_eq!((datadog.counts().events, datadog.events().len()), (2, 0));
}
