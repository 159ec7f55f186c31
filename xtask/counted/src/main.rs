//! The pure code that every event passes, in a program as small as can be, whose instructions are counted (`cargo xtask counts`).
//!
//! `counted` prints the names of its cases, `counted <case> <times>` runs one. Inputs are fixed; what is made once is made before, so
//! that the difference between two runs is that of the calls alone.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use secrecy::SecretString;
use serde_json::json;
use toktra_siem_core::connector::Credentials;
use toktra_siem_core::event::body::{BodyFormat, split_body};
use toktra_siem_core::event::intake::{Intake, OrgRule, Room, normalise_in};
use toktra_siem_core::event::{EventType, NewEvent, Severity, StoredEvent};
use toktra_siem_core::filter::{Filter, FilterTimeline, FilterVersion};
use toktra_siem_core::ids::{ConnectorId, DeliveryId, EventId, OrgId, PlatformId, Revision, Seq, StreamKind};
use toktra_siem_core::signing::{SignedRequest, SigningKeys};
use toktra_siem_core::time::Timestamp;
use toktra_siem_platform::destination::{Batch, Destination, OutboundRequest, Reply};
use toktra_siem_platform::elasticsearch::Elasticsearch;
use toktra_siem_platform::registry::Registry;
use toktra_siem_platform::splunk::Splunk;
use toktra_siem_store::EventRecord;
use toktra_siem_store::batch;
use uuid::Uuid;

#[path = "../../src/bench/event.rs"]
mod event;

/// One call of what is counted.
type Call = Box<dyn FnMut()>;

