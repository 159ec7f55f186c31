//! As many events as go through: a load, and who gets what of it.

use anyhow::Result;
use serde_json::json;
use tokio::time::Instant;
use toktra_siem_testkit::server::ServerProcess;

use super::event::{SEVERITIES, TYPES};
use super::figures::{Figure, Figures};
use super::harness::{self, Account, Connector, Sink, Site, asked, cpu, load, memory, per};
use super::template;

/// A load and its connectors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    /// Connections of the generator, each with one request in flight.
    pub(super) connections: u16,
    /// Events a request.
    pub(super) batch: u64,
    /// Bytes of an event.
    pub(super) bytes: usize,
    /// Whose receiver the sink is.
    pub(super) platform: &'static str,
    /// Whether bodies are compressed.
    pub(super) gzip: bool,
    /// Who gets what.
    pub(super) audience: Audience,
}

/// Who gets what.
#[derive(Debug, Clone, Copy)]
pub(super) enum Audience {
    /// So many connectors of one org, each of which gets every event.
    All(u64),
    /// A hundred connectors of one org, whose filters send every event to five.
    Filtered,
    /// So many orgs with a connector each; each event is one org's.
    Orgs(u64),
}

/// Single events on many connections, to one Splunk connector.
pub(super) const SINGLES: Flow =
    Flow { connections: 64, batch: 1, bytes: 800, platform: "splunk", gzip: false, audience: Audience::All(1) };
/// Hundreds on a few.
pub(super) const HUNDREDS: Flow = Flow { connections: 8, batch: 100, ..SINGLES };

/// How many filters take each of the sixteen combinations of type and severity.
const COPIES: u64 = 5;
/// Connectors with a filter, in all.
const FILTERED: u64 = 100;

impl Flow {
    /// What the harness itself can do: events a second.
    pub(super) async fn ceiling(self, seconds: u64) -> Result<f64> {
        let sink = Sink::start().await?;
        let sent = harness::generate(&load(&sink.url, self.connections, self.batch, seconds)).await?;
        Ok(per(sent.events, sent.seconds))
    }

    /// Sends the load through a fresh server until every event has arrived and is recorded.
    pub(super) async fn measure(self, site: &Site, seconds: u64) -> Result<Figures> {
        let (server, _) = site.start().await;
        let sink = Sink::start().await?;
        let orgs = self.connect(&server, &sink).await?;
        let figures = self.through(&server, &sink, &orgs, seconds).await?;
        server.stop().await;
        Ok(figures)
    }

    /// Sends the load through a server whose connectors lead to this sink, to which nothing was sent yet.
    pub(super) async fn through(
        self,
        server: &ServerProcess,
        sink: &Sink,
        orgs: &[String],
        seconds: u64,
    ) -> Result<Figures> {
        let options = load(server.base(), self.connections, self.batch, seconds);
        let options = harness::Options { orgs: orgs.len() as u64, event_bytes: self.bytes, ..options };
        let account = Account::of(server, orgs).await?;
        let (started, before) = (Instant::now(), cpu(server)?);
        let sent = harness::generate(&options).await?;
        sink.wait_for(&sent, self.copies()).await?;
        let span = started.elapsed().as_secs_f64();
        let delivered = account.delivered + sent.events * self.copies();
        Account { delivered, ..account }.recorded(server, orgs).await?;
        Ok(Figures::default()
            .with(Figure::Accepted, per(sent.events, sent.seconds))
            .with(Figure::Delivered, per(sent.events, span))
            .with(Figure::Cpu, (cpu(server)? - before) * 1e6 / per(sent.events, 1.0))
            .with(Figure::AcknowledgedP50, per(sent.p50_us, 1.0))
            .with(Figure::AcknowledgedP99, per(sent.p99_us, 1.0))
            .with(Figure::Peak, per(memory(server, "VmHWM")?, 1.0)))
    }

    /// How often each event has to arrive.
    fn copies(self) -> u64 {
        match self.audience {
            Audience::All(connectors) => connectors,
            Audience::Filtered => COPIES,
            Audience::Orgs(_) => 1,
        }
    }

    /// Makes the connectors; the orgs that they belong to, where it is not the default one.
    async fn connect(self, server: &ServerProcess, sink: &Sink) -> Result<Vec<String>> {
        let one = |number: u64| Connector::new(self.platform, &number, &sink.url).gzip(self.gzip);
        let mut orgs = Vec::new();
        match self.audience {
            Audience::All(connectors) => {
                for number in 0..connectors {
                    one(number).make(server).await?;
                }
            }
            Audience::Filtered => {
                for number in 0..FILTERED {
                    one(number).filter(filter(number)).make(server).await?;
                }
            }
            Audience::Orgs(count) => {
                for number in 0..count {
                    let org = template::org(number);
                    let body = json!({"id": org, "name": format!("bench {number}")});
                    asked(&server.client().post("/v1/orgs", &body).await, 201)?;
                    one(number).org(org.clone()).make(server).await?;
                    orgs.push(org);
                }
            }
        }
        Ok(orgs)
    }
}

/// Eighty connectors take one combination of type and severity each; twenty wait for what only the service itself says.
fn filter(number: u64) -> serde_json::Value {
    let kinds = (TYPES.len() * SEVERITIES.len()) as u64;
    if number >= COPIES * kinds {
        return json!({"event_types": ["heartbeat"]});
    }
    let kind = usize::try_from(number % kinds).unwrap_or(0);
    json!({"event_types": [TYPES[kind % TYPES.len()]], "severity": [SEVERITIES[kind / TYPES.len()]]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_event_goes_to_five_connectors() {
        for event_type in TYPES {
            for severity in SEVERITIES {
                let meant = json!({"event_types": [event_type], "severity": [severity]});
                assert_eq!((0..FILTERED).filter(|number| filter(*number) == meant).count() as u64, COPIES);
            }
        }
    }
}
