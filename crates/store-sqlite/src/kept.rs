//! [`KeptStore`] of the embedded backend.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use toktra_siem_core::ids::OrgId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::config::{AuditEntry, SealedSecret};
use toktra_siem_store::error::{Result, StoreError};
use toktra_siem_store::kept::{FRESH, KEPT_OF_OWNER, Kept, KeptKind, KeptStore, REQUESTS, UNDER_WAY};
use uuid::Uuid;

use super::Sqlite;
use super::audit::write as write_audit;
use super::codec::{Word, len, small, uuid};
use super::engine::Engine;
use super::fault::{Fault, Outcome};

impl Word for KeptKind {
    const WORDS: &'static [Self] = &[Self::Answer, Self::ApiKey, Self::SigningSecret, Self::Password];
}

#[async_trait]
impl KeptStore for Sqlite {
    async fn keep(&self, kept: Kept) -> Result<Option<Kept>> {
        self.writer.call("keeping something", move |engine| keep(&engine.conn, &kept)).await
    }

    async fn seal_kept(&self, id: [u8; 32], sealed: SealedSecret) -> Result<()> {
        let seal = move |engine: &mut Engine| {
            let sql = "UPDATE kept SET key_id = ?2, nonce = ?3, ciphertext = ?4 WHERE id = ?1";
            engine.conn.prepare_cached(sql)?.execute(params![id, sealed.key_id, sealed.nonce, sealed.ciphertext])?;
            Ok(())
        };
        self.writer.call("keeping an answer", seal).await
    }

    async fn forget_kept(&self, id: [u8; 32]) -> Result<()> {
        self.writer.call("forgetting what was kept", move |engine| forget(&engine.conn, id)).await
    }

    async fn kept_secrets(&self, owner: Uuid, now: Timestamp) -> Result<Vec<Kept>> {
        let sql = "SELECT * FROM kept WHERE owner = ?1 AND kind <> ?2 AND until > ?3 ORDER BY at, id";
        let read = move |conn: &Connection| {
            let mut statement = conn.prepare_cached(sql)?;
            let mut rows = statement.query(params![owner.as_bytes(), KeptKind::Answer.number(), now.0])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(kept(row)?);
            }
            Ok(found)
        };
        self.readers.run("reading what is kept", read).await
    }

    async fn take_kept(&self, owner: Uuid, id: [u8; 32], audit: AuditEntry) -> Result<Kept> {
        self.writer.call("taking what is kept", move |engine| take(engine, owner, id, &audit)).await
    }

    async fn expire_kept(&self, now: Timestamp) -> Result<u64> {
        let expire =
            move |engine: &mut Engine| Ok(engine.conn.execute("DELETE FROM kept WHERE until <= ?1", [now.0])? as u64);
        self.writer.call("removing what was kept", expire).await
    }
}

fn keep(conn: &Connection, new: &Kept) -> Outcome<Option<Kept>> {
    if let Some(known) = find(conn, new.id)?.filter(|known| known.until > new.at) {
        return Ok(Some(known));
    }
    let (owner, org, answer) = (new.owner.as_bytes(), new.org.map(|org| *org.0.as_bytes()), KeptKind::Answer.number());
    let fresh = new.at.minus(FRESH).0;
    if new.is_under_way(new.at) {
        let sql = "SELECT count(*) FROM kept WHERE owner = ?1 AND org IS ?2 AND kind = ?3 AND key_id IS NULL AND until > ?4 AND at > ?5";
        let under_way: i64 =
            conn.prepare_cached(sql)?.query_row(params![owner, org, answer, new.at.0, fresh], |row| row.get(0))?;
        if under_way >= len(UNDER_WAY) {
            return Err(Fault::Refused(StoreError::TooMany(REQUESTS)));
        }
    }
    let sealed = new.sealed.as_ref();
    conn.prepare_cached("INSERT OR REPLACE INTO kept VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?.execute(
        params![
            new.id,
            owner,
            org,
            new.kind.number(),
            new.about,
            new.at.0,
            new.until.0,
            sealed.map(|sealed| sealed.key_id),
            sealed.map(|sealed| &sealed.nonce),
            sealed.map(|sealed| &sealed.ciphertext),
        ],
    )?;
    let alike = (owner, org, new.kind == KeptKind::Answer);
    let sql = "SELECT count(*) FROM kept WHERE owner = ?1 AND org IS ?2 AND (kind = ?4) = ?3";
    let all: i64 = conn.prepare_cached(sql)?.query_row(params![alike.0, alike.1, alike.2, answer], |row| row.get(0))?;
    let over = all - len(KEPT_OF_OWNER);
    if over > 0 {
        let sql = "DELETE FROM kept WHERE id IN (SELECT id FROM kept WHERE owner = ?1 AND org IS ?2 AND (kind = ?4) = ?3 \
                   AND NOT (kind = ?4 AND key_id IS NULL AND at > ?7) AND id <> ?5 ORDER BY at, id LIMIT ?6)";
        conn.prepare_cached(sql)?.execute(params![alike.0, alike.1, alike.2, answer, new.id, over, fresh])?;
    }
    Ok(None)
}

fn find(conn: &Connection, id: [u8; 32]) -> Outcome<Option<Kept>> {
    let mut statement = conn.prepare_cached("SELECT * FROM kept WHERE id = ?1")?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(kept).transpose()
}

fn forget(conn: &Connection, id: [u8; 32]) -> Outcome<()> {
    conn.prepare_cached("DELETE FROM kept WHERE id = ?1")?.execute([id])?;
    Ok(())
}

fn take(engine: &mut Engine, owner: Uuid, id: [u8; 32], audit: &AuditEntry) -> Outcome<Kept> {
    let held = |kept: &Kept| kept.owner == owner && kept.kind != KeptKind::Answer && kept.until > audit.at;
    let kept = find(&engine.conn, id)?.filter(held).ok_or(Fault::Refused(StoreError::NotFound))?;
    let org = match kept.org {
        Some(org) => Some(engine.org(org)?.num),
        None => None,
    };
    forget(&engine.conn, id)?;
    write_audit(&engine.conn, org, audit)?;
    Ok(kept)
}

/// Removes what concerns an org.
pub(super) fn forget_org(conn: &Connection, org: OrgId) -> Outcome<()> {
    conn.execute("DELETE FROM kept WHERE org = ?1", [org.0.as_bytes()])?;
    Ok(())
}

fn kept(row: &Row<'_>) -> Outcome<Kept> {
    let id: [u8; 32] = row.get("id")?;
    let key_id: Option<i64> = row.get("key_id")?;
    let sealed = match key_id {
        None => None,
        Some(key_id) => Some(SealedSecret {
            field: Kept::field(&id),
            key_id: small(key_id),
            nonce: row.get("nonce")?,
            ciphertext: row.get("ciphertext")?,
        }),
    };
    Ok(Kept {
        id,
        owner: uuid(row.get("owner")?),
        org: row.get::<_, Option<[u8; 16]>>("org")?.map(|org| OrgId(uuid(org))),
        kind: KeptKind::from_number(row.get("kind")?)?,
        about: row.get("about")?,
        at: Timestamp(row.get("at")?),
        until: Timestamp(row.get("until")?),
        sealed,
    })
}
