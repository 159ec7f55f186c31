//! Damaged events: left out of what is read, noted once, counted by every stream that had not delivered them, and in nobody's way.

use std::time::Duration;

use toktra_siem_core::accounting::Counts;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::{Delivery, Input, ParkKind, Status, Trigger};
use toktra_siem_core::destination::{EndpointState, Judgement, Omitted, Run, Verdict};
use toktra_siem_core::event::Severity::{High, Low};
use toktra_siem_core::ids::{EventId, Seq, StreamKind};
use toktra_siem_core::job::{JobKind, JobState};
use toktra_siem_core::members::Members;

use super::World;
use super::flow::{Flow, delivered};
use super::world::{datadog, only, run, stream_of};
use crate::{Broken, Damage, EventQuery, ReadLimit, Retention, StreamFate};

const ALL: ReadLimit = ReadLimit { events: 1000, bytes: 1 << 20 };

async fn read(world: &World, after: u64, limit: ReadLimit) -> Vec<u64> {
    world.store.read(world.org, Seq(after), limit).await.unwrap().iter().map(|event| event.seq.0).collect()
}

async fn members(world: &World, members: Members) -> Vec<u64> {
    world.store.read_members(world.org, &members).await.unwrap().iter().map(|event| event.seq.0).collect()
}

async fn noted(world: &World) -> Vec<Damage> {
    world.store.damaged(world.org, &run(1, 100)).await.unwrap()
}

async fn fate(world: &World, id: EventId) -> StreamFate {
    world.store.fates(world.org, id).await.unwrap().pop().unwrap().fate
}

/// What an attempt comes to that found the payloads at these positions damaged, and was judged over the others.
fn without(delivery: &Delivery, positions: &[usize]) -> Input {
    let omitted: Vec<Omitted> =
        positions.iter().map(|position| Omitted { position: *position, cause: Cause::payload_damaged() }).collect();
    let sent = delivery.items() - omitted.len();
    if sent == 0 {
        return Input::Unsendable { omitted };
    }
    let judgement = Judgement::Items(vec![Run { len: sent, outcome: delivered() }]);
    Input::Judged { verdict: Verdict { judgement, endpoint: EndpointState::Healthy, confirm: None }, omitted }
}

async fn settle(flow: &Flow<'_>, delivery: &Delivery, input: Input) -> Delivery {
    let sent = matches!(input, Input::Judged { .. });
    let attempt = flow.judge(delivery, vec![(delivery.items(), delivered())]).attempt.filter(|_| sent);
    let settlement = flow.settlement(delivery, input, attempt);
    flow.settle(settlement.clone()).await.unwrap();
    flow.record().await;
    settlement.delivery
}

/// It is left out, noted once and counted; its neighbours are delivered. Nobody knows of it before somebody reads it.
pub async fn a_fresh_one_is_left_out(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    let ids = world.append(3).await;
    world.damage(2, Broken::Payload);
    assert!(noted(world).await.is_empty());
    assert_eq!(read(world, 0, ALL).await, [1, 3]);
    let note = Damage { seq: Seq(2), event_id: Some(ids[1]), found_at: world.now() };
    world.pass(1000);
    assert_eq!(members(world, run(1, 3)).await, [1, 3]);
    assert_eq!(noted(world).await, [note]);
    assert_eq!(fate(world, ids[1]).await, StreamFate::Pending { delivery: None });

    let delivery = flow.open_all().await;
    assert_eq!(delivery.members, Members::from_ascending([1, 3].map(Seq)));
    assert_eq!(flow.record().await.counts, Counts { pending: 2, damaged: 1, ..Counts::default() });
    flow.deliver(&delivery).await;
    assert_eq!(flow.record().await.counts, Counts { delivered: 2, damaged: 1, ..Counts::default() });
    assert_eq!(fate(world, ids[1]).await, StreamFate::Damaged);
    assert_eq!(world.store.event(world.org, ids[1]).await.unwrap().1, None);
}

