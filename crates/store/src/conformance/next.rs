//! Offers: what is pinned by the transaction that accepts it, and when nothing is.

use std::sync::Arc;

use parking_lot::Mutex;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::{Delivery, Trigger};
use toktra_siem_core::event::Severity::{High, Low};
use toktra_siem_core::event::{EventType, StoredEvent};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{Revision, Seq, StreamKind};
use toktra_siem_core::members::Members;

use super::World;
use super::flow::Flow;
use super::world::{only, run, splunk, stream_of};
use crate::{Next, Offer, Open, Passed, Resume, Taken};

/// What was asked of an offer, and what came of it.
#[derive(Debug, Default)]
struct Seen {
    events: Vec<u64>,
    /// Whether it was pinned; `None` as long as it stands.
    ended: Option<bool>,
}

/// Takes at most `most` events, all into one delivery.
struct Test {
    from: Seq,
    most: usize,
    revision: Revision,
    delivery: Delivery,
    seen: Arc<Mutex<Seen>>,
}

impl Next for Test {
    fn cut(&mut self, events: &[Arc<StoredEvent>]) -> Option<Open> {
        self.seen.lock().events = events.iter().map(|event| event.seq.0).collect();
        let taken: Vec<Seq> = events.iter().take(self.most).map(|event| event.seq).collect();
        let to = *taken.last()?;
        self.delivery.members = Members::from_ascending(taken);
        let taken = Taken::Live { from: self.from, to, passed: Passed::default(), revision: self.revision };
        Some(Open { deliveries: vec![self.delivery.clone()], taken, job: None })
    }

    fn pinned(self: Box<Self>) {
        self.seen.lock().ended = Some(true);
    }
}

impl Drop for Test {
    fn drop(&mut self) {
        self.seen.lock().ended.get_or_insert(false);
    }
}

/// Offers to take up to `most` events after `from`.
async fn offer(flow: &Flow<'_>, from: u64, most: usize) -> Arc<Mutex<Seen>> {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let delivery = flow.world.delivery(flow.stream, Trigger::Live, Members::default());
    let (from, revision, org) = (Seq(from), flow.revision().await, flow.world.org);
    let next = Box::new(Test { from, most, revision, delivery, seen: Arc::clone(&seen) });
    flow.world.store.offer(Offer { lease: flow.lease, org, from, next });
    seen
}

/// The events that an offer was asked about, and how it ended.
fn asked(seen: &Mutex<Seen>) -> (Vec<u64>, Option<bool>) {
    let seen = seen.lock();
    (seen.events.clone(), seen.ended)
}

/// (cursor, pending events)
async fn stands(flow: &Flow<'_>) -> (u64, i64) {
    let record = flow.record().await;
    (record.cursor.0, record.counts.pending)
}

/// Once the events are accepted they are pinned, and the offer is used up.
pub async fn events_are_pinned_as_they_come(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    let seen = offer(&flow, 0, 10).await;
    assert_eq!(seen.lock().ended, None);
    world.append(3).await;
    assert_eq!(asked(&seen), (vec![1, 2, 3], Some(true)));
    assert_eq!(stands(&flow).await, (3, 3));
    let pinned = world.store.pending(flow.stream).await.unwrap();
    assert_eq!(pinned.iter().map(|delivery| delivery.members.clone()).collect::<Vec<_>>(), [run(1, 3)]);
    world.append(2).await;
    assert_eq!(stands(&flow).await, (3, 3), "nothing was offered");
    assert!(!world.store.withdraw(world.org, flow.stream));
    flow.open_to(5).await.unwrap();
}

/// It may take some of them; the rest waits behind the cursor.
pub async fn some_of_them_may_be_pinned(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    let seen = offer(&flow, 0, 2).await;
    world.append(5).await;
    assert_eq!(seen.lock().ended, Some(true));
    assert_eq!(stands(&flow).await, (2, 2));
    flow.open_to(5).await.unwrap();
}

/// Where events wait already the offer comes too late, and at once.
pub async fn whoever_is_behind_offers_nothing(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(2).await;
    let seen = offer(&flow, 0, 10).await;
    assert_eq!(seen.lock().ended, Some(false));
    world.append(1).await;
    assert_eq!((stands(&flow).await, asked(&seen)), ((0, 0), (vec![], Some(false))));
}

/// What was taken back is not asked; a newer one of the stream takes its place.
pub async fn one_stands_until_it_is_taken_back(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    let replaced = offer(&flow, 0, 10).await;
    let withdrawn = offer(&flow, 0, 10).await;
    assert!(world.store.withdraw(world.org, flow.stream));
    world.append(2).await;
    for seen in [replaced, withdrawn] {
        assert_eq!(asked(&seen), (vec![], Some(false)));
    }
    assert_eq!(stands(&flow).await, (0, 0));
}

/// What `open` would refuse is not pinned, and the events are accepted all the same: a newer owner, a newer filter.
pub async fn what_open_refuses_is_not_pinned(world: &World) {
    let connector = world.splunk(Filter::default()).await;
    let former = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    let fenced = offer(&former, 0, 10).await;
    let flow = Flow::take_over(world, former.stream).await;
    world.append(1).await;
    assert_eq!((asked(&fenced).1, stands(&flow).await), (Some(false), (0, 0)));
    flow.open_to(1).await.unwrap();
    let stale = offer(&flow, 1, 10).await;
    world.save_filter(&connector, only(&[High])).await;
    world.append_severities(&[Low]).await;
    assert_eq!((asked(&stale).1, stands(&flow).await), (Some(false), (1, 1)));
    assert_eq!(world.store.stream(flow.stream).await.unwrap().head, Seq(2));
}

/// Each org's events are offered to its own streams, to all of them, and a duplicate is no event.
pub async fn each_stream_of_the_org_has_its_own(world: &World) {
    let one = world.splunk(Filter::default()).await;
    let other = world.draft(splunk(), true);
    let other = world.create(Connector { name: "another".to_owned(), ..other }).await;
    let [one, other] = [one, other].map(|connector| stream_of(&connector, StreamKind::Events));
    let (one, other) = (Flow::take_over(world, one).await, Flow::take_over(world, other).await);
    let seen = [offer(&one, 0, 10).await, offer(&other, 0, 1).await];
    let stranger = world.event_of(world.other_org().await, EventType::Anomaly, High);
    world.append_all(vec![stranger]).await;
    assert!(seen.iter().all(|seen| seen.lock().ended.is_none()));
    let event = world.event();
    world.append_all(vec![event.clone()]).await;
    assert!(seen.iter().all(|seen| seen.lock().ended == Some(true)));
    assert_eq!((stands(&one).await, stands(&other).await), ((1, 1), (1, 1)));
    let again = offer(&one, 1, 10).await;
    world.store.append(vec![event]).await.unwrap();
    assert_eq!(again.lock().ended, None);
}

/// A stream that was switched off pins nothing more.
pub async fn switched_off_it_pins_nothing(world: &World) {
    let connector = world.splunk(Filter::default()).await;
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    let seen = offer(&flow, 0, 10).await;
    let off = Connector { active: false, ..connector };
    world.save(off, Resume::default()).await;
    world.append(1).await;
    assert_eq!((asked(&seen).1, stands(&flow).await), (Some(false), (0, 0)));
}
