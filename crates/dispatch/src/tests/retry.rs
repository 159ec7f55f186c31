//! The retry behaviour of the product spec: at once, after 1 second, after 2 seconds; then failed.

use toktra_siem_core::delivery::{Status, Trigger};

use super::*;

#[tokio::test(start_paused = true)]
async fn what_arrives_is_delivered_and_counted() {
    let mut bench = Bench::splunk().await;
    bench.send(5).await;
    bench.pass(Duration::from_millis(50)).await;
    let account = bench.events_account().await;
    assert_eq!((account.counts.delivered, account.pending()), (5, 0));
    let history = bench.history().await;
    assert_eq!(history.len(), 1);
    assert_eq!((history[0].0.status, history[0].0.trigger), (Status::Delivered, Trigger::Live));
    assert_eq!(history[0].1[0].http_status, Some(200));
}

#[tokio::test(start_paused = true)]
async fn three_attempts_at_the_literal_times_then_failed() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(|_| busy());
    bench.pass(Duration::from_secs(1)).await;
    bench.send(3).await;
    bench.pass(Duration::from_millis(3_400)).await;
    let times = bench.times();
    // Each attempt takes 1 ms, and the pause counts from its end.
    assert_eq!(times[..3], [1_000, 2_001, 4_002]);
    let history = bench.history().await;
    assert_eq!(history[0].0.status, Status::Failed);
    assert_eq!(history[0].1.iter().map(|a| a.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(bench.events_account().await.counts.failed, 3);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_succeeds_is_a_delivered_delivery() {
    let mut bench = Bench::splunk().await;
    bench.answer([
        busy(),
        Err(Unreached { cause: toktra_siem_core::cause::Cause::new("network_reset", "reset"), misconfigured: false }),
    ]);
    bench.send(2).await;
    bench.pass(Duration::from_secs(4)).await;
    let history = bench.history().await;
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].0.status, Status::Delivered);
    assert_eq!(history[0].1.iter().map(|a| a.http_status).collect::<Vec<_>>(), [Some(503), None, Some(200)]);
    let bodies: std::collections::HashSet<Bytes> = bench.seen().into_iter().map(|s| s.body).collect();
    assert_eq!(bodies.len(), 1, "every attempt carries the same bytes");
}

#[tokio::test(start_paused = true)]
async fn nothing_new_starts_while_a_delivery_waits_for_its_retry() {
    let mut bench = Bench::splunk().await;
    bench.answer([busy()]);
    bench.send(1).await;
    bench.pass(Duration::from_millis(100)).await;
    bench.send(1).await;
    bench.pass(Duration::from_millis(800)).await;
    assert_eq!(bench.seen().len(), 1);
    bench.pass(Duration::from_millis(500)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 2);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_and_capped() {
    let after = |text: &str| match busy() {
        Ok(reply) => Ok(Reply { retry_after: Some(text.into()), ..reply }),
        failed => failed,
    };
    let mut bench = Bench::splunk().await;
    bench.answer([after("7"), after("86400")]);
    bench.send(1).await;
    bench.pass(Duration::from_mins(2)).await;
    assert_eq!(bench.times(), [0, 7_001, 67_002]);
}

#[tokio::test(start_paused = true)]
async fn a_poison_event_is_rejected_and_blocks_no_other() {
    let mut bench = Bench::splunk().await;
    let bad =
        |number: u64| reply(400, &json!({"text": "Invalid data format", "code": 6, "invalid-event-number": number}));
    bench.answer([bad(2), success(), bad(0), bad(0), bad(0)]);
    bench.send(5).await;
    bench.pass(Duration::from_millis(500)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 4, "the others at once");
    bench.pass(Duration::from_secs(5)).await;
    let account = bench.events_account().await;
    assert_eq!((account.counts.delivered, account.counts.rejected), (4, 1));
    let history = bench.history().await;
    assert_eq!(history[0].0.status, Status::Partial);
    let mut children: Vec<_> =
        history[1..].iter().map(|(child, _)| (child.events(), child.status, child.attempts)).collect();
    children.sort_unstable_by_key(|(events, ..)| *events);
    assert_eq!(children, [(1, Status::Failed, 3), (2, Status::Delivered, 1)]);
    assert!(history[1..].iter().all(|(child, _)| child.parent == Some(history[0].0.id)));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_large_is_cut_in_halves_down_to_the_event() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(|request| {
        if String::from_utf8_lossy(&request.body).contains("event 103") {
            Ok(Reply { status: 413, ..Reply::default() })
        } else {
            success()
        }
    });
    bench.send(8).await;
    bench.pass(Duration::from_secs(5)).await;
    let account = bench.events_account().await;
    assert_eq!((account.counts.delivered, account.counts.rejected), (7, 1));
    assert_eq!(bench.seen().iter().map(events_in).collect::<Vec<_>>(), [8, 4, 2, 2, 1, 1, 4, 1, 1], "depth first");
}

#[tokio::test(start_paused = true)]
async fn a_restart_takes_up_what_was_pending() {
    let mut bench = Bench::splunk().await;
    bench.answer([busy()]);
    bench.send(4).await;
    bench.pass(Duration::from_millis(10)).await;
    bench.stop().await;
    assert_eq!(bench.history().await[0].0.status, Status::Pending);
    bench.start(SPLUNK);
    bench.pass(Duration::from_secs(2)).await;
    let history = bench.history().await;
    assert_eq!((history.len(), history[0].1.len()), (1, 2));
    assert_eq!(bench.events_account().await.counts.delivered, 4);
}