/// A read goes on past any number of them, so that nothing behind them is taken for gone; where nothing follows, it reads nothing.
pub async fn however_many_lie_in_a_row(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(7).await;
    for seq in [1, 2, 3, 4, 6, 7] {
        world.damage(seq, Broken::Payload);
    }
    let one = ReadLimit { events: 1, bytes: 1 };
    assert_eq!(read(world, 0, one).await, [5]);
    assert_eq!(noted(world).await.len(), 4);
    assert_eq!(read(world, 5, one).await, [0; 0]);
    assert_eq!(noted(world).await.len(), 6);
    assert_eq!(flow.open_all().await.members, run(5, 5));
    assert_eq!(flow.record().await.counts, Counts { pending: 1, damaged: 6, ..Counts::default() });

    world.append(1).await;
    world.damage(8, Broken::Payload);
    assert_eq!(flow.open_to(8).await, None);
    assert_eq!(flow.record().await.counts, Counts { pending: 1, damaged: 7, ..Counts::default() });
}

/// A backlog range passes it, at its beginning, within it and at its end.
pub async fn a_range_goes_on(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    let ids = world.append(5).await;
    let now = world.now();
    let breaker = toktra_siem_core::breaker::Breaker::default();
    let range = world.store.recover(&flow.lease, world.range_id(), Trigger::Recovery, breaker, now).await.unwrap();
    let mut range = range.unwrap();
    for seq in [1, 3, 5] {
        world.damage(seq, Broken::Payload);
    }
    let first = flow.open_range(&range, Seq(3)).await.unwrap();
    assert_eq!(first.members, run(2, 2));
    assert_eq!(flow.record().await.counts, Counts { pending: 3, damaged: 2, ..Counts::default() });
    range.cursor = Seq(3);
    let second = flow.open_range(&range, Seq(5)).await.unwrap();
    assert_eq!(second.members, run(4, 4));
    for delivery in [first, second] {
        flow.deliver(&delivery).await;
    }
    assert_eq!(flow.record().await.counts, Counts { delivered: 2, damaged: 3, ..Counts::default() });
    assert!(world.store.ranges(flow.stream).await.unwrap().is_empty());
    assert_eq!(fate(world, ids[4]).await, StreamFate::Damaged);
}

/// What is parked, of either kind, is so no more as soon as somebody has read it; also what is parked after it was noted.
pub async fn what_is_parked_ends(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    let ids = world.append(6).await;
    flow.fail(&flow.open_to(3).await.unwrap()).await;
    flow.reject(&flow.open_to(5).await.unwrap()).await;
    let late = flow.open_all().await;
    world.damage(2, Broken::Payload);
    world.damage(4, Broken::Payload);
    assert_eq!(members(world, run(1, 3)).await, [1, 3]);
    assert_eq!(
        flow.record().await.counts,
        Counts { pending: 1, failed: 2, damaged: 1, rejected: 2, ..Counts::default() }
    );
    assert_eq!(members(world, run(4, 5)).await, [5]);
    assert_eq!(
        flow.record().await.counts,
        Counts { pending: 1, failed: 2, damaged: 2, rejected: 1, ..Counts::default() }
    );
    let failed = world.store.parked(flow.stream, ParkKind::Failed, Seq(0), 9).await.unwrap();
    assert_eq!(failed.iter().map(|parked| parked.seq.0).collect::<Vec<_>>(), [1, 3]);
    let again = flow.open_parked(Members::from_ascending([1, 3].map(Seq))).await;
    flow.deliver(&again).await;

    world.damage(6, Broken::Payload);
    assert_eq!(members(world, run(6, 6)).await, [0; 0]);
    flow.fail(&late).await;
    assert_eq!(flow.record().await.counts.failed, 1);
    assert_eq!(members(world, run(6, 6)).await, [0; 0]);
    assert_eq!(flow.record().await.counts, Counts { delivered: 2, damaged: 3, rejected: 1, ..Counts::default() });
    for at in [1, 3, 5] {
        assert_eq!(fate(world, ids[at]).await, StreamFate::Damaged);
    }
}

