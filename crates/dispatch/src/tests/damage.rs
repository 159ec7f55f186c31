//! Damaged events: whatever held one goes on without it, and no stream, probe, job or window waits for one.

use toktra_siem_core::breaker::{Breaker, OpenKind};
use toktra_siem_core::delivery::Trigger;
use toktra_siem_core::ids::{DeliveryId, JobId, RangeId};
use toktra_siem_core::job::{Job, JobKind, JobState};
use toktra_siem_core::members::Members;
use toktra_siem_store::{Broken, Open, Passed, Taken};

use super::*;

const EVENTS: StreamId = StreamId { connector: CONNECTOR, kind: StreamKind::Events };
const MINUTE: Duration = Duration::from_mins(1);

impl Bench {
    /// Events that the stream has to read, and that are damaged before it does.
    async fn send_to_be_read(&mut self, kind: StreamKind, count: usize, damaged: impl IntoIterator<Item = u64>) {
        self.store.withdraw(ORG, StreamId { connector: CONNECTOR, kind });
        self.send(count).await;
        self.damage(damaged);
        self.pass(MINUTE).await;
    }

    fn damage(&self, seqs: impl IntoIterator<Item = u64>) {
        seqs.into_iter().for_each(|seq| self.store.damage(ORG, Seq(seq), Broken::Payload));
    }

    /// Opens the breaker while no worker is there, and sets what waits apart if asked to. The next worker probes at once.
    async fn interrupted(&self, apart: bool) {
        let lease = self.lease(EVENTS).await;
        let (cause, now) = (Cause::new("down", "It is down."), self.ctx.clock.now());
        let breaker = Breaker::Open { kind: OpenKind::Down, cause, since: now, failures: 3, probe_at: now };
        if apart {
            let id = RangeId(Uuid::from_u128(9));
            self.store.recover(&lease, id, Trigger::Recovery, breaker, now).await.unwrap();
        } else {
            self.store.set_breaker(&lease, breaker).await.unwrap();
        }
    }

    /// Delivered and damaged; nothing else is anywhere, and nothing keeps the stream.
    async fn came_to(&self, delivered: i64, damaged: i64) {
        let account = self.events_account().await;
        let counts = account.counts;
        assert_eq!((counts.delivered, counts.damaged), (delivered, damaged), "{account:?}");
        assert_eq!((counts.total(), account.undelivered()), (delivered + damaged, 0), "{account:?}");
        assert!(self.store.stream(EVENTS).await.unwrap().breaker.is_closed());
        assert_eq!(self.ctx.warnings.failing(EVENTS), None);
    }
}

/// Once the endpoint is back, what waits behind hundreds of damaged events of an outage does not wait a while for each of them.
#[tokio::test(start_paused = true)]
async fn a_damaged_run_of_an_outage_holds_nothing_up() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(|_| busy());
    bench.send(400).await;
    bench.pass(MINUTE).await;
    bench.damage(1..=390);
    bench.send(5).await;
    bench.otherwise(|_| success());
    bench.pass(MINUTE).await;
    bench.came_to(15, 390).await;
}

#[tokio::test(start_paused = true)]
async fn fresh_events_flow_past_it_wherever_it_lies() {
    let mut bench = Bench::splunk().await;
    for (count, damaged) in [(3, vec![2]), (3, vec![4, 6]), (1, vec![7]), (2, vec![8, 9]), (1, vec![])] {
        bench.send_to_be_read(StreamKind::Events, count, damaged).await;
    }
    bench.came_to(4, 6).await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_nothing_can_be_read_is_not_taken_for_gone() {
    let mut bench = Bench::splunk().await;
    for seq in 1..=200 {
        bench.send(1).await;
        if seq % 2 == 1 {
            bench.damage([seq]);
        }
        tokio::task::yield_now().await;
    }
    bench.pass(MINUTE).await;
    bench.came_to(100, 100).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_parked_goes_without_it_and_none_is_left_behind() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(|_| busy());
    bench.send(5).await;
    bench.pass(MINUTE).await;
    assert_eq!(bench.events_account().await.counts.failed, 5);
    bench.damage([1, 3, 5]);
    bench.otherwise(|_| success());
    bench.pass(MINUTE).await;
    bench.came_to(2, 3).await;
}

#[tokio::test(start_paused = true)]
async fn where_all_that_is_parked_is_damaged_the_next_event_is_the_probe() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(|_| busy());
    bench.send(3).await;
    bench.pass(MINUTE).await;
    bench.damage([1, 2, 3]);
    bench.otherwise(|_| success());
    bench.pass(MINUTE).await;
    bench.send(1).await;
    bench.pass(MINUTE).await;
    bench.came_to(1, 3).await;
}

