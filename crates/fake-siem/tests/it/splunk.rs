//! Splunk: each row of the reply table that the strict rules produce, partial batches, acknowledgements.

use serde_json::{Value, json};
use toktra_siem_fake::splunk::{Endpoint, Fault, Splunk, SplunkOptions, reply};
use toktra_siem_fake::{Behaviour, ReceiverOptions, Recording};

use crate::client::{Answer, Headers, exchange, gzip};

const TOKEN: &str = "0c6f7a9e-1111-4222-8333-444455556666";
const AUTH: (&str, &str) = ("authorization", "Splunk 0c6f7a9e-1111-4222-8333-444455556666");
const CHANNEL: (&str, &str) = ("x-splunk-request-channel", "11111111-2222-3333-4444-555555555555");
const EVENT: &str = "/services/collector/event";
const ACK: &str = "/services/collector/ack";

async fn splunk() -> Splunk {
    Splunk::start(SplunkOptions::new(TOKEN)).await.unwrap()
}

async fn with_acks() -> Splunk {
    Splunk::start(SplunkOptions { acks: true, ..SplunkOptions::new(TOKEN) }).await.unwrap()
}

async fn post(splunk: &Splunk, path: &str, headers: &[(&str, &str)], body: impl Into<bytes::Bytes>) -> Answer {
    exchange(splunk.address(), "POST", path, headers, body).await.unwrap()
}

fn object(id: &str) -> String {
    format!(
        r#"{{"time":1736937000.120,"host":"h","source":"toktra","sourcetype":"toktra:security","index":"toktra","event":{{"event_id":"{id}", "n":1.50}}}}"#
    )
}

/// Sends this body to a fresh collector; answers what it said and which events it indexed.
async fn send(body: impl Into<bytes::Bytes>) -> (u16, Value, Vec<String>, usize) {
    let splunk = splunk().await;
    let answer = post(&splunk, EVENT, &[AUTH], body).await;
    let ids = splunk.events().into_iter().filter_map(|event| event.event_id).collect();
    (answer.status, answer.json(), ids, splunk.violations().len())
}