/// What was pinned before it was damaged ends with its delivery, the first time or when it is sent again, and is not parked.
pub async fn what_is_pinned_ends(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    let ids = world.append(5).await;
    let batch = flow.open_to(3).await.unwrap();
    let alone = flow.open_to(4).await.unwrap();
    flow.fail(&flow.open_to(5).await.unwrap()).await;
    let again = flow.open_parked(run(5, 5)).await;
    for seq in [1, 3, 4, 5] {
        world.damage(seq, Broken::Payload);
    }
    assert_eq!(members(world, run(1, 5)).await, [2]);
    assert_eq!(flow.record().await.counts, Counts { pending: 5, ..Counts::default() }, "a delivery tells, not a read");
    let settled = settle(&flow, &batch, without(&batch, &[0, 2])).await;
    assert_eq!((settled.status, settled.delivered, settled.rejected), (Status::Partial, 1, 2));
    assert_eq!(flow.record().await.counts, Counts { pending: 2, delivered: 1, damaged: 2, ..Counts::default() });
    assert_eq!(settle(&flow, &alone, without(&alone, &[0])).await.status, Status::Rejected);
    settle(&flow, &again, without(&again, &[0])).await;
    assert_eq!(flow.record().await.counts, Counts { delivered: 1, damaged: 4, ..Counts::default() });
    for kind in [ParkKind::Failed, ParkKind::Rejected] {
        assert!(world.store.parked(flow.stream, kind, Seq(0), 9).await.unwrap().is_empty());
    }
    for at in [0, 2, 3, 4] {
        assert_eq!(fate(world, ids[at]).await, StreamFate::Damaged);
    }
    assert!(matches!(fate(world, ids[1]).await, StreamFate::Delivered { .. }));
}

fn after(world: &World, payloads: u64, history: u64) -> Retention {
    let before = |days: u64| world.now().minus(Duration::from_hours(24 * days));
    Retention { payloads_before: before(payloads), history_before: before(history) }
}

async fn expire(world: &World, retention: Retention) {
    while world.store.expire(retention).await.unwrap().more {}
}

/// A pinned delivery that nobody settles is given up by retention: what is known to be damaged is counted as such.
pub async fn what_lies_still_ends(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(3).await;
    flow.open_all().await;
    world.damage(2, Broken::Payload);
    members(world, run(1, 3)).await;
    world.pass(31 * 24 * 3_600_000);
    world.append(1).await;
    expire(world, after(world, 30, 400)).await;
    assert_eq!(flow.record().await.counts, Counts { expired: 2, damaged: 1, ..Counts::default() });
}

/// What the filter would have passed by is filtered, since nothing was lost to that stream.
pub async fn the_filter_goes_first(world: &World) {
    let picky = world.splunk(only(&[High])).await;
    let flow = Flow::take_over(world, stream_of(&picky, StreamKind::Events)).await;
    let ids = world.append_severities(&[High, Low, Low, High, Low]).await;
    for seq in [1, 2] {
        world.damage(seq, Broken::Payload);
    }
    let delivery = flow.open_all().await;
    assert_eq!(delivery.members, run(4, 4));
    assert_eq!(flow.record().await.counts, Counts { pending: 1, filtered: 3, damaged: 1, ..Counts::default() });
    assert!(matches!(fate(world, ids[1]).await, StreamFate::Filtered { .. }));
    assert_eq!(fate(world, ids[0]).await, StreamFate::Damaged);
}

/// A window counts what can be read, since type and severity are under the same checksum; what was counted before it was damaged stays.
pub async fn a_window_leaves_it_out(world: &World) {
    let draft = Connector { filter: only(&[High]), ..world.draft(datadog(true), true) };
    let flow = Flow::take_over(world, stream_of(&world.create(draft).await, StreamKind::Metrics)).await;
    world.append_severities(&[High, Low, High, High, Low]).await;
    world.damage(3, Broken::Payload);
    let window = flow.open_to(4).await.unwrap();
    assert_eq!((window.events(), window.members.clone()), (2, Members::from_ascending([1, 2, 4].map(Seq))));
    assert_eq!(flow.record().await.counts, Counts { pending: 2, filtered: 1, damaged: 1, ..Counts::default() });
    world.damage(1, Broken::Payload);
    assert_eq!(members(world, run(1, 4)).await, [2, 4]);
    flow.fail(&window).await;
    assert_eq!(members(world, run(1, 4)).await, [2, 4]);
    assert_eq!(flow.record().await.counts, Counts { failed: 2, filtered: 1, damaged: 1, ..Counts::default() });

    world.damage(5, Broken::Payload);
    world.pass(10_000);
    assert_eq!(flow.open_to(5).await, None);
    assert_eq!(flow.record().await.counts, Counts { failed: 2, filtered: 2, damaged: 1, ..Counts::default() });
}

