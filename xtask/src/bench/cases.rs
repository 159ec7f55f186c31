//! The cases: one row each.

use std::path::Path;

use anyhow::Result;
use tokio::sync::OnceCell;

use super::aged::Aged;
use super::backlog;
use super::figures::{Figure, Figures};
use super::flow::{Audience, Flow, HUNDREDS, SINGLES};
use super::harness::Site;
use super::paced::{Paced, THOUSAND};

/// Something that is measured.
pub(super) struct Case {
    /// What `--only` looks for.
    pub(super) name: &'static str,
    /// What stands in the table.
    pub(super) title: &'static str,
    /// Which table it stands in.
    pub(super) table: Table,
    /// The case that it is compared with.
    pub(super) beside: Option<&'static str>,
    run: Run,
}

/// A table of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    /// As many events as go through.
    Flow,
    /// Events at a pace.
    Paced,
    /// What waits, and what does nothing.
    Still,
    /// Questions to an aged store.
    Aged,
}

enum Run {
    Flow(Flow),
    Paced(Paced),
    Idle,
    Backlog,
    OnAged(Flow),
    Aged,
}

const fn flow(name: &'static str, title: &'static str, beside: Option<&'static str>, flow: Flow) -> Case {
    Case { name, title, table: Table::Flow, beside, run: Run::Flow(flow) }
}

const fn platform(name: &'static str, title: &'static str, platform: &'static str, gzip: bool) -> Case {
    flow(name, title, Some("hundreds"), Flow { platform, gzip, ..HUNDREDS })
}

const fn paced(name: &'static str, title: &'static str, beside: Option<&'static str>, paced: Paced) -> Case {
    Case { name, title, table: Table::Paced, beside, run: Run::Paced(paced) }
}

const fn aged(name: &'static str, title: &'static str, beside: &'static str, flow: Flow) -> Case {
    Case { name, title, table: Table::Flow, beside: Some(beside), run: Run::OnAged(flow) }
}

/// All of them, in the order in which they run. Loads are signed, every event of them is counted at the sink and in the server's accounts, and a
/// lost one fails the case.
pub(super) const CASES: &[Case] = &[
    flow("singles", "1 event a request, 64 connections", None, SINGLES),
    flow("hundreds", "100 events a request, 8 connections", None, HUNDREDS),
    flow("3-connectors", "hundreds, 3 connectors", Some("hundreds"), Flow { audience: Audience::All(3), ..HUNDREDS }),
    flow(
        "10-connectors",
        "hundreds, 10 connectors",
        Some("hundreds"),
        Flow { audience: Audience::All(10), ..HUNDREDS },
    ),
    flow(
        "30-connectors",
        "hundreds, 30 connectors",
        Some("hundreds"),
        Flow { audience: Audience::All(30), ..HUNDREDS },
    ),
    flow("400-bytes", "hundreds, events of 400 bytes", Some("hundreds"), Flow { bytes: 400, ..HUNDREDS }),
    flow("4000-bytes", "hundreds, events of 4,000 bytes", Some("hundreds"), Flow { bytes: 4_000, ..HUNDREDS }),
    flow(
        "filters",
        "hundreds, 100 connectors, each event goes to 5",
        Some("hundreds"),
        Flow { audience: Audience::Filtered, ..HUNDREDS },
    ),
    flow("10-orgs", "singles, 10 orgs", Some("singles"), Flow { audience: Audience::Orgs(10), ..SINGLES }),
    flow("100-orgs", "singles, 100 orgs", Some("singles"), Flow { audience: Audience::Orgs(100), ..SINGLES }),
    flow(
        "orgs",
        "singles, 1,000 orgs with a connector each",
        Some("singles"),
        Flow { audience: Audience::Orgs(1_000), ..SINGLES },
    ),
    platform("splunk-gzip", "hundreds, Splunk, gzip", "splunk", true),
    platform("datadog", "hundreds, Datadog logs", "datadog", false),
    platform("datadog-gzip", "hundreds, Datadog logs, gzip", "datadog", true),
    platform("elasticsearch", "hundreds, Elasticsearch", "elasticsearch", false),
    platform("elasticsearch-gzip", "hundreds, Elasticsearch, gzip", "elasticsearch", true),
    platform("webhook", "hundreds, webhook with arrays", "webhook", false),
    platform("webhook-gzip", "hundreds, webhook with arrays, gzip", "webhook", true),
    paced("paced", "1,000/s, 3 connectors", None, THOUSAND),
    paced(
        "hanging",
        "1,000/s, 2 connectors beside one that hangs",
        Some("paced"),
        Paced { connectors: 2, hanging: 1, ..THOUSAND },
    ),
    paced(
        "far",
        "20,000/s, the receiver is 50 ms away",
        None,
        Paced { rate: 20_000, connections: 256, connectors: 1, delay_ms: 50, ..THOUSAND },
    ),
    Case { name: "idle", title: "nothing to do", table: Table::Still, beside: None, run: Run::Idle },
    Case { name: "backlog", title: "events wait, then drain", table: Table::Still, beside: None, run: Run::Backlog },
    aged("aged-singles", "singles, aged store", "singles", SINGLES),
    aged("aged-hundreds", "hundreds, aged store", "hundreds", HUNDREDS),
    Case { name: "aged-questions", title: "aged store", table: Table::Aged, beside: None, run: Run::Aged },
];

