//! Orgs, keys, the audit log, and secrets under rotation.

use std::time::Duration;

use toktra_siem_core::connector::Connector;
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{ApiKeyId, OrgId, Seq};
use uuid::Uuid;

use super::World;
use super::world::{keep, refused, splunk};
use crate::{
    Actor, ApiKeyRecord, AuditEntry, AuditQuery, Change, ConnectorRecord, ConnectorSave, Milestone, OrgRecord, Resume,
    Rotation, Scope, SealedSecret, StoreError,
};

/// Orgs are listed by creation, renamed, and removed with everything in them; the default one stays and is the only one.
pub async fn orgs_come_and_go(world: &World) {
    let store = &world.store;
    let other = world.other_org().await;
    let connector = Connector { org: other, ..world.draft(splunk(), true) };
    let value = ConnectorRecord { connector: connector.clone(), secrets: vec![], rotation: None };
    store.create_connector(other, world.change(value)).await.unwrap();
    let event = world.event_of(other, EventType::Anomaly, Severity::Low);
    store.append(vec![event.clone()]).await.unwrap();
    store.create_key(world.change(key(world, Some(other), 3))).await.unwrap();
    let orgs = store.orgs().await.unwrap();
    assert_eq!(
        orgs.iter().map(|org| (org.id, org.is_default)).collect::<Vec<_>>(),
        [(world.org, true), (other, false)]
    );
    store.rename_org(other, world.change("Other".to_owned())).await.unwrap();
    let record = store.org(other).await.unwrap();
    assert_eq!(record, OrgRecord { name: "Other".into(), ..orgs[1].clone() });

    let nobody = OrgId(Uuid::from_u64_pair(9, 9));
    for (id, is_default) in [(other, false), (nobody, true)] {
        let again = OrgRecord { id, is_default, ..record.clone() };
        refused!(store.create_org(world.change(again)).await, StoreError::Conflict(_));
    }
    refused!(store.org(nobody).await, StoreError::NotFound);
    refused!(store.rename_org(nobody, world.change("x".to_owned())).await, StoreError::NotFound);
    let audit = || world.audit("org.delete", &other);
    refused!(store.delete_org(nobody, audit()).await, StoreError::NotFound);
    refused!(store.delete_org(world.org, audit()).await, StoreError::Conflict(_));

    assert_eq!(store.delete_org(other, audit()).await.unwrap(), 1, "its one event was not delivered");
    assert_eq!(store.orgs().await.unwrap().len(), 1);
    refused!(store.org(other).await, StoreError::NotFound);
    refused!(store.connectors(other).await, StoreError::NotFound);
    refused!(store.append(vec![event]).await, StoreError::NotFound);
    assert!(store.all_connectors().await.unwrap().is_empty());
    assert_eq!(store.key_by_hash([3; 32]).await.unwrap(), None);
    for stream in connector.streams() {
        refused!(store.stream(stream).await, StoreError::NotFound);
    }
    store.create_org(world.change(record)).await.unwrap();
    assert_eq!(*store.head(other).await.unwrap().borrow(), Seq(0), "an org made anew is empty");
}

fn key(world: &World, org: Option<OrgId>, byte: u8) -> ApiKeyRecord {
    ApiKeyRecord {
        id: world.key_id(),
        org,
        name: format!("key {byte}"),
        prefix: "tk_1234".into(),
        hash: [byte; 32],
        scopes: vec![Scope::EventsWrite, Scope::SiemRead],
        created_at: world.now(),
        expires_at: Some(world.now()),
        created_by: Some("somebody".into()),
        last_used_at: None,
    }
}

