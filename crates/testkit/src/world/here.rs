//! A server in this process: the API and the page over a real socket, with the embedded store behind them and a clock that the test moves.
//! Nothing delivers: a [`Recorder`] stands in its place.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use parking_lot::Mutex;
use regex::Regex;
use secrecy::SecretBox;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use toktra_siem_api::face::Face;
use toktra_siem_api::{AppState, router};
use toktra_siem_app::{App, Limits, Parts};
use toktra_siem_base::clock::{Clock, ManualClock};
use toktra_siem_base::random::{Random, SystemRandom};
use toktra_siem_base::vault::Vault;
use toktra_siem_core::ids::{ConnectorId, OrgId, StreamId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_edge::{Edge, serve};
use toktra_siem_egress::{EgressPolicy, Transport};
use toktra_siem_identity::first_login::Entrance;
use toktra_siem_identity::passwords::{Argon2id, Hashing, Passwords};
use toktra_siem_notify::Courier;
use toktra_siem_page::Dashboard;
use toktra_siem_platform::Registry;
use toktra_siem_store::conformance::Owner;
use toktra_siem_store::{AuditEntry, AuditQuery, Backend, Change, Lease, OrgRecord, Store, StreamRecord};
use toktra_siem_store_sqlite::{Sqlite, SqliteOptions};
use toktra_siem_telemetry::Telemetry;
use uuid::Uuid;

use super::recorder::{Names, Recorder, Watch};
use super::{Org, PASSWORD, World};
use crate::client::{Answer, Client};
use crate::tab::Tab;
use crate::tab::is_made;

/// The bootstrap key of a server in this process.
pub const BOOTSTRAP: &str = "bootstrap-key-of-at-least-32-characters";
/// The default org.
pub const DEFAULT_ORG: OrgId = OrgId(Uuid::from_u128(0x00de_fa17));
/// The connector that the environment describes, once a test has stored it.
pub const DESCRIBED: ConnectorId = ConnectorId(Uuid::from_u128(5));
/// 2025-01-15T10:30:00Z: what the clock shows at the start.
pub const START: Timestamp = Timestamp(1_736_937_000_000);

/// What a test may want otherwise.
pub struct Options {
    /// Of the API; nobody is slowed down for asking often unless the test wants it.
    pub limits: Limits,
    /// Of the outermost ring.
    pub edge: toktra_siem_edge::Limits,
    /// The operator's.
    pub signing_secret: Option<&'static str>,
    /// Where ids, keys and secrets come from.
    pub random: Arc<dyn Random>,
    /// How passwords are kept.
    pub hashing: Arc<dyn Hashing>,
    /// Where people reach it.
    pub public_url: Option<&'static str>,
    /// The one-time links.
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

/// A server in this process, which ends with it. It is the default org, seen with the bootstrap key.
pub struct InProcess {
    /// What it stores.
    pub store: Arc<dyn Backend>,
    /// What stands in the place of the dispatcher.
    pub dispatch: Arc<Recorder>,
    /// The store as operators see it.
    pub watched: Arc<Watch>,
    /// What it tells of itself.
    pub telemetry: Arc<Telemetry>,
    /// Its wall clock.
    pub clock: Arc<ManualClock>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Asks it to end.
    pub shutdown: CancellationToken,
    /// Ends when it has ended.
    pub serving: JoinHandle<()>,
    org: Org,
    owner: Owner,
    attempts: AtomicU32,
    dir: TempDir,
}

/// A world in this process.
pub type Here = World<InProcess>;

impl Deref for InProcess {
    type Target = Org;

    fn deref(&self) -> &Org {
        &self.org
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl World<InProcess> {
    /// A server with an empty default org.
    pub async fn here() -> Self {
        Self::here_with(Options::default()).await
    }

    /// A server that is set up otherwise.
    pub async fn here_with(options: Options) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let store_clock = Arc::clone(&clock);
        let dir = tempfile::tempdir().unwrap();
        let store_clock = Arc::new(move || store_clock.now());
        let options_of_store = SqliteOptions { clock: store_clock, ..SqliteOptions::default() };
        let store: Arc<dyn Backend> = Sqlite::open(dir.path(), options_of_store).unwrap();
        let org = OrgRecord { id: DEFAULT_ORG, name: "Default".into(), is_default: true, created_at: START };
        store.create_org(Change { value: org, audit: audit() }).await.unwrap();
        let random = options.random;
        let dispatch = Arc::new(Recorder::default());
        let watched = Arc::new(Watch {
            store: Arc::clone(&store).watched().unwrap(),
            poisoned: AtomicBool::new(false),
            refusing: Mutex::default(),
        });
        let registry = Registry::standard();
        let edge = Edge::new(options.edge, vec!["127.0.0.1/32".parse().unwrap()]);
        let transport = Arc::new(Transport::with_resolver(EgressPolicy::default(), Arc::new(Names)));
        let telemetry = Telemetry::new(clock.clone(), &registry)
            .watching(watched.clone())
            .keeping(Duration::from_hours(720))
            .behind(edge.clone());
        let telemetry = Arc::new(telemetry);
        let app = App::new(Parts {
            store: store.clone(),
            vault: Arc::new(Vault::new(&SecretBox::new(Box::new([7; 32])), &[], random.clone())),
            clock: clock.clone(),
            random,
            registry: registry.clone(),
            transport: transport.clone(),
            telemetry: telemetry.clone(),
            dispatch: dispatch.clone(),
            courier: Arc::new(Courier::new((*transport).clone(), None)),
            sends_mail: false,
            public_url: options.public_url.map(Into::into),
            default_org: DEFAULT_ORG,
            bootstrap_key: Some(BOOTSTRAP.into()),
            passwords: Arc::new(Passwords::new(options.hashing, Arc::new(SystemRandom))),
            signing_secret: options.signing_secret.map(Into::into),
            described: vec![DESCRIBED],
            limits: options.limits,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let page = Dashboard::new(toktra_siem_page::Parts {
            app: app.clone(),
            registry,
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
            edge: edge.clone(),
            public_url: options.public_url.map(Into::into),
            entrance: options.entrance,
            closing: shutdown.clone(),
            tour: None,
        });
        let router = toktra_siem_page::beside(router(AppState::new(app, edge.clone())), page);
        let router = match options.in_front {
            Some(in_front) => in_front(router),
            None => router,
        };
        let serving = tokio::spawn(serve(listener, Face::new(router), edge, shutdown.clone()));
        let client = Client::new(&format!("http://{address}")).with_key(BOOTSTRAP).with_witness(crate::contract::hold);
        let org = Org { id: DEFAULT_ORG.to_string(), client };
        let attempts = AtomicU32::new(1);
        let server = InProcess {
            store,
            dispatch,
            watched,
            telemetry,
            clock,
            address,
            shutdown,
            serving,
            org,
            owner: Owner::default(),
            attempts,
            dir,
        };
        Self { server, browser: None }
    }

    /// A server, and a tab in which an admin has logged in.
    pub async fn here_as_admin() -> (Self, Tab) {
        let world = Self::here().await;
        let tab = Tab::of_admin(&world).await;
        (world, tab)
    }

    /// A server, and a tab in which a viewer has logged in.
    pub async fn here_as_viewer() -> (Self, Tab) {
        let world = Self::here().await;
        let tab = Tab::of_viewer(&world).await;
        (world, tab)
    }

    /// A client with a new session of whoever has this address and [`PASSWORD`].
    pub async fn login(&self, email: &str) -> Client {
        let opened = self.attempt(email, PASSWORD).await.expect_status(201).json();
        self.client.with_key(opened["token"].as_str().unwrap())
    }

    /// Tries to log in, from another address each time.
    pub async fn attempt(&self, email: &str, password: &str) -> Answer {
        let from = Ipv4Addr::from_bits(0x0b00_0000 + self.server.attempts.fetch_add(1, Ordering::SeqCst));
        let headers = [("content-type", "application/json"), ("x-forwarded-for", &*from.to_string())];
        let body = json!({ "email": email, "password": password }).to_string();
        self.client.anonymous().send(http::Method::POST, "/v1/sessions", &headers, body.into()).await
    }

    /// Whether the database or its log holds `text`.
    pub fn is_on_disk(&self, text: &str) -> bool {
        let files =
            std::fs::read_dir(self.server.dir.path()).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
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

    /// A Splunk connector that is off, made by `client`.
    pub async fn idle_connector(&self, client: &Client, name: &str) -> Value {
        client.post("/v1/siem/connectors", &splunk_body(name)).await.expect_status(201).json()
    }

    /// Takes a stream over, under a newer lease: to write in the dispatcher's place.
    pub async fn take_over(&self, stream: StreamId) -> (Lease, StreamRecord) {
        let store: Arc<dyn Store> = self.store.clone();
        self.server.owner.take_over(&*store, stream).await.unwrap()
    }

    /// Moves the wall clock.
    pub fn pass(&self, by: Duration) {
        self.clock.advance(by);
    }
}

/// The body that makes a Splunk connector.
pub fn splunk_body(name: &str) -> Value {
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
        Value::String(text) => Value::String(redacted_text(&text)),
        Value::Array(items) => items.into_iter().map(redacted).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, redacted(value))).collect(),
        other => other,
    }
}

fn redacted_text(text: &str) -> String {
    let random = text.strip_prefix("tsk_").or_else(|| text.strip_prefix("tss_")).unwrap_or(text);
    if text.parse::<Uuid>().is_ok_and(|id| id.get_version_num() == 7) {
        "<uuid>".into()
    } else if is_made(random) {
        "<secret>".into()
    } else if text.starts_with("tsd_") {
        "<device>".into()
    } else if text.starts_with('…') {
        "<hint>".into()
    } else if random.len() < text.len() {
        "<prefix>".into()
    } else {
        without_made_ids(text)
    }
}

/// A text that holds an event, as a command does, without the ids that were made for it.
fn without_made_ids(text: &str) -> String {
    let made = Regex::new(r#"(event_id":"|connector_id:)[0-9a-f-]{36}"#).expect("a pattern");
    made.replace_all(text, "${1}<uuid>").into_owned()
}
