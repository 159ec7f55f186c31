//! [`ChannelStore`] and [`NoticeStore`] of the embedded backend.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use toktra_siem_core::ids::{ChannelId, ConnectorId, OrgId};
use toktra_siem_core::notice::{Acknowledgement, Notice};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::channels::{Channel, ChannelRecord, ChannelStore, MAX_CHANNELS, NoticeStore, Progress};
use toktra_siem_store::config::{AuditEntry, Change, SealedSecret};
use toktra_siem_store::error::{Result, StoreError};

use super::Sqlite;
use super::audit::write as write_audit;
use super::codec::{from_json, int, json, len, text, uint, uuid};
use super::engine::Engine;
use super::fault::{Fault, Outcome};
use super::standin;

#[async_trait]
impl ChannelStore for Sqlite {
    async fn channels(&self, org: OrgId) -> Result<Vec<ChannelRecord>> {
        let num = self.org_head(org)?.num;
        self.readers.run("reading channels", move |conn| records(conn, Some(num))).await
    }

    async fn create_channel(&self, org: OrgId, change: Change<ChannelRecord>) -> Result<()> {
        self.writer.call("making a channel", move |engine| create(engine, org, &change)).await
    }

    async fn save_channel(&self, org: OrgId, updated_before: Timestamp, change: Change<ChannelRecord>) -> Result<()> {
        self.writer.call("saving a channel", move |engine| save(engine, org, updated_before, &change)).await
    }

    async fn delete_channel(&self, org: OrgId, id: ChannelId, audit: AuditEntry) -> Result<()> {
        let delete = move |engine: &mut Engine| {
            let num = engine.org(org)?.num;
            let sql = "DELETE FROM channel WHERE id = ?1 AND org = ?2";
            if engine.conn.prepare_cached(sql)?.execute(params![id.0.as_bytes(), num])? == 0 {
                return Err(StoreError::NotFound.into());
            }
            write_secrets(&engine.conn, id, &[])?;
            write_audit(&engine.conn, Some(num), &audit)
        };
        self.writer.call("removing a channel", delete).await
    }

    async fn acknowledge(
        &self,
        org: OrgId,
        connector: ConnectorId,
        change: Change<Option<Acknowledgement>>,
    ) -> Result<()> {
        self.writer.call("acknowledging", move |engine| acknowledge(engine, org, connector, &change)).await
    }

    async fn acknowledgements(&self, org: OrgId) -> Result<Vec<(ConnectorId, Acknowledgement)>> {
        let num = self.org_head(org)?.num;
        self.readers.run("reading what is acknowledged", move |conn| acknowledgements(conn, Some(num))).await
    }
}

#[async_trait]
impl NoticeStore for Sqlite {
    async fn all_channels(&self) -> Result<Vec<ChannelRecord>> {
        self.readers.run("reading channels", |conn| records(conn, None)).await
    }

    async fn all_acknowledgements(&self) -> Result<Vec<(ConnectorId, Acknowledgement)>> {
        self.readers.run("reading what is acknowledged", |conn| acknowledgements(conn, None)).await
    }

    async fn note(&self, org: OrgId, notices: Vec<Notice>) -> Result<usize> {
        self.writer.call("noting what is to be told", move |engine| note(engine, org, &notices)).await
    }

    async fn noted(&self, org: OrgId, after: u64, limit: usize) -> Result<Vec<(u64, Notice)>> {
        let num = self.org_head(org)?.num;
        let read = move |conn: &Connection| {
            let sql = "SELECT number, doc FROM notice WHERE org = ?1 AND number > ?2 ORDER BY number LIMIT ?3";
            let mut statement = conn.prepare_cached(sql)?;
            let mut rows = statement.query([num, int(after), len(limit)])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                // One that cannot be read is told nobody, and keeps no other one.
                if let Ok(notice) = from_json(&text(row, 1)?) {
                    found.push((uint(row.get(0)?), notice));
                }
            }
            Ok(found)
        };
        self.readers.run("reading what is to be told", read).await
    }

    async fn known(&self, org: OrgId, keys: Vec<String>) -> Result<Vec<Option<Timestamp>>> {
        let num = self.org_head(org)?.num;
        let read = move |conn: &Connection| {
            let mut statement = conn.prepare_cached("SELECT at FROM notice WHERE org = ?1 AND key = ?2")?;
            let mut noted = |key: &String| {
                let at: Option<i64> = statement.query_row(params![num, key], |row| row.get(0)).optional()?;
                Ok(at.map(Timestamp))
            };
            keys.iter().map(&mut noted).collect()
        };
        self.readers.run("reading what was noted", read).await
    }

    async fn told(&self, id: ChannelId, as_of: Timestamp, told_to: u64, progress: Progress) -> Result<()> {
        let tell = move |engine: &mut Engine| {
            let sql = "UPDATE channel SET told_to = max(told_to, ?2), \
                       progress = CASE WHEN CASE WHEN json_valid(doc) THEN doc ->> 'updated_at' = ?4 END THEN ?3 ELSE progress END \
                       WHERE id = ?1";
            let as_of = as_of.to_string();
            let values = params![id.0.as_bytes(), int(told_to), json(&progress)?, as_of];
            found(engine.conn.prepare_cached(sql)?.execute(values)?)
        };
        self.writer.call("keeping what was told", tell).await
    }

    async fn reseal_channel(&self, id: ChannelId, secrets: Vec<SealedSecret>) -> Result<()> {
        let reseal = move |engine: &mut Engine| {
            if !engine.conn.prepare_cached("SELECT 1 FROM channel WHERE id = ?1")?.exists([id.0.as_bytes()])? {
                return Err(StoreError::NotFound.into());
            }
            write_secrets(&engine.conn, id, &secrets)
        };
        self.writer.call("replacing secrets", reseal).await
    }

    async fn expire_notices(&self, before: Timestamp) -> Result<u64> {
        let expire = move |engine: &mut Engine| {
            // The last one of each org stays: the next number follows from it.
            let sql = "DELETE FROM notice WHERE at < ?1 AND number < (SELECT max(number) FROM notice n WHERE n.org = notice.org)";
            Ok(engine.conn.execute(sql, [before.0])? as u64)
        };
        self.writer.call("forgetting what was told", expire).await
    }
}

