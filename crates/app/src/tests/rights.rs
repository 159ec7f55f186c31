//! Every use case asks for the right that it needs before it does anything: API and page call it alike, and the guard of the API's routes
//! is not in front of the page.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use toktra_siem_core::event::body::BodyFormat;
use toktra_siem_core::ids::{ApiKeyId, ChannelId, DeliveryId, EventId, JobId, UserId};
use toktra_siem_core::job::JobKind;

use super::*;
use crate::connectors::{self, IfMatch, compare, signing, test_delivery};
use crate::{
    Query, Refusal, accounting, acknowledge, audit, channels, deliveries, events, health, index_template, jobs, keys,
    orgs, platforms, preview, secrets, sent, sessions, setup, traffic, users,
};

/// What each use case says to `caller`, by its name: the module and the function.
async fn all(world: &World, caller: &Caller) -> Vec<(&'static str, Option<Refusal>)> {
    let (app, any) = (&world.app, IfMatch::Whatever);
    let (connector, delivery, job) = (ConnectorId(ORG.0), DeliveryId(ORG.0), JobId(ORG.0));
    let (key, user, event) = (ApiKeyId(ORG.0), UserId(ORG.0), EventId(ORG.0));
    let receipt = app.parts.telemetry.receive(&HeaderMap::new());
    let (query, body) = (|| Query::of([]), Object::empty);
    let posted = Bytes::from_static(br#"{"event_type":"anomaly","severity":"low"}"#);
    macro_rules! said {
        ($($name:literal: $call:expr),* $(,)?) => { vec![$(($name, $call.err())),*] };
    }
    said![
        "accounting::of_connector": accounting::of_connector(app, caller, connector).await,
        "accounting::of_all": accounting::of_all(app, caller).await,
        "audit::list": audit::list(app, caller, query()).await,
        "channels::list": channels::list(app, caller, query()).await,
        "channels::get": channels::get(app, caller, ChannelId(ORG.0)).await,
        "channels::create": channels::create(app, caller, body()).await,
        "channels::change": channels::change(app, caller, ChannelId(ORG.0), body()).await,
        "channels::delete": channels::delete(app, caller, ChannelId(ORG.0)).await,
        "channels::compare": channels::compare(app, caller, ChannelId(ORG.0), body()).await,
        "channels::test": channels::test(app, caller, ChannelId(ORG.0), body()).await,
        "acknowledge::acknowledge": acknowledge::acknowledge(app, caller, connector, body()).await,
        "acknowledge::take_back": acknowledge::take_back(app, caller, connector).await,
        "connectors::list": connectors::list(app, caller, query()).await,
        "connectors::get": connectors::get(app, caller, connector).await,
        "connectors::create": connectors::create(app, caller, super::connector("x")).await,
        "connectors::change": connectors::change(app, caller, connector, &any, body()).await,
        "connectors::delete": connectors::delete(app, caller, connector, &any).await,
        "compare::compare": compare::compare(app, caller, connector, body()).await,
        "signing::rotate": signing::rotate(app, caller, connector, &any, body()).await,
        "signing::cancel": signing::cancel(app, caller, connector, &any, body()).await,
        "signing::activate": signing::activate(app, caller, connector, &any, body()).await,
        "test_delivery::unsaved": test_delivery::unsaved(app, caller, super::connector("x")).await,
        "test_delivery::saved": test_delivery::saved(app, caller, connector, body()).await,
        "deliveries::list": deliveries::list(app, caller, None, query()).await,
        "deliveries::export": deliveries::export(app, caller, None, query()).await,
        "deliveries::get": deliveries::get(app, caller, delivery).await,
        "sent::request": sent::request(app, caller, delivery, "1").await,
        "events::post": events::post(app, caller, &receipt, posted, BodyFormat::Json).await,
        "events::get": events::get(app, caller, event).await,
        "search::list": events::list(app, caller, query()).await,
        "health::of_connector": health::of_connector(app, caller, connector).await,
        "health::of_all": health::of_all(app, caller).await,
        "index_template::apply": index_template::apply(app, caller, connector, body()).await,
        "jobs::of_range": jobs::of_range(app, caller, JobKind::Replay, connector, body()).await,
        "jobs::redeliver": jobs::redeliver(app, caller, delivery, body()).await,
        "jobs::list": jobs::list(app, caller, query()).await,
        "jobs::get": jobs::get(app, caller, job).await,
        "jobs::cancel": jobs::cancel(app, caller, job).await,
        "keys::list": keys::list(app, caller, query()).await,
        "keys::get": keys::get(app, caller, key).await,
        "keys::create": keys::create(app, caller, body()).await,
        "keys::revoke": keys::revoke(app, caller, key).await,
        "orgs::list": orgs::list(app, caller, query()).await,
        "orgs::get": orgs::get(app, caller, ORG).await,
        "orgs::create": orgs::create(app, caller, body()).await,
        "orgs::rename": orgs::rename(app, caller, ORG, body()).await,
        "orgs::delete": orgs::delete(app, caller, OTHER).await,
        "platforms::list": platforms::list(app, caller).await,
        "preview::preview": preview::preview(app, caller, body()).await,
        "secrets::list": secrets::list(app, caller).await,
        "secrets::reveal": secrets::reveal(app, caller, secrets::ShownSecretId(ORG.0), body()).await,
        "sessions::current": sessions::current(app, caller).await,
        "sessions::end": sessions::end(app, caller).await,
        "sessions::change_password": sessions::change_password(app, caller, None, body()).await,
        "setup::of_connector": setup::of_connector(app, caller, connector).await,
        "setup::of_draft": setup::of_draft(app, caller, body()).await,
        "traffic::of_connector": traffic::of_connector(app, caller, connector, query()).await,
        "traffic::of_all": traffic::of_all(app, caller, query()).await,
        "users::list": users::list(app, caller, query()).await,
        "users::get": users::get(app, caller, user).await,
        "users::create": users::create(app, caller, body()).await,
        "users::change": users::change(app, caller, user, body()).await,
        "users::delete": users::delete(app, caller, user).await,
    ]
}

/// The use cases that are let through to whoever has these scopes, in an org or in none.
async fn allowed(org: Option<OrgId>, scopes: &[Scope]) -> Vec<&'static str> {
    let world = World::new().await;
    let caller = world.caller(org, scopes).await;
    let said = all(&world, &caller).await;
    let refused = |refusal: &Option<Refusal>| refusal.as_ref().is_some_and(|no| no.status == StatusCode::FORBIDDEN);
    said.into_iter().filter(|(_, refusal)| !refused(refusal)).map(|(name, _)| name).collect()
}

