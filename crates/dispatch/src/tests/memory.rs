//! What all workers together hold of events.

use toktra_siem_core::job::JobKind;

use super::*;
use crate::memory::Memory;

const CONNECTORS: u128 = 100;
const EVENTS: usize = 500;
const ALL: usize = 64 << 10;
const ONE: usize = 4 << 10;

impl Bench {
    /// Many connectors to receivers that take ten seconds for each request, with a budget that one of them could use up.
    async fn many_and_slow() -> (Self, Arc<Memory>) {
        let mut bench = Self::splunk().await;
        bench.stop().await;
        *bench.endpoint.takes.lock() = Duration::from_secs(10);
        for n in 1..CONNECTORS {
            let mut value = bench.store.connector(ORG, CONNECTOR).await.unwrap();
            value.connector.id = ConnectorId(Uuid::from_u128(CONNECTOR.0.as_u128() + n));
            value.connector.name = format!("test {n}");
            bench.store.create_connector(ORG, Change { value, audit: audit() }).await.unwrap();
        }
        let (memory, old) = (Arc::new(Memory::new(ALL, ONE)), Arc::clone(&bench.ctx));
        let (store, node, clock) = (old.store.clone(), old.node.clone(), old.clock.clone());
        let (random, links, registry) = (old.random.clone(), old.links.clone(), old.registry.clone());
        let ctx = Context::new(store, node, clock, random, links, registry, old.telemetry.clone());
        bench.ctx = Arc::new(Context { memory: Arc::clone(&memory), ..ctx });
        (bench, memory)
    }

    fn start_all(&mut self) {
        self.control = (watch::Sender::new(0), CancellationToken::new(), CancellationToken::new());
        for n in 0..CONNECTORS {
            let connector = ConnectorId(Uuid::from_u128(CONNECTOR.0.as_u128() + n));
            self.work(StreamId { connector, kind: StreamKind::Events });
        }
    }

    async fn all_delivered(&self) -> bool {
        for n in 0..CONNECTORS {
            let connector = ConnectorId(Uuid::from_u128(CONNECTOR.0.as_u128() + n));
            let record = self.store.stream(StreamId { connector, kind: StreamKind::Events }).await.unwrap();
            if record.accounting().counts.delivered != i64::try_from(EVENTS).unwrap() {
                return false;
            }
        }
        true
    }
}

/// The budget, and a small batch of each worker, which may be larger by one event than it should be.
fn bound() -> usize {
    ALL + usize::try_from(CONNECTORS).unwrap() * (ONE + 400)
}

/// However many connectors are slow and however much waits, what is in memory has one bound.
#[tokio::test(start_paused = true)]
async fn slow_receivers_of_many_connectors_with_much_to_send_hold_no_more_than_the_budget() {
    let (mut bench, memory) = Bench::many_and_slow().await;
    bench.send(EVENTS).await;
    bench.start_all();
    bench.pass(Duration::from_mins(2)).await;
    assert!(!bench.all_delivered().await, "there is more to send than the budget takes at once");
    // What is under way is lost with the process; the next one reads it again.
    bench.workers.drain(..).for_each(|worker| worker.abort());
    bench.pass(Duration::from_mins(1)).await;
    bench.start_all();
    bench.pass(Duration::from_mins(30)).await;
    assert!(bench.all_delivered().await);
    let (held, most) = memory.held();
    assert!(held == 0 && most <= bound(), "{held} held, {most} at most");
    let carried = bench.endpoint.carried.lock().1;
    assert!(carried <= 2 * bound(), "{carried} bytes of requests at once");
}

#[tokio::test(start_paused = true)]
async fn a_job_and_a_range_keep_to_the_budget_as_well() {
    let (mut bench, memory) = Bench::many_and_slow().await;
    bench.save(Resume::Backlog, |c| c.active = false).await;
    bench.send(EVENTS).await;
    bench.save(Resume::Backlog, |c| c.active = true).await;
    bench.start_all();
    bench.pass(Duration::from_mins(30)).await;
    assert!(bench.all_delivered().await);
    bench.ask(JobKind::Replay, StreamKind::Events, |_| {}).await;
    let before = bench.seen().len();
    bench.pass(Duration::from_mins(10)).await;
    assert_eq!(bench.seen()[before..].iter().map(events_in).sum::<usize>(), EVENTS);
    let (held, most) = memory.held();
    assert!(held == 0 && most <= bound(), "{held} held, {most} at most");
}
