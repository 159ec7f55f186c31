//! Several nodes on one store: each stream has one owner, whatever becomes of the nodes.

use std::collections::{BTreeMap, BTreeSet};

use tokio::task::JoinHandle;
use toktra_siem_base::random::Random as _;
use toktra_siem_core::delivery::Status;
use toktra_siem_core::ids::NodeId;

use super::*;
use crate::attempt::{self, Carried, Order, OwnFailure};
use crate::hub::{Hub, HubHandle};
use crate::node::HOLDS;

pub(super) const SECOND: Duration = Duration::from_secs(1);
/// Within this, at the latest, another has a dead node's streams: it is dead, and looked for.
pub(super) const TAKEN_OVER: Duration = Duration::from_secs(17);

/// A store, and connectors whose streams nobody has yet.
pub(super) struct Cluster {
    pub(super) bench: Bench,
    nodes: u64,
}

/// A process that delivers, with an endpoint of its own, so that it shows who sent what.
pub(super) struct Process {
    pub(super) ctx: Arc<Context>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) handle: HubHandle,
    drain: CancellationToken,
    leaves: CancellationToken,
    hub: JoinHandle<()>,
    node: JoinHandle<()>,
}

fn connector_id(n: u128) -> ConnectorId {
    ConnectorId(Uuid::from_u128(CONNECTOR.0.as_u128() + n))
}

pub(super) fn stream(n: u128) -> StreamId {
    StreamId { connector: connector_id(n), kind: StreamKind::Events }
}

pub(super) fn url(n: u128) -> String {
    format!("https://splunk-{n}.example:8088")
}

impl Cluster {
    pub(super) async fn new(connectors: u128) -> Self {
        let mut bench = Bench::splunk().await;
        bench.stop().await;
        bench.leaves.cancel();
        for n in 0..connectors {
            let mut value = bench.store.connector(ORG, CONNECTOR).await.unwrap();
            value.connector.id = connector_id(n);
            value.connector.name = format!("test {n}");
            value.connector.settings.config.insert("hec_url".to_owned(), json!(url(n)));
            let change = Change { value, audit: audit() };
            if n == 0 {
                let ConnectorRecord { connector, .. } = change.value;
                bench.save(Resume::Backlog, |saved| *saved = connector).await;
            } else {
                bench.store.create_connector(ORG, change).await.unwrap();
            }
        }
        bench.pass(Duration::from_millis(1)).await;
        Self { bench, nodes: 0 }
    }

    pub(super) async fn start(&mut self) -> Process {
        self.nodes += 1;
        let (old, since) = (&self.bench.ctx, self.bench.since);
        let endpoint = Arc::new(Endpoint {
            since,
            seen: Mutex::default(),
            script: Mutex::default(),
            otherwise: Mutex::new(Box::new(|_| success())),
            takes: Mutex::new(Duration::from_millis(1)),
            carried: Mutex::default(),
        });
        let (registry, store) = (old.registry.clone(), Arc::clone(&self.bench.store));
        let random = Arc::new(SeededRandom::new(100 + self.nodes));
        let (shared, name) = (old.store.clone(), format!("node {}", self.nodes));
        let node = Node::join(shared, old.clock.clone(), random.clone(), name).await.unwrap();
        let links = Arc::new(TestLinks { registry: registry.clone(), store, endpoint: endpoint.clone() });
        let (store, clock, telemetry) = (old.store.clone(), old.clock.clone(), old.telemetry.clone());
        let ctx = Context::new(store, node.clone(), clock, random, links, registry, telemetry);
        let ctx = Arc::new(Context { policy: old.policy.clone(), timing: old.timing, ..ctx });
        let (drain, leaves) = (CancellationToken::new(), CancellationToken::new());
        let (hub, handle) = Hub::new(ctx.clone(), drain.clone());
        let hub = tokio::spawn(async move { hub.run().await.unwrap() });
        let beats = node.run(leaves.clone());
        let node = tokio::spawn(async move { beats.await.unwrap() });
        Process { ctx, endpoint, handle, drain, leaves, hub, node }
    }

    /// Sends an event every 100 ms for so long.
    async fn send_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.bench.send(1).await;
            self.bench.pass(Duration::from_millis(100)).await;
        }
    }

    /// A second ago.
    fn before(&self) -> Duration {
        self.bench.since.elapsed().saturating_sub(SECOND)
    }

    /// All that was sent has arrived, and nothing was invented.
    pub(super) async fn all_delivered(&self, connectors: u128) -> bool {
        for n in 0..connectors {
            let record = self.bench.store.stream(stream(n)).await.unwrap();
            let accounting = record.accounting();
            assert!(accounting.adds_up(), "{accounting:?}");
            if accounting.counts.delivered.unsigned_abs() != accounting.accepted {
                return false;
            }
        }
        true
    }
}

