//! [`Cluster`]: one owner for each stream and role, whatever becomes of the nodes. The first cases hold for a backend with one node as well.

use std::time::Duration;

use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{NodeId, OrgId, StreamId, StreamKind};
use uuid::Uuid;

use super::World;
use super::world::{datadog, refused, stream_of};
use crate::cluster::{BEAT, Claim, Cluster, DEAD_AFTER, NodeRecord, Role, TAKES_WITHIN, Told};
use crate::{Lease, Resume, StoreError};

const MANY: usize = 100;

fn record(n: u128) -> NodeRecord {
    NodeRecord { id: NodeId(Uuid::from_u128(n)), name: format!("node {n}"), version: "1.0.0".to_owned() }
}

async fn join(cluster: &dyn Cluster, n: u128) -> NodeId {
    cluster.join(record(n)).await.unwrap();
    record(n).id
}

async fn claim(cluster: &dyn Cluster, node: NodeId) -> Vec<Lease> {
    leases(cluster.claim(node, Claim::Free, MANY).await.unwrap())
}

/// By stream.
fn leases(claimed: Vec<(OrgId, Lease)>) -> Vec<Lease> {
    let mut leases: Vec<Lease> = claimed.into_iter().map(|(_, lease)| lease).collect();
    leases.sort_by_key(|lease| lease.stream);
    leases
}

fn streams(leases: &[Lease]) -> Vec<StreamId> {
    leases.iter().map(|lease| lease.stream).collect()
}

/// Whether this lease may still write.
async fn writes(world: &World, lease: &Lease) -> bool {
    match world.store.set_breaker(lease, Breaker::default()).await {
        Ok(()) => true,
        Err(StoreError::Fenced) => false,
        Err(error) => panic!("{error:?}"),
    }
}

/// Active connectors, each with one stream; by stream.
async fn connectors(world: &World, n: usize) -> Vec<StreamId> {
    let mut made = Vec::with_capacity(n);
    for _ in 0..n {
        made.push(stream_of(&world.splunk(Filter::default()).await, StreamKind::Events));
    }
    made.sort();
    made
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap()
}

/// A claim takes what is wanted, as much as was asked for, and its leases may write.
pub async fn a_node_claims_what_is_wanted(world: &World, cluster: &dyn Cluster) {
    let two = world.create(world.draft(datadog(true), true)).await;
    let one = connectors(world, 1).await;
    world.create(world.draft(super::world::splunk(), false)).await;
    let mut wanted: Vec<StreamId> = two.streams().chain(one).collect();
    wanted.sort();
    let node = join(cluster, 1).await;
    let beat = cluster.beat(node).await.unwrap();
    assert_eq!((beat.alive, beat.wanted, beat.now), (vec![record(1)], 3, world.now()));
    let mut claimed = cluster.claim(node, Claim::Free, 2).await.unwrap();
    assert_eq!(claimed.len(), 2);
    claimed.extend(cluster.claim(node, Claim::Free, MANY).await.unwrap());
    assert!(claimed.iter().all(|(org, _)| *org == world.org));
    let claimed = leases(claimed);
    assert_eq!(streams(&claimed), wanted);
    for lease in &claimed {
        assert!(writes(world, lease).await);
    }
    assert_eq!(claim(cluster, node).await, []);
}

/// What is released is free, and the next claim fences the former lease.
pub async fn what_is_released_is_free(world: &World, cluster: &dyn Cluster) {
    let wanted = connectors(world, 2).await;
    let node = join(cluster, 1).await;
    let mut told = cluster.listen();
    let owners = async || (cluster.owner(wanted[0]).await.unwrap(), cluster.owner(wanted[1]).await.unwrap());
    assert_eq!(owners().await, (None, None));
    let first = claim(cluster, node).await;
    assert_eq!(owners().await, (Some(node), Some(node)));
    cluster.release(node, vec![wanted[0]]).await.unwrap();
    assert_eq!(owners().await, (None, Some(node)));
    assert_eq!(told.try_recv(), Ok(Told::Streams));
    assert!(writes(world, &first[0]).await, "nobody has it yet");
    let again = claim(cluster, node).await;
    assert_eq!(streams(&again), wanted[..1]);
    assert!(again[0].epoch > first[0].epoch);
    assert!(!writes(world, &first[0]).await && writes(world, &again[0]).await && writes(world, &first[1]).await);
    cluster.release(record(9).id, wanted).await.unwrap();
    assert_eq!(claim(cluster, node).await, [], "what is not its own is nobody's to release");
    assert!(told.try_recv().is_err());
}

