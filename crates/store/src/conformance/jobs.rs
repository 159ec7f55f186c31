//! Jobs: what they are about, how they move with their deliveries, and how they end.

use std::time::Duration;

use toktra_siem_core::accounting::Counts;
use toktra_siem_core::delivery::{Delivery, ParkKind, Trigger};
use toktra_siem_core::event::Severity::{High, Low};
use toktra_siem_core::ids::{JobId, Seq, StreamKind};
use toktra_siem_core::job::{Job, JobKind, JobState, Scope};
use toktra_siem_core::members::Members;
use uuid::Uuid;

use super::World;
use super::flow::{Flow, delivered, rejected, retry};
use super::world::{START, datadog, kind, only, refused, run, stream_of};
use crate::{AuditQuery, jobs::OPEN_JOBS};
use crate::{JobQuery, JobStep, Open, Placed, Retention, StoreError, StreamFate, Taken};

fn scope(after: u64, last: u64, total: u64) -> Scope {
    Scope { after: Seq(after), last: Seq(last), total }
}

async fn scope_of(world: &World, job: &Job) -> Scope {
    world.store.job_scope(world.org, job).await.unwrap()
}

/// Three events that arrived, two that failed, two that were rejected, and one that waits.
async fn mixed(world: &World) -> Flow<'_> {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(8).await;
    flow.deliver(&flow.open_to(3).await.unwrap()).await;
    flow.fail(&flow.open_to(5).await.unwrap()).await;
    flow.reject(&flow.open_to(7).await.unwrap()).await;
    flow
}

/// From a time on, and before a time; where several were accepted at once, where none was, and where the clock went back.
pub async fn a_range_of_time_becomes_one_of_sequences(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(3).await;
    world.pass(1000);
    world.append(2).await;
    world.pass(-5000);
    world.append(4).await;
    world.pass(9000);
    world.append(1).await;
    let replay = world.job(JobKind::Replay, flow.stream);
    let at = |ms: u64| Some(START.plus(Duration::from_millis(ms)));
    for (from, to, expected) in [
        (None, None, scope(0, 10, 10)),
        (at(0), None, scope(0, 10, 10)),
        (at(1), None, scope(3, 10, 7)),
        (at(1000), None, scope(3, 10, 7)),
        (at(1001), None, scope(9, 10, 1)),
        (at(5000), None, scope(9, 10, 1)),
        (at(5001), None, scope(10, 10, 0)),
        (None, at(0), scope(0, 0, 0)),
        (None, at(1000), scope(0, 3, 3)),
        (None, at(1001), scope(0, 9, 9)),
        (at(500), at(2000), scope(3, 9, 6)),
        (at(2000), at(3000), scope(9, 9, 0)),
    ] {
        let job = Job { from, to, ..replay.clone() };
        assert_eq!(scope_of(world, &job).await, expected, "{from:?} {to:?}");
    }
    assert_eq!(scope_of(world, &Job { from: at(3000), to: at(500), ..replay }).await.total, 0);
}

/// The members of a delivery, as far as their payload lives.
pub async fn a_redelivery_means_what_lives_of_its_delivery(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(2).await;
    let old = flow.deliver(&flow.open_all().await).await;
    world.pass(10_000);
    world.append(3).await;
    let young = flow.deliver(&flow.open_all().await).await;
    let of = |delivery: &Delivery| Job { delivery: Some(delivery.id), ..world.job(JobKind::Redeliver, flow.stream) };
    assert_eq!(scope_of(world, &of(&old)).await, scope(0, 2, 2));
    assert_eq!(scope_of(world, &of(&young)).await, scope(2, 5, 3));
    let retention = Retention { payloads_before: START.plus(Duration::from_secs(5)), history_before: START };
    while world.store.expire(retention).await.unwrap().more {}
    assert_eq!(scope_of(world, &of(&young)).await, scope(2, 5, 3));
    let gone = Job { delivery: Some(world.delivery_id()), ..of(&young) };
    refused!(world.store.job_scope(world.org, &gone).await, StoreError::NotFound);
}

