//! What is gathered of what flows.

use toktra_siem_core::traffic::Traffic;
use toktra_siem_store::Insight as _;

use super::*;

/// Everything that was added up to now, over all buckets of a stream.
async fn flowed(bench: &Bench, kind: StreamKind) -> Traffic {
    bench.ctx.traffic.flush(&*bench.ctx.store, bench.ctx.clock.now()).await.unwrap();
    let rows = bench.store.traffic(ORG, CONNECTOR, Timestamp(0), Timestamp(i64::MAX)).await.unwrap();
    let mut sum = Traffic::default();
    rows.iter().filter(|row| row.stream.kind == kind).for_each(|row| sum += &row.traffic);
    sum
}

#[tokio::test(start_paused = true)]
async fn what_arrives_is_counted_with_how_long_it_took() {
    let mut bench = Bench::splunk().await;
    bench.send(3).await;
    bench.pass(Duration::from_secs(1)).await;
    bench.send(2).await;
    bench.pass(Duration::from_secs(1)).await;
    let flowed = flowed(&bench, StreamKind::Events).await;
    assert_eq!((flowed.delivered, flowed.failed, flowed.rejected, flowed.lag), (5, 0, 0, 0));
    assert_eq!((flowed.attempts_failed, flowed.latency.total()), (0, 5));
    assert_eq!(usize::try_from(flowed.attempts), Ok(bench.seen().len()));
}

#[tokio::test(start_paused = true)]
async fn an_outage_shows_as_failures_lag_and_late_arrivals() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(|_| busy());
    bench.send(4).await;
    bench.pass(Duration::from_secs(4)).await;
    bench.send(6).await;
    bench.pass(Duration::from_secs(1)).await;
    let down = flowed(&bench, StreamKind::Events).await;
    assert_eq!((down.delivered, down.latency.total()), (0, 0));
    assert_eq!((down.failed, down.lag), (4, 10), "parked events wait, too: {down:?}");
    assert_eq!(down.attempts, down.attempts_failed);
    bench.otherwise(|_| success());
    bench.pass(Duration::from_mins(2)).await;
    let up = flowed(&bench, StreamKind::Events).await;
    assert_eq!((up.delivered, up.latency.total()), (10, 10), "each event once, however often it failed");
    assert!(up.latency.percentile(99).unwrap() >= Duration::from_secs(5), "{:?}", up.latency);
    assert_eq!(bench.events_account().await.counts.delivered, 10);
}

#[tokio::test(start_paused = true)]
async fn one_event_that_is_refused_leaves_the_latency_of_the_others() {
    let mut bench = Bench::splunk().await;
    let bad =
        |number: u64| reply(400, &json!({"text": "Invalid data format", "code": 6, "invalid-event-number": number}));
    bench.answer([bad(1), success(), bad(0), bad(0), bad(0)]);
    bench.send(3).await;
    bench.pass(Duration::from_secs(5)).await;
    let flowed = flowed(&bench, StreamKind::Events).await;
    assert_eq!((flowed.delivered, flowed.rejected, flowed.latency.total()), (2, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn windows_count_the_events_in_them() {
    let config = json!({"api_key": "0123456789abcdef0123456789abcdef"});
    let mut bench = Bench::new(DATADOG, config).await;
    bench.otherwise(|_| Ok(Reply { status: 202, ..Reply::default() }));
    bench.send(3).await;
    bench.pass(Duration::from_secs(30)).await;
    let metrics = flowed(&bench, StreamKind::Metrics).await;
    assert_eq!((metrics.delivered, metrics.latency.total()), (3, 3));
    assert!(metrics.latency.percentile(50).unwrap() >= Duration::from_secs(10), "since the window's start");
}
