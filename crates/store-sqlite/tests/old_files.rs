//! Database files of earlier layouts stay readable. Each fixture was written by a server of its time: three events, of which the filter
//! passed one by, and a Splunk that refused connections, so that two are parked behind an open breaker.

use std::fmt::{Debug, Write as _};
use std::io::Read as _;
use std::sync::Arc;

use flate2::read::GzDecoder;
use parking_lot::Mutex;
use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::delivery::ParkKind;
use toktra_siem_core::event::NewEvent;
use toktra_siem_core::event::intake::SentFields;
use toktra_siem_core::ids::{EventId, Seq};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{
    Appended, Clock, ConfigStore as _, DeliveryStore as _, EventLog as _, JobQuery, Milestone, OrgStore as _,
    ReadLimit, StoreError,
};
use toktra_siem_store_sqlite::{Sqlite, SqliteOptions, newest_layout};
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata, Subscriber, span};

/// With whether the environment's admin had been made.
const LAYOUTS: &[(&str, &[u8], bool)] = &[
    ("layout-1", include_bytes!("../../../fixtures/database/layout-1.db.gz"), false),
    // Its admin has another e-mail address since.
    ("layout-2", include_bytes!("../../../fixtures/database/layout-2.db.gz"), true),
];

#[tokio::test]
async fn every_earlier_layout_opens_with_all_that_was_in_it() {
    for (name, zipped, had_admin) in LAYOUTS {
        let dir = tempfile::tempdir().unwrap();
        let mut file = Vec::new();
        GzDecoder::new(*zipped).read_to_end(&mut file).unwrap();
        std::fs::write(dir.path().join("toktra.db"), file).unwrap();
        let store = Sqlite::open(dir.path(), SqliteOptions::default()).unwrap();

        let record = store.all_connectors().await.unwrap().pop().unwrap();
        let connector = record.connector;
        assert_eq!((connector.name.as_str(), record.secrets.is_empty()), ("Prod Splunk", false), "{name}");
        let stream = store.stream(connector.streams().next().unwrap()).await.unwrap();
        let accounting = stream.accounting();
        assert!(accounting.adds_up(), "{name}: {accounting:?}");
        assert_eq!((accounting.accepted, accounting.counts.failed, accounting.counts.filtered), (3, 2, 1), "{name}");
        assert_eq!(store.recount(stream.id).await.unwrap(), accounting.counts, "{name}");
        assert!(matches!(stream.breaker, Breaker::Open { .. }), "{name}");
        let parked = store.parked(stream.id, ParkKind::Failed, Seq(0), 10).await.unwrap();
        assert_eq!(parked.iter().map(|p| p.seq).collect::<Vec<_>>(), [Seq(1), Seq(3)], "{name}");

        let limit = ReadLimit { events: 10, bytes: usize::MAX };
        let events = store.read(connector.org, Seq(0), limit).await.unwrap();
        assert_eq!(events.len(), 3, "{name}");
        let id: EventId = "00000000-0000-4000-8000-000000000003".parse().unwrap();
        assert_eq!(store.event(connector.org, id).await.unwrap().0.seq, Seq(3), "{name}");
        let admin = store.milestone(Milestone::EnvironmentAdmin).await.unwrap();
        assert_eq!(admin.is_some(), *had_admin, "{name}");
        assert!(store.milestone(Milestone::FirstKey).await.unwrap().is_some(), "{name}");
        store.close().await.unwrap();
    }
}

