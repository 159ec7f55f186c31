//! A server in this process, and what tests say to it.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::client::{Answer, Client};
use async_trait::async_trait;
use axum::Router;
use parking_lot::Mutex;
use secrecy::SecretBox;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use toktra_siem_api::face::Face;
use toktra_siem_api::{
    AppState, Dispatch, Limits, Parts, TemplateFailure, TemplateReport, TestFailure, TestRequest, router,
};
use toktra_siem_base::clock::{Clock, ManualClock};
use toktra_siem_base::random::{Random, SystemRandom};
use toktra_siem_base::vault::Vault;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::ids::{ConnectorId, DeliveryId, EventId, OrgId, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_dispatch::test_delivery::{Listener, Progress, StreamReport, TestReport};
use toktra_siem_edge::{Edge, serve};
use toktra_siem_egress::{EgressPolicy, Resolver, Stage, StageName, Transport};
use toktra_siem_identity::first_login::Entrance;
use toktra_siem_identity::passwords::{Argon2id, Hashing, Passwords};
use toktra_siem_page::Dashboard;
use toktra_siem_platform::Registry;
use toktra_siem_store::Watched;
use toktra_siem_store::{
    AuditEntry, AuditQuery, Change, ConfigStore as _, Disk, OrgRecord, OrgStore as _, StoreError, Vitals,
};
use toktra_siem_store_sqlite::{Sqlite, SqliteOptions};
use toktra_siem_telemetry::Telemetry;
use uuid::Uuid;

/// The bootstrap key of every bench.
pub const BOOTSTRAP: &str = "bootstrap-key-of-at-least-32-characters";
/// The password of every person of a bench.
pub const PASSWORD: &str = "canary horse battery staple";
/// The default org.
pub const DEFAULT_ORG: OrgId = OrgId(Uuid::from_u128(0x00de_fa17));
/// The connector that the environment describes, once a test has stored it.
pub const DESCRIBED: ConnectorId = ConnectorId(Uuid::from_u128(5));
/// 2025-01-15T10:30:00Z: what the clock shows at the start.
pub const START: Timestamp = Timestamp(1_736_937_000_000);

/// Remembers which connectors it was told of, and answers for every template.
#[derive(Default)]
pub struct Recorder {
    pub changed: Mutex<Vec<(OrgId, ConnectorId)>>,
    /// Connectors whose jobs it was told of.
    pub jobs: Mutex<Vec<ConnectorId>>,
    /// What the next call for a template answers, instead of success.
    pub failure: Mutex<Option<TemplateFailure>>,
    /// Whether a call for a template panics.
    pub panics: AtomicBool,
    /// The tests that were asked for.
    pub tests: Mutex<Vec<TestRequest>>,
    /// What the next test comes to, instead of success.
    pub test_failure: Mutex<Option<TestFailure>>,
    /// Whether that happens in the middle of it, rather than before it begins.
    pub fails_late: AtomicBool,
}

impl Recorder {
    /// What comes of a test here: Datadog's metrics are refused, everything else is taken.
    fn report(request: &TestRequest) -> TestReport {
        let settings = &request.record.connector.settings;
        let event_id = EventId(Uuid::from_u128(0x7e57));
        let stage = |name, ms, detail: &str| Stage {
            name,
            ok: true,
            duration: Duration::from_millis(ms),
            detail: detail.into(),
        };
        let streams = settings.streams().iter().map(|kind| {
            let refused = *kind == StreamKind::Metrics;
            let message = "Datadog answered 403: it does not accept this API key here.";
            let cause = refused.then(|| Cause::new("datadog_api_key_refused", message));
            let mut stages =
                vec![stage(StageName::Tcp, 3, "93.184.216.34:443"), stage(StageName::Http, 20, "HTTP 200")];
            stages.push(Stage { ok: !refused, ..stage(StageName::Write, 0, "") });
            StreamReport {
                stream: *kind,
                delivered: !refused,
                delivery: request.saved.then(|| DeliveryId(Uuid::from_u128(0xde11))),
                http_status: Some(if refused { 403 } else { 200 }),
                response: Some("{}".into()),
                duration: Duration::from_millis(23),
                stages,
                hint: cause.as_ref().map(|cause| cause.message.clone()),
                cause,
            }
        });
        TestReport {
            event_id,
            search: Registry::standard().search(settings, event_id),
            streams: streams.collect(),
            closed: false,
        }
    }

    /// Tells of a test as if it happened just now.
    fn tell(listener: &Listener, report: &TestReport) {
        listener.tell(|| Progress::Begun(report.event_id));
        for stream in &report.streams {
            for stage in &stream.stages {
                listener.tell(|| Progress::Stage(stream.stream, stage.clone()));
            }
        }
    }
}

#[async_trait]
impl Dispatch for Recorder {
    fn connector_changed(&self, org: OrgId, id: ConnectorId) {
        self.changed.lock().push((org, id));
    }

    fn job_changed(&self, id: ConnectorId) {
        self.jobs.lock().push(id);
    }

    async fn apply_template(&self, _org: OrgId, _id: ConnectorId) -> Result<TemplateReport, TemplateFailure> {
        assert!(!self.panics.load(Ordering::SeqCst), "a canary that no client may see");
        match self.failure.lock().take() {
            Some(failure) => Err(failure),
            None => Ok(TemplateReport { template: "toktra-security-events".into(), warning: None }),
        }
    }

    async fn test(&self, request: TestRequest) -> Result<TestReport, TestFailure> {
        let report = Self::report(&request);
        let failure = self.test_failure.lock().take();
        if failure.is_none() || self.fails_late.load(Ordering::SeqCst) {
            Self::tell(&request.listener, &report);
        }
        self.tests.lock().push(request);
        match failure {
            Some(failure) => Err(failure),
            None => Ok(report),
        }
    }
}

/// The store as operators see it, and as it looks after the disk failed.
pub struct Watch {
    store: Arc<Sqlite>,
    pub poisoned: AtomicBool,
}

#[async_trait]
impl Watched for Watch {
    fn vitals(&self) -> Vitals {
        Vitals { poisoned: self.poisoned.load(Ordering::SeqCst), ..self.store.vitals() }
    }

    async fn disk(&self) -> Result<Disk, StoreError> {
        self.store.disk().await
    }
}

/// Knows two names: one leads to the public internet, one inside.
struct Names;

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        match name {
            "siem.example" => Ok(vec![IpAddr::from([93, 184, 216, 34])]),
            "inside.example" => Ok(vec![IpAddr::from([10, 1, 2, 3])]),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }
    }
}

