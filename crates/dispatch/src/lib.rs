//! From stored events to settled deliveries: one worker for each stream of an active connector.
//!
//! The cast: a [`worker`] owns a stream. It **selects** events behind its cursor, **opens** deliveries (which pins them), has each one
//! **attempted** in a task of its own, lets the pure [`step`](toktra_siem_core::delivery::step) say what the answer means, and **settles**.
//! The [`hub`] claims streams for this [`node`] and has a worker for each, until the connector is switched off or another node has it; a [`link`]
//! is what a worker needs to reach its endpoint, taken anew whenever the connector is saved.
//!
//! Deliberately absent: a queue. Work is derived from what is stored (cursor, ranges, parked rows, pending deliveries), so that a lost
//! wake-up costs a few seconds and a crash costs nothing. One worker never waits for another: a slow endpoint slows its own stream only.

use std::sync::Arc;
use std::time::Duration;

use toktra_siem_base::clock::Clock;
use toktra_siem_base::random::Random;
use toktra_siem_core::delivery::Policy;
use toktra_siem_platform::Registry;
use toktra_siem_store::Store;
use toktra_siem_telemetry::Telemetry;

use crate::traffic::Recorder;

mod ahead;
mod attempt;
mod concurrency;
mod confirm;
pub mod hub;
mod job;
pub mod link;
pub mod links;
pub mod memory;
pub mod node;
mod probe;
pub mod records;
mod resend;
pub mod run;
mod select;
mod settle;
mod slots;
pub mod test_delivery;
pub mod traffic;
pub mod warnings;
pub mod watchdog;
mod window;
pub mod worker;

#[cfg(test)]
mod tests;

/// What every worker shares.
pub struct Context {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// This process among those that share the store.
    pub node: Arc<node::Node>,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Ids and jitter.
    pub random: Arc<dyn Random>,
    /// How a worker reaches its endpoint.
    pub links: Arc<dyn link::Links>,
    /// Which platforms there are.
    pub registry: Registry,
    /// Counts, and makes traces.
    pub telemetry: Arc<Telemetry>,
    /// Attempts and pauses.
    pub policy: Policy,
    /// Deadlines.
    pub timing: Timing,
    /// Gathers what flows.
    pub traffic: Arc<Recorder>,
    /// What all of them may hold.
    pub memory: Arc<memory::Memory>,
    /// What of them may wait to be recorded.
    pub records: Arc<records::Records>,
    /// What streams go without.
    pub warnings: Arc<warnings::Warnings>,
    /// What workers and hub say of themselves, and which streams do not move.
    pub watch: Arc<watchdog::Watch>,
}

impl Context {
    /// With the product's policy and deadlines, and nothing gathered yet.
    pub fn new(
        store: Arc<dyn Store>,
        node: Arc<node::Node>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        links: Arc<dyn link::Links>,
        registry: Registry,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        Self {
            store,
            node,
            clock,
            random,
            links,
            registry,
            telemetry,
            policy: Policy::default(),
            timing: Timing::default(),
            traffic: Arc::default(),
            memory: Arc::default(),
            records: Arc::default(),
            warnings: Arc::default(),
            watch: Arc::default(),
        }
    }
}

/// Deadlines of the dispatcher. The defaults are the product's; only tests use others.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// One request, from dialling to the last byte of the answer (as in Vector).
    pub request: Duration,
    /// How long an acceptance may stay unconfirmed before it counts as delivered with a warning.
    pub acknowledgement: Duration,
    /// How often a worker looks at what is stored although nothing woke it: covers lost hints.
    pub tick: Duration,
    /// The pause after a failure of the store before the worker starts afresh.
    pub after_store_failure: Duration,
    /// The pause before a connector that cannot be used (its secrets do not open, say) is looked at again, unless it is saved before.
    pub after_unusable_link: Duration,
    /// A whole test delivery, over all streams and with its confirmation: a person waits for it.
    pub test: Duration,
    /// How long a test looks for its event once it is delivered, with a credential that was given for searching; together with the delivery less
    /// than the minute for which proxies wait for an answer.
    pub search: Duration,
    /// The same with the login that delivers, which need not find it.
    pub search_unasked: Duration,
    /// How long after its end a window of metrics is pinned, so that the group that was being written then is in it.
    pub window_grace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(30),
            acknowledgement: Duration::from_mins(2),
            tick: Duration::from_secs(5),
            after_store_failure: Duration::from_secs(1),
            after_unusable_link: Duration::from_secs(30),
            test: Duration::from_secs(15),
            search: Duration::from_secs(40),
            search_unasked: Duration::from_secs(5),
            window_grace: Duration::from_secs(1),
        }
    }
}