/// The last layout that kept a row for each event. Frozen with 85 events of one org and 9 of another in partitions of 25: of the first,
/// 20 delivered, 5 parked as failed, 3 as rejected, 12 and 10 in open deliveries, a backlog range that is half worked off, a replay under
/// way, a test, and 4 that wait.
#[tokio::test]
async fn the_last_layout_with_a_row_for_each_event_opens_with_all_that_was_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = Vec::new();
    GzDecoder::new(&include_bytes!("../../../fixtures/database/layout-8.db.gz")[..]).read_to_end(&mut file).unwrap();
    std::fs::write(dir.path().join("toktra.db"), file).unwrap();
    let clock: Clock = Arc::new(|| Timestamp(1_767_225_610_000));
    let store = Sqlite::open(dir.path(), SqliteOptions { clock, ..SqliteOptions::default() }).unwrap();
    let connector = store.all_connectors().await.unwrap().pop().unwrap().connector;
    let stream = store.stream(connector.streams().next().unwrap()).await.unwrap();
    let accounting = stream.accounting();
    assert!(accounting.adds_up(), "{accounting:?}");
    let counts = accounting.counts;
    assert_eq!((accounting.accepted, accounting.waiting), (85, 4));
    assert_eq!((counts.delivered, counts.failed, counts.rejected, counts.pending), (20, 5, 3, 53));
    assert_eq!(store.recount(stream.id).await.unwrap(), counts);
    assert_eq!(store.ranges(stream.id).await.unwrap().len(), 1);
    assert_eq!(store.parked(stream.id, ParkKind::Rejected, Seq(0), 10).await.unwrap().len(), 3);
    let jobs = store.jobs(connector.org, JobQuery { limit: 10, ..JobQuery::default() }).await.unwrap();
    assert_eq!((jobs.items.len(), jobs.items[0].cursor), (1, Seq(10)));

    let limit = ReadLimit { events: 1000, bytes: usize::MAX };
    let events = store.read(connector.org, Seq(0), limit).await.unwrap();
    assert_eq!(events.iter().map(|event| event.seq.0).collect::<Vec<_>>(), (1..=85).collect::<Vec<_>>());
    for event in &events {
        assert_eq!(store.event(connector.org, event.event_id).await.unwrap().0.seq, event.seq);
    }
    let known = NewEvent {
        org: connector.org,
        event_id: events[7].event_id,
        event_type: events[7].event_type,
        severity: events[7].severity,
        event_time: events[7].event_time,
        payload: events[7].payload.clone(),
        sent: SentFields::default(),
        made: false,
    };
    let again = store.append(vec![known]).await.unwrap();
    assert!(matches!(again[0], Appended::Duplicate { seq: Seq(8), .. }), "{again:?}");
    store.close().await.unwrap();
}

/// Keeps the lines of the log that a person would see.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                let _ = match field.name() {
                    "message" => write!(self.0, "{value:?}"),
                    "seconds" => write!(self.0, " seconds"),
                    name => write!(self.0, " {name}={value:?}"),
                };
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().push(text.0);
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// What a start says in the log.
fn said(dir: &std::path::Path) -> (Result<Arc<Sqlite>, StoreError>, Vec<String>) {
    let lines = Lines::default();
    // While there is one alone, a line that another test's thread comes to first is taken for one that nobody wants.
    let _other = tracing::Dispatch::new(Lines::default());
    let logging = tracing::subscriber::set_default(lines.clone());
    let opened = Sqlite::open(dir, SqliteOptions::default());
    drop(logging);
    (opened, std::mem::take(&mut *lines.0.lock()))
}

#[tokio::test]
async fn a_start_that_brings_an_older_layout_along_says_so_at_its_end_and_no_other_does() {
    let start = async |dir: &std::path::Path| {
        let (opened, lines) = said(dir);
        opened.unwrap().close().await.unwrap();
        lines
    };
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(start(dir.path()).await, Vec::<String>::new(), "a fresh file");
    let old = tempfile::tempdir().unwrap();
    let mut file = Vec::new();
    GzDecoder::new(&include_bytes!("../../../fixtures/database/layout-8.db.gz")[..]).read_to_end(&mut file).unwrap();
    std::fs::write(old.path().join("toktra.db"), file).unwrap();
    let lines = start(old.path()).await;
    assert!(lines[0].starts_with("bringing stored events into the newest layout"), "{lines:?}");
    let last = format!("the database has the newest layout from=8 to={} seconds", newest_layout());
    assert_eq!(lines.iter().filter(|line| **line == last).count(), 1, "{lines:?}");
    assert_eq!(lines.last(), Some(&last));
    assert_eq!(start(old.path()).await, Vec::<String>::new(), "the next start has nothing to do");
}