/// What is parked in the range, of either kind; for a discard in every stream, windows with all that they count.
pub async fn only_what_is_parked_failed(world: &World) {
    let flow = mixed(world).await;
    let failed = world.job(JobKind::RedeliverFailed, flow.stream);
    assert_eq!(scope_of(world, &failed).await, scope(0, 8, 4));
    let job = world.begin(failed).await;
    assert_eq!((job.cursor, job.last, job.total, job.state), (Seq(0), Seq(8), 4, JobState::Open));

    let connector = world.create(world.draft(datadog(true), true)).await;
    let logs = Flow::take_over(world, stream_of(&connector, StreamKind::Logs)).await;
    let metrics = Flow::take_over(world, stream_of(&connector, StreamKind::Metrics)).await;
    world.append(5).await;
    logs.fail(&logs.open_to(10).await.unwrap()).await;
    metrics.fail(&metrics.open_to(12).await.unwrap()).await;
    let (failed, discard) =
        (world.job(JobKind::RedeliverFailed, logs.stream), world.job(JobKind::Discard, logs.stream));
    assert_eq!(scope_of(world, &failed).await, scope(0, 13, 2));
    assert_eq!(scope_of(world, &discard).await, scope(0, 13, 6));
}

/// The filter that the job carries decides, whatever was in force when an event was accepted.
pub async fn a_replay_means_what_the_filter_matches(world: &World) {
    let connector = world.splunk(only(&[High])).await;
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    world.append_severities(&[High, Low, Low, High, Low]).await;
    let replay = world.job(JobKind::Replay, flow.stream);
    for (filter, total) in [(only(&[]), 5), (only(&[Low]), 3), (only(&[High]), 2)] {
        assert_eq!(scope_of(world, &Job { filter, ..replay.clone() }).await, scope(0, 5, total));
    }
}

/// The oldest whose cursor has further to go; none that gives up what is parked, none of another stream.
pub async fn they_are_worked_off_in_their_order(world: &World) {
    let flow = mixed(world).await;
    assert_eq!(world.store.next_job(flow.stream).await.unwrap(), None);
    let discard = world.begin(world.job(JobKind::Discard, flow.stream)).await;
    assert_eq!(world.store.next_job(flow.stream).await.unwrap(), None);
    let first = world.begin(world.job(JobKind::Replay, flow.stream)).await;
    let second = world.begin(world.job(JobKind::RedeliverFailed, flow.stream)).await;
    assert_eq!(world.store.next_job(flow.stream).await.unwrap(), Some(first.clone()));
    let (deliveries, open) = flow.work(&first, first.last).await;
    flow.open(open).await.unwrap();
    assert_eq!(world.store.next_job(flow.stream).await.unwrap(), Some(second), "its cursor is at its end");
    for delivery in &deliveries {
        flow.deliver(delivery).await;
    }
    assert_eq!(world.job_now(first.id).await.state, JobState::Done);
    assert_eq!(world.store.open_discards().await.unwrap(), [discard.id]);
    assert_eq!(world.store.next_job(world.stream().await).await.unwrap(), None);
}

