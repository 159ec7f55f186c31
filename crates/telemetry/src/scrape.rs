//! The page of `GET /metrics`. Outcomes come from the store, which counts them exactly and keeps them over restarts; what happens in this
//! process comes from [`Meters`]. A page is kept for a moment, so that asking often costs nothing, and what the store cannot say in time
//! is left out and said to be missing: a page without figures is better than none while something is wrong.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use toktra_siem_core::time::Timestamp;
use toktra_siem_edge::Figures;
use toktra_siem_store::{ChannelRecord, Disk, Store, StoreError, StreamOverview};
use toktra_siem_wire::Code;

use super::ends::{Certificates, Ends};
use super::meters::{CHECKED, ENDS, Lane, Meters, STATUS_CLASSES};
use super::page::{Label, Page};
use super::streams::{Line, Memory, Now, SHOWN};
use super::{Telemetry, disk, process};

/// How long a page is given out before a new one is made.
const KEPT: Duration = Duration::from_secs(1);
/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes pages, one at a time.
#[derive(Default)]
pub(super) struct Scraper(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    page: Option<(Instant, Bytes)>,
    memory: Memory,
    certificates: Certificates,
}

impl Scraper {
    /// The present page.
    pub(super) async fn page(&self, telemetry: &Telemetry, store: &dyn Store) -> Bytes {
        let mut kept = self.0.lock().await;
        if let Some((made, page)) = &kept.page
            && made.elapsed() < KEPT
        {
            return page.clone();
        }
        let page = Bytes::from(write(telemetry, store, &mut kept).await);
        kept.page = Some((Instant::now(), page.clone()));
        page
    }
}

/// What the store says, in time.
struct Told {
    lines: Vec<Line>,
    /// Bytes that events take: of all orgs, and of the org with most.
    stored: (u64, u64),
    disk: Option<Disk>,
    free: Option<u64>,
    channels: Vec<ChannelRecord>,
    ends: Ends,
    backup: Option<Timestamp>,
}

async fn write(telemetry: &Telemetry, store: &dyn Store, kept: &mut Kept) -> String {
    let began = Instant::now();
    let told = match timeout(PATIENCE, ask(telemetry, store, kept)).await {
        Ok(Ok(told)) => Some(told),
        Ok(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the store could not be read for /metrics");
            None
        }
        Err(_) => {
            tracing::error!(seconds = PATIENCE.as_secs(), "the store did not answer in time for /metrics");
            None
        }
    };
    let mut page = Page::default();
    let built =
        [("version", env!("CARGO_PKG_VERSION")), ("commit", option_env!("TOKTRA_SIEM_COMMIT").unwrap_or_default())];
    let known = if built[1].1.is_empty() { &built[..1] } else { &built };
    page.gauge("toktra_siem_build_info", "1; the version and, in packages, the commit are its labels.").with(known, 1);
    intake(&mut page, &telemetry.meters);
    if let Some(edge) = &telemetry.edge {
        clients(&mut page, edge.figures());
    }
    lanes(&mut page, &telemetry.meters);
    invariants(&mut page, &telemetry.meters);
    let (stalled, silent) =
        telemetry.meters.watched().map_or((0, 0.0), |seen| (seen.connectors(), seen.silent().as_secs_f64()));
    page.gauge("toktra_siem_stalled_connectors", "Connectors that are stalled.").value(stalled);
    let help = "For how long nothing was heard of what starts and ends deliveries; more than 90 seconds is a fault.";
    page.gauge("toktra_siem_dispatcher_silent_seconds", help).value(silent);
    if let Some(retention) = telemetry.retention {
        page.gauge("toktra_siem_retention_seconds", "How long undelivered events are kept: TOKTRA_SIEM_RETENTION.")
            .value(retention.as_secs());
    }
    let readable = u8::from(told.is_some());
    page.gauge(
        "toktra_siem_store_readable",
        "Whether the store could be read for this page; without, its figures are missing.",
    )
    .value(readable);
    if let Some(told) = &told {
        streams(&mut page, &told.lines, telemetry.clock.now());
        let (all, largest) = told.stored;
        page.gauge("toktra_siem_store_events_bytes", "What the stored events of all orgs take, payloads and records.")
            .value(all);
        page.gauge(
            "toktra_siem_store_largest_org_bytes",
            "What the stored events of the largest org take. It gives way first under the disk budget; GET /v1/orgs tells which org it is.",
        )
        .value(largest);
        channels(&mut page, &told.channels);
        told.ends.write(&mut page);
    }
    if let Some(embedded) = &telemetry.store {
        disk::writer(&mut page, &embedded.vitals());
    }
    if let Some(free) = told.as_ref().and_then(|told| told.free) {
        page.gauge(
            "toktra_siem_disk_free_bytes",
            "Room that is left on the file system of the data directory, whoever fills it.",
        )
        .value(free);
    }
    if let Some(Told { disk: Some(disk), backup, .. }) = told {
        disk::space(&mut page, &disk);
        let mut last = page.gauge(
            "toktra_siem_last_backup_timestamp_seconds",
            "Of which moment the newest backup is that `toktra-siem backup` made, since 1970; absent where none is known.",
        );
        if let Some(at) = backup {
            last.value(at.as_secs());
        }
    }
    if let Some(tracer) = &telemetry.tracer {
        traces(&mut page, tracer);
    }
    process::write(&mut page, telemetry.meters.started_at);
    page.gauge("toktra_siem_metrics_duration_seconds", "How long it took to make this page.")
        .value(began.elapsed().as_secs_f64());
    page.finish()
}