/// Delivered, expired, discarded: whatever an event had come to before it was found to be damaged stays.
pub async fn what_had_come_to_its_end_stays(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    let ids = world.append(3).await;
    flow.deliver(&flow.open_to(1).await.unwrap()).await;
    flow.fail(&flow.open_to(3).await.unwrap()).await;
    world.store.expire_parked(&flow.lease, vec![Seq(2)], world.now()).await.unwrap();
    let discard = world.begin(world.job(JobKind::Discard, flow.stream)).await;
    world.store.discard(discard.id, 10).await.unwrap();
    let before = flow.record().await;
    for seq in 1..=3 {
        world.damage(seq, Broken::Payload);
    }
    assert_eq!(read(world, 0, ALL).await, [0; 0]);
    assert_eq!(noted(world).await.len(), 3);
    assert_eq!(flow.record().await, before);
    assert!(matches!(fate(world, ids[0]).await, StreamFate::Delivered { .. }));
    assert_eq!(fate(world, ids[1]).await, StreamFate::Expired);
    assert_eq!(fate(world, ids[2]).await, StreamFate::Discarded);
}

/// What waits, in the log and in a range, is damaged rather than expired when its payload goes; the note goes with the compact record, and
/// the count stays.
pub async fn retention_tells_it(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    let apart = Flow::take_over(world, world.stream().await).await;
    world.append(4).await;
    let breaker = toktra_siem_core::breaker::Breaker::default();
    world.store.recover(&apart.lease, world.range_id(), Trigger::Recovery, breaker, world.now()).await.unwrap();
    world.damage(2, Broken::Payload);
    read(world, 0, ALL).await;
    world.damage(3, Broken::Payload);
    world.pass(31 * 24 * 3_600_000);
    world.append(1).await;
    expire(world, after(world, 30, 400)).await;
    // Nobody had read the third.
    for flow in [&flow, &apart] {
        assert_eq!(flow.record().await.counts, Counts { expired: 3, damaged: 1, ..Counts::default() });
    }
    assert_eq!(noted(world).await.len(), 1);
    world.pass(371 * 24 * 3_600_000);
    world.append(1).await;
    expire(world, after(world, 30, 400)).await;
    assert!(noted(world).await.is_empty());
    assert_eq!(flow.record().await.counts.damaged, 1);
}

/// A replay sends the others; a redelivery of what failed passes it, and it is parked no more. Both come to their end.
pub async fn jobs_pass_it_by(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(3).await;
    flow.deliver(&flow.open_all().await).await;
    let replay = world.begin(world.job(JobKind::Replay, flow.stream)).await;
    world.append(2).await;
    flow.fail(&flow.open_all().await).await;
    let failed = world.begin(world.job(JobKind::RedeliverFailed, flow.stream)).await;
    for seq in [1, 5] {
        world.damage(seq, Broken::Payload);
    }
    for (job, last, sent) in [(replay, Seq(3), vec![run(2, 3)]), (failed, Seq(5), vec![run(4, 4)])] {
        let (deliveries, open) = flow.work(&job, last).await;
        assert_eq!(deliveries.iter().map(|delivery| delivery.members.clone()).collect::<Vec<_>>(), sent);
        flow.open(open).await.unwrap();
        for delivery in &deliveries {
            flow.deliver(delivery).await;
        }
        let done = world.job_now(job.id).await;
        assert_eq!((done.state, done.passed > 0), (JobState::Done, true), "{done:?}");
    }
    assert_eq!(flow.record().await.counts, Counts { delivered: 4, damaged: 1, ..Counts::default() });
}

