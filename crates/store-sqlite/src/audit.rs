//! The audit log of the embedded backend.

use rusqlite::{Connection, params};
use toktra_siem_core::people::ActorKind;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::config::{Actor, AuditEntry, AuditQuery};
use toktra_siem_store::org::Page;
use uuid::Uuid;

use super::codec::{Word, from_json, int, json, len, text, uint, uuid};
use super::fault::Outcome;

impl Word for ActorKind {
    const WORDS: &'static [Self] = &[Self::ApiKey, Self::User, Self::Environment, Self::System];
}

/// Writes a line; `org` is `None` for what concerns the whole service.
pub(super) fn write(conn: &Connection, org: Option<i64>, entry: &AuditEntry) -> Outcome<()> {
    let Actor { kind, name, id } = &entry.actor;
    conn.prepare_cached(
        "INSERT INTO audit (org, at, actor, action, object, detail, actor_kind, actor_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        org,
        entry.at.0,
        name,
        entry.action,
        entry.object,
        json(&entry.detail)?,
        kind.number(),
        id.map(Uuid::into_bytes)
    ])?;
    Ok(())
}

/// A page of the log of an org, or of the whole service.
pub(super) fn page(conn: &Connection, org: Option<i64>, query: &AuditQuery) -> Outcome<Page<(u64, AuditEntry)>> {
    let mut statement = conn.prepare_cached(
        "SELECT num, at, actor, action, object, detail, actor_kind, actor_id FROM audit
         WHERE org IS ?1 AND num < ?2 AND (?3 IS NULL OR actor = ?3 OR actor_id = ?4)
             AND (?5 IS NULL OR substr(action, 1, length(?5)) = ?5) AND (?6 IS NULL OR object = ?6) AND at >= ?7 AND at < ?8
         ORDER BY num DESC LIMIT ?9",
    )?;
    let id = query.actor.as_deref().and_then(|actor| Uuid::try_parse(actor).ok()).map(Uuid::into_bytes);
    let mut rows = statement.query(params![
        org,
        query.before.map_or(i64::MAX, int),
        query.actor,
        id,
        query.action,
        query.object,
        query.from.map_or(i64::MIN, |t| t.0),
        query.to.map_or(i64::MAX, |t| t.0),
        len(query.limit.saturating_add(1)),
    ])?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        let actor = Actor {
            kind: ActorKind::from_number(row.get(6)?)?,
            name: row.get(2)?,
            id: row.get::<_, Option<[u8; 16]>>(7)?.map(uuid),
        };
        let entry = AuditEntry {
            at: Timestamp(row.get(1)?),
            actor,
            action: row.get(3)?,
            object: row.get(4)?,
            detail: from_json(&text(row, 5)?).unwrap_or_default(),
        };
        items.push((uint(row.get(0)?), entry));
    }
    let has_more = items.len() > query.limit;
    items.truncate(query.limit);
    Ok(Page { items, has_more })
}

#[cfg(test)]
mod tests {
    use crate::migrate::open_writer;

    #[test]
    fn a_page_is_one_walk_along_the_index_also_of_the_whole_service() {
        let dir = tempfile::tempdir().unwrap();
        let conn = open_writer(&dir.path().join("x.db")).unwrap();
        let sql = "EXPLAIN QUERY PLAN SELECT num FROM audit WHERE org IS ?1 AND num < ?2 ORDER BY num DESC LIMIT 9";
        let plan: String = conn.query_row(sql, [None, Some(5)], |row| row.get(3)).unwrap();
        assert!(plan.contains("audit_org (org=? AND num<?)"), "{plan}");
    }
}
