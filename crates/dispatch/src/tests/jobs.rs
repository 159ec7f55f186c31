//! What a person asks to be sent again: beside everything else, exactly once where nothing goes wrong, and never at the cost of a stream.

use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::delivery::{ParkKind, Status, Trigger};
use toktra_siem_core::ids::{DeliveryId, JobId};
use toktra_siem_core::job::{Job, JobKind, JobState};
use toktra_siem_store::{HistoryQuery, JobStore as _};

use super::*;

/// Splunk's word for an event that it will never take.
fn poison() -> Answer {
    reply(400, &json!({"text": "Invalid data format", "code": 6, "invalid-event-number": 0}))
}

/// As many events as come to a few batches in all.
const BATCH: usize = 1_000;

impl Bench {
    /// With one request at a time.
    async fn one_at_a_time() -> Self {
        let config = json!({"hec_url": "https://splunk.example:8088", "hec_token": "token", "max_in_flight": 1});
        Self::new(SPLUNK, config).await
    }

    /// Makes a job as somebody asks for it, and tells the workers.
    pub(super) async fn ask(&self, kind: JobKind, stream: StreamKind, change: impl FnOnce(&mut Job)) -> JobId {
        let now = self.ctx.clock.now();
        let id = JobId(self.ctx.random.uuid_v7(now));
        let mut job = Job::new(id, ORG, CONNECTOR, kind, "somebody".into(), now);
        job.stream = Some(stream);
        change(&mut job);
        let scope = self.store.job_scope(ORG, &job).await.unwrap();
        job.begin(scope, now);
        let job = self.store.create_job(ORG, Change { value: job, audit: audit() }).await.unwrap();
        self.jobs.send_modify(|changes| *changes += 1);
        job.id
    }

    async fn job(&self, id: JobId) -> Job {
        self.store.job(ORG, id).await.unwrap()
    }

    async fn of_job(&self, id: JobId) -> Vec<Delivery> {
        let query = HistoryQuery { job: Some(id), limit: 10_000, ..HistoryQuery::default() };
        let page = self.store.history(ORG, query).await.unwrap();
        page.items.into_iter().map(|item| item.delivery).collect()
    }

    async fn cancel(&self, id: JobId) {
        self.store.cancel_job(ORG, id, audit()).await.unwrap();
        self.jobs.send_modify(|changes| *changes += 1);
    }

    async fn breaker(&self) -> Breaker {
        let stream = StreamId { connector: CONNECTOR, kind: StreamKind::Events };
        self.store.stream(stream).await.unwrap().breaker
    }

    /// How often each event was sent, in whatever request.
    fn times_sent(&self) -> std::collections::BTreeMap<String, usize> {
        let mut times = std::collections::BTreeMap::new();
        for seen in self.seen() {
            for part in String::from_utf8_lossy(&seen.body).split("\"event_id\":\"").skip(1) {
                *times.entry(part[..36].to_owned()).or_default() += 1;
            }
        }
        times
    }
}

fn events_in_all(seen: &[Seen]) -> usize {
    seen.iter().map(events_in).sum()
}

#[tokio::test(start_paused = true)]
async fn what_was_rejected_arrives_once_the_siem_was_put_right() {
    let mut bench = Bench::splunk().await;
    bench.answer([poison(), poison(), poison()]);
    bench.send(1).await;
    bench.pass(Duration::from_secs(5)).await;
    bench.send(2).await;
    bench.pass(Duration::from_secs(1)).await;
    assert_eq!(bench.events_account().await.counts.rejected, 1);
    let job = bench.ask(JobKind::RedeliverFailed, StreamKind::Events, |_| {}).await;
    bench.pass(Duration::from_secs(1)).await;
    let done = bench.job(job).await;
    assert_eq!((done.state, done.total, done.delivered, done.processed()), (JobState::Done, 1, 1, 1));
    assert_eq!(bench.events_account().await.counts.delivered, 3);
    let [redelivery] = bench.of_job(job).await.try_into().unwrap();
    assert_eq!((redelivery.trigger, redelivery.status), (Trigger::Redelivery, Status::Delivered));
    assert_eq!(events_in_all(&bench.seen()), 6);
}

