//! The assembly: from a [`Config`] to a running server, and its orderly end. Nothing here decides anything; it puts together what does.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use tokio::net::TcpListener;
use toktra_siem_api::AppState;
use toktra_siem_app::App;
use toktra_siem_base::clock::{Clock, SystemClock};
use toktra_siem_base::random::{Random, SystemRandom};
use toktra_siem_base::vault::Vault;
use toktra_siem_config::Config;
use toktra_siem_core::ids::OrgId;
use toktra_siem_dispatch::node::Node;
use toktra_siem_dispatch::traffic::Recorder;
use toktra_siem_edge::{Edge, descriptors};
use toktra_siem_egress::{EgressPolicy, Transport};
use toktra_siem_identity::first_login::{Entrance, Welcome};
use toktra_siem_identity::passwords::{Argon2id, Passwords};
use toktra_siem_notify::Courier;
use toktra_siem_page::Dashboard;
use toktra_siem_page::tour::Tour;
use toktra_siem_platform::Registry;
use toktra_siem_store::{Actor, Aging, AuditEntry, Backend, ClockTrust, Milestone, Store, StoreError, Watched};
use toktra_siem_telemetry::Telemetry;
use toktra_siem_telemetry::trace::export;

use crate::environment::{Environs, connector_id};
use crate::notices::send::Teller;
use crate::supervisor::{Ended, Stage, Supervisor};
use crate::threads::Threads;
use first_key::{FIRST_START, FirstKey};

mod data;
mod face;
mod first_admin;
mod first_key;
pub(crate) mod first_link;
mod places;
mod tasks;

pub(crate) use data::{at_rest, explained, has_key_file, make_dir, newest_layout};
pub use data::{open_store, remove_private, write_private};
pub use first_key::FIRST_KEY_FILE;
pub(crate) use first_link::FIRST_LOGIN_FILE;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory, or a file in it, cannot be used; says which, why, and the step to take.
    #[error("The data cannot be opened: {0}.")]
    DataDir(String),
    /// The disk is full.
    #[error(
        "The data cannot be opened: no space is left on the file system of the data directory. Free some, and start again."
    )]
    Full,
    /// The key file cannot be used.
    #[error("The key file {} cannot be used: {reason}", path.display())]
    KeyFile {
        /// Which.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// Another process has the data directory open, or a newer version wrote the data; says which.
    #[error("The data cannot be opened: {0}.")]
    InUse(String),
    /// The store failed.
    #[error("The data cannot be opened: {0}")]
    Store(#[source] StoreError),
    /// The threads for outbound connections cannot be started.
    #[error(
        "The process cannot start its threads: {0}. Its limit of threads or of memory is probably too low: raise it"
    )]
    Threads(#[source] std::io::Error),
    /// Nothing can be sent to the collector of traces, wherever it is.
    #[error("Traces cannot be sent: {0} Without TOKTRA_SIEM_OTLP_ENDPOINT none are made.")]
    Collector(String),
    /// The address is taken, or not this machine's.
    #[error(
        "The server cannot listen on {address}: {source}. Probably another program uses the port already; stop it, or choose \
         another address with TOKTRA_SIEM_LISTEN"
    )]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(why) => Self::InUse(why),
            StoreError::Unusable(why) => Self::DataDir(why),
            StoreError::Full => Self::Full,
            other => Self::Store(other),
        }
    }
}

/// A server that takes events in and delivers them.
pub struct Service {
    address: SocketAddr,
    default_org: OrgId,
    public_url: Option<String>,
    first_key: Option<FirstKey>,
    first_login: Option<SecretString>,
    supervisor: Supervisor,
    backend: Arc<dyn Backend>,
    clock: Arc<dyn Clock>,
    traffic: Arc<Recorder>,
    telemetry: Arc<Telemetry>,
    grace: Duration,
}

/// What most parts are made from.
struct Base {
    /// Those of what delivers.
    threads: Arc<Threads>,
    store: Arc<dyn Store>,
    aging: Arc<Aging>,
    node: Arc<Node>,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    passwords: Arc<Passwords>,
    transport: Arc<Transport>,
    registry: Registry,
    telemetry: Arc<Telemetry>,
    default_org: OrgId,
    traffic: Arc<Recorder>,
    edge: Edge,
}

