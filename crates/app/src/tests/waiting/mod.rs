//! Health cannot lie: whatever keeps an event from arriving for longer than a minute shows, with its reason, in health and metrics alike. The real
//! dispatcher, its watchdog and the use case, over the reference store and in virtual time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use toktra_siem_base::clock::Clock;
use toktra_siem_base::random::SeededRandom;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::{Connector, ManagedBy};
use toktra_siem_core::destination::Reply;
use toktra_siem_core::event::{EventType, NewEvent, Severity};
use toktra_siem_core::filter::{Filter, FilterTimeline};
use toktra_siem_core::ids::{EventId, JobId, NodeId, PlatformId, Revision, StreamId, StreamKind};
use toktra_siem_core::job::{Job, JobKind};
use toktra_siem_core::signing::{SignedRequest, SigningKeys};
use toktra_siem_dispatch::Context;
use toktra_siem_dispatch::hub::{Hub, HubHandle};
use toktra_siem_dispatch::link::{Link, LinkError, Links, SendLimits, Sender, Sent, Unreached};
use toktra_siem_dispatch::memory::Memory as Budget;
use toktra_siem_dispatch::node::Node;
use toktra_siem_dispatch::watchdog::{Verdict, Watchdog};
use toktra_siem_store::{
    Claim, Cluster as _, ConnectorRecord, ConnectorSave, DeliveryStore as _, EventLog as _, NodeRecord, Resume, Store,
    StoreError,
};
use toktra_siem_wire::{self as wire, DelayReason as Reason, HealthState as State};

use super::*;

mod states;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const CONNECTOR: ConnectorId = ConnectorId(Uuid::from_u128(0xc));
const STREAM: StreamId = StreamId { connector: CONNECTOR, kind: StreamKind::Events };
const SPLUNK: PlatformId = PlatformId::fixed("splunk");

/// Wall-clock time that follows tokio's paused clock.
struct Virtual(Instant);

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        NOON.plus(self.0.elapsed())
    }
}

/// How the SIEM behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Siem {
    /// It takes everything, after so long.
    Takes(Duration),
    /// It answers 503.
    Busy,
    /// It answers 429, and asks to be left alone for a minute.
    AsksForPause,
    /// It refuses the token.
    Refuses,
    /// It accepts, and never says that anything is indexed.
    NeverConfirms,
    /// It answers 503 to whatever holds the first event.
    Chokes,
}

impl Siem {
    /// What it answers, after how long.
    fn answer(self, request: &SignedRequest) -> (Duration, u16, Value) {
        let (soon, success) = (Duration::from_millis(1), json!({ "text": "Success", "code": 0, "ackId": 1 }));
        let busy = json!({ "text": "Server is busy", "code": 9 });
        match self {
            Self::Takes(after) => (after, 200, success),
            Self::Busy => (soon, 503, busy),
            Self::AsksForPause => (soon, 429, json!({})),
            Self::Refuses => (soon, 403, json!({ "text": "Invalid token", "code": 4 })),
            Self::NeverConfirms if request.url.ends_with("/ack") => (soon, 200, json!({ "acks": { "1": false } })),
            Self::Chokes if String::from_utf8_lossy(&request.body).contains("\"event 1\"") => (soon, 503, busy),
            Self::NeverConfirms | Self::Chokes => (soon, 200, success),
        }
    }
}

#[derive(Clone)]
struct Endpoint(Arc<Mutex<Siem>>);

#[async_trait]
impl Sender for Endpoint {
    async fn send(&self, request: SignedRequest, limits: SendLimits) -> Sent {
        let siem = *self.0.lock();
        let (after, status, body) = siem.answer(&request);
        tokio::time::sleep(after.min(limits.deadline)).await;
        if after > limits.deadline {
            let cause = Cause::new("network_timeout", "The endpoint did not answer in time.");
            return Err(Unreached { cause, misconfigured: false }).into();
        }
        let retry_after = (siem == Siem::AsksForPause).then(|| "60".to_owned());
        let content_type = Some("application/json".to_owned());
        Ok(Reply { status, retry_after, content_type, body: Bytes::from(body.to_string()), ..Reply::default() }).into()
    }
}

/// What becomes of a worker that asks for its way to the SIEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    /// The credential cannot be read.
    Unusable,
    /// The store does not answer.
    Unreadable,
    /// The worker panics.
    Panics,
    /// The worker waits for ever.
    Hangs,
    /// The worker applies no filter, and so takes up nothing: a defect by which a cursor stands still.
    Filterless,
}

struct Ways {
    store: Arc<Memory>,
    registry: Registry,
    endpoint: Endpoint,
    way: Way,
}

