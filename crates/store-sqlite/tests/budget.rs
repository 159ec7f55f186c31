//! The embedded backend under a disk budget: delivered payloads make room, undelivered ones never do, and the account adds up.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use toktra_siem_core::event::{EventType, NewEvent, Severity};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{EventId, OrgId, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::conformance::flow::{Flow, delivered, rejected, retry};
use toktra_siem_store::conformance::world::stream_of;
use toktra_siem_store::conformance::{Fixture, World};
use toktra_siem_store::{Clock, Expired, Retention, StoreError, StreamFate};
use toktra_siem_store_sqlite::{Sqlite, SqliteOptions};

const BUDGET: u64 = 12 << 20;
const BATCH: usize = 20;

fn limited(clock: Clock) -> Fixture {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = SqliteOptions { clock, max_bytes: Some(BUDGET), reserve: 4 << 20, ..SqliteOptions::default() };
    let store = Sqlite::open(dir.path(), options).expect("a new store");
    Fixture { store, damages: None, keep: Box::new(dir) }
}

/// Bytes that nothing makes smaller: a budget of megabytes would hold any number of events that repeat themselves.
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

/// Appends a batch of large events; their ids, or none where the budget is used up.
async fn append(world: &World) -> Option<Vec<EventId>> {
    append_of(world, world.org).await
}

/// The same for another org.
async fn append_of(world: &World, org: OrgId) -> Option<Vec<EventId>> {
    let large = |_| {
        let event = world.event_of(org, EventType::Anomaly, Severity::High);
        NewEvent { payload: noise(event.event_id, 10_000), ..event }
    };
    let events: Vec<NewEvent> = (0..BATCH).map(large).collect();
    let ids = events.iter().map(|event| event.event_id).collect();
    match world.store.append(events).await {
        Ok(_) => Some(ids),
        Err(StoreError::Full) => None,
        Err(other) => panic!("{other}"),
    }
}

/// What the upkeep does: nothing is old, but there may be need of room.
async fn make_room(world: &World) -> Expired {
    let nothing_is_old = Retention { payloads_before: Timestamp(0), history_before: Timestamp(0) };
    let mut total = Expired::default();
    loop {
        let expired = world.store.expire(nothing_is_old).await.expect("retention");
        assert_eq!((expired.payloads, expired.undelivered, expired.records, expired.deliveries), (0, 0, 0, 0));
        total.evicted += expired.evicted;
        if !expired.more {
            return total;
        }
    }
}

async fn has_payload(world: &World, id: EventId) -> bool {
    is_kept(world, world.org, id).await
}

async fn is_kept(world: &World, org: OrgId, id: EventId) -> bool {
    world.store.event(org, id).await.expect("its record stays").1.is_some()
}

/// How many of these events of an org have their payload.
async fn kept(world: &World, org: OrgId, ids: &[EventId]) -> usize {
    let mut kept = 0;
    for id in ids {
        kept += usize::from(is_kept(world, org, *id).await);
    }
    kept
}

async fn stored(world: &World, org: OrgId) -> u64 {
    world.store.stored_bytes().await.expect("the figures").get(&org).copied().unwrap_or(0)
}

#[tokio::test]
async fn delivered_payloads_make_room_for_new_events() {
    let world = World::new(limited).await;
    let flow = Flow::take_over(&world, world.stream().await).await;
    let (mut all, mut evicted) = (Vec::new(), 0);
    while all.len() < 1500 {
        all.extend(append(&world).await.expect("room, since everything is delivered"));
        flow.deliver(&flow.open_all().await).await;
        evicted += make_room(&world).await.evicted;
    }
    assert!(evicted > 500, "{evicted}");
    assert!(!has_payload(&world, all[0]).await && has_payload(&world, all[all.len() - 1]).await);
    let record = flow.record().await;
    assert_eq!((record.counts.delivered, record.counts.total()), (1500, 1500));
    assert!(!world.store.crowded().await.expect("an answer"));
}