impl Process {
    /// As `SIGKILL` does: nothing of it goes on, and it says good-bye to nobody.
    pub(super) async fn kill(&self) {
        self.hub.abort();
        self.node.abort();
        // Until all of its tasks are gone.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    /// As an orderly end does.
    pub(super) async fn stop(self) -> Arc<Endpoint> {
        self.drain.cancel();
        self.hub.await.unwrap();
        self.leaves.cancel();
        self.node.await.unwrap();
        self.endpoint
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.endpoint.seen.lock().clone()
    }

    /// How many requests it has made, for whichever connector.
    pub(super) fn requests(&self) -> usize {
        self.endpoint.seen.lock().len()
    }

    pub(super) fn takes(&self, time: Duration) {
        *self.endpoint.takes.lock() = time;
    }

    pub(super) fn answers(&self, answer: fn() -> Answer) {
        *self.endpoint.otherwise.lock() = Box::new(move |_| answer());
    }

    /// Keeps it away from the store as far as the cluster goes; what it has to say of deliveries arrives.
    fn cut_off(&self, bench: &Bench) -> NodeId {
        let id = self.ctx.node.member().id();
        bench.store.cut_off(id);
        id
    }
}

/// How often each event was sent for each connector, over all of these.
fn copies<'e>(endpoints: impl IntoIterator<Item = &'e Arc<Endpoint>>) -> BTreeMap<(String, String), usize> {
    let mut copies = BTreeMap::new();
    for endpoint in endpoints {
        for seen in endpoint.seen.lock().iter() {
            for id in ids(seen) {
                *copies.entry((seen.url.clone(), id)).or_default() += 1;
            }
        }
    }
    copies
}

fn ids(seen: &Seen) -> Vec<String> {
    String::from_utf8_lossy(&seen.body).split("\"event_id\":\"").skip(1).map(|part| part[..36].to_owned()).collect()
}

