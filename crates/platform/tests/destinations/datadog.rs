//! Datadog: golden requests of both streams, sites, the reply table, entries that are too large.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::ids::StreamKind;
use toktra_siem_platform::destination::{Batch, Destination, EncodeError, Pacing, Tally};

use crate::support::{
    NOW, SECRET, asking, causes, datadog_settings, encode, encode_all, golden_events, headers, in_full, reply, show,
    stored, stream,
};

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../../fixtures/datadog/", $name))
    };
}

fn datadog(kind: StreamKind) -> Box<dyn Destination> {
    stream(&datadog_settings("datadoghq.com", None), kind)
}

fn tally() -> Tally {
    let mut tally = Tally::default();
    for _ in 0..3 {
        tally.add(EventType::PolicyViolation, Severity::High);
    }
    tally.add(EventType::BudgetAlert, Severity::Medium);
    tally
}

#[test]
fn makes_the_golden_log_request() {
    let request = encode_all(&*datadog(StreamKind::Logs), &golden_events());
    assert_eq!(request.url, "https://http-intake.logs.datadoghq.com/api/v2/logs");
    assert_eq!(
        headers(&request),
        [("dd-api-key", format!("secret: {SECRET}")), ("content-type", "application/json".into())]
    );
    assert_eq!(request.body, fixture!("logs-request.json"));
}

