//! [`ConfigStore`] of the embedded backend: orgs and keys.

use std::collections::HashMap;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use toktra_siem_core::filter::FilterTimeline;
use toktra_siem_core::ids::{ApiKeyId, ConnectorId, OrgId, Seq};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::config::{
    ApiKeyRecord, AuditEntry, AuditQuery, Change, ConfigStore, ConnectorRecord, Milestone, OrgRecord, SealedSecret,
    USE_NOTED_EVERY,
};
use toktra_siem_store::error::{Result, StoreError};
use toktra_siem_store::org::Page;

use super::codec::{MAX_ORG, from_json, json, text, uint, uuid};
use super::engine::{Engine, OrgState};
use super::fault::{Fault, Outcome};
use super::{Sqlite, append, audit, channels, connectors, kept, people, streams};

#[async_trait]
impl ConfigStore for Sqlite {
    async fn milestone(&self, milestone: Milestone) -> Result<Option<Timestamp>> {
        let read = move |conn: &Connection| {
            let mut statement = conn.prepare_cached("SELECT at FROM milestone WHERE name = ?1")?;
            Ok(statement.query_row([milestone.as_str()], |row| row.get(0)).optional()?.map(Timestamp))
        };
        self.readers.run("reading a milestone", read).await
    }

    async fn reach(&self, milestone: Milestone, at: Timestamp) -> Result<()> {
        let write = move |engine: &mut Engine| {
            let sql = "INSERT OR IGNORE INTO milestone (name, at) VALUES (?1, ?2)";
            engine.conn.execute(sql, params![milestone.as_str(), at.0])?;
            Ok(())
        };
        self.writer.call("recording a milestone", write).await
    }

    async fn create_org(&self, change: Change<OrgRecord>) -> Result<()> {
        self.writer.call("making an org", move |engine| create_org(engine, &change)).await
    }

    async fn rename_org(&self, org: OrgId, change: Change<String>) -> Result<()> {
        self.writer
            .call("renaming an org", move |engine| {
                let num = engine.org(org)?.num;
                engine.conn.execute("UPDATE org SET name = ?2 WHERE num = ?1", params![num, change.value])?;
                audit::write(&engine.conn, Some(num), &change.audit)
            })
            .await
    }

    async fn delete_org(&self, org: OrgId, audit: AuditEntry) -> Result<u64> {
        self.writer.call("removing an org", move |engine| delete_org(engine, org, &audit)).await
    }