#[tokio::test(start_paused = true)]
async fn what_is_rejected_again_is_parked_again_and_holds_nothing() {
    let mut bench = Bench::splunk().await;
    for _ in 0..6 {
        bench.answer([poison(), poison(), poison(), success()]);
        bench.send(1).await;
        bench.pass(Duration::from_secs(5)).await;
        bench.send(1).await;
        bench.pass(Duration::from_secs(1)).await;
    }
    // Five times with others behind it, and each three times alone.
    bench.answer((0..5 + 6 * 3).map(|_| poison()));
    bench.send(6).await;
    bench.pass(Duration::from_secs(10)).await;
    assert_eq!(bench.events_account().await.counts.rejected, 12);
    bench.endpoint.script.lock().clear();
    bench.otherwise(|_| poison());
    let job = bench.ask(JobKind::RedeliverFailed, StreamKind::Events, |_| {}).await;
    bench.pass(Duration::from_secs(20)).await;
    let done = bench.job(job).await;
    assert_eq!((done.state, done.rejected, done.total), (JobState::Done, 12, 12));
    let account = bench.events_account().await;
    assert_eq!((account.counts.rejected, account.counts.failed), (12, 0));
    assert!(bench.breaker().await.is_closed(), "nothing new was learnt of the endpoint");
}

