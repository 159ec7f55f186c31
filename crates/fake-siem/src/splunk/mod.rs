//! A strict Splunk HTTP Event Collector, after Splunk's documentation of it, and the receivers that
//! speak as it does.

mod acks;
mod dialect;
mod envelope;
pub mod otel;
mod replies;
mod rules;
mod search;

use std::io;
use std::net::SocketAddr;

pub use dialect::Dialect;
pub use replies::reply;
pub use rules::SplunkRules;

use crate::receiver::{InMemory, Receiver, ReceiverOptions};

/// A running fake HTTP Event Collector.
pub type Splunk = Receiver<SplunkRules>;

/// The endpoints of an HTTP Event Collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/services/collector/event`, and where a dialect takes events besides or instead.
    Event,
    /// `/services/collector/ack`
    Ack,
    /// `/services/collector/health`
    Health,
    /// `/services/search/jobs`, which is the management port's: served where a search token is set.
    Search,
    /// Any other path: answered 404 with an HTML page.
    Other,
}

/// Splunk's partial failures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Takes in the first events, then answers code 9 (503, busy) with `invalid-event-number`.
    BusyAfter(usize),
    /// Takes in the first events, then answers code 8 (500) without saying how many.
    InternalErrorAfter(usize),
    /// Takes in everything and answers 200 with this code: 24 or 25, near capacity.
    NearCapacity(u8),
    /// Refuses the first event that contains this text, with this code (6, 7, 12, 13 or 15) and its `invalid-event-number`. What stands
    /// before it is taken in, what follows it is not read.
    Poison {
        /// The code of the reply table.
        code: u8,
        /// What makes an event one that the collector cannot take.
        text: String,
    },
}

/// How this collector is set up.
#[derive(Clone)]
pub struct SplunkOptions {
    /// Which receiver it is.
    pub dialect: Dialect,
    /// The one valid token.
    pub token: String,
    /// A request without a token is taken, where the receiver can be set up so: Cribl, Edge Processor, the collector. Default off.
    pub anonymous: bool,
    /// The indexes that the token may write to; an event that names none goes to the token's default. Default `toktra`.
    pub indexes: Vec<String>,
    /// Indexer acknowledgement is on for the token. Default off.
    pub acks: bool,
    /// It is the management port as well, with this token, which may search all `indexes`. Default not.
    pub search_token: Option<String>,
    /// The largest body, on the wire and inflated, in bytes. Default 1,000,000, as Splunk Cloud is said to have.
    pub max_bytes: usize,
    /// What all receivers have in common.
    pub receiver: ReceiverOptions,
}

impl SplunkOptions {
    /// The defaults, with this token.
    pub fn new(token: impl Into<String>) -> Self {
        Self {
            dialect: Dialect::Splunk,
            token: token.into(),
            anonymous: false,
            indexes: vec!["toktra".to_owned()],
            acks: false,
            search_token: None,
            max_bytes: 1_000_000,
            receiver: ReceiverOptions::default(),
        }
    }
}

#[expect(clippy::unused_async, reason = "listening needs a runtime, which an async function cannot be called without")]
impl Splunk {
    /// One without a socket.
    pub fn in_memory(options: SplunkOptions) -> InMemory<SplunkRules> {
        InMemory::new(SplunkRules::new(options))
    }

    /// Starts to listen. Fails as any listener does, and where certificate or record file cannot be used.
    pub async fn start(options: SplunkOptions) -> io::Result<Self> {
        let receiver = options.receiver.clone();
        Self::launch(SplunkRules::new(options), &receiver)
    }

    /// As [`Splunk::start`], on this address: a receiver that comes back on its old port.
    pub async fn start_on(address: SocketAddr, mut options: SplunkOptions) -> io::Result<Self> {
        options.receiver.listen = address;
        Self::start(options).await
    }

    /// Which receiver it is.
    pub fn dialect(&self) -> Dialect {
        self.rules().dialect()
    }

    /// Disables the token (code 1 from now on) or enables it again.
    pub fn set_token_enabled(&self, enabled: bool) {
        self.rules().set_token_enabled(enabled);
    }

    /// Replaces the valid token, as an administrator does who rotates it.
    pub fn set_token(&self, token: impl Into<String>) {
        self.rules().set_token(token.into());
    }

    /// Shutting down: code 23 for every event (`false` ends it).
    pub fn set_shutting_down(&self, shutting_down: bool) {
        self.rules().set_shutting_down(shutting_down);
    }

    /// While held, every acknowledgement reads `false`; releasing makes all that was accepted read `true` once.
    pub fn hold_acks(&self, hold: bool) {
        self.rules().hold_acks(hold);
    }

    /// As many searches from now on find nothing: what came is not indexed yet.
    pub fn hide_from(&self, searches: u32) {
        self.rules().hide_from(searches);
    }

    /// Gives the search token's role the capability `search`, or takes it away; and the indexes that it may search.
    pub fn set_search_rights(&self, may_search: bool, indexes: &[&str]) {
        self.rules().set_search_rights(may_search, indexes);
    }

    /// Forgets every acknowledgement id, as a restarted or another collector behind a load balancer would.
    pub fn forget_acks(&self) {
        self.rules().forget_acks();
    }
}
