//! `/v1/audit`: who changed what, and when.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{ActorKind, AuditEntry, AuditQuery};
use uuid::Uuid;

use super::answer;
use super::error::{ApiError, Result};
use super::guard::Caller;
use super::query::{List, Query};
use super::state::AppState;

/// A line of the audit log.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
struct EntryView {
    /// Its number: later ones are higher.
    id: u64,
    /// When.
    at: Timestamp,
    /// Who: the name of an API key, the e-mail address of a user, `environment`, or a part of the service.
    actor: String,
    /// What kind of actor that is.
    actor_kind: ActorKind,
    /// The id of key or user. Names may be given twice, this is not.
    actor_id: Option<Uuid>,
    /// What was done, such as `connector.create`.
    action: String,
    /// To which object: its id.
    object: String,
    /// What there was `before` and what there is `after`, secrets masked.
    detail: Map<String, Value>,
}

fn view((id, entry): (u64, AuditEntry)) -> EntryView {
    let AuditEntry { at, actor, action, object, detail } = entry;
    let detail = match detail {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    EntryView { id, at, actor: actor.name, actor_kind: actor.kind, actor_id: actor.id, action, object, detail }
}

/// The log of the org, newest first; what concerns no org as well where a platform key names none.
pub(super) async fn list(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    let mut query = Query::of(request.uri());
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let (from, to) = query.range();
    let wanted = AuditQuery {
        actor: query.take("actor", "the name or id of an actor", text),
        action: query.take("action", "the beginning of an action, such as `connector.`", text),
        object: query.take("object", "the id of an object", text),
        from,
        to,
        before: query.take("cursor", "the `next_cursor` of a page of this list", |text| text.parse().ok()),
        limit: query.limit(),
    };
    query.finish()?;
    let failed = |error| ApiError::store("org", error);
    let (mut entries, mut has_more) = (Vec::new(), false);
    if let Some(org) = caller.named_org() {
        let page = state.parts.store.audit(org, wanted.clone()).await.map_err(failed)?;
        has_more |= page.has_more;
        entries.extend(page.items);
    }
    if caller.asks_for_platform() {
        let page = state.parts.store.platform_audit(wanted.clone()).await.map_err(failed)?;
        has_more |= page.has_more;
        entries.extend(page.items);
    }
    entries.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
    has_more |= entries.len() > wanted.limit;
    entries.truncate(wanted.limit);
    let next_cursor = entries.last().filter(|_| has_more).map(|(number, _)| number.to_string());
    let items: Vec<EntryView> = entries.into_iter().map(view).collect();
    Ok(answer::json(StatusCode::OK, &List { items, next_cursor, has_more, total_count: None }))
}

/// What this route says of itself.
pub(super) mod doc {
    use toktra_siem_core::time::Timestamp;

    use super::super::doc::{Doc, Tag};
    use super::super::query::List;
    use super::EntryView;

    pub(crate) fn list() -> Doc {
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
            .ok::<List<EntryView>>("A page of changes.")
    }
}
