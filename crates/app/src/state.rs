//! What the use cases work with: the store, the vault, the way out, and the one who delivers.

use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::time::Instant;
use toktra_siem_base::clock::Clock;
use toktra_siem_base::random::Random;
use toktra_siem_base::rate::{Allowance, RateLimiter};
use toktra_siem_base::vault::Vault;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::event::EventType;
use toktra_siem_core::ids::{ConnectorId, OrgId, StreamId, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_dispatch::test_delivery::{Listener, TestReport};
use toktra_siem_dispatch::watchdog::Verdict;
use toktra_siem_egress::Transport;
use toktra_siem_identity::devices::Devices;
use toktra_siem_identity::passwords::Passwords;
use toktra_siem_identity::sessions::Sessions;
use toktra_siem_notify::Courier;
use toktra_siem_platform::Registry;
use toktra_siem_store::{AuditEntry, ConnectorRecord, Store, StoreError};
use toktra_siem_telemetry::Telemetry;

use crate::backlog::BacklogCap;
use crate::cache::TtlCache;
use crate::channels::TESTS_A_MINUTE;
use crate::connectors::compare::A_MINUTE;
use crate::events::turns::Searches;
use crate::once::Turns;
use crate::principal::{KeyRing, Principal};
use crate::{Refusal, Result};

/// What became of what a connector puts in place at its endpoint (an index template, say).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateReport {
    /// The name of the template.
    pub template: String,
    /// It could not be put in place, for this reason, but deliveries go on without it.
    pub warning: Option<Cause>,
}

/// Why the index template could not be put in place.
#[derive(Debug, thiserror::Error)]
pub enum TemplateFailure {
    /// The connector's platform has no such thing.
    #[error("the connector's platform has nothing to put in place")]
    Unsupported,
    /// The endpoint could not be reached, or refused.
    #[error("{0}")]
    Endpoint(Cause),
    /// The connector could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A test delivery that somebody asked for.
#[derive(Debug, Clone)]
pub struct TestRequest {
    /// The connector, stored like this or not.
    pub record: ConnectorRecord,
    /// It is stored exactly like this: the test stands in the history, and its success closes breakers.
    pub saved: bool,
    /// The type of which a sample is sent; `None` for the event of a test delivery.
    pub sample: Option<EventType>,
    /// The line of the audit log.
    pub audit: AuditEntry,
    /// Who hears of it while it is under way.
    pub listener: Listener,
}

/// Why no test was made.
#[derive(Debug, thiserror::Error)]
pub enum TestFailure {
    /// The connector cannot be used as it is: its secrets do not open, say.
    #[error("the connector cannot be used: {0}")]
    Unusable(String),
    /// As many tests as there may be are under way.
    #[error("too many test deliveries at the same moment")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the use cases ask of the part that delivers.
#[async_trait]
pub trait Dispatch: Send + Sync {
    /// A connector was made, saved or removed: look at it anew. A hint; must not block.
    fn connector_changed(&self, org: OrgId, id: ConnectorId);

    /// The connector was removed: returns once nothing more is sent for it, or after a few seconds.
    async fn connector_removed(&self, org: OrgId, id: ConnectorId) {
        self.connector_changed(org, id);
    }

    /// A job of the connector was made, or cancelled. A hint; must not block.
    fn job_changed(&self, id: ConnectorId);

    /// What a stream goes without although its events arrive, for as long as it is so.
    fn warning(&self, _stream: StreamId) -> Option<Cause> {
        None
    }

    /// Since when, and why, a stream stands still because this service cannot do its part: it cannot read its own store, say.
    fn failing(&self, _stream: StreamId) -> Option<(Timestamp, Cause)> {
        None
    }

    /// Why a stream does not move, as far as it is watched.
    fn verdict(&self, _stream: StreamId) -> Verdict {
        Verdict::Moves
    }

    /// Creates or updates the built-in index template at the connector's endpoint, now.
    async fn apply_template(&self, org: OrgId, id: ConnectorId) -> Result<TemplateReport, TemplateFailure>;

    /// Sends a synthetic event to every enabled stream of the connector, and says what came of it. Goes on to its end even where nobody
    /// waits for the answer any more.
    async fn test(&self, request: TestRequest) -> Result<TestReport, TestFailure>;
}

/// Bounds of what clients may ask for.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests a minute and key, all routes but `/v1/events` (`TOKTRA_SIEM_RATE_LIMIT`); `None` for no limit.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Bytes of a request with events, inflated.
    pub event_body: usize,
    /// Bytes of any other request.
    pub body: usize,
    /// Undelivered events of an org, at most, counted by its slowest stream (`TOKTRA_SIEM_MAX_ORG_BACKLOG`); `None` for no limit.
    pub org_backlog: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_minute: NonZeroU32::new(600),
            event_body: 4 * 1024 * 1024,
            body: 256 * 1024,
            org_backlog: None,
        }
    }
}

