//! What ends by itself: API keys and certificates, the next end of each kind, and what somebody knows of connectors until some time. What has
//! ended already is not shown: whoever used it is refused, which other figures tell.

use std::time::Duration;

use tokio::time::Instant;
use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_platform::pem;
use toktra_siem_store::{Store, StoreError, StreamOverview};

use super::meters::Meters;
use super::page::Page;

/// How long what was read of certificates holds: they are in the settings of all connectors.
const KEPT: Duration = Duration::from_mins(1);

/// The ends of certificates in the settings of active connectors: those that they show, and those that they trust.
#[derive(Default)]
pub(super) struct Certificates {
    looked: Option<Instant>,
    client: Vec<Timestamp>,
    trusted: Vec<Timestamp>,
}

impl Certificates {
    async fn look(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        if self.looked.is_some_and(|at| at.elapsed() < KEPT) {
            return Ok(());
        }
        let all = store.all_connectors().await?;
        let ends = |setting: &str| {
            let active = all.iter().map(|record| &record.connector).filter(|connector| connector.active);
            let texts = active.filter_map(|connector| connector.settings.text(setting));
            texts.flat_map(pem::said).filter_map(|says| says.not_after).collect()
        };
        *self = Self { looked: Some(Instant::now()), client: ends("tls_client_cert"), trusted: ends("tls_ca") };
        Ok(())
    }
}

/// What ends, and when.
pub(super) struct Ends {
    /// By what it is, the next end.
    next: [(&'static str, Option<Timestamp>); 4],
    acknowledged: usize,
}

impl Ends {
    /// Reads what there is at `now`.
    pub(super) async fn read(
        store: &dyn Store,
        overview: &[StreamOverview],
        meters: &Meters,
        certificates: &mut Certificates,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        certificates.look(store).await?;
        let active = overview.iter().filter(|stream| stream.active).map(|stream| stream.record.id);
        let first = |ends: &[Timestamp]| ends.iter().copied().filter(|end| *end > now).min();
        let known = store.all_acknowledgements().await?;
        let acknowledged = known.iter().filter(|(id, known)| known.holds_during(outages(overview, *id), now)).count();
        let next = [
            ("api_key", store.next_key_end(now).await?),
            ("client_certificate", first(&certificates.client)),
            ("trusted_certificate", first(&certificates.trusted)),
            ("receiver_certificate", first(&meters.receivers(active))),
        ];
        Ok(Self { next, acknowledged })
    }

    /// Writes it.
    pub(super) fn write(&self, page: &mut Page) {
        let mut ends = page.gauge(
            "toktra_siem_next_expiry_timestamp_seconds",
            "When the next API key or certificate of a kind expires, since 1970; absent where none will.",
        );
        for (kind, end) in &self.next {
            if let Some(end) = end {
                ends.with(&[("kind", kind)], end.as_secs());
            }
        }
        page.gauge(
            "toktra_siem_acknowledged_connectors",
            "Connectors with an active acknowledgement: nobody is told that they are down, misconfigured or stalled.",
        )
        .value(self.acknowledged);
    }
}

/// When the outages of a connector began that go on.
fn outages(overview: &[StreamOverview], id: ConnectorId) -> impl Iterator<Item = Timestamp> {
    let streams = overview.iter().filter(move |stream| stream.record.id.connector == id);
    streams.filter_map(|stream| match &stream.record.breaker {
        Breaker::Open { since, .. } => Some(*since),
        Breaker::Closed { .. } => None,
    })
}
