//! Looks are made by hand, over the reference store and a clock that the test moves.

use toktra_siem_base::clock::ManualClock;
use toktra_siem_base::random::SeededRandom;
use toktra_siem_core::breaker::{Breaker, OpenKind};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::ManagedBy;
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{ConnectorId, Revision, Seq};
use toktra_siem_core::outage::WORTH_AN_ALERT;
use toktra_siem_dispatch::warnings::Warnings;
use toktra_siem_platform::Registry;
use toktra_siem_platform::splunk::Splunk;
use toktra_siem_store::conformance::Owner;
use toktra_siem_store::memory::Memory;
use toktra_siem_store::{
    AuditEntry, Change, ConfigStore as _, ConnectorRecord, ConnectorSave, DeliveryStore as _, EventLog as _, Lease,
    OrgRecord, OrgStore as _, ReadLimit, Resume,
};
use uuid::Uuid;

use super::*;

pub(crate) const START: Timestamp = Timestamp(1_736_937_012_345);
pub(crate) const ORG: OrgId = OrgId(Uuid::from_u128(1));
pub(crate) const CONNECTOR: ConnectorId = ConnectorId(Uuid::from_u128(2));
const ALERTS: Wanted = Wanted { heartbeat: None, alerts: true };

pub(crate) struct World {
    pub(crate) store: Arc<Memory>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) warnings: Arc<Warnings>,
    pub(crate) own: OwnEvents,
    /// Takes streams over.
    pub(crate) owner: Owner,
}

pub(crate) fn audit() -> AuditEntry {
    AuditEntry { at: START, actor: "test".into(), action: "test".into(), object: String::new(), detail: Value::Null }
}

impl World {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let told = Arc::clone(&clock);
        let store = Arc::new(Memory::new(Arc::new(move || told.now())));
        let org = OrgRecord { id: ORG, name: "Acme".into(), is_default: true, created_at: START };
        store.create_org(Change { value: org, audit: audit() }).await.unwrap();
        let given = json!({ "hec_url": "https://siem.example:8088", "hec_token": "0000-1111" });
        let (settings, _) = Registry::standard().parse_new(Splunk::ID, &given).unwrap();
        let connector = Connector {
            id: CONNECTOR,
            org: ORG,
            name: "Prod \"Splunk\"".into(),
            settings,
            filter: Filter::default(),
            active: true,
            activated: false,
            managed_by: ManagedBy::Api,
            revision: Revision(1),
            created_at: START,
            updated_at: START,
        };
        let record = ConnectorRecord { connector, secrets: Vec::new(), rotation: None };
        store.create_connector(ORG, Change { value: record, audit: audit() }).await.unwrap();
        let warnings = Arc::default();
        let own = Self::started(&store, &clock, &warnings);
        Self { store, clock, warnings, own, owner: Owner::default() }
    }

    fn started(store: &Arc<Memory>, clock: &Arc<ManualClock>, warnings: &Arc<Warnings>) -> OwnEvents {
        let notices = Notices::new(store.clone(), warnings.clone(), Duration::from_hours(720));
        OwnEvents::new(store.clone(), clock.clone(), Arc::new(SeededRandom::new(7)), notices)
    }

    pub(crate) fn restart(&mut self) {
        self.own = Self::started(&self.store, &self.clock, &self.warnings);
    }

    /// What may be written with; the stream is taken over if need be.
    pub(crate) async fn lease(&self) -> Lease {
        let stream = StreamId { connector: CONNECTOR, kind: toktra_siem_core::ids::StreamKind::Events };
        let leased = match self.owner.newest(&*self.store, stream).await {
            Err(StoreError::Fenced) => self.owner.take_over(&*self.store, stream).await,
            leased => leased,
        };
        leased.unwrap().0
    }

    pub(crate) async fn set(&self, breaker: Breaker) {
        let lease = self.lease().await;
        self.store.set_breaker(&lease, breaker).await.unwrap();
    }

    pub(crate) async fn switch(&self, active: bool) {
        let connector = self.store.all_connectors().await.unwrap().remove(0).connector;
        let connector = Connector { active, ..connector };
        let save = ConnectorSave { connector, expected: None, secrets: None, rotation: None, resume: Resume::Backlog };
        self.store.save_connector(ORG, Change { value: save, audit: audit() }).await.unwrap();
    }

    pub(crate) fn open(&self, kind: OpenKind) -> Breaker {
        let now = self.clock.now();
        Breaker::Open {
            kind,
            cause: Cause::new("splunk_4", "The token is invalid."),
            since: now,
            failures: 0,
            probe_at: now,
        }
    }

    /// Every event of the log.
    pub(crate) async fn events(&self) -> Vec<Value> {
        let limit = ReadLimit { events: 100, bytes: usize::MAX };
        let events = self.store.read(ORG, Seq(0), limit).await.unwrap();
        events.iter().map(|event| serde_json::from_slice(&event.payload).unwrap()).collect()
    }
}

#[tokio::test]
async fn a_heartbeat_comes_once_at_each_multiple_of_its_pause() {
    let mut world = World::new().await;
    let wanted = Wanted { heartbeat: Some(Duration::from_mins(1)), alerts: false };
    for _ in 0..3 {
        world.own.look(wanted).await.unwrap();
        world.restart();
    }
    let events = world.events().await;
    assert_eq!(events.len(), 1, "neither a second look nor a restart makes another: {events:?}");
    assert_eq!(events[0]["event_type"], "heartbeat");
    assert_eq!(events[0]["timestamp"], "2025-01-15T10:30:00.000Z");
    assert_eq!(events[0]["summary"], "Toktra is running");
    assert_eq!(events[0]["details"]["every_seconds"], 60);
    world.clock.advance(Duration::from_secs(50));
    world.own.look(wanted).await.unwrap();
    assert_eq!(world.events().await[1]["timestamp"], "2025-01-15T10:31:00.000Z");
}