/// A step that does not start where the cursor stands, goes too far, or brings along what is not the job's, changes nothing.
pub async fn a_step_compares_and_sets(world: &World) {
    let flow = mixed(world).await;
    let job = world.begin(Job { to: None, ..world.job(JobKind::Replay, flow.stream) }).await;
    let before = flow.record().await;
    let (mut deliveries, open) = flow.work(&job, Seq(3)).await;
    let step = open.job.unwrap();
    let delivery = deliveries.remove(0);
    let with =
        |step: JobStep, delivery: Delivery| Open { deliveries: vec![delivery], taken: Taken::Beside, job: Some(step) };
    let other = world.stream().await;
    let foreign = world.begin(world.job(JobKind::Replay, other)).await;
    let of_foreign = Delivery { job: Some(foreign.id), ..delivery.clone() };
    for (open, conflicts) in [
        (with(JobStep { from: Seq(1), ..step }, Delivery { members: run(2, 3), ..delivery.clone() }), true),
        (
            with(
                JobStep { id: JobId(Uuid::nil()), ..step },
                Delivery { job: Some(JobId(Uuid::nil())), ..delivery.clone() },
            ),
            true,
        ),
        (with(JobStep { id: foreign.id, ..step }, of_foreign.clone()), true),
        (with(JobStep { to: Seq(9), ..step }, delivery.clone()), false),
        (with(JobStep { to: Seq(2), ..step }, delivery.clone()), false),
        (with(step, of_foreign), false),
        (with(step, Delivery { job: None, ..delivery.clone() }), false),
        (Open { job: None, ..with(step, delivery.clone()) }, false),
    ] {
        let refused = flow.open(open.clone()).await;
        let expected = if conflicts { "conflict" } else { "unaccounted" };
        assert_eq!(refused.as_ref().map_err(kind), Err(expected), "{open:?}");
        assert_eq!(world.job_now(job.id).await, job);
        assert_eq!(flow.record().await, before);
    }
    flow.open(open.clone()).await.unwrap();
    let moved = world.job_now(job.id).await;
    assert_eq!((moved.cursor, moved.pending, moved.processed()), (Seq(3), 3, 0));
    assert_eq!(flow.record().await, before, "what was delivered before is none of the stream's account");
    refused!(flow.open(open).await, StoreError::Conflict(_));
}

/// Delivered, rejected, failed, and what children carry on; done with the last of them.
pub async fn deliveries_tell_their_job(world: &World) {
    let flow = mixed(world).await;
    let job = world.begin(Job { filter: only(&[High]), ..world.job(JobKind::Replay, flow.stream) }).await;
    assert_eq!(job.total, 8);
    let (deliveries, open) = flow.work(&job, Seq(3)).await;
    flow.open(open).await.unwrap();
    let (_, children) = flow.end(&deliveries[0], vec![(1, delivered()), (1, rejected()), (1, retry())]).await;
    let told = world.job_now(job.id).await;
    assert_eq!((told.delivered, told.rejected, told.pending, told.processed()), (1, 1, 1, 2));
    assert_eq!(children[0].job, Some(job.id));
    let stray = Delivery { job: None, ..children[0].clone() };
    let mut handing_on = flow.judge(&children[0], vec![(1, retry())]);
    handing_on.children = vec![Delivery { id: world.delivery_id(), parent: Some(children[0].id), ..stray }];
    refused!(flow.settle(handing_on).await, StoreError::Unaccounted(_));
    flow.fail(&children[0]).await;
    let told = world.job_now(job.id).await;
    assert_eq!((told.failed, told.pending, told.state), (1, 0, JobState::Open));

    let (deliveries, open) = flow.work(&told, Seq(8)).await;
    assert_eq!(deliveries.iter().map(Delivery::events).sum::<u64>(), 4, "one waits for its turn, and is passed over");
    flow.open(open).await.unwrap();
    for delivery in &deliveries {
        flow.deliver(delivery).await;
    }
    let done = world.job_now(job.id).await;
    assert_eq!((done.state, done.delivered, done.passed), (JobState::Done, 5, 1));
    assert_eq!(done.finished_at, Some(world.now()));
    assert_eq!(flow.record().await.counts, Counts { delivered: 7, ..Counts::default() });
}

