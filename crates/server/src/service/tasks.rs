//! The tasks that deliver and keep house.

use std::sync::Arc;

use toktra_siem_base::clock::Clock;
use toktra_siem_config::Config;
use toktra_siem_dispatch::hub::Hub;
use toktra_siem_dispatch::links::StoredLinks;
use toktra_siem_dispatch::watchdog::Watchdog;
use toktra_siem_dispatch::{Context, traffic};

use super::{Base, face, places};
use crate::notices::Notices;
use crate::own_events::{OwnEvents, Wanted};
use crate::supervisor::{Stage, Supervisor};
use crate::upkeep;

impl Base {
    /// What delivers, on threads of its own: what thousands of events of one org cost there holds up no request of another.
    pub(super) fn dispatcher(&self, config: &Config, supervisor: &mut Supervisor) -> face::Dispatching {
        let links = Arc::new(StoredLinks {
            store: Arc::clone(&self.store),
            vault: Arc::clone(&self.vault),
            registry: self.registry.clone(),
            transport: Arc::clone(&self.transport),
            signing: config.signing.clone(),
            default_org: self.default_org,
        });
        let (store, node, clock) = (Arc::clone(&self.store), Arc::clone(&self.node), Arc::clone(&self.clock));
        let (random, registry, telemetry) =
            (Arc::clone(&self.random), self.registry.clone(), Arc::clone(&self.telemetry));
        let context = Context::new(store, node, clock, random, links.clone(), registry, telemetry);
        let context = Arc::new(Context { traffic: Arc::clone(&self.traffic), ..context });
        let (hub, handle) = Hub::new(Arc::clone(&context), supervisor.token(Stage::Dispatch));
        let threads = Arc::clone(&self.threads);
        supervisor.spawn(Stage::Dispatch, "dispatcher", async move { Ok(threads.run(hub.run()).await??) });
        let watchdog = Watchdog::new(Arc::clone(&context)).run(supervisor.token(Stage::Dispatch));
        supervisor.spawn(Stage::Dispatch, "watchdog", watchdog);
        let tests = places::Places::default();
        let closing = supervisor.token(Stage::Intake);
        let removed = tokio::sync::broadcast::Sender::new(64);
        face::Dispatching { handle, links, context, tests, closing, removed }
    }

    /// What keeps house.
    pub(super) fn upkeep(&self, config: &Config, hub: &face::Dispatching, supervisor: &mut Supervisor) {
        let stop = supervisor.token(Stage::Upkeep);
        let part = || (Arc::clone(&self.store), Arc::clone(&self.clock), Arc::clone(&self.node));
        let aged: Arc<dyn Clock> = Arc::new(upkeep::Aged(Arc::clone(&self.aging)));
        let (store, _, node) = part();
        let retention = upkeep::retention(store, Arc::clone(&self.aging), node, config.lifetimes, stop.clone());
        supervisor.spawn(Stage::Upkeep, "retention", retention);
        let (store, _, node) = part();
        let rotations = upkeep::rotations(store, Arc::clone(&aged), node, hub.handle.clone(), stop.clone());
        supervisor.spawn(Stage::Upkeep, "rotations", rotations);
        let (store, clock, node) = part();
        supervisor.spawn(Stage::Upkeep, "discards", upkeep::discards(Arc::clone(&store), node, stop.clone()));
        let sessions = upkeep::sessions(Arc::clone(&store), aged, stop.clone());
        supervisor.spawn(Stage::Upkeep, "sessions", sessions);
        let kept = traffic::keep(Arc::clone(&self.traffic), store, clock, stop.clone());
        supervisor.spawn(Stage::Upkeep, "traffic", kept);
        let (store, clock, node) = part();
        let accounts =
            upkeep::accounts(Arc::clone(&store), Arc::clone(&node), Arc::clone(&self.telemetry), stop.clone());
        supervisor.spawn(Stage::Upkeep, "accounts", accounts);
        let warnings = Arc::clone(&hub.context.warnings);
        let notices = Notices::new(Arc::clone(&store), warnings, config.lifetimes.payloads);
        let own = OwnEvents::new(store, clock, Arc::clone(&self.random), notices);
        let wanted = Wanted { heartbeat: config.heartbeat, alerts: config.connector_alerts };
        supervisor.spawn(Stage::Upkeep, "own events", own.run(wanted, node, stop));
    }
}
