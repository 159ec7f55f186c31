//! `/v1/orgs`: the tenants. Platform keys only.

use axum::extract::State;
use toktra_siem_app::{App, Caller, Query, orgs};
use toktra_siem_core::ids::OrgId;

use crate::answer::{Answer, created, ok};
use crate::extract::{Given, NoQuery, OnlyId};

/// `GET /v1/orgs`.
pub(super) async fn list(State(app): State<App>, caller: Caller, query: Query) -> Answer {
    ok(&orgs::list(&app, &caller, query).await?)
}

/// `GET /v1/orgs/{id}`.
pub(super) async fn get(State(app): State<App>, caller: Caller, OnlyId(id): OnlyId<OrgId>) -> Answer {
    ok(&orgs::get(&app, &caller, id).await?)
}

/// `POST /v1/orgs`.
pub(super) async fn create(State(app): State<App>, caller: Caller, _: NoQuery, Given(org): Given) -> Answer {
    created(&orgs::create(&app, &caller, org).await?)
}

/// `PATCH /v1/orgs/{id}`.
pub(super) async fn rename(
    State(app): State<App>,
    caller: Caller,
    OnlyId(id): OnlyId<OrgId>,
    Given(change): Given,
) -> Answer {
    ok(&orgs::rename(&app, &caller, id, change).await?)
}

/// `DELETE /v1/orgs/{id}`.
pub(super) async fn delete(State(app): State<App>, caller: Caller, OnlyId(id): OnlyId<OrgId>) -> Answer {
    ok(&orgs::delete(&app, &caller, id).await?)
}

/// What these routes say of themselves.
pub(super) mod doc {
    use toktra_siem_wire as wire;

    use crate::doc::{Doc, Tag};
    use crate::error::Code;

    pub(crate) fn list() -> Doc {
        Doc::new("listOrgs", Tag::Orgs, "List orgs")
            .paged()
            .ok::<wire::List<wire::Org>>("A page of orgs, oldest first.")
    }

    pub(crate) fn create() -> Doc {
        Doc::new("createOrg", Tag::Orgs, "Make an org")
            .once()
            .body::<wire::NewOrg>("The org.")
            .created::<wire::Org>("The org was made.")
            .error(409, Code::Conflict, "There is an org with this id already.")
    }

    pub(crate) fn get() -> Doc {
        Doc::new("getOrg", Tag::Orgs, "Show an org").ok::<wire::Org>("The org.")
    }

    pub(crate) fn rename() -> Doc {
        Doc::new("updateOrg", Tag::Orgs, "Rename an org")
            .optional_body::<wire::OrgChange>("What is to change.")
            .ok::<wire::Org>("The org.")
    }

    pub(crate) fn delete() -> Doc {
        Doc::new("deleteOrg", Tag::Orgs, "Remove an org")
            .about("Removes the org with everything in it: connectors, keys, users with their sessions, events, history. This cannot be undone.")
            .ok::<wire::OrgRemoved>("The org is gone.")
            .error(409, Code::Conflict, "It is the default org, which cannot be removed.")
    }
}