fn create(engine: &mut Engine, org: OrgId, change: &Change<ChannelRecord>) -> Outcome<()> {
    let (num, record) = (engine.org(org)?.num, &change.value);
    let conn = &engine.conn;
    let id = record.channel.id.0;
    if conn.prepare_cached("SELECT 1 FROM channel WHERE id = ?1")?.exists([id.as_bytes()])? {
        return Err(Fault::conflict("there is a channel with this id"));
    }
    if records(conn, Some(num))?.len() >= MAX_CHANNELS {
        return Err(Fault::conflict("there are as many channels as there may be"));
    }
    is_free(conn, num, &record.channel)?;
    let channel = Channel { org, ..record.channel.clone() };
    let sql = "INSERT INTO channel (id, org, doc, told_to, progress) VALUES (?1, ?2, ?3, ?4, ?5)";
    let values = params![id.as_bytes(), num, json(&channel)?, last_notice(conn, num)?, json(&Progress::default())?];
    conn.prepare_cached(sql)?.execute(values)?;
    write_secrets(conn, channel.id, &record.secrets)?;
    write_audit(conn, Some(num), &change.audit)
}

fn save(engine: &mut Engine, org: OrgId, updated_before: Timestamp, change: &Change<ChannelRecord>) -> Outcome<()> {
    let (num, record) = (engine.org(org)?.num, &change.value);
    let conn = &engine.conn;
    let id = record.channel.id;
    let ours = records(conn, Some(num))?.into_iter().find(|present| present.channel.id == id);
    let present = ours.ok_or(Fault::Refused(StoreError::NotFound))?;
    is_free(conn, num, &record.channel)?;
    if present.channel.updated_at != updated_before {
        return Err(Fault::conflict("the channel was saved meanwhile"));
    }
    let told_to = if present.channel.active { int(present.told_to) } else { last_notice(conn, num)? };
    let progress = Progress { failing: None, ..present.progress };
    let channel = Channel { org, created_at: present.channel.created_at, ..record.channel.clone() };
    conn.prepare_cached("UPDATE channel SET doc = ?2, told_to = ?3, progress = ?4 WHERE id = ?1")?.execute(params![
        id.0.as_bytes(),
        json(&channel)?,
        told_to,
        json(&progress)?
    ])?;
    write_secrets(conn, id, &record.secrets)?;
    write_audit(conn, Some(num), &change.audit)
}

/// Those of an org, or all.
fn acknowledgements(conn: &Connection, org: Option<i64>) -> Outcome<Vec<(ConnectorId, Acknowledgement)>> {
    let sql = "SELECT connector, doc FROM acknowledgement WHERE ?1 IS NULL OR org = ?1 ORDER BY connector";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([org])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if let Ok(known) = from_json(&text(row, 1)?) {
            found.push((ConnectorId(uuid(row.get(0)?)), known));
        }
    }
    Ok(found)
}

fn acknowledge(
    engine: &mut Engine,
    org: OrgId,
    connector: ConnectorId,
    change: &Change<Option<Acknowledgement>>,
) -> Outcome<()> {
    let num = engine.org(org)?.num;
    let (conn, id) = (&engine.conn, connector.0.as_bytes());
    if !conn.prepare_cached("SELECT 1 FROM connector WHERE id = ?1 AND org = ?2")?.exists(params![id, num])? {
        return Err(StoreError::NotFound.into());
    }
    let changed = match &change.value {
        None => conn.prepare_cached("DELETE FROM acknowledgement WHERE connector = ?1")?.execute([id])?,
        Some(known) => conn
            .prepare_cached("INSERT OR REPLACE INTO acknowledgement (connector, org, doc) VALUES (?1, ?2, ?3)")?
            .execute(params![id, num, json(known)?])?,
    };
    if changed > 0 { write_audit(conn, Some(num), &change.audit) } else { Ok(()) }
}

