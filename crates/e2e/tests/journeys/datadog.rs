//! Datadog as it is meant to be: each event a log entry with its fields intact, and counts whose sums are exact, in closed windows. The
//! vendor's own client reads every body that was sent.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Map;
use toktra_siem_fake::Recorded;
use toktra_siem_fake::datadog::Datadog;
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;

const LOGS: &str = "/api/v2/logs";
const SERIES: &str = "/api/v2/series";
/// What Datadog reserves of a log entry, and we fill.
const RESERVED: [&str; 6] = ["ddsource", "ddtags", "hostname", "service", "status", "message"];
/// A window of metrics, in seconds.
const WINDOW: i64 = 10;
/// How many requests bring the events.
const ROUNDS: usize = 30;

/// How many events there were of each type and severity.
type Tally = BTreeMap<(String, String), u64>;

/// Posts events of many kinds; their ids and their counts. Those of the second half come after a window that was sent: it had been closed.
async fn post_over_two_windows(org: &Org, connector: &Connector) -> (Vec<String>, Tally) {
    let (mut ids, mut tally) = (Vec::new(), Tally::new());
    let types = ["policy_violation", "anomaly", "budget_alert", "lockout"];
    let severities = ["low", "medium", "high", "critical"];
    for round in 0..ROUNDS {
        if round == ROUNDS / 2 {
            connector.until_account("metrics", &Account::delivered(tally.values().sum())).await;
        }
        let kinds =
            (0..=round % 4).map(|n| (types[(round + n) % types.len()], severities[(round * n) % severities.len()]));
        let mut events = Vec::new();
        for (event_type, severity) in kinds {
            *tally.entry((event_type.to_owned(), severity.to_owned())).or_default() += 1;
            let details = json!({ "round": round, "nested": { "list": [1, 2.50, null] } });
            events.push(with(with(event(event_type, severity), "details", details), "user_email", "ada@example.com"));
        }
        ids.extend(org.post_events(&events).await);
    }
    (ids, tally)
}

#[tokio::test]
async fn events_become_log_entries_and_exact_counts() {
    let (world, datadog) = (World::start().await, datadog().await);
    let org = world.org("Acme").await;
    let connector = org.connect(&datadog).await;
    let (ids, tally) = post_over_two_windows(&org, &connector).await;
    let total = tally.values().sum();
    accepted(&datadog, total).await;
    connector.until_account("metrics", &Account::delivered(total)).await;

    assert_each_once(&datadog, &ids);
    for taken in datadog.events() {
        assert_entry(&org, &serde_json::from_slice(&taken.event).unwrap()).await;
    }
    assert_counts(&datadog, &org, &connector, &tally);
    assert_windows(&datadog, &connector).await;
    assert_requests(&datadog);
    assert_vendor_reads(&datadog.requests()).await;
    for stream in ["logs", "metrics"] {
        assert_eq!(connector.health(stream).await["state"], "healthy");
        assert_eq!(connector.outcome(stream, &ids[0]).await["outcome"], "delivered");
    }
    let account = Account::delivered(total);
    world.end_with(&[(&connector, &[("logs", account.clone()), ("metrics", account)])]).await;
}

/// The stored event's own members, untouched, beside what Datadog reserves.
async fn assert_entry(org: &Org, entry: &Map<String, Value>) {
    let stored: Map<String, Value> = serde_json::from_slice(&org.stored(&entry["event_id"].text()).await).unwrap();
    let mut own = entry.clone();
    own.retain(|name, _| !RESERVED.contains(&name.as_str()));
    assert_eq!(own, stored);
    assert_eq!(entry["message"], stored["summary"]);
    let (event_type, severity) = (stored["event_type"].text(), stored["severity"].text());
    let status = match severity.as_str() {
        "low" => "notice",
        "medium" => "warning",
        "high" => "error",
        _ => "critical",
    };
    assert_eq!(entry["status"], status);
    assert_eq!(
        (&entry["ddsource"], &entry["service"], &entry["hostname"]),
        (&json!("toktra"), &json!("toktra"), &json!("toktra"))
    );
    assert_eq!(entry["ddtags"], format!("event_type:{event_type},severity:{severity},source:toktra"));
}

/// One series for each type and severity, whose points sum up to what was posted, and no other series.
fn assert_counts(datadog: &Datadog, org: &Org, connector: &Connector, tally: &Tally) {
    let mut sums = Tally::new();
    for (series, points) in datadog.series() {
        assert_eq!(series.metric, "toktra.security.events");
        let tags: BTreeMap<&str, &str> = series.tags.iter().map(|tag| tag.split_once(':').unwrap()).collect();
        let (event_type, severity) = (tags["event_type"], tags["severity"]);
        let expected = BTreeMap::from([
            ("connector_id", connector.id.as_str()),
            ("event_type", event_type),
            ("host", "toktra"),
            ("org_id", org.id.as_str()),
            ("service", "toktra"),
            ("severity", severity),
            ("source", "toktra"),
        ]);
        assert_eq!(tags, expected);
        let sum: f64 = points.values().sum();
        sums.insert((event_type.to_owned(), severity.to_owned()), whole(sum));
    }
    assert_eq!(&sums, tally);
}

fn whole(value: f64) -> u64 {
    assert!(value.fract() == 0.0 && value >= 0.0, "{value} is no count");
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small whole number, as just asserted"
    )]
    let whole = value as u64;
    whole
}