#[tokio::test]
async fn a_good_batch_is_indexed_byte_for_byte() {
    let splunk = splunk().await;
    let body = format!("{}\n{}", object("a"), object("b"));
    let answer = post(&splunk, EVENT, &[AUTH], body.clone()).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "text": "Success", "code": 0 })));
    let events = splunk.events();
    assert_eq!(events[1].event, r#"{"event_id":"b", "n":1.50}"#);
    assert_eq!((events[1].position, events[1].request), (1, 0));
    assert_eq!(events[0].meta["time"], json!(1_736_937_000.120));
    assert_eq!(events[0].meta["index"], json!("toktra"));
    assert_eq!(splunk.event_ids().into_iter().collect::<Vec<_>>(), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    let request = splunk.requests().remove(0);
    assert_eq!((request.path(), request.wire.as_ref()), (EVENT, body.as_bytes()));
    assert_eq!(request.status.unwrap(), 200);
    assert_eq!(splunk.violations(), []);
}

#[tokio::test]
async fn gzip_is_inflated_and_the_wire_bytes_are_kept() {
    let splunk = splunk().await;
    let packed = gzip(object("a").as_bytes());
    let answer = post(&splunk, EVENT, &[AUTH, ("content-encoding", "gzip")], packed.clone()).await;
    assert_eq!(answer.status, 200);
    let request = splunk.requests().remove(0);
    assert_eq!(request.wire, packed);
    assert_eq!(request.body.unwrap(), object("a"));
}

#[tokio::test]
async fn bad_authorization_has_four_answers() {
    let splunk = splunk().await;
    let cases: [(Headers<'_>, &str, u16, u64); 5] = [
        (&[], EVENT, 401, 2),
        (&[("authorization", "Bearer x")], EVENT, 401, 3),
        (&[("authorization", "Splunk ")], EVENT, 401, 3),
        (&[("authorization", "Splunk other")], EVENT, 403, 4),
        (&[AUTH], "/services/collector/event?token=x", 400, 16),
    ];
    for (headers, path, status, code) in cases {
        let answer = post(&splunk, path, headers, object("a")).await;
        assert_eq!((answer.status, answer.json()["code"].as_u64()), (status, Some(code)), "{headers:?} {path}");
    }
    assert_eq!(splunk.events(), []);
    assert_eq!(splunk.violations().len(), 5);
}

#[tokio::test]
async fn states_of_token_and_server_are_answered() {
    let splunk = splunk().await;
    splunk.set_token_enabled(false);
    assert_eq!(post(&splunk, EVENT, &[AUTH], object("a")).await.json()["code"], 1);
    splunk.set_token_enabled(true);
    splunk.set_shutting_down(true);
    let answer = post(&splunk, EVENT, &[AUTH], object("a")).await;
    assert_eq!((answer.status, answer.json()["code"].as_u64()), (503, Some(23)));
    splunk.set_shutting_down(false);
    splunk.set_token("rotated");
    assert_eq!(post(&splunk, EVENT, &[AUTH], object("a")).await.json()["code"], 4);
    let rotated = ("authorization", "Splunk rotated");
    assert_eq!(post(&splunk, EVENT, &[rotated], object("a")).await.json()["code"], 0);
}

#[tokio::test]
async fn an_empty_body_is_no_data() {
    assert_eq!(send("").await, (400, json!({ "text": "No data", "code": 5 }), vec![], 1));
    assert_eq!(send(" \n").await.1["code"], 5);
}

#[tokio::test]
async fn what_stands_before_the_bad_object_is_indexed() {
    let bad: [(&str, u64, u64); 13] = [
        (r#"{"event":"#, 6, 1),
        ("nonsense", 6, 1),
        ("17", 6, 1),
        (r#"{"event":{"a":1},"host":5}"#, 6, 1),
        (r#"{"index":"other","event":{"a":1}}"#, 7, 2),
        (r#"{"time":1}"#, 12, 1),
        (r#"{"event":null}"#, 12, 1),
        (r#"{"event":" "}"#, 13, 1),
        (r#"{"event":{}}"#, 13, 1),
        (r#"{"time":"1736937000","event":{"a":1}}"#, 15, 1),
        (r#"{"fields":{"a":{"b":1}},"event":{"a":1}}"#, 15, 1),
        (r#"{"fields":{"a":[1]},"event":{"a":1}}"#, 15, 1),
        (r#"{"fields":"text","event":{"a":1}}"#, 15, 1),
    ];
    for (object_1, code, number) in bad {
        let (status, reply, ids, violations) = send(format!("{}{object_1}{}", object("a"), object("c"))).await;
        assert_eq!(status, 400, "{object_1}");
        assert_eq!((reply["code"].as_u64(), reply["invalid-event-number"].as_u64()), (Some(code), Some(number)));
        assert_eq!((ids, violations), (vec!["a".to_owned()], 1), "{object_1}");
    }
}

#[tokio::test]
async fn an_unknown_key_is_a_success_that_loses_the_rest() {
    let (status, reply, ids, violations) =
        send(format!("{}{}{}", object("a"), r#"{"event":{"a":1},"extra":1}"#, object("c"))).await;
    assert_eq!((status, reply["code"].as_u64()), (200, Some(0)));
    assert_eq!((ids, violations), (vec!["a".to_owned()], 1));
}

#[tokio::test]
async fn an_array_is_taken_like_objects_in_a_row() {
    let (status, _, ids, _) = send(format!("[{},{}]", object("a"), object("b"))).await;
    assert_eq!((status, ids), (200, vec!["a".to_owned(), "b".to_owned()]));
}

#[tokio::test]
async fn front_end_errors_are_html() {
    let splunk = Splunk::start(SplunkOptions { max_bytes: 300, ..SplunkOptions::new(TOKEN) }).await.unwrap();
    let large = "x".repeat(301);
    let packed = gzip(large.as_bytes());
    let cases: [(&str, &str, Headers<'_>, Vec<u8>, u16); 5] = [
        ("POST", "/services/collector/raw", &[AUTH], object("a").into(), 404),
        ("GET", EVENT, &[AUTH], vec![], 405),
        ("POST", EVENT, &[AUTH, ("content-encoding", "deflate")], object("a").into(), 415),
        ("POST", EVENT, &[AUTH], large.into(), 413),
        ("POST", EVENT, &[AUTH, ("content-encoding", "gzip")], packed, 413),
    ];
    for (method, path, headers, body, status) in cases {
        let answer = exchange(splunk.address(), method, path, headers, body).await.unwrap();
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(answer.body.starts_with(b"<!doctype html>"));
    }
    assert_eq!(splunk.violations().len(), 5);
    let health = exchange(splunk.address(), "GET", "/services/collector/health", &[], "").await.unwrap();
    assert_eq!((health.status, health.json()["code"].as_u64()), (200, Some(17)));
}

#[tokio::test]
async fn partial_failures_keep_the_head() {
    let splunk = splunk().await;
    let faults = [Fault::BusyAfter(1), Fault::InternalErrorAfter(0), Fault::NearCapacity(24)];
    splunk.script(Endpoint::Event, faults.map(Behaviour::fault));
    let body = || format!("{}{}", object("a"), object("b"));
    let busy = post(&splunk, EVENT, &[AUTH], body()).await;
    assert_eq!((busy.status, busy.json()["invalid-event-number"].as_u64()), (503, Some(1)));
    assert_eq!(splunk.counts().events, 1);
    let internal = post(&splunk, EVENT, &[AUTH], body()).await;
    assert_eq!((internal.status, internal.json()["code"].as_u64()), (500, Some(8)));
    assert_eq!(splunk.counts().events, 1);
    let near = post(&splunk, EVENT, &[AUTH], body()).await;
    assert_eq!((near.status, near.json()["code"].as_u64()), (200, Some(24)));
    assert_eq!(splunk.event_ids()["a"], 2);
    assert_eq!(splunk.violations(), []);
}

#[tokio::test]
async fn every_row_of_the_table_can_be_scripted() {
    let splunk = splunk().await;
    splunk.script(Endpoint::Event, (0..=27).map(|code| Behaviour::reply(reply(code))));
    for code in 0..=27_u64 {
        let answer = post(&splunk, EVENT, &[AUTH], object("a")).await;
        assert_eq!(answer.json()["code"].as_u64(), Some(code));
        let expected = match code {
            0 | 17 | 24 | 25 => 200,
            2 | 3 => 401,
            1 | 4 => 403,
            26 | 27 => 429,
            8 => 500,
            9 | 18 | 19 | 20 | 23 => 503,
            _ => 400,
        };
        assert_eq!(answer.status, expected, "code {code}");
    }
}

#[tokio::test]
async fn acks_need_a_channel_and_read_true_once() {
    let splunk = with_acks().await;
    assert_eq!(post(&splunk, EVENT, &[AUTH], object("a")).await.json()["code"], 10);
    let malformed = ("x-splunk-request-channel", "one");
    assert_eq!(post(&splunk, EVENT, &[AUTH, malformed], object("a")).await.json()["code"], 11);
    let accepted = post(&splunk, EVENT, &[AUTH, CHANNEL], object("a")).await;
    assert_eq!(accepted.json(), json!({ "text": "Success", "code": 0, "ackId": 0 }));
    let poll = || post(&splunk, ACK, &[AUTH, CHANNEL], r#"{"acks":[0,9]}"#);
    splunk.hold_acks(true);
    assert_eq!(poll().await.json(), json!({ "acks": { "0": false, "9": false } }));
    splunk.hold_acks(false);
    assert_eq!(poll().await.json(), json!({ "acks": { "0": true, "9": false } }));
    assert_eq!(poll().await.json(), json!({ "acks": { "0": false, "9": false } }));
}

#[tokio::test]
async fn bad_ack_queries_are_refused() {
    let without = splunk().await;
    let answer = post(&without, ACK, &[AUTH], r#"{"acks":[0]}"#).await;
    assert_eq!((answer.status, answer.json()["code"].as_u64()), (400, Some(14)));
    let splunk = with_acks().await;
    let packed = gzip(br#"{"acks":[0]}"#);
    let compressed = post(&splunk, ACK, &[AUTH, CHANNEL, ("content-encoding", "gzip")], packed).await;
    assert_eq!(compressed.json()["code"], 6);
    for query in ["", "[]", r#"{"acks":["0"]}"#, r#"{"acks":[0],"more":1}"#] {
        assert_eq!(post(&splunk, ACK, &[AUTH, CHANNEL], query).await.json()["code"], 6, "{query}");
    }
    post(&splunk, EVENT, &[AUTH, CHANNEL], object("a")).await;
    splunk.forget_acks();
    assert_eq!(post(&splunk, ACK, &[AUTH, CHANNEL], r#"{"acks":[0]}"#).await.json()["acks"]["0"], false);
}

#[tokio::test]
async fn counting_keeps_nothing_but_totals() {
    let receiver = ReceiverOptions { recording: Recording::Counts, ..ReceiverOptions::default() };
    let splunk = Splunk::start(SplunkOptions { receiver, ..SplunkOptions::new(TOKEN) }).await.unwrap();
    assert_eq!(post(&splunk, EVENT, &[AUTH], format!("{}\n{}", object("a"), object("b"))).await.status, 200);
    assert_eq!(post(&splunk, EVENT, &[("authorization", "Splunk other")], object("c")).await.status, 403);
    let counts = splunk.counts();
    assert_eq!((counts.requests, counts.events), (2, 2));
    assert_eq!((splunk.requests().len(), splunk.events().len()), (0, 0));
}

#[tokio::test]
async fn a_poison_event_ends_the_batch_where_it_stands() {
    for (code, number) in [(6, 1), (7, 2), (15, 1)] {
        let splunk = splunk().await;
        let poison = Fault::Poison { code, text: r#""event_id":"b""#.to_owned() };
        splunk.always(Endpoint::Event, Behaviour::fault(poison));
        let answer = post(&splunk, EVENT, &[AUTH], format!("{}{}{}", object("a"), object("b"), object("c"))).await;
        assert_eq!((answer.json()["code"].as_u64(), answer.status), (Some(code.into()), 400));
        assert_eq!(answer.json()["invalid-event-number"].as_u64(), Some(number), "code 7 reports one too high");
        let rest = post(&splunk, EVENT, &[AUTH], object("c")).await;
        assert_eq!(rest.status, 200);
        assert_eq!(splunk.event_ids().into_keys().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(splunk.violations(), []);
    }
}