fn note(engine: &mut Engine, org: OrgId, notices: &[Notice]) -> Outcome<usize> {
    let num = engine.org(org)?.num;
    let mut new = 0;
    for notice in notices {
        let sql = "INSERT OR IGNORE INTO notice (org, number, key, at, doc) VALUES (?1, ?2, ?3, ?4, ?5)";
        let number = last_notice(&engine.conn, num)? + 1;
        let values = params![num, number, notice.key, engine.now().0, json(notice)?];
        new += engine.conn.prepare_cached(sql)?.execute(values)?;
    }
    Ok(new)
}

/// The highest number that was given to a notice of the org, as far as anything speaks of it.
fn last_notice(conn: &Connection, org: i64) -> Outcome<i64> {
    let sql = "SELECT max((SELECT coalesce(max(number), 0) FROM notice WHERE org = ?1),
                          (SELECT coalesce(max(told_to), 0) FROM channel WHERE org = ?1))";
    Ok(conn.prepare_cached(sql)?.query_row([org], |row| row.get(0))?)
}

fn records(conn: &Connection, org: Option<i64>) -> Outcome<Vec<ChannelRecord>> {
    let mut statement = conn.prepare_cached(
        "SELECT c.doc, c.told_to, c.progress, c.id, o.id FROM channel c JOIN org o ON o.num = c.org
         WHERE ?1 IS NULL OR c.org = ?1",
    )?;
    let mut rows = statement.query([org])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(record(conn, row)?);
    }
    found.sort_by_key(|record: &ChannelRecord| (record.channel.created_at, record.channel.id));
    Ok(found)
}

fn record(conn: &Connection, row: &Row<'_>) -> Outcome<ChannelRecord> {
    let bytes = row.get_ref(0)?.as_bytes().map_err(rusqlite::Error::from)?;
    let (id, org) = (ChannelId(uuid(row.get(3)?)), OrgId(uuid(row.get(4)?)));
    let channel = standin::read(bytes).unwrap_or_else(|| standin::channel(id, org, bytes));
    let channel = Channel { id, org, ..channel };
    let sql = "SELECT field, key_id, nonce, ciphertext FROM channel_secret WHERE channel = ?1 ORDER BY field";
    let secrets = conn
        .prepare_cached(sql)?
        .query_map([channel.id.0.as_bytes()], |row| {
            Ok(SealedSecret { field: text(row, 0)?, key_id: row.get(1)?, nonce: row.get(2)?, ciphertext: row.get(3)? })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let (told_to, progress) = (uint(row.get(1)?), from_json(&text(row, 2)?).unwrap_or_default());
    Ok(ChannelRecord { channel, secrets, told_to, progress })
}

fn is_free(conn: &Connection, org: i64, channel: &Channel) -> Outcome<()> {
    let sql =
        "SELECT 1 FROM channel WHERE org = ?1 AND id <> ?2 AND CASE WHEN json_valid(doc) THEN doc ->> 'name' = ?3 END";
    let taken = conn.prepare_cached(sql)?.exists(params![org, channel.id.0.as_bytes(), channel.name])?;
    if taken { Err(Fault::conflict("the name is taken")) } else { Ok(()) }
}

fn write_secrets(conn: &Connection, id: ChannelId, secrets: &[SealedSecret]) -> Outcome<()> {
    conn.prepare_cached("DELETE FROM channel_secret WHERE channel = ?1")?.execute([id.0.as_bytes()])?;
    let sql = "INSERT INTO channel_secret (channel, field, key_id, nonce, ciphertext) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut statement = conn.prepare_cached(sql)?;
    for secret in secrets {
        statement.execute(params![id.0.as_bytes(), secret.field, secret.key_id, secret.nonce, secret.ciphertext])?;
    }
    Ok(())
}

/// Removes what an org has of all this.
pub(super) fn forget_org(conn: &Connection, org: i64) -> Outcome<()> {
    for sql in [
        "DELETE FROM channel_secret WHERE channel IN (SELECT id FROM channel WHERE org = ?1)",
        "DELETE FROM channel WHERE org = ?1",
        "DELETE FROM notice WHERE org = ?1",
        "DELETE FROM acknowledgement WHERE org = ?1",
    ] {
        conn.execute(sql, [org])?;
    }
    Ok(())
}

fn found(rows: usize) -> Outcome<()> {
    if rows == 0 { Err(StoreError::NotFound.into()) } else { Ok(()) }
}
