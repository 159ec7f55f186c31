//! What is kept for a while: once for each id, for its owner, until its time is over.

use std::time::Duration;

use uuid::Uuid;

use super::World;
use super::world::refused;
use crate::kept::{KEPT_OF_OWNER, Kept, KeptKind};
use crate::{AuditQuery, SealedSecret, StoreError};

const OWNER: Uuid = Uuid::from_u128(7);
const KEPT_FOR: Duration = Duration::from_mins(10);

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
    world.pass(600_000);
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
    world.pass(600_000);
    assert_eq!(store.kept_secrets(OWNER, world.now()).await.unwrap(), []);
    refused!(store.take_kept(OWNER, [1; 32], world.audit("api_key.reveal", &"x")).await, StoreError::NotFound);
    assert_eq!(store.expire_kept(world.now()).await.unwrap(), 1);
}

/// An owner has so many, and the newest stay.
pub async fn an_owner_has_a_limit(world: &World) {
    let store = &world.store;
    let numbered = |n: usize| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&n.to_be_bytes());
        Kept { id, at: world.now(), ..of(world, 0, KeptKind::Password) }
    };
    for n in 0..KEPT_OF_OWNER + 2 {
        world.pass(1);
        assert_eq!(store.keep(numbered(n)).await.unwrap(), None);
    }
    let kept = store.kept_secrets(OWNER, world.now()).await.unwrap();
    assert_eq!((kept.len(), kept[0].id), (KEPT_OF_OWNER, numbered(2).id));
}