/// What a test may want otherwise.
pub struct Options {
    pub limits: Limits,
    pub edge: toktra_siem_edge::Limits,
    pub signing_secret: Option<&'static str>,
    pub random: Arc<dyn Random>,
    pub hashing: Arc<dyn Hashing>,
    pub public_url: Option<&'static str>,
    pub entrance: Entrance,
    /// What stands in front of the server.
    pub in_front: Option<Box<dyn FnOnce(Router) -> Router + Send>>,
}

impl Default for Options {
    fn default() -> Self {
        let limits = Limits { requests_per_minute: NonZeroU32::new(1_000_000), ..Limits::default() };
        Self {
            limits,
            edge: toktra_siem_edge::Limits::default(),
            signing_secret: None,
            random: Arc::new(SystemRandom),
            hashing: Arc::new(Argon2id),
            public_url: None,
            entrance: Entrance::default(),
            in_front: None,
        }
    }
}

/// A running server.
pub struct Bench {
    /// With the bootstrap key.
    pub client: Client,
    pub store: Arc<Sqlite>,
    pub dispatch: Arc<Recorder>,
    pub watched: Arc<Watch>,
    pub clock: Arc<ManualClock>,
    pub address: std::net::SocketAddr,
    pub shutdown: CancellationToken,
    pub serving: JoinHandle<()>,
    attempts: AtomicU32,
    dir: TempDir,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Bench {
    /// A server with an empty default org.
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let store_clock = Arc::clone(&clock);
        let dir = tempfile::tempdir().unwrap();
        let store_clock = Arc::new(move || store_clock.now());
        let store = Sqlite::open(dir.path(), SqliteOptions { clock: store_clock, ..SqliteOptions::default() }).unwrap();
        let org = OrgRecord { id: DEFAULT_ORG, name: "Default".into(), is_default: true, created_at: START };
        store.create_org(Change { value: org, audit: audit() }).await.unwrap();
        let random = options.random;
        let dispatch = Arc::new(Recorder::default());
        let watched = Arc::new(Watch { store: store.clone(), poisoned: AtomicBool::new(false) });
        let registry = Registry::standard();
        let edge = Edge::new(options.edge, vec!["127.0.0.1/32".parse().unwrap()]);
        let state = AppState::new(Parts {
            store: store.clone(),
            vault: Arc::new(Vault::new(&SecretBox::new(Box::new([7; 32])), &[], random.clone())),
            clock: clock.clone(),
            random,
            registry: registry.clone(),
            transport: Arc::new(Transport::with_resolver(EgressPolicy::default(), Arc::new(Names))),
            telemetry: Arc::new(
                Telemetry::new(clock.clone(), &registry)
                    .watching(watched.clone())
                    .keeping(Duration::from_hours(720))
                    .behind(edge.clone()),
            ),
            dispatch: dispatch.clone(),
            default_org: DEFAULT_ORG,
            bootstrap_key: Some(BOOTSTRAP.into()),
            passwords: Arc::new(Passwords::new(options.hashing, Arc::new(SystemRandom))),
            edge: edge.clone(),
            signing_secret: options.signing_secret.map(Into::into),
            described: vec![DESCRIBED],
            limits: options.limits,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let page = Dashboard::new(toktra_siem_page::Parts {
            api: state.clone(),
            registry,
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
            edge: edge.clone(),
            public_url: options.public_url.map(Into::into),
            entrance: options.entrance,
            closing: shutdown.clone(),
        });
        let router = toktra_siem_page::beside(router(state), page);
        let router = match options.in_front {
            Some(in_front) => in_front(router),
            None => router,
        };
        let serving = tokio::spawn(serve(listener, Face::new(router), edge, shutdown.clone()));
        let client = Client::new(&format!("http://{address}")).with_key(BOOTSTRAP).with_witness(crate::contract::hold);
        let attempts = AtomicU32::new(1);
        Self { client, store, dispatch, watched, clock, address, shutdown, serving, attempts, dir }
    }

    /// Another org.
    pub async fn org(&self, name: &str) -> String {
        let made = self.client.post("/v1/orgs", &json!({ "name": name })).await.expect_status(201).json();
        made["id"].as_str().unwrap().to_owned()
    }

    /// A client with a new key of `org` with these scopes, and the key's id.
    pub async fn key(&self, org: &str, scopes: &[&str]) -> (Client, String) {
        let body = json!({ "name": "test key", "scopes": scopes });
        let made = self.client.post(&format!("/v1/api-keys?org_id={org}"), &body).await.expect_status(201).json();
        (self.client.with_key(made["key"].as_str().unwrap()), made["id"].as_str().unwrap().to_owned())
    }

    /// A person of `org` with the password [`PASSWORD`], and their id.
    pub async fn user(&self, org: &str, email: &str, role: &str) -> String {
        let body = json!({ "email": email, "name": "Jo Doe", "role": role, "password": PASSWORD });
        let made = self.client.post(&format!("/v1/users?org_id={org}"), &body).await.expect_status(201).json();
        made["id"].as_str().unwrap().to_owned()
    }

    /// A client with a new session of whoever has this address and [`PASSWORD`].
    pub async fn login(&self, email: &str) -> Client {
        let opened = self.attempt(email, PASSWORD).await.expect_status(201).json();
        self.client.with_key(opened["token"].as_str().unwrap())
    }

    /// Tries to log in, from another address each time.
    pub async fn attempt(&self, email: &str, password: &str) -> Answer {
        let from = std::net::Ipv4Addr::from_bits(0x0b00_0000 + self.attempts.fetch_add(1, Ordering::SeqCst));
        let headers = [("content-type", "application/json"), ("x-forwarded-for", &*from.to_string())];
        let body = json!({ "email": email, "password": password }).to_string();
        self.client.anonymous().send(http::Method::POST, "/v1/sessions", &headers, body.into()).await
    }

    /// Whether the database or its log holds `text`.
    pub fn is_on_disk(&self, text: &str) -> bool {
        let files =
            std::fs::read_dir(self.dir.path()).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
        files.into_iter().any(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
    }

    /// The audit log of an org, oldest first, and that of the service.
    pub async fn audit(&self, org: OrgId) -> (Vec<AuditEntry>, Vec<AuditEntry>) {
        let all = || AuditQuery { limit: 10_000, ..AuditQuery::default() };
        let own = self.store.audit(org, all()).await.map_or_else(|_| Vec::new(), |page| page.items);
        let platform = self.store.platform_audit(all()).await.unwrap().items;
        let entries = |items: Vec<(u64, AuditEntry)>| items.into_iter().rev().map(|(_, entry)| entry).collect();
        (entries(own), entries(platform))
    }

    /// A Splunk connector, made by `client`.
    pub async fn connector(&self, client: &Client, name: &str) -> Value {
        client.post("/v1/siem/connectors", &splunk(name)).await.expect_status(201).json()
    }

    /// Moves the wall clock.
    pub fn pass(&self, by: Duration) {
        self.clock.advance(by);
    }
}

/// The body that makes a Splunk connector.
pub fn splunk(name: &str) -> Value {
    json!({
        "name": name,
        "platform": "splunk",
        "config": { "hec_url": "https://siem.example:8088", "hec_token": "00000000-1111-2222-3333-444444444444" },
    })
}

/// An entry for the test's own preparations.
pub fn audit() -> AuditEntry {
    AuditEntry { at: START, actor: "test".into(), action: "test".into(), object: String::new(), detail: Value::Null }
}

/// An answer for a snapshot: status and body, what differs from run to run replaced.
pub fn shown(answer: &Answer) -> Value {
    json!({ "status": answer.status, "body": redacted(answer.json()) })
}

fn redacted(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(redacted_text(text)),
        Value::Array(items) => items.into_iter().map(redacted).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, redacted(value))).collect(),
        other => other,
    }
}

fn redacted_text(text: String) -> String {
    let random = text.strip_prefix("tsk_").or_else(|| text.strip_prefix("tss_")).unwrap_or(&text);
    if text.parse::<Uuid>().is_ok_and(|id| id.get_version_num() == 7) {
        "<uuid>".into()
    } else if random.len() == 64 && random.bytes().all(|b| b.is_ascii_hexdigit()) {
        "<secret>".into()
    } else if text.starts_with("tsd_") {
        "<device>".into()
    } else if text.starts_with('…') {
        "<hint>".into()
    } else if random.len() < text.len() {
        "<prefix>".into()
    } else {
        text
    }
}
