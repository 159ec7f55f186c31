//! What is kept for a while: once for each id, for its owner, until its time is over.

use std::time::Duration;

use uuid::Uuid;

use super::World;
use super::world::refused;
use crate::kept::{KEPT_OF_OWNER, Kept, KeptKind, UNDER_WAY};
use crate::{AuditQuery, SealedSecret, StoreError};

const OWNER: Uuid = Uuid::from_u128(7);
const KEPT_FOR: Duration = Duration::from_hours(24);

fn of(world: &World, byte: u8, kind: KeptKind) -> Kept {
    let (at, org) = (world.now(), Some(world.org));
    Kept { id: [byte; 32], owner: OWNER, org, kind, about: "x".into(), at, until: at.plus(KEPT_FOR), sealed: None }
}

fn sealed(id: [u8; 32]) -> SealedSecret {
    SealedSecret { field: Kept::field(&id), key_id: u32::MAX, nonce: vec![1; 24], ciphertext: vec![2; 40] }
}

/// The first one counts, until its time is over or it is forgotten.
pub async fn once_for_each_id(world: &World) {
    let (store, first) = (&world.store, of(world, 1, KeptKind::Answer));
    assert_eq!(store.keep(first.clone()).await.unwrap(), None);
    let second = || Kept { about: "y".into(), at: world.now(), until: world.now().plus(KEPT_FOR), ..first.clone() };
    assert_eq!(store.keep(second()).await.unwrap(), Some(first.clone()));
    store.seal_kept(first.id, sealed(first.id)).await.unwrap();
    let told = store.keep(second()).await.unwrap();
    assert_eq!(told, Some(Kept { sealed: Some(sealed(first.id)), ..first.clone() }));
    world.pass(25 * 3600 * 1000);
    assert_eq!(store.keep(second()).await.unwrap(), None, "its time is over");
    store.forget_kept(first.id).await.unwrap();
    store.seal_kept(first.id, sealed(first.id)).await.unwrap();
    assert_eq!(store.keep(second()).await.unwrap(), None, "it was forgotten");
}

/// A secret is its owner's alone, and taken once; that leaves a line.
pub async fn a_secret_is_taken_once_by_its_owner(world: &World) {
    let store = &world.store;
    let secret = Kept { sealed: Some(sealed([2; 32])), ..of(world, 2, KeptKind::ApiKey) };
    for kept in [of(world, 1, KeptKind::Answer), secret.clone()] {
        assert_eq!(store.keep(kept).await.unwrap(), None);
    }
    assert_eq!(store.kept_secrets(OWNER, world.now()).await.unwrap(), std::slice::from_ref(&secret));
    let stranger = Uuid::from_u128(8);
    assert_eq!(store.kept_secrets(stranger, world.now()).await.unwrap(), []);
    let audit = || world.audit("api_key.reveal", &"x");
    refused!(store.take_kept(stranger, secret.id, audit()).await, StoreError::NotFound);
    refused!(store.take_kept(OWNER, [1; 32], audit()).await, StoreError::NotFound);
    assert_eq!(store.take_kept(OWNER, secret.id, audit()).await.unwrap(), secret);
    refused!(store.take_kept(OWNER, secret.id, audit()).await, StoreError::NotFound);
    let query = AuditQuery { limit: 99, ..AuditQuery::default() };
    let lines = store.audit(world.org, query).await.unwrap().items;
    assert_eq!(lines.iter().filter(|(_, line)| line.action == "api_key.reveal").count(), 1);
}

/// What has outlived its time is not given, and then removed; with an org goes what concerns it.
pub async fn nothing_is_kept_for_longer(world: &World) {
    let store = &world.store;
    let other = world.other_org().await;
    for kept in [of(world, 1, KeptKind::Password), Kept { org: Some(other), ..of(world, 2, KeptKind::SigningSecret) }] {
        assert_eq!(store.keep(kept).await.unwrap(), None);
    }
    store.delete_org(other, world.audit("org.delete", &other)).await.unwrap();
    assert_eq!(store.kept_secrets(OWNER, world.now()).await.unwrap().len(), 1);
    assert_eq!(store.expire_kept(world.now()).await.unwrap(), 0);
    world.pass(24 * 3_600_000);
    assert_eq!(store.kept_secrets(OWNER, world.now()).await.unwrap(), []);
    refused!(store.take_kept(OWNER, [1; 32], world.audit("api_key.reveal", &"x")).await, StoreError::NotFound);
    assert_eq!(store.expire_kept(world.now()).await.unwrap(), 1);
}

