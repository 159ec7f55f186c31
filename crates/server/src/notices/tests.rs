//! What is noted, and who is told of it: looks are made by hand, over the reference store and a clock that the test moves.

use std::time::Duration;

use serde_json::{Map, Value, json};
use toktra_siem_core::breaker::{Breaker, OpenKind};
use toktra_siem_core::event::intake::{Intake, OrgRule, normalise};
use toktra_siem_core::ids::{ApiKeyId, ChannelId, EventId, StreamId, StreamKind};
use toktra_siem_core::notice::{Acknowledgement, ChannelKind, Topic};
use toktra_siem_core::outage::WORTH_AN_ALERT;
use toktra_siem_core::people::Scope;

use toktra_siem_store::{
    ApiKeyRecord, Change, Channel, ChannelRecord, ChannelStore as _, ConfigStore as _, ConnectorSave, EventLog as _,
    Failing, NoticeStore as _, OrgStore as _, Progress, Resume,
};
use uuid::Uuid;

use crate::own_events::Wanted;
use crate::own_events::tests::{CONNECTOR, ORG, START, World, audit};

mod ends;

const QUIET: Wanted = Wanted { heartbeat: None, alerts: false };
const DAY: Duration = Duration::from_hours(24);

/// A world with a channel.
async fn world() -> World {
    let world = World::new().await;
    make_channel(&world).await;
    world
}

fn channel() -> Channel {
    Channel {
        id: ChannelId(Uuid::from_u128(5)),
        org: ORG,
        name: "SOC".into(),
        kind: ChannelKind::Email,
        config: Map::from_iter([("to".to_owned(), json!(["soc@company.com"]))]),
        events: Topic::ALL.to_vec(),
        active: true,
        created_at: START,
        updated_at: START,
    }
}

async fn make_channel(world: &World) {
    let record = ChannelRecord { channel: channel(), secrets: Vec::new(), told_to: 0, progress: Progress::default() };
    world.store.create_channel(ORG, Change { value: record, audit: audit() }).await.unwrap();
}

/// A key that is valid for so long.
fn key(valid: Duration) -> ApiKeyRecord {
    ApiKeyRecord {
        id: ApiKeyId(Uuid::from_u128(9)),
        org: Some(ORG),
        name: "producer".into(),
        prefix: "tk_12345".into(),
        hash: [7; 32],
        scopes: vec![Scope::EventsWrite],
        created_at: START,
        expires_at: Some(START.plus(valid)),
        created_by: None,
        last_used_at: None,
    }
}

/// Looks, before and after a restart.
async fn look(world: &mut World) {
    world.own.look(QUIET).await.unwrap();
    world.restart();
    world.own.look(QUIET).await.unwrap();
}

/// What was noted so far: topics and sentences.
async fn noted(world: &World) -> Vec<(Topic, String)> {
    let all = world.store.noted(ORG, 0, 100).await.unwrap();
    all.into_iter().map(|(_, notice)| (notice.topic, format!("{} {}", notice.subject, notice.what))).collect()
}

async fn topics(world: &World) -> Vec<Topic> {
    noted(world).await.into_iter().map(|(topic, _)| topic).collect()
}

fn stream() -> StreamId {
    StreamId { connector: CONNECTOR, kind: StreamKind::Events }
}

async fn accept(world: &World, count: usize) {
    for n in 0..count {
        let body = json!({ "event_type": "anomaly", "severity": "high" }).to_string();
        let fresh_id = || EventId(Uuid::from_u64_pair(world.clock.now().0.cast_unsigned(), n as u64));
        let intake = Intake { org: OrgRule::Only(ORG), now: world.clock.now(), fresh_id: &fresh_id };
        let event = normalise(body.as_bytes(), &intake).unwrap();
        world.store.append(vec![event]).await.unwrap();
    }
}

use toktra_siem_base::clock::Clock as _;

