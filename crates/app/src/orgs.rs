//! `/v1/orgs`: the tenants. Platform keys only.

use serde_json::json;
use tokio::task::JoinSet;
use toktra_siem_core::fault::Wrong;
use toktra_siem_core::ids::OrgId;
use toktra_siem_store::{Change, OrgRecord, Scope, StoreError};
use toktra_siem_wire as wire;

use crate::farewell::Farewell;
use crate::object::{Member, Object};
use crate::query::{Position, Query};
use crate::{App, Caller, Refusal, Result};

/// What the API calls this in its messages.
const ORG: &str = "org";

fn failed(error: StoreError) -> Refusal {
    Refusal::store(ORG, error)
}

fn view(org: &OrgRecord, stored_bytes: u64) -> wire::Org {
    let OrgRecord { id, name, is_default, created_at } = org.clone();
    wire::Org { id, name, is_default, created_at, stored_bytes }
}

/// The org, with what it takes at present.
async fn measured(app: &App, org: &OrgRecord) -> Result<wire::Org> {
    let stored = app.parts.store.stored_bytes().await.map_err(failed)?;
    Ok(view(org, stored.get(&org.id).copied().unwrap_or(0)))
}

/// All of them.
pub async fn list(app: &App, caller: &Caller, mut query: Query) -> Result<wire::List<wire::Org>> {
    caller.needs(Scope::Platform)?;
    let paging = query.paging();
    query.finish()?;
    let all = app.parts.store.orgs().await.map_err(failed)?;
    let stored = app.parts.store.stored_bytes().await.map_err(failed)?;
    let view = |org: &OrgRecord| Ok(view(org, stored.get(&org.id).copied().unwrap_or(0)));
    paging.page(all, |org| Position(org.created_at, org.id.0), view)
}

/// One of them.
pub async fn get(app: &App, caller: &Caller, id: OrgId) -> Result<wire::Org> {
    caller.needs(Scope::Platform)?;
    let org = app.parts.store.org(id).await.map_err(failed)?;
    measured(app, &org).await
}

/// Makes one. Its id may be given, so that it is the one the caller knows the tenant by.
pub async fn create(app: &App, caller: &Caller, mut object: Object) -> Result<wire::Org> {
    caller.needs(Scope::Platform)?;
    let name = object.name(true);
    let given = match object.text("id") {
        Member::Value(text) => {
            let parsed = text.parse::<OrgId>().ok().filter(|id| !id.0.is_nil());
            if parsed.is_none() {
                object.fault("id", Wrong::malformed("a UUID, or left out"));
            }
            parsed
        }
        Member::Null | Member::Absent => None,
    };
    object.finish()?;
    let now = app.parts.clock.now();
    let org = OrgRecord {
        id: given.unwrap_or_else(|| OrgId(app.parts.random.uuid_v7(now))),
        name: name.unwrap_or_default(),
        is_default: false,
        created_at: now,
    };
    let audit = caller.audit(now, "org.create", org.id, json!({ "after": view(&org, 0) }));
    match app.parts.store.create_org(Change { value: org.clone(), audit }).await {
        Err(StoreError::Conflict(_)) => return Err(Refusal::conflict("There is an org with this id already.")),
        outcome => outcome.map_err(failed)?,
    }
    Ok(view(&org, 0))
}

/// Renames one.
pub async fn rename(app: &App, caller: &Caller, id: OrgId, mut object: Object) -> Result<wire::Org> {
    caller.needs(Scope::Platform)?;
    let name = object.name(false);
    object.finish()?;
    let before = app.parts.store.org(id).await.map_err(failed)?;
    if let Some(name) = name {
        let detail = json!({ "before": { "name": before.name }, "after": { "name": name } });
        let audit = caller.audit(app.parts.clock.now(), "org.rename", id, detail);
        app.parts.store.rename_org(id, Change { value: name, audit }).await.map_err(failed)?;
    }
    let org = app.parts.store.org(id).await.map_err(failed)?;
    measured(app, &org).await
}

/// Removes one with everything in it: connectors, keys, people with their sessions, events, history. Answers how many undelivered events
/// were given up with it.
pub async fn delete(app: &App, caller: &Caller, id: OrgId) -> Result<wire::OrgRemoved> {
    caller.needs(Scope::Platform)?;
    let before = app.parts.store.org(id).await.map_err(failed)?;
    if before.is_default {
        return Err(Refusal::conflict("The default org cannot be removed. Remove its connectors instead."));
    }
    let connectors = app.parts.store.connectors(id).await.map_err(failed)?;
    let audit =
        caller.audit(app.parts.clock.now(), "org.delete", id, json!({ "before": measured(app, &before).await? }));
    let farewell = Farewell::of(app, id).await.map_err(failed)?;
    let discarded = app.parts.store.delete_org(id, audit).await.map_err(failed)?;
    app.orgs.clear();
    app.keys.forget();
    let mut removed = JoinSet::new();
    for record in connectors {
        let dispatch = app.parts.dispatch.clone();
        removed.spawn(async move { dispatch.connector_removed(id, record.connector.id).await });
    }
    removed.join_all().await;
    farewell.tell(app).await;
    Ok(wire::OrgRemoved { discarded })
}