impl Service {
    /// Opens the data directory, binds the address and starts every task. From here on requests are answered.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_with(config, None).await
    }

    /// The same, as a demo: with a link that logs in at once, and a tour.
    pub async fn start_with(config: Config, demo: Option<(Welcome, Tour)>) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        for note in &config.notes {
            tracing::warn!(%note, "check this setting");
        }
        data::make_dir(&config.data_dir)?;
        data::until_free(&config.data_dir).await;
        let trust = if config.trust_clock { ClockTrust::AtStart } else { ClockTrust::Steady };
        let backend = data::open_store(&config.data_dir, config.max_disk, Arc::clone(&clock), trust)?;
        match Self::with_store(&config, Arc::clone(&backend), clock, random, demo).await {
            Ok(service) => Ok(service),
            Err(error) => {
                // What was written stays consistent either way; a failure here would only hide the first one.
                let _ = backend.close().await;
                Err(error)
            }
        }
    }

    async fn with_store(
        config: &Config,
        backend: Arc<dyn Backend>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        demo: Option<(Welcome, Tour)>,
    ) -> Result<Self, StartError> {
        let store: Arc<dyn Store> = backend.clone();
        data::tidy(&config.data_dir)?;
        let vault = Arc::new(data::vault(config, Arc::clone(&random))?);
        let listening = TcpListener::bind(config.listen).await;
        let listener = listening.map_err(|source| StartError::Listen { address: config.listen, source })?;
        let address = listener.local_addr().map_err(|source| StartError::Listen { address: config.listen, source })?;

        data::seal_anew(&*store, &vault).await?;
        let environs = Environs {
            store: Arc::clone(&store),
            vault: Arc::clone(&vault),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            registry: config.registry.clone(),
        };
        let (default_org, _) = environs.default_org().await?;
        environs.reconcile(default_org, &config.connectors, config.signing.current.is_some()).await?;
        let (time, chance) = (Arc::clone(&clock), Arc::clone(&random));
        let node = Node::join(Arc::clone(&store), time, chance, address.to_string()).await?;
        let interrupted = store.interrupt_tests().await?;
        if interrupted > 0 {
            tracing::warn!(interrupted, "test deliveries that were under way when the service ended have no outcome");
        }
        let policy = EgressPolicy::new(config.egress_allow.clone())
            .through(config.egress_proxy.clone())
            .from(config.egress_addresses.clone());
        if let Some(proxy) = &config.egress_proxy {
            tracing::info!(%proxy, "what is sent goes through the proxy");
        }
        let transport = Arc::new(Transport::on_own_threads(policy).map_err(StartError::Threads)?);
        let threads = Arc::new(Threads::start("dispatch").map_err(StartError::Threads)?);
        let passwords = Arc::new(Passwords::new(Arc::new(Argon2id), Arc::clone(&random)));
        let (traffic, wall) = (Arc::<Recorder>::default(), Arc::clone(&clock));
        let mut supervisor = Supervisor::default();
        let edge = edge(config);
        let telemetry = telemetry(config, Arc::clone(&backend).watched(), &clock, &transport, &edge, &mut supervisor)?;
        let base = Base {
            store,
            threads,
            aging: backend.aging(),
            node,
            vault,
            clock,
            random,
            passwords,
            transport,
            registry: config.registry.clone(),
            telemetry: Arc::clone(&telemetry),
            default_org,
            traffic: Arc::clone(&traffic),
            edge,
        };
        if let Some(admin) = &config.first_admin {
            first_admin::make(&base, admin).await?;
        }
        let first_key = base.first_key(config).await?;
        let (first_login, setup) = base.setup_link(&config.data_dir).await?;

        let (welcome, tour) = demo.unzip();
        base.supervise(config, listener, (Entrance { setup: Some(setup), welcome }, tour), &mut supervisor);
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!(version, %address, data_dir = %config.data_dir.display(), "listening");
        Ok(Self {
            address,
            default_org,
            public_url: config.public_url.clone(),
            first_key,
            first_login,
            supervisor,
            backend,
            clock: wall,
            telemetry,
            traffic,
            grace: config.shutdown_grace,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of its page, without a slash at the end.
    pub fn page(&self) -> String {
        first_link::page(self.public_url.as_deref(), self.address)
    }

    /// Where nobody has an account: the link to the form that makes the first one ([`toktra_siem_identity::first_login`]). To be shown once.
    pub fn first_login(&self) -> Option<SecretString> {
        Some(first_link::address(&self.page(), self.first_login.as_ref()?))
    }

    /// The org that was made on first start.
    pub fn default_org(&self) -> OrgId {
        self.default_org
    }

    /// On the very first start without a bootstrap key: an admin key of the default org, which is nowhere else. To be shown once, and then
    /// [`Self::first_key_handed_out`].
    pub fn first_key(&self) -> Option<&SecretString> {
        self.first_key.as_ref().map(|first| &first.key)
    }

    /// Somebody has the first key: no later start makes another one, also where this one is revoked.
    pub async fn first_key_handed_out(&self) -> Result<(), StoreError> {
        if self.first_key.is_none() {
            return Ok(());
        }
        self.backend.reach(Milestone::FirstKey, self.clock.now()).await
    }

    /// Ends without having served: the first key, which nobody was handed, is revoked, so that the next start makes another one.
    pub async fn give_up(self) -> Result<(), StoreError> {
        if let Some(FirstKey { id, .. }) = &self.first_key {
            let (actor, action, object) = (Actor::from(FIRST_START), "api_key.revoke".to_owned(), id.to_string());
            let audit = AuditEntry { at: self.clock.now(), actor, action, object, detail: json!({}) };
            self.backend.revoke_key(self.default_org, *id, audit).await?;
        }
        self.run_until(async {}).await.map(drop)
    }

    /// Runs until `asked` completes or a task fails, then ends intake first and the rest after it within the grace and closes the store.
    pub async fn run_until(self, asked: impl Future<Output = ()>) -> Result<Ended, StoreError> {
        let ended = self.supervisor.run(asked, self.grace).await;
        if let Err(failure) = self.traffic.flush(&*self.backend, self.clock.now()).await {
            tracing::error!(error = %failure, "what flowed last could not be added to the store; rates lack it");
        }
        ended.log_what_was_cut_off();
        self.telemetry.log_end(&*self.backend).await;
        self.backend.close().await?;
        Ok(ended)
    }
}

/// The shares that clients have of the service. Connections leave file descriptors to everything else.
fn edge(config: &Config) -> Edge {
    let descriptors = descriptors::raise();
    let wanted = usize::try_from(config.max_connections).unwrap_or(usize::MAX);
    let limits = toktra_siem_edge::Limits {
        connections: descriptors::places(wanted, descriptors),
        keep_alive: config.keep_alive,
        // A little less than its share, so that it ends by itself.
        farewell: Stage::Intake.share(config.shutdown_grace) * 9 / 10,
        ..toktra_siem_edge::Limits::default()
    };
    let (connections, of_address) = (limits.connections, limits.of_address());
    tracing::info!(connections, of_address, descriptors, "places for connections");
    if connections < wanted {
        tracing::warn!(
            connections,
            wanted,
            descriptors,
            "the limit of file descriptors leaves fewer places for connections than configured; raise it (LimitNOFILE in systemd, `ulimit -n`)"
        );
    }
    Edge::new(limits, config.trusted_proxies.clone())
}

/// What tells of everything else, and the task that sends traces where there are any.
fn telemetry(
    config: &Config,
    watched: Option<Arc<dyn Watched>>,
    clock: &Arc<dyn Clock>,
    transport: &Transport,
    edge: &Edge,
    supervisor: &mut Supervisor,
) -> Result<Arc<Telemetry>, StartError> {
    let mut telemetry = Telemetry::new(Arc::clone(clock), &config.registry)
        .lying_in(config.data_dir.clone())
        .keeping(config.lifetimes.payloads)
        .behind(edge.clone());
    if let Some(watched) = watched {
        telemetry = telemetry.watching(watched);
    }
    let Some(options) = &config.traces else { return Ok(Arc::new(telemetry)) };
    let (tracer, exporter) =
        export::start(options, transport).map_err(|failure| StartError::Collector(failure.cause().message))?;
    let stop = supervisor.token(Stage::Report);
    supervisor.spawn(Stage::Report, "traces", exporter.run(stop));
    Ok(Arc::new(telemetry.tracing(tracer)))
}

impl Base {
    /// Starts every task in its stage.
    fn supervise(
        self,
        config: &Config,
        listener: TcpListener,
        (entrance, tour): (Entrance, Option<Tour>),
        supervisor: &mut Supervisor,
    ) {
        // To the last: what it still owns is free once it has left.
        supervisor.spawn(Stage::Report, "node", Arc::clone(&self.node).run(supervisor.token(Stage::Report)));
        let hub = self.dispatcher(config, supervisor);
        self.upkeep(config, &hub, supervisor);
        let (clock, random) = (Arc::clone(&self.clock), Arc::clone(&self.random));
        let courier = Arc::new(Courier::new((*self.transport).clone(), config.mail.clone()));
        let teller = Teller {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            vault: Arc::clone(&self.vault),
            courier: Arc::clone(&courier),
            public_url: config.public_url.clone(),
            started: self.clock.now(),
        };
        let telling = teller.run(Arc::clone(&self.node), supervisor.token(Stage::Upkeep));
        supervisor.spawn(Stage::Upkeep, "notifications", telling);
        let app = App::new(toktra_siem_app::Parts {
            store: self.store,
            vault: self.vault,
            clock: self.clock,
            random: self.random,
            transport: self.transport,
            registry: self.registry,
            telemetry: self.telemetry,
            dispatch: Arc::new(hub),
            courier,
            sends_mail: config.mail.is_some(),
            public_url: config.public_url.clone(),
            default_org: self.default_org,
            bootstrap_key: config.api_key.clone(),
            passwords: self.passwords,
            signing_secret: config.signing.current.clone(),
            described: config.connectors.iter().map(|c| connector_id(self.default_org, c.settings.platform)).collect(),
            limits: toktra_siem_app::Limits {
                requests_per_minute: config.rate_limit,
                org_backlog: config.max_org_backlog,
                ..toktra_siem_app::Limits::default()
            },
        });
        let state = AppState::new(app.clone(), self.edge.clone());
        let shutdown = supervisor.token(Stage::Intake);
        let page = Dashboard::new(toktra_siem_page::Parts {
            app,
            registry: config.registry.clone(),
            clock,
            random,
            edge: self.edge.clone(),
            public_url: config.public_url.clone(),
            entrance,
            closing: shutdown.clone(),
            tour,
        });
        supervisor.spawn(Stage::Intake, "api", async move {
            let face = toktra_siem_api::face::Face::new(toktra_siem_page::beside(toktra_siem_api::router(state), page));
            toktra_siem_edge::serve(listener, face, self.edge, shutdown).await;
            Ok(())
        });
    }
}
