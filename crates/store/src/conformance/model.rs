//! Any backend held against the reference: the same random operations on both, the same answers and the same accounts from both.
//!
//! An operation is drawn before the state that it meets is known; what it does is derived from the reference's state, so that most of
//! them do something, and sometimes it is made stale or wrong on purpose, so that refusals are compared as well. Ids come from each
//! world's own counter, which both advance alike; only the ids of ranges that a save made are each backend's own, and those are
//! addressed by their place in the list.

use std::fmt::Debug;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::connector::{Connector, Settings};
use toktra_siem_core::delivery::{ParkKind, Trigger};
use toktra_siem_core::destination::Outcome;
use toktra_siem_core::event::{EventType, NewEvent, Severity};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{EventId, OrgId, Seq, StreamId, StreamKind};
use toktra_siem_core::job::JobKind;
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;

use super::flow::{Flow, delivered, rejected, retry};
use super::world::{datadog, keep, kind, only, refused, splunk};
use super::{Fixture, World};
use crate::{Clock, HistoryQuery, JobQuery, LastAttempt, Lease, Memory, ReadLimit, Result, Resume, StoreError, Taken};

/// One step. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Op {
    Append { severities: Vec<Severity>, repeat: bool },
    Pass { ms: i64 },
    Create { datadog: bool, active: bool },
    Save { which: usize, filter: Option<Severity>, active: bool, resume: Resume, stale: bool },
    Delete { which: usize },
    Lease { which: usize },
    Open { which: usize, share: u64, off: u8 },
    OpenRange { which: usize, share: u64 },
    OpenParked { which: usize, kind: ParkKind, take: usize },
    Replay { which: usize },
    Job { which: usize, kind: JobKind, filter: Option<Severity>, since: Option<i64> },
    Work { which: usize, share: u64, off: u8 },
    Discard { which: usize, most: usize },
    Cancel { which: usize },
    Settle { which: usize, outcome: u8, cut: usize, again: bool },
    Recover { which: usize },
    ExpireParked { which: usize, seq: u64 },
    Breaker { which: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let severity = prop::sample::select(vec![Severity::Low, Severity::High]);
    let which = || 0usize..6;
    let parking = prop::sample::select(vec![ParkKind::Failed, ParkKind::Rejected]);
    let job = prop::sample::select(vec![
        JobKind::Redeliver,
        JobKind::RedeliverFailed,
        JobKind::RedeliverFailed,
        JobKind::Replay,
        JobKind::Discard,
    ]);
    let resume = prop::sample::select(vec![Resume::Backlog, Resume::Now]);
    prop_oneof![
        8 => (prop::collection::vec(severity.clone(), 1..6), any::<bool>())
            .prop_map(|(severities, repeat)| Op::Append { severities, repeat }),
        3 => prop_oneof![9 => -5_000i64..20_000, 1 => -90_000i64..-5_000].prop_map(|ms| Op::Pass { ms }),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(datadog, active)| Op::Create { datadog, active }),
        3 => (which(), prop::option::of(severity.clone()), any::<bool>(), resume, prop::bool::weighted(0.1))
            .prop_map(|(which, filter, active, resume, stale)| Op::Save { which, filter, active, resume, stale }),
        1 => which().prop_map(|which| Op::Delete { which }),
        3 => which().prop_map(|which| Op::Lease { which }),
        8 => (which(), 1u64..5, 0u8..12).prop_map(|(which, share, off)| Op::Open { which, share, off }),
        4 => (which(), 1u64..4).prop_map(|(which, share)| Op::OpenRange { which, share }),
        5 => (which(), parking, 1usize..5).prop_map(|(which, kind, take)| Op::OpenParked { which, kind, take }),
        1 => which().prop_map(|which| Op::Replay { which }),
        6 => (which(), job, prop::option::weighted(0.3, severity), prop::option::of(0i64..60_000))
            .prop_map(|(which, kind, filter, since)| Op::Job { which, kind, filter, since }),
        12 => (which(), 1u64..4, 0u8..12).prop_map(|(which, share, off)| Op::Work { which, share, off }),
        2 => (which(), 1usize..4).prop_map(|(which, most)| Op::Discard { which, most }),
        1 => which().prop_map(|which| Op::Cancel { which }),
        12 => (which(), 0u8..7, 0usize..5, prop::bool::weighted(0.1))
            .prop_map(|(which, outcome, cut, again)| Op::Settle { which, outcome, cut, again }),
        2 => which().prop_map(|which| Op::Recover { which }),
        1 => (which(), 1u64..20).prop_map(|(which, seq)| Op::ExpireParked { which, seq }),
        1 => which().prop_map(|which| Op::Breaker { which }),
    ]
}

