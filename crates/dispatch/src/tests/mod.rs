//! The dispatcher in virtual time: the real worker, state machines and destinations over the reference store, with a scripted endpoint.
//! Hours pass in milliseconds, and every pause can be read off exactly.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use toktra_siem_base::clock::Clock;
use toktra_siem_base::random::SeededRandom;
use toktra_siem_core::accounting::Accounting;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::{Connector, Credentials, ManagedBy};
use toktra_siem_core::delivery::{Attempt, Delivery};
use toktra_siem_core::destination::Reply;
use toktra_siem_core::event::{EventType, NewEvent, Severity};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{ConnectorId, EventId, OrgId, PlatformId, Revision, Seq, StreamId, StreamKind};
use toktra_siem_core::signing::{SignedRequest, SigningKeys};
use toktra_siem_core::time::Timestamp;
use toktra_siem_egress::{Stage, StageName, Watch};
use toktra_siem_platform::Registry;
use toktra_siem_store::memory::Memory;
use toktra_siem_store::{
    AuditEntry, Change, Claim, Cluster as _, ConfigStore as _, ConnectorRecord, ConnectorSave, DeliveryStore as _,
    EventLog as _, HistoryQuery, Lease, OrgRecord, OrgStore as _, Resume, Store,
};
use toktra_siem_telemetry::Telemetry;
use uuid::Uuid;

use super::Context;
use super::link::{Link, LinkError, Links, SendLimits, Sender, Sent, Unreached};
use super::node::Node;
use super::run;
use super::worker::Control;

mod ahead;
mod backlog;
mod breaker;
mod catch_up;
mod cluster;
mod confirm;
mod damage;
mod exchange;
mod hub;
mod jobs;
mod memory;
mod outages;
mod retry;
mod seam;
mod search;
mod test_delivery;
mod told;
mod traffic;
mod windows;

const SPLUNK: PlatformId = PlatformId::fixed("splunk");
const DATADOG: PlatformId = PlatformId::fixed("datadog");
const ELASTICSEARCH: PlatformId = PlatformId::fixed("elasticsearch");
/// 2025-01-15T10:30:00Z, at a window's start.
const START: Timestamp = Timestamp(1_736_937_000_000);
const ORG: OrgId = OrgId(Uuid::from_u128(1));
const CONNECTOR: ConnectorId = ConnectorId(Uuid::from_u128(2));

/// Wall-clock time that follows tokio's paused clock, but for what the test has set it ahead.
struct VirtualClock {
    since: Instant,
    ahead: Arc<AtomicU64>,
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        START.plus(self.since.elapsed() + Duration::from_secs(self.ahead.load(Ordering::SeqCst)))
    }
}

/// One observed request.
#[derive(Debug, Clone)]
struct Seen {
    /// Since the start of the test.
    at: Duration,
    body: Bytes,
    url: String,
    /// On a new connection.
    anew: bool,
}

type Answer = Result<Reply, Unreached>;
type Rule = Box<dyn Fn(&SignedRequest) -> Answer + Send>;

/// An endpoint that answers from a script, and after that as `otherwise` says.
struct Endpoint {
    since: Instant,
    seen: Mutex<Vec<Seen>>,
    script: Mutex<VecDeque<Answer>>,
    otherwise: Mutex<Rule>,
    takes: Mutex<Duration>,
    /// Bytes of the bodies before it now, and the most that ever were.
    carried: Mutex<(usize, usize)>,
}

/// A body before an endpoint, until it is answered or nobody waits for that any more.
struct Carrying<'e>(&'e Mutex<(usize, usize)>, usize);

impl<'e> Carrying<'e> {
    fn new(carried: &'e Mutex<(usize, usize)>, bytes: usize) -> Self {
        let mut now = carried.lock();
        now.0 += bytes;
        now.1 = now.1.max(now.0);
        Self(carried, bytes)
    }
}

impl Drop for Carrying<'_> {
    fn drop(&mut self) {
        self.0.lock().0 -= self.1;
    }
}

