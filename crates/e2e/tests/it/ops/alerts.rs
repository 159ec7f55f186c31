//! The alert rules, played against what a real server says of itself in the states that they are for. The series come from its
//! `/metrics`, so that rules and figures cannot drift apart.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use toktra_siem_fake::{datadog, splunk as hec};
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;

use super::{complaints, ops, read, words};

/// For how long the state lasts, in minutes: longer than any rule waits.
const LASTS: u32 = 45;

/// A stream in a state, and which alerts that calls for while it lasts.
struct Case<'c> {
    name: &'static str,
    connector: &'c Connector,
    stream: &'static str,
    /// What waits, as health, account and metrics say alike.
    waits: u64,
    alerts: &'static [&'static str],
}

impl Case<'_> {
    /// The stream's figure.
    fn figure(&self, page: &str, name: &str) -> Option<f64> {
        let (name, connector) =
            (format!("toktra_siem_stream_{name}{{"), format!("connector=\"{}\"", self.connector.id));
        let stream = format!("stream=\"{}\"", self.stream);
        let found =
            page.lines().find(|line| line.starts_with(&name) && line.contains(&connector) && line.contains(&stream));
        found?.rsplit(' ').next()?.parse().ok()
    }

    /// Whether metrics and health say what waits.
    async fn is_told(&self, page: &str) -> bool {
        let health = self.connector.health(self.stream).await;
        let aged = self.figure(page, "lag_seconds").is_some_and(|lag| (lag > 0.0) == (self.waits > 0));
        let told = health["oldest_undelivered_at"].is_null() == (self.waits == 0);
        self.figure(page, "pending_events") == Some(float(self.waits))
            && health["lag_events"] == self.waits
            && aged
            && told
    }

    /// A test for promtool: nothing but this connector, and the alerts that fire at some time.
    fn test(&self, page: &str, asked: &BTreeSet<&str>) -> String {
        let mine = format!("connector=\"{}\"", self.connector.id);
        let mut test = format!("- name: {}\n  interval: 1m\n  input_series:\n", self.name);
        let _ = writeln!(test, "  - series: up{{job=\"toktra-siem\",instance=\"x\"}}\n    values: 1x{LASTS}");
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let labels = series.split_once('{').map_or("", |(_, rest)| rest.trim_end_matches('}'));
            if !asked.contains(name) || (labels.contains("connector=") && !labels.contains(&mine)) {
                continue;
            }
            let grows = name.ends_with("lag_seconds") && value != "0";
            let values = format!("{value}{}x{LASTS}", if grows { "+60" } else { "" });
            let labels = [labels, "job=\"toktra-siem\"", "instance=\"x\""].into_iter().filter(|l| !l.is_empty());
            let labels = labels.collect::<Vec<_>>().join(",");
            let _ = writeln!(test, "  - series: '{name}{{{labels}}}'\n    values: '{values}'");
        }
        let expr = format!("count by (alertname) (max_over_time(ALERTS{{alertstate=\"firing\"}}[{LASTS}m]))");
        let _ = writeln!(test, "  promql_expr_test:\n  - expr: {expr}\n    eval_time: {LASTS}m\n    exp_samples:");
        for alert in self.alerts {
            let _ = writeln!(test, "    - labels: '{{alertname=\"{alert}\"}}'\n      value: 1");
        }
        test
    }
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn float(n: u64) -> f64 {
    n as f64
}