/// One backend under the same operations.
struct Side {
    world: World,
    connectors: Vec<Connector>,
    streams: Vec<Owned>,
    events: Vec<NewEvent>,
}

/// A stream with the lease that this side holds.
struct Owned {
    stream: StreamId,
    lease: Lease,
}

/// Runs `cases` random sequences against `make`'s store and the reference. A failure is shrunk, and printed with its operations.
pub fn agrees(make: fn(Clock) -> Fixture, cases: u32) {
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let result = runner.run(&prop::collection::vec(op(), 1..60), |ops| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut reference = Side::new(|clock| Fixture::new(Memory::new(clock))).await;
            let mut other = Side::new(make).await;
            for op in &ops {
                let expected = reference.apply(op).await;
                let found = other.apply(op).await;
                same(op, &expected, &found)?;
                same(op, &reference.portrait().await, &other.portrait().await)?;
            }
            other.shows_nothing_to_a_stranger().await;
            Ok(())
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

fn same<T: PartialEq + Debug>(op: &Op, expected: &T, found: &T) -> std::result::Result<(), TestCaseError> {
    prop_assert!(expected == found, "after {op:?}\nthe reference: {expected:#?}\nthe backend:   {found:#?}");
    Ok(())
}

impl Side {
    /// A world with an active connector of one stream and one of two.
    async fn new(make: impl FnOnce(Clock) -> Fixture) -> Self {
        let mut side = Self { world: World::new(make).await, connectors: vec![], streams: vec![], events: vec![] };
        side.create(splunk(), true).await;
        side.create(datadog(true), true).await;
        side
    }

    /// One of the streams for which there is something to do.
    async fn flow(&self, op: &Op) -> Option<Flow<'_>> {
        let mut able = Vec::new();
        for Owned { stream, lease } in &self.streams {
            if self.has_work(*stream, op).await {
                able.push(Flow { world: &self.world, stream: *stream, lease: *lease });
            }
        }
        let at = which(op).checked_rem(able.len())?;
        Some(able.swap_remove(at))
    }

    async fn has_work(&self, stream: StreamId, op: &Op) -> bool {
        let store = &self.world.store;
        let Ok(record) = store.stream(stream).await else { return false };
        match op {
            Op::Open { .. } => record.cursor < record.head,
            Op::OpenRange { .. } => !store.ranges(stream).await.unwrap().is_empty(),
            Op::OpenParked { kind, .. } => !store.parked(stream, *kind, Seq(0), 1).await.unwrap().is_empty(),
            Op::Job { .. } => stream.kind != StreamKind::Metrics,
            Op::Work { .. } => store.next_job(stream).await.unwrap().is_some(),
            Op::Settle { .. } => !store.pending(stream).await.unwrap().is_empty(),
            _ => true,
        }
    }

    /// What the operation answered, in words that do not depend on the backend.
    async fn apply(&mut self, op: &Op) -> String {
        match op {
            Op::Append { severities, repeat } => self.append(severities, *repeat).await,
            Op::Pass { ms } => {
                self.world.pass(*ms);
                String::new()
            }
            Op::Create { datadog: true, active } => self.create(datadog(true), *active).await,
            Op::Create { datadog: false, active } => self.create(splunk(), *active).await,
            Op::Save { which, filter, active, resume, stale } => {
                let Some(at) = which.checked_rem(self.connectors.len()) else { return String::new() };
                let filter = filter.map_or_else(Filter::default, |severity| only(&[severity]));
                let connector = Connector { filter, active: *active, ..self.connectors[at].clone() };
                let mut save = keep(connector, *resume);
                save.expected = stale.then_some(toktra_siem_core::ids::Revision(0));
                let saved = told(&self.world.store.save_connector(self.world.org, self.world.change(save)).await);
                // Its owner hears of it, unless it was switched off; then it is fenced, until it takes the stream over again.
                let id = self.connectors[at].id;
                for owned in self.streams.iter_mut().filter(|owned| *active && owned.stream.connector == id) {
                    if let Ok((lease, _)) = self.world.owner.take_over(&*self.world.store, owned.stream).await {
                        owned.lease = lease;
                    }
                }
                saved
            }
            Op::Delete { which } => {
                let Some(at) = which.checked_rem(self.connectors.len()) else { return String::new() };
                let id = self.connectors[at].id;
                let audit = self.world.audit("connector.delete", &id);
                told(&self.world.store.delete_connector(self.world.org, id, None, audit).await)
            }
            Op::Lease { which } => {
                let Some(at) = which.checked_rem(self.streams.len()) else { return String::new() };
                let leased = self.world.owner.take_over(&*self.world.store, self.streams[at].stream).await;
                if let Ok((lease, _)) = &leased {
                    self.streams[at].lease = *lease;
                }
                told(&leased.map(|(_, record)| record))
            }
            Op::Discard { which, most } => {
                let open = self.world.store.open_discards().await.unwrap();
                let Some(at) = which.checked_rem(open.len()) else { return String::new() };
                told(&self.world.store.discard(open[at], *most).await)
            }
            Op::Cancel { which } => {
                let query = JobQuery { limit: 100, ..JobQuery::default() };
                let jobs = self.world.store.jobs(self.world.org, query).await.unwrap().items;
                let Some(at) = which.checked_rem(jobs.len()) else { return String::new() };
                let audit = self.world.audit("job.cancel", &jobs[at].id);
                told(&self.world.store.cancel_job(self.world.org, jobs[at].id, audit).await)
            }
            on_stream => match self.flow(on_stream).await {
                Some(flow) => apply_to(&flow, on_stream).await,
                None => String::new(),
            },
        }
    }

    async fn append(&mut self, severities: &[Severity], repeat: bool) -> String {
        let mut events: Vec<NewEvent> =
            severities.iter().map(|s| self.world.event_of(self.world.org, EventType::Anomaly, *s)).collect();
        if repeat {
            events.extend(self.events.last().cloned());
        }
        self.events.extend(events.iter().cloned());
        told(&self.world.store.append(events).await)
    }

    async fn create(&mut self, platform: Settings, active: bool) -> String {
        let connector = self.world.create(self.world.draft(platform, active)).await;
        for stream in connector.streams() {
            let leased = self.world.owner.take_over(&*self.world.store, stream).await;
            // Nobody can have what is not wanted.
            let lease = leased.map_or(Lease { stream, epoch: 0 }, |(lease, _)| lease);
            self.streams.push(Owned { stream, lease });
        }
        self.connectors.push(connector.clone());
        told(&Ok(connector))
    }

    /// Everything that can be read, as text.
    async fn portrait(&self) -> Vec<String> {
        let (store, org) = (&self.world.store, self.world.org);
        let mut lines = Vec::new();
        for Owned { stream, .. } in &self.streams {
            let record = store.stream(*stream).await;
            if let Ok(record) = &record {
                assert!(record.accounting().adds_up(), "D1: {record:?}");
                assert_eq!(store.recount(*stream).await.unwrap(), record.counts, "recount of {stream}");
                let ranges = store.ranges(*stream).await.unwrap();
                let ranges = ranges.iter().map(|r| (r.cursor, r.to, r.trigger, r.since));
                lines.push(format!("{:?}", ranges.collect::<Vec<_>>()));
                lines.push(told(&store.pending(*stream).await));
                for kind in [ParkKind::Failed, ParkKind::Rejected] {
                    lines.push(told(&store.parked(*stream, kind, Seq(0), 1000).await));
                }
                lines.push(told(&store.timeline(stream.connector).await));
            }
            lines.push(told(&record));
        }
        let seen: std::collections::BTreeSet<EventId> = self.events.iter().map(|event| event.event_id).collect();
        for id in seen {
            lines.push(told(&store.fates(org, id).await));
        }
        let history = store.history(org, HistoryQuery { limit: 1000, ..HistoryQuery::default() }).await;
        for item in history.iter().flat_map(|page| &page.items) {
            let detail = store.delivery(org, item.delivery.id).await.unwrap();
            assert_eq!((&item.delivery, item.last), (&detail.delivery, LastAttempt::of(&detail.attempts)));
            lines.push(format!("{:?} {:?}", item.delivery.id, (detail.attempts, detail.children, detail.recovered_by)));
        }
        lines.push(told(&history));
        let jobs = store.jobs(org, JobQuery { limit: 1000, ..JobQuery::default() }).await;
        for job in jobs.iter().flat_map(|page| &page.items) {
            self.world.job_now(job.id).await;
        }
        lines.push(told(&jobs));
        lines.push(told(&store.connectors(org).await));
        lines.push(self.log(org).await);
        lines
    }

    /// Invariant D7, over whatever the operations have made.
    async fn shows_nothing_to_a_stranger(&self) {
        let (store, stranger) = (&self.world.store, self.world.other_org().await);
        let all = || HistoryQuery { limit: 1000, ..HistoryQuery::default() };
        for item in store.history(self.world.org, all()).await.unwrap().items {
            refused!(store.delivery(stranger, item.delivery.id).await, StoreError::NotFound);
        }
        for event in &self.events {
            refused!(store.event(stranger, event.event_id).await, StoreError::NotFound);
            refused!(store.fates(stranger, event.event_id).await, StoreError::NotFound);
            let query = HistoryQuery { event_id: Some(event.event_id), ..all() };
            assert!(store.history(stranger, query).await.unwrap().items.is_empty());
        }
        for connector in &self.connectors {
            let (id, audit) = (connector.id, self.world.audit("foreign", &connector.id));
            refused!(store.connector(stranger, id).await, StoreError::NotFound);
            refused!(store.connector_streams(stranger, id).await, StoreError::NotFound);
            refused!(store.delete_connector(stranger, id, None, audit).await, StoreError::NotFound);
            let save = self.world.change(keep(connector.clone(), Resume::Now));
            refused!(store.save_connector(stranger, save).await, StoreError::NotFound);
            let query = HistoryQuery { connector: Some(id), ..all() };
            assert!(store.history(stranger, query).await.unwrap().items.is_empty());
        }
        assert!(store.connectors(stranger).await.unwrap().is_empty());
        assert!(store.history(stranger, all()).await.unwrap().items.is_empty());
        let limit = ReadLimit { events: 1000, bytes: usize::MAX };
        assert!(store.read(stranger, Seq(0), limit).await.unwrap().is_empty());
    }

    async fn log(&self, org: OrgId) -> String {
        let limit = ReadLimit { events: 1000, bytes: usize::MAX };
        told(&self.world.store.read(org, Seq(0), limit).await)
    }
}

fn which(op: &Op) -> usize {
    match op {
        Op::Open { which, .. }
        | Op::OpenRange { which, .. }
        | Op::OpenParked { which, .. }
        | Op::Replay { which }
        | Op::Job { which, .. }
        | Op::Work { which, .. }
        | Op::Discard { which, .. }
        | Op::Cancel { which }
        | Op::Settle { which, .. }
        | Op::Recover { which }
        | Op::ExpireParked { which, .. }
        | Op::Breaker { which }
        | Op::Save { which, .. }
        | Op::Delete { which }
        | Op::Lease { which } => *which,
        Op::Append { .. } | Op::Pass { .. } | Op::Create { .. } => 0,
    }
}

/// The operations on a stream that is there.
async fn apply_to(flow: &Flow<'_>, op: &Op) -> String {
    let (world, store) = (flow.world, &flow.world.store);
    match op {
        Op::Open { share, off, .. } => {
            let record = store.stream(flow.stream).await.unwrap();
            let to = Seq(record.cursor.0 + record.cursor.until(record.head).div_ceil(*share));
            let mut open = flow.prepare(to).await;
            if let Taken::Live { from, passed, revision, .. } = &mut open.taken {
                match off {
                    0 => from.0 += 1,
                    1 => passed.filtered += 1,
                    2 => revision.0 = 0,
                    _ => {}
                }
            }
            told(&flow.open(open).await)
        }
        Op::OpenRange { share, .. } => {
            let Some(range) = store.ranges(flow.stream).await.unwrap().into_iter().next() else { return String::new() };
            let leased = world.owner.take_over(&**store, flow.stream).await;
            let Ok((lease, _)) = leased else { return told(&leased) };
            let flow = Flow { lease, ..*flow };
            let to = Seq(range.cursor.0 + range.cursor.until(range.to).div_ceil(*share));
            told(&Ok(flow.open_range(&range, to).await))
        }
        Op::OpenParked { kind, take, .. } => {
            // While the breaker is open a single one goes, as a probe.
            let open = !store.stream(flow.stream).await.unwrap().breaker.is_closed();
            let probe = open && *kind == ParkKind::Failed;
            let take = if probe { 1 } else { *take };
            let parked = store.parked(flow.stream, *kind, Seq(0), take).await.unwrap();
            let Some(first) = parked.first() else { return String::new() };
            let before = store.delivery_record(first.delivery).await.unwrap().unwrap();
            let (members, taken) = if before.window.is_some() {
                (before.members.clone(), Members::from_ascending([first.seq]))
            } else {
                let members = Members::from_ascending(parked.iter().map(|parked| parked.seq));
                (members.clone(), members)
            };
            let mut delivery = world.delivery(flow.stream, Trigger::Recovery, members);
            delivery.window = before.window;
            delivery.probe = probe;
            told(&flow.open(crate::Open { deliveries: vec![delivery], taken: Taken::Parked(taken), job: None }).await)
        }
        Op::Replay { .. } => {
            let head = store.stream(flow.stream).await.unwrap().head;
            let members = Members::from_ascending((1..=head.0.min(3)).map(Seq));
            let replay = world.delivery(flow.stream, Trigger::Replay, members);
            if replay.members.is_empty() {
                return String::new();
            }
            told(&flow.open(crate::Open { deliveries: vec![replay], taken: Taken::Beside, job: None }).await)
        }
        Op::Job { kind, filter, since, .. } => make_job(flow, *kind, *filter, *since).await,
        Op::Work { share, off, .. } => work(flow, *share, *off).await,
        Op::Settle { outcome, cut, again, .. } => settle(flow, *outcome, *cut, *again).await,
        Op::Recover { .. } => {
            let (id, closed) = (world.range_id(), Breaker::default());
            told(&store.recover(&flow.lease, id, Trigger::Recovery, closed, world.now()).await)
        }
        Op::ExpireParked { seq, .. } => {
            told(&store.expire_parked(&flow.lease, vec![Seq(*seq), Seq(seq + 1)], world.now()).await)
        }
        _ => told(&store.set_breaker(&flow.lease, super::resume::open_breaker(world)).await),
    }
}

/// Makes a job, sometimes from a moment of the past on; a redelivery of the newest delivery of the stream.
async fn make_job(flow: &Flow<'_>, kind: JobKind, filter: Option<Severity>, since: Option<i64>) -> String {
    let world = flow.world;
    let mut job = world.job(kind, flow.stream);
    if kind == JobKind::Redeliver {
        let (connector, stream) = (Some(flow.stream.connector), Some(flow.stream.kind));
        let query = HistoryQuery { connector, stream, limit: 1, ..HistoryQuery::default() };
        let Some(newest) = world.store.history(world.org, query).await.unwrap().items.pop() else {
            return String::new();
        };
        job.delivery = Some(newest.delivery.id);
    } else {
        job.from = since.map(|since| Timestamp(world.now().0 - since));
    }
    job.filter = filter.map_or_else(Filter::default, |severity| only(&[severity]));
    let scope = world.store.job_scope(world.org, &job).await;
    let Ok(found) = &scope else { return told(&scope) };
    job.begin(*found, world.now());
    told(&world.store.create_job(world.org, world.change(job)).await)
}

/// Takes a share of what the stream's next job has before it; sometimes from the wrong place, or as if it were of no job.
async fn work(flow: &Flow<'_>, share: u64, off: u8) -> String {
    let Some(job) = flow.world.store.next_job(flow.stream).await.unwrap() else { return String::new() };
    let to = Seq(job.cursor.0 + job.cursor.until(job.last).div_ceil(share));
    let (_, mut open) = flow.work(&job, to).await;
    match (off, &mut open.job) {
        (0, Some(step)) => step.from.0 += 1,
        (1, step) => *step = None,
        _ => {}
    }
    told(&flow.open(open).await)
}

/// Settles a pending delivery, sometimes twice, or lets it fail altogether.
async fn settle(flow: &Flow<'_>, outcome: u8, cut: usize, again: bool) -> String {
    let pending = flow.world.store.pending(flow.stream).await.unwrap();
    let Some(delivery) = cut.checked_rem(pending.len()).map(|at| &pending[at]) else { return String::new() };
    if outcome == 6 {
        return told(&Ok(flow.fail(delivery).await));
    }
    let items = delivery.items();
    let cut = cut.min(items);
    let two = |a: Outcome, b: Outcome| [(cut, a), (items - cut, b)].into_iter().filter(|(len, _)| *len > 0).collect();
    let outcomes = match outcome {
        0 | 1 => two(delivered(), delivered()),
        2 => two(delivered(), rejected()),
        3 => two(delivered(), retry()),
        4 => two(rejected(), retry()),
        _ => two(retry(), retry()),
    };
    let mut settlement = flow.judge(delivery, outcomes);
    settlement.held = if outcome == 5 { vec![Seq(1), Seq(2), Seq(3)] } else { vec![] };
    settlement.breaker = (outcome == 5).then(|| super::resume::open_breaker(flow.world));
    let first = told(&flow.settle(settlement.clone()).await);
    if again { first + &told(&flow.settle(settlement).await) } else { first }
}

fn told<T: Debug>(result: &Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("refused: {}", kind(error)),
    }
}