#[tokio::test(start_paused = true)]
async fn a_replay_sends_what_the_filter_matches_and_leaves_the_account_alone() {
    let mut bench = Bench::splunk().await;
    bench.send(3).await;
    let low = bench.event(EventType::Anomaly, Severity::Low);
    let low_id = low.event_id.to_string();
    bench.store.append(vec![low]).await.unwrap();
    bench.pass(Duration::from_secs(1)).await;
    let before = bench.events_account().await;
    let filter = Filter { severity: vec![Severity::High], ..Filter::default() };
    let job = bench.ask(JobKind::Replay, StreamKind::Events, |job| job.filter = filter).await;
    bench.pass(Duration::from_secs(1)).await;
    let done = bench.job(job).await;
    assert_eq!((done.state, done.total, done.delivered), (JobState::Done, 3, 3));
    assert_eq!(bench.events_account().await, before);
    assert_eq!(bench.of_job(job).await[0].trigger, Trigger::Replay);
    for (id, times) in bench.times_sent() {
        assert_eq!(times, if id == low_id { 1 } else { 2 }, "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn fresh_events_do_not_wait_behind_a_replay() {
    let mut bench = Bench::one_at_a_time().await;
    bench.send(20 * BATCH).await;
    bench.pass(Duration::from_secs(5)).await;
    *bench.endpoint.takes.lock() = Duration::from_secs(1);
    let job = bench.ask(JobKind::Replay, StreamKind::Events, |_| {}).await;
    bench.pass(Duration::from_millis(1_500)).await;
    bench.send(1).await;
    bench.pass(Duration::from_millis(2_500)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 20 * 1_000 + 1);
    let moving = bench.job(job).await;
    assert_eq!(moving.state, JobState::Open, "{moving:?}");
    bench.pass(Duration::from_mins(1)).await;
    let done = bench.job(job).await;
    assert_eq!((done.state, done.delivered), (JobState::Done, 20 * 1_000));
}

#[tokio::test(start_paused = true)]
async fn an_outage_costs_a_replay_one_batch_and_its_own_events_find_out_when_it_is_over() {
    let mut bench = Bench::one_at_a_time().await;
    bench.send(5 * BATCH).await;
    bench.pass(Duration::from_secs(5)).await;
    let before = bench.seen().len();
    bench.otherwise(|_| busy());
    let job = bench.ask(JobKind::Replay, StreamKind::Events, |_| {}).await;
    bench.pass(Duration::from_mins(30)).await;
    let waiting = bench.job(job).await;
    assert!(!bench.breaker().await.is_closed());
    assert!(waiting.failed > 0 && waiting.failed < 5_000, "{waiting:?}");
    assert_eq!((waiting.state, waiting.pending, waiting.processed()), (JobState::Open, 0, waiting.failed));
    let probes = bench.seen()[before..].iter().filter(|seen| events_in(seen) == 1).count();
    assert!(probes > 50, "{probes} probes");
    bench.otherwise(|_| success());
    bench.pass(Duration::from_mins(1)).await;
    let done = bench.job(job).await;
    assert_eq!((done.state, done.failed, done.delivered), (JobState::Done, waiting.failed, 5_000 - waiting.failed));
    assert_eq!(bench.events_account().await.counts.delivered, 5_000);
    assert!(bench.breaker().await.is_closed());
}

#[tokio::test(start_paused = true)]
async fn an_outage_costs_a_replay_one_batch_however_many_are_in_flight() {
    let mut bench = Bench::splunk().await;
    bench.send(8 * BATCH).await;
    bench.pass(Duration::from_secs(5)).await;
    // Requests that take a while and are many at once, so that several are in flight when the outage begins.
    *bench.endpoint.takes.lock() = Duration::from_millis(200);
    bench.otherwise(|_| busy());
    let job = bench.ask(JobKind::Replay, StreamKind::Events, |_| {}).await;
    bench.pass(Duration::from_millis(100)).await;
    assert!(bench.job(job).await.pending > 1_000, "several batches are in flight");
    bench.pass(Duration::from_mins(10)).await;
    let waiting = bench.job(job).await;
    assert_eq!(waiting.state, JobState::Open, "{waiting:?}");
    let first = bench.of_job(job).await.iter().map(Delivery::events).max().unwrap();
    assert!(waiting.failed <= first && waiting.pending > 0 && !bench.breaker().await.is_closed(), "{waiting:?}");
    bench.otherwise(|_| success());
    bench.pass(Duration::from_mins(2)).await;
    let done = bench.job(job).await;
    assert_eq!((done.state, done.failed, done.delivered), (JobState::Done, waiting.failed, 8_000 - waiting.failed));
    assert!(bench.breaker().await.is_closed());
}

#[tokio::test(start_paused = true)]
async fn what_was_pinned_and_never_tried_finds_out_that_the_siem_is_back() {
    let mut bench = Bench::splunk().await;
    bench.send(6 * BATCH).await;
    bench.pass(Duration::from_secs(5)).await;
    *bench.endpoint.takes.lock() = Duration::from_millis(200);
    bench.otherwise(|_| busy());
    let job = bench.ask(JobKind::Replay, StreamKind::Events, |_| {}).await;
    bench.pass(Duration::from_mins(1)).await;
    // Nothing is parked, nothing is fresh, and no job has more: what is left was pinned.
    bench.cancel(job).await;
    bench.stop().await;
    bench.start(SPLUNK);
    bench.pass(Duration::from_mins(1)).await;
    let pinned = bench.job(job).await;
    assert!(pinned.pending > 0, "{pinned:?}");
    bench.otherwise(|_| success());
    bench.pass(Duration::from_mins(2)).await;
    let done = bench.job(job).await;
    assert_eq!((done.pending, done.delivered), (0, pinned.pending), "{done:?}");
    assert!(bench.breaker().await.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_where_the_job_stood() {
    let mut bench = Bench::one_at_a_time().await;
    bench.send(8 * BATCH).await;
    bench.pass(Duration::from_secs(5)).await;
    *bench.endpoint.takes.lock() = Duration::from_secs(1);
    let job = bench.ask(JobKind::Replay, StreamKind::Events, |_| {}).await;
    bench.pass(Duration::from_millis(2_500)).await;
    bench.stop().await;
    let halfway = bench.job(job).await;
    assert!(halfway.processed() > 0 && halfway.processed() < 8_000, "{halfway:?}");
    bench.start(SPLUNK);
    bench.pass(Duration::from_mins(1)).await;
    let done = bench.job(job).await;
    assert_eq!((done.state, done.delivered), (JobState::Done, 8_000));
    assert!(bench.times_sent().values().all(|times| *times == 2));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_a_job() {
    let mut bench = Bench::one_at_a_time().await;
    bench.send(8 * BATCH).await;
    bench.pass(Duration::from_secs(5)).await;
    *bench.endpoint.takes.lock() = Duration::from_secs(1);
    let job = bench.ask(JobKind::Replay, StreamKind::Events, |_| {}).await;
    bench.pass(Duration::from_millis(1_500)).await;
    bench.control.2.cancel();
    for worker in bench.workers.drain(..) {
        worker.await.unwrap();
    }
    let left = bench.job(job).await;
    assert_eq!((left.state, left.pending), (JobState::Open, 0));
    assert!(left.processed() < 8_000, "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_finishes_what_is_on_its_way_and_opens_nothing_more() {
    let mut bench = Bench::one_at_a_time().await;
    bench.send(8 * BATCH).await;
    bench.pass(Duration::from_secs(5)).await;
    *bench.endpoint.takes.lock() = Duration::from_secs(1);
    let job = bench.ask(JobKind::Replay, StreamKind::Events, |_| {}).await;
    bench.pass(Duration::from_millis(1_500)).await;
    bench.cancel(job).await;
    let opened = bench.of_job(job).await.len();
    bench.pass(Duration::from_mins(1)).await;
    let ended = bench.job(job).await;
    assert_eq!(bench.of_job(job).await.len(), opened);
    assert_eq!((ended.state, ended.pending), (JobState::Cancelled, 0));
    assert!(ended.delivered > 0 && ended.delivered < 8_000, "{ended:?}");
    bench.send(1).await;
    bench.pass(Duration::from_secs(5)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 8_001);
}

#[tokio::test(start_paused = true)]
async fn one_delivery_goes_again_with_what_it_left_parked() {
    let mut bench = Bench::splunk().await;
    let second = reply(400, &json!({"text": "Invalid data format", "code": 6, "invalid-event-number": 1}));
    bench.answer([second, success(), poison(), poison(), poison()]);
    bench.send(3).await;
    bench.pass(Duration::from_secs(5)).await;
    let account = bench.events_account().await;
    assert_eq!((account.counts.delivered, account.counts.rejected), (2, 1));
    let first: DeliveryId = bench.history().await[0].0.id;
    let job = bench.ask(JobKind::Redeliver, StreamKind::Events, |job| job.delivery = Some(first)).await;
    bench.pass(Duration::from_secs(1)).await;
    let done = bench.job(job).await;
    assert_eq!((done.state, done.total, done.delivered), (JobState::Done, 3, 3));
    assert_eq!(bench.events_account().await.counts.delivered, 3);
    let mut made: Vec<_> = bench.of_job(job).await.iter().map(|d| (d.accounted, d.events())).collect();
    made.sort_unstable();
    assert_eq!(made, [(false, 2), (true, 1)]);
    assert!(bench.of_job(job).await.iter().all(|delivery| delivery.trigger == Trigger::Redelivery));
}

#[tokio::test(start_paused = true)]
async fn a_redelivery_and_the_automatic_one_do_not_fight_over_the_same_events() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(|_| busy());
    bench.send(3 * BATCH).await;
    bench.pass(Duration::from_secs(10)).await;
    let failed = bench.events_account().await.counts.failed;
    assert!(failed > 0);
    let job = bench.ask(JobKind::RedeliverFailed, StreamKind::Events, |_| {}).await;
    let before = bench.seen().len();
    bench.otherwise(|_| success());
    bench.pass(Duration::from_mins(1)).await;
    let done = bench.job(job).await;
    assert_eq!((done.state, done.processed()), (JobState::Done, done.total));
    let account = bench.events_account().await;
    assert_eq!((account.counts.delivered, account.counts.failed), (3_000, 0));
    assert_eq!(events_in_all(&bench.seen()[before..]), 3_000, "each exactly once");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_fails_again_holds_up_nobody_and_is_tried_later() {
    let mut bench = Bench::splunk().await;
    bench.answer([poison(), poison(), poison()]);
    bench.send(1).await;
    bench.pass(Duration::from_secs(5)).await;
    let bad = bench.delivered_ids().into_iter().next().unwrap();
    bench.otherwise(
        move |request| {
            if String::from_utf8_lossy(&request.body).contains(&bad) { busy() } else { success() }
        },
    );
    let job = bench.ask(JobKind::RedeliverFailed, StreamKind::Events, |_| {}).await;
    bench.pass(Duration::from_millis(100)).await;
    bench.send(5).await;
    bench.pass(Duration::from_millis(100)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 5, "fresh events go on");
    bench.pass(Duration::from_secs(10)).await;
    let done = bench.job(job).await;
    assert_eq!((done.state, done.failed), (JobState::Done, 1));
    assert!(bench.breaker().await.is_closed());
    let stream = StreamId { connector: CONNECTOR, kind: StreamKind::Events };
    let parked = bench.store.parked(stream, ParkKind::Failed, Seq(0), 9).await.unwrap();
    assert_eq!(parked.len(), 1, "as failed now: it is sent again in its turn");
    bench.otherwise(|_| success());
    bench.pass(Duration::from_mins(2)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 6);
}

#[tokio::test(start_paused = true)]
async fn jobs_of_a_stream_go_one_after_the_other() {
    let mut bench = Bench::splunk().await;
    bench.send(10).await;
    bench.pass(Duration::from_secs(1)).await;
    *bench.endpoint.takes.lock() = Duration::from_secs(1);
    let first = bench.ask(JobKind::Replay, StreamKind::Events, |_| {}).await;
    bench.pass(Duration::from_millis(1)).await;
    let second = bench.ask(JobKind::RedeliverFailed, StreamKind::Events, |job| job.from = Some(START)).await;
    assert_eq!(bench.job(second).await.state, JobState::Done, "nothing failed: it is about nothing");
    let third = bench.ask(JobKind::Replay, StreamKind::Events, |_| {}).await;
    bench.pass(Duration::from_millis(500)).await;
    assert_eq!((bench.of_job(first).await.len(), bench.of_job(third).await.len()), (1, 0));
    bench.pass(Duration::from_secs(10)).await;
    assert_eq!(bench.job(first).await.delivered, 10);
    // What the first has just brought may still be on its way to the record: then it is passed over.
    let third = bench.job(third).await;
    assert_eq!((third.state, third.delivered + third.passed), (JobState::Done, 10));
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_already_is_passed_over() {
    let mut bench = Bench::splunk().await;
    *bench.endpoint.takes.lock() = Duration::from_secs(10);
    bench.send(5).await;
    bench.pass(Duration::from_secs(1)).await;
    let job = bench.ask(JobKind::Replay, StreamKind::Events, |_| {}).await;
    bench.pass(Duration::from_secs(20)).await;
    let done = bench.job(job).await;
    assert_eq!((done.state, done.total, done.passed, done.delivered), (JobState::Done, 5, 5, 0));
    assert!(bench.times_sent().values().all(|times| *times == 1));
    assert_eq!(bench.events_account().await.counts.delivered, 5);
}

#[tokio::test(start_paused = true)]
async fn a_lost_hint_costs_half_a_minute() {
    let mut bench = Bench::splunk().await;
    bench.send(1).await;
    bench.pass(Duration::from_secs(1)).await;
    let told = std::mem::replace(&mut bench.jobs, watch::Sender::new(0));
    let job = bench.ask(JobKind::Replay, StreamKind::Events, |_| {}).await;
    bench.pass(Duration::from_secs(31)).await;
    assert_eq!(bench.job(job).await.state, JobState::Done);
    drop(told);
}

#[tokio::test(start_paused = true)]
async fn datadogs_logs_are_replayed_and_its_metrics_are_not() {
    let mut bench = Bench::new(DATADOG, json!({"api_key": "key", "site": "datadoghq.eu"})).await;
    bench.otherwise(|_| reply(202, &json!({})));
    bench.send(4).await;
    bench.pass(Duration::from_secs(30)).await;
    let (logs, metrics) = (bench.account(StreamKind::Logs).await, bench.account(StreamKind::Metrics).await);
    let before = bench.seen().len();
    let job = bench.ask(JobKind::Replay, StreamKind::Logs, |_| {}).await;
    bench.pass(Duration::from_secs(30)).await;
    assert_eq!(bench.job(job).await.delivered, 4);
    let again = &bench.seen()[before..];
    assert!(again.len() == 1 && again[0].url.contains("/api/v2/logs"), "{again:?}");
    assert_eq!((bench.account(StreamKind::Logs).await, bench.account(StreamKind::Metrics).await), (logs, metrics));
    let stream = StreamId { connector: CONNECTOR, kind: StreamKind::Metrics };
    assert_eq!(bench.store.next_job(stream).await.unwrap(), None);
}
