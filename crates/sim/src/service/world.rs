//! The world of one run: a store, processes, SIEMs and producers, and what befalls them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;
use toktra_siem_base::clock::Clock;
use toktra_siem_core::connector::{Connector, ManagedBy};
use toktra_siem_core::event::intake::{Intake, OrgRule, normalise};
use toktra_siem_core::event::{EventType, NewEvent, Severity};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{ConnectorId, EventId, OrgId, PlatformId, Revision, Seq};
use toktra_siem_core::time::Timestamp;
use toktra_siem_platform::Registry;
use toktra_siem_store::aging::{Aging, ClockTrust};
use toktra_siem_store::memory::{Broken, Memory};
use toktra_siem_store::{
    Appended, AuditEntry, Change, ConfigStore as _, ConnectorRecord, ConnectorSave, EventLog as _, OrgRecord,
    OrgStore as _, Resume, Retention,
};
use uuid::Uuid;

use super::node::{Process, Shared};
use super::plan::{CONNECTORS, Deed, Dice, Mood, ORGS, Plan};
use super::siem::{Kind, Siem, TOKEN};

/// 2025-01-15T10:30:00Z.
const START: Timestamp = Timestamp(1_736_937_000_000);
/// How long payloads are kept.
const KEPT: Duration = Duration::from_hours(30 * 24);
/// How often retention looks.
const RETENTION: Duration = Duration::from_mins(5);
/// After all is whole again, everything has to be where it belongs within this: the longest pause between two probes, and some for the backlog.
const HEALED: Duration = Duration::from_mins(15);

/// Time that passes as tokio's does, but for what somebody set.
struct SimClock {
    since: Instant,
    /// Milliseconds.
    off: AtomicI64,
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp(START.plus(self.since.elapsed()).0 + self.off.load(Ordering::SeqCst))
    }
}

/// An event that was posted.
pub(super) struct Posted {
    pub(super) org: usize,
    pub(super) id: EventId,
    pub(super) seq: Seq,
    pub(super) payload: Bytes,
    /// The connectors that were to forward it when it was accepted.
    pub(super) to: BTreeSet<usize>,
    /// It was damaged.
    pub(super) damaged: bool,
}

/// Everything.
pub(super) struct World {
    pub(super) store: Arc<Memory>,
    pub(super) shared: Arc<Shared>,
    clock: Arc<SimClock>,
    aging: Aging,
    dice: Dice,
    processes: Vec<Process>,
    started: u64,
    /// Which connectors forward only what is high.
    strict: BTreeSet<usize>,
    pub(super) posted: Vec<Posted>,
    /// Nodes that came to an end in the middle of something, and moments in which the store took nothing.
    pub(super) interruptions: u64,
    pub(super) ended: u64,
    /// What was found on the way.
    pub(super) found: Vec<String>,
}

pub(super) fn org_id(org: usize) -> OrgId {
    OrgId(Uuid::from_u128(1 + org as u128))
}

fn audit() -> AuditEntry {
    AuditEntry { at: START, actor: "sim".into(), action: "sim".into(), object: String::new(), detail: Value::Null }
}

impl World {
    /// Orgs, connectors, a SIEM for each, and one node.
    pub(super) async fn new(seed: u64) -> Self {
        let clock = Arc::new(SimClock { since: Instant::now(), off: AtomicI64::new(0) });
        let wall = {
            let clock = Arc::clone(&clock);
            Arc::new(move || clock.now())
        };
        let store = Arc::new(Memory::new(wall.clone()));
        let registry = Registry::standard();
        for org in 0..ORGS {
            let value =
                OrgRecord { id: org_id(org), name: format!("org {org}"), is_default: org == 0, created_at: START };
            store.create_org(Change { value, audit: audit() }).await.expect("an org");
        }
        let mut siems = Vec::new();
        for number in 0..CONNECTORS {
            let siem = Arc::new(Siem::new(number, seed.wrapping_mul(31).wrapping_add(number as u64)));
            let (platform, config) = settings(&siem, number);
            let (settings, _) = registry.parse_new(platform, &config).expect("settings");
            let id = ConnectorId(Uuid::from_u128(100 + number as u128));
            let connector = Connector {
                id,
                org: org_id(number % ORGS),
                name: format!("connector {number}"),
                settings,
                filter: Filter::default(),
                active: true,
                activated: false,
                managed_by: ManagedBy::Api,
                revision: Revision(1),
                created_at: START,
                updated_at: START,
            };
            let value = ConnectorRecord { connector, secrets: vec![], rotation: None };
            store.create_connector(org_id(number % ORGS), Change { value, audit: audit() }).await.expect("a connector");
            siems.push((id, siem));
        }
        let shared = Arc::new(Shared { store: store.clone(), clock: clock.clone(), registry, siems });
        let mut world = Self {
            aging: Aging::new(wall, ClockTrust::Steady, Some(START)),
            store,
            shared,
            clock,
            dice: Dice::new(seed),
            processes: Vec::new(),
            started: 0,
            strict: BTreeSet::new(),
            posted: Vec::new(),
            interruptions: 0,
            ended: 0,
            found: Vec::new(),
        };
        world.join().await;
        world
    }

