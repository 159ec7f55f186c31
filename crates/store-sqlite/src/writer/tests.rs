//! Turns in the writer's queue, with a writer that goes on when the test says so.

use std::collections::HashMap;
use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use proptest::prelude::*;
use tokio::task::unconstrained;
use toktra_siem_core::event::intake::SentFields;
use toktra_siem_core::event::{EventType, NewEvent, Severity};
use toktra_siem_core::ids::EventId;
use toktra_siem_core::time::Timestamp;
use uuid::Uuid;

use super::*;
use crate::SqliteOptions;
use crate::append;
use crate::migrate::open_writer;
use crate::space::Space;

type Answer = Pin<Box<dyn Future<Output = Result<usize>>>>;

/// A writer whose thread is the test: nothing is written unless the test says so.
struct Paused {
    writer: Writer,
    inbox: Inbox,
    engine: Engine,
    /// How many pieces of work were run.
    run: Arc<AtomicUsize>,
}

impl Paused {
    fn new(dir: &Path) -> Self {
        let (writer, inbox) = Writer::new();
        let path = dir.join("x.db");
        let space = Space::new(&path, &SqliteOptions::default(), Arc::clone(writer.pulse()));
        let conn = open_writer(&path).unwrap();
        let engine = Engine::load(conn, path, SqliteOptions::default(), writer.clone(), space, None).unwrap();
        Self { writer, inbox, engine, run: Arc::default() }
    }

    /// Queues an append, whose answer is how many pieces were run before it.
    async fn append(&self, org: u128, weight: Weight) -> Answer {
        let (writer, run) = (self.writer.clone(), Arc::clone(&self.run));
        let org = OrgId(Uuid::from_u128(org));
        let work = move |_: &mut Engine| Ok(run.fetch_add(1, Ordering::SeqCst));
        queued(Box::pin(async move { Ok(writer.append(org, vec![(weight, work)]).await?[0]) })).await
    }

    /// Queues an append of this many parts, whose answer is how many were run, in their order. `does` says what a part comes to.
    async fn parts(
        &self,
        org: u128,
        parts: usize,
        does: impl Fn(usize) -> Outcome<()> + Copy + Send + 'static,
    ) -> Answer {
        let (writer, run) = (self.writer.clone(), Arc::clone(&self.run));
        let part = |n: usize| {
            let run = Arc::clone(&run);
            let work = move |_: &mut Engine| {
                run.fetch_add(1, Ordering::SeqCst);
                does(n).map(|()| n)
            };
            (Weight { events: 100, bytes: PART - (100 << 10) }, work)
        };
        let parts: Vec<_> = (0..parts).map(part).collect();
        queued(Box::pin(async move {
            let done = writer.append(OrgId(Uuid::from_u128(org)), parts).await?;
            assert!(done.is_sorted(), "{done:?}");
            Ok(done.len())
        }))
        .await
    }

    async fn other(&self, connector: u128) -> Answer {
        self.other_of(connector, connector, OTHER).await
    }

    /// The same of this connector of an org, at this cost.
    async fn other_of(&self, org: u128, connector: u128, cost: usize) -> Answer {
        let (writer, run) = (self.writer.clone(), Arc::clone(&self.run));
        let (org, connector) = (OrgId(Uuid::from_u128(org)), ConnectorId(Uuid::from_u128(connector)));
        let kind = Work { org: Some(org), connector: Some(connector), cost, ..Work::REST };
        queued(Box::pin(async move {
            writer.call_as(kind, "testing", move |_| Ok(run.fetch_add(1, Ordering::SeqCst))).await
        }))
        .await
    }

    /// Writes one group, and says how many pieces it had.
    fn write(&mut self) -> usize {
        let group = self.inbox.desk.queue.lock().gather();
        let size = group.len();
        self.inbox.serve(&mut self.engine, group);
        size
    }
}

async fn queued(mut answer: Answer) -> Answer {
    assert!(is_waiting(&mut answer).await);
    answer
}

async fn is_waiting(answer: &mut Answer) -> bool {
    unconstrained(poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx).is_pending()))).await
}

/// The answer, which is there.
async fn answered(mut answer: Answer) -> usize {
    let now = poll_fn(|cx| match answer.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(answer.unwrap()),
        Poll::Pending => panic!("not answered yet"),
    });
    unconstrained(now).await
}