#[tokio::test]
async fn an_outage_is_noted_once_with_its_end_over_restarts() {
    let mut world = world().await;
    world.set(world.open(OpenKind::Down)).await;
    look(&mut world).await;
    assert_eq!(topics(&world).await, [], "for a moment");
    world.clock.advance(WORTH_AN_ALERT);
    look(&mut world).await;
    look(&mut world).await;
    assert_eq!(
        noted(&world).await,
        [(Topic::Down, "Prod \"Splunk\" does not answer since 2025-01-15 10:30 UTC".to_owned())]
    );
    let (_, notice) = world.store.noted(ORG, 0, 1).await.unwrap().remove(0);
    assert_eq!(
        (notice.cause.as_str(), notice.path),
        ("The token is invalid.", format!("/integrations/siem/{CONNECTOR}"))
    );
    world.clock.advance(Duration::from_mins(70));
    world.set(Breaker::default()).await;
    look(&mut world).await;
    let all = world.store.noted(ORG, 1, 9).await.unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0].1.topic, Topic::Recovered);
    assert_eq!(all[0].1.what, "accepts events again since 2025-01-15 11:41 UTC, after 1 h 11 min");
    assert_eq!(all[0].1.thread, notice.thread, "PagerDuty resolves what was triggered");
    // Another one is another.
    world.set(world.open(OpenKind::Misconfigured)).await;
    look(&mut world).await;
    assert_eq!(topics(&world).await, [Topic::Down, Topic::Recovered, Topic::Misconfigured]);
}

#[tokio::test]
async fn nothing_is_noted_of_a_short_outage_or_without_a_channel() {
    let mut quiet = World::new().await;
    quiet.set(quiet.open(OpenKind::Misconfigured)).await;
    look(&mut quiet).await;
    assert_eq!(topics(&quiet).await, []);
    let mut world = world().await;
    world.set(world.open(OpenKind::Down)).await;
    look(&mut world).await;
    world.set(Breaker::default()).await;
    look(&mut world).await;
    assert_eq!(topics(&world).await, []);
}

#[tokio::test]
async fn an_outage_that_goes_on_is_told_again_each_day() {
    let mut world = world().await;
    world.set(world.open(OpenKind::Misconfigured)).await;
    for _ in 0..5 {
        look(&mut world).await;
        world.clock.advance(DAY / 2);
    }
    let noted = noted(&world).await;
    let again = "Prod \"Splunk\" still refuses its events since 2025-01-15 10:30 UTC".to_owned();
    assert_eq!(noted[1..], [(Topic::Misconfigured, again.clone()), (Topic::Misconfigured, again)]);
}

#[tokio::test]
async fn what_somebody_said_of_an_outage_does_not_silence_the_next_one() {
    let mut world = world().await;
    world.set(world.open(OpenKind::Misconfigured)).await;
    let (at, until) = (world.clock.now(), START.plus(Duration::from_hours(4)));
    let known = Acknowledgement { note: "INC-7".into(), until, by: "jo".into(), at, outage: Some(START) };
    world.store.acknowledge(ORG, CONNECTOR, Change { value: Some(known), audit: audit() }).await.unwrap();
    look(&mut world).await;
    assert_eq!(topics(&world).await, [], "somebody knows of it");
    world.set(Breaker::default()).await;
    look(&mut world).await;
    world.clock.advance(Duration::from_mins(30));
    world.set(world.open(OpenKind::Misconfigured)).await;
    look(&mut world).await;
    assert_eq!(topics(&world).await, [Topic::Misconfigured], "nobody knows of this one");
}

