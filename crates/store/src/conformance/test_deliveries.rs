//! Test deliveries: they stand in the history with an event of their own, and leave the stream alone but for its breaker.

use std::time::Duration;

use bytes::Bytes;
use toktra_siem_core::breaker::{Breaker, OpenKind};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::{Attempt, Delivery, Input, Policy, Status, Trigger, step};
use toktra_siem_core::destination::{Outcome, Verdict};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{DeliveryId, NodeId, Seq, StreamId, StreamKind};
use toktra_siem_core::members::Members;
use uuid::Uuid;

use super::World;
use super::flow::{Flow, delivered, exchanged, retry};
use super::world::{datadog, kind, refused, run, stream_of};
use crate::{
    AuditQuery, HistoryQuery, Resume, Retention, StoreError, StreamRecord, TestEvent, TestOpen, TestSettlement,
};

/// A node that never joined.
const NOBODY: NodeId = NodeId(Uuid::nil());

/// A test of these streams that is about to be sent.
pub fn test_of(world: &World, streams: &[StreamId]) -> TestOpen {
    let event = TestEvent {
        event_id: world.event().event_id,
        event_time: world.now(),
        payload: Bytes::from_static(br#"{"event_type":"test_connection"}"#),
    };
    let delivery = |stream: &StreamId| world.delivery(*stream, Trigger::Test, Members::default());
    TestOpen { event, deliveries: streams.iter().map(delivery).collect(), node: NOBODY }
}

/// Opens a test of one stream; the delivery.
async fn opened(world: &World, stream: StreamId) -> Delivery {
    let test = test_of(world, &[stream]);
    world.store.open_tests(world.org, world.change(test.clone())).await.unwrap();
    test.deliveries.into_iter().next().unwrap()
}

/// Makes a test of one stream that fails.
pub async fn failed(world: &World, stream: StreamId) {
    let test = opened(world, stream).await;
    world.store.settle_test(end(world, &test, retry())).await.unwrap();
}

/// How `delivery` ends with this outcome.
fn end(world: &World, delivery: &Delivery, outcome: Outcome) -> TestSettlement {
    let now = world.now();
    let verdict = match outcome {
        Outcome::Delivered { warning } => Verdict::delivered(1, warning),
        Outcome::Retry(cause) => Verdict::unreachable(cause, false, 1),
        other => panic!("{other:?}"),
    };
    let input = Input::Judged { verdict, omitted: vec![] };
    let delivery = step(delivery, input, now, &Policy::default()).delivery;
    let (http_status, excerpt) = (Some(200), Some("{}".into()));
    let attempt = exchanged(Attempt {
        number: 1,
        at: now,
        duration_ms: 3,
        http_status,
        excerpt,
        cause: delivery.cause.clone(),
        request: None,
        response_headers: None,
    });
    TestSettlement { delivery, attempt: Some(attempt), range: world.range_id() }
}

async fn break_open(world: &World, flow: &Flow<'_>) {
    let cause = Cause::new("down", "It is down.");
    let breaker = Breaker::Open { kind: OpenKind::Down, cause, since: world.now(), failures: 3, probe_at: world.now() };
    world.store.set_breaker(&flow.lease, breaker).await.unwrap();
}

async fn history(world: &World, query: HistoryQuery) -> Vec<DeliveryId> {
    let page = world.store.history(world.org, HistoryQuery { limit: 50, ..query }).await.unwrap();
    page.items.iter().map(|item| item.delivery.id).collect()
}

/// Neither its opening nor a failure moves a cursor or a count, fences the owner, or is the owner's work.
pub async fn stand_beside_the_stream(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(3).await;
    let live = flow.open_to(2).await.unwrap();
    let before = flow.record().await;
    let test = opened(world, flow.stream).await;
    assert_eq!(world.store.pending(flow.stream).await.unwrap(), std::slice::from_ref(&live));
    let ended = end(world, &test, retry());
    assert!(!world.store.settle_test(ended.clone()).await.unwrap());
    assert_eq!(flow.record().await, before);

    let detail = world.store.delivery(world.org, test.id).await.unwrap();
    assert_eq!((detail.delivery.status, &detail.attempts[..]), (Status::Failed, ended.attempt.as_slice()));
    assert_eq!((detail.delivery.events(), detail.events.len()), (1, 0));
    flow.deliver(&live).await;
    let (entry, lines) = (
        world.store.audit(world.org, AuditQuery { limit: 99, ..AuditQuery::default() }).await.unwrap().items,
        "test.change",
    );
    assert_eq!(entry.iter().filter(|(_, entry)| entry.action == lines).count(), 2, "the connector's and the test's");
}

/// A success closes the breaker, sets apart what waits, and is the stream's last success; where the breaker was closed, nothing moves.
pub async fn a_success_closes_the_breaker(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(3).await;
    let first = opened(world, flow.stream).await;
    world.pass(5);
    assert!(!world.store.settle_test(end(world, &first, delivered())).await.unwrap());
    let record = flow.record().await;
    assert_eq!((record.cursor, record.last_success), (Seq(0), Some(world.now())));

    break_open(world, &flow).await;
    let second = opened(world, flow.stream).await;
    let settlement = end(world, &second, delivered());
    assert!(world.store.settle_test(settlement.clone()).await.unwrap());
    let record = flow.record().await;
    assert!(record.breaker.is_closed());
    assert_eq!((record.cursor, record.counts.pending), (Seq(3), 3));
    let ranges = world.store.ranges(flow.stream).await.unwrap();
    assert_eq!((ranges.len(), ranges[0].id, ranges[0].trigger), (1, settlement.range, Trigger::Recovery));
    // The owner is not fenced: it goes on where the store says.
    flow.open_range(&ranges[0], Seq(3)).await.unwrap();
}

/// Off, the breaker closes and what waits stays where it is. Metrics go in their order: nothing is set apart.
pub async fn nothing_is_resumed_where_it_is_off(world: &World) {
    let connector = world.splunk(Filter::default()).await;
    let datadog = world.create(world.draft(datadog(true), true)).await;
    let [off, on] = [stream_of(&connector, StreamKind::Events), stream_of(&datadog, StreamKind::Metrics)];
    let flows = [Flow::take_over(world, off).await, Flow::take_over(world, on).await];
    world.save(Connector { active: false, ..connector }, Resume::Backlog).await;
    for flow in flows {
        let (stream, flow) = (flow.stream, flow.renewed().await);
        world.append(2).await;
        break_open(world, &flow).await;
        let StreamRecord { cursor, .. } = flow.record().await;
        let test = opened(world, stream).await;
        assert!(world.store.settle_test(end(world, &test, delivered())).await.unwrap());
        let record = flow.record().await;
        assert!(record.breaker.is_closed());
        assert_eq!(record.cursor, cursor);
        assert!(world.store.ranges(stream).await.unwrap().is_empty());
    }
}

/// What is no test, is not settled, or was settled before, is refused; so is a test of a stream that is not there.
pub async fn ends_are_checked(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(1).await;
    let live = flow.open_all().await;
    let test = opened(world, flow.stream).await;
    let good = end(world, &test, delivered());
    let store = &world.store;
    for (wrong, expected) in [
        (TestSettlement { delivery: test.clone(), ..good.clone() }, "unaccounted"),
        (TestSettlement { attempt: None, ..good.clone() }, "unaccounted"),
        (end(world, &Delivery { id: world.delivery_id(), ..test.clone() }, delivered()), "not found"),
        (
            end(world, &Delivery { trigger: Trigger::Test, members: Members::default(), ..live }, delivered()),
            "not found",
        ),
    ] {
        let refused = store.settle_test(wrong.clone()).await.unwrap_err();
        assert_eq!(kind(&refused), expected, "{wrong:?}");
    }
    store.settle_test(good.clone()).await.unwrap();
    refused!(store.settle_test(good).await, StoreError::Conflict(_));

    let whole = test_of(world, &[flow.stream]);
    let with = |change: &dyn Fn(&mut Delivery)| {
        let mut test = test_of(world, &[flow.stream]);
        change(&mut test.deliveries[0]);
        test
    };
    for (wrong, expected) in [
        (with(&|d| d.accounted = true), "unaccounted"),
        (with(&|d| d.members = run(1, 1)), "unaccounted"),
        (with(&|d| d.trigger = Trigger::Replay), "unaccounted"),
        (with(&|d| d.status = Status::Delivered), "unaccounted"),
        (with(&|d| d.id = test.id), "conflict"),
        (with(&|d| d.stream.kind = StreamKind::Logs), "not found"),
    ] {
        let refused = store.open_tests(world.org, world.change(wrong.clone())).await.unwrap_err();
        assert_eq!(kind(&refused), expected, "{wrong:?}");
    }
    store.open_tests(world.org, world.change(TestOpen { deliveries: vec![], ..whole })).await.unwrap();
    flow.record().await;
}

/// What was under way at a node that is gone is settled as failed, and only that.
pub async fn what_was_left_is_interrupted(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(1).await;
    let live = flow.open_all().await;
    let done = opened(world, flow.stream).await;
    world.store.settle_test(end(world, &done, delivered())).await.unwrap();
    let (one, two) = (opened(world, flow.stream).await, opened(world, flow.stream).await);
    world.pass(7);
    let node = world.owner.node(&*world.store).await.unwrap();
    let living = TestOpen { node, ..test_of(world, &[flow.stream]) };
    world.store.open_tests(world.org, world.change(living.clone())).await.unwrap();
    assert_eq!(world.store.interrupt_tests().await.unwrap(), 2);
    assert_eq!(world.store.interrupt_tests().await.unwrap(), 0);
    let goes_on = world.store.delivery(world.org, living.deliveries[0].id).await.unwrap().delivery;
    assert_eq!(goes_on.status, Status::Pending, "its node lives");
    for test in [&one, &two] {
        let left = world.store.delivery(world.org, test.id).await.unwrap().delivery;
        assert_eq!((left.status, left.settled_at, left.due_at), (Status::Failed, Some(world.now()), None));
        assert_eq!(left.cause.unwrap().code, "interrupted");
    }
    refused!(world.store.settle_test(end(world, &one, delivered())).await, StoreError::Conflict(_));
    world.store.leave(node).await.unwrap();
    assert_eq!(world.store.interrupt_tests().await.unwrap(), 1);
    assert_eq!(world.store.pending(flow.stream).await.unwrap(), [live]);
    flow.record().await;
}

/// Payloads of the log come and go beside it, pending or not; event and delivery go together when the history's time is over.
pub async fn go_with_the_history(world: &World) {
    let flow = Flow::take_over(world, world.stream().await).await;
    world.append(2).await;
    let test = opened(world, flow.stream).await;
    let waiting = opened(world, flow.stream).await;
    world.store.settle_test(end(world, &test, delivered())).await.unwrap();
    let event = world.store.delivery(world.org, test.id).await.unwrap().test_event.unwrap().event_id;
    let expire = async |payloads: u64, history: u64| {
        let before = |days: u64| world.now().minus(Duration::from_hours(24 * days));
        let retention = Retention { payloads_before: before(payloads), history_before: before(history) };
        for _ in 0..100 {
            if !world.store.expire(retention).await.unwrap().more {
                return;
            }
        }
    };
    world.pass(31 * 24 * 3600 * 1000);
    world.append(1).await;
    expire(30, 400).await;
    assert_eq!(flow.record().await.counts.expired, 2, "a test on its way holds up no payload");
    assert_eq!(world.store.test_event(world.org, event).await.unwrap().1.len(), 1);
    world.pass(400 * 24 * 3600 * 1000);
    world.append(1).await;
    expire(30, 400).await;
    refused!(world.store.delivery(world.org, test.id).await, StoreError::NotFound);
    refused!(world.store.test_event(world.org, event).await, StoreError::NotFound);
    assert!(history(world, HistoryQuery { event_id: Some(event), ..HistoryQuery::default() }).await.is_empty());
    let kept = world.store.delivery(world.org, waiting.id).await.unwrap();
    assert!(kept.test_event.is_some(), "what is not settled stays");
    flow.record().await;
}

/// By its event a test is found like any other delivery, with all filters; the event says which deliveries carried it.
pub async fn are_found_by_their_event(world: &World) {
    let connector = world.create(world.draft(datadog(true), true)).await;
    let [logs, metrics] = [StreamKind::Logs, StreamKind::Metrics].map(|kind| stream_of(&connector, kind));
    let test = test_of(world, &[logs, metrics]);
    world.store.open_tests(world.org, world.change(test.clone())).await.unwrap();
    let [of_logs, of_metrics] = [0, 1].map(|at| test.deliveries[at].clone());
    world.store.settle_test(end(world, &of_logs, delivered())).await.unwrap();
    let other = opened(world, logs).await;

    let (event, deliveries) = world.store.test_event(world.org, test.event.event_id).await.unwrap();
    assert_eq!(event, test.event);
    let ids: Vec<_> = deliveries.iter().map(|delivery| (delivery.id, delivery.status)).collect();
    assert_eq!(ids, [(of_logs.id, Status::Delivered), (of_metrics.id, Status::Pending)]);
    let by = |query: HistoryQuery| history(world, HistoryQuery { event_id: Some(event.event_id), ..query });
    let all = HistoryQuery::default;
    assert_eq!(by(all()).await, [of_metrics.id, of_logs.id]);
    assert_eq!(by(HistoryQuery { stream: Some(StreamKind::Logs), ..all() }).await, [of_logs.id]);
    assert_eq!(by(HistoryQuery { status: Some(Status::Pending), ..all() }).await, [of_metrics.id]);
    assert_eq!(by(HistoryQuery { trigger: Some(Trigger::Live), ..all() }).await, []);
    assert_eq!(by(HistoryQuery { before: Some(of_metrics.id), ..all() }).await, [of_logs.id]);
    let tests = history(world, HistoryQuery { trigger: Some(Trigger::Test), ..all() }).await;
    assert_eq!(tests, [other.id, of_metrics.id, of_logs.id]);
    assert_eq!(world.store.delivery(world.org, of_logs.id).await.unwrap().test_event, Some(test.event));
    refused!(world.store.event(world.org, event.event_id).await, StoreError::NotFound);
}
