//! `/v1/orgs`: the tenants. Platform keys only.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use toktra_siem_core::fault::Wrong;
use toktra_siem_core::ids::OrgId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{Change, OrgRecord, StoreError};

use super::answer;
use super::error::{ApiError, Result};
use super::guard::Caller;
use super::named::OnlyId;
use super::object::{Member, Object};
use super::query::{Position, Query};
use super::state::AppState;

/// What the API calls this in its messages.
const ORG: &str = "org";

fn failed(error: StoreError) -> ApiError {
    ApiError::store(ORG, error)
}

/// A tenant.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Org")]
struct OrgView {
    /// Its id.
    id: OrgId,
    /// For people.
    name: String,
    /// Whether it is the one that the service made at its first start. It cannot be removed.
    is_default: bool,
    /// When it was made.
    created_at: Timestamp,
}

fn view(org: &OrgRecord) -> OrgView {
    OrgView { id: org.id, name: org.name.clone(), is_default: org.is_default, created_at: org.created_at }
}

/// What was given up with an org.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Discarded {
    /// Undelivered events, counted for each connector that had them.
    discarded: u64,
}

/// All of them.
pub(super) async fn list(State(state): State<AppState>, request: Request<Body>) -> Result<Response> {
    let mut query = Query::of(request.uri());
    let paging = query.paging();
    query.finish()?;
    let all = state.parts.store.orgs().await.map_err(failed)?;
    let list = paging.page(all, |org| Position(org.created_at, org.id.0), |org| Ok(view(org)))?;
    Ok(answer::json(StatusCode::OK, &list))
}

/// One of them.
pub(super) async fn get(State(state): State<AppState>, OnlyId(id): OnlyId<OrgId>) -> Result<Response> {
    let org = state.parts.store.org(id).await.map_err(failed)?;
    Ok(answer::json(StatusCode::OK, &view(&org)))
}

/// Makes one. Its id may be given, so that it is the one the caller knows the tenant by.
pub(super) async fn create(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    Query::of(request.uri()).finish()?;
    let mut object = Object::read(&state, request).await?;
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
    let now = state.parts.clock.now();
    let org = OrgRecord {
        id: given.unwrap_or_else(|| OrgId(state.parts.random.uuid_v7(now))),
        name: name.unwrap_or_default(),
        is_default: false,
        created_at: now,
    };
    let audit = caller.audit(now, "org.create", org.id, json!({ "after": view(&org) }));
    match state.parts.store.create_org(Change { value: org.clone(), audit }).await {
        Err(StoreError::Conflict(_)) => return Err(ApiError::conflict("There is an org with this id already.")),
        outcome => outcome.map_err(failed)?,
    }
    Ok(answer::json(StatusCode::CREATED, &view(&org)))
}

/// Renames one.
pub(super) async fn rename(
    State(state): State<AppState>,
    caller: Caller,
    OnlyId(id): OnlyId<OrgId>,
    request: Request<Body>,
) -> Result<Response> {
    let mut object = Object::read(&state, request).await?;
    let name = object.name(false);
    object.finish()?;
    let before = state.parts.store.org(id).await.map_err(failed)?;
    if let Some(name) = name {
        let detail = json!({ "before": { "name": before.name }, "after": { "name": name } });
        let audit = caller.audit(state.parts.clock.now(), "org.rename", id, detail);
        state.parts.store.rename_org(id, Change { value: name, audit }).await.map_err(failed)?;
    }
    let org = state.parts.store.org(id).await.map_err(failed)?;
    Ok(answer::json(StatusCode::OK, &view(&org)))
}

/// Removes one with everything in it: connectors, keys, people with their sessions, events, history. Answers how many undelivered events
/// were given up with it.
pub(super) async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    OnlyId(id): OnlyId<OrgId>,
) -> Result<Response> {
    let before = state.parts.store.org(id).await.map_err(failed)?;
    if before.is_default {
        return Err(ApiError::conflict("The default org cannot be removed. Remove its connectors instead."));
    }
    let connectors = state.parts.store.connectors(id).await.map_err(failed)?;
    let audit = caller.audit(state.parts.clock.now(), "org.delete", id, json!({ "before": view(&before) }));
    let discarded = state.parts.store.delete_org(id, audit).await.map_err(failed)?;
    state.orgs.clear();
    state.keys.forget();
    for record in connectors {
        state.parts.dispatch.connector_changed(id, record.connector.id);
    }
    Ok(answer::json(StatusCode::OK, &Discarded { discarded }))
}

/// What these routes say of themselves.
pub(super) mod doc {
    use schemars::JsonSchema;
    use toktra_siem_core::ids::OrgId;

    use super::super::doc::{Doc, Name, Tag};
    use super::super::error::Code;
    use super::super::query::List;
    use super::{Discarded, OrgView};

    /// A new org.
    #[derive(JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "describes what is read member by member")]
    struct NewOrg {
        /// For people.
        name: Name,
        /// The id by which the tenant is known elsewhere; without it one is made.
        id: Option<OrgId>,
    }

    /// What of an org can be changed.
    #[derive(JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "describes what is read member by member")]
    struct OrgChange {
        /// For people.
        #[serde(default)]
        #[schemars(with = "Name")]
        name: Option<String>,
    }

    pub(crate) fn list() -> Doc {
        Doc::new("listOrgs", Tag::Orgs, "List orgs").paged().ok::<List<OrgView>>("A page of orgs, oldest first.")
    }

    pub(crate) fn create() -> Doc {
        Doc::new("createOrg", Tag::Orgs, "Make an org")
            .once()
            .body::<NewOrg>("The org.")
            .created::<OrgView>("The org was made.")
            .error(409, Code::Conflict, "There is an org with this id already.")
    }

    pub(crate) fn get() -> Doc {
        Doc::new("getOrg", Tag::Orgs, "Show an org").ok::<OrgView>("The org.")
    }

    pub(crate) fn rename() -> Doc {
        Doc::new("updateOrg", Tag::Orgs, "Rename an org")
            .optional_body::<OrgChange>("What is to change.")
            .ok::<OrgView>("The org.")
    }

    pub(crate) fn delete() -> Doc {
        Doc::new("deleteOrg", Tag::Orgs, "Remove an org")
            .about("Removes the org with everything in it: connectors, keys, users with their sessions, events, history. This cannot be undone.")
            .ok::<Discarded>("The org is gone.")
            .error(409, Code::Conflict, "It is the default org, which cannot be removed.")
    }
}
