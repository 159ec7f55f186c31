//! Appending: dense sequences, idempotency per org, acceptance times.

use toktra_siem_core::event::{EventType, NewEvent, Severity};
use toktra_siem_core::ids::{OrgId, Seq};
use uuid::Uuid;

use super::World;
use super::world::refused;
use crate::Appended::{Accepted, Duplicate};
use crate::{ReadLimit, StoreError};

/// Each org counts 1, 2, 3 …, however its events are mixed with those of others in a call.
pub async fn dense_sequences_per_org(world: &World) {
    let other = world.other_org().await;
    let theirs = || world.event_of(other, EventType::Lockout, Severity::Low);
    let first = world.store.append(vec![world.event(), theirs(), world.event(), theirs(), theirs()]).await.unwrap();
    assert_eq!(first, [1, 1, 2, 2, 3].map(|seq| Accepted(Seq(seq))));
    let second = world.store.append(vec![theirs(), world.event()]).await.unwrap();
    assert_eq!(second, [4, 3].map(|seq| Accepted(Seq(seq))));
    assert_eq!(world.store.append(vec![]).await.unwrap(), []);
}

/// The same id again is a duplicate, within a call and across calls, and says whether it differs. It uses up no sequence.
pub async fn duplicates(world: &World) {
    let (event, next) = (world.event(), world.event());
    let differing = NewEvent { payload: r#"{"severity":"low"}"#.into(), ..event.clone() };
    let appended = world.store.append(vec![event.clone(), event.clone(), differing.clone(), next]).await.unwrap();
    let (same, other) = (Duplicate { seq: Seq(1), differs: false }, Duplicate { seq: Seq(1), differs: true });
    assert_eq!(appended, [Accepted(Seq(1)), same, other, Accepted(Seq(2))]);
    assert_eq!(
        world.store.append(vec![differing, event, world.event()]).await.unwrap(),
        [other, same, Accepted(Seq(3))]
    );
}

/// The same id in another org is another event.
pub async fn an_id_belongs_to_its_org(world: &World) {
    let org = world.other_org().await;
    let event = world.event();
    let theirs = NewEvent { org, ..event.clone() };
    assert_eq!(world.store.append(vec![event.clone(), theirs]).await.unwrap(), [Accepted(Seq(1)), Accepted(Seq(1))]);
    let (record, payload) = world.store.event(world.org, event.event_id).await.unwrap();
    assert_eq!((record.seq, payload.unwrap()), (Seq(1), event.payload));
}

/// An event of an unknown org refuses the whole call.
pub async fn all_or_nothing(world: &World) {
    let event = world.event();
    let stray = world.event_of(OrgId(Uuid::from_u64_pair(9, 9)), EventType::Anomaly, Severity::Low);
    refused!(world.store.append(vec![event.clone(), stray]).await, StoreError::NotFound);
    refused!(world.store.event(world.org, event.event_id).await, StoreError::NotFound);
    assert_eq!(world.store.append(vec![event]).await.unwrap(), [Accepted(Seq(1))]);
}

/// A call as large as a request may be: refused as a whole before anything is stored, answered in its order, and when it is sent again in another
/// order every event finds its own original.
pub async fn a_large_call(world: &World) {
    let mut events: Vec<_> = (0..3_000).map(|_| world.event()).collect();
    let mut refused = events.clone();
    refused.push(world.event_of(OrgId(Uuid::from_u64_pair(9, 9)), EventType::Anomaly, Severity::Low));
    refused!(world.store.append(refused).await, StoreError::NotFound);
    refused!(world.store.event(world.org, events[0].event_id).await, StoreError::NotFound);
    let accepted: Vec<_> = (1..=3_000).map(|n| Accepted(Seq(n))).collect();
    assert_eq!(world.store.append(events.clone()).await.unwrap(), accepted);
    let odd = |n: u64| n % 2 == 1;
    let mut again: Vec<(u64, NewEvent)> = (1..).zip(events.drain(..)).collect();
    for (_, event) in again.iter_mut().filter(|(n, _)| odd(*n)) {
        event.payload = r#"{"severity":"low"}"#.into();
    }
    again.sort_by_key(|(n, _)| n * 1_237 % 3_001);
    let duplicates: Vec<_> = again.iter().map(|(n, _)| Duplicate { seq: Seq(*n), differs: odd(*n) }).collect();
    let again = again.into_iter().map(|(_, event)| event).collect();
    assert_eq!(world.store.append(again).await.unwrap(), duplicates);
}

/// A clock that steps back a little does not take the acceptance time with it, and a larger step is followed, so that no event bears a time that is far
/// ahead; another org has its own time.
pub async fn time_steps_back_with_the_clock(world: &World) {
    let start = world.now();
    world.append(1).await;
    world.pass(-5_000);
    world.append(1).await;
    world.pass(-55_000);
    world.append(1).await;
    world.pass(60_005);
    world.append(1).await;
    let limit = ReadLimit { events: 9, bytes: 1 << 20 };
    let read = world.store.read(world.org, Seq(0), limit).await.unwrap();
    let times: Vec<i64> = read.iter().map(|event| event.accepted_at.0 - start.0).collect();
    assert_eq!(times, [0, 0, -60_000, 5]);
    world.pass(-60_000);
    let other = world.other_org().await;
    world.append_all(vec![world.event_of(other, EventType::Anomaly, Severity::Low)]).await;
    let theirs = world.store.read(other, Seq(0), limit).await.unwrap();
    assert_eq!(theirs[0].accepted_at, world.now());
}

/// The head is told after each commit, to whoever asked for that org's.
pub async fn heads_are_told(world: &World) {
    let other = world.other_org().await;
    let (mut ours, theirs) = (world.store.head(world.org).await.unwrap(), world.store.head(other).await.unwrap());
    assert_eq!(*ours.borrow_and_update(), Seq(0));
    world.append(3).await;
    assert_eq!(*ours.wait_for(|head| head.0 > 0).await.unwrap(), Seq(3));
    assert_eq!(*theirs.borrow(), Seq(0));
    assert_eq!(*world.store.head(world.org).await.unwrap().borrow(), Seq(3));
    refused!(world.store.head(OrgId(Uuid::from_u64_pair(9, 9))).await, StoreError::NotFound);
}