const BATCH: Weight = Weight { events: 20, bytes: 16_000 };
const SINGLE: Weight = Weight { events: 1, bytes: 800 };

/// However many requests one org posts without pause, a single event of another is in the next group.
#[tokio::test]
async fn one_event_behind_another_orgs_flood_is_in_the_next_group() {
    let dir = tempfile::tempdir().unwrap();
    let mut paused = Paused::new(dir.path());
    let mut flood = Vec::new();
    for _ in 0..1_000 {
        flood.push(paused.append(1, BATCH).await);
    }
    let single = paused.append(2, SINGLE).await;
    let size = paused.write();
    assert!(answered(single).await < size && size < 100, "a group of {size}");
    assert!(is_waiting(flood.last_mut().unwrap()).await);
    while paused.write() > 0 {}
    let mut order = Vec::new();
    for append in flood {
        order.push(answered(append).await);
    }
    assert!(order.is_sorted(), "an org's appends keep their order");
}

#[tokio::test]
async fn other_work_has_its_share_of_a_flood_and_appends_theirs_of_much_other_work() {
    let dir = tempfile::tempdir().unwrap();
    let mut paused = Paused::new(dir.path());
    let (mut appends, mut others) = (Vec::new(), Vec::new());
    for _ in 0..500 {
        appends.push(paused.append(1, BATCH).await);
        others.push(paused.other(1).await);
    }
    let of_another = paused.other(2).await;
    paused.write();
    answered(of_another).await;
    let mut answers = (0, 0);
    for (append, other) in appends.iter_mut().zip(&mut others) {
        answers.0 += usize::from(!is_waiting(append).await);
        answers.1 += usize::from(!is_waiting(other).await);
    }
    assert!(answers.0 > 20 && answers.1 > 20 && answers.0 + answers.1 < 120, "{answers:?}");
}

/// An org whose hundred connectors all fail has one org's turns: neither an event nor a delivery of another waits for more than one of its large
/// pieces.
#[tokio::test]
async fn an_org_with_many_connectors_has_the_turns_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut paused = Paused::new(dir.path());
    let mut flood = Vec::new();
    for connector in 0..100 {
        flood.push(paused.other_of(1, connector, 8 << 20).await);
    }
    assert_eq!(paused.write(), 1, "a group holds one of them at most");
    let (single, of_another) = (paused.append(2, SINGLE).await, paused.other_of(2, 7, OTHER).await);
    let size = paused.write();
    assert!(size <= 3, "a group of {size}");
    answered(single).await;
    answered(of_another).await;
    while paused.write() > 0 {}
    for piece in flood {
        answered(piece).await;
    }
}

#[tokio::test]
async fn a_request_that_is_larger_than_a_group_keeps_nobody_waiting_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut paused = Paused::new(dir.path());
    let huge = Weight { events: 20_000, bytes: 3 << 20 };
    let mut large = Vec::new();
    for _ in 0..3 {
        large.push(paused.append(1, huge).await);
    }
    assert_eq!(paused.write(), 1);
    for _ in 0..2 {
        let single = paused.append(2, SINGLE).await;
        assert_eq!(paused.write(), 1);
        answered(single).await;
        assert_eq!(paused.write(), 1);
    }
    for append in large {
        answered(append).await;
    }
}

/// An append as large as any leaves the others their turns between its parts.
#[tokio::test]
async fn one_event_behind_another_orgs_large_append_is_in_the_next_group() {
    let dir = tempfile::tempdir().unwrap();
    let mut paused = Paused::new(dir.path());
    let mut large = paused.parts(1, 60, |_| Ok(())).await;
    let single = paused.append(2, SINGLE).await;
    paused.write();
    let before = answered(single).await;
    assert!(before < 4, "{before} pieces went first");
    assert!(is_waiting(&mut large).await);
    while paused.write() > 0 {}
    assert_eq!(answered(large).await, 60, "in their order, each once");
    assert_eq!(paused.writer.queued(), Weight::default());
}

