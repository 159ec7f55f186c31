//! `/v1/orgs`: the tenants. Platform keys only.

use toktra_siem_wire as wire;

use crate::doc::{Doc, Tag};
use crate::error::Code;

pub(super) fn list() -> Doc {
    Doc::new("listOrgs", Tag::Orgs, "List orgs").paged().ok::<wire::List<wire::Org>>("A page of orgs, oldest first.")
}

pub(super) fn create() -> Doc {
    Doc::new("createOrg", Tag::Orgs, "Create an org")
        .once()
        .body::<wire::NewOrg>("The org.")
        .created::<wire::Org>("The org was made.")
        .error(409, Code::Conflict, "There is an org with this id already.")
}

pub(super) fn get() -> Doc {
    Doc::new("getOrg", Tag::Orgs, "Show an org").ok::<wire::Org>("The org.")
}

pub(super) fn rename() -> Doc {
    Doc::new("updateOrg", Tag::Orgs, "Rename an org")
        .optional_body::<wire::OrgChange>("What is to change.")
        .ok::<wire::Org>("The org.")
}

pub(super) fn delete() -> Doc {
    Doc::new("deleteOrg", Tag::Orgs, "Remove an org")
        .about("Removes the org with everything in it: connectors, keys, users with their sessions, events, history. This cannot be undone.")
        .ok::<wire::OrgRemoved>("The org is gone.")
        .error(409, Code::Conflict, "It is the default org, which cannot be removed.")
}