#[async_trait]
impl Links for Ways {
    async fn link(&self, org: OrgId, stream: StreamId) -> std::result::Result<Link, LinkError> {
        match self.way {
            Way::There | Way::Filterless => {}
            Way::Unusable => return Err(LinkError::Unusable("its secrets cannot be opened".to_owned())),
            Way::Unreadable => {
                let (context, source) = ("reading a connector", "a test says so".into());
                return Err(StoreError::Unavailable { context, source }.into());
            }
            Way::Panics => panic!("a test says so"),
            Way::Hangs => std::future::pending().await,
        }
        let ConnectorRecord { connector, .. } = self.store.connector(org, stream.connector).await?;
        let token = SecretString::from("token");
        let credentials = [("hec_token".to_owned(), token)].into_iter().collect();
        let (id, kind) = (connector.id, stream.kind);
        let destination = self.registry.build(&connector.settings, &credentials, org, id, kind).unwrap();
        let redactor = self.registry.redactor(&connector.settings, &credentials);
        let timeline = match self.way {
            Way::Filterless => FilterTimeline::default(),
            _ => self.store.timeline(stream.connector).await?,
        };
        Ok(Link {
            timeline,
            destination: destination.into(),
            sender: Arc::new(self.endpoint.clone()),
            keys: SigningKeys { current: Some(SecretString::from("secret")), next: None },
            redactor,
            ready: tokio::sync::Mutex::default(),
            connector,
        })
    }
}

/// As a server has it.
struct Watched(Arc<Context>);

#[async_trait]
impl Dispatch for Watched {
    fn connector_changed(&self, _org: OrgId, _id: ConnectorId) {}

    fn job_changed(&self, _id: ConnectorId) {}

    fn failing(&self, stream: StreamId) -> Option<(Timestamp, Cause)> {
        self.0.warnings.failing(stream)
    }

    fn verdict(&self, stream: StreamId) -> Verdict {
        self.0.watch.of(stream)
    }

    async fn apply_template(&self, _org: OrgId, _id: ConnectorId) -> Result<TemplateReport, TemplateFailure> {
        Err(TemplateFailure::Unsupported)
    }

    async fn test(&self, _request: TestRequest) -> Result<TestReport, TestFailure> {
        Err(TestFailure::Busy)
    }
}

/// A server with one connector.
struct Bench {
    app: App,
    caller: Caller,
    store: Arc<Memory>,
    ctx: Arc<Context>,
    siem: Endpoint,
    hub: JoinHandle<()>,
    handle: HubHandle,
    drain: CancellationToken,
    /// Tasks that end with the test.
    tasks: Vec<JoinHandle<()>>,
    sent: u64,
}

/// What health and metrics say.
struct Said {
    stream: wire::StreamHealth,
    stalled: bool,
    failing: bool,
    lag: f64,
    service: Option<&'static str>,
}

