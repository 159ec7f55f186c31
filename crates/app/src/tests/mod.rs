//! The use cases, without a server: a store in memory, a clock that stands, and a dispatcher that remembers what it is told.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretBox};
use serde_json::{Value, json};
use toktra_siem_base::clock::{Clock, ManualClock};
use toktra_siem_base::random::SeededRandom;
use toktra_siem_base::vault::Vault;
use toktra_siem_core::ids::{ConnectorId, OrgId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_dispatch::test_delivery::TestReport;
use toktra_siem_egress::{EgressPolicy, Resolver, Transport};
use toktra_siem_identity::api_keys;
use toktra_siem_identity::passwords::{Argon2id, Passwords};
use toktra_siem_notify::Courier;
use toktra_siem_platform::Registry;
use toktra_siem_store::{Actor, AuditEntry, Change, ConfigStore as _, Memory, OrgRecord, OrgStore as _, Scope};
use toktra_siem_telemetry::Telemetry;
use uuid::Uuid;

use crate::{App, Caller, Dispatch, Limits, Object, Parts, TemplateFailure, TemplateReport, TestFailure, TestRequest};

mod changes;
mod once;
mod rights;
mod waiting;

const ORG: OrgId = OrgId(Uuid::from_u128(0xa));
const OTHER: OrgId = OrgId(Uuid::from_u128(0xb));
const NOON: Timestamp = Timestamp(1_736_942_400_000);

/// Remembers what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<ConnectorId>>);

#[async_trait]
impl Dispatch for Told {
    fn connector_changed(&self, _org: OrgId, id: ConnectorId) {
        self.0.lock().push(id);
    }

    fn job_changed(&self, id: ConnectorId) {
        self.0.lock().push(id);
    }

    async fn apply_template(&self, _org: OrgId, _id: ConnectorId) -> Result<TemplateReport, TemplateFailure> {
        Err(TemplateFailure::Unsupported)
    }

    async fn test(&self, _request: TestRequest) -> Result<TestReport, TestFailure> {
        Err(TestFailure::Busy)
    }
}

/// Every name leads to the public internet.
struct Public;

#[async_trait]
impl Resolver for Public {
    async fn resolve(&self, _name: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(vec![IpAddr::from([93, 184, 216, 34])])
    }
}

/// The use cases of a service with two orgs.
struct World {
    app: App,
    store: Arc<Memory>,
    clock: Arc<ManualClock>,
    told: Arc<Told>,
}

async fn orgs(store: &Memory) {
    for (id, name) in [(ORG, "Ours"), (OTHER, "Theirs")] {
        let value = OrgRecord { id, name: name.into(), is_default: id == ORG, created_at: NOON };
        store.create_org(Change { value, audit: line() }).await.unwrap();
    }
}

/// The use cases of a service with these two orgs.
fn app(
    store: &Arc<Memory>,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    dispatch: Arc<dyn Dispatch>,
    seed: u64,
) -> App {
    let random = Arc::new(SeededRandom::new(seed));
    let transport = Arc::new(Transport::with_resolver(EgressPolicy::default(), Arc::new(Public)));
    App::new(Parts {
        store: store.clone(),
        vault: Arc::new(Vault::new(&SecretBox::new(Box::new([7; 32])), &[], random.clone())),
        clock,
        random: random.clone(),
        telemetry,
        registry: Registry::standard(),
        transport: transport.clone(),
        dispatch,
        courier: Arc::new(Courier::new((*transport).clone(), None)),
        sends_mail: false,
        public_url: None,
        default_org: ORG,
        bootstrap_key: None,
        passwords: Arc::new(Passwords::new(Arc::new(Argon2id), random)),
        signing_secret: None,
        described: Vec::new(),
        limits: Limits::default(),
    })
}

/// Somebody with a key of `org` that has these scopes; of no org if that is `None`.
async fn caller(app: &App, org: Option<OrgId>, scopes: &[Scope]) -> Caller {
    let (key, record) = api_keys::make(&*app.parts.random, NOON, org, "test".to_owned(), scopes.to_vec());
    app.parts.store.create_key(Change { value: record, audit: line() }).await.unwrap();
    let principal = app.keys.authenticate(key.expose_secret(), app.now(), true).await.unwrap();
    Caller::new(app, principal, None).await.unwrap()
}

/// What the log says of the world itself.
const SET_UP: &str = "world.set_up";

fn line() -> AuditEntry {
    let (actor, action, object) = (Actor::from("test"), SET_UP.to_owned(), String::new());
    AuditEntry { at: NOON, actor, action, object, detail: json!({}) }
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(NOON));
        let store_clock = Arc::clone(&clock);
        let store = Arc::new(Memory::new(Arc::new(move || store_clock.now())));
        let told = Arc::<Told>::default();
        let telemetry = Arc::new(Telemetry::new(clock.clone(), &Registry::standard()));
        orgs(&store).await;
        let app = app(&store, clock.clone(), telemetry, told.clone(), 1);
        Self { app, store, clock, told }
    }

    /// Somebody with a key of `org` that has these scopes; of no org if that is `None`.
    async fn caller(&self, org: Option<OrgId>, scopes: &[Scope]) -> Caller {
        caller(&self.app, org, scopes).await
    }

    async fn admin(&self) -> Caller {
        self.caller(Some(ORG), &[Scope::Admin]).await
    }

    /// The actions of the org's audit log, oldest first.
    async fn actions(&self, org: OrgId) -> Vec<String> {
        let query = toktra_siem_store::AuditQuery { limit: 100, ..Default::default() };
        let page = self.store.audit(org, query).await.unwrap();
        page.items.into_iter().rev().map(|(_, line)| line.action).filter(|action| action != SET_UP).collect()
    }

    /// Which secrets the newest line of the audit log says were changed, and whether the credential was.
    async fn told_last(&self) -> (Value, Value) {
        let query = toktra_siem_store::AuditQuery { limit: 1, ..Default::default() };
        let (_, line) = self.store.audit(ORG, query).await.unwrap().items.remove(0);
        (line.detail["secrets_changed"].clone(), line.detail["credential_changed"].clone())
    }
}

/// A new connector.
fn connector(name: &str) -> Object {
    Object::of(&splunk(name))
}

fn splunk(name: &str) -> Value {
    let config = json!({ "hec_url": "https://siem.example:8088", "hec_token": "a-token-of-some-length" });
    json!({ "name": name, "platform": "splunk", "config": config })
}