/// Keys are found by their hash until they are revoked, also when expired: refusing those is the caller's part.
pub async fn keys(world: &World) {
    let store = &world.store;
    let (ours, platform) =
        (key(world, Some(world.org), 1), ApiKeyRecord { scopes: vec![Scope::Platform], ..key(world, None, 2) });
    for record in [&ours, &platform] {
        store.create_key(world.change(record.clone())).await.unwrap();
        assert_eq!(store.key_by_hash(record.hash).await.unwrap().as_ref(), Some(record));
    }
    assert_eq!(store.keys(world.org).await.unwrap(), std::slice::from_ref(&ours));
    assert_eq!(store.platform_keys().await.unwrap(), std::slice::from_ref(&platform));
    let ends = |record: &ApiKeyRecord, end: u64| {
        let expires_at = Some(world.now().plus(Duration::from_hours(end)));
        ApiKeyRecord { expires_at, ..record.clone() }
    };
    assert_eq!(store.next_key_end(world.now()).await.unwrap(), None);
    let (early, late) = (ends(&key(world, Some(world.org), 6), 1), ends(&key(world, None, 7), 2));
    for record in [&late, &early] {
        store.create_key(world.change(record.clone())).await.unwrap();
    }
    assert_eq!(store.next_key_end(world.now()).await.unwrap(), early.expires_at);
    assert_eq!(store.next_key_end(early.expires_at.unwrap()).await.unwrap(), late.expires_at);
    assert_eq!(store.next_key_end(late.expires_at.unwrap()).await.unwrap(), None);
    store.revoke_key(world.org, early.id, world.audit("api_key.revoke", &"key")).await.unwrap();
    assert_eq!(store.next_key_end(world.now()).await.unwrap(), late.expires_at);
    store.revoke_platform_key(late.id, world.audit("api_key.revoke", &"key")).await.unwrap();
    let same_hash = ApiKeyRecord { hash: [1; 32], ..key(world, None, 4) };
    refused!(store.create_key(world.change(same_hash)).await, StoreError::Conflict(_));
    let same_id = ApiKeyRecord { id: ours.id, ..key(world, None, 4) };
    refused!(store.create_key(world.change(same_id)).await, StoreError::Conflict(_));
    let stray = key(world, Some(OrgId(Uuid::from_u64_pair(9, 9))), 5);
    refused!(store.create_key(world.change(stray)).await, StoreError::NotFound);

    let audit = || world.audit("api_key.revoke", &"key");
    refused!(store.revoke_key(world.org, platform.id, audit()).await, StoreError::NotFound);
    refused!(store.revoke_platform_key(ours.id, audit()).await, StoreError::NotFound);
    refused!(store.revoke_key(world.org, ApiKeyId(Uuid::nil()), audit()).await, StoreError::NotFound);
    store.revoke_key(world.org, ours.id, audit()).await.unwrap();
    store.revoke_platform_key(platform.id, audit()).await.unwrap();
    for record in [&ours, &platform] {
        assert_eq!(store.key_by_hash(record.hash).await.unwrap(), None);
    }
    refused!(store.revoke_key(world.org, ours.id, audit()).await, StoreError::NotFound);
    assert!(store.keys(world.org).await.unwrap().is_empty());
    assert!(store.platform_keys().await.unwrap().is_empty());
}

/// Each change leaves its line, a refused one none; newest first, in pages.
pub async fn audit_is_written_with_the_change(world: &World) {
    let store = &world.store;
    let named = |action: &str| world.audit(action, &"it");
    let draft = world.draft(splunk(), true);
    let value = ConnectorRecord { connector: draft.clone(), secrets: vec![], rotation: None };
    let create = Change { value: value.clone(), audit: named("connector.create") };
    let connector = store.create_connector(world.org, create).await.unwrap().connector;
    let again = Change { value, audit: named("refused") };
    refused!(store.create_connector(world.org, again).await, StoreError::Conflict(_));
    let save = Change { value: keep(connector.clone(), Resume::Backlog), audit: named("connector.update") };
    store.save_connector(world.org, save).await.unwrap();
    let stale = ConnectorSave { expected: Some(connector.revision), ..keep(connector.clone(), Resume::Backlog) };
    let refused = Change { value: stale, audit: named("refused") };
    refused!(store.save_connector(world.org, refused).await, StoreError::Conflict(_));
    store.delete_connector(world.org, connector.id, None, named("connector.delete")).await.unwrap();
    let record = key(world, Some(world.org), 1);
    store.create_key(Change { value: record.clone(), audit: named("api_key.create") }).await.unwrap();
    store.revoke_key(world.org, record.id, named("api_key.revoke")).await.unwrap();
    store.rename_org(world.org, Change { value: "New".into(), audit: named("org.rename") }).await.unwrap();

    let expected = [
        "org.rename",
        "api_key.revoke",
        "api_key.create",
        "connector.delete",
        "connector.update",
        "connector.create",
        "org.create",
    ];
    let (mut actions, mut before) = (Vec::new(), None);
    loop {
        let query = AuditQuery { before, limit: 3, ..AuditQuery::default() };
        let page = store.audit(world.org, query).await.unwrap();
        before = page.items.last().map(|(number, _)| *number);
        actions.extend(page.items.into_iter().map(|(_, entry)| entry.action));
        if !page.has_more {
            break;
        }
    }
    assert_eq!(actions, expected);
    let query = AuditQuery { limit: 1, ..AuditQuery::default() };
    let newest = store.audit(world.org, query).await.unwrap().items.remove(0).1;
    assert_eq!(newest, named("org.rename"));
}

