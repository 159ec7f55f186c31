//! What holds for every batch and every reply, whatever the platform.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use toktra_siem_core::event::{EventType, Severity, StoredEvent};
use toktra_siem_core::ids::StreamKind;
use toktra_siem_core::time::Timestamp;
use toktra_siem_platform::destination::{Destination, Judgement, Reply, Verdict};

use crate::support::{
    NOW, all_streams, datadog_settings, elasticsearch_settings, encode_all, org, splunk_settings, stored, stream,
};

/// 2000-01-01 to 2099-12-31, as intake has it, in milliseconds.
const TIMES: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), Just("\"}\n{\"create\":{}}\n\\".to_owned()), "[a-z ]{0,300}"]
}

/// Any event in its stored form, its members in any order.
fn event() -> impl Strategy<Value = Arc<StoredEvent>> {
    let number = any::<[u8; 16]>();
    let kind = prop::sample::select(EventType::ALL);
    let severity = prop::sample::select(Severity::ALL);
    let free = prop::collection::btree_map(text(), text(), 0..4);
    (number, kind, severity, TIMES, text(), free, any::<prop::sample::Index>()).prop_map(
        |(number, kind, severity, ms, summary, free, first)| {
            let id = uuid::Builder::from_random_bytes(number).into_uuid();
            let members = [
                ("event_type", json!(kind)),
                ("severity", json!(severity)),
                ("timestamp", json!(Timestamp(ms))),
                ("org_id", json!(org())),
                ("event_id", json!(id)),
                ("summary", json!(summary)),
                ("source", json!("toktra")),
                ("details", details(&free)),
                ("tags", json!(free)),
            ];
            let mut members: Vec<String> = members.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
            let first = first.index(members.len());
            members.rotate_left(first);
            stored(&format!("{{{}}}", members.join(",")))
        },
    )
}

/// Details with these members, as they are and deeper.
fn details(free: &std::collections::BTreeMap<String, String>) -> Value {
    let mut details = json!(free);
    details["free"] = json!([free, [1.5, true]]);
    details["timestamp"] = json!("x");
    details["summary"] = Value::Null;
    details
}

fn events() -> impl Strategy<Value = Vec<Arc<StoredEvent>>> {
    prop::collection::vec(event(), 1..12)
}

/// The cost of a batch, which must be the length of its body.
fn cost(destination: &dyn Destination, events: &[Arc<StoredEvent>]) -> usize {
    events.iter().map(|event| destination.cost(event)).sum::<usize>() + destination.limits().overhead
}

/// `object` without the members that the envelope adds, printed as it stands there.
fn without(object: &str, added: &[&str]) -> Vec<(String, String)> {
    let mut members = members(object);
    members.retain(|(name, _)| !added.contains(&name.as_str()));
    members
}

/// The members of an object, with the exact bytes of their values. Sorted: a map has no order.
fn members(object: &str) -> Vec<(String, String)> {
    let map: std::collections::BTreeMap<String, &RawValue> = serde_json::from_str(object).expect("an object");
    map.into_iter().map(|(name, value)| (name, value.get().to_owned())).collect()
}

fn payload(event: &StoredEvent) -> &str {
    std::str::from_utf8(&event.payload).expect("UTF-8")
}

fn covered(verdict: &Verdict) -> Option<usize> {
    match &verdict.judgement {
        Judgement::Split(_) => None,
        Judgement::Counted { delivered, refused, .. } => Some(delivered + refused),
        Judgement::Items(runs) => {
            assert!(runs.iter().all(|run| run.len > 0), "a run is never empty");
            Some(runs.iter().map(|run| run.len).sum())
        }
    }
}

/// Bodies that look like the platforms' own, and any others.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let number =
        prop_oneof![(-3i64..12).prop_map(|n| n.to_string()), Just("1e400".to_owned()), Just("\"1\"".to_owned())];
    let hec = (0u32..30, number).prop_map(|(code, n)| {
        format!(r#"{{"text":"x","code":{code},"invalid-event-number":{n},"ackId":{n}}}"#).into_bytes()
    });
    let item = (any::<u16>(), text())
        .prop_map(|(status, kind)| json!({ "create": { "status": status, "error": { "type": kind, "reason": "r" } } }));
    let usual = prop::sample::select(vec![200, 201, 400, 403, 404, 409, 429, 503])
        .prop_map(|status: u16| json!({ "create": { "status": status } }));
    let bulk = prop::collection::vec(prop_oneof![item, usual], 0..8)
        .prop_map(|items| json!({ "items": items, "errors": true }).to_string().into_bytes());
    prop_oneof![hec, bulk, any::<Vec<u8>>(), Just(b"<html></html>".to_vec())]
}

