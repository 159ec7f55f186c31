//! docs/delivery-guarantees.md, "What an answer means": each row of the table, against what the platforms and the state machine make of such
//! an answer.

use std::collections::BTreeMap;
use std::time::Duration;

use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Delivery, Input, ParkKind, Policy, Status, Step, Trigger, step};
use toktra_siem_core::destination::{Omitted, Verdict};
use toktra_siem_core::ids::{ConnectorId, DeliveryId, Seq, StreamId, StreamKind};
use toktra_siem_core::members::Members;
use toktra_siem_platform::destination::Destination;
use uuid::Uuid;

use super::support::{
    NOW, datadog_settings, elasticsearch_settings, org, reply, splunk_settings, stream, webhook_settings,
};

/// What is answered to every attempt.
enum Answer {
    /// By which platform, with this status and body, to so many events.
    Reply(&'static str, u16, &'static str, u64),
    /// None came.
    Nothing,
    /// No request could be made.
    Unsendable,
}

use Answer::{Nothing, Reply, Unsendable};

const BAD: &str = r#"{"text":"Invalid data format","code":6,"invalid-event-number":0}"#;
const ONE_OF_TWO: &str = r#"{"text":"Invalid data format","code":6,"invalid-event-number":1}"#;
const REFUSED: &str = r#"{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"no"}}}"#;
const LATER: &str = r#"{"create":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"busy"}}}"#;
const TAKEN: &str = r#"{"create":{"status":201}}"#;