async fn ask(telemetry: &Telemetry, store: &dyn Store, kept: &mut Kept) -> Result<Told, StoreError> {
    let overview: Vec<StreamOverview> = store.overview().await?;
    let now = Now { flights: telemetry.meters.flights(), seen: telemetry.meters.watched() };
    let mut lines = kept.memory.lines(&overview, &now, SHOWN);
    let late = lines.iter().filter(|line| line.undelivered > 0).filter_map(|line| line.stream).collect();
    for (stream, accepted_at) in store.oldest_undelivered(late).await? {
        if let Some(line) = lines.iter_mut().find(|line| line.stream == Some(stream)) {
            line.oldest_undelivered = Some(accepted_at);
        }
    }
    let (disk, backup) = match &telemetry.store {
        Some(embedded) => (Some(embedded.disk().await?), embedded.last_backup().await),
        None => (None, None),
    };
    let stored = store.stored_bytes().await?;
    let stored = (stored.values().sum(), stored.values().copied().max().unwrap_or(0));
    let (channels, now) = (store.all_channels().await?, telemetry.clock.now());
    let ends = Ends::read(store, &overview, &telemetry.meters, &mut kept.certificates, now).await?;
    Ok(Told { lines, stored, disk, free: free(telemetry).await, channels, ends, backup })
}

