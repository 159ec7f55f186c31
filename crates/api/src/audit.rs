//! `/v1/audit`: who changed what, and when.

use toktra_siem_core::time::Timestamp;
use toktra_siem_wire as wire;

use crate::doc::{Doc, Tag};

pub(super) fn list() -> Doc {
    Doc::new("listAuditEntries", Tag::Audit, "List changes")
        .about(
            "The log of the org, newest first. What concerns no org (platform keys, orgs that were removed) is listed for a platform \
             key that names none.",
        )
        .query::<String>("actor", "By this actor: the name or the id.")
        .query::<String>("action", "Whose action begins with this, such as `connector.`.")
        .query::<String>("object", "About the object with this id.")
        .query::<Timestamp>("from", "At this time or after it.")
        .query::<Timestamp>("to", "Before this time.")
        .paged()
        .ok::<wire::List<wire::AuditEntry>>("A page of changes.")
}