    /// Everything that the plan says.
    pub(super) async fn suffer(&mut self, plan: &Plan) {
        for (at, deed) in &plan.deeds {
            self.until(*at).await;
            self.befalls(*deed).await;
        }
    }

    /// All that was broken is whole again, and some time passes.
    pub(super) async fn heal(&mut self) {
        self.clock.off.store(0, Ordering::SeqCst);
        self.store.fill(false);
        self.processes.iter().for_each(|process| self.store.let_in(process.id()));
        for (_, siem) in &self.shared.siems {
            // Slow is not broken: within the time that a request has, everything arrives.
            siem.becomes(if self.dice.once_in(3) { Mood::Slow(self.dice.below(20_000)) } else { Mood::Well });
        }
        for connector in 0..CONNECTORS {
            self.save(connector, |saved| saved.active = true).await;
        }
        if self.processes.is_empty() {
            self.join().await;
        }
        let end = self.clock.since.elapsed() + HEALED;
        self.until(end).await;
    }

    /// Lets time pass, and retention look when it is its time.
    async fn until(&self, at: Duration) {
        while self.clock.since.elapsed() < at {
            let next = (self.clock.since.elapsed() + RETENTION).min(at);
            tokio::time::sleep_until(self.clock.since + next).await;
            let before = Timestamp(self.aging.now().0 - i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX));
            // Where the store takes nothing at the moment, it does so at the next time.
            let _ = self.store.expire(Retention { payloads_before: before, history_before: before }).await;
        }
    }

    async fn join(&mut self) {
        self.started += 1;
        let number = self.dice.below(1 << 40) + self.started;
        self.processes.push(Process::start(&self.shared, number).await);
    }

    async fn befalls(&mut self, deed: Deed) {
        match deed {
            Deed::Post(org, count) => self.post(org, count).await,
            Deed::Again(org, count) => self.again(org, count).await,
            Deed::Siem(siem, mood) => self.shared.siems[siem].1.becomes(mood),
            Deed::Filter(connector, strict) => {
                let severity = if strict { vec![Severity::High] } else { vec![] };
                self.save(connector, |saved| saved.filter = Filter { severity, event_types: vec![] }).await;
                if strict {
                    self.strict.insert(connector)
                } else {
                    self.strict.remove(&connector)
                };
            }
            Deed::Switch(connector, on) => self.save(connector, |saved| saved.active = on).await,
            Deed::Join if self.processes.len() < 4 => self.join().await,
            Deed::Join => {}
            Deed::Kill(node) => {
                if let Some(process) = self.take(node) {
                    self.interruptions += 1;
                    process.kill().await;
                }
            }
            Deed::Leave(node) => {
                if let Some(process) = self.take(node) {
                    process.leave().await;
                }
            }
            Deed::CutOff(node, seconds) => self.cut_off(node, Duration::from_secs(seconds)),
            Deed::Clock(seconds) => {
                let off = if self.clock.off.load(Ordering::SeqCst) == 0 { seconds * 1_000 } else { 0 };
                self.clock.off.store(off, Ordering::SeqCst);
            }
            Deed::Full(seconds) => {
                self.interruptions += 1;
                self.store.fill(true);
                let store = Arc::clone(&self.store);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                    store.fill(false);
                });
            }
            Deed::Damage(back) => {
                if let Some(at) = self.posted.len().checked_sub(back + 1) {
                    let posted = &mut self.posted[at];
                    posted.damaged = true;
                    self.interruptions += 1;
                    self.store.damage(org_id(posted.org), posted.seq, Broken::Payload);
                }
            }
        }
    }

    /// The process of this number, if it is there and not the last.
    fn take(&mut self, node: usize) -> Option<Process> {
        if self.processes.is_empty() {
            return None;
        }
        self.ended += 1;
        Some(self.processes.remove(node % self.processes.len()))
    }

    fn cut_off(&mut self, node: usize, time: Duration) {
        let Some(process) = (!self.processes.is_empty()).then(|| &self.processes[node % self.processes.len()]) else {
            return;
        };
        self.interruptions += 1;
        let (id, store) = (process.id(), Arc::clone(&self.store));
        store.cut_off(id);
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            store.let_in(id);
        });
    }

    async fn save(&self, connector: usize, change: impl FnOnce(&mut Connector)) {
        let (org, id) = (org_id(connector % ORGS), self.shared.siems[connector].0);
        let mut connector = self.store.connector(org, id).await.expect("a connector").connector;
        change(&mut connector);
        let value = ConnectorSave { connector, expected: None, secrets: None, rotation: None, resume: Resume::Backlog };
        self.store.save_connector(org, Change { value, audit: audit() }).await.expect("saved");
        self.processes.iter().for_each(|process| process.connector_changed(org, id));
    }

    async fn post(&mut self, org: usize, count: usize) {
        let events: Vec<_> = (0..count).map(|_| self.event(org)).collect();
        let kept: Vec<_> = events.iter().map(|event| (event.event_id, event.payload.clone(), event.severity)).collect();
        // Whoever writes times looks at how time passes, as the writer of the database does.
        self.aging.now();
        let Ok(appended) = self.store.append(events).await else { return };
        for ((id, payload, severity), appended) in kept.into_iter().zip(appended) {
            let Appended::Accepted(seq) = appended else {
                self.found.push(format!("a new event counts as a duplicate: {id:?}"));
                continue;
            };
            let wants = |connector: &usize| severity == Severity::High || !self.strict.contains(connector);
            let to = (0..CONNECTORS).filter(|connector| connector % ORGS == org).filter(wants).collect();
            self.posted.push(Posted { org, id, seq, payload, to, damaged: false });
        }
    }

    async fn again(&mut self, org: usize, count: usize) {
        let own = self.posted.iter().rev().filter(|posted| posted.org == org && !posted.damaged).take(count);
        // While the clock is far behind, the API refuses what has a later time.
        let taken =
            |posted: &Posted| Some((posted.seq, taken_in(&posted.payload, org, posted.id, self.shared.clock.now())?));
        let (known, events): (Vec<_>, Vec<_>) = own.filter_map(taken).unzip();
        if events.is_empty() {
            return;
        }
        let Ok(appended) = self.store.append(events).await else { return };
        for (known, appended) in known.into_iter().zip(appended) {
            if !matches!(appended, Appended::Duplicate { seq, .. } if seq == known) {
                self.found.push(format!("an event that is known was accepted again: {appended:?} for {known:?}"));
            }
        }
    }

    fn event(&self, org: usize) -> NewEvent {
        let (now, dice) = (self.shared.clock.now(), &self.dice);
        let id = EventId(Uuid::from_u128(u128::from(dice.below(u64::MAX)) << 64 | u128::from(dice.below(u64::MAX))));
        let severity = if dice.once_in(2) { Severity::High } else { Severity::Low };
        let details = json!({ "n": dice.below(1_000), "text": "x".repeat(dice.index(if dice.once_in(20) { 60_000 } else { 300 })) });
        let user = (!dice.once_in(3)).then_some("u-1");
        let event =
            json!({ "event_type": EventType::Anomaly, "severity": severity, "details": details, "user_id": user });
        taken_in(event.to_string().as_bytes(), org, id, now).expect("a valid event")
    }
}

/// As the API takes an event in; `None` if it refuses it.
fn taken_in(raw: &[u8], org: usize, id: EventId, now: Timestamp) -> Option<NewEvent> {
    let intake = Intake { org: OrgRule::Only(org_id(org)), now, fresh_id: &|| id };
    normalise(raw, &intake).ok()
}

/// The platform and the settings of a connector to this SIEM.
fn settings(siem: &Siem, number: usize) -> (PlatformId, Value) {
    match siem.kind() {
        Kind::Splunk(_) => {
            let config = json!({ "hec_url": format!("https://splunk-{number}.example:8088"), "hec_token": TOKEN });
            (PlatformId::fixed("splunk"), config)
        }
        Kind::Elasticsearch(_) => (
            PlatformId::fixed("elasticsearch"),
            json!({ "url": format!("https://elasticsearch-{number}.example:9200") }),
        ),
        Kind::Webhook(_) => {
            let config = json!({ "url": format!("https://receiver-{number}.example/hook"), "format": "array" });
            (PlatformId::fixed("webhook"), config)
        }
    }
}