/// The case of this name.
pub(super) fn find(name: &str) -> Option<&'static Case> {
    CASES.iter().find(|case| case.name == name)
}

impl Table {
    /// All tables, in their order.
    pub(super) const ALL: [Self; 4] = [Self::Flow, Self::Paced, Self::Still, Self::Aged];

    /// The figure by which a case of it is compared with another.
    pub(super) fn compared(self) -> Option<Figure> {
        match self {
            Self::Flow => Some(Figure::Delivered),
            Self::Paced => Some(Figure::ArrivedP99),
            Self::Still | Self::Aged => None,
        }
    }
}

/// How much is measured, and what several cases share.
pub(super) struct Bench {
    /// How long each load runs.
    pub(super) seconds: u64,
    /// Events that wait in the case `backlog`.
    pub(super) waiting: u64,
    /// Events of the aged store.
    pub(super) aged_events: u64,
    /// The aged store, once it is made.
    pub(super) aged: OnceCell<Aged>,
}

impl Case {
    /// Whether it is told beside what the harness itself can do.
    pub(super) fn ceiling(&self) -> Option<Flow> {
        match self.run {
            Run::Flow(flow) if self.beside.is_none() => Some(flow),
            _ => None,
        }
    }

    /// Whether it needs the program that makes an aged store.
    pub(super) fn is_aged(&self) -> bool {
        matches!(self.run, Run::Aged | Run::OnAged(_))
    }

    /// Measures it once, with this server.
    pub(super) async fn measure(&self, bench: &Bench, server: &Path) -> Result<Figures> {
        let aged = || bench.aged.get_or_try_init(|| Aged::make(server, bench.aged_events));
        match self.run {
            Run::Flow(flow) => flow.measure(&Site::new(server)?, bench.seconds).await,
            Run::Paced(paced) => paced.measure(&Site::new(server)?, bench.seconds).await,
            Run::Idle => backlog::idle(&Site::new(server)?, bench.seconds).await,
            Run::Backlog => backlog::backlog(&Site::new(server)?, bench.waiting).await,
            Run::OnAged(flow) => aged().await?.flow(server, flow, bench.seconds).await,
            Run::Aged => aged().await?.questions(server).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_those_that_are_compared_stand_in_the_same_table() {
        for (at, case) in CASES.iter().enumerate() {
            assert!(CASES[at + 1..].iter().all(|other| other.name != case.name), "{}", case.name);
            let beside = case.beside.map(|name| find(name).unwrap());
            assert!(beside.is_none_or(|other| other.table == case.table && other.table.compared().is_some()));
        }
    }

    #[test]
    fn the_page_explains_every_case() {
        let page = std::fs::read_to_string(crate::process::root().join("docs/performance.md")).unwrap();
        let rows: String = page.lines().filter(|line| line.starts_with("| `")).collect();
        for case in CASES {
            assert!(rows.contains(&format!("`{}`", case.name)), "{}", case.name);
        }
    }
}
