//! How many requests are in flight while something waits, whatever it is.

use toktra_siem_core::job::JobKind;

use super::*;

/// The most that the endpoint had before it at the same moment, by when each came; each takes `takes`.
fn most_at_once(seen: &[Seen], takes: Duration) -> usize {
    let beside = |at: Duration| seen.iter().filter(|other| other.at <= at && at < other.at + takes).count();
    seen.iter().map(|request| beside(request.at)).max().unwrap_or_default()
}

const SECOND: Duration = Duration::from_secs(1);
const WEBHOOK: PlatformId = PlatformId::fixed("webhook");

/// A receiver far away, to which each event is a request.
async fn far_away() -> Bench {
    let bench = Bench::new(WEBHOOK, json!({"url": "https://receiver.example/", "format": "event"})).await;
    *bench.endpoint.takes.lock() = SECOND;
    bench
}

async fn delivers_with_all_requests(bench: &Bench, delivered: i64) {
    let before = bench.seen().len();
    bench.pass(Duration::from_mins(5)).await;
    assert_eq!(bench.events_account().await.counts.delivered, delivered);
    let most = most_at_once(&bench.seen()[before..], SECOND);
    assert_eq!(most, 16, "{:?}", bench.times());
}

#[tokio::test(start_paused = true)]
async fn live_events_go_with_as_many_requests_as_there_may_be() {
    let mut bench = far_away().await;
    bench.send(300).await;
    delivers_with_all_requests(&bench, 300).await;
}

#[tokio::test(start_paused = true)]
async fn a_backlog_range_goes_with_as_many_requests_as_there_may_be() {
    let mut bench = far_away().await;
    bench.stop().await;
    bench.save(Resume::Backlog, |c| c.active = false).await;
    bench.send(300).await;
    bench.save(Resume::Backlog, |c| c.active = true).await;
    bench.start(WEBHOOK);
    delivers_with_all_requests(&bench, 300).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_goes_with_as_many_requests_as_there_may_be() {
    let mut bench = far_away().await;
    *bench.endpoint.takes.lock() = Duration::from_millis(1);
    bench.send(300).await;
    bench.pass(SECOND).await;
    assert_eq!(bench.seen().len(), 300);
    // The number of requests is found out anew.
    bench.stop().await;
    bench.start(WEBHOOK);
    *bench.endpoint.takes.lock() = SECOND;
    bench.ask(JobKind::Replay, StreamKind::Events, |_| {}).await;
    delivers_with_all_requests(&bench, 300).await;
}

/// An endpoint far away that objects to nothing gets as much of what is parked as of anything else.
#[tokio::test(start_paused = true)]
async fn what_is_parked_goes_with_more_requests_than_one_once_it_arrives() {
    let mut bench = far_away().await;
    bench.send(300).await;
    bench.pass(Duration::from_mins(2)).await;
    bench.otherwise(|_| busy());
    bench.send(200).await;
    bench.pass(Duration::from_mins(2)).await;
    let account = bench.events_account().await;
    assert!(account.counts.failed >= 16, "{account:?}");
    bench.otherwise(|_| success());
    bench.stop().await;
    let before = bench.seen().len();
    let parked = account.counts.failed;
    bench.save(Resume::Now, |_| {}).await;
    bench.start(WEBHOOK);
    bench.pass(Duration::from_mins(10)).await;
    let account = bench.events_account().await;
    assert_eq!(account.counts.failed, 0, "{account:?}");
    let most = most_at_once(&bench.seen()[before..], SECOND);
    assert!(most > 2, "{parked} parked, {most} at once: {:?}", bench.times());
}
