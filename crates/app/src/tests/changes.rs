//! A change is read, judged, applied, written to the audit log and told to dispatch, once each.

use std::time::Duration;

use secrecy::SecretString;
use toktra_siem_core::fault::FaultCode;
use toktra_siem_store::ConnectorSave;

use super::*;
use crate::connectors::{self, IfMatch};
use crate::{Query, keys, secrets};

#[tokio::test]
async fn a_connector_is_made_changed_and_removed_with_a_line_and_a_hint_each() {
    let world = World::new().await;
    let (app, admin) = (&world.app, world.admin().await);
    let made = connectors::create(app, &admin, connector("Prod")).await.unwrap();
    assert!(made.signing_secret.value.is_some() && !made.active);
    let change = Object::of(&json!({ "name": "Production", "active": true }));
    let condition = IfMatch::revision(made.revision);
    let changed = connectors::change(app, &admin, made.id, &condition, change).await.unwrap();
    assert_eq!((changed.connector.name.as_str(), changed.connector.active), ("Production", true));
    let stale = connectors::change(app, &admin, made.id, &condition, Object::empty()).await.unwrap_err();
    assert_eq!(stale.status.as_u16(), 412);
    connectors::delete(app, &admin, made.id, &IfMatch::Whatever).await.unwrap();
    assert_eq!(world.actions(ORG).await, ["connector.create", "connector.update", "connector.delete"]);
    assert_eq!(*world.told.0.lock(), [made.id; 3]);
}

#[tokio::test]
async fn what_is_wrong_is_told_all_at_once_and_nothing_is_done() {
    let world = World::new().await;
    let admin = world.admin().await;
    let wrong = json!({ "platform": "splunk", "config": { "hec_url": 1 }, "active": "yes", "more": 1 });
    let refusal = connectors::create(&world.app, &admin, Object::of(&wrong)).await.unwrap_err();
    let mut told: Vec<_> = refusal.fields.iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect();
    told.sort_unstable_by_key(|(pointer, _)| *pointer);
    let expected = [
        ("/active", FaultCode::Malformed),
        ("/config/hec_token", FaultCode::Missing),
        ("/config/hec_url", FaultCode::Malformed),
        ("/more", FaultCode::Unknown),
        ("/name", FaultCode::Missing),
    ];
    assert_eq!(told, expected);
    assert!(world.actions(ORG).await.is_empty() && world.told.0.lock().is_empty());
}

/// A connector as an older version stored it, which did not look at certificates as closely.
async fn with_a_broken_ca(world: &World, admin: &Caller) -> ConnectorId {
    let made = connectors::create(&world.app, admin, connector("Old")).await.unwrap();
    let mut connector = world.store.connector(ORG, made.id).await.unwrap().connector;
    connector.settings.config.insert("tls_ca".to_owned(), "-----BEGIN CERTIFICATE-----".into());
    let value = ConnectorSave {
        connector,
        expected: None,
        secrets: None,
        rotation: None,
        resume: toktra_siem_store::Resume::default(),
    };
    world.store.save_connector(ORG, Change { value, audit: line() }).await.unwrap();
    made.id
}

#[tokio::test]
async fn a_stored_certificate_that_cannot_be_used_keeps_nobody_from_changing_the_rest() {
    let world = World::new().await;
    let (app, admin) = (&world.app, world.admin().await);
    let id = with_a_broken_ca(&world, &admin).await;
    let change =
        async |change: Value| connectors::change(app, &admin, id, &IfMatch::Whatever, Object::of(&change)).await;
    for harmless in [
        json!({ "name": "New" }),
        json!({ "signing_secret": "another-signing-secret" }),
        json!({ "config": { "index": "other", "hec_token": "another-token-of-some-length" } }),
    ] {
        change(harmless.clone()).await.unwrap_or_else(|refusal| panic!("{harmless}: {refusal:?}"));
    }
    connectors::signing::rotate(app, &admin, id, &IfMatch::Whatever, Object::empty()).await.unwrap();
    connectors::signing::activate(app, &admin, id, &IfMatch::Whatever, Object::empty()).await.unwrap();
    // Another change of whom to trust is looked at as ever.
    let wish = json!({ "config": { "tls_server_name": "siem.test", "hec_token": "another-token-of-some-length" } });
    assert_eq!(change(wish).await.unwrap_err().fields[0].pointer, "/config/tls_ca");
}