/// Every filter of the audit log by itself and all of them together; the service's own log apart from those of the orgs.
pub async fn the_audit_log_is_filtered(world: &World) {
    let store = &world.store;
    let start = world.now();
    let other = world.other_org().await;
    for (org, actor, action, object) in [
        (Some(world.org), "a", "connector.create", "1"),
        (Some(world.org), "b", "connector.update", "1"),
        (Some(world.org), "a", "connectors%", "2"),
        (Some(world.org), "a", "api_key.create", "3"),
        (None, "a", "api_key.create", "4"),
        (Some(other), "a", "api_key.create", "5"),
    ] {
        world.pass(1);
        let entry = AuditEntry { actor: Actor::from(actor), ..world.audit(action, &object) };
        store.log(org, entry).await.unwrap();
    }
    let nobody = OrgId(Uuid::from_u64_pair(9, 9));
    refused!(store.log(Some(nobody), world.audit("x", &"x")).await, StoreError::NotFound);
    refused!(store.audit(nobody, AuditQuery::default()).await, StoreError::NotFound);

    let all = || AuditQuery { limit: 99, ..AuditQuery::default() };
    let after = |ms: u64| Some(start.plus(std::time::Duration::from_millis(ms)));
    let text = |text: &str| Some(text.to_owned());
    for (query, expected) in [
        (AuditQuery { actor: text("a"), ..all() }, &["3", "2", "1"][..]),
        (AuditQuery { actor: text("00000000-0000-0000-0000-00000000004d"), action: text("orgs"), ..all() }, &[]),
        (AuditQuery { actor: text("A"), ..all() }, &[]),
        (AuditQuery { action: text("connector."), ..all() }, &["1", "1"]),
        (AuditQuery { action: text("connectors%"), ..all() }, &["2"]),
        (AuditQuery { object: text("1"), ..all() }, &["1", "1"]),
        (AuditQuery { from: after(2), to: after(4), ..all() }, &["2", "1"]),
        (
            AuditQuery {
                actor: text("a"),
                action: text("c"),
                object: text("1"),
                from: after(1),
                to: after(2),
                ..all()
            },
            &["1"],
        ),
    ] {
        let page = store.audit(world.org, query.clone()).await.unwrap();
        let objects: Vec<&str> = page.items.iter().map(|(_, entry)| entry.object.as_str()).collect();
        assert_eq!((objects.as_slice(), page.has_more), (expected, false), "{query:?}");
    }
    let by_id = AuditQuery { actor: text("00000000-0000-0000-0000-00000000004d"), ..all() };
    let page = store.audit(world.org, by_id).await.unwrap();
    assert_eq!(page.items.iter().map(|(_, e)| e.action.as_str()).collect::<Vec<_>>(), ["org.create"]);
    let page = store.platform_audit(all()).await.unwrap();
    assert_eq!(page.items.iter().map(|(_, e)| e.object.as_str()).collect::<Vec<_>>(), ["4"]);
    let page = store.platform_audit(AuditQuery { limit: 0, ..all() }).await.unwrap();
    assert_eq!((page.items.len(), page.has_more), (0, true));
}

/// The use of a key is noted to the minute.
pub async fn the_use_of_a_key_is_noted(world: &World) {
    let store = &world.store;
    let record = key(world, Some(world.org), 1);
    store.create_key(world.change(record.clone())).await.unwrap();
    let noted = async || store.keys(world.org).await.unwrap().remove(0).last_used_at;
    assert_eq!(noted().await, None);
    let first = world.now();
    store.touch_key(record.id, first).await.unwrap();
    assert_eq!(noted().await, Some(first));
    world.pass(59_999);
    store.touch_key(record.id, world.now()).await.unwrap();
    assert_eq!(noted().await, Some(first));
    world.pass(1);
    store.touch_key(record.id, world.now()).await.unwrap();
    assert_eq!(noted().await, Some(world.now()));
    store.touch_key(ApiKeyId(Uuid::nil()), world.now()).await.unwrap();
    let found = store.key_by_hash(record.hash).await.unwrap().unwrap();
    assert_eq!(found, ApiKeyRecord { last_used_at: Some(world.now()), ..record });
}