/// Where its compact record is damaged too, its sequence is known and nothing else: it is counted all the same, and no page fails on it.
pub async fn nothing_but_its_sequence_is_known(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    let ids = world.append(4).await;
    let early = flow.open_to(1).await.unwrap();
    for seq in [1, 3] {
        world.damage(seq, Broken::Whole);
    }
    assert_eq!(read(world, 0, ALL).await, [2, 4]);
    let note = |seq| Damage { seq: Seq(seq), event_id: None, found_at: world.now() };
    assert_eq!(noted(world).await, [note(1), note(3)]);
    let batch = flow.open_all().await;
    assert_eq!(flow.record().await.counts, Counts { pending: 3, damaged: 1, ..Counts::default() });
    settle(&flow, &early, without(&early, &[0])).await;
    flow.deliver(&batch).await;
    assert_eq!(flow.record().await.counts, Counts { delivered: 2, damaged: 2, ..Counts::default() });

    let listed = world.store.recent_events(world.org, EventQuery { limit: 9, ..EventQuery::default() }).await.unwrap();
    assert_eq!(listed.items.iter().map(|(record, _)| record.seq.0).collect::<Vec<_>>(), [4, 2]);
    assert!(world.store.delivery(world.org, early.id).await.unwrap().events.is_empty());
    assert!(world.store.event(world.org, ids[2]).await.is_err());
    let standing = world.store.standings(world.org, None, world.now()).await.unwrap().remove(0);
    assert_eq!(standing.last_damage, Some(note(3)));
    let preview = world.store.preview(world.org, world.now(), only(&[]), 9).await.unwrap();
    assert_eq!(preview.sample.len(), 2);
}

/// A page that shows an event finds it as well as a stream does.
pub async fn people_find_it(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    let ids = world.append(4).await;
    flow.fail(&flow.open_all().await).await;
    for seq in 1..=4 {
        world.damage(seq, Broken::Payload);
    }
    assert_eq!(world.store.event(world.org, ids[0]).await.unwrap().1, None);
    assert_eq!(noted(world).await.len(), 1);
    assert_eq!(world.store.whereabouts(world.org, ids[1]).await.unwrap().1, None);
    assert_eq!(noted(world).await.len(), 2);
    assert_eq!(flow.record().await.counts, Counts { failed: 2, damaged: 2, ..Counts::default() });
    let standing = world.store.standings(world.org, None, world.now()).await.unwrap().remove(0);
    assert_eq!(standing.last_damage.map(|damage| damage.event_id), Some(Some(ids[1])));
}

/// Nothing takes a payload away that a stream still needs: where it is not there, it is damaged, wherever the event waits.
pub async fn what_is_needed_and_gone_is_damaged(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    let ids = world.append(6).await;
    flow.fail(&flow.open_to(1).await.unwrap()).await;
    let pinned = flow.open_to(3).await.unwrap();
    let breaker = toktra_siem_core::breaker::Breaker::default();
    let range = world.store.recover(&flow.lease, world.range_id(), Trigger::Recovery, breaker, world.now()).await;
    let range = range.unwrap().unwrap();
    world.append(2).await;
    for seq in [1, 2, 5, 7, 8] {
        world.damage(seq, Broken::Gone);
    }
    assert_eq!(members(world, run(1, 1)).await, [0; 0]);
    assert_eq!(flow.record().await.counts, Counts { pending: 5, damaged: 1, ..Counts::default() });
    assert_eq!(members(world, run(2, 3)).await, [3]);
    settle(&flow, &pinned, without(&pinned, &[0])).await;
    assert_eq!(read(world, 3, ALL).await, [4, 6]);
    flow.deliver(&flow.open_range(&range, Seq(6)).await.unwrap()).await;
    assert_eq!(flow.open_to(8).await, None);
    assert_eq!(noted(world).await.iter().map(|damage| damage.seq.0).collect::<Vec<_>>(), [1, 2, 5, 7, 8]);
    assert_eq!(flow.record().await.counts, Counts { delivered: 3, damaged: 5, ..Counts::default() });
    assert_eq!(fate(world, ids[1]).await, StreamFate::Damaged);
}