#[async_trait]
impl Sender for Endpoint {
    async fn send(&self, request: SignedRequest, limits: SendLimits) -> Sent {
        let at = self.since.elapsed();
        self.seen.lock().push(Seen { at, body: request.body.clone(), url: request.url.clone(), anew: limits.anew });
        let takes = *self.takes.lock();
        let carrying = Carrying::new(&self.carried, request.body.len());
        tokio::time::sleep(takes.min(limits.deadline)).await;
        drop(carrying);
        if takes > limits.deadline {
            let cause = Cause::new("network_timeout", "The endpoint did not answer in time.");
            return Err(Unreached { cause, misconfigured: false }).into();
        }
        let scripted = self.script.lock().pop_front();
        scripted.unwrap_or_else(|| (self.otherwise.lock())(&request)).into()
    }

    async fn send_watched(&self, request: SignedRequest, limits: SendLimits, watch: Watch) -> Sent {
        let stage = |name, duration| Stage { name, ok: true, duration, detail: String::new() };
        watch(&stage(StageName::Tcp, Duration::ZERO));
        let sent = self.send(request, limits).await;
        watch(&stage(StageName::Http, *self.takes.lock()));
        sent
    }
}

#[expect(clippy::unnecessary_wraps, reason = "an answer as scripts hold it")]
fn reply(status: u16, body: &Value) -> Answer {
    Ok(Reply {
        status,
        body: Bytes::from(body.to_string()),
        content_type: Some("application/json".into()),
        ..Reply::default()
    })
}

fn success() -> Answer {
    reply(200, &json!({"text": "Success", "code": 0}))
}

fn busy() -> Answer {
    reply(503, &json!({"text": "Server is busy", "code": 9}))
}

fn invalid_token() -> Answer {
    reply(403, &json!({"text": "Invalid token", "code": 4}))
}

/// A worker, its store and its endpoint.
struct Bench {
    store: Arc<Memory>,
    endpoint: Arc<Endpoint>,
    ctx: Arc<Context>,
    since: Instant,
    /// Has its node leave.
    leaves: CancellationToken,
    control: (watch::Sender<u64>, CancellationToken, CancellationToken),
    jobs: watch::Sender<u64>,
    /// By how many seconds the clock is wrong.
    ahead: Arc<AtomicU64>,
    workers: Vec<tokio::task::JoinHandle<()>>,
    next_event: u128,
}

struct TestLinks {
    registry: Registry,
    store: Arc<Memory>,
    endpoint: Arc<Endpoint>,
}

#[async_trait]
impl Links for TestLinks {
    async fn link(&self, org: OrgId, stream: StreamId) -> Result<Link, LinkError> {
        let ConnectorRecord { connector, .. } = self.store.connector(org, stream.connector).await?;
        let timeline = self.store.timeline(stream.connector).await?;
        let credentials = match connector.settings.platform {
            SPLUNK => {
                let secrets = [("hec_token", "token"), ("search.token", "search")];
                secrets.into_iter().map(|(name, secret)| (name.to_owned(), SecretString::from(secret))).collect()
            }
            DATADOG => Credentials::of("api_key", "key".to_owned()),
            _ => Credentials::none(),
        };
        let registry = &self.registry;
        let destination = registry.build(&connector.settings, &credentials, org, connector.id, stream.kind).unwrap();
        let redactor = registry.redactor(&connector.settings, &credentials);
        Ok(Link {
            timeline,
            destination: destination.into(),
            sender: self.endpoint.clone(),
            keys: SigningKeys { current: Some(SecretString::from("secret")), next: None },
            redactor,
            ready: tokio::sync::Mutex::default(),
            connector,
        })
    }
}

fn audit() -> AuditEntry {
    AuditEntry { at: START, actor: "test".into(), action: "test".into(), object: String::new(), detail: Value::Null }
}

impl Bench {
    /// An org with one active connector, and its workers.
    async fn new(platform: PlatformId, config: Value) -> Self {
        Self::with(Registry::standard(), platform, config).await
    }