/// One step takes both: what is parked moves in the stream's account, what had arrived does not. What is rejected again is parked as such.
pub async fn parked_and_delivered_go_together(world: &World) {
    let flow = mixed(world).await;
    let job = world.begin(world.job(JobKind::Replay, flow.stream)).await;
    let (deliveries, open) = flow.work(&job, Seq(7)).await;
    assert_eq!(open.taken, Taken::Parked(run(4, 7)));
    let strangers = Open { job: None, ..open.clone() };
    refused!(flow.open(strangers).await, StoreError::Unaccounted(_));
    flow.open(open).await.unwrap();
    assert_eq!(flow.record().await.counts, Counts { delivered: 3, pending: 4, ..Counts::default() });
    let [parked, beside] = deliveries.as_slice() else { panic!("{deliveries:?}") };
    assert_eq!((parked.trigger, beside.trigger), (Trigger::Redelivery, Trigger::Replay));
    flow.reject(beside).await;
    flow.end(parked, vec![(2, delivered()), (2, rejected())]).await;
    assert_eq!(flow.record().await.counts, Counts { delivered: 5, rejected: 2, ..Counts::default() });
    let again = world.store.parked(flow.stream, ParkKind::Rejected, Seq(0), 9).await.unwrap();
    assert_eq!(
        again.iter().map(|row| (row.seq, row.delivery)).collect::<Vec<_>>(),
        [6, 7].map(|n| (Seq(n), parked.id))
    );
    let told = world.job_now(job.id).await;
    assert_eq!((told.delivered, told.rejected, told.pending), (2, 5, 0));
}

/// Parked, on its way (in a delivery, a range, or behind the cursor), or neither.
pub async fn where_events_stand(world: &World) {
    let flow = mixed(world).await;
    let look = async |members: Members| world.store.place(flow.stream, &members).await.unwrap();
    let all = look(run(1, 8)).await;
    assert_eq!(all, Placed { parked: run(4, 7), under_way: run(8, 8) });
    flow.open_parked(run(4, 4)).await;
    let replay = world.delivery(flow.stream, Trigger::Replay, run(1, 1));
    flow.open(Open { deliveries: vec![replay], taken: Taken::Beside, job: None }).await.unwrap();
    let (id, closed) = (world.range_id(), toktra_siem_core::breaker::Breaker::default());
    world.store.recover(&flow.lease, id, Trigger::Recovery, closed, world.now()).await.unwrap();
    let under_way = Members::from_ascending([1, 4, 8].map(Seq));
    assert_eq!(look(run(1, 8)).await, Placed { parked: run(5, 7), under_way });
    let some = Members::from_ascending([2, 5, 8].map(Seq));
    let (parked, under_way) = (run(5, 5), run(8, 8));
    assert_eq!(look(some).await, Placed { parked, under_way });
    let gone = toktra_siem_core::ids::StreamId { kind: StreamKind::Logs, ..flow.stream };
    refused!(world.store.place(gone, &run(1, 1)).await, StoreError::NotFound);
}

