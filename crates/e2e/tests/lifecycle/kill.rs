//! SIGKILL at random moments while events flow to all three platforms: no promise is broken, nothing is invented or changed, and only what
//! was in flight at a kill arrives twice.

use std::collections::BTreeMap;

use bytes::Bytes;
use toktra_siem_fake::datadog::Datadog;
use toktra_siem_fake::{Receiver, Rules};
use toktra_siem_sim::kill::{KillPlan, run};
use toktra_siem_sim::oracle::{Arrived, Oracle};
use toktra_siem_sim::seed;
use toktra_siem_testkit::prelude::*;

/// How often the server is killed.
const KILLS: u32 = 20;
/// Requests of a stream that may be in flight (configuration reference, `max_in_flight`).
const IN_FLIGHT: u64 = 16;
/// The first member of an event as the producer makes it: where an entry's own members begin.
const FIRST_MEMBER: &[u8] = b"\"event_id\":";

/// What a receiver got: how often each event, and the stored form that `stored` finds in what was sent.
fn arrived<R: Rules>(receiver: &Receiver<R>, stored: impl Fn(&[u8]) -> Bytes) -> Arrived {
    let mut arrived = Arrived { times: receiver.event_ids(), bytes: BTreeMap::new() };
    for event in receiver.events() {
        let (id, bytes) = (event.event_id.unwrap(), stored(&event.event));
        if let Some(before) = arrived.bytes.insert(id.clone(), bytes) {
            assert_eq!(arrived.bytes[&id], before, "a repetition is another event");
        }
    }
    arrived
}

/// The stored form, where the platform's own members stand before the event's.
fn behind_own_members(sent: &[u8]) -> Bytes {
    let at = sent.windows(FIRST_MEMBER.len()).position(|bytes| bytes == FIRST_MEMBER).unwrap();
    [b"{", &sent[at..]].concat().into()
}

/// The same without the message, which Datadog's entries have before the summary.
fn without_message(sent: &[u8]) -> Bytes {
    let stored = String::from_utf8(behind_own_members(sent).to_vec()).unwrap();
    let (before, message) = stored.split_once("\"message\":").unwrap();
    let summary = message.find("\"summary\":").unwrap();
    [before, &message[summary..]].concat().into()
}

/// The most events that one request brought.
fn largest_batch<R: Rules>(receiver: &Receiver<R>) -> u64 {
    let positions = receiver.events().into_iter().map(|event| event.position as u64 + 1);
    positions.max().unwrap_or(0)
}

/// The promise for one receiver: everything arrives, unchanged, and no more often than is explained.
fn kept<R: Rules>(name: &str, receiver: &Receiver<R>, oracle: &Oracle, stored: impl Fn(&[u8]) -> Bytes) -> Arrived {
    let arrived = arrived(receiver, stored);
    let findings = oracle.judge(&arrived);
    println!("{name}: {} events, {} duplicates", arrived.times.len(), findings.duplicates);
    assert!(findings.missing.is_empty(), "{name}: {} missing: {:?}", findings.missing.len(), findings.missing);
    assert!(findings.invented.is_empty(), "{name}: invented {:?}", findings.invented);
    assert!(findings.changed.is_empty(), "{name}: changed {:?}", findings.changed);
    let bound = u64::from(KILLS) * IN_FLIGHT * largest_batch(receiver);
    assert!(findings.duplicates <= bound, "{name}: {} duplicates, {bound} are explained", findings.duplicates);
    assert!(receiver.violations().is_empty(), "{name}: {:?}", receiver.violations());
    arrived
}

/// The judge would have seen a loss: with one promised event less, it names it.
fn would_be_seen(oracle: &Oracle, mut arrived: Arrived) {
    let promised = oracle.promised_ids().into_iter().next().unwrap();
    arrived.times.remove(&promised);
    assert_eq!(oracle.judge(&arrived).missing, [promised]);
}

/// How many events of each type and severity arrived, as the tags of a series name them.
fn tally(splunk: &Arrived) -> BTreeMap<(String, String), u64> {
    let mut tally = BTreeMap::new();
    for bytes in splunk.bytes.values() {
        let event: Value = serde_json::from_slice(bytes).unwrap();
        let tag = |name: &str| format!("{name}:{}", event[name].as_str().unwrap());
        *tally.entry((tag("event_type"), tag("severity"))).or_default() += 1;
    }
    tally
}

/// The same from the series that Datadog holds: the last value of each second, summed.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of a few thousand events")]
fn counted(datadog: &Datadog) -> BTreeMap<(String, String), u64> {
    let mut counted = BTreeMap::new();
    for (key, points) in datadog.series() {
        assert_eq!(key.metric, "toktra.security.events");
        let tag = |name: &str| key.tags.iter().find(|tag| tag.starts_with(name)).unwrap().clone();
        let sum: f64 = points.values().sum();
        *counted.entry((tag("event_type:"), tag("severity:"))).or_default() += sum as u64;
    }
    counted
}

/// Every stream accounts for every event that the server has, and for no other.
async fn each_stream_delivered(org: &Org, events: usize) {
    for connector in org.connectors().await {
        for stream in connector.accounts().await {
            assert_eq!(stream["delivered"].as_u64(), Some(events as u64), "{}: {stream}", connector.created["name"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_promise_is_broken_by_kills() {
    let platforms = Siems::start().await;
    let setup = described(setup(), &platforms.all()).env("SIEM_SIGNING_SECRET", "a-signing-secret-of-some-length");
    let mut world = World::with(setup).await;
    world.stop().await;

    let plan = KillPlan { seed: seed::of_run(), kills: KILLS, producers: 3, life: (1, 80) };
    let (server, oracle) = run(world.setup(), &world.id, plan).await;
    world.adopt(server);
    assert!(oracle.promises() > 100, "{} promises are too few to show anything", oracle.promises());
    world.all_arrived().await;

    let splunk = kept("Splunk", &platforms.splunk, &oracle, Bytes::copy_from_slice);
    let logs = kept("Datadog", &platforms.datadog, &oracle, without_message);
    let documents = kept("Elasticsearch", &platforms.elasticsearch, &oracle, behind_own_members);
    assert_eq!((splunk.times.len(), splunk.times.len()), (logs.times.len(), documents.times.len()));
    assert!(documents.times.values().all(|times| *times == 1), "a document was made twice");
    let stored: usize = platforms.elasticsearch.documents().values().map(BTreeMap::len).sum();
    assert_eq!(stored, documents.times.len());
    assert_eq!(counted(&platforms.datadog), tally(&splunk), "each event is counted exactly once");
    each_stream_delivered(&world, splunk.times.len()).await;
    would_be_seen(&oracle, splunk);
    world.end().await;
}