/// An id is joined under once, and whoever left is dead.
pub async fn a_node_lives_once(world: &World, cluster: &dyn Cluster) {
    let wanted = connectors(world, 2).await;
    let unknown = record(9).id;
    refused!(cluster.beat(unknown).await, StoreError::Fenced);
    refused!(cluster.claim(unknown, Claim::Free, 1).await, StoreError::Fenced);
    refused!(cluster.role(unknown, Role::Retention).await, StoreError::Fenced);
    cluster.leave(unknown).await.unwrap();
    let node = join(cluster, 1).await;
    refused!(cluster.join(record(1)).await, StoreError::Conflict(_));
    let (before, role) = (claim(cluster, node).await, cluster.role(node, Role::Retention).await.unwrap().unwrap());
    let mut told = cluster.listen();
    assert_eq!(cluster.owner(wanted[0]).await.unwrap(), Some(node));
    cluster.leave(node).await.unwrap();
    assert_eq!(cluster.owner(wanted[0]).await.unwrap(), None, "it is dead");
    assert_eq!((told.try_recv(), told.try_recv()), (Ok(Told::Streams), Ok(Told::Role(Role::Retention))));
    cluster.leave(node).await.unwrap();
    assert!(told.try_recv().is_err());
    refused!(cluster.beat(node).await, StoreError::Fenced);
    refused!(cluster.claim(node, Claim::Free, 1).await, StoreError::Fenced);
    refused!(cluster.role(node, Role::Retention).await, StoreError::Fenced);
    refused!(cluster.join(record(1)).await, StoreError::Conflict(_));
    let next = join(cluster, 2).await;
    let after = claim(cluster, next).await;
    assert_eq!(streams(&after), wanted);
    assert!(!writes(world, &before[0]).await && writes(world, &after[0]).await);
    assert!(cluster.role(next, Role::Retention).await.unwrap().unwrap() > role);
}

/// What is wanted follows the connectors: switched off, on again, removed, made again under the same id.
pub async fn what_is_wanted_follows_the_connectors(world: &World, cluster: &dyn Cluster) {
    let connector = world.splunk(Filter::default()).await;
    let stream = stream_of(&connector, StreamKind::Events);
    let node = join(cluster, 1).await;
    let off = world.save(Connector { active: false, ..connector.clone() }, Resume::default()).await.connector;
    assert_eq!((cluster.beat(node).await.unwrap().wanted, claim(cluster, node).await), (0, vec![]));
    let on = world.save(Connector { active: true, ..off }, Resume::default()).await.connector;
    let first = claim(cluster, node).await;
    assert_eq!((cluster.beat(node).await.unwrap().wanted, streams(&first)), (1, vec![stream]));
    let off = world.save(Connector { active: false, ..on }, Resume::default()).await.connector;
    assert!(!writes(world, &first[0]).await);
    world.save(Connector { active: true, ..off }, Resume::default()).await;
    assert_eq!(claim(cluster, node).await, [], "it is its owner's until that releases it");
    cluster.release(node, vec![stream]).await.unwrap();
    let second = claim(cluster, node).await;
    assert_eq!(streams(&second), [stream]);
    world.store.delete_connector(world.org, connector.id, None, world.audit("test.change", &"it")).await.unwrap();
    assert_eq!(cluster.beat(node).await.unwrap().wanted, 0);
    world.create(connector).await;
    let third = claim(cluster, node).await;
    assert_eq!(streams(&third), [stream], "another stream of the same name is free");
    assert!(third[0].epoch > second[0].epoch && !writes(world, &second[0]).await);
}