#[tokio::test]
async fn what_somebody_knows_is_told_when_their_time_is_over_and_not_before() {
    let mut world = world().await;
    let until = START.plus(Duration::from_hours(4));
    let known = Acknowledgement { note: "CHG-123".into(), until, by: "jo".into(), at: START, outage: None };
    world.store.acknowledge(ORG, CONNECTOR, Change { value: Some(known.clone()), audit: audit() }).await.unwrap();
    world.set(world.open(OpenKind::Misconfigured)).await;
    for _ in 0..3 {
        look(&mut world).await;
        world.clock.advance(Duration::from_hours(1));
    }
    assert_eq!(topics(&world).await, []);
    world.clock.advance(Duration::from_hours(1));
    look(&mut world).await;
    assert_eq!(topics(&world).await, [Topic::Misconfigured]);
    // The end of what was told is told, whatever somebody knows.
    let known = Acknowledgement { until: until.plus(DAY), ..known };
    world.store.acknowledge(ORG, CONNECTOR, Change { value: Some(known), audit: audit() }).await.unwrap();
    world.set(Breaker::default()).await;
    look(&mut world).await;
    assert_eq!(topics(&world).await, [Topic::Misconfigured, Topic::Recovered]);
    // Of what nobody was told the end is not told, either.
    world.set(world.open(OpenKind::Misconfigured)).await;
    look(&mut world).await;
    world.set(Breaker::default()).await;
    look(&mut world).await;
    assert_eq!(topics(&world).await.len(), 2);
}

#[tokio::test]
async fn a_save_that_ends_an_outage_is_no_recovery_until_something_arrives() {
    let mut world = world().await;
    world.set(world.open(OpenKind::Misconfigured)).await;
    look(&mut world).await;
    world.clock.advance(Duration::from_mins(1));
    world.switch(true).await;
    look(&mut world).await;
    assert_eq!(topics(&world).await, [Topic::Misconfigured], "it is tried again, which is not yet to deliver");
}

#[tokio::test]
async fn events_that_expire_soon_are_told_of_each_day_and_before_they_are_lost() {
    let mut world = world().await;
    accept(&world, 3).await;
    world.set(world.open(OpenKind::Down)).await;
    world.clock.advance(DAY * 28);
    look(&mut world).await;
    assert!(!topics(&world).await.contains(&Topic::Expiring));
    world.clock.advance(DAY + Duration::from_mins(1));
    look(&mut world).await;
    let expiring: Vec<String> =
        noted(&world).await.into_iter().filter(|(topic, _)| *topic == Topic::Expiring).map(|(_, what)| what).collect();
    assert_eq!(expiring, ["Prod \"Splunk\" has events that are deleted undelivered from 2025-02-14 10:30 UTC on"]);
}

#[tokio::test]
async fn a_stream_that_stands_still_although_its_siem_answers_is_told_of() {
    let mut world = world().await;
    accept(&world, 1).await;
    world.clock.advance(Duration::from_mins(14));
    look(&mut world).await;
    assert_eq!(topics(&world).await, []);
    world.clock.advance(Duration::from_mins(2));
    look(&mut world).await;
    look(&mut world).await;
    assert_eq!(topics(&world).await, [Topic::Stalled]);
    world.switch(false).await;
    world.clock.advance(Duration::from_hours(1));
    look(&mut world).await;
    assert_eq!(
        topics(&world).await,
        [Topic::Stalled, Topic::Recovered],
        "a connector that is paused stands still by itself"
    );
}

#[tokio::test]
async fn silence_of_a_producer_that_had_sent_events_is_told_of() {
    let mut world = world().await;
    world.clock.advance(DAY * 3);
    look(&mut world).await;
    assert_eq!(topics(&world).await, [], "nothing ever came");
    accept(&world, 1).await;
    let beating = Wanted { heartbeat: Some(Duration::from_mins(1)), alerts: false };
    for _ in 0..3 {
        world.clock.advance(DAY / 3 + Duration::from_mins(1));
        world.own.look(beating).await.unwrap();
    }
    assert!(topics(&world).await.contains(&Topic::Silence), "a heartbeat of ours is no event of the producer's");
}

