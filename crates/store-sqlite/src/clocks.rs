//! What a wrong clock does to events that are stored: nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use toktra_siem_core::ids::Seq;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::rules::time::STEP;
use toktra_siem_store::{Appended, Backend as _, ClockTrust, EventLog, ReadLimit, Retention};

use super::failures::{ORG, event, store};
use super::{Sqlite, SqliteOptions};

const START: Timestamp = Timestamp(1_767_225_600_000);
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A machine whose clock the test sets.
struct Machine {
    clock: Arc<AtomicI64>,
    dir: tempfile::TempDir,
    trust: ClockTrust,
}

impl Machine {
    async fn new(trust: ClockTrust) -> (Self, Arc<Sqlite>) {
        let machine = Self { clock: Arc::new(AtomicI64::new(START.0)), dir: tempfile::tempdir().unwrap(), trust };
        let store = store(machine.dir.path(), machine.options()).await;
        (machine, store)
    }

    fn set(&self, since_start: i64) {
        self.clock.store(START.0 + since_start, Ordering::SeqCst);
    }

    /// A process that starts when the clock says this.
    fn start(&self, since_start: i64) -> Arc<Sqlite> {
        self.set(since_start);
        Sqlite::open(self.dir.path(), self.options()).unwrap()
    }

    fn options(&self) -> SqliteOptions {
        let clock = Arc::clone(&self.clock);
        SqliteOptions {
            clock: Arc::new(move || Timestamp(clock.load(Ordering::SeqCst))),
            clock_trust: self.trust,
            partition_rows: 20,
            ..SqliteOptions::default()
        }
    }
}

async fn append(store: &Sqlite, ids: std::ops::Range<u64>) {
    for n in ids {
        assert!(matches!(store.append(vec![event(n, 2)]).await.unwrap()[..], [Appended::Accepted(_)]), "{n}");
    }
}

/// Retention, as the server does it.
async fn retain(store: &Sqlite, kept: Duration) {
    let now = store.aging().now();
    let retention = Retention { payloads_before: now.minus(kept), history_before: now.minus(kept * 10) };
    while store.expire(retention).await.unwrap().more {}
}

/// When each event that is still there was accepted, since the start.
async fn accepted(store: &Sqlite) -> Vec<i64> {
    let read = store.read(ORG, Seq(0), ReadLimit { events: 1_000, bytes: usize::MAX }).await.unwrap();
    read.iter().map(|event| event.accepted_at.0 - START.0).collect()
}

/// However far the clock is ahead at one start, whether something is accepted then or not, and however short the retention is.
#[tokio::test]
async fn one_start_with_the_clock_ahead_removes_nothing_and_forgets_no_duplicate() {
    for (jump, kept) in [(60 * DAY, 30 * DAY), (500 * DAY, 30 * DAY), (3 * DAY, 30 * DAY), (DAY, HOUR)] {
        for accepts in [false, true] {
            let case = format!("{jump} {kept} {accepts}");
            let kept = Duration::from_millis(kept.unsigned_abs());
            let (machine, store) = Machine::new(ClockTrust::Steady).await;
            append(&store, 0..50).await;
            store.close().await.unwrap();
            let store = machine.start(jump);
            assert!(store.vitals().clock_ahead >= Duration::from_hours(23), "{case}");
            retain(&store, kept).await;
            if accepts {
                append(&store, 50..75).await;
            }
            retain(&store, kept).await;
            store.close().await.unwrap();
            let store = machine.start(60_000);
            assert_eq!(store.vitals().clock_ahead, Duration::ZERO, "{case}");
            retain(&store, kept).await;
            let there = if accepts { 75 } else { 50 };
            assert_eq!(accepted(&store).await.len(), there, "{case}");
            for n in 0..50 {
                let duplicate = Appended::Duplicate { seq: Seq(n + 1), differs: false };
                assert_eq!(store.append(vec![event(n, 2)]).await.unwrap(), [duplicate], "{case}");
            }
            append(&store, 100..101).await;
            let newest = accepted(&store).await[there];
            assert!(newest <= 60_000 + i64::try_from(STEP.as_millis()).unwrap(), "{case}: {newest}");
        }
    }
}

