//! What the service tells of itself: the log, the figures of `GET /metrics`, and traces.
//!
//! The rest of the server knows one type, [`Telemetry`], and calls it in single lines where something happens: an intake, an attempt, a
//! settlement. What such a call costs is a few atomic additions; nothing is locked for an event, and nothing here can fail a caller.
//!
//! - [`meters`]: what is counted in memory. [`scrape`]: the page of `/metrics`, made of that and of what the store has counted
//!   exactly; [`ends`] is what expires; [`streams`] bounds how many connectors it shows; [`page`] writes the format; [`process`] asks the kernel.
//! - [`trace`]: spans, and their way to a collector. Off unless a collector is named.
//! - [`log`]: one line for each record.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::Instant;
use toktra_siem_base::clock::Clock;
use toktra_siem_core::delivery::{Attempt, Delivery, Status};
use toktra_siem_core::destination::Verdict;
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::{EventId, PlatformId, StreamId};
use toktra_siem_core::invariant::Invariant;
use toktra_siem_core::time::Timestamp;
use toktra_siem_edge::Edge;
use toktra_siem_platform::Registry;
use toktra_siem_store::{Appended, Shortage, Store, StoreError, Watched};
use toktra_siem_wire::Code;

mod disk;
mod ends;
pub mod log;
mod meters;
mod page;
mod process;
mod scrape;
mod streams;
pub mod trace;

pub use page::CONTENT_TYPE;

pub use meters::Seen;
use meters::{Flight, Meters};
use scrape::Scraper;
pub use trace::Followed;
use trace::{Parent, Tracer};

/// A dispatcher that has not turned for so long hangs, and so does whoever watches it.
const SILENT: Duration = Duration::from_secs(90);

/// What the service tells of itself.
pub struct Telemetry {
    clock: Arc<dyn Clock>,
    meters: Meters,
    tracer: Option<Tracer>,
    scraper: Scraper,
    /// How long undelivered events are kept, where that is known.
    retention: Option<Duration>,
    /// The embedded store, where there is one to be watched.
    store: Option<Arc<dyn Watched>>,
    /// Where it lies, where that is known.
    place: Option<PathBuf>,
    /// What clients take of the service.
    edge: Option<Edge>,
}

/// A request with events that is being answered.
pub struct Receipt {
    began: Instant,
    /// For the trace; `None` where none is made.
    at: Option<(Timestamp, Option<Parent>)>,
}

/// What is remembered of the events of an attempt while it is under way, so that their payloads need not stay in memory.
#[derive(Default)]
pub struct Carried {
    /// When they were accepted, and how many at that time, in their order; empty where the answer does not speak of each of them.
    accepted: Vec<(Timestamp, usize)>,
    /// Those that are followed by a trace.
    pub followed: Vec<Followed>,
}

/// An attempt that was answered, or was not.
pub struct Answered<'a> {
    /// Whose endpoint it is.
    pub platform: PlatformId,
    /// The delivery as it stands after the attempt.
    pub delivery: &'a Delivery,
    /// What the answer means.
    pub verdict: &'a Verdict,
    /// The attempt itself.
    pub attempt: &'a Attempt,
}

impl Carried {
    /// Some of the events were left out of the request: positions in its answer are others.
    pub fn forget_positions(&mut self) {
        self.accepted.clear();
    }

    /// How many events there are, as far as the answer speaks of each.
    fn count(&self) -> usize {
        self.accepted.iter().map(|(_, count)| count).sum()
    }
}

impl Telemetry {
    /// Figures from now on; no traces.
    pub fn new(clock: Arc<dyn Clock>, registry: &Registry) -> Self {
        let meters = Meters::new(clock.now(), registry);
        Self {
            clock,
            meters,
            tracer: None,
            scraper: Scraper::default(),
            retention: None,
            store: None,
            place: None,
            edge: None,
        }
    }

    /// With the figures of the embedded store.
    #[must_use]
    pub fn watching(self, store: Arc<dyn Watched>) -> Self {
        Self { store: Some(store), ..self }
    }

    /// With the room that is left on the file system of `place`.
    #[must_use]
    pub fn lying_in(self, place: PathBuf) -> Self {
        Self { place: Some(place), ..self }
    }

    /// With the retention of events, which alerts compare ages with.
    #[must_use]
    pub fn keeping(self, retention: Duration) -> Self {
        Self { retention: Some(retention), ..self }
    }

    /// With the figures of connections and bodies.
    #[must_use]
    pub fn behind(self, edge: Edge) -> Self {
        Self { edge: Some(edge), ..self }
    }

    /// With traces.
    #[must_use]
    pub fn tracing(self, tracer: Tracer) -> Self {
        Self { tracer: Some(tracer), ..self }
    }