/// In pieces, in every stream of the connector; what is on its way is passed over. Switched off or not.
pub async fn discarding_moves_what_is_parked(world: &World) {
    let connector = world.create(world.draft(datadog(true), true)).await;
    let logs = Flow::take_over(world, stream_of(&connector, StreamKind::Logs)).await;
    let metrics = Flow::take_over(world, stream_of(&connector, StreamKind::Metrics)).await;
    let ids = world.append(9).await;
    logs.fail(&logs.open_to(4).await.unwrap()).await;
    logs.reject(&logs.open_to(6).await.unwrap()).await;
    metrics.fail(&metrics.open_to(3).await.unwrap()).await;
    let on_its_way = logs.open_parked(run(2, 2)).await;
    let job = world.begin(world.job(JobKind::Discard, logs.stream)).await;
    assert_eq!(job.total, 8);
    assert!(world.store.discard(job.id, 2).await.unwrap());
    assert_eq!(logs.record().await.counts.discarded, 2);
    let mut pieces = 1;
    while world.store.discard(job.id, 2).await.unwrap() {
        pieces += 1;
        world.job_now(job.id).await;
    }
    assert!(pieces <= 4, "{pieces}");
    let done = world.job_now(job.id).await;
    assert_eq!((done.state, done.discarded, done.processed()), (JobState::Done, 8, 8));
    assert_eq!(logs.record().await.counts, Counts { pending: 1, discarded: 5, ..Counts::default() });
    assert_eq!(metrics.record().await.counts, Counts { discarded: 3, ..Counts::default() });
    let fates = world.store.fates(world.org, ids[0]).await.unwrap();
    assert!(fates.iter().all(|fate| fate.fate == StreamFate::Discarded), "{fates:?}");
    logs.deliver(&on_its_way).await;
    assert!(!world.store.discard(job.id, 2).await.unwrap(), "it has ended");
    assert!(world.store.parked(logs.stream, ParkKind::Failed, Seq(0), 9).await.unwrap().is_empty());

    // Only within its range.
    logs.fail(&logs.open_to(9).await.unwrap()).await;
    let job = Job { last: Seq(8), cursor: Seq(7), total: 1, ..world.job(JobKind::Discard, logs.stream) };
    let job = world.store.create_job(world.org, world.change(job)).await.unwrap();
    assert!(!world.store.discard(job.id, 9).await.unwrap());
    let left = world.store.parked(logs.stream, ParkKind::Failed, Seq(0), 9).await.unwrap();
    assert_eq!(left.iter().map(|row| row.seq).collect::<Vec<_>>(), [Seq(7), Seq(9)]);
    logs.record().await;
}

/// What is on its way finishes and is counted; the cursor moves no more. Cancelling again changes nothing.
pub async fn a_cancelled_one_opens_nothing_more(world: &World) {
    let flow = mixed(world).await;
    let job = world.begin(world.job(JobKind::Replay, flow.stream)).await;
    let (deliveries, open) = flow.work(&job, Seq(2)).await;
    flow.open(open).await.unwrap();
    let moved = world.job_now(job.id).await;
    let next = flow.work(&moved, Seq(3)).await.1;
    world.pass(500);
    let cancelled = world.store.cancel_job(world.org, job.id, world.audit("job.cancel", &job.id)).await.unwrap();
    assert_eq!((cancelled.state, cancelled.finished_at), (JobState::Cancelled, Some(world.now())));
    refused!(flow.open(next).await, StoreError::Conflict(_));
    assert_eq!(world.store.next_job(flow.stream).await.unwrap(), None);
    world.pass(500);
    flow.deliver(&deliveries[0]).await;
    let told = world.job_now(job.id).await;
    assert_eq!((told.delivered, told.state, told.finished_at), (2, JobState::Cancelled, cancelled.finished_at));
    let again = world.store.cancel_job(world.org, job.id, world.audit("job.cancel", &job.id)).await.unwrap();
    assert_eq!(again, told);
    let audit = world.store.audit(world.org, AuditQuery { limit: 99, ..AuditQuery::default() }).await.unwrap().items;
    assert_eq!(audit.iter().filter(|(_, entry)| entry.action == "job.cancel").count(), 1);
    let discard = world.begin(world.job(JobKind::Discard, flow.stream)).await;
    world.store.cancel_job(world.org, discard.id, world.audit("job.cancel", &discard.id)).await.unwrap();
    assert!(!world.store.discard(discard.id, 9).await.unwrap());
    assert_eq!(flow.record().await.counts.discarded, 0);
}

