//! A store that is old: events of 48 hours in 300 partitions, delivered, made by the store's own code with a clock that runs fast
//! (`crates/store-sqlite/examples/aged_store.rs`).

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::backlog::micros;
use super::figures::{Figure, Figures};
use super::flow::Flow;
use super::harness::{Connector, Sink, Site, asked, memory, per};
use super::histogram::Histogram;
use super::template::epoch_millis;
use crate::process::{command, output, target};

/// The program that makes it.
pub(super) const PROGRAM: &str = "aged_store";
/// Partitions that hold the events.
const PARTITIONS: u64 = 300;
/// Pages of the history that are asked for, newest first and of what was rejected.
const PAGES: usize = 50;

/// The store, which is copied for each run: a run adds to it.
pub(super) struct Aged {
    site: Site,
    connector: Connector,
    id: String,
    told: Told,
}

/// What the program tells.
#[derive(Debug, Deserialize)]
struct Told {
    payload_bytes: u64,
    /// Of pages in use: those that packing has freed wait for what comes, and so fast a clock leaves many of them.
    used_bytes: u64,
    /// Of events all over the time.
    ids: Vec<String>,
}

impl Aged {
    /// A server of `binary` makes the connector; then the program fills its store with so many events.
    pub(super) async fn make(binary: &Path, events: u64) -> Result<Self> {
        eprintln!("    making a store of {events} events of 48 hours");
        let site = Site::new(binary)?;
        let connector = Connector::new("splunk", &"aged", "http://127.0.0.1:1");
        let (server, _) = site.start().await;
        let id = connector.make(&server).await?;
        server.stop().await;
        let mut program = command(target("release/examples").join(PROGRAM));
        program.arg(site.data()).args([events, PARTITIONS, epoch_millis()].map(|number| number.to_string()));
        let told =
            serde_json::from_str(&output(program).await?).context("the aged store's maker told something else")?;
        Ok(Self { site, connector, id, told })
    }

    /// A load through a server on a copy of it.
    pub(super) async fn flow(&self, binary: &Path, flow: Flow, seconds: u64) -> Result<Figures> {
        let site = Site::copy_of(binary, &self.site).await?;
        let (server, _) = site.start().await;
        let sink = Sink::start().await?;
        let path = format!("/v1/siem/connectors/{}", self.id);
        asked(&server.client().patch(&path, &json!({"config": self.connector.config(&sink.url)?})).await, 200)?;
        let figures = flow.through(&server, &sink, &[], seconds).await?;
        server.stop().await;
        Ok(figures)
    }

    /// The start, questions to the API, and the disk.
    pub(super) async fn questions(&self, binary: &Path) -> Result<Figures> {
        let site = Site::copy_of(binary, &self.site).await?;
        let (server, ready) = site.start().await;
        let idle = memory(&server, "VmRSS")?;
        let ask = async |path: String, histogram: &mut Histogram| {
            let before = Instant::now();
            let answer = server.client().get(&path).await;
            histogram.record(u64::try_from(before.elapsed().as_micros()).unwrap_or(u64::MAX));
            asked(&answer, 200)
        };
        let (mut found, mut history) = (Histogram::new(), Histogram::new());
        for id in &self.told.ids {
            ask(format!("/v1/events/{id}"), &mut found).await?;
        }
        for filter in ["", "&status=partial"] {
            let mut cursor = String::new();
            for _ in 0..PAGES {
                let page = ask(format!("/v1/siem/deliveries?limit=50{filter}{cursor}"), &mut history).await?;
                let Some(next) = page["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
        }
        let figures = Figures::default()
            .with(Figure::Ready, micros(ready))
            .with(Figure::FoundP50, per(found.percentile(50), 1.0))
            .with(Figure::FoundP99, per(found.percentile(99), 1.0))
            .with(Figure::HistoryP50, per(history.percentile(50), 1.0))
            .with(Figure::HistoryP99, per(history.percentile(99), 1.0))
            .with(Figure::OnDisk, per(self.told.used_bytes, per(self.told.payload_bytes, 1.0)))
            .with(Figure::Idle, per(idle, 1.0))
            .with(Figure::Peak, per(memory(&server, "VmHWM")?, 1.0));
        server.stop().await;
        Ok(figures)
    }
}
