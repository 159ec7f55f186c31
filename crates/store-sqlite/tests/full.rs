//! The embedded backend on a file system that somebody else fills: a small one, which only this test sees.
//!
//! That needs a process of its own, so each test runs itself again as a child, in a namespace where it may mount one.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use toktra_siem_core::event::{EventType, NewEvent, Severity};
use toktra_siem_core::ids::{EventId, Seq};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::conformance::flow::Flow;
use toktra_siem_store::conformance::{Fixture, World};
use toktra_siem_store::{Clock, EventLog as _, Retention, Shortage, StoreError};
use toktra_siem_store_sqlite::{Sqlite, SqliteOptions};

/// In the child: where the small file system is.
const DIR: &str = "TOKTRA_TEST_SMALL";
/// Its size, and the budget that a server takes there.
const SIZE: u64 = 96 << 20;
const BUDGET: u64 = SIZE / 100 * 80;
const BATCH: u64 = 20;

/// Runs the test of this name again on a small file system. None where that was done, or cannot be done here.
#[expect(
    clippy::disallowed_methods,
    reason = "the environment says to the child that it is one, and whether this is CI"
)]
fn on_a_small_file_system(name: &str) -> Option<PathBuf> {
    if let Some(dir) = std::env::var_os(DIR) {
        return Some(dir.into());
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let inside = |script: &str| {
        let mut command = Command::new("unshare");
        command
            .args(["--map-root-user", "--mount", "sh", "-c"])
            .arg(format!("mount -t tmpfs -o size={SIZE} tmpfs \"$TOKTRA_TEST_SMALL\" && {script}"));
        command.args(["sh"]).env(DIR, dir.path());
        command
    };
    if !inside("true").status().is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "no file system can be mounted in a namespace of one's own");
        eprintln!("skipped: no file system can be mounted in a namespace of one's own here");
        return None;
    }
    let child = inside("exec \"$@\"")
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", name, "--nocapture"])
        .status();
    assert!(child.expect("a child").success(), "the child failed");
    None
}

/// Bytes that nothing makes smaller.
fn noise(id: EventId, length: usize) -> Bytes {
    let mut state = id.0.as_u64_pair().1 | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn options(clock: Clock) -> SqliteOptions {
    SqliteOptions { clock, max_bytes: Some(BUDGET), ..SqliteOptions::default() }
}

/// A world over a store in `dir`, and the store.
async fn world(dir: &Path) -> (World, Arc<Sqlite>) {
    let mut opened = None;
    let world = World::new(|clock| {
        let store = Sqlite::open(dir, options(clock)).expect("a new store");
        opened = Some(Arc::clone(&store));
        Fixture { store, damages: None, keep: Box::new(()) }
    })
    .await;
    (world, opened.expect("a store"))
}

fn batch(world: &World) -> Vec<NewEvent> {
    let large = |_| {
        let event = world.event_of(world.org, EventType::Anomaly, Severity::High);
        NewEvent { payload: noise(event.event_id, 10_000), ..event }
    };
    (0..BATCH).map(large).collect()
}

/// Appends until there is no room; how many events were accepted.
async fn fill(world: &World) -> u64 {
    for n in 0.. {
        match world.store.append(batch(world)).await {
            Ok(_) => {}
            Err(StoreError::Full) => return n * BATCH,
            Err(other) => panic!("{other}"),
        }
    }
    unreachable!("a file system without end")
}

/// Another program's file, of so many bytes or until nothing more fits.
fn foreign(dir: &Path, name: &str, bytes: u64) {
    let mut file = OpenOptions::new().create(true).append(true).open(dir.join(name)).expect("a file");
    let piece = [7; 4096];
    for _ in 0..bytes.div_ceil(4096) {
        if file.write_all(&piece).is_err() {
            break;
        }
    }
}

/// Waits until this is so.
async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    for _ in 0..300 {
        if is().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not within half a minute: {what}");
}

/// Delivers all that waits, in pieces; how many.
async fn drain(flow: &Flow<'_>, accepted: u64) {
    let mut to = flow.record().await.cursor.0;
    while to < accepted {
        to = (to + 50).min(accepted);
        let delivery = flow.open_to(to).await.expect("events");
        flow.deliver(&delivery).await;
    }
}

/// Others have taken half of it, then all of it: what was accepted is delivered to the last event while producers go on posting, and when the
/// others have gone events are taken in again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_is_delivered_although_others_fill_the_file_system() {
    let name = "what_was_accepted_is_delivered_although_others_fill_the_file_system";
    let Some(dir) = on_a_small_file_system(name) else { return };
    let (world, store) = world(&dir).await;
    let flow = Flow::take_over(&world, world.stream().await).await;
    foreign(&dir, "foreign", 40 << 20);
    let accepted = fill(&world).await;
    assert!(accepted > 500, "{accepted} events");
    let used = store.used_bytes().await.expect("a measure");
    assert!(used < BUDGET / 2, "the budget is not used up: {used}");
    assert!(dir.join("toktra.reserve").is_file());
    assert_eq!(store.vitals().refusing, Some(Shortage::FileSystem));

    // Now nothing is left at all.
    foreign(&dir, "foreign", SIZE);
    until("the reserve is given up", async || {
        let refused = world.store.append(batch(&world)).await;
        assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
        !dir.join("toktra.reserve").exists()
    })
    .await;
    let (posts, posting) = (batch(&world), Arc::clone(&store));
    let producer = tokio::spawn(async move {
        let mut refused = 0;
        loop {
            match posting.append(posts.clone()).await {
                Err(StoreError::Full) => refused += 1,
                other => return (refused, other),
            }
        }
    });
    drain(&flow, accepted).await;
    let record = flow.record().await;
    assert_eq!((record.counts.delivered.cast_unsigned(), record.counts.pending), (accepted, 0));
    assert!(!store.vitals().poisoned);

    std::fs::remove_file(dir.join("foreign")).expect("room");
    let (refused, taken) = producer.await.expect("no panic");
    assert!(refused > 10 && taken.is_ok(), "{refused} refused, then {taken:?}");
    until("the reserve is made again, and events are not refused any more", async || {
        store.used_bytes().await.expect("a measure");
        dir.join("toktra.reserve").is_file() && store.vitals().refusing.is_none()
    })
    .await;
    store.close().await.expect("closed");
}

