//! Test deliveries: one attempt, beside the worker, and a success that closes the breaker.

use tokio::sync::mpsc::unbounded_channel;
use toktra_siem_core::delivery::{Status, Trigger};
use toktra_siem_store::{AuditQuery, HistoryQuery};

use super::*;
use crate::test_delivery::{Listener, Progress, StreamReport, TestOrder, TestReport, run};

pub(super) async fn test(bench: &Bench, platform: PlatformId, kept: bool) -> TestReport {
    test_heard(bench, platform, kept, Listener::default()).await
}

pub(super) async fn test_heard(bench: &Bench, platform: PlatformId, kept: bool, listener: Listener) -> TestReport {
    let mut links = Vec::new();
    for kind in bench.ctx.registry.descriptor(platform).unwrap().streams {
        let stream = StreamId { connector: CONNECTOR, kind: *kind };
        links.push((*kind, bench.ctx.links.link(ORG, stream).await.unwrap()));
    }
    let audit = AuditEntry { action: "connector.test".into(), detail: json!({ "saved": kept }), ..audit() };
    run(bench.ctx.clone(), TestOrder { links, kept, sample: None, audit, listener }).await.unwrap()
}

pub(super) async fn tests(bench: &Bench) -> Vec<(Delivery, Vec<Attempt>)> {
    bench.history().await.into_iter().filter(|(delivery, _)| delivery.trigger == Trigger::Test).collect()
}

pub(super) fn only(report: TestReport) -> StreamReport {
    let mut streams = report.streams;
    assert_eq!(streams.len(), 1, "{streams:?}");
    streams.remove(0)
}

#[tokio::test(start_paused = true)]
async fn a_success_closes_the_breaker_and_what_waited_is_delivered() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(|_| invalid_token());
    bench.send(3).await;
    bench.pass(Duration::from_secs(10)).await;
    bench.send(40).await;
    bench.otherwise(|_| success());
    let report = test(&bench, SPLUNK, true).await;
    assert!(report.closed && report.streams[0].delivered, "{report:?}");
    bench.control.0.send_modify(|saves| *saves += 1);
    bench.pass(Duration::from_secs(5)).await;
    let account = bench.events_account().await;
    assert_eq!(
        (account.counts.delivered, account.pending(), account.accepted),
        (43, 0, 43),
        "the test is in no account"
    );
    let sent = bench.seen().iter().filter(|seen| seen.body.windows(15).any(|part| part == b"test_connection")).count();
    assert_eq!(sent, 1);
}

#[tokio::test(start_paused = true)]
async fn settings_that_are_not_saved_close_nothing_and_leave_no_delivery() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(|_| invalid_token());
    bench.send(3).await;
    bench.pass(Duration::from_secs(10)).await;
    bench.otherwise(|_| success());
    let report = test(&bench, SPLUNK, false).await;
    assert!(!report.closed);
    let stream = bench.store.stream(StreamId { connector: CONNECTOR, kind: StreamKind::Events }).await.unwrap();
    assert!(!stream.breaker.is_closed());
    let event_id = report.event_id;
    let report = only(report);
    assert_eq!((report.delivered, report.delivery), (true, None));
    assert!(tests(&bench).await.is_empty());
    let (_, line) =
        bench.store.audit(ORG, AuditQuery { limit: 1, ..AuditQuery::default() }).await.unwrap().items.remove(0);
    assert_eq!((line.action.as_str(), &line.detail["event_id"]), ("connector.test", &json!(event_id)));
}

#[tokio::test(start_paused = true)]
async fn a_failure_has_one_attempt_and_says_nothing_to_the_stream() {
    let bench = Bench::splunk().await;
    bench.answer([busy()]);
    let report = test(&bench, SPLUNK, true).await;
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(bench.seen().len(), 1, "a person's single try");
    let (delivery, attempts) = tests(&bench).await.remove(0);
    assert_eq!((delivery.status, attempts.len(), delivery.accounted), (Status::Failed, 1, false));
    let by_event = HistoryQuery { event_id: Some(report.event_id), limit: 9, ..HistoryQuery::default() };
    assert_eq!(bench.store.history(ORG, by_event).await.unwrap().items[0].delivery.id, delivery.id);
    let report = only(report);
    assert_eq!((report.delivered, report.http_status, report.delivery), (false, Some(503), Some(delivery.id)));
    assert_eq!(report.cause.as_ref().unwrap().code, "splunk_9_busy");
    assert!(report.hint.unwrap().starts_with("Splunk answered 503: it is busy."));
    let stream = bench.store.stream(StreamId { connector: CONNECTOR, kind: StreamKind::Events }).await.unwrap();
    assert!(stream.breaker.is_closed());
}

