//! What people look at: standings, whereabouts, previews and traffic, in agreement with the account.

use std::time::Duration;

use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::Trigger;
use toktra_siem_core::event::EventType::{Anomaly, Heartbeat, Lockout};
use toktra_siem_core::event::Severity::{Critical, High, Low};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{ConnectorId, EventId, Seq, StreamId, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_core::traffic::{BUCKET, Traffic, bucket, step_of};

use super::World;
use super::flow::{Flow, delivered, rejected};
use super::world::{datadog, only, refused, run, splunk, stream_of};
use crate::{Resume, Retention, Standing, StoreError, StreamFate, StreamTraffic, TrafficRow, Whereabouts};

const DAY: i64 = 24 * 3600 * 1000;

async fn standing(world: &World, stream: StreamId) -> Standing {
    let all = world.store.standings(world.org, None, Timestamp(0)).await.unwrap();
    let one = world.store.standings(world.org, Some(stream.connector), Timestamp(0)).await.unwrap();
    let of_all: Vec<&Standing> = all.iter().filter(|s| s.connector.id == stream.connector).collect();
    assert_eq!(one.iter().collect::<Vec<_>>(), of_all, "one connector stands as it does among all");
    one.into_iter().find(|standing| standing.stream.id == stream).unwrap()
}

/// The oldest event that waits, is on its way, or is parked, and the newest failure.
pub async fn standings_name_the_oldest(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    let none = standing(world, flow.stream).await;
    assert_eq!((none.oldest_pending, none.oldest_failed, none.last_failure), (None, None, None));
    assert_eq!(none.stream, flow.record().await);

    let ids = world.append(3).await;
    world.pass(1000);
    world.append(2).await;
    let waits = standing(world, flow.stream).await.oldest_pending.unwrap();
    assert_eq!((waits.event_id, waits.accepted_at), (ids[0], world.now().minus(Duration::from_secs(1))));
    let first = flow.open_to(1).await.unwrap();
    let second = flow.open_to(2).await.unwrap();
    flow.deliver(&second).await;
    assert_eq!(standing(world, flow.stream).await.oldest_pending.unwrap().seq, Seq(1), "on its way");

    world.pass(10);
    let failed = flow.fail(&first).await;
    let stands = standing(world, flow.stream).await;
    assert_eq!(stands.oldest_pending.unwrap().seq, Seq(3), "behind the cursor");
    let (event, parked) = stands.oldest_failed.unwrap();
    assert_eq!((event.seq, parked.delivery, parked.since), (Seq(1), failed.id, world.now()));
    assert_eq!(stands.last_failure.unwrap().id, failed.id);

    let third = flow.open_to(4).await.unwrap();
    world.pass(10);
    flow.end(&third, vec![(1, delivered()), (1, rejected())]).await;
    assert_eq!(standing(world, flow.stream).await.last_failure.unwrap().id, third.id, "partial, with a cause");
    // A person's test says nothing of the flow.
    super::test_deliveries::failed(world, flow.stream).await;
    assert_eq!(standing(world, flow.stream).await.last_failure.unwrap().id, third.id);

    let (range, now) = (world.range_id(), world.now());
    let breaker = toktra_siem_core::breaker::Breaker::default();
    world.store.recover(&flow.lease, range, Trigger::Recovery, breaker, now).await.unwrap();
    assert_eq!(standing(world, flow.stream).await.oldest_pending.unwrap().seq, Seq(5), "in a range");
    let again = flow.open_parked(run(1, 1)).await;
    let stands = standing(world, flow.stream).await;
    assert_eq!((stands.oldest_pending.unwrap().seq, stands.oldest_failed), (Seq(1), None), "{again:?}");
}

/// Connectors by creation, streams in the platform's order, the same for accounts; deleted ones are left out; and every stream of all orgs.
pub async fn standings_keep_their_order(world: &World) {
    let first = world.create(world.draft(datadog(true), true)).await;
    let second = world.create(world.draft(splunk(), false)).await;
    let gone = world.create(world.draft(splunk(), true)).await;
    let audit = world.audit("connector.delete", &gone.id);
    world.store.delete_connector(world.org, gone.id, None, audit).await.unwrap();
    let expected = [
        stream_of(&first, StreamKind::Logs),
        stream_of(&first, StreamKind::Metrics),
        stream_of(&second, StreamKind::Events),
    ];
    let standings = world.store.standings(world.org, None, Timestamp(0)).await.unwrap();
    assert_eq!(standings.iter().map(|s| s.stream.id).collect::<Vec<_>>(), expected);
    let accounts = world.store.accounts(world.org).await.unwrap();
    assert_eq!(accounts.iter().map(|(_, stream)| stream.id).collect::<Vec<_>>(), expected);
    for ((connector, stream), standing) in accounts.iter().zip(&standings) {
        assert_eq!((connector, stream), (&standing.connector, &standing.stream));
    }
    refused!(world.store.standings(world.org, Some(gone.id), Timestamp(0)).await, StoreError::NotFound);
}

async fn whereabouts(world: &World, id: EventId) -> Vec<Whereabouts> {
    let (record, payload, found) = world.store.whereabouts(world.org, id).await.unwrap();
    assert_eq!(world.store.event(world.org, id).await.unwrap(), (record, payload));
    let fates = world.store.fates(world.org, id).await.unwrap();
    let present: Vec<_> = found.iter().filter(|w| w.present.is_some()).map(|w| (w.stream, w.fate.clone())).collect();
    assert_eq!(fates.into_iter().map(|f| (f.stream, f.fate)).collect::<Vec<_>>(), present, "as its fates are");
    found
}

/// The fate comes with the delivery that it names, and with the filter of its time.
pub async fn whereabouts_say_why(world: &World) {
    let connector = world.splunk(only(&[High])).await;
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    let ids = world.append_severities(&[High, Low, High]).await;
    let saved = world.save_filter(&connector, Filter::default()).await;
    let flow = flow.renewed().await;
    let first = flow.open_to(1).await.unwrap();
    let first = flow.deliver(&first).await;
    flow.open_to(2).await;
    let mut found = whereabouts(world, ids[0]).await;
    let there = found.remove(0);
    assert_eq!((there.delivery, there.filter), (Some(first), Some(only(&[High]))));
    let (shown, stream) = there.present.unwrap();
    assert_eq!((shown, stream), (saved, flow.record().await));
    let filtered = whereabouts(world, ids[1]).await.remove(0);
    assert!(matches!(filtered.fate, StreamFate::Filtered { .. }), "{filtered:?}");
    assert_eq!((filtered.delivery, filtered.filter), (None, Some(only(&[High]))));
    assert_eq!(whereabouts(world, ids[2]).await.remove(0).fate, StreamFate::Pending { delivery: None });
    refused!(world.store.whereabouts(world.org, world.event().event_id).await, StoreError::NotFound);
}

/// What a deleted connector had delivered stays delivered; what it had not is discarded; what it had not taken up is not spoken of.
pub async fn deleted_connectors_are_remembered(world: &World) {
    let connector = world.splunk(only(&[High])).await;
    let flow = Flow::take_over(world, stream_of(&connector, StreamKind::Events)).await;
    let ids = world.append_severities(&[High, High, High, High, Low, High]).await;
    let done = flow.deliver(&flow.open_to(1).await.unwrap()).await;
    flow.fail(&flow.open_to(2).await.unwrap()).await;
    let refused = flow.reject(&flow.open_to(3).await.unwrap()).await;
    flow.open_to(5).await.unwrap();
    let audit = world.audit("connector.delete", &connector.id);
    world.store.delete_connector(world.org, connector.id, None, audit).await.unwrap();
    let mut fates = Vec::new();
    for id in ids {
        let found = whereabouts(world, id).await;
        assert!(found.iter().all(|w| w.present.is_none() && w.stream == flow.stream && w.filter.is_none()));
        fates.push(found.into_iter().map(|w| (w.fate, w.delivery)).next());
    }
    assert_eq!(fates[0], Some((StreamFate::Delivered { delivery: done.id }, Some(done))));
    assert_eq!(fates[1], Some((StreamFate::Discarded, None)), "was parked");
    let cause = toktra_siem_core::cause::Cause::new("poison", "It is poison.");
    assert_eq!(fates[2], Some((StreamFate::Rejected { delivery: refused.id, cause }, Some(refused))));
    assert_eq!(fates[3], Some((StreamFate::Discarded, None)), "was on its way");
    assert_eq!((&fates[4], &fates[5]), (&None, &None), "filtered, and waiting");
}

/// By type and severity, from a time on; the newest of what the filter forwards, with payloads. The service's own events are judged like the rest.
pub async fn previews_count_and_show(world: &World) {
    let event = |event_type, severity| world.event_of(world.org, event_type, severity);
    let of_age = |n: i64| world.pass(n);
    world.append_all(vec![event(Anomaly, High), event(Lockout, Low)]).await;
    of_age(1000);
    let since = world.now();
    let mut ids = world.append_all(vec![event(Anomaly, High), event(Lockout, High), event(Anomaly, Low)]).await;
    of_age(1000);
    ids.extend(world.append_all(vec![event(Heartbeat, Low), event(Anomaly, Critical), event(Anomaly, High)]).await);
    let other = world.other_org().await;
    world.append_all(vec![world.event_of(other, Anomaly, High)]).await;

    let filter = Filter { severity: vec![High], event_types: vec![Anomaly] };
    // Twice: what was counted the first time may be kept.
    for _ in 0..2 {
        let preview = world.store.preview(world.org, since, filter.clone(), 20).await.unwrap();
        let tallied: Vec<_> = preview.tallied.iter().map(|t| (t.event_type, t.severity, t.events)).collect();
        let expected = [(Anomaly, Low, 1), (Anomaly, High, 2), (Anomaly, Critical, 1), (Lockout, High, 1)];
        assert_eq!(tallied, [&expected[..], &[(Heartbeat, Low, 1)]].concat());
        let sample: Vec<EventId> = preview.sample.iter().map(|(record, _)| record.event_id).collect();
        assert_eq!(sample, [ids[5], ids[0]], "newest first");
        for (record, payload) in preview.sample {
            assert_eq!(world.store.event(world.org, record.event_id).await.unwrap(), (record, payload));
        }
    }
    let one = world.store.preview(world.org, since, filter.clone(), 1).await.unwrap();
    assert_eq!(one.sample.len(), 1);
    let beats = Filter { severity: Vec::new(), event_types: vec![Heartbeat] };
    let beats = world.store.preview(world.org, since, beats, 20).await.unwrap();
    assert_eq!(beats.sample.iter().map(|(record, _)| record.event_id).collect::<Vec<_>>(), [ids[3]]);
    let all = world.store.preview(world.org, Timestamp(0), Filter::default(), 1).await.unwrap();
    assert_eq!(all.tallied.iter().map(|t| t.events).sum::<u64>(), 8);
    let none = world.store.preview(world.org, world.now().plus(BUCKET), filter, 20).await.unwrap();
    assert!(none.tallied.is_empty() && none.sample.is_empty());
}

/// A preview counts what retention has not taken yet.
pub async fn previews_outlive_payloads(world: &World) {
    world.append(6).await;
    world.pass(31 * DAY);
    world.append(1).await;
    expire(world).await;
    let preview = world.store.preview(world.org, Timestamp(0), Filter::default(), 20).await.unwrap();
    assert_eq!(preview.tallied.iter().map(|t| t.events).sum::<u64>(), 7);
    let payloads: Vec<bool> = preview.sample.iter().map(|(_, payload)| payload.is_some()).collect();
    assert!(payloads[0] && payloads[1..].iter().all(|there| !there), "{payloads:?}");
    world.pass(401 * DAY);
    world.append(1).await;
    expire(world).await;
    let preview = world.store.preview(world.org, Timestamp(0), Filter::default(), 20).await.unwrap();
    assert_eq!(
        preview.tallied.iter().map(|t| t.events).sum::<u64>(),
        1,
        "records are gone, and so is what was counted"
    );
}

/// Payloads after 30 days, history after 400; how many buckets of traffic went.
async fn expire(world: &World) -> u64 {
    let before = |days: u64| world.now().minus(Duration::from_hours(24 * days));
    let retention = Retention { payloads_before: before(30), history_before: before(400) };
    let mut traffic = 0;
    for _ in 0..1000 {
        let expired = world.store.expire(retention).await.unwrap();
        traffic += expired.traffic;
        if !expired.more {
            return traffic;
        }
    }
    panic!("retention never comes to an end");
}

fn traffic(delivered: u64, lag: u64) -> Traffic {
    let mut traffic = Traffic { delivered, lag, attempts: 1, ..Traffic::default() };
    traffic.latency.add(Duration::from_millis(40), delivered);
    traffic
}

/// What is added to a bucket is added up, the highest lag counts, and streams that are not there are passed over.
pub async fn traffic_adds_up(world: &World) {
    let connector = world.create(world.draft(datadog(true), true)).await;
    let (logs, metrics) = (stream_of(&connector, StreamKind::Logs), stream_of(&connector, StreamKind::Metrics));
    let at = bucket(world.now());
    let next = at.plus(BUCKET);
    let row = |stream, at, traffic| TrafficRow { stream, at, traffic };
    let stray = StreamId { connector: ConnectorId(world.org.0), kind: StreamKind::Events };
    world.store.add_traffic(vec![row(logs, at, traffic(1, 9)), row(stray, at, traffic(1, 1))]).await.unwrap();
    let more = vec![row(logs, next, traffic(5, 0)), row(metrics, at, traffic(7, 1)), row(logs, at, traffic(2, 3))];
    world.store.add_traffic(more).await.unwrap();

    let mut sum = traffic(3, 9);
    sum.attempts = 2;
    let all = [row(logs, at, sum), row(logs, next, traffic(5, 0)), row(metrics, at, traffic(7, 1))];
    let read = async |from, to| world.store.traffic(world.org, connector.id, from, to).await.unwrap();
    assert_eq!(read(at, next.plus(BUCKET)).await, all);
    assert_eq!(read(at, next).await, [all[0].clone(), all[2].clone()], "before `to`");
    assert_eq!(read(next, next).await, []);
    assert_eq!(read(next, at).await, []);
    let standings = world.store.standings(world.org, None, next).await.unwrap();
    assert_eq!(standings[0].traffic, [all[1].clone()]);
    assert!(standings[1].traffic.is_empty());

    let inactive = Connector { active: false, ..connector.clone() };
    world.save(inactive, Resume::Backlog).await;
    assert_eq!(read(at, next.plus(BUCKET)).await, all, "a save leaves it alone");
    let audit = world.audit("connector.delete", &connector.id);
    world.store.delete_connector(world.org, connector.id, None, audit).await.unwrap();
    refused!(world.store.traffic(world.org, connector.id, at, next).await, StoreError::NotFound);
}

/// All connectors of the org at once, each in the steps that were asked for.
pub async fn traffic_of_all_is_that_of_each(world: &World) {
    let first = world.create(world.draft(datadog(true), true)).await;
    let second = world.create(world.draft(splunk(), false)).await;
    let gone = world.create(world.draft(splunk(), true)).await;
    let (logs, metrics) = (stream_of(&first, StreamKind::Logs), stream_of(&first, StreamKind::Metrics));
    let events = stream_of(&second, StreamKind::Events);
    let length = 3 * BUCKET;
    let start = step_of(world.now(), length);
    let at = |buckets: u32| start.plus(buckets * BUCKET);
    let row =
        |stream, buckets, delivered, lag| TrafficRow { stream, at: at(buckets), traffic: traffic(delivered, lag) };
    let rows = vec![
        row(logs, 0, 1, 4),
        row(logs, 2, 2, 9),
        row(logs, 3, 5, 0),
        row(events, 7, 6, 1),
        row(stream_of(&gone, StreamKind::Events), 0, 8, 8),
    ];
    world.store.add_traffic(rows).await.unwrap();
    let audit = world.audit("connector.delete", &gone.id);
    world.store.delete_connector(world.org, gone.id, None, audit).await.unwrap();

    let of = |stream, steps| StreamTraffic { stream, steps };
    let read = async |from, to| world.store.traffic_of_all(world.org, at(from), at(to), length).await.unwrap();
    let sum = Traffic { attempts: 2, ..traffic(3, 9) };
    assert_eq!(
        read(0, 9).await,
        [
            of(logs, vec![(start, sum), (at(3), traffic(5, 0))]),
            of(metrics, vec![]),
            of(events, vec![(at(6), traffic(6, 1))]),
        ]
    );
    let part = read(2, 3).await;
    assert_eq!(part[0], of(logs, vec![(start, traffic(2, 9))]), "a step has what lies in the range");
    assert!(part[1].steps.is_empty() && part[2].steps.is_empty());
    assert!(read(9, 0).await.iter().all(|stream| stream.steps.is_empty()));
}

/// It goes with the payloads of its time.
pub async fn traffic_goes_by_age(world: &World) {
    let stream = world.stream().await;
    let at = bucket(world.now());
    let rows = (0..3).map(|day| TrafficRow { stream, at: Timestamp(at.0 + day * DAY), traffic: traffic(1, 0) });
    world.store.add_traffic(rows.collect()).await.unwrap();
    assert_eq!(expire(world).await, 0);
    world.pass(31 * DAY);
    assert_eq!(expire(world).await, 1, "the first bucket is older than 30 days");
    let left = world.store.traffic(world.org, stream.connector, Timestamp(0), Timestamp(i64::MAX)).await.unwrap();
    assert_eq!(left.len(), 2);
    // However long payloads are kept, traffic is not kept for longer than 30 days.
    world.pass(DAY);
    let all = Retention { payloads_before: Timestamp(0), history_before: Timestamp(0) };
    assert_eq!(world.store.expire(all).await.unwrap().traffic, 1);
}