/// The first column of the table, and answers of its kind.
fn rows() -> Vec<(&'static str, Vec<Answer>)> {
    let items = |items: &[&str]| -> &'static str {
        Box::leak(format!(r#"{{"errors":true,"items":[{}]}}"#, items.join(",")).into_boxed_str())
    };
    let each = |statuses: &[u16]| {
        let all = statuses
            .iter()
            .flat_map(|s| ["splunk", "datadog", "elasticsearch", "webhook"].map(|p| Reply(p, *s, "", 1)));
        all.collect::<Vec<_>>()
    };
    let several = |statuses: &[u16]| {
        let all = statuses
            .iter()
            .flat_map(|s| ["splunk", "datadog", "elasticsearch", "webhook"].map(|p| Reply(p, *s, "", 2)));
        all.collect::<Vec<_>>()
    };
    vec![
        ("nothing: no connection, no certificate that is trusted, no answer in time", vec![Nothing]),
        ("408, 425, 429, 5xx", each(&[408, 425, 429, 500, 502, 503, 504])),
        (
            "3xx, 401, 403, 404, 405, 407, 415 and other 4xx",
            each(&[301, 302, 401, 402, 403, 404, 405, 407, 409, 415, 418, 451]),
        ),
        ("400, 413, 422 to a request with one event", each(&[400, 413, 422])),
        (
            "400 of Splunk that names its only event (codes 6, 12, 13, 15)",
            vec![
                Reply("splunk", 400, BAD, 1),
                Reply("splunk", 400, r#"{"code":12,"invalid-event-number":0}"#, 1),
                Reply("splunk", 400, r#"{"code":13,"invalid-event-number":0}"#, 1),
                Reply("splunk", 400, r#"{"code":15,"invalid-event-number":0}"#, 1),
            ],
        ),
        ("400, 413, 422 to a request with several events", several(&[400, 413, 422])),
        (
            "400 of Splunk that names one of several events",
            vec![Reply("splunk", 400, BAD, 2), Reply("splunk", 400, ONE_OF_TWO, 3)],
        ),
        (
            "2xx",
            vec![
                Reply("splunk", 200, r#"{"text":"Success","code":0}"#, 2),
                Reply("splunk", 200, "OK", 2),
                Reply("splunk", 204, "", 2),
                Reply("datadog", 202, "{}", 2),
                Reply("datadog", 200, "", 2),
                Reply("webhook", 204, "", 2),
                Reply("elasticsearch", 200, items(&[TAKEN, r#"{"create":{"status":409}}"#]), 2),
            ],
        ),
        ("2xx that refuses every item", vec![Reply("elasticsearch", 200, items(&[REFUSED]), 1)]),
        ("2xx that refuses some items", vec![Reply("elasticsearch", 200, items(&[TAKEN, REFUSED]), 2)]),
        ("2xx that asks for every item later", vec![Reply("elasticsearch", 200, items(&[LATER]), 1)]),
        (
            "2xx that takes some items and asks for the others later",
            vec![Reply("elasticsearch", 200, items(&[TAKEN, LATER]), 2)],
        ),
        (
            "2xx with a web page, or without what the platform's answer needs",
            vec![
                Reply("splunk", 200, "<html>", 1),
                Reply("splunk", 200, r#"{"text":"Invalid data format","code":6}"#, 1),
                Reply("datadog", 200, "<html>", 1),
                Reply("elasticsearch", 200, "<html>", 1),
            ],
        ),
        ("no request: the event is too large for the platform", vec![Unsendable]),
    ]
}

fn destination(platform: &str) -> Box<dyn Destination> {
    match platform {
        "splunk" => stream(&splunk_settings(false), StreamKind::Events),
        "datadog" => stream(&datadog_settings("datadoghq.com", None), StreamKind::Logs),
        "elasticsearch" => stream(&elasticsearch_settings(false), StreamKind::Events),
        "webhook" => stream(&webhook_settings(), StreamKind::Events),
        other => panic!("{other} has no row: add it"),
    }
}

/// The first delivery of these events at its end, and how many attempts it took; each pause is that of the specification.
fn end(answer: &Answer) -> Step {
    let events = if let Reply(_, _, _, events) = answer { *events } else { 1 };
    let stream = StreamId { connector: ConnectorId(Uuid::nil()), kind: StreamKind::Events };
    let members = Members::from_ascending((1..=events).map(Seq));
    let mut delivery = Delivery::new(DeliveryId(Uuid::nil()), org(), stream, Trigger::Live, members, NOW);
    let mut pauses = [1, 2].map(Duration::from_secs).into_iter();
    loop {
        let cause = || Cause::new("network_refused", "nobody is there");
        let judged = |verdict| Input::Judged { verdict, omitted: Vec::new() };
        let input = match answer {
            Nothing => judged(Verdict::unreachable(cause(), false, 1)),
            Unsendable => Input::Unsendable { omitted: vec![Omitted { position: 0, cause: cause() }] },
            Reply(platform, status, body, _) => {
                let events = usize::try_from(events).expect("a few");
                judged(destination(platform).classify(&reply(*status, body), events, NOW))
            }
        };
        let next = step(&delivery, input, NOW, &Policy::default());
        let Some(pause) = next.retry_in else { return next };
        assert_eq!(Some(pause), pauses.next());
        delivery = next.delivery;
    }
}

/// What the last column has to say of it.
fn of_events(step: &Step) -> &'static str {
    match (step.parked.first().map(|parking| parking.kind), step.children.is_empty(), step.delivery.delivered) {
        (Some(ParkKind::Failed), true, _) => "parked; recovery sends them",
        (Some(ParkKind::Rejected), _, _) => "`rejected`",
        (None, false, _) => "go",
        _ => "delivered",
    }
}

/// Each row of the documentation's table by its first column: attempts, what the delivery is, and its events.
fn documented() -> BTreeMap<&'static str, (u32, &'static str, &'static str)> {
    let page = include_str!("../../../../docs/delivery-guarantees.md");
    let table = page.split_once("| The SIEM answers |").expect("the table").1;
    let lines = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [answer, attempts, status, events] = cells.try_into().expect("four columns");
            (answer, (attempts.parse().expect("a number"), status.trim_matches('`'), events))
        })
        .collect()
}

#[test]
fn every_answer_means_what_the_documentation_says() {
    let (documented, rows) = (documented(), rows());
    let kinds: Vec<&str> = rows.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds.len(), documented.len(), "{:#?}", documented.keys());
    for (kind, answers) in &rows {
        let (attempts, status, events) = documented[kind];
        for answer in answers {
            let told = if let Reply(platform, status, body, _) = answer {
                format!("{platform} {status} {body}")
            } else {
                String::new()
            };
            let step = end(answer);
            assert_eq!((step.delivery.attempts, step.delivery.status.as_str()), (attempts, status), "{kind}: {told}");
            assert!(events.contains(of_events(&step)), "{kind}: {told}: {} is not in {events}", of_events(&step));
            assert_ne!(step.delivery.status, Status::Pending);
        }
    }
}