/// What is counted: a name, and what makes a call.
type Case = (&'static str, fn() -> Call);

const CASES: &[Case] = &[
    ("intake_single", || intake(1)),
    ("intake_hundred", || intake(HUNDRED)),
    ("seal", seal),
    ("batch_write", batch_write),
    ("batch_pack", batch_pack),
    ("batch_read", batch_read),
    ("batch_read_packed", batch_read_packed),
    ("hec_encode", hec_encode),
    ("filter", filter),
    ("classify_hec", classify_hec),
    ("classify_bulk", classify_bulk),
];

const HUNDRED: u64 = 100;
/// Size of an event as it was sent.
const BYTES: usize = 800;
const NOW: Timestamp = Timestamp(1_768_500_000_000);
const ORG: OrgId = OrgId(Uuid::from_u128(7));
const CONNECTOR: ConnectorId = ConnectorId(Uuid::from_u128(8));

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [case, times] = arguments.as_slice() else {
        for (name, _) in CASES {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    };
    let found = CASES.iter().find(|(name, _)| name == case).zip(times.parse::<u64>().ok());
    let Some(((_, make), times)) = found else {
        eprintln!("no such case, or no such number: {case} {times}");
        return ExitCode::FAILURE;
    };
    let mut call = make();
    for _ in 0..times {
        call();
    }
    ExitCode::SUCCESS
}

/// A request's body, cut into events and each brought into its stored form.
fn intake(events: u64) -> Call {
    let body = body(events);
    Box::new(move || {
        black_box(stored_forms(black_box(body.as_bytes())));
    })
}

fn body(events: u64) -> String {
    let id = |seed| Uuid::from_u64_pair(1, seed).to_string();
    let one = |seed| event::event(seed, BYTES, &id(seed), None).expect("an event fits into so many bytes");
    let all: Vec<String> = (0..events).map(one).collect();
    if events == 1 { all.concat() } else { format!("[{}]", all.join(",")) }
}

fn stored_forms(body: &[u8]) -> Vec<NewEvent> {
    let fresh_id = || EventId(Uuid::from_u128(9));
    let intake = Intake { org: OrgRule::Only(ORG), now: NOW, fresh_id: &fresh_id };
    let raw = split_body(body, BodyFormat::Json).expect("the body is an array");
    let mut room = Room::new(raw.iter().map(|event| event.bytes.len()).sum());
    raw.iter().map(|event| normalise_in(&mut room, event.bytes, &intake).expect("the events are valid")).collect()
}

/// A hundred events as the log has them.
fn stored() -> Vec<Arc<StoredEvent>> {
    let stored = |(number, event): (u64, NewEvent)| {
        let NewEvent { org, event_id, event_type, severity, event_time, payload, .. } = event;
        let seq = Seq(number + 1);
        Arc::new(StoredEvent { org, seq, event_id, event_type, severity, event_time, accepted_at: NOW, payload })
    };
    (0..).zip(stored_forms(body(HUNDRED).as_bytes())).map(stored).collect()
}

/// The signatures of a request of 32 KiB.
fn seal() -> Call {
    let request = OutboundRequest {
        method: toktra_siem_platform::destination::Method::Post,
        url: "https://splunk.example:8088/services/collector/event".to_owned(),
        secret_url: false,
        headers: Vec::new(),
        body: Bytes::from(vec![b'x'; 32 << 10]),
    };
    let keys =
        SigningKeys { current: Some(SecretString::from("a secret of the usual length, 44 characters.")), next: None };
    Box::new(move || {
        black_box(SignedRequest::seal(request.clone(), &keys, DeliveryId(Uuid::from_u128(3)), NOW));
    })
}

fn records(events: &[Arc<StoredEvent>]) -> Vec<EventRecord> {
    let record = |event: &Arc<StoredEvent>| {
        let StoredEvent { seq, event_id, event_type, severity, event_time, accepted_at, .. } = **event;
        EventRecord { seq, event_id, event_type, severity, event_time, accepted_at }
    };
    events.iter().map(record).collect()
}

fn plain(events: &[Arc<StoredEvent>]) -> Vec<u8> {
    batch::body(events.iter().map(|event| Some((batch::checksum(1, event), &event.payload[..]))))
}

/// Head, checksums and body of a hundred events.
fn batch_write() -> Call {
    let events = stored();
    let records = records(&events);
    Box::new(move || {
        black_box((batch::head(1, black_box(&records)), plain(black_box(&events))));
    })
}

/// The compression of such a body.
fn batch_pack() -> Call {
    let plain = plain(&stored());
    Box::new(move || {
        black_box(batch::packed(plain.clone()));
    })
}

/// The way back, every event held against its checksum.
fn batch_read() -> Call {
    let events = stored();
    read(batch::head(1, &records(&events)), plain(&events))
}

fn batch_read_packed() -> Call {
    let events = stored();
    read(batch::head(1, &records(&events)), batch::packed(plain(&events)))
}

fn read(head: Vec<u8>, body: Vec<u8>) -> Call {
    Box::new(move || {
        let records = batch::read_head(1, Seq(1), black_box(&head)).expect("the head is whole");
        let payloads = batch::read_body(black_box(&body)).expect("the body is whole");
        for (record, payload) in records.into_iter().zip(payloads.into_iter().flatten()) {
            let crc = payload.crc;
            assert_eq!(batch::checksum(1, &record.with_payload(ORG, payload.bytes)), crc, "the event is whole");
        }
    })
}

fn destination(platform: PlatformId, config: &serde_json::Value, credentials: &Credentials) -> Box<dyn Destination> {
    let registry = Registry::standard();
    let (settings, _) = registry.parse_new(platform, config).expect("the settings are valid");
    registry.build(&settings, credentials, ORG, CONNECTOR, StreamKind::Events).expect("there is such a stream")
}

fn hec() -> Box<dyn Destination> {
    let config = json!({"hec_url": "https://splunk.example:8088", "hec_token": "a-token"});
    destination(Splunk::ID, &config, &Credentials::of("hec_token", "a-token".to_owned()))
}

/// The request of a hundred events for Splunk, and the cost of each, which is asked for before.
fn hec_encode() -> Call {
    let (hec, events) = (hec(), stored());
    Box::new(move || {
        black_box(events.iter().map(|event| hec.cost(event)).sum::<usize>());
        black_box(hec.encode(Batch::Events(black_box(&events)), NOW).is_ok());
    })
}

/// What a filter that was changed twice says of a hundred events.
fn filter() -> Call {
    let version = |revision: u32, severity: Vec<Severity>, event_types: Vec<EventType>| FilterVersion {
        revision: Revision(revision),
        effective_from: Seq(u64::from(revision) * 30),
        filter: Filter { severity, event_types },
        send_metrics: true,
        passes_own: false,
    };
    let timeline = FilterTimeline::new(vec![
        version(0, Vec::new(), Vec::new()),
        version(1, vec![Severity::High, Severity::Critical], Vec::new()),
        version(2, vec![Severity::Critical], vec![EventType::Lockout, EventType::Anomaly]),
    ]);
    let events = stored();
    Box::new(move || {
        let judged = events.iter().filter(|event| {
            let version = black_box(&timeline).at(event.seq).expect("the first version is from the start");
            version.refuses(StreamKind::Events, event.event_type, event.severity).is_none()
        });
        black_box(judged.count());
    })
}

fn classify(destination: Box<dyn Destination>, body: String) -> Call {
    let content_type = Some("application/json".to_owned());
    let reply = Reply { status: 200, content_type, body: body.into(), ..Reply::default() };
    Box::new(move || {
        black_box(destination.classify(black_box(&reply), 100, NOW));
    })
}

/// What Splunk's usual answer means.
fn classify_hec() -> Call {
    classify(hec(), r#"{"text":"Success","code":0}"#.to_owned())
}

/// What a node's answer to a hundred events means.
fn classify_bulk() -> Call {
    let config = json!({"url": "https://node.example:9200", "api_key": "a2V5OmtleQ==", "manage_template": false});
    let credentials = Credentials::of("api_key", "a2V5OmtleQ==".to_owned());
    let item = r#"{"create":{"_index":"toktra-security-events-2026.01.15","_id":"a:b","_version":1,"result":"created","_shards":{"total":2,"successful":1,"failed":0},"_seq_no":0,"_primary_term":1,"status":201}}"#;
    let items = vec![item; 100].join(",");
    let answer = format!(r#"{{"took":5,"errors":false,"items":[{items}]}}"#);
    classify(destination(Elasticsearch::ID, &config, &credentials), answer)
}