/// Events that a wrong clock accepted go with those around them, and keep nobody else's.
#[tokio::test]
async fn events_from_the_future_keep_no_others_beyond_their_time() {
    let (machine, store) = Machine::new(ClockTrust::Always).await;
    append(&store, 0..30).await;
    machine.set(60 * DAY);
    append(&store, 30..60).await;
    for day in 0..10 {
        machine.set(day * DAY);
        append(&store, 60 + u64::try_from(day).unwrap() * 10..70 + u64::try_from(day).unwrap() * 10).await;
    }
    assert_eq!(accepted(&store).await.len(), 160);
    machine.set(36 * DAY);
    retain(&store, Duration::from_hours(30 * 24)).await;
    let left = accepted(&store).await;
    assert!(!left.is_empty() && left.iter().all(|at| (5 * DAY..10 * DAY).contains(at)), "{left:?}");
    machine.set(45 * DAY);
    retain(&store, Duration::from_hours(30 * 24)).await;
    assert_eq!(accepted(&store).await.len(), 0);
}

/// A machine that has lost its clock starts in the past, and accepts something before it is told the time.
#[tokio::test]
async fn one_start_with_the_clock_behind_removes_nothing_and_forgets_no_duplicate() {
    for trust in [ClockTrust::Steady, ClockTrust::Always] {
        for (behind, restarts) in [(400 * DAY, false), (20_000 * DAY, false), (3 * DAY, true), (20_000 * DAY, true)] {
            let case = format!("{trust:?} {behind} {restarts}");
            let kept = Duration::from_hours(30 * 24);
            let (machine, mut store) = Machine::new(trust).await;
            append(&store, 0..50).await;
            if restarts {
                store.close().await.unwrap();
                store = machine.start(-behind);
            } else {
                machine.set(-behind);
            }
            retain(&store, kept).await;
            append(&store, 50..75).await;
            machine.set(60_000);
            retain(&store, kept).await;
            append(&store, 75..120).await;
            retain(&store, kept).await;
            store.close().await.unwrap();
            let store = machine.start(120_000);
            append(&store, 120..121).await;
            retain(&store, kept).await;
            assert_eq!(accepted(&store).await.len(), 121, "{case}");
            for n in 0..121 {
                let duplicate = Appended::Duplicate { seq: Seq(n + 1), differs: false };
                assert_eq!(store.append(vec![event(n, 2)]).await.unwrap(), [duplicate], "{case}");
            }
        }
    }
}

/// A flipped bit in what the catalogue says of a partition's time is no age.
#[tokio::test]
async fn a_damaged_time_of_a_partition_expires_nothing() {
    for bit in [0i64, 20, 33, 40] {
        let (machine, store) = Machine::new(ClockTrust::Always).await;
        append(&store, 0..75).await;
        store.close().await.unwrap();
        let conn = rusqlite::Connection::open(machine.dir.path().join("toktra.db")).unwrap();
        conn.execute("UPDATE partition SET last_at = last_at & ~(1 << ?1), first_at = first_at & ~(1 << ?1)", [bit])
            .unwrap();
        drop(conn);
        let store = machine.start(60_000);
        for _ in 0..3 {
            retain(&store, Duration::from_hours(30 * 24)).await;
        }
        assert_eq!(accepted(&store).await.len(), 75, "{bit}");
        machine.set(40 * DAY);
        // A partition that was set right is looked at again the next time.
        for _ in 0..5 {
            retain(&store, Duration::from_hours(30 * 24)).await;
        }
        assert_eq!(accepted(&store).await.len(), 0, "{bit}");
    }
}

#[tokio::test]
async fn a_clock_that_an_operator_vouches_for_is_believed_at_once() {
    let (mut machine, store) = Machine::new(ClockTrust::Steady).await;
    append(&store, 0..50).await;
    store.close().await.unwrap();
    machine.trust = ClockTrust::AtStart;
    let store = machine.start(60 * DAY);
    retain(&store, Duration::from_hours(30 * 24)).await;
    assert_eq!(accepted(&store).await.len(), 0);
}