impl Bench {
    /// `way` holds from the start. `begins`: something starts workers.
    async fn new(config: Value, way: Way, begins: bool, memory: Budget) -> Self {
        let clock = Arc::new(Virtual(Instant::now()));
        let told = Arc::clone(&clock);
        let store = Arc::new(Memory::new(Arc::new(move || told.now())));
        orgs(&store).await;
        let (settings, _) = Registry::standard().parse_new(SPLUNK, &config).unwrap();
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
            created_at: NOON,
            updated_at: NOON,
        };
        let value = ConnectorRecord { connector, secrets: vec![], rotation: None };
        store.create_connector(ORG, Change { value, audit: line() }).await.unwrap();
        Self::process(store, clock, (way, begins, memory), 1).await
    }

    /// Another process on the same store, which is started now.
    async fn beside(other: &Self, way: Way) -> Self {
        Self::process(other.store.clone(), other.ctx.clock.clone(), (way, true, Budget::default()), 2).await
    }

    async fn process(
        store: Arc<Memory>,
        clock: Arc<dyn Clock>,
        (way, begins, memory): (Way, bool, Budget),
        seed: u64,
    ) -> Self {
        let registry = Registry::standard();
        let telemetry = Arc::new(Telemetry::new(clock.clone(), &registry));
        let shared: Arc<dyn Store> = store.clone();
        let random = Arc::new(SeededRandom::new(10 + seed));
        let node = Node::join(shared.clone(), clock.clone(), random, "test".into()).await.unwrap();
        let siem = Endpoint(Arc::new(Mutex::new(Siem::Takes(Duration::from_millis(1)))));
        let links = Ways { store: store.clone(), registry: registry.clone(), endpoint: siem.clone(), way };
        let random = Arc::new(SeededRandom::new(20 + seed));
        let ctx =
            Context::new(shared, node.clone(), clock.clone(), random, Arc::new(links), registry, telemetry.clone());
        let ctx = Arc::new(Context { memory: Arc::new(memory), ..ctx });
        let app = app(&store, clock, telemetry, Arc::new(Watched(ctx.clone())), seed);
        let caller = caller(&app, Some(ORG), &[Scope::Admin]).await;
        let drain = CancellationToken::new();
        let beats = tokio::spawn(async move { node.run(CancellationToken::new()).await.unwrap() });
        let watchdog = Watchdog::new(ctx.clone()).run(CancellationToken::new());
        let watchdog = tokio::spawn(async move { watchdog.await.unwrap() });
        let (hub, handle) = Hub::new(ctx.clone(), drain.clone());
        let hub = tokio::spawn(async move {
            if begins {
                hub.run().await.unwrap();
            }
        });
        let tasks = vec![beats, watchdog];
        Self { app, caller, store, ctx, siem, hub, handle, drain, tasks, sent: 0 }
    }

    async fn splunk(way: Way) -> Self {
        Self::new(splunk("test")["config"].clone(), way, true, Budget::default()).await
    }

    fn siem(&self, siem: Siem) {
        *self.siem.0.lock() = siem;
    }

    /// Accepts events that the stream has to read.
    async fn accept(&mut self, count: u64) {
        self.store.withdraw(ORG, STREAM);
        let events = (0..count).map(|_| {
            self.sent += 1;
            let event_id = EventId(Uuid::from_u128(u128::from(self.sent)));
            let payload = json!({
                "event_type": "policy_violation", "severity": "high", "event_id": event_id, "org_id": ORG,
                "timestamp": "2025-01-15T10:30:00Z", "summary": format!("event {}", self.sent), "source": "toktra", "tags": {},
            });
            NewEvent {
                org: ORG,
                event_id,
                made: false,
                event_type: EventType::PolicyViolation,
                severity: Severity::High,
                event_time: NOON,
                payload: Bytes::from(payload.to_string()),
                sent: toktra_siem_core::event::intake::SentFields::default(),
            }
        });
        let events = events.collect();
        self.store.append(events).await.unwrap();
    }

    /// Has everything sent again.
    async fn replay(&self) {
        let now = self.ctx.clock.now();
        let mut job = Job::new(JobId(Uuid::from_u128(9)), ORG, CONNECTOR, JobKind::Replay, "somebody".into(), now);
        job.stream = Some(STREAM.kind);
        job.begin(self.store.job_scope(ORG, &job).await.unwrap(), now);
        self.store.create_job(ORG, Change { value: job, audit: line() }).await.unwrap();
        self.handle.job_changed(CONNECTOR);
    }

    async fn switch(&self, active: bool) {
        let mut connector = self.store.connector(ORG, CONNECTOR).await.unwrap().connector;
        connector.active = active;
        let value = ConnectorSave { connector, expected: None, secrets: None, rotation: None, resume: Resume::Backlog };
        self.store.save_connector(ORG, Change { value, audit: line() }).await.unwrap();
        self.handle.connector_changed(ORG, CONNECTOR);
    }

    /// For how long the oldest event that has not arrived has waited, as the store has it.
    async fn waited(&self) -> Option<Duration> {
        let oldest = self.store.oldest_undelivered(vec![STREAM]).await.unwrap();
        oldest.first().map(|(_, at)| self.ctx.clock.now().since(*at))
    }

    async fn said(&self) -> Said {
        let health = crate::health::of_connector(&self.app, &self.caller, CONNECTOR).await.unwrap();
        let page = String::from_utf8(self.ctx.telemetry.scrape(&*self.store).await.to_vec()).unwrap();
        let figure = |name: &str| -> f64 {
            let line = page.lines().find(|line| line.starts_with(&format!("toktra_siem_{name}"))).unwrap_or("0 0");
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        let [stream] = health.streams.try_into().unwrap();
        assert_eq!((health.state, &*health.sentence), (stream.state, &*stream.sentence));
        assert!((figure("stalled_connectors") - figure("stream_stalled")).abs() < f64::EPSILON);
        Said {
            stream,
            stalled: figure("stream_stalled") > 0.0,
            failing: figure("stream_own_failure") > 0.0,
            lag: figure("stream_lag_seconds"),
            service: self.ctx.telemetry.stands_still(),
        }
    }

    /// Another node joins, claims the stream, lives, and does nothing else.
    async fn strangers_claim(&mut self) {
        let (id, store) = (NodeId(Uuid::from_u128(0xdead)), self.store.clone());
        store.join(NodeRecord { id, name: "other".into(), version: "1".into() }).await.unwrap();
        assert_eq!(store.claim(id, Claim::Stream(STREAM), 1).await.unwrap().len(), 1);
        self.tasks.push(tokio::spawn(async move {
            loop {
                store.beat(id).await.unwrap();
                tokio::time::sleep(SECOND * 3).await;
            }
        }));
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.hub.abort();
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