/// The connectors for which requests were made from that moment on.
pub(super) fn urls(endpoint: &Endpoint, from: Duration) -> BTreeSet<String> {
    endpoint.seen.lock().iter().filter(|seen| seen.at >= from).map(|seen| seen.url.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn one_node_takes_all_at_once_and_a_new_connector_too() {
    let mut cluster = Cluster::new(7).await;
    let one = cluster.start().await;
    cluster.bench.send(1).await;
    cluster.bench.pass(Duration::from_millis(5)).await;
    assert!(cluster.all_delivered(7).await && one.requests() == 7);
    let mut value = cluster.bench.store.connector(ORG, CONNECTOR).await.unwrap();
    (value.connector.id, value.connector.name) = (connector_id(7), "new".into());
    cluster.bench.store.create_connector(ORG, Change { value, audit: audit() }).await.unwrap();
    one.handle.connector_changed(ORG, connector_id(7));
    cluster.bench.send(1).await;
    cluster.bench.pass(Duration::from_millis(5)).await;
    assert!(cluster.all_delivered(8).await);
}

#[tokio::test(start_paused = true)]
async fn a_killed_node_is_taken_over_in_time() {
    for phase in 0..6 {
        let mut cluster = Cluster::new(4).await;
        let (one, other) = (cluster.start().await, cluster.start().await);
        cluster.bench.pass(SECOND * 10 + Duration::from_millis(500) * phase).await;
        one.kill().await;
        cluster.bench.send(1).await;
        let lives = SECOND * 11;
        cluster.bench.pass(lives).await;
        assert!(!cluster.all_delivered(4).await, "{phase}: it may live");
        assert_eq!(other.requests(), 2, "{phase}: its own");
        cluster.bench.pass(TAKEN_OVER.saturating_sub(lives)).await;
        assert!(cluster.all_delivered(4).await, "{phase}");
        assert!(copies([&one.endpoint, &other.endpoint]).values().all(|times| *times == 1), "{phase}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_gives_its_streams_away_drained() {
    let mut cluster = Cluster::new(4).await;
    let (one, other) = (cluster.start().await, cluster.start().await);
    cluster.send_for(SECOND * 10).await;
    for process in [&one, &other] {
        process.takes(Duration::from_millis(450));
    }
    cluster.send_for(SECOND).await;
    let (stopped, own) = (cluster.bench.since.elapsed(), urls(&one.endpoint, cluster.before()));
    assert_eq!(own.len(), 2);
    let one = tokio::spawn(one.stop());
    cluster.send_for(SECOND * 5).await;
    let one = one.await.unwrap();
    for url in &own {
        let of = |endpoint: &Endpoint| -> Vec<Duration> {
            endpoint.seen.lock().iter().filter(|seen| seen.url == *url).map(|seen| seen.at).collect()
        };
        let (last, next) = (of(&one).pop().unwrap(), of(&other.endpoint)[0]);
        assert!(last < stopped + SECOND, "it was told to end");
        assert!(next > last && next < last + SECOND * 2, "{last:?} {next:?}");
    }
    cluster.bench.pass(SECOND * 2).await;
    assert!(cluster.all_delivered(4).await);
    assert!(copies([&one, &other.endpoint]).values().all(|times| *times == 1));
}

/// The store does not answer one of them for so long that it is given up. What it had on its way is sent once more, and nothing else twice.
#[tokio::test(start_paused = true)]
async fn what_was_on_its_way_when_a_node_was_given_up_is_sent_once_more() {
    let mut cluster = Cluster::new(4).await;
    let (one, other) = (cluster.start().await, cluster.start().await);
    cluster.send_for(SECOND * 10).await;
    one.takes(SECOND * 20);
    cluster.bench.send(1).await;
    cluster.bench.pass(Duration::from_millis(50)).await;
    one.takes(Duration::from_millis(1));
    let on_the_way = ids(one.seen().last().unwrap()).remove(0);
    let (cut, id) = (cluster.bench.since.elapsed(), one.cut_off(&cluster.bench));
    cluster.send_for(SECOND * 25).await;
    cluster.bench.store.let_in(id);
    cluster.send_for(SECOND * 35).await;
    assert!(cluster.all_delivered(4).await);
    for ((url, event), times) in copies([&one.endpoint, &other.endpoint]) {
        let twice = event == on_the_way && urls(&one.endpoint, Duration::ZERO).contains(&url);
        assert!(times == 1 || twice && times == 2, "{url} {event}: {times}");
    }
    assert_eq!(copies([&other.endpoint]).keys().filter(|(_, event)| *event == on_the_way).count(), 4);
    let member = one.ctx.node.member();
    assert!(member.id() != id && member.holds());
    let (of_one, of_other) = (urls(&one.endpoint, cut + SECOND * 50), urls(&other.endpoint, cut + SECOND * 50));
    assert!(of_one.len() == 2 && of_other.len() == 2 && of_one.is_disjoint(&of_other), "{of_one:?} {of_other:?}");
}

/// What is fresh is refused by the store once another has the stream. Retries are not opened again: a node asks itself whether it still holds.
#[tokio::test(start_paused = true)]
async fn whoever_may_have_been_given_up_sends_nothing() {
    let mut cluster = Cluster::new(4).await;
    let (one, other) = (cluster.start().await, cluster.start().await);
    cluster.send_for(SECOND * 10).await;
    let (cut, id) = (cluster.bench.since.elapsed(), one.cut_off(&cluster.bench));
    cluster.send_for(SECOND * 5).await;
    let own = urls(&one.endpoint, cut + SECOND * 4);
    assert_eq!(own.len(), 2, "for a while it is certain");
    let first = own.into_iter().next().unwrap();
    *one.endpoint.otherwise.lock() = Box::new(move |request| {
        let again = Reply { status: 503, retry_after: Some("12".into()), ..Reply::default() };
        if request.url == first { Ok(again) } else { success() }
    });
    cluster.send_for(Duration::from_millis(300)).await;
    one.answers(success);
    cluster.send_for((cut + HOLDS).saturating_sub(cluster.bench.since.elapsed())).await;
    let before = one.requests();
    cluster.send_for(SECOND * 30).await;
    assert_eq!(one.requests(), before);
    assert_eq!(urls(&other.endpoint, cut + SECOND * 16).len(), 4, "taken over");
    cluster.bench.store.let_in(id);
    let back = cluster.bench.since.elapsed();
    cluster.send_for(SECOND * 10).await;
    assert_eq!(urls(&one.endpoint, back).len(), 2, "it has its share again");
    cluster.bench.pass(SECOND).await;
    assert!(cluster.all_delivered(4).await);
}

/// A request may have had to wait for long since it was started.
#[tokio::test(start_paused = true)]
async fn whether_it_holds_is_asked_before_a_request_leaves() {
    let mut cluster = Cluster::new(1).await;
    let one = cluster.start().await;
    cluster.bench.send(1).await;
    cluster.bench.pass(SECOND).await;
    one.cut_off(&cluster.bench);
    cluster.bench.pass(HOLDS).await;
    let link = Arc::new(one.ctx.links.link(ORG, stream(0)).await.unwrap());
    let (delivery, _) = cluster.bench.history().await.remove(0);
    let member = one.ctx.node.member();
    let deadline = Duration::from_secs(30);
    let order = Order { delivery, carried: Carried::default(), ordinal: 1, full: false, deadline, member };
    let done = attempt::run(one.ctx.clone(), link, order).await;
    assert!(matches!(done.result, Err(OwnFailure::NotHeld)));
    assert_eq!(one.requests(), 1);
}

/// The store was away for all of them: each takes back its own, and goes on with it once what it had on its way has ended.
#[tokio::test(start_paused = true)]
async fn after_the_store_was_away_each_has_its_own() {
    let mut cluster = Cluster::new(4).await;
    let processes = [cluster.start().await, cluster.start().await];
    cluster.send_for(SECOND * 10).await;
    let last = cluster.before();
    let before = processes.each_ref().map(|process| urls(&process.endpoint, last));
    for takes in [SECOND * 25, Duration::from_millis(1)] {
        for process in &processes {
            process.takes(takes);
        }
        cluster.bench.send(1).await;
        cluster.bench.pass(Duration::from_millis(50)).await;
    }
    let away = processes.each_ref().map(|process| process.cut_off(&cluster.bench));
    cluster.send_for(SECOND * 20).await;
    let back = cluster.bench.since.elapsed();
    for id in away {
        cluster.bench.store.let_in(id);
    }
    cluster.send_for(SECOND * 10).await;
    let after = processes.each_ref().map(|process| urls(&process.endpoint, back));
    assert!(before == after && before[0].len() == 2, "{before:?} {after:?}");
    cluster.bench.pass(SECOND).await;
    assert!(cluster.all_delivered(4).await);
    assert!(copies(processes.each_ref().map(|process| &process.endpoint)).values().all(|times| *times == 1));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_joins_gets_its_share() {
    let mut cluster = Cluster::new(10).await;
    let one = cluster.start().await;
    cluster.send_for(SECOND * 2).await;
    assert_eq!(urls(&one.endpoint, SECOND).len(), 10);
    let two = cluster.start().await;
    cluster.send_for(SECOND * 5).await;
    let joined = cluster.before();
    let shares = [&one, &two].map(|process| urls(&process.endpoint, joined));
    assert!(shares[0].len() == 5 && shares[1].len() == 5 && shares[0].is_disjoint(&shares[1]), "{shares:?}");
    let three = cluster.start().await;
    cluster.send_for(SECOND * 20).await;
    let joined = cluster.before();
    let mut shares = [&one, &two, &three].map(|process| urls(&process.endpoint, joined).len());
    shares.sort_unstable();
    // One more than its share is nobody's trouble: whatever is moved costs something.
    assert_eq!((shares.iter().sum::<usize>(), shares[2] <= 5), (10, true), "{shares:?}");
    cluster.bench.pass(SECOND).await;
    assert!(cluster.all_delivered(10).await);
    let endpoints = [&one.endpoint, &two.endpoint, &three.endpoint];
    assert!(copies(endpoints).values().all(|times| *times == 1));
}

/// Whatever becomes of the nodes, everything arrives, and twice only what was on its way when one of them was killed.
#[tokio::test(start_paused = true)]
async fn nodes_come_and_go_under_load() {
    const CONNECTORS: u128 = 6;
    for seed in 0..8 {
        let chance = SeededRandom::new(seed);
        let choose = |most: usize| {
            let mut byte = [0];
            chance.fill(&mut byte);
            usize::from(byte[0]) % most
        };
        let mut cluster = Cluster::new(CONNECTORS).await;
        let (mut alive, mut ended, mut doubtful) = (vec![cluster.start().await], Vec::new(), BTreeSet::new());
        for _ in 0..12 {
            let takes = Duration::from_millis(1 + 50 * choose(5) as u64);
            for process in &alive {
                process.takes(takes);
            }
            cluster.send_for(SECOND * (1 + u32::try_from(choose(8)).unwrap())).await;
            match choose(4) {
                0 if alive.len() > 1 => {
                    let killed = alive.swap_remove(choose(alive.len()));
                    killed.kill().await;
                    // Those that were answered may not have been settled.
                    let from = cluster.before();
                    let late = killed.seen().into_iter().filter(|seen| seen.at >= from);
                    doubtful.extend(late.flat_map(|seen| ids(&seen)));
                    ended.push(killed.endpoint.clone());
                }
                1 if alive.len() > 1 => {
                    let stopped = alive.swap_remove(choose(alive.len())).stop().await;
                    ended.push(stopped);
                }
                2 => {
                    cluster.bench.save(Resume::Backlog, |connector| connector.name.push('x')).await;
                    alive[choose(alive.len())].handle.connector_changed(ORG, CONNECTOR);
                }
                _ => alive.push(cluster.start().await),
            }
        }
        cluster.bench.pass(SECOND * 40).await;
        assert!(cluster.all_delivered(CONNECTORS).await, "{seed}");
        let endpoints = alive.iter().map(|process| &process.endpoint).chain(&ended);
        for ((url, event), times) in copies(endpoints) {
            assert!(times == 1 || doubtful.contains(&event), "{seed}: {url} {event}: {times}");
        }
        for (delivery, _) in cluster.bench.history().await {
            assert_eq!(delivery.status, Status::Delivered, "{seed}");
        }
    }
}
