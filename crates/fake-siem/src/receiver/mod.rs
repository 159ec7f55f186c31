//! The part that all platforms share: listening, reading requests, following the script, recording, answering.
//! What is strict about a platform is its [`Rules`]; nothing here knows one platform from another.

mod in_memory;
mod recorder;
mod reply;
mod request;
mod script;
mod serve;
mod wire;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

pub use in_memory::InMemory;
pub use recorder::{Accepted, Counts, Log, Recorded, Recording, Violation};
pub use reply::Reply;
pub use request::{Received, Unreadable};
pub use script::{Behaviour, Delivery, Gate};
pub use wire::Tls;

use recorder::{Findings, Recorder};
use script::Scripts;
use serve::{Running, Shared};
use wire::ReservedPort;

/// What is strict about one platform: how it judges a request.
pub trait Rules: Send + Sync + 'static {
    /// The platform's endpoints; each has a script of its own.
    type Endpoint: Copy + Debug + Eq + Hash + Send + Sync + 'static;
    /// The partial failures that only this platform knows.
    type Fault: Clone + Debug + Send + Sync + 'static;

    /// The endpoint that a path belongs to.
    fn endpoint(&self, path: &str) -> Self::Endpoint;
    /// The platform's true answer, and what it took in. `fault` is laid over the rules where a script asks for it.
    fn judge(&self, request: &Received, fault: Option<&Self::Fault>) -> Judgement;
    /// As `judge`, but events are only counted: the sink of a benchmark.
    fn count(&self, request: &Received) -> Judgement;
    /// What the platform holds beside the accepted events themselves, for a harness in another process.
    fn held(&self) -> serde_json::Value;
}

/// What a platform's rules decided about one request.
pub struct Judgement {
    reply: Reply,
    findings: Findings,
}

impl Judgement {
    pub(crate) fn of(reply: Reply) -> Self {
        Self { reply, findings: Findings { accepted: Vec::new(), counted: 0, violations: Vec::new() } }
    }

    /// A refusal of the whole request, because the sender broke this rule.
    pub(crate) fn refused(reply: Reply, rule: impl Into<String>) -> Self {
        Self::of(reply).violating([rule.into()])
    }

    pub(crate) fn map_reply(&mut self, change: impl FnOnce(Reply) -> Reply) {
        let reply = std::mem::replace(&mut self.reply, Reply::empty(500));
        self.reply = change(reply);
    }

    pub(crate) fn accepted(&self) -> &[Accepted] {
        &self.findings.accepted
    }

    pub(crate) fn accepting(mut self, accepted: Vec<Accepted>) -> Self {
        self.findings.accepted = accepted;
        self
    }

    pub(crate) fn counting(mut self, events: usize) -> Self {
        self.findings.counted = events as u64;
        self
    }

    pub(crate) fn violating(mut self, rules: impl IntoIterator<Item = String>) -> Self {
        self.findings.violations.extend(rules);
        self
    }
}

/// What every receiver can be told, whatever its platform.
#[derive(Clone)]
pub struct ReceiverOptions {
    /// Where to listen; port 0 takes a free one. Default `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// HTTPS instead of HTTP.
    pub tls: Option<Tls>,
    /// How much is kept. Default [`Recording::Full`].
    pub recording: Recording,
    /// Append each accepted event to this file, one a line, before the answer is sent: the oracle's record.
    pub record_file: Option<PathBuf>,
}

impl Default for ReceiverOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: None,
            recording: Recording::Full,
            record_file: None,
        }
    }
}

/// A running fake receiver. Dropping it ends all its tasks; [`Receiver::stop`] also waits for their end.
pub struct Receiver<R: Rules> {
    shared: Arc<Shared<R>>,
    port: ReservedPort,
    running: Mutex<Option<Running>>,
}