async fn newest_line(world: &World) -> AuditEntry {
    let query = AuditQuery { limit: 1, ..AuditQuery::default() };
    world.store.audit(world.org, query).await.unwrap().items.remove(0).1
}

fn secret(field: &str, byte: u8) -> SealedSecret {
    SealedSecret { field: field.into(), key_id: 1, nonce: vec![byte; 24], ciphertext: vec![byte; 48] }
}

/// At the end of the grace period the next signing secret takes the place of the current one; others are left alone.
pub async fn rotations_end(world: &World) {
    let rotating = async |until: i64, secrets: &[SealedSecret]| {
        let rotation = Some(Rotation { until: toktra_siem_core::time::Timestamp(until) });
        let value = ConnectorRecord { connector: world.draft(splunk(), true), secrets: secrets.to_vec(), rotation };
        world.store.create_connector(world.org, world.change(value)).await.unwrap().connector
    };
    let start = world.now().0;
    let secrets = [secret("hec_token", 1), secret(SealedSecret::SIGNING, 2), secret(SealedSecret::SIGNING_NEXT, 3)];
    let due = rotating(start + 10, &secrets).await;
    let later = rotating(start + 11, &secrets).await;
    world.splunk(Filter::default()).await;
    world.pass(9);
    assert!(world.store.end_rotations(world.now()).await.unwrap().is_empty());
    world.pass(1);
    assert_eq!(world.store.end_rotations(world.now()).await.unwrap(), [(due.org, due.id)]);
    let line = newest_line(world).await;
    assert_eq!((line.action.as_str(), line.object), ("connector.signing_secret.activate", due.id.to_string()));
    assert_eq!((line.actor, line.at), (Actor::from("rotation"), world.now()));
    assert!(world.store.end_rotations(world.now()).await.unwrap().is_empty());

    let mut ended = world.store.connector(world.org, due.id).await.unwrap();
    ended.secrets.sort_by(|a, b| a.field.cmp(&b.field));
    assert_eq!((ended.secrets, ended.rotation), (vec![secret("hec_token", 1), secret(SealedSecret::SIGNING, 3)], None));
    assert_eq!(ended.connector, due, "no revision");
    let untouched = world.store.connector(world.org, later.id).await.unwrap();
    assert_eq!((untouched.secrets.len(), untouched.rotation.is_some()), (3, true));
    world.pass(1);
    assert_eq!(world.store.end_rotations(world.now()).await.unwrap(), [(later.org, later.id)]);
}

/// Secrets sealed with another key replace the old ones, and nothing else changes.
pub async fn resealing_makes_no_revision(world: &World) {
    let value = ConnectorRecord {
        connector: world.draft(splunk(), true),
        secrets: vec![secret("hec_token", 1)],
        rotation: None,
    };
    let created = world.store.create_connector(world.org, world.change(value)).await.unwrap().connector;
    let resealed = vec![SealedSecret { key_id: 2, ..secret("hec_token", 9) }];
    world.store.reseal(created.id, resealed.clone()).await.unwrap();
    let stored = world.store.connector(world.org, created.id).await.unwrap();
    assert_eq!((&stored.connector, stored.secrets), (&created, resealed));
    let line = newest_line(world).await;
    assert_eq!((line.action.as_str(), line.object), ("connector.reseal", created.id.to_string()));
    let unknown = world.draft(splunk(), true).id;
    refused!(world.store.reseal(unknown, vec![]).await, StoreError::NotFound);
}

/// A milestone is reached once: later times change nothing, and each is on its own.
pub async fn milestones(world: &World) {
    let (store, first) = (&world.store, world.now());
    assert_eq!(store.milestone(Milestone::EnvironmentAdmin).await.unwrap(), None);
    store.reach(Milestone::EnvironmentAdmin, first).await.unwrap();
    world.pass(1_000);
    store.reach(Milestone::EnvironmentAdmin, world.now()).await.unwrap();
    assert_eq!(store.milestone(Milestone::EnvironmentAdmin).await.unwrap(), Some(first));
    assert_eq!(store.milestone(Milestone::FirstKey).await.unwrap(), None);
}