#[tokio::test]
async fn the_audit_log_names_every_secret_that_changed() {
    let world = World::new().await;
    let (app, admin) = (&world.app, world.admin().await);
    let made = connectors::create(app, &admin, connector("Prod")).await.unwrap();
    let changed = async |change: Value| {
        connectors::change(app, &admin, made.id, &IfMatch::Whatever, Object::of(&change)).await.unwrap();
        world.told_last().await
    };
    // It ends as the one before, which is all that is shown of it.
    let token = |start: char| json!({ "config": { "hec_token": format!("{start}-token-of-some-length") } });
    assert_eq!(changed(token('b')).await, (json!(["hec_token"]), json!(true)));
    assert_eq!(changed(token('b')).await, (Value::Null, Value::Null), "the same once more");
    assert_eq!(changed(json!({ "name": "Other" })).await, (Value::Null, Value::Null));
    let signing = json!({ "signing_secret": "another-signing-secret" });
    assert_eq!(changed(signing).await, (json!(["signing_secret"]), Value::Null));
    connectors::signing::rotate(app, &admin, made.id, &IfMatch::Whatever, Object::empty()).await.unwrap();
    assert_eq!(world.told_last().await, (json!(["signing_secret_next"]), Value::Null));
    connectors::signing::cancel(app, &admin, made.id, &IfMatch::Whatever, Object::empty()).await.unwrap();
    assert_eq!(world.told_last().await, (json!(["signing_secret_next"]), Value::Null));
    connectors::signing::rotate(app, &admin, made.id, &IfMatch::Whatever, Object::empty()).await.unwrap();
    connectors::signing::activate(app, &admin, made.id, &IfMatch::Whatever, Object::empty()).await.unwrap();
    assert_eq!(world.told_last().await, (json!(["signing_secret", "signing_secret_next"]), Value::Null));
}

#[tokio::test]
async fn a_secret_is_shown_once_more_within_ten_minutes_to_whoever_had_it_made() {
    let world = World::new().await;
    let (app, admin, another) = (&world.app, world.admin().await, world.admin().await);
    let wish = Object::of(&json!({ "name": "CI", "scopes": ["siem:read"] }));
    let made = keys::create(app, &admin, wish).await.unwrap();
    assert!(secrets::list(app, &another).await.unwrap().items.is_empty());
    let shown = secrets::list(app, &admin).await.unwrap().items.remove(0);
    let again = secrets::reveal(app, &admin, secrets::ShownSecretId(shown.id), Object::empty()).await.unwrap();
    assert_eq!(again.secret.text(), made.key.text());
    assert!(secrets::reveal(app, &admin, secrets::ShownSecretId(shown.id), Object::empty()).await.is_err(), "once");
    assert_eq!(world.actions(ORG).await, ["api_key.create", "api_key.reveal"]);
    let wish = Object::of(&json!({ "name": "Late", "scopes": ["siem:read"] }));
    keys::create(app, &admin, wish).await.unwrap();
    world.clock.advance(secrets::SHOWN_FOR);
    assert!(secrets::list(app, &admin).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn a_list_goes_on_where_a_page_ended() {
    let world = World::new().await;
    let (app, admin) = (&world.app, world.admin().await);
    for name in ["a", "b", "c"] {
        connectors::create(app, &admin, connector(name)).await.unwrap();
        world.clock.advance(Duration::from_secs(1));
    }
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = connectors::list(app, &admin, Query::of([("limit", "2"), ("cursor", &*cursor)])).await.unwrap();
        names.extend(page.items.into_iter().map(|connector| connector.name));
        match page.next_cursor {
            Some(next) => cursor = next,
            None => break,
        }
    }
    assert_eq!(names, ["a", "b", "c"]);
    let unknown = connectors::list(app, &admin, Query::of([("colour", "red")])).await.unwrap_err();
    assert_eq!(unknown.fields[0].pointer, "/colour");
}

#[tokio::test]
async fn a_stored_secret_is_in_no_answer() {
    let world = World::new().await;
    let (app, admin) = (&world.app, world.admin().await);
    let made = connectors::create(app, &admin, connector("Prod")).await.unwrap();
    let signing: SecretString = made.signing_secret.value.unwrap();
    let shown = serde_json::to_string(&connectors::get(app, &admin, made.id).await.unwrap()).unwrap();
    assert!(!shown.contains("a-token-of-some-length") && !shown.contains(signing.expose_secret()), "{shown}");
}