#[tokio::test]
async fn what_waits_is_told_alike_everywhere_and_raises_the_alerts_that_are_for_it() {
    let world = World::start().await;
    let gate = Gate::new();
    // Its windows take the longest.
    let windows = datadog().await;
    windows.always(datadog::Endpoint::Series, Behaviour::reply(datadog::error_reply(datadog::Endpoint::Series, 503)));
    let metrics = world.org("Metrics").await;
    let windowed = metrics.connect(&windows).await;
    metrics.post_some(3).await;

    let gone = splunk().await;
    gone.down().await;
    let outage = world.org("Outage").await;
    let down = outage.connect(&gone).await;
    outage.post_some(180).await;
    let halted = world.org("Paused").await;
    let paused = halted.connect(&gone).await;
    halted.post_some(3).await;

    let strict = splunk().await;
    strict.always(hec::Endpoint::Event, Behaviour::reply(hec::reply(4)));
    let mistaken = world.org("Mistaken").await;
    let wrong = mistaken.connect(&strict).await;
    mistaken.post_some(2).await;

    let picky = splunk().await;
    picky.always(hec::Endpoint::Event, Behaviour::reply(hec::reply(6)));
    let choosy = world.org("Choosy").await;
    let refused = choosy.connect(&picky).await;
    let first = choosy.post_event(event("lockout", "high")).await;

    let again = world.org("Again").await;
    let mended = splunk().await;
    mended.script(hec::Endpoint::Event, (0..3).map(|_| Behaviour::reply(hec::reply(6))));
    mended.always(hec::Endpoint::Event, Behaviour::strict().gated(&gate));
    let resent = again.connect(&mended).await;
    let bad = again.post_event(event("lockout", "high")).await;

    let slow = splunk().await;
    slow.always(hec::Endpoint::Event, Behaviour::strict().gated(&gate));
    let behind = world.org("Behind").await;
    let late = behind.connect(&slow).await;
    late.patch(json!({ "active": false })).await;
    behind.post_some(5).await;
    late.patch(json!({ "active": true })).await;

    paused.until_health("events", "degraded").await;
    halted.post_some(4).await;
    paused.patch(json!({ "active": false })).await;
    resent.until_outcome("events", &bad, "rejected").await;
    resent.job("redeliver-failed", json!({})).await;
    refused.until_outcome("events", &first, "rejected").await;
    wrong.until_health("events", "misconfigured").await;
    down.until_health("events", "degraded").await;
    windowed.until_health("metrics", "degraded").await;

    let case = |name, connector, stream, waits, alerts| Case { name, connector, stream, waits, alerts };
    let cases = [
        case("down, with everything parked", &down, "events", 180, &["ToktraSiemBreakerOpen"]),
        case("misconfigured", &wrong, "events", 2, &["ToktraSiemMisconfigured"]),
        case("paused", &paused, "events", 7, &[]),
        case("a backlog range", &late, "events", 5, &["ToktraSiemLag", "ToktraSiemNoDeliveries"]),
        case("a job", &resent, "events", 1, &["ToktraSiemLag", "ToktraSiemNoDeliveries"]),
        case("a stream of metrics", &windowed, "metrics", 3, &["ToktraSiemBreakerOpen"]),
        case("the first event ever is refused", &refused, "events", 0, &["ToktraSiemRejects"]),
    ];
    let page = poll::until("every state is told", async || {
        let page = world.anonymous().get("/metrics").await.expect_status(200).text();
        for case in &cases {
            if !case.is_told(&page).await {
                return None;
            }
        }
        Some(page)
    })
    .await;
    assert_eq!(cases[0].figure(&page, "failed_events"), Some(180.0), "all of it is parked");
    assert_eq!((cases[6].figure(&page, "rejected_events"), cases[2].figure(&page, "active")), (Some(1.0), Some(0.0)));
    let health = down.health("events").await;
    assert!(health["lag_seconds"].number() >= 1, "three attempts take longer: {health}");
    gate.open();
    world.end().await;

    let Some(promtool) = real::PROMTOOL.path() else { return };
    let rules = read("prometheus/alerts.yml");
    let asked = words(&rules, "toktra_siem_").collect();
    let tests: String = cases.iter().map(|case| case.test(&page, &asked)).collect();
    let file = tempfile::tempdir().unwrap();
    let path = file.path().join("states.test.yml");
    let rules = ops("prometheus/alerts.yml");
    std::fs::write(&path, format!("rule_files: ['{}']\nevaluation_interval: 1m\ntests:\n{tests}", rules.display()))
        .unwrap();
    assert_eq!(complaints(&promtool, &["test", "rules", path.to_str().unwrap()], "").await, None, "{tests}");
}
