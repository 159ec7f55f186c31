//! What one node is told and another has to know: saves, jobs and roles.

use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::ids::JobId;
use toktra_siem_core::job::{Job, JobKind};
use toktra_siem_store::Role;

use super::cluster::{Cluster, Process, SECOND, TAKEN_OVER, stream, url, urls};
use super::*;

/// Two nodes with a connector each, and the one that has the first.
async fn owner_and_stranger(cluster: &mut Cluster) -> (Process, Process) {
    let (one, other) = (cluster.start().await, cluster.start().await);
    cluster.bench.pass(SECOND * 5).await;
    cluster.bench.send(1).await;
    cluster.bench.pass(SECOND).await;
    let mine = urls(&one.endpoint, Duration::ZERO);
    assert_eq!(mine.len(), 1);
    if mine.iter().any(|address| address.starts_with(&url(0))) { (one, other) } else { (other, one) }
}

/// Its breaker is open for long: a save closes it, and its owner sends at once what waits.
#[tokio::test(start_paused = true)]
async fn a_save_reaches_the_owner_from_any_node() {
    let mut cluster = Cluster::new(2).await;
    let (owner, stranger) = owner_and_stranger(&mut cluster).await;
    owner.answers(invalid_token);
    cluster.bench.send(3).await;
    cluster.bench.pass(Duration::from_mins(20)).await;
    owner.answers(success);
    assert!(!cluster.bench.store.stream(stream(0)).await.unwrap().breaker.is_closed());
    cluster.bench.save(Resume::Backlog, |connector| connector.name = "saved".into()).await;
    stranger.handle.connector_changed(ORG, CONNECTOR);
    cluster.bench.pass(Duration::from_millis(200)).await;
    assert!(cluster.all_delivered(2).await);
}

#[tokio::test(start_paused = true)]
async fn a_job_reaches_the_owner_from_any_node() {
    let mut cluster = Cluster::new(2).await;
    let (owner, stranger) = owner_and_stranger(&mut cluster).await;
    cluster.bench.pass(Duration::from_mins(1)).await;
    let before = owner.requests();
    let (store, now) = (&cluster.bench.store, owner.ctx.clock.now());
    let mut job = Job::new(JobId(Uuid::from_u128(9)), ORG, CONNECTOR, JobKind::Replay, "somebody".into(), now);
    job.stream = Some(StreamKind::Events);
    let scope = store.job_scope(ORG, &job).await.unwrap();
    job.begin(scope, now);
    store.create_job(ORG, Change { value: job, audit: audit() }).await.unwrap();
    stranger.handle.job_changed(CONNECTOR);
    cluster.bench.pass(Duration::from_millis(200)).await;
    assert_eq!(owner.requests(), before + 1);
}

/// What one node tells another may be lost. Whatever was saved is then found out before anything is pinned by the settings of before.
#[tokio::test(start_paused = true)]
async fn a_save_that_nobody_told_of_is_found_out() {
    let mut cluster = Cluster::new(1).await;
    let one = cluster.start().await;
    cluster.bench.send(1).await;
    cluster.bench.pass(SECOND).await;
    let moved = json!("https://moved.example:8088");
    let save = |connector: &mut Connector| drop(connector.settings.config.insert("hec_url".to_owned(), moved));
    cluster.bench.save(Resume::Backlog, save).await;
    cluster.bench.send(1).await;
    cluster.bench.pass(SECOND).await;
    let seen = one.seen();
    assert!(seen.len() == 2 && seen[1].url.starts_with("https://moved.example"), "{seen:?}");
    cluster.bench.save(Resume::Backlog, |connector| connector.active = false).await;
    cluster.bench.send(1).await;
    cluster.bench.pass(Duration::from_mins(1)).await;
    assert_eq!(one.requests(), 2, "it is switched off");
    cluster.bench.save(Resume::Backlog, |connector| connector.active = true).await;
    cluster.bench.pass(SECOND * 3).await;
    assert!(cluster.all_delivered(1).await, "its stream was given back, and is wanted again");
}

/// The probe was on its way when the connector was saved, and its owner has not heard of the save.
#[tokio::test(start_paused = true)]
async fn an_old_breaker_is_not_written_over_one_that_a_save_closed() {
    let mut cluster = Cluster::new(1).await;
    let one = cluster.start().await;
    one.answers(invalid_token);
    cluster.bench.send(1).await;
    cluster.bench.pass(Duration::from_mins(1)).await;
    one.takes(SECOND * 2);
    let before = one.requests();
    while one.requests() == before {
        cluster.bench.pass(Duration::from_millis(100)).await;
    }
    let breaker = async || cluster.bench.store.stream(stream(0)).await.unwrap().breaker;
    assert!(!breaker().await.is_closed());
    cluster.bench.save(Resume::Backlog, |connector| connector.name = "saved".into()).await;
    cluster.bench.pass(SECOND * 3).await;
    assert_eq!(breaker().await, Breaker::default());
}

#[tokio::test(start_paused = true)]
async fn a_role_moves_when_its_owner_dies_or_leaves() {
    let mut cluster = Cluster::new(1).await;
    let (one, two, three) = (cluster.start().await, cluster.start().await, cluster.start().await);
    let role = Role::Retention;
    one.ctx.node.until_it_has(role).await;
    cluster.bench.pass(Duration::from_mins(1)).await;
    assert!(one.ctx.node.has(role).await && !two.ctx.node.has(role).await);
    one.kill().await;
    let killed = Instant::now();
    two.ctx.node.until_it_has(role).await;
    assert!(killed.elapsed() > SECOND * 11 && killed.elapsed() <= TAKEN_OVER, "{:?}", killed.elapsed());
    let waits = tokio::spawn({
        let node = three.ctx.node.clone();
        async move { node.until_it_has(role).await }
    });
    cluster.bench.pass(SECOND * 30).await;
    assert!(!waits.is_finished());
    two.stop().await;
    let left = Instant::now();
    waits.await.unwrap();
    assert!(left.elapsed() < Duration::from_millis(10), "it was told");
}