    /// Whether the store takes no more writes until the process is restarted.
    pub fn store_is_poisoned(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.vitals().poisoned)
    }

    /// What there is not enough of for new events, if they are refused at present.
    pub fn shortage(&self) -> Option<Shortage> {
        self.store.as_ref().and_then(|store| store.vitals().refusing)
    }

    /// The page of `GET /metrics`.
    pub async fn scrape(&self, store: &dyn Store) -> Bytes {
        self.scraper.page(self, store).await
    }

    /// The receiver of a stream has shown a certificate that is valid until then, or none.
    pub fn certificate(&self, stream: StreamId, until: Option<Timestamp>) {
        self.meters.certificate(stream, until);
    }

    /// The watchdog has looked.
    pub fn watched(&self, seen: Seen) {
        self.meters.watch(seen);
    }

    /// What of this service stands still, so that events do not get on: its dispatcher, or what works on single connectors.
    pub fn stands_still(&self) -> Option<&'static str> {
        let seen = self.meters.watched()?;
        if seen.silent() > SILENT { Some("dispatcher") } else { (!seen.stalled.is_empty()).then_some("connectors") }
    }

    /// A request with events has come in.
    pub fn receive(&self, headers: &HeaderMap) -> Receipt {
        let at = self.tracer.as_ref().map(|_| (self.clock.now(), Parent::of(headers)));
        Receipt { began: Instant::now(), at }
    }

    /// Its events are on disk; `waited` is when they were given to the store.
    pub fn ingested(&self, receipt: &Receipt, waited: Instant, events: &[EventId], appended: &[Appended]) {
        self.meters.ingested(receipt.began.elapsed(), waited.elapsed(), appended);
        if let (Some(tracer), Some((at, parent))) = (&self.tracer, &receipt.at) {
            tracer.ingested(events, appended, (*at, receipt.began.elapsed()), *parent);
        }
    }

    /// A request with events was refused.
    pub fn refused(&self, code: Code) {
        self.meters.refused(code);
    }

    /// A request is on its way to the endpoint of `stream`, until what is returned is dropped.
    pub fn in_flight(&self, stream: StreamId) -> Flight<'_> {
        self.meters.in_flight(stream)
    }

    /// An attempt could not be made, for a reason of our own.
    pub fn not_made(&self, platform: PlatformId, stream: StreamId) {
        self.meters.not_made(platform, stream.kind);
    }

    /// What has to be remembered of the events of a delivery. Those at hand are given; else they are read where there are not too many, and
    /// only for a trace.
    pub async fn carry(
        &self,
        store: &dyn Store,
        delivery: &Delivery,
        events: Option<Vec<Arc<StoredEvent>>>,
    ) -> Carried {
        let followed = match &self.tracer {
            Some(tracer) => tracer.follow(store, delivery, events.as_deref()).await,
            None => Vec::new(),
        };
        let events = events.unwrap_or_default();
        // Events of one commit have one time.
        let together = events.chunk_by(|a, b| a.accepted_at == b.accepted_at);
        let accepted = together.filter_map(|events| Some((events.first()?.accepted_at, events.len()))).collect();
        Carried { accepted, followed }
    }

    /// An attempt has ended.
    pub fn attempted(&self, answered: &Answered<'_>, carried: &mut Carried) {
        self.meters.attempted(answered, &carried.accepted, self.clock.now());
        if let Some(tracer) = self.tracer.as_ref().filter(|_| !carried.followed.is_empty()) {
            tracer.attempted(answered, carried);
        }
    }

    /// A settlement is on disk. `followed` is `None` where it is not known which events are followed: then they are looked up, beside.
    pub fn settled(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        platform: PlatformId,
        delivery: &Delivery,
        settled: (Option<&Attempt>, Option<&[Followed]>),
    ) {
        if delivery.status == Status::Pending {
            return;
        }
        self.meters.settled(platform, delivery);
        let Some(tracer) = &self.tracer else { return };
        let (attempt, followed) = settled;
        let status = attempt.and_then(|attempt| attempt.http_status);
        if let Some(followed) = followed {
            tracer.settled(platform, delivery, status, followed);
            return;
        }
        let (telemetry, store, delivery) = (Arc::clone(self), Arc::clone(store), delivery.clone());
        tokio::spawn(async move {
            let Some(tracer) = &telemetry.tracer else { return };
            let followed = tracer.follow(&*store, &delivery, None).await;
            tracer.settled(platform, &delivery, status, &followed);
        });
    }

    /// The last line of the log: what this run took in, and what is left for the next.
    pub async fn log_end(&self, store: &dyn Store) {
        let (accepted, duplicates) = self.meters.taken_in();
        let uptime_seconds = self.clock.now().since(self.meters.started_at).as_secs();
        let pending = match store.overview().await {
            Ok(streams) => streams.iter().map(|stream| stream.record.accounting().undelivered()).sum::<u64>(),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the store could not be read at the end");
                return;
            }
        };
        tracing::info!(
            uptime_seconds,
            accepted,
            duplicates,
            pending,
            "ended; what waits, parked events included, continues at the next start"
        );
    }

    /// An invariant was found broken: a defect, which the caller logs.
    pub fn violated(&self, invariant: Invariant) {
        self.meters.violated(invariant);
    }

    /// The store refused a piece of work of the dispatcher; where it did not account for every event, `invariant` would have been broken.
    pub fn refused_by_store(&self, error: &StoreError, invariant: Invariant) {
        if let StoreError::Unaccounted(_) = error {
            self.meters.violated(invariant);
        }
    }
}