#[tokio::test(start_paused = true)]
async fn with_acknowledgement_it_waits_for_the_index_but_not_for_ever() {
    let config = json!({"hec_url": "https://splunk.example:8088", "hec_token": "token", "indexer_ack": true});
    let bench = Bench::new(SPLUNK, config).await;
    let (asked, confirms) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(3)));
    let counts = (asked.clone(), confirms.clone());
    bench.otherwise(move |request| {
        if !request.url.ends_with("/ack") {
            return reply(200, &json!({"text": "Success", "code": 0, "ackId": 7}));
        }
        *counts.0.lock() += 1;
        reply(200, &json!({"acks": {"7": *counts.0.lock() >= *counts.1.lock()}}))
    });
    let confirmed = only(test(&bench, SPLUNK, true).await);
    assert_eq!((confirmed.delivered, confirmed.cause, *asked.lock()), (true, None, 3));
    assert!(confirmed.duration >= Duration::from_secs(1));

    *confirms.lock() = u32::MAX;
    let waits = only(test(&bench, SPLUNK, true).await);
    assert_eq!((waits.delivered, waits.cause.unwrap().code.as_ref()), (true, "splunk_ack_pending"));
    assert!(waits.duration <= bench.ctx.timing.test && waits.hint.is_some());
    assert!(tests(&bench).await.iter().all(|(delivery, _)| delivery.status == Status::Delivered));
}

#[tokio::test(start_paused = true)]
async fn datadogs_streams_are_tried_each_by_itself() {
    let bench = Bench::new(DATADOG, json!({"api_key": "key", "site": "datadoghq.eu"})).await;
    bench.otherwise(|request| {
        if request.url.ends_with("/api/v2/logs") {
            reply(202, &json!({}))
        } else {
            reply(403, &json!({"errors": ["Forbidden"]}))
        }
    });
    let report = test(&bench, DATADOG, true).await;
    let [logs, metrics] = report.streams.try_into().unwrap();
    assert_eq!((logs.stream, logs.delivered, logs.hint), (StreamKind::Logs, true, None));
    assert_eq!((metrics.stream, metrics.delivered), (StreamKind::Metrics, false));
    assert!(metrics.hint.unwrap().contains("The site is datadoghq.eu"));
    let sent = bench.seen();
    let window: Value =
        serde_json::from_slice(&sent.iter().find(|s| s.url.ends_with("/series")).unwrap().body).unwrap();
    let point = &window["series"][0]["points"][0];
    assert_eq!(point["value"], 1);
    assert_ne!(point["timestamp"].as_i64().unwrap() % 10, 0, "no live window has this time");
    bench.account(StreamKind::Metrics).await;
}

#[tokio::test(start_paused = true)]
async fn a_template_that_is_refused_is_said_and_the_event_goes_all_the_same() {
    let bench = Bench::new(ELASTICSEARCH, json!({"url": "https://es.example:9200"})).await;
    bench.otherwise(|request| match (request.url.ends_with("/_bulk"), request.body.is_empty()) {
        (true, _) => reply(200, &json!({"errors": false, "items": [{"create": {"status": 201}}]})),
        (false, true) if request.url.ends_with(":9200/") => reply(200, &json!({"version": {"number": "8.19.0"}})),
        (false, _) => reply(403, &json!({"error": {"type": "security_exception", "reason": "no"}})),
    });
    let report = only(test(&bench, ELASTICSEARCH, true).await);
    assert_eq!((report.delivered, report.http_status, report.cause), (true, Some(200), None));
    assert!(report.hint.unwrap().contains("manage_index_templates"));
}

#[tokio::test(start_paused = true)]
async fn whoever_listens_hears_of_each_stage_at_its_end() {
    let bench = Bench::splunk().await;
    let takes = Duration::from_secs(3);
    *bench.endpoint.takes.lock() = takes;
    let (sender, mut told) = unbounded_channel();
    let hear = async {
        let mut heard = Vec::new();
        while let Some(progress) = told.recv().await {
            heard.push((bench.since.elapsed(), progress));
        }
        heard
    };
    let (report, heard) = tokio::join!(test_heard(&bench, SPLUNK, true, Listener::new(sender)), hear);
    let report_stages = &report.streams[0].stages;
    let [tcp, http, write] = report_stages.as_slice() else { panic!("{report_stages:?}") };
    let stage = |stage: &Stage| Progress::Stage(StreamKind::Events, stage.clone());
    let begun = Progress::Begun(report.event_id);
    let expected = [(Duration::ZERO, begun), (Duration::ZERO, stage(tcp)), (takes, stage(http)), (takes, stage(write))];
    assert_eq!(heard, expected);
}