    async fn orgs(&self) -> Result<Vec<OrgRecord>> {
        self.readers
            .run("reading orgs", |conn| {
                let mut statement =
                    conn.prepare_cached("SELECT id, name, is_default, created_at FROM org ORDER BY num")?;
                Ok(statement.query_map([], org_record)?.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    async fn org(&self, org: OrgId) -> Result<OrgRecord> {
        self.readers
            .run("reading an org", move |conn| {
                conn.prepare_cached("SELECT id, name, is_default, created_at FROM org WHERE id = ?1")?
                    .query_row([org.0.as_bytes()], org_record)
                    .optional()?
                    .ok_or(Fault::Refused(StoreError::NotFound))
            })
            .await
    }

    async fn key_by_hash(&self, hash: [u8; 32]) -> Result<Option<ApiKeyRecord>> {
        self.readers.run("reading a key", move |conn| Ok(keys(conn, "k.hash = ?1", &[&hash])?.pop())).await
    }

    async fn create_key(&self, change: Change<ApiKeyRecord>) -> Result<()> {
        self.writer.call("making a key", move |engine| create_key(engine, &change)).await
    }

    async fn platform_keys(&self) -> Result<Vec<ApiKeyRecord>> {
        self.readers.run("reading keys", |conn| keys(conn, "k.org IS NULL", &[])).await
    }

    async fn next_key_end(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let next = move |conn: &Connection| {
            let sql = "SELECT min(expires_at) FROM api_key WHERE expires_at > ?1";
            let end: Option<i64> = conn.prepare_cached(sql)?.query_row([now.0], |row| row.get(0))?;
            Ok(end.map(Timestamp))
        };
        self.readers.run("reading keys", next).await
    }

    async fn revoke_platform_key(&self, id: ApiKeyId, audit: AuditEntry) -> Result<()> {
        self.writer.call("revoking a key", move |engine| revoke(&engine.conn, None, id, &audit)).await
    }

    async fn touch_key(&self, id: ApiKeyId, at: Timestamp) -> Result<()> {
        self.writer.call("noting the use of a key", move |engine| touch(&engine.conn, id, at)).await
    }

    async fn log(&self, org: Option<OrgId>, entry: AuditEntry) -> Result<()> {
        self.writer
            .call("writing the audit log", move |engine| {
                let num = org.map(|org| engine.org(org)).transpose()?.map(|org| org.num);
                audit::write(&engine.conn, num, &entry)
            })
            .await
    }

    async fn platform_audit(&self, query: AuditQuery) -> Result<Page<(u64, AuditEntry)>> {
        self.readers.run("reading the audit log", move |conn| audit::page(conn, None, &query)).await
    }

    async fn all_connectors(&self) -> Result<Vec<ConnectorRecord>> {
        self.readers.run("reading connectors", |conn| connectors::records(conn, None)).await
    }

    async fn timeline(&self, connector: ConnectorId) -> Result<FilterTimeline> {
        self.readers.run("reading a filter", move |conn| connectors::timeline(conn, connector)).await
    }

    async fn end_rotations(&self, now: Timestamp) -> Result<Vec<(OrgId, ConnectorId)>> {
        self.writer.call("ending rotations", move |engine| connectors::end_rotations(engine, now)).await
    }

    async fn reseal(&self, connector: ConnectorId, secrets: Vec<SealedSecret>) -> Result<()> {
        self.writer.call("replacing secrets", move |engine| connectors::reseal(engine, connector, &secrets)).await
    }
}

fn create_org(engine: &mut Engine, change: &Change<OrgRecord>) -> Outcome<()> {
    let record = &change.value;
    if engine.orgs.contains_key(&record.id) {
        return Err(Fault::conflict("there is an org with this id"));
    }
    let conn = &engine.conn;
    if record.is_default && conn.prepare_cached("SELECT 1 FROM org WHERE is_default = 1")?.exists([])? {
        return Err(Fault::conflict("there is a default org"));
    }
    let last: Option<i64> =
        conn.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'org'", [], |row| row.get(0)).optional()?;
    if last.unwrap_or(0) >= MAX_ORG {
        return Err(Fault::conflict("the store has used up its 2^23 orgs"));
    }
    conn.execute(
        "INSERT INTO org (id, name, is_default, created_at) VALUES (?1, ?2, ?3, ?4)",
        params![record.id.0.as_bytes(), record.name, record.is_default, record.created_at.0],
    )?;
    let num = conn.last_insert_rowid();
    audit::write(conn, Some(num), &change.audit)?;
    engine.orgs.insert(record.id, OrgState { num, head: Seq(0), accepted_at: Timestamp(0) });
    engine.effects.orgs = true;
    Ok(())
}

/// The org is gone for everybody at once; its events and deliveries, which may be many, are removed in pieces by retention.
/// How many undelivered events its connectors gave up.
fn delete_org(engine: &mut Engine, org: OrgId, entry: &AuditEntry) -> Outcome<u64> {
    let num = engine.org(org)?.num;
    let conn = &engine.conn;
    if conn.query_row("SELECT is_default FROM org WHERE num = ?1", [num], |row| row.get(0))? {
        return Err(Fault::conflict("the default org stays"));
    }
    let head = append::head(conn, num)?;
    let mut given_up = 0;
    for record in connectors::records(conn, Some(num))? {
        let mut most = 0;
        for stream in streams::of_connector(conn, record.connector.id)? {
            most = most.max(stream.record(head).undelivered());
        }
        given_up += most;
        connectors::forget(conn, record.connector.id)?;
        engine.effects.connectors.push(record.connector.id);
    }
    people::forget(conn, num)?;
    kept::forget_org(conn, org)?;
    channels::forget_org(conn, num)?;
    for sql in [
        "UPDATE stream SET removed = 1, epoch = epoch + 1 WHERE org = ?1",
        "DELETE FROM api_key WHERE org = ?1",
        "DELETE FROM job WHERE org = ?1",
        "DELETE FROM audit WHERE org = ?1",
        "DELETE FROM org WHERE num = ?1",
        "INSERT INTO removed_org (num) VALUES (?1)",
    ] {
        conn.execute(sql, [num])?;
    }
    audit::write(conn, None, entry)?;
    engine.orgs.remove(&org);
    engine.effects.orgs = true;
    engine.effects.removed.push(org);
    Ok(given_up)
}

fn create_key(engine: &mut Engine, change: &Change<ApiKeyRecord>) -> Outcome<()> {
    let key = &change.value;
    let org = key.org.map(|org| engine.org(org)).transpose()?.map(|org| org.num);
    let conn = &engine.conn;
    let taken = conn
        .prepare_cached("SELECT 1 FROM api_key WHERE id = ?1 OR hash = ?2")?
        .exists(params![key.id.0.as_bytes(), key.hash])?;
    if taken {
        return Err(Fault::conflict("there is a key with this id or hash"));
    }
    conn.execute(
        "INSERT INTO api_key (id, org, name, prefix, hash, scopes, created_at, expires_at, created_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            key.id.0.as_bytes(),
            org,
            key.name,
            key.prefix,
            key.hash,
            json(&key.scopes)?,
            key.created_at.0,
            key.expires_at.map(|t| t.0),
            key.created_by
        ],
    )?;
    audit::write(conn, org, &change.audit)
}

/// Removes a key of `org`, or a platform key where there is none.
pub(super) fn revoke(conn: &Connection, org: Option<i64>, id: ApiKeyId, entry: &AuditEntry) -> Outcome<()> {
    let gone = conn.execute("DELETE FROM api_key WHERE id = ?1 AND org IS ?2", params![id.0.as_bytes(), org])?;
    if gone == 0 {
        return Err(StoreError::NotFound.into());
    }
    audit::write(conn, org, entry)
}

fn touch(conn: &Connection, id: ApiKeyId, at: Timestamp) -> Outcome<()> {
    conn.prepare_cached(
        "UPDATE api_key SET last_used_at = ?2 WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at <= ?3)",
    )?
    .execute(params![id.0.as_bytes(), at.0, at.minus(USE_NOTED_EVERY).0])?;
    Ok(())
}

/// API keys by a condition, by creation.
pub(super) fn keys(conn: &Connection, condition: &str, values: &[&dyn rusqlite::ToSql]) -> Outcome<Vec<ApiKeyRecord>> {
    let sql = format!(
        "SELECT k.id, o.id, k.name, k.prefix, k.hash, k.scopes, k.created_at, k.expires_at, k.created_by,
             k.last_used_at
         FROM api_key k LEFT JOIN org o ON o.num = k.org WHERE {condition} ORDER BY k.created_at, k.id"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    statement
        .query_and_then(values, |row| {
            Ok(ApiKeyRecord {
                id: ApiKeyId(uuid(row.get(0)?)),
                org: row.get::<_, Option<[u8; 16]>>(1)?.map(|id| OrgId(uuid(id))),
                name: row.get(2)?,
                prefix: row.get(3)?,
                hash: row.get(4)?,
                // A key whose rights cannot be read has none.
                scopes: from_json(&text(row, 5)?).unwrap_or_default(),
                created_at: Timestamp(row.get(6)?),
                expires_at: row.get::<_, Option<i64>>(7)?.map(Timestamp),
                created_by: row.get(8)?,
                last_used_at: row.get::<_, Option<i64>>(9)?.map(Timestamp),
            })
        })?
        .collect()
}

fn org_record(row: &Row<'_>) -> rusqlite::Result<OrgRecord> {
    Ok(OrgRecord {
        id: OrgId(uuid(row.get(0)?)),
        name: row.get(1)?,
        is_default: row.get(2)?,
        created_at: Timestamp(row.get(3)?),
    })
}

/// The orgs as the writer sees them, as of the last sealed partition.
pub(super) fn states(conn: &Connection) -> Outcome<HashMap<OrgId, OrgState>> {
    let mut statement = conn.prepare_cached("SELECT id, num, head, accepted_at FROM org")?;
    let rows = statement.query_map([], |row| {
        let (head, accepted_at) = (Seq(uint(row.get(2)?)), Timestamp(row.get(3)?));
        Ok((OrgId(uuid(row.get(0)?)), OrgState { num: row.get(1)?, head, accepted_at }))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