#[tokio::test]
async fn a_connector_that_stops_and_comes_back_is_told_once_each() {
    let mut world = World::new().await;
    world.own.look(ALERTS).await.unwrap();
    assert!(world.events().await.is_empty());
    world.set(world.open(OpenKind::Misconfigured)).await;
    for _ in 0..2 {
        world.own.look(ALERTS).await.unwrap();
        world.restart();
        world.own.look(ALERTS).await.unwrap();
    }
    let events = world.events().await;
    assert_eq!(events.len(), 1, "{events:?}");
    let (event, details) = (&events[0], &events[0]["details"]);
    assert_eq!((&event["event_type"], &event["severity"]), (&json!("connector_alert"), &json!("high")));
    assert_eq!((&details["state"], &details["connector"]), (&json!("misconfigured"), &json!("Prod \"Splunk\"")));
    assert_eq!(details["cause"]["code"], "splunk_4");
    world.clock.advance(Duration::from_mins(5));
    world.set(Breaker::default()).await;
    world.own.look(ALERTS).await.unwrap();
    world.own.look(ALERTS).await.unwrap();
    let events = world.events().await;
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!((&events[1]["severity"], &events[1]["details"]["state"]), (&json!("low"), &json!("healthy")));
    assert_eq!(events[1]["details"]["down_seconds"], 300);
}

#[tokio::test]
async fn an_endpoint_that_is_down_for_a_moment_is_not_worth_an_alert() {
    let mut world = World::new().await;
    world.set(world.open(OpenKind::Down)).await;
    world.own.look(ALERTS).await.unwrap();
    assert!(world.events().await.is_empty());
    world.clock.advance(WORTH_AN_ALERT);
    world.own.look(ALERTS).await.unwrap();
    let events = world.events().await;
    assert_eq!((events.len(), &events[0]["severity"]), (1, &json!("medium")), "{events:?}");
}

/// Down, then misconfigured, switched off, on again, misconfigured anew before anything arrived (so it was never back), mended.
#[tokio::test]
async fn every_change_is_told_once_whenever_the_service_is_restarted_in_between() {
    // In which of the seven pauses between changes the service looks, and whether it was restarted before.
    for looks in 0..1_u32 << 7 {
        for restarts in [false, true] {
            let mut world = World::new().await;
            let down = world.open(OpenKind::Down);
            let Breaker::Open { since, cause, .. } = down.clone() else { unreachable!() };
            let wrong = Breaker::Open { kind: OpenKind::Misconfigured, cause, since, failures: 9, probe_at: since };
            for step in 0..7 {
                match step {
                    0 => world.set(down.clone()).await,
                    1 => world.clock.advance(WORTH_AN_ALERT),
                    2 => world.set(wrong.clone()).await,
                    3 => world.switch(false).await,
                    4 => world.switch(true).await,
                    5 => world.set(world.open(OpenKind::Misconfigured)).await,
                    _ => world.set(Breaker::default()).await,
                }
                if restarts {
                    world.restart();
                }
                if looks & (1 << step) != 0 || step == 6 {
                    world.own.look(ALERTS).await.unwrap();
                }
                world.clock.advance(Duration::from_secs(7));
            }
            world.restart();
            world.own.look(ALERTS).await.unwrap();
            let events = world.events().await;
            let states: Vec<&str> = events.iter().map(|event| event["details"]["state"].as_str().unwrap()).collect();
            let expected = ["degraded", "misconfigured", "misconfigured", "healthy"];
            assert_eq!(states, expected, "looks {looks:b}, restarts {restarts}");
        }
    }
}

/// The process was killed after the event was on disk and before that was noted; it is started again two days later.
#[tokio::test]
async fn an_alert_that_is_in_the_log_is_not_made_again() {
    let mut world = World::new().await;
    world.set(world.open(OpenKind::Misconfigured)).await;
    let connector = world.store.all_connectors().await.unwrap().remove(0).connector;
    let record = world.store.overview().await.unwrap().remove(0).record;
    let alert = record.outages[0].alerts(world.clock.now()).remove(0);
    world.own.say(&connector, &record, &record.outages[0], &alert).await.unwrap();
    world.clock.advance(Duration::from_hours(48));
    world.restart();
    world.own.look(ALERTS).await.unwrap();
    assert_eq!(world.events().await.len(), 1);
    assert!(world.store.overview().await.unwrap()[0].record.outages[0].told == 1);
}

#[tokio::test]
async fn what_was_over_before_alerts_were_wanted_is_not_told() {
    let mut world = World::new().await;
    world.set(world.open(OpenKind::Misconfigured)).await;
    world.set(Breaker::default()).await;
    world.own.look(Wanted { alerts: false, ..ALERTS }).await.unwrap();
    world.own.look(ALERTS).await.unwrap();
    assert!(world.events().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_made_where_nothing_is_switched_on() {
    let world = World::new().await;
    world.set(world.open(OpenKind::Misconfigured)).await;
    let World { store, clock, warnings, own, owner } = world;
    let node = Node::join(store.clone(), clock.clone(), Arc::new(SeededRandom::new(8)), "test".into()).await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(own.run(Wanted { heartbeat: None, alerts: false }, node, stop.clone()));
    tokio::time::sleep(EVERY * 2).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    let own = World { own: World::started(&store, &clock, &warnings), store, clock, warnings, owner };
    assert!(own.events().await.is_empty());
}