/// Where nothing is left, a start finds room in the reserve.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_on_a_full_file_system_succeeds_and_delivers() {
    let Some(dir) = on_a_small_file_system("a_start_on_a_full_file_system_succeeds_and_delivers") else { return };
    let (world, store) = world(&dir).await;
    let org = world.org;
    foreign(&dir, "foreign", 40 << 20);
    let accepted = fill(&world).await;
    store.close().await.expect("closed");
    drop((world, store));
    foreign(&dir, "foreign", SIZE);
    assert!(dir.join("toktra.reserve").is_file());
    assert!(File::create(dir.join("more")).and_then(|mut file| file.write_all(&[7; 8192])).is_err());

    let store = Sqlite::open(&dir, options(Arc::new(|| Timestamp(1_767_225_600_000)))).expect("a start");
    assert_eq!(*store.head(org).await.expect("a head").borrow(), Seq(accepted));
    // What is written at each start fits, whatever it is.
    let nothing_is_old = Retention { payloads_before: Timestamp(0), history_before: Timestamp(0) };
    store.expire(nothing_is_old).await.expect("upkeep");
    std::fs::write(dir.join("first-login-link"), "a link").expect("room for a file");
    store.close().await.expect("closed");
}

/// Payloads that nobody waits for go before events are refused, as under the budget.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delivered_payloads_make_room_where_others_fill_the_file_system() {
    let name = "delivered_payloads_make_room_where_others_fill_the_file_system";
    let Some(dir) = on_a_small_file_system(name) else { return };
    let (world, store) = world(&dir).await;
    let flow = Flow::take_over(&world, world.stream().await).await;
    foreign(&dir, "foreign", 60 << 20);
    let (mut accepted, mut evicted) = (0, 0);
    while accepted < 4_000 {
        world.store.append(batch(&world)).await.expect("room, since everything is delivered");
        accepted += BATCH;
        flow.deliver(&flow.open_all().await).await;
        // What the upkeep does, which looks as often as the store does.
        if store.crowded().await.expect("a look") {
            tokio::time::sleep(Duration::from_millis(1_050)).await;
            let nothing_is_old = Retention { payloads_before: Timestamp(0), history_before: Timestamp(0) };
            evicted += store.expire(nothing_is_old).await.expect("upkeep").evicted;
        }
    }
    let used = store.used_bytes().await.expect("a measure");
    assert!(used < BUDGET / 5 * 2, "the budget asks for nothing: {used}, {evicted} evicted {:?}", store.disk().await);
    assert!(evicted > 500, "{evicted} evicted");
    store.close().await.expect("closed");
}