impl<R: Rules> Receiver<R> {
    /// Starts to listen. Fails where the address cannot be bound, the certificate cannot be served, or the record file
    /// cannot be opened.
    pub(crate) fn launch(rules: R, options: &ReceiverOptions) -> io::Result<Self> {
        let recorder = Recorder::new(options.recording, options.record_file.as_deref())?;
        let tls = options.tls.as_ref().map(Tls::acceptor).transpose()?;
        let port = ReservedPort::bind(options.listen)?;
        let shared = Arc::new(Shared { rules, recorder, scripts: Scripts::new(), tls });
        let running = Running::start(port.listen()?, Arc::clone(&shared));
        Ok(Self { shared, port, running: Mutex::new(Some(running)) })
    }

    pub(crate) fn rules(&self) -> &R {
        &self.shared.rules
    }

    /// Where it listens, also while it is down.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The base URL to give to a connector, without a trailing slash.
    pub fn base_url(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// Stops listening and drops every open connection: further connections are refused.
    pub async fn down(&self) {
        let running = self.running.lock().take();
        if let Some(running) = running {
            running.stop().await;
        }
    }

    /// Listens again on the same port. Does nothing where it already does.
    pub fn up(&self) -> io::Result<()> {
        let mut running = self.running.lock();
        if running.is_none() {
            *running = Some(Running::start(self.port.listen()?, Arc::clone(&self.shared)));
        }
        Ok(())
    }

    /// Ends all tasks and waits for their end.
    pub async fn stop(self) {
        self.down().await;
    }

    /// Queues behaviours for the next requests to `endpoint`, one each, in order of arrival.
    pub fn script(&self, endpoint: R::Endpoint, behaviours: impl IntoIterator<Item = Behaviour<R::Fault>>) {
        self.shared.scripts.append(endpoint, behaviours);
    }

    /// From now on, and once the queue is empty, every request to `endpoint` meets this behaviour.
    pub fn always(&self, endpoint: R::Endpoint, behaviour: Behaviour<R::Fault>) {
        self.shared.scripts.always(endpoint, behaviour);
    }

    /// Drops every queued and lasting behaviour: strict rules again. Requests that already wait go on waiting.
    pub fn healthy(&self) {
        self.shared.scripts.clear();
    }

    /// How many queued behaviours of `endpoint` no request has met yet.
    pub fn scripted(&self, endpoint: R::Endpoint) -> usize {
        self.shared.scripts.waiting(&endpoint)
    }

    /// Looks at the log without copying it.
    pub fn read<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        self.shared.recorder.read(look)
    }

    /// Every accepted event, in the order of acceptance.
    pub fn events(&self) -> Vec<Accepted> {
        self.read(|log| log.events.clone())
    }

    /// Every request, in receive order.
    pub fn requests(&self) -> Vec<Recorded> {
        self.read(|log| log.requests.clone())
    }

    /// Every breach of the platform's rules. A correct sender leaves this empty.
    pub fn violations(&self) -> Vec<Violation> {
        self.read(|log| log.violations.clone())
    }

    /// How often each `event_id` was accepted: what the oracle compares with what the server promised.
    pub fn event_ids(&self) -> BTreeMap<String, u64> {
        self.read(|log| log.event_ids.clone())
    }

    /// What the platform holds, as JSON: Datadog's series with their last values, Elasticsearch's documents for each
    /// index; null for Splunk.
    pub fn held(&self) -> serde_json::Value {
        self.shared.rules.held()
    }

    /// Totals since the start.
    pub fn counts(&self) -> Counts {
        self.read(|log| log.counts)
    }

    /// Waits until at least `events` have been accepted in all. Waits for ever otherwise: give it a deadline.
    pub async fn wait_for_events(&self, events: u64) {
        self.wait_until(|log| log.counts.events >= events).await;
    }

    /// Waits until at least `requests` have arrived in all, answered or not.
    pub async fn wait_for_requests(&self, requests: u64) {
        self.wait_until(|log| log.counts.requests >= requests).await;
    }

    /// Waits until the log fulfils `condition`, which is asked again after each change.
    pub async fn wait_until(&self, condition: impl FnMut(&Log) -> bool) {
        self.shared.recorder.wait_until(condition).await;
    }
}