#[tokio::test]
async fn a_use_case_is_refused_to_whoever_lacks_its_right() {
    assert_eq!(allowed(Some(ORG), &[Scope::EventsWrite]).await, ["events::post"]);
    let read = allowed(Some(ORG), &[Scope::SiemRead]).await;
    assert_eq!(
        read,
        [
            "accounting::of_connector",
            "accounting::of_all",
            "channels::list",
            "channels::get",
            "connectors::list",
            "connectors::get",
            "deliveries::list",
            "deliveries::export",
            "deliveries::get",
            "sent::request",
            "events::get",
            "search::list",
            "health::of_connector",
            "health::of_all",
            "jobs::list",
            "jobs::get",
            "platforms::list",
            "preview::preview",
            "setup::of_connector",
            "traffic::of_connector",
            "traffic::of_all",
        ]
    );
    let write = allowed(Some(ORG), &[Scope::SiemWrite]).await;
    assert_eq!(
        write,
        [
            "channels::create",
            "channels::change",
            "channels::delete",
            "channels::compare",
            "channels::test",
            "acknowledge::acknowledge",
            "acknowledge::take_back",
            "connectors::create",
            "connectors::change",
            "connectors::delete",
            "compare::compare",
            "signing::rotate",
            "signing::cancel",
            "signing::activate",
            "test_delivery::unsaved",
            "test_delivery::saved",
            "index_template::apply",
            "jobs::of_range",
            "jobs::redeliver",
            "jobs::cancel",
            "secrets::list",
            "secrets::reveal",
            "setup::of_draft",
        ]
    );
    let admin = allowed(Some(ORG), &[Scope::Admin]).await;
    let never: Vec<_> = all_names().await.into_iter().filter(|name| !admin.contains(name)).collect();
    let of_platform = ["orgs::list", "orgs::get", "orgs::create", "orgs::rename", "orgs::delete"];
    let of_people = ["sessions::current", "sessions::end", "sessions::change_password"];
    assert_eq!(never, [&of_platform[..], &of_people].concat(), "an API key is nobody's session");
    let platform = allowed(None, &[Scope::Platform]).await;
    let never: Vec<_> = all_names().await.into_iter().filter(|name| !platform.contains(name)).collect();
    assert_eq!(never, of_people, "whoever runs the platform may do everything in every org, but is nobody's session");
}

async fn all_names() -> Vec<&'static str> {
    let world = World::new().await;
    let nobody = world.caller(Some(ORG), &[]).await;
    let said = all(&world, &nobody).await;
    for (name, refusal) in &said {
        assert_eq!(refusal.as_ref().map(|no| no.status), Some(StatusCode::FORBIDDEN), "{name} with no scope at all");
    }
    said.into_iter().map(|(name, _)| name).collect()
}

/// A use case that is new has to be in the list of this test.
#[tokio::test]
async fn no_use_case_is_missing_here() {
    let listed = all_names().await;
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let name = match path.file_stem().unwrap().to_str().unwrap() {
                "mod" => path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned(),
                name => name.to_owned(),
            };
            // Also one in an `impl`, and whatever it calls who asks.
            // Also one in an `impl`, and whatever it calls whoever asks.
            for (at, _) in
                text.match_indices("pub ").filter(|(at, _)| text[..*at].trim_end_matches(' ').ends_with('\n'))
            {
                let signature = text[at + 4..].split('{').next().unwrap();
                let function = signature.trim_start_matches("async ").strip_prefix("fn ");
                // A constructor that remembers who asks is no use case.
                let asks = |function: &&str| signature.contains("&Caller") && !function.starts_with("new(");
                if let Some(function) = function.filter(asks) {
                    found.push(format!("{name}::{}", function.split('(').next().unwrap()));
                }
            }
        }
    }
    let missing: Vec<_> = found.iter().filter(|name| !listed.contains(&name.as_str())).collect();
    assert!(found.len() >= 40 && missing.is_empty(), "{missing:?} of {}", found.len());
}

#[tokio::test]
async fn what_is_another_orgs_is_not_there() {
    let world = World::new().await;
    let ours = connectors::create(&world.app, &world.admin().await, super::connector("Ours")).await.unwrap();
    let theirs = world.caller(Some(OTHER), &[Scope::Admin]).await;
    let refused = connectors::get(&world.app, &theirs, ours.id).await.unwrap_err();
    let (missing, any) = (refused.status, IfMatch::Whatever);
    assert_eq!(missing, StatusCode::NOT_FOUND);
    assert_eq!(connectors::delete(&world.app, &theirs, ours.id, &any).await.unwrap_err(), refused);
    assert_eq!(signing::rotate(&world.app, &theirs, ours.id, &any, Object::empty()).await.unwrap_err(), refused);
    assert!(connectors::list(&world.app, &theirs, Query::of([])).await.unwrap().items.is_empty());
}