    /// The same where these platforms are known.
    async fn with(registry: Registry, platform: PlatformId, config: Value) -> Self {
        let since = Instant::now();
        let ahead = Arc::<AtomicU64>::default();
        let clock = Arc::new(VirtualClock { since, ahead: Arc::clone(&ahead) });
        let store_clock = clock.clone();
        let store = Arc::new(Memory::new(Arc::new(move || store_clock.now())));
        let endpoint = Arc::new(Endpoint {
            since,
            seen: Mutex::default(),
            script: Mutex::default(),
            otherwise: Mutex::new(Box::new(|_| success())),
            takes: Mutex::new(Duration::from_millis(1)),
            carried: Mutex::default(),
        });
        let org = OrgRecord { id: ORG, name: "Acme".into(), is_default: true, created_at: START };
        store.create_org(Change { value: org, audit: audit() }).await.unwrap();
        let (settings, _) = registry.parse_new(platform, &config).unwrap();
        let connector = Connector {
            id: CONNECTOR,
            org: ORG,
            name: "test".into(),
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
        store.create_connector(ORG, Change { value, audit: audit() }).await.unwrap();
        let links =
            Arc::new(TestLinks { registry: registry.clone(), store: store.clone(), endpoint: endpoint.clone() });
        let shared: Arc<dyn Store> = store.clone();
        let random = Arc::new(SeededRandom::new(7));
        let telemetry = Arc::new(Telemetry::new(clock.clone(), &registry));
        let own_random = Arc::new(SeededRandom::new(8));
        let node = Node::join(shared.clone(), clock.clone(), own_random, "test".into()).await.unwrap();
        let leaves = CancellationToken::new();
        tokio::spawn(node.clone().run(leaves.clone()));
        let ctx = Context::new(shared, node, clock, random, links, registry, telemetry);
        let control = (watch::Sender::new(0), CancellationToken::new(), CancellationToken::new());
        let (ctx, jobs) = (Arc::new(ctx), watch::Sender::new(0));
        let mut bench =
            Self { store, endpoint, ctx, since, leaves, control, jobs, ahead, workers: vec![], next_event: 100 };
        bench.start(platform);
        bench
    }

    async fn splunk() -> Self {
        Self::new(SPLUNK, json!({"hec_url": "https://splunk.example:8088", "hec_token": "token"})).await
    }

    /// Starts the workers, as after a restart of the process.
    fn start(&mut self, platform: PlatformId) {
        self.control = (watch::Sender::new(0), CancellationToken::new(), CancellationToken::new());
        let registry = self.ctx.registry.clone();
        for kind in registry.descriptor(platform).unwrap().streams {
            self.work(StreamId { connector: CONNECTOR, kind: *kind });
        }
    }

    /// Starts a worker, as soon as its stream is claimed.
    fn work(&mut self, stream: StreamId) {
        let control = Control {
            changed: self.control.0.subscribe(),
            jobs: self.jobs.subscribe(),
            stop: self.control.1.clone(),
            drain: self.control.2.clone(),
            member: self.ctx.node.member(),
        };
        let ctx = self.ctx.clone();
        self.workers.push(tokio::spawn(async move {
            ctx.store.claim(control.member.id(), Claim::Stream(stream), 1).await.unwrap();
            run::supervised(ctx, ORG, stream, control, None).await;
        }));
    }

    /// Ends the workers as switching off does, and gives their streams back.
    async fn stop(&mut self) {
        self.control.1.cancel();
        for worker in self.workers.drain(..) {
            worker.await.unwrap();
        }
        let kinds = StreamKind::ALL.into_iter();
        let streams = kinds.map(|kind| StreamId { connector: CONNECTOR, kind }).collect();
        self.store.release(self.ctx.node.member().id(), streams).await.unwrap();
    }

    /// What the owner of a stream may write with, for a test that does so in its place.
    async fn lease(&self, stream: StreamId) -> Lease {
        let node = self.ctx.node.member().id();
        self.store.claim(node, Claim::Stream(stream), 1).await.unwrap();
        self.store.lease(node, stream).await.unwrap().0
    }

    async fn send(&mut self, count: usize) {
        let events = (0..count).map(|_| self.event(EventType::PolicyViolation, Severity::High)).collect();
        self.store.append(events).await.unwrap();
    }

    fn event(&mut self, event_type: EventType, severity: Severity) -> NewEvent {
        self.next_event += 1;
        let event_id = EventId(Uuid::from_u128(self.next_event));
        let payload = json!({
            "event_type": event_type, "severity": severity, "event_id": event_id, "org_id": ORG,
            "timestamp": "2025-01-15T10:30:00Z", "summary": format!("event {}", self.next_event), "source": "toktra", "tags": {},
        });
        NewEvent {
            org: ORG,
            event_id,
            made: false,
            event_type,
            severity,
            event_time: START,
            payload: Bytes::from(payload.to_string()),
            sent: toktra_siem_core::event::intake::SentFields::default(),
        }
    }

    fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.endpoint.script.lock().extend(answers);
    }

