//! What an outage leaves behind: one row of the history, a few lines of the log, and each event counted once.

use std::fmt::Write as _;

use toktra_siem_core::delivery::Status;
use toktra_siem_core::outage::{FIRST_PROBES, LAST_PROBES, Lasts};
use toktra_siem_core::traffic::Traffic;
use toktra_siem_store::Insight as _;
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata, Subscriber, span};

use super::*;

/// Keeps the lines of the log that a person would see.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                if ["message", "state", "cause", "down_seconds", "probes"].contains(&field.name()) {
                    let _ = write!(self.0, " {}={value:?}", field.name());
                }
            }
        }
        let mut text = Text(event.metadata().level().to_string());
        event.record(&mut text);
        self.0.lock().push(text.0);
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_one_row_and_a_line_for_its_beginning_each_cause_and_its_end() {
    let lines = Lines::default();
    // While there is one alone, a line that another test's thread comes to first is taken for one that nobody wants.
    let _other = tracing::Dispatch::new(Lines::default());
    let _logging = tracing::subscriber::set_default(lines.clone());
    let mut bench = Bench::splunk().await;
    bench.otherwise(|_| busy());
    bench.send(2).await;
    bench.pass(Duration::from_hours(1)).await;
    bench.stop().await;
    bench.start(SPLUNK);
    bench.pass(Duration::from_hours(1)).await;
    bench.otherwise(|_| invalid_token());
    bench.pass(Duration::from_mins(10)).await;
    bench.otherwise(|_| busy());
    bench.pass(Duration::from_mins(10)).await;
    let probes = bench.seen().len() - 3;
    assert!(probes > 300, "{probes}");
    let history = bench.history().await;
    assert_eq!(history.len(), 2, "the delivery that failed, and the outage");
    let (row, attempts) = &history[1];
    assert_eq!((row.status, row.probe, row.attempts as usize), (Status::Failed, true, probes));
    assert_eq!(attempts.len(), (FIRST_PROBES + LAST_PROBES) as usize);
    let Some(Lasts { since, until: None }) = row.outage else { panic!("{:?}", row.outage) };

    bench.otherwise(|_| success());
    bench.pass(Duration::from_mins(10)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 2);
    let history = bench.history().await;
    let row = &history[1].0;
    let until = row.outage.unwrap().until.unwrap();
    assert!(until.since(since) > Duration::from_mins(140), "{row:?}");
    assert_eq!(history.iter().filter(|(delivery, _)| delivery.status == Status::Failed).count(), 2);

    let told = lines.0.lock().join("\n");
    let failed = told.lines().filter(|line| line.starts_with("WARN")).count();
    assert_eq!(failed, 3, "a delivery failed, the breaker opens, another cause: {told}");
    assert_eq!(told.matches("for a different reason").count(), 1, "{told}");
    let closing = told.lines().find(|line| line.contains("the breaker closes")).unwrap();
    assert!(closing.contains(&format!("probes={}", row.attempts)), "{closing}");
}

#[tokio::test(start_paused = true)]
async fn each_event_counts_once_however_often_it_fails() {
    let mut bench = Bench::splunk().await;
    bench.otherwise(|_| busy());
    bench.send(2).await;
    bench.pass(Duration::from_mins(30)).await;
    bench.ctx.traffic.flush(&*bench.ctx.store, bench.ctx.clock.now()).await.unwrap();
    let rows = bench.store.traffic(ORG, CONNECTOR, Timestamp(0), Timestamp(i64::MAX)).await.unwrap();
    let mut sum = Traffic::default();
    for row in &rows {
        sum += &row.traffic;
    }
    assert_eq!((sum.failed, sum.lag), (2, 2));
    assert!(sum.attempts > 80 && sum.attempts == sum.attempts_failed, "{sum:?}");
}
