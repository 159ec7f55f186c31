//! Filters, switching off and on, and what is done with what waits.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_filter_applies_from_the_save_on_and_never_before() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(|_| busy());
    bench.send(2).await;
    bench.pass(Duration::from_secs(10)).await;
    bench.send(3).await;
    bench.otherwise(|_| success());
    bench.save(Resume::Backlog, |c| c.filter.severity = vec![Severity::Critical]).await;
    bench.send(4).await;
    let critical = bench.event(EventType::Anomaly, Severity::Critical);
    bench.store.append(vec![critical]).await.unwrap();
    bench.pass(Duration::from_secs(5)).await;
    let account = bench.events_account().await;
    assert_eq!((account.counts.delivered, account.counts.filtered), (6, 4));
}

#[tokio::test(start_paused = true)]
async fn an_idle_filtered_stream_shows_no_lag() {
    let mut bench = Bench::splunk().await;
    bench.save(Resume::Backlog, |c| c.filter.severity = vec![Severity::Critical]).await;
    bench.send(1_000).await;
    bench.pass(Duration::from_secs(1)).await;
    let account = bench.events_account().await;
    assert_eq!((account.counts.filtered, account.waiting), (1_000, 0));
    assert!(bench.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn switched_on_again_it_continues_where_it_stopped() {
    let mut bench = Bench::splunk().await;
    bench.send(1).await;
    bench.pass(Duration::from_secs(1)).await;
    bench.stop().await;
    bench.save(Resume::Backlog, |c| c.active = false).await;
    bench.send(7).await;
    let saved = bench.save(Resume::Backlog, |c| c.active = true).await;
    assert_eq!((saved.backlog, saved.skipped), (7, 0));
    bench.start(SPLUNK);
    bench.pass(Duration::from_secs(1)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 8);
}

#[tokio::test(start_paused = true)]
async fn switched_on_from_now_it_skips_what_lies_between_and_counts_it() {
    let mut bench = Bench::splunk().await;
    bench.stop().await;
    bench.save(Resume::Backlog, |c| c.active = false).await;
    bench.send(7).await;
    let saved = bench.save(Resume::Now, |c| c.active = true).await;
    assert_eq!((saved.backlog, saved.skipped), (0, 7));
    bench.start(SPLUNK);
    bench.send(2).await;
    bench.pass(Duration::from_secs(1)).await;
    let account = bench.events_account().await;
    assert_eq!((account.counts.skipped, account.counts.delivered), (7, 2));
}

#[tokio::test(start_paused = true)]
async fn under_load_batches_grow_and_requests_stay_few() {
    let mut bench = Bench::splunk().await;
    for _ in 0..100 {
        bench.send(50).await;
    }
    bench.pass(Duration::from_secs(5)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 5_000);
    assert!(bench.seen().len() < 20, "{}", bench.seen().len());
    assert_eq!(bench.delivered_ids().len(), 5_000);
}

#[tokio::test(start_paused = true)]
async fn a_drain_delivers_what_is_there_and_ends() {
    let mut bench = Bench::splunk().await;
    *bench.endpoint.takes.lock() = Duration::from_millis(200);
    bench.send(3_000).await;
    bench.pass(Duration::from_millis(10)).await;
    bench.control.2.cancel();
    for worker in bench.workers.drain(..) {
        worker.await.unwrap();
    }
    assert_eq!(bench.events_account().await.counts.delivered, 3_000);
}