#[tokio::test]
async fn once_a_part_is_refused_or_lost_those_after_it_are_left_out() {
    for lost in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut paused = Paused::new(dir.path());
        let ends = move |part| match part {
            7 if lost => Err(Fault::Failed(rusqlite::Error::InvalidQuery)),
            7 => Err(Fault::Refused(StoreError::NotFound)),
            _ => Ok(()),
        };
        let mut large = paused.parts(1, 60, ends).await;
        while paused.write() > 0 {}
        let answer = poll_fn(|cx| large.as_mut().poll(cx)).await;
        assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "some of it is kept: {answer:?}");
        assert!(paused.run.load(Ordering::SeqCst) <= 8, "{lost}");
        assert_eq!(paused.writer.queued(), Weight::default(), "{lost}");
        assert_eq!(
            answered({
                let next = paused.append(1, SINGLE).await;
                paused.write();
                next
            })
            .await,
            paused.run.load(Ordering::SeqCst) - 1,
            "the next append is another one"
        );
    }
}

#[tokio::test]
async fn one_orgs_flood_makes_its_own_appends_busy_and_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let mut paused = Paused::new(dir.path());
    let large = Weight { events: 1_000, bytes: 1 << 20 };
    let mut flood = Vec::new();
    for _ in 0..24 {
        flood.push(paused.append(1, large).await);
    }
    let refused = paused.writer.append(OrgId(Uuid::from_u128(1)), vec![(large, |_: &mut Engine| Ok(()))]).await;
    assert!(matches!(refused, Err(StoreError::Busy)), "{refused:?}");
    let other = paused.append(2, large).await;
    while paused.write() > 0 {}
    answered(other).await;
    assert_eq!(paused.writer.queued(), Weight::default());
    drop(paused.append(1, large).await);
}

#[tokio::test]
async fn what_waits_when_the_thread_ends_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let paused = Paused::new(dir.path());
    let (append, other) = (paused.append(1, SINGLE).await, paused.other(1).await);
    drop(paused.inbox);
    for answer in [append, other] {
        assert!(matches!(answer.await, Err(StoreError::Unavailable { .. })));
    }
    let late = paused.writer.call("testing", |_| Ok(())).await;
    assert!(matches!(late, Err(StoreError::Unavailable { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    /// Whatever is queued is answered once, in the order of its line; a group has something of everybody who waits with little, and of
    /// both kinds of work.
    #[test]
    fn all_work_is_answered_once_in_the_order_of_its_line(
        steps in prop::collection::vec(prop_oneof![
            6 => (0..4u128, 1..60usize).prop_map(Some),
            1 => Just(None),
        ], 1..120)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let mut paused = Paused::new(dir.path());
            let mut lines: HashMap<u128, Vec<Answer>> = HashMap::new();
            let mut queued = 0;
            for step in steps {
                let Some((line, tens)) = step else {
                    queued -= paused.write();
                    continue;
                };
                let answer = match line {
                    0 => paused.other(line).await,
                    _ => paused.append(line, Weight { events: tens * 10, bytes: tens * 8_000 }).await,
                };
                lines.entry(line).or_default().push(answer);
                queued += 1;
            }
            while queued > 0 {
                let written = paused.write();
                assert!(written > 0);
                queued -= written;
            }
            assert_eq!(paused.write(), 0);
            let mut all = Vec::new();
            for line in lines.into_values() {
                let mut order = Vec::new();
                for answer in line {
                    order.push(answered(answer).await);
                }
                assert!(order.is_sorted(), "{order:?}");
                all.extend(order);
            }
            all.sort_unstable();
            assert_eq!(all, (0..all.len()).collect::<Vec<_>>(), "each piece was run once");
        });
    }
}

impl Paused {
    /// With an org, and its first event.
    async fn with_an_event(dir: &Path) -> Self {
        let mut paused = Self::new(dir);
        let org = "INSERT INTO org (id, name, is_default, created_at) VALUES (?1, 'a', 1, 0)";
        paused.engine.conn.execute(org, [ORG.0.as_bytes().as_slice()]).unwrap();
        paused.engine.rolled_back().unwrap();
        let first = paused.event(1).await;
        paused.write();
        assert_eq!(answered(first).await, 1);
        paused
    }

    /// Queues a real append, whose answer is how many events were accepted.
    async fn event(&self, n: u128) -> Answer {
        let event = NewEvent {
            org: ORG,
            event_id: EventId(Uuid::from_u128(n)),
            event_type: EventType::Anomaly,
            severity: Severity::Low,
            event_time: Timestamp(0),
            payload: "{}".into(),
            made: false,
            sent: SentFields(u32::MAX),
        };
        let writer = self.writer.clone();
        let work = move |engine: &mut Engine| {
            engine.room = Some(77);
            append::append(engine, None, vec![event])
        };
        queued(Box::pin(async move { Ok(writer.append(ORG, vec![(SINGLE, work)]).await?[0].len()) })).await
    }

    async fn work(&self, work: impl Fn(&mut Engine) -> Outcome<usize> + Send + 'static) -> Answer {
        let writer = self.writer.clone();
        queued(Box::pin(async move { writer.call("testing", work).await })).await
    }

    fn open(&self) -> Option<i64> {
        self.engine.partitions.open.as_ref().map(|open| open.number)
    }
}

const ORG: OrgId = OrgId(Uuid::from_u128(1));

fn damage(_: &mut Engine) -> Outcome<usize> {
    Err(Fault::Failed(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), None)))
}

