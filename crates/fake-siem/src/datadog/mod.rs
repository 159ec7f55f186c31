//! A strict Datadog intake — logs v2, metrics v2 series and the key check under one base URL — after
//! Datadog's API reference.

mod logs;
mod rules;
mod search;
mod series;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;

pub use rules::DatadogRules;
pub use series::{Point, SeriesKey};

use crate::receiver::{Receiver, ReceiverOptions, Reply};

/// A running fake Datadog.
pub type Datadog = Receiver<DatadogRules>;

/// Epoch seconds now. Tests put their own in.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Datadog's endpoints, each with a script of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /api/v2/logs`
    Logs,
    /// `POST /api/v2/series`
    Series,
    /// `GET /api/v1/validate`
    Validate,
    /// `POST /api/v2/logs/events/search`
    Search,
    /// Any other path: answered 404.
    Other,
}

/// Datadog's failures that depend on what a request holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// 400 for every request whose body contains one of these texts: poison entries, found only by splitting.
    Poison(Vec<String>),
    /// 413 for every request with more than this many log entries or series.
    TooLargeOver(usize),
}

/// How this intake is set up.
#[derive(Clone)]
pub struct DatadogOptions {
    /// The one valid API key.
    pub api_key: String,
    /// The one valid application key. Default none, so that nobody can search.
    pub application_key: Option<String>,
    /// The largest inflated body of a logs request, in bytes. Default 5,000,000.
    pub max_log_bytes: usize,
    /// The most entries of a logs request. Default 1,000.
    pub max_log_entries: usize,
    /// A log entry larger than this, in bytes, is truncated and accepted. Default 1,000,000.
    pub max_entry_bytes: usize,
    /// The largest body of a series request on the wire, in bytes. Default 512,000.
    pub max_series_bytes: usize,
    /// The largest inflated body of a series request, in bytes. Default 5,242,880.
    pub max_series_inflated: usize,
    /// What the age of points and logs is judged by. Default the wall clock.
    pub clock: Clock,
    /// What all receivers have in common.
    pub receiver: ReceiverOptions,
}

impl DatadogOptions {
    /// The documented limits, with this API key.
    pub fn new(api_key: impl Into<String>) -> Self {
        Self {
            api_key: api_key.into(),
            application_key: None,
            max_log_bytes: 5_000_000,
            max_log_entries: 1_000,
            max_entry_bytes: 1_000_000,
            max_series_bytes: 512_000,
            max_series_inflated: 5_242_880,
            clock: Arc::new(wall_clock),
            receiver: ReceiverOptions::default(),
        }
    }
}

/// An error of this status in the endpoint's own shape, for scripts: 408, 429 and 5xx among them.
///
/// # Panics
/// If `status` is not an HTTP status.
pub fn error_reply(endpoint: Endpoint, status: u16) -> Reply {
    let title = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error");
    match endpoint {
        Endpoint::Logs => rules::log_errors(status, title),
        Endpoint::Series | Endpoint::Validate | Endpoint::Search | Endpoint::Other => {
            rules::plain_errors(status, title)
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the adapter: a receiver of another vendor has a clock of its own")]
fn wall_clock() -> i64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

#[expect(clippy::unused_async, reason = "listening needs a runtime, which an async function cannot be called without")]
impl Datadog {
    /// Starts to listen. Fails as any listener does, and where certificate or record file cannot be used.
    pub async fn start(options: DatadogOptions) -> io::Result<Self> {
        let receiver = options.receiver.clone();
        Self::launch(DatadogRules::new(options), &receiver)
    }

    /// As [`Datadog::start`], on this address: a receiver that comes back on its old port.
    pub async fn start_on(address: SocketAddr, mut options: DatadogOptions) -> io::Result<Self> {
        options.receiver.listen = address;
        Self::start(options).await
    }

    /// Replaces the valid API key.
    pub fn set_api_key(&self, api_key: impl Into<String>) {
        self.rules().set_api_key(api_key.into());
    }

    /// As many searches from now on find nothing: what came is not indexed yet.
    pub fn hide_from(&self, searches: u32) {
        self.rules().hide_from(searches);
    }

    /// Gives the application key the permission `logs_read_data`, or takes it away.
    pub fn set_may_read(&self, may_read: bool) {
        self.rules().set_may_read(may_read);
    }

    /// What the intake holds: the last value of each metric, tag set and second.
    pub fn series(&self) -> BTreeMap<SeriesKey, BTreeMap<i64, f64>> {
        self.rules().series()
    }

    /// Every point that was accepted, in order, including those that a later one replaced.
    pub fn points(&self) -> Vec<Point> {
        self.rules().points()
    }
}