/// Open ones are cancelled, and what they had on its way failed with its delivery.
pub async fn they_end_with_their_connector(world: &World) {
    let flow = mixed(world).await;
    let job = world.begin(world.job(JobKind::Replay, flow.stream)).await;
    flow.open(flow.work(&job, Seq(5)).await.1).await.unwrap();
    let other = world.begin(world.job(JobKind::Replay, world.stream().await)).await;
    let id = flow.stream.connector;
    world.store.delete_connector(world.org, id, None, world.audit("connector.delete", &id)).await.unwrap();
    let ended = world.job_now(job.id).await;
    assert_eq!((ended.state, ended.failed, ended.pending), (JobState::Cancelled, 5, 0));
    assert_eq!(world.job_now(other.id).await, other);
    let late = world.job(JobKind::Replay, flow.stream);
    refused!(world.store.create_job(world.org, world.change(late)).await, StoreError::NotFound);
}

/// Newest first, by connector and state.
pub async fn they_are_listed_in_pages(world: &World) {
    let flow = mixed(world).await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(world.begin(world.job(JobKind::Replay, flow.stream)).await.id);
    }
    let other = world.begin(world.job(JobKind::Discard, world.stream().await)).await;
    assert_eq!(other.state, JobState::Done, "there is nothing to discard");
    refused!(world.store.create_job(world.org, world.change(other.clone())).await, StoreError::Conflict(_));
    world.store.cancel_job(world.org, made[1], world.audit("job.cancel", &made[1])).await.unwrap();
    let list = async |query: JobQuery| {
        let page = world.store.jobs(world.org, query).await.unwrap();
        (page.items.iter().map(|job| job.id).collect::<Vec<_>>(), page.has_more)
    };
    let all = || JobQuery { limit: 50, ..JobQuery::default() };
    let connector = Some(flow.stream.connector);
    let newest = [other.id, made[4], made[3], made[2], made[1], made[0]];
    assert_eq!(list(all()).await, (newest.to_vec(), false));
    assert_eq!(list(JobQuery { limit: 2, ..all() }).await, (newest[..2].to_vec(), true));
    assert_eq!(list(JobQuery { limit: 2, before: Some(made[2]), ..all() }).await, (newest[4..].to_vec(), false));
    assert_eq!(list(JobQuery { connector, ..all() }).await, (newest[1..].to_vec(), false));
    assert_eq!(list(JobQuery { state: Some(JobState::Cancelled), ..all() }).await, (vec![made[1]], false));
    assert_eq!(list(JobQuery { state: Some(JobState::Done), connector, ..all() }).await, (vec![], false));
    assert_eq!(list(JobQuery { state: Some(JobState::Open), ..all() }).await.0.len(), 4);
}

/// A connector has so many unfinished jobs at most.
pub async fn there_is_a_limit(world: &World) {
    let flow = mixed(world).await;
    let mut last = None;
    for _ in 0..OPEN_JOBS {
        last = Some(world.begin(world.job(JobKind::Replay, flow.stream)).await.id);
    }
    let one_more = world.job(JobKind::Replay, flow.stream);
    let one_more = Job { last: Seq(8), total: 8, ..one_more };
    refused!(world.store.create_job(world.org, world.change(one_more.clone())).await, StoreError::Conflict(_));
    let last = last.unwrap();
    world.store.cancel_job(world.org, last, world.audit("job.cancel", &last)).await.unwrap();
    world.store.create_job(world.org, world.change(one_more)).await.unwrap();
}

/// Ended ones only.
pub async fn they_go_with_the_history(world: &World) {
    let flow = mixed(world).await;
    let open = world.begin(world.job(JobKind::Replay, flow.stream)).await;
    let ended = world.begin(world.job(JobKind::Replay, flow.stream)).await;
    world.store.cancel_job(world.org, ended.id, world.audit("job.cancel", &ended.id)).await.unwrap();
    let expire = async |history_before| {
        let retention = Retention { payloads_before: START, history_before };
        while world.store.expire(retention).await.unwrap().more {}
    };
    expire(START).await;
    world.job_now(ended.id).await;
    expire(START.plus(Duration::from_millis(1))).await;
    refused!(world.store.job(world.org, ended.id).await, StoreError::NotFound);
    assert_eq!(world.job_now(open.id).await, open);
}