/// What an [`App`] is made of.
pub struct Parts {
    /// Where everything lives.
    pub store: Arc<dyn Store>,
    /// Seals connector secrets.
    pub vault: Arc<Vault>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// For ids, keys and secrets.
    pub random: Arc<dyn Random>,
    /// Which platforms there are.
    pub registry: Registry,
    /// Judges the targets of connectors.
    pub transport: Arc<Transport>,
    /// Counts, and makes traces.
    pub telemetry: Arc<Telemetry>,
    /// Who delivers.
    pub dispatch: Arc<dyn Dispatch>,
    /// Who tells people that something is wrong.
    pub courier: Arc<Courier>,
    /// Whether the operator configured a mail server.
    pub sends_mail: bool,
    /// The URL of the page, if the operator set it: `TOKTRA_SIEM_PUBLIC_URL`.
    pub public_url: Option<String>,
    /// The org that `serve` made on first start.
    pub default_org: OrgId,
    /// `TOKTRA_SIEM_API_KEY`: all scopes, and the default org where a request names none.
    pub bootstrap_key: Option<SecretString>,
    /// Checks passwords.
    pub passwords: Arc<Passwords>,
    /// `SIEM_SIGNING_SECRET`: signs for the default org's connectors that have no secret of their own.
    pub signing_secret: Option<SecretString>,
    /// The connectors that file or environment describe at present: read-only here. One that they described once and do not any more
    /// may be removed.
    pub described: Vec<ConnectorId>,
    /// What clients may ask for.
    pub limits: Limits,
}

/// The [`Parts`], and what is kept in memory beside them. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// See [`App`].
pub struct Inner {
    /// What it is made of.
    pub parts: Parts,
    /// Who calls.
    pub keys: KeyRing,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) orgs: TtlCache<OrgId, ()>,
    /// `None` for no limit.
    rate: Option<RateLimiter>,
    /// Comparisons with the secrets of each connector and each notification channel.
    pub(crate) compared: RateLimiter,
    /// Test messages of each org.
    pub(crate) tested: RateLimiter,
    pub(crate) backlog: BacklogCap,
    pub(crate) once: Turns,
    pub(crate) searches: Searches,
}

impl App {
    /// The state of one server.
    pub fn new(parts: Parts) -> Self {
        let (store, clock, random) = (parts.store.clone(), parts.clock.clone(), parts.random.clone());
        let devices = Devices::new(&parts.vault);
        let sessions = Arc::new(Sessions::new(store.clone(), clock, random, parts.passwords.clone(), devices));
        let keys = KeyRing::new(store, sessions.clone(), parts.bootstrap_key.as_ref(), parts.default_org);
        let rate = parts.limits.requests_per_minute.map(RateLimiter::new);
        let backlog = BacklogCap::new(parts.limits.org_backlog);
        let (orgs, once) = (TtlCache::default(), Turns::default());
        let (compared, tested) = (RateLimiter::new(A_MINUTE), RateLimiter::new(TESTS_A_MINUTE));
        let searches = Searches::default();
        Self(Arc::new(Inner { parts, keys, sessions, orgs, rate, compared, tested, backlog, once, searches }))
    }
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Inner {
    /// Now.
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// Counts a request of `principal`; `None` if there is no limit.
    pub fn count(&self, principal: &Principal) -> Option<Allowance> {
        self.rate.as_ref().map(|rate| rate.take(principal.id, Instant::now()))
    }

    /// Whose connector this is, if `principal` is the bootstrap key, which may look at all orgs: an alert names a connector and no org.
    pub async fn org_of_connector(&self, principal: &Principal, id: ConnectorId) -> Result<Option<OrgId>> {
        if principal.fallback.is_none() {
            return Ok(None);
        }
        for kind in StreamKind::ALL {
            match self.parts.store.stream(StreamId { connector: id, kind }).await {
                Ok(stream) => return Ok(Some(stream.org)),
                Err(StoreError::NotFound) => {}
                Err(error) => return Err(Refusal::store("connector", error)),
            }
        }
        Ok(None)
    }

    /// Whether the org exists; remembered for a moment.
    pub(crate) async fn org_exists(&self, org: OrgId) -> Result<bool, StoreError> {
        if org == self.parts.default_org || self.orgs.get(&org).is_some() {
            return Ok(true);
        }
        let ticket = self.orgs.ticket();
        match self.parts.store.org(org).await {
            Ok(_) => {
                self.orgs.put(ticket, org, ());
                Ok(true)
            }
            Err(StoreError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