    fn otherwise(&self, answer: impl Fn(&SignedRequest) -> Answer + Send + 'static) {
        *self.endpoint.otherwise.lock() = Box::new(answer);
    }

    fn seen(&self) -> Vec<Seen> {
        self.endpoint.seen.lock().clone()
    }

    /// The times of the requests so far, in whole milliseconds since the start.
    fn times(&self) -> Vec<u64> {
        self.seen().iter().map(|s| u64::try_from(s.at.as_millis()).unwrap()).collect()
    }

    /// Lets `time` pass.
    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn account(&self, kind: StreamKind) -> Accounting {
        let record = self.store.stream(StreamId { connector: CONNECTOR, kind }).await.unwrap();
        let accounting = record.accounting();
        assert!(accounting.adds_up(), "{accounting:?}");
        assert_eq!(self.store.recount(record.id).await.unwrap(), accounting.counts);
        accounting
    }

    async fn events_account(&self) -> Accounting {
        self.account(StreamKind::Events).await
    }

    /// Every delivery so far, oldest first, with its attempts.
    async fn history(&self) -> Vec<(Delivery, Vec<Attempt>)> {
        let query = HistoryQuery { limit: 10_000, ..HistoryQuery::default() };
        let page = self.store.history(ORG, query).await.unwrap();
        let mut all = Vec::new();
        for delivery in page.items.into_iter().rev().map(|item| item.delivery) {
            let attempts = self.store.delivery(ORG, delivery.id).await.unwrap().attempts;
            all.push((delivery, attempts));
        }
        all
    }

    /// Saves the connector with a change, and tells the workers.
    async fn save(&self, resume: Resume, change: impl FnOnce(&mut Connector)) -> toktra_siem_store::Saved {
        let mut connector = self.store.connector(ORG, CONNECTOR).await.unwrap().connector;
        change(&mut connector);
        let value = ConnectorSave { connector, expected: None, secrets: None, rotation: None, resume };
        let saved = self.store.save_connector(ORG, Change { value, audit: audit() }).await.unwrap();
        self.control.0.send_modify(|saves| *saves += 1);
        saved
    }

    /// The sequence-independent ids of all events that the endpoint was sent in requests answered after `from`.
    fn delivered_ids(&self) -> std::collections::BTreeSet<String> {
        let text: Vec<String> = self.seen().iter().map(|s| String::from_utf8_lossy(&s.body).into_owned()).collect();
        let mut ids = std::collections::BTreeSet::new();
        for body in text {
            for part in body.split("\"event_id\":\"").skip(1) {
                ids.insert(part[..36].to_owned());
            }
        }
        ids
    }
}

/// The number of events in a Splunk request.
fn events_in(seen: &Seen) -> usize {
    String::from_utf8_lossy(&seen.body).matches("\"event_id\"").count()
}