/// A save raises the epoch: its owner takes the newest lease up, and nobody else can.
pub async fn a_save_makes_a_newer_lease(world: &World, cluster: &dyn Cluster) {
    let connector = world.splunk(Filter::default()).await;
    let (stream, store) = (stream_of(&connector, StreamKind::Events), &world.store);
    let node = join(cluster, 1).await;
    refused!(store.lease(node, stream).await, StoreError::Fenced);
    let claimed = cluster.claim(node, Claim::Stream(stream), MANY).await.unwrap();
    let first = leases(claimed).remove(0);
    assert_eq!(store.lease(node, stream).await.unwrap(), (first, store.stream(stream).await.unwrap()));
    assert_eq!(store.lease(node, stream).await.unwrap().0, first, "to ask for it makes none");
    let saved = world.save(Connector { name: "renamed".to_owned(), ..connector }, Resume::default()).await.connector;
    assert!(!writes(world, &first).await);
    let second = store.lease(node, stream).await.unwrap().0;
    assert!(second.epoch > first.epoch && writes(world, &second).await);
    world.save(Connector { active: false, ..saved }, Resume::default()).await;
    let off = store.lease(node, stream).await.unwrap().0;
    assert!(off.epoch > second.epoch, "its owner's until that releases it");
    refused!(store.lease(record(9).id, stream).await, StoreError::Fenced);
    let missing = stream_of(&world.draft(super::world::splunk(), true), StreamKind::Events);
    refused!(store.lease(node, missing).await, StoreError::NotFound);
    cluster.release(node, vec![stream]).await.unwrap();
    refused!(store.lease(node, stream).await, StoreError::Fenced);
    assert_eq!(cluster.claim(node, Claim::Stream(stream), MANY).await.unwrap(), [], "it is not wanted");
}

/// Of what is free, a claim for one stream takes that one.
pub async fn one_stream_is_claimed(world: &World, cluster: &dyn Cluster) {
    let wanted = connectors(world, 3).await;
    let node = join(cluster, 1).await;
    assert_eq!(cluster.claim(node, Claim::Stream(wanted[1]), 0).await.unwrap(), []);
    let claimed = leases(cluster.claim(node, Claim::Stream(wanted[1]), MANY).await.unwrap());
    assert_eq!(streams(&claimed), wanted[1..2]);
    assert_eq!(cluster.claim(node, Claim::Stream(wanted[1]), MANY).await.unwrap(), [], "it has it");
    assert_eq!(streams(&claim(cluster, node).await), [wanted[0], wanted[2]]);
}

/// Whoever retired takes nothing more, and counts in no share; what it has is its own.
pub async fn who_retired_takes_nothing(world: &World, cluster: &dyn Cluster) {
    let wanted = connectors(world, 2).await;
    refused!(cluster.retire(record(9).id).await, StoreError::Fenced);
    let node = join(cluster, 1).await;
    let own = leases(cluster.claim(node, Claim::Stream(wanted[0]), 1).await.unwrap());
    cluster.retire(node).await.unwrap();
    assert_eq!(cluster.beat(node).await.unwrap().alive, []);
    assert_eq!(claim(cluster, node).await, []);
    assert_eq!(world.store.lease(node, wanted[0]).await.unwrap().0, own[0]);
    assert!(writes(world, &own[0]).await);
    cluster.leave(node).await.unwrap();
    let next = join(cluster, 2).await;
    assert_eq!(cluster.beat(next).await.unwrap().alive, [record(2)]);
    assert_eq!(streams(&claim(cluster, next).await), wanted);
}

/// A role is kept under one number; roles do not depend on each other.
pub async fn a_role_is_kept(_: &World, cluster: &dyn Cluster) {
    let node = join(cluster, 1).await;
    let number = cluster.role(node, Role::OwnEvents).await.unwrap();
    assert!(number.is_some());
    assert_eq!(cluster.role(node, Role::OwnEvents).await.unwrap(), number);
    for other in [Role::Retention, Role::Rotations, Role::Discards, Role::Accounts] {
        assert!(cluster.role(node, other).await.unwrap().is_some());
    }
}

