//! Events at a pace that the server can keep: how long each takes from its acceptance to a sink.

use anyhow::Result;

use super::figures::{Figure, Figures};
use super::harness::{Account, Connector, Options, Sink, Site, cpu, load, memory, per};

/// A pace, and who receives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paced {
    /// Events a second, one a request.
    pub(super) rate: u64,
    /// Connections of the generator: enough for the pace, whatever a commit takes.
    pub(super) connections: u16,
    /// Connectors that answer, each of which gets every event.
    pub(super) connectors: u64,
    /// Connectors beside them whose receiver never answers.
    pub(super) hanging: u64,
    /// How late the receivers answer, in milliseconds.
    pub(super) delay_ms: u64,
}

/// A pace that a busy org has, with three connectors that answer at once.
pub(super) const THOUSAND: Paced = Paced { rate: 1_000, connections: 64, connectors: 3, hanging: 0, delay_ms: 0 };

impl Paced {
    /// Sends at the pace through a fresh server.
    pub(super) async fn measure(self, site: &Site, seconds: u64) -> Result<Figures> {
        let (server, _) = site.start().await;
        let sink = Sink::late(self.delay_ms).await?;
        for number in 0..self.connectors {
            Connector::new("splunk", &number, &sink.url).make(&server).await?;
        }
        for number in 0..self.hanging {
            let url = format!("{}/hang", sink.url);
            Connector::new("splunk", &format!("hanging {number}"), &url).make(&server).await?;
        }
        let before = cpu(&server)?;
        let options = Options { rate: Some(self.rate), ..load(server.base(), self.connections, 1, seconds) };
        let sent = sink.load(&options).await?;
        sink.wait_for(&sent, self.connectors).await?;
        let (delivered, pending) = (sent.events * self.connectors, sent.events * self.hanging);
        Account { delivered, pending, lost: 0 }.recorded(&server, &[]).await?;
        let lags = sink.lags().await?;
        let drift = per(lags.last, 1.0) - per(lags.first, 1.0);
        let figures = Figures::default()
            .with(Figure::Accepted, per(sent.events, sent.seconds))
            .with(Figure::Cpu, (cpu(&server)? - before) * 1e6 / per(sent.events, 1.0))
            .with(Figure::AcknowledgedP50, per(sent.p50_us, 1.0))
            .with(Figure::AcknowledgedP99, per(sent.p99_us, 1.0))
            .with(Figure::ArrivedP50, per(lags.p50, 1.0))
            .with(Figure::ArrivedP99, per(lags.p99, 1.0))
            .with(Figure::Drift, drift)
            .with(Figure::Peak, per(memory(&server, "VmHWM")?, 1.0));
        server.stop().await;
        Ok(figures)
    }
}
