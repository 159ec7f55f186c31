//! Events that are pinned by the transaction that accepts them, and what happens to the stream at the same moment.

use toktra_siem_core::delivery::Status;

use super::*;

const EVENTS: StreamId = StreamId { connector: CONNECTOR, kind: StreamKind::Events };
const MOMENT: Duration = Duration::from_millis(50);

impl Bench {
    /// A stream that has caught up and has made its offer.
    async fn keeping_up() -> Self {
        let bench = Self::splunk().await;
        bench.pass(MOMENT).await;
        bench
    }

    async fn pinned(&self) -> usize {
        self.store.pending(EVENTS).await.unwrap().len()
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_is_pinned_at_once_and_sent_as_it_was_accepted() {
    let mut bench = Bench::keeping_up().await;
    for sent in 1..=3 {
        bench.send(2).await;
        assert_eq!((bench.pinned().await, bench.seen().len()), (1, sent - 1), "before the worker has looked");
        bench.pass(MOMENT).await;
        assert_eq!((bench.pinned().await, bench.seen().len()), (0, sent));
    }
    let counts = bench.events_account().await.counts;
    assert_eq!((counts.delivered, counts.total()), (6, 6));
}

#[tokio::test(start_paused = true)]
async fn what_a_filter_refuses_is_passed_by() {
    let mut bench = Bench::keeping_up().await;
    let only = Filter { severity: vec![Severity::Low], ..Filter::default() };
    bench.save(Resume::Backlog, |connector| connector.filter = only).await;
    bench.pass(MOMENT).await;
    for severity in [Severity::High, Severity::Low] {
        let event = bench.event(EventType::Anomaly, severity);
        bench.store.append(vec![event]).await.unwrap();
        bench.pass(MOMENT).await;
    }
    let counts = bench.events_account().await.counts;
    assert_eq!((counts.filtered, counts.delivered, bench.seen().len()), (1, 1, 1));
}

/// Switched off in the same moment, nothing is sent any more; the next start sends it, once.
#[tokio::test(start_paused = true)]
async fn what_was_pinned_as_the_stream_was_stopped_waits_for_its_start() {
    let mut bench = Bench::keeping_up().await;
    bench.send(1).await;
    bench.stop().await;
    assert_eq!((bench.pinned().await, bench.seen().len()), (1, 0));
    assert_eq!(bench.ctx.memory.held().0, 0, "of the budget nothing is kept");
    bench.start(SPLUNK);
    bench.pass(MOMENT).await;
    assert_eq!((bench.seen().len(), bench.events_account().await.counts.delivered), (1, 1));
}

/// Whoever was told that a save is done finds nothing sent by the settings of before.
#[tokio::test(start_paused = true)]
async fn what_was_pinned_before_a_save_is_sent_by_the_new_settings() {
    let mut bench = Bench::keeping_up().await;
    bench.send(1).await;
    bench
        .save(Resume::Backlog, |connector| {
            connector.settings.config.insert("hec_url".to_owned(), json!("https://other.example:8088"));
        })
        .await;
    bench.pass(Duration::from_secs(1)).await;
    let seen = bench.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].url.starts_with("https://other.example:8088/"), "{}", seen[0].url);
    assert_eq!(bench.events_account().await.counts.delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_drain_sends_what_was_pinned() {
    let mut bench = Bench::keeping_up().await;
    bench.send(1).await;
    bench.control.2.cancel();
    for worker in bench.workers.drain(..) {
        worker.await.unwrap();
    }
    assert_eq!((bench.seen().len(), bench.events_account().await.counts.delivered), (1, 1));
}

/// A failure holds up what comes after it, as it does without offers.
#[tokio::test(start_paused = true)]
async fn nothing_is_offered_while_a_retry_waits() {
    let mut bench = Bench::keeping_up().await;
    bench.answer([reply(503, &json!({}))]);
    bench.send(1).await;
    bench.pass(MOMENT).await;
    bench.send(1).await;
    bench.pass(Duration::from_millis(900)).await;
    assert_eq!((bench.seen().len(), bench.pinned().await), (1, 1), "only what failed");
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 2);
    let history = bench.history().await;
    assert!(history.iter().all(|(delivery, _)| delivery.status == Status::Delivered), "{history:?}");
}

/// Where the store does not take offers up, or drops them, everything goes as ever.
#[tokio::test(start_paused = true)]
async fn an_offer_that_comes_to_nothing_costs_nothing() {
    let mut bench = Bench::keeping_up().await;
    for _ in 0..5 {
        bench.store.withdraw(ORG, EVENTS);
        bench.pass(MOMENT).await;
        bench.send(1).await;
        assert_eq!(bench.pinned().await, 0, "it is not made again before the cursor has moved");
        bench.pass(MOMENT).await;
    }
    assert_eq!((bench.seen().len(), bench.events_account().await.counts.delivered), (5, 5));
}