proptest! {
    #[test]
    fn splunk_gets_n_objects_with_the_events_as_stored(events in events()) {
        let splunk = stream(&splunk_settings(false), StreamKind::Events);
        let request = encode_all(&*splunk, &events);
        prop_assert_eq!(cost(&*splunk, &events), request.body.len());
        let objects: Vec<Map<String, Value>> =
            serde_json::Deserializer::from_slice(&request.body).into_iter().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(objects.len(), events.len());
        let lines = std::str::from_utf8(&request.body).unwrap().lines();
        for (line, event) in lines.zip(&events) {
            let envelope = members(line);
            let names: Vec<&str> = envelope.iter().map(|(name, _)| name.as_str()).collect();
            prop_assert_eq!(names, ["event", "host", "index", "source", "sourcetype", "time"]);
            prop_assert_eq!(&envelope[0].1, payload(event));
            let ms = event.event_time.0;
            prop_assert_eq!(&envelope[5].1, &format!("{}.{:03}", ms / 1000, ms % 1000));
        }
    }

    #[test]
    fn datadog_gets_n_entries_with_the_events_own_members(events in events()) {
        let logs = stream(&datadog_settings("datadoghq.eu", None), StreamKind::Logs);
        let request = encode_all(&*logs, &events);
        prop_assert_eq!(cost(&*logs, &events), request.body.len());
        let entries: Vec<&RawValue> = serde_json::from_slice(&request.body).unwrap();
        prop_assert_eq!(entries.len(), events.len());
        let added = ["ddsource", "ddtags", "hostname", "service", "status", "message"];
        for (entry, event) in entries.iter().zip(&events) {
            let own = members(payload(event));
            prop_assert_eq!(&without(entry.get(), &added), &own);
            let entry: Map<String, Value> = serde_json::from_str(entry.get()).unwrap();
            prop_assert_eq!(entry.len(), own.len() + added.len());
            prop_assert_eq!(&entry["message"], &entry["summary"]);
            prop_assert!(entry["ddtags"].is_string());
        }
    }

    #[test]
    fn elasticsearch_gets_2n_lines_with_the_events_own_members(events in events()) {
        let elasticsearch = stream(&elasticsearch_settings(true), StreamKind::Events);
        let request = encode_all(&*elasticsearch, &events);
        prop_assert_eq!(cost(&*elasticsearch, &events), request.body.len());
        let text = std::str::from_utf8(&request.body).unwrap();
        prop_assert!(text.ends_with('\n'));
        let lines: Vec<&str> = text.trim_end_matches('\n').split('\n').collect();
        prop_assert_eq!(lines.len(), 2 * events.len());
        for (pair, event) in lines.chunks(2).zip(&events) {
            let action: Value = serde_json::from_str(pair[0]).unwrap();
            let id = format!("{}:{}", event.org, event.event_id);
            let old = event.event_time < Timestamp(NOW.0 - 48 * 3_600_000);
            let day = if old { event.accepted_at } else { event.event_time }.to_string()[..10].replace('-', ".");
            prop_assert!(id.len() <= 512);
            prop_assert_eq!(action, json!({ "create": { "_index": format!("toktra-security-events-{day}"), "_id": id } }));
            let source: Map<String, Value> = serde_json::from_str(pair[1]).unwrap();
            let added = ["@timestamp", "details_terms", "details_original", "tags_original", "unindexed"];
            let mut sent = without(pair[1], &added);
            for (name, value) in &mut sent {
                if let Some(original) = source.get(&format!("{name}_original")) {
                    original.as_str().unwrap().clone_into(value);
                }
            }
            prop_assert_eq!(sent, members(payload(event)));
            prop_assert_eq!(&source["@timestamp"], &source["timestamp"]);
        }
    }

    #[test]
    fn index_names_are_strict(ms: i64) {
        let elasticsearch = stream(&elasticsearch_settings(true), StreamKind::Events);
        let mut event = (*crate::support::golden_events()[0]).clone();
        event.event_time = Timestamp(ms);
        let body = encode_all(&*elasticsearch, &[event.into()]).body;
        let action: Value = serde_json::from_slice(body.split(|b| *b == b'\n').next().unwrap()).unwrap();
        let day = action["create"]["_index"].as_str().unwrap().strip_prefix("toktra-security-events-").unwrap().as_bytes();
        prop_assert_eq!(day.len(), 10);
        for (at, byte) in day.iter().enumerate() {
            let expected = if at == 4 || at == 7 { *byte == b'.' } else { byte.is_ascii_digit() };
            prop_assert!(expected);
        }
    }

    #[test]
    fn any_reply_gives_a_verdict_over_all_that_was_sent(
        body in body(),
        status in prop_oneof![any::<u16>(), prop::sample::select(vec![200u16, 202, 400, 401, 403, 413, 429, 500, 503])],
        retry_after in prop::option::of(prop_oneof![any::<String>(), "[0-9]{1,30}"]),
        sent in 0usize..8,
        truncated: bool,
    ) {
        let reply = Reply { status, retry_after, body: Bytes::from(body), truncated, ..Reply::default() };
        for destination in all_streams() {
            let verdict = destination.classify(&reply, sent, NOW);
            if let Some(covered) = covered(&verdict) {
                prop_assert_eq!(covered, sent);
            }
            // As an answer to set-up or to a query for acknowledgement it makes no trouble either.
            let _ = destination.setup(&[reply.clone(), reply.clone()], NOW);
            prop_assert!(destination.confirmed(&reply, &[]).receipts.is_empty());
        }
    }
}

#[test]
fn limits_are_within_what_the_platforms_take() {
    let limits: Vec<_> = all_streams().iter().map(|d| (d.limits().events, d.limits().bytes)).collect();
    let hec = (2_000, 900_000);
    assert_eq!(limits, [hec, hec, (1_000, 4_250_000), (usize::MAX, 5_242_880), (5_000, 5_000_000), (500, 450_000)]);
}