fn numbered(world: &World, n: usize, kind: KeptKind) -> Kept {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&n.to_be_bytes());
    Kept { id, ..of(world, 0, kind) }
}

/// An owner has so many secrets, and the newest stay.
pub async fn an_owner_has_a_limit(world: &World) {
    let store = &world.store;
    let numbered = |n| numbered(world, n, KeptKind::Password);
    for n in 0..KEPT_OF_OWNER + 2 {
        world.pass(1);
        assert_eq!(store.keep(numbered(n)).await.unwrap(), None);
    }
    let kept = store.kept_secrets(OWNER, world.now()).await.unwrap();
    assert_eq!((kept.len(), kept[0].id), (KEPT_OF_OWNER, numbered(2).id));
}

/// Answers push out no secrets, those of one org none of another, and neither pushes out a request that is under way.
pub async fn limits_are_apart_and_what_is_under_way_stays(world: &World) {
    let store = &world.store;
    let secret = Kept { sealed: Some(sealed([255; 32])), ..of(world, 255, KeptKind::ApiKey) };
    let elsewhere = Kept { org: None, sealed: Some(sealed([254; 32])), ..of(world, 254, KeptKind::Answer) };
    let begun = of(world, 253, KeptKind::Answer);
    for kept in [&secret, &elsewhere, &begun] {
        assert_eq!(store.keep(kept.clone()).await.unwrap(), None);
    }
    let done = |n| {
        let answer = numbered(world, n, KeptKind::Answer);
        Kept { sealed: Some(sealed(answer.id)), ..answer }
    };
    for n in 0..KEPT_OF_OWNER {
        world.pass(1);
        assert_eq!(store.keep(done(n)).await.unwrap(), None);
    }
    for kept in [&elsewhere, &begun, &done(1)] {
        let known = store.keep(kept.clone()).await.unwrap().map(|known| known.id);
        assert_eq!(known, Some(kept.id), "it is there");
    }
    assert_eq!(store.kept_secrets(OWNER, world.now()).await.unwrap(), [secret]);
    assert_eq!(store.keep(done(0)).await.unwrap(), None, "the oldest answer has gone");
}

/// So many of an owner's requests may be under way in an org. More are refused until one has its answer, is forgotten, or can only
/// have been left in the middle.
pub async fn so_many_requests_are_under_way(world: &World) {
    let store = &world.store;
    let numbered = |n| numbered(world, n, KeptKind::Answer);
    for n in 0..UNDER_WAY {
        assert_eq!(store.keep(numbered(n)).await.unwrap(), None);
    }
    refused!(store.keep(numbered(UNDER_WAY)).await, StoreError::TooMany(_));
    assert_eq!(store.keep(numbered(0)).await.unwrap(), Some(numbered(0)), "what is known is known");
    for other in [
        Kept { owner: Uuid::from_u128(8), ..numbered(1_000) },
        Kept { org: None, ..numbered(1_001) },
        Kept { kind: KeptKind::Password, ..numbered(1_002) },
    ] {
        assert_eq!(store.keep(other).await.unwrap(), None, "it has a limit of its own");
    }
    store.seal_kept(numbered(0).id, sealed(numbered(0).id)).await.unwrap();
    assert_eq!(store.keep(numbered(UNDER_WAY)).await.unwrap(), None);
    refused!(store.keep(numbered(UNDER_WAY + 1)).await, StoreError::TooMany(_));
    store.forget_kept(numbered(1).id).await.unwrap();
    assert_eq!(store.keep(numbered(UNDER_WAY + 1)).await.unwrap(), None);
    refused!(store.keep(numbered(UNDER_WAY + 2)).await, StoreError::TooMany(_));
    world.pass(600_000);
    assert_eq!(store.keep(numbered(UNDER_WAY + 2)).await.unwrap(), None, "those were left in the middle");
    assert_eq!(store.keep(numbered(2)).await.unwrap().map(|known| known.id), Some(numbered(2).id), "and are known");
}