#[tokio::test]
async fn undelivered_events_fill_the_budget_and_delivery_frees_it() {
    let world = World::new(limited).await;
    let dead = Flow::take_over(&world, world.stream().await).await;
    let live = Flow::take_over(&world, world.stream().await).await;
    let mut all = Vec::new();
    while let Some(ids) = append(&world).await {
        all.extend(ids);
        live.deliver(&live.open_all().await).await;
        assert_eq!(make_room(&world).await.evicted, 0, "the dead connector still needs them");
    }
    assert!(all.len() > 400 && world.store.crowded().await.expect("an answer"), "{}", all.len());
    for id in &all {
        assert!(has_payload(&world, *id).await);
    }
    dead.deliver(&dead.open_all().await).await;
    assert!(make_room(&world).await.evicted > 50);
    assert!(append(&world).await.is_some(), "there is room again");
}

/// A cursor that a flipped bit has moved on makes no room of what was not delivered.
#[tokio::test]
async fn a_damaged_cursor_takes_nothing_away() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_path_buf();
    let world = World::new(|clock| {
        let options = SqliteOptions { clock, max_bytes: Some(BUDGET), reserve: 4 << 20, ..SqliteOptions::default() };
        Fixture { store: Sqlite::open(&path, options).expect("a new store"), damages: None, keep: Box::new(()) }
    })
    .await;
    world.stream().await;
    while append(&world).await.is_some() {}
    let file = rusqlite::Connection::open(dir.path().join("toktra.db")).expect("the database");
    for bit in [2, 7, 40] {
        assert_eq!(file.execute("UPDATE stream SET cursor = ?1", [1i64 << bit]).expect("damage"), 1);
        assert_eq!(make_room(&world).await.evicted, 0, "bit {bit}");
    }
}

/// Nobody waits for anything here. One org posts without end: it makes room for itself, whatever the others stored before.
#[tokio::test]
async fn the_org_that_takes_most_gives_way_and_no_other() {
    let world = World::new(limited).await;
    let (small, middle) = (world.other_org().await, world.other_org().await);
    let of_small = append_of(&world, small).await.expect("room");
    let mut of_middle = Vec::new();
    for _ in 0..6 {
        of_middle.extend(append_of(&world, middle).await.expect("room"));
    }
    let (before, mut all, mut evicted) = (stored(&world, small).await, Vec::new(), 0);
    for _ in 0..120 {
        all.extend(append(&world).await.expect("room, since the org makes it itself"));
        evicted += make_room(&world).await.evicted;
    }
    assert!(evicted > 1_500, "{evicted}");
    assert_eq!(kept(&world, small, &of_small).await, of_small.len());
    assert_eq!(kept(&world, middle, &of_middle).await, of_middle.len());
    assert!(!has_payload(&world, all[0]).await && has_payload(&world, all[all.len() - 1]).await);
    // Two of its events are alike each time, so packed they take half.
    let after = stored(&world, small).await;
    assert!((before * 2 / 5..=before).contains(&after), "{before} {after}");

    // It gives way to another one that grows, too.
    for _ in 0..3 {
        of_middle.extend(append_of(&world, middle).await.expect("room"));
        make_room(&world).await;
    }
    assert_eq!(kept(&world, small, &of_small).await, of_small.len());
    assert_eq!(kept(&world, middle, &of_middle).await, of_middle.len());
}