#[test]
fn makes_the_golden_metrics_request() {
    let metrics = datadog(StreamKind::Metrics);
    let window = Batch::Window { start: NOW, tally: &tally() };
    let request = metrics.encode(window, NOW).unwrap().request.unwrap();
    assert_eq!(request.url, "https://api.datadoghq.com/api/v2/series");
    assert_eq!(headers(&request)[0], ("dd-api-key", format!("secret: {SECRET}")));
    let golden: Value = serde_json::from_str(fixture!("metrics-request.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), golden);
    let hour = Duration::from_hours(1);
    assert_eq!(metrics.pacing(), Pacing::Windowed { window: Duration::from_secs(10), max_age: hour });
    assert_eq!(metrics.cost(&golden_events()[0]), 0);
}

#[test]
fn every_combination_is_one_series_and_the_sums_are_exact() {
    let mut tally = Tally::default();
    let combinations = EventType::ALL.iter().flat_map(|t| Severity::ALL.iter().map(move |s| (*t, *s)));
    for (n, (event_type, severity)) in combinations.enumerate() {
        for _ in 0..=n {
            tally.add(event_type, severity);
        }
    }
    let window = Batch::Window { start: NOW, tally: &tally };
    let request = datadog(StreamKind::Metrics).encode(window, NOW).unwrap().request.unwrap();
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let series = body["series"].as_array().unwrap();
    let tags: BTreeSet<String> = series.iter().map(|s| s["tags"].to_string()).collect();
    assert_eq!((series.len(), tags.len()), (28, 28));
    let sum: u64 = series.iter().map(|s| s["points"][0]["value"].as_u64().unwrap()).sum();
    assert_eq!(sum, tally.total());
    assert!(series.iter().all(|s| s["points"].as_array().unwrap().len() == 1));
    assert!(request.body.len() < 512_000);
}

#[test]
fn a_service_becomes_a_tag_in_datadog_s_form() {
    let mut settings = datadog_settings("datadoghq.com", None);
    settings.config["service"] = json!(" Toktra, SIEM \"EU\" ");
    let window = Batch::Window { start: NOW, tally: &tally() };
    let request = stream(&settings, StreamKind::Metrics).encode(window, NOW).unwrap().request.unwrap();
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["series"][0]["tags"][5], json!("service:toktra__siem__eu"));
    let logs = encode_all(&*stream(&settings, StreamKind::Logs), &golden_events());
    let body: Value = serde_json::from_slice(&logs.body).unwrap();
    assert_eq!(body[0]["service"], json!(" Toktra, SIEM \"EU\" "));
}

#[test]
fn every_site_has_its_hosts_and_a_url_replaces_both() {
    for site in [
        "datadoghq.com",
        "us3.datadoghq.com",
        "us5.datadoghq.com",
        "datadoghq.eu",
        "ap1.datadoghq.com",
        "ap2.datadoghq.com",
        "uk1.datadoghq.com",
        "ddog-gov.com",
        "us2.ddog-gov.com",
    ] {
        let settings = datadog_settings(site, None);
        let logs = encode_all(&*stream(&settings, StreamKind::Logs), &golden_events());
        assert_eq!(logs.url, format!("https://http-intake.logs.{site}/api/v2/logs"));
    }
    let settings = datadog_settings("datadoghq.com", Some("http://127.0.0.1:8282/dd"));
    let logs = encode_all(&*stream(&settings, StreamKind::Logs), &golden_events());
    assert_eq!(logs.url, "http://127.0.0.1:8282/dd/api/v2/logs");
    let window = Batch::Window { start: NOW, tally: &tally() };
    let metrics = stream(&settings, StreamKind::Metrics).encode(window, NOW).unwrap().request.unwrap();
    assert_eq!(metrics.url, "http://127.0.0.1:8282/dd/api/v2/series");
}

#[test]
fn status_follows_severity() {
    let logs = datadog(StreamKind::Logs);
    let template = golden_events()[0].payload.clone();
    let template = std::str::from_utf8(&template).unwrap();
    for (event_type, severity, status) in [
        ("anomaly", "low", "notice"),
        ("anomaly", "medium", "warning"),
        ("lockout", "high", "error"),
        ("connector_alert", "critical", "critical"),
        ("test_connection", "low", "info"),
        ("heartbeat", "low", "info"),
    ] {
        let payload = template
            .replace("\"policy_violation\"", &format!("\"{event_type}\""))
            .replace("\"severity\":\"high\"", &format!("\"severity\":\"{severity}\""));
        let body: Value = serde_json::from_slice(&encode_all(&*logs, &[stored(&payload)]).body).unwrap();
        assert_eq!(body[0]["status"], json!(status), "{event_type} {severity}");
        assert_eq!(body[0]["ddtags"], json!(format!("event_type:{event_type},severity:{severity},source:toktra")));
    }
}

#[test]
fn judges_every_row_of_the_reply_table() {
    let rows: &[(u16, &str, &str)] = &[
        (202, fixture!("replies/202-accepted.json"), "3 delivered | healthy"),
        (202, "", "3 delivered | healthy"),
        (400, fixture!("replies/400-bad-request.json"), "split datadog_http_400 | healthy"),
        (401, "", "held datadog_api_key_refused"),
        (403, fixture!("replies/403-forbidden.json"), "held datadog_api_key_refused"),
        (408, "", "retry datadog_http_408"),
        (413, fixture!("replies/413-too-large.json"), "split datadog_too_large | healthy"),
        (429, fixture!("replies/429-too-many-requests.json"), "retry datadog_busy"),
        (500, "", "retry datadog_http_500"),
        (502, "<html>", "retry datadog_http_502"),
        (503, "{\"errors\":[", "retry datadog_http_503"),
        (504, "", "retry datadog_http_504"),
        (200, "<html>login</html>", "held datadog_unexpected_success"),
        (200, "{}", "3 delivered with datadog_not_202 | healthy"),
        (302, "", "held datadog_redirect"),
        (404, "", "held datadog_wrong_path"),
        (405, "", "held datadog_wrong_path"),
        (422, "", "split datadog_http_422 | healthy"),
    ];
    for kind in [StreamKind::Logs, StreamKind::Metrics] {
        for (status, body, expected) in rows {
            let expected = in_full(expected, 3);
            let verdict = datadog(kind).classify(&reply(*status, body), 3, NOW);
            assert_eq!(show(&verdict), expected, "{status} {body}");
        }
    }
    let asked = asking(reply(429, ""), "30");
    assert_eq!(show(&datadog(StreamKind::Logs).classify(&asked, 1, NOW)), "1 retry datadog_busy | backoff 30s");
}

#[test]
fn a_refused_key_names_the_site_as_the_likeliest_mistake() {
    let verdict = datadog(StreamKind::Logs).classify(&reply(403, fixture!("replies/403-forbidden.json")), 1, NOW);
    let message = &causes(&verdict)[0].message;
    assert!(
        message.starts_with(
            "Datadog answered 403: it does not accept this API key here: a key works only on the site it was made on. The likeliest \
             mistake is the site. The site is datadoghq.com"
        )
    );
    assert!(message.ends_with("It said: “API key is invalid”"));
}

#[test]
fn what_datadog_would_cut_or_we_cannot_read_is_omitted_visibly() {
    let logs = datadog(StreamKind::Logs);
    let good = golden_events();
    let payload = std::str::from_utf8(&good[0].payload).unwrap();
    let large = stored(&payload.replace("max-tokens\",", &format!("{}\",", "x".repeat(1_000_000))));
    let mut damaged = (*good[1]).clone();
    damaged.payload = damaged.payload.slice(..40);
    let events = [large, good[0].clone(), damaged.into()];
    let encoded = encode(&*logs, &events);
    let omitted: Vec<_> = encoded.omitted.iter().map(|o| (o.position, o.cause.code.as_ref())).collect();
    assert_eq!(omitted, [(0, "datadog_entry_too_large"), (2, "event_unreadable")]);
    let body = encoded.request.unwrap().body;
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&body).unwrap().len(), 1);
    assert_eq!(events.iter().map(|e| logs.cost(e)).sum::<usize>() + logs.limits().overhead, body.len());
    let none = encode(&*logs, &events[..1]);
    assert!(none.request.is_none() && none.omitted.len() == 1);
}

#[test]
fn each_stream_takes_its_own_kind_of_batch() {
    let window = Batch::Window { start: NOW, tally: &tally() };
    assert!(matches!(datadog(StreamKind::Logs).encode(window, NOW), Err(EncodeError::WrongBatch { .. })));
    let events = golden_events();
    let batch = Batch::Events(&events);
    assert!(matches!(datadog(StreamKind::Metrics).encode(batch, NOW), Err(EncodeError::WrongBatch { .. })));
}