#[tokio::test]
async fn keys_and_certificates_that_end_soon_are_told_of_three_times() {
    let mut world = world().await;
    world.store.create_key(Change { value: key(DAY * 20), audit: audit() }).await.unwrap();
    let certificate = rcgen::generate_simple_self_signed(["siem.example".to_owned()]).unwrap().cert.pem();
    let ends = toktra_siem_platform::pem::said(&certificate)[0].not_after.unwrap();
    let mut connector = world.store.all_connectors().await.unwrap().remove(0).connector;
    connector.settings.config.insert("tls_ca".to_owned(), Value::String(certificate));
    let save = ConnectorSave { connector, expected: None, secrets: None, rotation: None, resume: Resume::Backlog };
    world.store.save_connector(ORG, Change { value: save, audit: audit() }).await.unwrap();
    for days in [1, 6, 11, 2, 1, 1, 5] {
        world.clock.advance(DAY * days);
        look(&mut world).await;
    }
    let keys = topics(&world).await.into_iter().filter(|topic| *topic == Topic::Key).count();
    assert_eq!(keys, 3, "{:?}", noted(&world).await);
    world.warnings.certificate(stream(), Some(ends));
    world.clock.set(ends.minus(DAY * 10));
    look(&mut world).await;
    world.clock.set(ends.plus(DAY));
    look(&mut world).await;
    let told: Vec<String> = noted(&world)
        .await
        .into_iter()
        .filter(|(topic, _)| *topic == Topic::Certificate)
        .map(|(_, what)| what)
        .collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[2].contains("trusts a certificate that expired on"), "{told:?}");
    assert!(told[3].contains("leads to a server whose certificate expired on"), "{told:?}");
}

#[tokio::test]
async fn an_outage_that_people_are_told_of_late_is_told_once_and_of_a_paused_connector_nothing() {
    let mut world = World::new().await;
    world.set(world.open(OpenKind::Misconfigured)).await;
    look(&mut world).await;
    world.clock.advance(DAY * 3);
    make_channel(&world).await;
    look(&mut world).await;
    look(&mut world).await;
    assert_eq!(topics(&world).await, [Topic::Misconfigured]);
    // A paused connector is its owner's, and nobody else can become so.
    world.lease().await;
    world.switch(false).await;
    world.set(world.open(OpenKind::Misconfigured)).await;
    world.clock.advance(DAY * 2);
    look(&mut world).await;
    assert_eq!(topics(&world).await, [Topic::Misconfigured, Topic::Recovered], "somebody paused it");
}

#[test]
fn those_that_work_are_due_and_after_a_start_all_are() {
    let at = |seconds| START.plus(Duration::from_secs(seconds));
    let failing = |seconds| {
        let cause = toktra_siem_core::cause::Cause::new("x", "x");
        Some(Failing { since: START, at: at(seconds), attempts: 1, next: at(3000), cause })
    };
    let record = |active, failing| {
        let channel = Channel { active, ..channel() };
        let progress = Progress { failing, ..Progress::default() };
        ChannelRecord { channel, secrets: Vec::new(), told_to: 0, progress }
    };
    let is_due = |record: &ChannelRecord| super::send::is_due(record, at(100), at(200));
    assert!(is_due(&record(true, None)) && !is_due(&record(false, None)));
    assert!(is_due(&record(true, failing(50))), "it was tried before this process began");
    assert!(!is_due(&record(true, failing(150))));
}

#[test]
fn pauses_after_failures_double_up_to_an_hour() {
    use toktra_siem_core::cause::Cause;
    use toktra_siem_notify::NotTold;
    let why = |needs_a_person, pause| NotTold { cause: Cause::new("x", "x"), needs_a_person, pause };
    let mut failing = None;
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let next = super::send::failing(failing.as_ref(), why(false, None), START);
        pauses.push(next.next.since(START).as_secs());
        failing = Some(next);
    }
    assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
    let asked = super::send::failing(None, why(false, Some(Duration::from_mins(5))), START);
    assert_eq!(asked.next.since(START), Duration::from_mins(5));
    assert_eq!(super::send::failing(None, why(true, None), START).next.since(START), Duration::from_hours(1));
}