/// An org whose SIEM is down fills the room: it is refused while the others still are not, they keep what they have stored, and if there is no room at
/// all, each of them makes its own.
#[tokio::test]
async fn a_backlog_of_one_org_neither_pushes_out_nor_turns_away_the_others() {
    let world = World::new(limited).await;
    let dead = Flow::take_over(&world, world.stream().await).await;
    let (idle, busy) = (world.other_org().await, world.other_org().await);
    let (mut of_idle, mut of_busy) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        of_idle.extend(append_of(&world, idle).await.expect("room"));
    }
    for _ in 0..3 {
        of_busy.extend(append_of(&world, busy).await.expect("room"));
    }
    while append(&world).await.is_some() {
        assert_eq!(make_room(&world).await.evicted, 0, "nothing of the others goes for a backlog");
    }
    // How often it has to come again depends on how soon the log is brought into the database.
    let (before, mut tries, mut stolen) = (stored(&world, busy).await, 0, 0);
    while of_busy.len() < 70 * BATCH {
        tries += 1;
        assert!(tries < 1_000, "{} of its events were accepted", of_busy.len());
        match append_of(&world, busy).await {
            Some(ids) => of_busy.extend(ids),
            None => tokio::time::sleep(Duration::from_millis(2)).await,
        }
        make_room(&world).await;
        stolen += usize::from(append(&world).await.is_some());
    }
    assert!(stolen < 15, "it does not get the room that the others make: {stolen}");
    assert!(!is_kept(&world, busy, of_busy[0]).await, "it has made room for itself");
    let left = kept(&world, busy, &of_busy).await;
    assert!(left >= BATCH, "and keeps what is new: {left}");
    let after = stored(&world, busy).await;
    assert!(after > before * 2 / 5, "{before} {after}");
    assert_eq!(
        kept(&world, idle, &of_idle).await,
        of_idle.len(),
        "what others append takes nothing of an org that is idle"
    );
    assert!(dead.record().await.undelivered() > 100);
}

#[tokio::test]
async fn an_org_without_connectors_keeps_nobody_waiting() {
    let world = World::new(limited).await;
    for _ in 0..60 {
        append(&world).await.expect("room");
        make_room(&world).await;
    }
}

/// Whatever became of events, whoever is behind: what is undelivered for any stream can still be read, and every account adds up.
#[test]
fn nothing_undelivered_is_lost() {
    let mut runner = TestRunner::new(Config { cases: 3, failure_persistence: None, ..Config::default() });
    let step = (0usize..3, 0u8..6, 0usize..BATCH);
    let result = runner.run(&prop::collection::vec(step, 50..60), |steps| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(under_pressure(&steps));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

async fn under_pressure(steps: &[(usize, u8, usize)]) {
    let world = World::new(limited).await;
    let mut flows = Vec::new();
    for _ in 0..2 {
        let connector = world.splunk(Filter::default()).await;
        flows.push(Flow::take_over(&world, stream_of(&connector, StreamKind::Events)).await);
    }
    let (mut all, mut evicted) = (Vec::new(), 0);
    for (lagging, outcome, cut) in steps {
        all.extend(append(&world).await.unwrap_or_default());
        for (at, flow) in flows.iter().enumerate() {
            if at != *lagging {
                advance(flow, *outcome, *cut).await;
            }
        }
        evicted += make_room(&world).await.evicted;
    }
    for flow in &flows {
        flow.record().await;
    }
    for id in &all {
        let fates = world.store.fates(world.org, *id).await.expect("its record stays");
        let over = |fate: &StreamFate| matches!(fate, StreamFate::Delivered { .. });
        if !fates.iter().all(|fate| over(&fate.fate)) {
            assert!(has_payload(&world, *id).await, "{fates:?}");
        }
    }
    assert!(evicted > 0 || all.len() < 700, "{} events, and none made room", all.len());
}

/// Takes what waits, and settles it in one of many ways; sometimes not at all.
async fn advance(flow: &Flow<'_>, outcome: u8, cut: usize) {
    let head = flow.world.store.stream(flow.stream).await.expect("the stream").head;
    let Some(delivery) = flow.open_to(head.0).await else { return };
    let items = delivery.items();
    let cut = cut.min(items);
    let parts = |first, rest| [(cut, first), (items - cut, rest)].into_iter().filter(|(len, _)| *len > 0).collect();
    match outcome {
        0..=2 => drop(flow.deliver(&delivery).await),
        3 => drop(flow.end(&delivery, parts(rejected(), delivered())).await),
        4 if cut < 3 => drop(flow.fail(&delivery).await),
        4 => {
            let (_, children) = flow.end(&delivery, parts(delivered(), retry())).await;
            for child in children {
                flow.deliver(&child).await;
            }
        }
        // Left open; the oldest such delivery is settled now and then.
        _ => {
            let pending = flow.world.store.pending(flow.stream).await.expect("pending deliveries");
            if let Some(oldest) = pending.first().filter(|_| cut % 2 == 0) {
                flow.deliver(oldest).await;
            }
        }
    }
}