/// A probe that found nothing readable in a range stayed there for ever.
#[tokio::test(start_paused = true)]
async fn a_probe_passes_a_range_of_nothing_else() {
    let mut bench = Bench::splunk().await;
    bench.stop().await;
    bench.send(3).await;
    bench.damage([1, 2, 3]);
    bench.interrupted(true).await;
    bench.start(SPLUNK);
    bench.send(1).await;
    bench.pass(MINUTE).await;
    bench.came_to(1, 3).await;
}

/// The same behind the cursor: what waits does not wait for an event that may never come.
#[tokio::test(start_paused = true)]
async fn a_probe_passes_what_waits_and_is_damaged() {
    let mut bench = Bench::splunk().await;
    bench.stop().await;
    bench.send(2).await;
    bench.damage([1, 2]);
    bench.interrupted(false).await;
    bench.start(SPLUNK);
    bench.pass(MINUTE).await;
    let account = bench.events_account().await;
    assert_eq!((account.counts.damaged, account.waiting), (2, 0));
    bench.send(1).await;
    bench.pass(MINUTE).await;
    bench.came_to(1, 2).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_pinned_goes_without_it_after_a_restart() {
    let mut bench = Bench::splunk().await;
    bench.answer([busy()]);
    bench.send(3).await;
    bench.pass(Duration::from_millis(100)).await;
    assert_eq!(bench.seen().len(), 1);
    bench.stop().await;
    bench.damage([2]);
    bench.start(SPLUNK);
    bench.pass(MINUTE).await;
    bench.came_to(2, 1).await;
    let (delivery, _) = bench.history().await.pop().unwrap();
    assert_eq!(delivery.cause, Some(Cause::payload_damaged()));
}

/// Ten rejections of single events in a row say something of the endpoint; ten damaged ones say something of our disk.
#[tokio::test(start_paused = true)]
async fn any_number_of_them_opens_no_breaker() {
    let mut bench = Bench::splunk().await;
    bench.stop().await;
    bench.send(12).await;
    let lease = bench.lease(EVENTS).await;
    for seq in 1..=12 {
        let members = Members::from_ascending([Seq(seq)]);
        let id = DeliveryId(Uuid::from_u128(seq.into()));
        let delivery = Delivery::new(id, ORG, EVENTS, Trigger::Live, members, bench.ctx.clock.now());
        let (from, to, passed) = (Seq(seq - 1), Seq(seq), Passed::default());
        let taken = Taken::Live { from, to, passed, revision: Revision(1) };
        bench.store.open(&lease, Open { deliveries: vec![delivery], taken, job: None }).await.unwrap();
    }
    bench.damage(1..=12);
    bench.start(SPLUNK);
    bench.pass(MINUTE).await;
    bench.came_to(0, 12).await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_comes_to_its_end_also_as_the_only_thing_to_probe_with() {
    let mut bench = Bench::splunk().await;
    bench.send(4).await;
    bench.pass(MINUTE).await;
    bench.stop().await;
    let now = bench.ctx.clock.now();
    let id = JobId(Uuid::from_u128(77));
    let mut job = Job::new(id, ORG, CONNECTOR, JobKind::Replay, "somebody".into(), now);
    job.stream = Some(StreamKind::Events);
    job.begin(bench.store.job_scope(ORG, &job).await.unwrap(), now);
    bench.store.create_job(ORG, Change { value: job, audit: audit() }).await.unwrap();
    bench.damage(1..=4);
    bench.interrupted(false).await;
    bench.start(SPLUNK);
    bench.pass(MINUTE).await;
    let job = bench.store.job(ORG, id).await.unwrap();
    assert_eq!((job.state, job.passed), (JobState::Done, 4));
    bench.send(1).await;
    bench.pass(MINUTE).await;
    bench.came_to(5, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_window_counts_the_others_and_none_waits_for_one_that_is_damaged() {
    let mut bench = Bench::new(DATADOG, json!({"api_key": "0123456789abcdef0123456789abcdef"})).await;
    bench.otherwise(|_| Ok(Reply { status: 202, ..Reply::default() }));
    bench.send_to_be_read(StreamKind::Logs, 5, [1, 3]).await;
    bench.send_to_be_read(StreamKind::Logs, 2, [6, 7]).await;
    for kind in [StreamKind::Logs, StreamKind::Metrics] {
        let account = bench.account(kind).await;
        assert_eq!((account.counts.delivered, account.counts.damaged, account.pending()), (3, 4, 0), "{kind:?}");
    }
}