/// Each delivery of the metrics stream is a closed window: its points have its time, and add up to its events.
async fn assert_windows(datadog: &Datadog, connector: &Connector) {
    let mut sent: BTreeMap<i64, u64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for point in datadog.points() {
        assert_eq!((point.kind, point.interval, point.timestamp % WINDOW), (1, Some(10), 0));
        assert!(seen.insert((point.series.clone(), point.timestamp)), "a point was sent twice: {point:?}");
        *sent.entry(point.timestamp).or_default() += whole(point.value);
    }
    assert!(sent.len() >= 2, "events of {ROUNDS} rounds fall into two windows at least: {sent:?}");
    let deliveries = connector.deliveries("stream=metrics").await;
    let recorded: BTreeMap<i64, u64> = deliveries
        .iter()
        .map(|delivery| {
            let start: jiff::Timestamp = delivery["window"].text().parse().unwrap();
            (start.as_second(), delivery["event_count"].number())
        })
        .collect();
    assert_eq!(sent, recorded);
}

fn assert_requests(datadog: &Datadog) {
    for request in datadog.requests() {
        assert!([LOGS, SERIES].contains(&request.path()), "{}", request.uri);
        assert_eq!(request.header("dd-api-key"), Some(CREDENTIAL));
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.status.map(|status| status.as_u16()), Some(202));
    }
}

fn body_case(request: &Recorded) -> Value {
    let kind = if request.path() == LOGS { "logs" } else { "series" };
    json!({ "kind": kind, "body": str::from_utf8(request.body.as_ref().unwrap()).unwrap() })
}

/// The official client's models take every body as it was sent, and refuse what is close to it but wrong.
async fn assert_vendor_reads(requests: &[Recorded]) {
    let Some(python) = real::PYTHON.path() else { return };
    let script = root().join("crates/e2e/tests/journeys/datadog_models.py");
    let judge = async |cases: Vec<Value>| ask(&python, &[script.to_str().unwrap()], &json!(cases)).await.list();
    let bodies: Vec<Value> = requests.iter().map(body_case).collect();
    assert!(bodies.iter().any(|body| body["kind"] == "logs") && bodies.iter().any(|body| body["kind"] == "series"));
    for (body, verdict) in bodies.iter().zip(judge(bodies.clone()).await) {
        assert_eq!(verdict, Value::Null, "{body}");
    }
    let spoilt = |kind: &str, spoil: fn(&mut Value)| {
        let good = bodies.iter().find(|body| body["kind"] == kind).unwrap();
        let mut body: Value = serde_json::from_str(good["body"].as_str().unwrap()).unwrap();
        spoil(&mut body);
        json!({ "kind": kind, "body": body.to_string() })
    };
    let wrong = vec![
        spoilt("logs", |body| body[0]["ddtags"] = json!(["a:b", "c:d"])),
        spoilt("logs", |body| drop(body[0].as_object_mut().unwrap().remove("message"))),
        spoilt("logs", |body| *body = body[0].clone()),
        spoilt("series", |body| body["series"][0]["type"] = json!(9)),
        spoilt("series", |body| body["series"][0]["points"][0]["timestamp"] = json!("1736937000")),
        spoilt("series", |body| body["series"][0]["colour"] = json!("red")),
        spoilt("series", |body| body["extra"] = json!(1)),
    ];
    for (body, verdict) in wrong.iter().zip(judge(wrong.clone()).await) {
        assert!(verdict.is_string(), "the judge has to refuse {body}");
    }
}

#[tokio::test]
async fn settings_of_a_connector_reach_every_body() {
    let (world, datadog) = (World::start().await, datadog().await);
    let org = world.org("Acme").await;
    let config = json!({ "service": "llm-gateway", "metric_prefix": "acme.siem", "compression": "gzip" });
    let connector = org.connect_with(&datadog, json!({ "config": config, "filter": { "severity": ["high"] } })).await;
    let old = with(event("anomaly", "high"), "timestamp", "2025-01-15T10:30:00.5Z");
    let ids = org.post_events(&[old, event("lockout", "low")]).await;
    accepted(&datadog, 1).await;
    let account = Account { delivered: 1, filtered: 1, ..Account::default() };
    connector.until_account("metrics", &account).await;

    let entry: Value = serde_json::from_slice(&datadog.events()[0].event).unwrap();
    assert_eq!((&entry["event_id"], &entry["service"]), (&json!(ids[0]), &json!("llm-gateway")));
    assert_eq!(entry["timestamp"], "2025-01-15T10:30:00.5Z", "the event's own time is kept");
    let [point] = datadog.points().try_into().unwrap();
    assert_eq!(point.series.metric, "acme.siem.events");
    assert!(point.series.tags.contains(&"service:llm-gateway".to_owned()), "{point:?}");
    for request in datadog.requests() {
        assert_eq!(request.header("content-encoding"), Some("gzip"));
    }
    assert_vendor_reads(&datadog.requests()).await;
    for stream in ["logs", "metrics"] {
        let outcome = connector.outcome(stream, &ids[1]).await;
        assert_eq!((&outcome["outcome"], &outcome["rule"]), (&json!("filtered"), &json!("severity")));
    }
    assert_eq!(datadog.violations(), []);
    world.end_with(&[(&connector, &[("logs", account.clone()), ("metrics", account)])]).await;
}