/// What is told reaches everybody who listens.
pub async fn what_is_told_is_heard(world: &World, cluster: &dyn Cluster) {
    cluster.tell(Told::Streams).await.unwrap();
    let (mut one, mut other) = (cluster.listen(), cluster.listen());
    let connector = world.splunk(Filter::default()).await.id;
    for told in [Told::Connector(world.org, connector), Told::Job(connector)] {
        cluster.tell(told).await.unwrap();
        assert_eq!((one.recv().await, other.recv().await), (Ok(told), Ok(told)));
    }
}

/// Several nodes claim: each stream has one owner, and what one of them releases another takes.
pub async fn each_stream_has_one_owner(world: &World, cluster: &dyn Cluster) {
    let wanted = connectors(world, 5).await;
    let (one, other) = (join(cluster, 1).await, join(cluster, 2).await);
    let beat = cluster.beat(one).await.unwrap();
    assert_eq!((beat.alive, beat.wanted), (vec![record(1), record(2)], 5));
    let first = leases(cluster.claim(one, Claim::Free, 3).await.unwrap());
    let second = claim(cluster, other).await;
    assert_eq!((first.len(), second.len()), (3, 2));
    let mut all = [streams(&first), streams(&second)].concat();
    all.sort();
    assert_eq!(all, wanted);
    cluster.release(other, streams(&first)).await.unwrap();
    assert_eq!(claim(cluster, other).await, [], "they are not its own");
    cluster.release(one, vec![first[0].stream]).await.unwrap();
    let taken = claim(cluster, other).await;
    assert_eq!(streams(&taken), [first[0].stream]);
    assert!(!writes(world, &first[0]).await && writes(world, &taken[0]).await && writes(world, &first[1]).await);
    let lease = async |node| world.store.lease(node, taken[0].stream).await;
    refused!(lease(one).await, StoreError::Fenced);
    assert_eq!(lease(other).await.unwrap().0, taken[0]);
    assert_eq!(cluster.claim(one, Claim::Stream(taken[0].stream), 1).await.unwrap(), [], "its owner lives");
}

/// A node that is silent for so long is dead, not a moment earlier, and for ever: its streams are taken over, and it is fenced.
pub async fn the_silent_are_taken_over(world: &World, cluster: &dyn Cluster) {
    let wanted = connectors(world, 2).await;
    let silent = join(cluster, 1).await;
    let before = claim(cluster, silent).await;
    world.pass(ms(DEAD_AFTER) - 1);
    cluster.beat(silent).await.unwrap();
    world.pass(ms(BEAT));
    let node = join(cluster, 2).await;
    world.pass(ms(DEAD_AFTER) - ms(BEAT) - 1);
    assert_eq!(cluster.beat(node).await.unwrap().alive, [record(1), record(2)]);
    assert_eq!(claim(cluster, node).await, []);
    world.pass(1);
    assert_eq!(cluster.beat(node).await.unwrap().alive, [record(2)]);
    let after = claim(cluster, node).await;
    assert_eq!(streams(&after), wanted);
    for (old, new) in before.iter().zip(&after) {
        assert!(!writes(world, old).await && writes(world, new).await);
    }
    world.pass(-ms(DEAD_AFTER));
    refused!(cluster.beat(silent).await, StoreError::Fenced);
    refused!(cluster.claim(silent, Claim::Free, MANY).await, StoreError::Fenced);
    refused!(cluster.role(silent, Role::Accounts).await, StoreError::Fenced);
    refused!(cluster.join(record(1)).await, StoreError::Conflict(_));
    refused!(world.store.lease(silent, wanted[0]).await, StoreError::Fenced);
    cluster.release(silent, wanted).await.unwrap();
    cluster.leave(silent).await.unwrap();
    assert!(writes(world, &after[0]).await, "the dead give nothing back");
}