/// A group moves to the next partition where the open one takes no rows, and stays there whatever else in it meets damage.
#[tokio::test]
async fn events_that_moved_to_the_next_partition_do_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut paused = Paused::with_an_event(dir.path()).await;
    let refuse = "CREATE TRIGGER full BEFORE INSERT ON head_1 BEGIN SELECT RAISE(ABORT, 'damaged'); END";
    paused.engine.conn.execute_batch(refuse).unwrap();
    let (event, mut damaged) = (paused.event(2).await, paused.work(damage).await);
    paused.write();
    assert_eq!(answered(event).await, 1);
    let told = poll_fn(|cx| damaged.as_mut().poll(cx)).await;
    assert!(matches!(told, Err(StoreError::Damaged(_))), "{told:?}");
    assert_eq!((paused.open(), paused.engine.takes_none), (Some(2), None));
    let kept = "SELECT events FROM head_2";
    assert_eq!(paused.engine.conn.query_row(kept, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

/// What a group has claimed stays claimed as it is begun again, and what it did besides is forgotten.
#[tokio::test]
async fn a_group_that_is_begun_again_neither_claims_less_nor_skips_what_it_had_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut paused = Paused::with_an_event(dir.path()).await;
    let event = paused.event(2).await;
    let pass = |engine: &mut Engine| {
        let found = engine.eviction.take();
        engine.eviction.put(found.clone().unwrap_or_default());
        Ok(usize::from(found.is_some()))
    };
    let (evicts, damaged) = (paused.work(pass).await, paused.work(damage).await);
    let room = paused.work(|engine| Ok(usize::try_from(engine.room.unwrap_or(0)).unwrap())).await;
    assert_eq!(paused.write(), 4);
    drop(damaged);
    assert_eq!((answered(event).await, answered(room).await), (1, 77));
    assert_eq!(answered(evicts).await, 0, "the pass goes on from where it was");
    let (evicts, lost) = (paused.work(pass).await, paused.work(|_| Ok(0)).await);
    paused.write();
    drop(lost);
    assert_eq!(answered(evicts).await, 1);
}

/// Where no other partition can be begun, the open one is sealed neither by upkeep nor by a clock that was set back.
#[tokio::test]
async fn the_only_partition_that_can_be_written_stays_open() {
    let dir = tempfile::tempdir().unwrap();
    let mut paused = Paused::with_an_event(dir.path()).await;
    paused.engine.stays = true;
    let sealed = paused.work(|engine| Ok(usize::from(engine.seal_early()?))).await;
    paused.write();
    assert_eq!((answered(sealed).await, paused.open()), (0, Some(1)));
    let ahead = Timestamp(paused.engine.accepted_at.0 + 3_600_000);
    paused.engine.accepted_at = ahead;
    let (event, damaged) = (paused.event(2).await, paused.work(damage).await);
    paused.write();
    drop(damaged);
    assert_eq!((answered(event).await, paused.open(), paused.engine.accepted_at), (1, Some(1), ahead));
    paused.engine.stays = false;
    let sealed = paused.work(|engine| Ok(usize::from(engine.seal_early()?))).await;
    paused.write();
    assert_eq!((answered(sealed).await, paused.open()), (1, None));
}