/// The room on the file system of the data directory. A file system that does not answer keeps a thread, and this page without the figure.
async fn free(telemetry: &Telemetry) -> Option<u64> {
    let place = telemetry.place.clone()?;
    spawn_blocking(move || fs4::available_space(place)).await.ok()?.ok()
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn intake(page: &mut Page, meters: &Meters) {
    page.counter("toktra_siem_events_accepted_total", "Events that were answered with 202 and are on disk.")
        .value(get(&meters.accepted));
    page.counter(
        "toktra_siem_events_duplicate_total",
        "Events that were there already and were answered as duplicates.",
    )
    .value(get(&meters.duplicates));
    let mut refused = page.counter(
        "toktra_siem_intake_refused_requests_total",
        "Requests with events of which nothing was kept, by the error's code.",
    );
    for (code, count) in Code::ALL.iter().zip(&meters.refused) {
        refused.with(&[("code", code.as_str())], get(count));
    }
    page.histogram(
        "toktra_siem_ingest_duration_seconds",
        "From the head of a request with events to its answer of 202.",
    )
    .reading(&[], &meters.ingest_seconds.read());
    page.histogram("toktra_siem_append_duration_seconds", "The part of it that waits for the events to be on disk.")
        .reading(&[], &meters.append_seconds.read());
}

/// What clients take of the service.
fn clients(page: &mut Page, figures: Figures) {
    let Figures { connections, bodies, open } = figures;
    page.gauge("toktra_siem_connections", "Connections of clients that are open.").value(connections.open);
    page.gauge(
        "toktra_siem_connections_limit",
        "Connections that may be: TOKTRA_SIEM_MAX_CONNECTIONS, or fewer for want of file descriptors.",
    )
    .value(connections.limit);
    let mut refused = page.counter(
        "toktra_siem_connections_refused_total",
        "Connections that were refused: their address had its share, or they could not be accepted.",
    );
    for (reason, count) in [("address", connections.refused_address), ("failed", connections.refused_failed)] {
        refused.with(&[("reason", reason)], count);
    }
    page.counter(
        "toktra_siem_connections_waited_total",
        "Connections that had to wait because every place was in use.",
    )
    .value(connections.waited);
    page.counter(
        "toktra_siem_connections_gave_way_total",
        "Idle connections that were closed to make room for others.",
    )
    .value(connections.gave_way);
    let pools = [("known", bodies), ("open", open)];
    let mut bytes = page.gauge(
        "toktra_siem_bodies_bytes",
        "Memory that the bodies of requests take, by whether their sender is known.",
    );
    for (sender, held) in pools {
        bytes.with(&[("sender", sender)], held.bytes);
    }
    let mut limit = page.gauge("toktra_siem_bodies_limit_bytes", "Memory that they may take.");
    for (sender, held) in pools {
        limit.with(&[("sender", sender)], held.limit);
    }
    let mut refused = page.counter(
        "toktra_siem_bodies_refused_total",
        "Bodies that were answered with 429: slow ones that gave way to others, and those for which there was no room.",
    );
    for (sender, held) in pools {
        refused.with(&[("sender", sender), ("reason", "slow")], held.gave_way);
        refused.with(&[("sender", sender), ("reason", "full")], held.refused);
    }
}

/// Figures by platform and kind of stream.
fn lanes(page: &mut Page, meters: &Meters) {
    fn each(meters: &Meters) -> impl Iterator<Item = ([Label<'_>; 2], &Lane)> {
        meters.lanes.iter().map(|lane| ([("platform", lane.platform.as_str()), ("stream", lane.kind.as_str())], lane))
    }
    let mut attempts = page.counter(
        "toktra_siem_attempts_total",
        "Requests of deliveries, by the answer's status; none where no answer came.",
    );
    for ([platform, stream], lane) in each(meters) {
        for (class, count) in STATUS_CLASSES.iter().zip(&lane.attempts) {
            attempts.with(&[platform, stream, ("status", class)], get(count));
        }
    }
    let mut not_made = page.counter(
        "toktra_siem_attempts_not_made_total",
        "Requests that failed before they left, for a reason of the service's own.",
    );
    for (labels, lane) in each(meters) {
        not_made.with(&labels, get(&lane.not_made));
    }
    let mut ended = page.counter(
        "toktra_siem_deliveries_total",
        "Deliveries that came to their end, by how; without probes that failed.",
    );
    for ([platform, stream], lane) in each(meters) {
        for (end, count) in ENDS.iter().zip(&lane.deliveries) {
            ended.with(&[platform, stream, ("status", end.as_str())], get(count));
        }
    }
    let mut took = page
        .histogram("toktra_siem_attempt_duration_seconds", "From the start of an attempt to the end of its answer.");
    for (labels, lane) in each(meters) {
        took.reading(&labels, &lane.attempt_seconds.read());
    }
    let mut latency = page.histogram(
        "toktra_siem_event_latency_seconds",
        "From the acceptance of an event to the answer with which the platform took it; metrics, which go in windows, have none.",
    );
    for (labels, lane) in each(meters) {
        latency.reading(&labels, &lane.latency_seconds.read());
    }
}

fn invariants(page: &mut Page, meters: &Meters) {
    let mut broken = page.counter(
        "toktra_siem_invariant_violations_total",
        "Times that a promise was found broken: a defect of the service.",
    );
    for (invariant, count) in CHECKED.iter().zip(&meters.violations) {
        broken.with(&[("invariant", invariant.as_str())], get(count));
    }
}

/// A figure of a stream: its name, its help, and how a line has it.
type Figure<'f, T> = (&'static str, &'static str, &'f dyn Fn(&Line) -> Option<T>);

fn family<T: Display>(page: &mut Page, lines: &[Line], counter: bool, (name, help, of): Figure<'_, T>) {
    let mut family = if counter { page.counter(name, help) } else { page.gauge(name, help) };
    for line in lines {
        let labels = [
            ("connector", line.connector.as_str()),
            ("platform", line.platform.as_str()),
            ("stream", line.kind.as_str()),
        ];
        if let Some(value) = of(line) {
            family.with(&labels, value);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
fn streams(page: &mut Page, lines: &[Line], now: Timestamp) {
    let counters: [Figure<'_, i64>; 6] = [
        ("toktra_siem_stream_delivered_events_total", "Events that the platform has.", &|l| Some(l.counts.delivered)),
        ("toktra_siem_stream_expired_events_total", "Events that outlived their retention undelivered.", &|l| {
            Some(l.counts.expired)
        }),
        (
            "toktra_siem_stream_damaged_events_total",
            "Undelivered events whose stored bytes do not match their checksum any more.",
            &|l| Some(l.counts.damaged),
        ),
        ("toktra_siem_stream_discarded_events_total", "Events that a person gave up.", &|l| Some(l.counts.discarded)),
        (
            "toktra_siem_stream_skipped_events_total",
            "Events skipped when the connector was switched on from now.",
            &|l| Some(l.counts.skipped),
        ),
        ("toktra_siem_stream_filtered_events_total", "Events that the filter passed by.", &|l| Some(l.counts.filtered)),
    ];
    for figure in counters {
        family(page, lines, true, figure);
    }
    let gauges: [Figure<'_, i64>; 2] = [
        ("toktra_siem_stream_failed_events", "Events that failed and are parked until they are tried again.", &|l| {
            Some(l.counts.failed)
        }),
        ("toktra_siem_stream_rejected_events", "Events that the platform refused for good.", &|l| {
            Some(l.counts.rejected)
        }),
    ];
    let undelivered = |line: &Line| Some(line.undelivered);
    let help = "Events that are still to be delivered: waiting, on their way, or parked to be tried again.";
    family(page, lines, false, ("toktra_siem_stream_pending_events", help, &undelivered));
    for figure in gauges {
        family(page, lines, false, figure);
    }
    let numbers: [Figure<'_, u64>; 7] = [
        ("toktra_siem_stream_requests_in_flight", "Requests under way.", &|l| Some(l.in_flight)),
        ("toktra_siem_streams", "Streams that a series speaks of: 1, or more for the sum of the others.", &|l| {
            Some(l.streams)
        }),
        ("toktra_siem_stream_active", "1 where the connector is switched on.", &|l| Some(l.active)),
        (
            "toktra_siem_stream_breaker_open",
            "1 while nothing is sent but probes, because the endpoint takes nothing.",
            &|l| Some(l.open),
        ),
        ("toktra_siem_stream_misconfigured", "1 where a person has to act before the endpoint takes anything.", &|l| {
            Some(l.misconfigured)
        }),
        (
            "toktra_siem_stream_stalled",
            "1 while events wait, nothing has moved for a minute, and nothing that is known explains it: a fault of the service.",
            &|l| Some(l.stalled),
        ),
        ("toktra_siem_stream_own_failure", "1 while this service knows that it cannot do its part.", &|l| {
            Some(l.failing)
        }),
    ];
    for figure in numbers {
        family(page, lines, false, figure);
    }
    let lag = |line: &Line| {
        line.stream?;
        Some(line.oldest_undelivered.map_or(0.0, |accepted_at| now.since(accepted_at).as_secs_f64()))
    };
    let help = "Age of the oldest of them; 0 if there is none. Not known for the sum of the others.";
    family(page, lines, false, ("toktra_siem_stream_lag_seconds", help, &lag));
    let success = |line: &Line| line.last_success.map(|at| at.0 as f64 / 1000.0);
    let help = "When a delivery last delivered something, since 1970; absent where none has.";
    family(page, lines, false, ("toktra_siem_stream_last_success_timestamp_seconds", help, &success));
}

fn channels(page: &mut Page, all: &[ChannelRecord]) {
    let failing = |record: &&ChannelRecord| record.channel.active && record.progress.failing.is_some();
    let count = |wanted: &dyn Fn(&&ChannelRecord) -> bool| all.iter().filter(wanted).count();
    let mut channels = page.gauge(
        "toktra_siem_notification_channels",
        "Notification channels of all orgs, by how they are: working, failing, off.",
    );
    channels.with(&[("state", "working")], count(&|record| record.channel.active && !failing(record)));
    channels.with(&[("state", "failing")], count(&failing));
    channels.with(&[("state", "off")], count(&|record| !record.channel.active));
}

fn traces(page: &mut Page, tracer: &super::Tracer) {
    let [exported, dropped, failed] = tracer.counts();
    let mut spans = page.counter(
        "toktra_siem_trace_spans_total",
        "Spans by what became of them: exported, dropped for want of room, failed at the collector.",
    );
    for (outcome, count) in [("exported", exported), ("dropped", dropped), ("failed", failed)] {
        spans.with(&[("outcome", outcome)], count);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use toktra_siem_store::{AuditEntry, Change, ConfigStore as _, Memory, OrgRecord};

    use super::*;
    use toktra_siem_base::clock::ManualClock;

    async fn told(telemetry: &Telemetry, store: &Memory) -> String {
        String::from_utf8(telemetry.scrape(store).await.to_vec()).unwrap()
    }

    fn duplicates(page: &str) -> &str {
        page.lines().find_map(|line| line.strip_prefix("toktra_siem_events_duplicate_total ")).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_is_given_out_for_a_second_and_then_made_anew() {
        let store = Memory::new(Arc::new(|| Timestamp(0)));
        let value = OrgRecord {
            id: toktra_siem_core::ids::OrgId(uuid::Uuid::nil()),
            name: "x".into(),
            is_default: true,
            created_at: Timestamp(0),
        };
        let (actor, action) = ("test".into(), "org.create".into());
        let audit =
            AuditEntry { at: Timestamp(0), actor, action, object: String::new(), detail: serde_json::Value::Null };
        store.create_org(Change { value, audit }).await.unwrap();
        let telemetry =
            Telemetry::new(Arc::new(ManualClock::new(Timestamp(0))), &toktra_siem_platform::Registry::standard());
        assert_eq!(duplicates(&told(&telemetry, &store).await), "0");
        telemetry.meters.duplicates.fetch_add(3, Ordering::Relaxed);
        tokio::time::advance(KEPT.mul_f64(0.99)).await;
        assert_eq!(duplicates(&told(&telemetry, &store).await), "0");
        tokio::time::advance(KEPT.mul_f64(0.01)).await;
        let page = told(&telemetry, &store).await;
        assert_eq!(duplicates(&page), "3");
        assert!(
            page.contains("toktra_siem_store_readable 1\n")
                && !page.contains("trace_spans")
                && !page.contains("store_used")
        );
    }
}