/// Whoever has not said lately that it lives takes nothing from the dead: perhaps it is the store that was away. What is free it may take.
pub async fn only_the_lively_take_over(world: &World, cluster: &dyn Cluster) {
    let wanted = connectors(world, 2).await;
    let silent = join(cluster, 1).await;
    cluster.claim(silent, Claim::Free, 1).await.unwrap();
    cluster.role(silent, Role::Retention).await.unwrap();
    world.pass(ms(DEAD_AFTER) - ms(TAKES_WITHIN));
    let node = join(cluster, 2).await;
    world.pass(ms(TAKES_WITHIN));
    let free = claim(cluster, node).await;
    assert_eq!(free.len(), 1);
    assert_eq!(cluster.role(node, Role::Retention).await.unwrap(), None);
    assert!(cluster.role(node, Role::Discards).await.unwrap().is_some());
    cluster.beat(node).await.unwrap();
    world.pass(ms(TAKES_WITHIN) - 1);
    let mut all = [streams(&free), streams(&claim(cluster, node).await)].concat();
    all.sort();
    assert_eq!(all, wanted);
    assert!(cluster.role(node, Role::Retention).await.unwrap().is_some());
}

/// After the store was away everybody is dead, and each takes back its own.
pub async fn each_gets_its_own_back(world: &World, cluster: &dyn Cluster) {
    connectors(world, 4).await;
    let (one, other) = (join(cluster, 1).await, join(cluster, 2).await);
    let first = leases(cluster.claim(one, Claim::Free, 2).await.unwrap());
    let second = claim(cluster, other).await;
    assert_eq!(cluster.claim(one, Claim::Former(other), MANY).await.unwrap(), [], "it lives");
    world.pass(ms(DEAD_AFTER));
    refused!(cluster.beat(one).await, StoreError::Fenced);
    refused!(cluster.beat(other).await, StoreError::Fenced);
    let (one_again, other_again) = (join(cluster, 3).await, join(cluster, 4).await);
    let back = leases(cluster.claim(one_again, Claim::Former(one), MANY).await.unwrap());
    assert_eq!(streams(&back), streams(&first));
    let back = leases(cluster.claim(other_again, Claim::Former(other), 1).await.unwrap());
    assert_eq!(back.len(), 1);
    let rest = claim(cluster, one_again).await;
    let mut all = [streams(&back), streams(&rest)].concat();
    all.sort();
    assert_eq!(all, streams(&second));
}

/// Whoever leaves frees what it owned at once.
pub async fn who_leaves_is_followed_at_once(world: &World, cluster: &dyn Cluster) {
    let wanted = connectors(world, 2).await;
    let (leaving, node) = (join(cluster, 1).await, join(cluster, 2).await);
    let before = claim(cluster, leaving).await;
    cluster.leave(leaving).await.unwrap();
    world.pass(ms(TAKES_WITHIN));
    let after = claim(cluster, node).await;
    assert_eq!(streams(&after), wanted);
    assert!(!writes(world, &before[0]).await && writes(world, &after[0]).await);
    assert_eq!(cluster.beat(node).await.unwrap().alive, [record(2)]);
}

/// A role has one owner, who keeps it while it lives.
pub async fn a_role_has_one_owner(world: &World, cluster: &dyn Cluster) {
    let (one, other) = (join(cluster, 1).await, join(cluster, 2).await);
    let first = cluster.role(one, Role::Retention).await.unwrap().unwrap();
    assert_eq!(cluster.role(other, Role::Retention).await.unwrap(), None);
    assert!(cluster.role(other, Role::Rotations).await.unwrap().is_some());
    assert_eq!(cluster.role(one, Role::Rotations).await.unwrap(), None);
    for _ in 0..5 {
        world.pass(ms(BEAT));
        cluster.beat(other).await.unwrap();
    }
    let second = cluster.role(other, Role::Retention).await.unwrap().unwrap();
    assert!(second > first);
    refused!(cluster.role(one, Role::Retention).await, StoreError::Fenced);
    cluster.leave(other).await.unwrap();
    let third = join(cluster, 3).await;
    assert!(cluster.role(third, Role::Retention).await.unwrap().unwrap() > second);
}
