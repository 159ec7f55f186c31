//! `/v1/audit`: who changed what, and when.

use serde_json::{Map, Value};
use toktra_siem_store::{AuditEntry, AuditQuery, Scope};
use toktra_siem_wire as wire;

use crate::{App, Caller, Query, Refusal, Result};

fn view((id, entry): (u64, AuditEntry)) -> wire::AuditEntry {
    let AuditEntry { at, actor, action, object, detail } = entry;
    let detail = match detail {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    wire::AuditEntry { id, at, actor: actor.name, actor_kind: actor.kind, actor_id: actor.id, action, object, detail }
}

/// The log of the org, newest first; what concerns no org as well where a platform key names none.
pub async fn list(app: &App, caller: &Caller, mut query: Query) -> Result<wire::List<wire::AuditEntry>> {
    caller.needs(Scope::Admin)?;
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
    let failed = |error| Refusal::store("org", error);
    let (mut entries, mut has_more) = (Vec::new(), false);
    if let Some(org) = caller.named_org() {
        let page = app.parts.store.audit(org, wanted.clone()).await.map_err(failed)?;
        has_more |= page.has_more;
        entries.extend(page.items);
    }
    if caller.asks_for_platform() {
        let page = app.parts.store.platform_audit(wanted.clone()).await.map_err(failed)?;
        has_more |= page.has_more;
        entries.extend(page.items);
    }
    entries.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
    has_more |= entries.len() > wanted.limit;
    entries.truncate(wanted.limit);
    let next_cursor = entries.last().filter(|_| has_more).map(|(number, _)| number.to_string());
    let items: Vec<wire::AuditEntry> = entries.into_iter().map(view).collect();
    Ok(wire::List { items, next_cursor, has_more, total_count: None })
}
