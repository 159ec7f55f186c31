//! [`UserStore`] and [`SessionStore`] of the embedded backend.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use toktra_siem_core::ids::{OrgId, UserId};
use toktra_siem_core::people::Email;
use toktra_siem_core::people::Role;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::config::{AuditEntry, Change};
use toktra_siem_store::error::{Result, StoreError};
use toktra_siem_store::people::{
    PasswordHash, SessionRecord, SessionStore, UserOutcome, UserRecord, UserSave, UserStore,
};

use super::audit::write as write_audit;
use super::codec::{Word, uint, uuid};
use super::engine::Engine;
use super::fault::{Fault, Outcome, failure};
use super::place::{self, Need};
use super::{DATABASE, Sqlite, migrate, swap};

/// [`AtRest::has_people`](toktra_siem_store::AtRest::has_people) of the database in `dir`.
pub(super) fn has_people(dir: &Path) -> Result<bool> {
    place::look(dir, Need::Write)?;
    swap::finished(dir)?;
    let path = dir.join(DATABASE);
    if !path.is_file() {
        return Err(StoreError::NotFound);
    }
    let conn = migrate::open_reader(&path)?;
    let layout = migrate::layout(&conn)?;
    if layout != migrate::newest() {
        return Err(StoreError::Conflict(format!(
            "the database has layout {layout} and this version reads {}: start the server of this version once, or use the program of \
             the version that wrote it",
            migrate::newest()
        )));
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM user JOIN org ON org.num = user.org WHERE org.is_default = 1)";
    conn.query_row(sql, [], |row| row.get(0)).map_err(|error| failure(&error, "looking for people"))
}

impl Word for Role {
    const WORDS: &'static [Self] = &[Self::Admin, Self::Viewer];
}

#[async_trait]
impl UserStore for Sqlite {
    async fn users(&self, org: OrgId) -> Result<Vec<UserRecord>> {
        let num = self.org_head(org)?.num;
        self.readers.run("reading people", move |conn| users(conn, "u.org = ?1", &[&num])).await
    }

    async fn user(&self, org: OrgId, id: UserId) -> Result<UserRecord> {
        let num = self.org_head(org)?.num;
        self.readers.run("reading a person", move |conn| user(conn, num, id)).await
    }

    async fn create_user(&self, org: OrgId, change: Change<UserRecord>) -> Result<UserOutcome> {
        self.writer.call("adding a person", move |engine| create(engine, org, &change)).await
    }

    async fn save_user(&self, org: OrgId, change: Change<UserSave>) -> Result<UserOutcome> {
        self.writer.call("changing a person", move |engine| save(engine, org, &change)).await
    }

    async fn delete_user(&self, org: OrgId, id: UserId, keep_admin: bool, audit: AuditEntry) -> Result<UserOutcome> {
        self.writer.call("removing a person", move |engine| delete(engine, org, id, keep_admin, &audit)).await
    }
}

#[async_trait]
impl SessionStore for Sqlite {
    async fn user_by_email(&self, email: &Email) -> Result<Option<UserRecord>> {
        let email = email.as_str().to_owned();
        self.readers.run("reading a person", move |conn| Ok(users(conn, "u.email = ?1", &[&email])?.pop())).await
    }

    fn note_failed_login(&self, user: UserId) {
        self.writer.note("noting a failed login", move |engine| {
            let sql = "UPDATE user SET failed_logins = failed_logins + 1 WHERE id = ?1";
            engine.conn.prepare_cached(sql)?.execute([user.0.as_bytes()])?;
            Ok(())
        });
    }

    async fn open_session(
        &self,
        change: Change<SessionRecord>,
        verified: PasswordHash,
        replaced: Option<[u8; 32]>,
    ) -> Result<u64> {
        let open = move |engine: &mut Engine| open(&engine.conn, &change, &verified, replaced);
        self.writer.call("opening a session", open).await
    }

    async fn session_by_hash(&self, hash: [u8; 32]) -> Result<Option<(SessionRecord, UserRecord)>> {
        self.readers.run("reading a session", move |conn| session(conn, hash)).await
    }

    async fn touch_session(&self, hash: [u8; 32], at: Timestamp) -> Result<()> {
        let touch = move |engine: &mut Engine| {
            let sql = "UPDATE session SET seen_at = max(seen_at, ?2) WHERE hash = ?1";
            engine.conn.prepare_cached(sql)?.execute(params![hash, at.0])?;
            Ok(())
        };
        self.writer.call("noting the use of a session", touch).await
    }

    async fn end_session(&self, hash: [u8; 32], audit: AuditEntry) -> Result<()> {
        self.writer.call("ending a session", move |engine| end(&engine.conn, hash, &audit)).await
    }

    async fn expire_sessions(&self, opened_before: Timestamp, used_before: Timestamp) -> Result<u64> {
        let expire = move |engine: &mut Engine| {
            let sql = "DELETE FROM session WHERE created_at < ?1 OR seen_at < ?2";
            Ok(engine.conn.execute(sql, params![opened_before.0, used_before.0])? as u64)
        };
        self.writer.call("removing old sessions", expire).await
    }
}

fn create(engine: &mut Engine, org: OrgId, change: &Change<UserRecord>) -> Outcome<UserOutcome> {
    let num = engine.org(org)?.num;
    let (conn, record) = (&engine.conn, &change.value);
    if conn.prepare_cached("SELECT 1 FROM user WHERE id = ?1")?.exists([record.id.0.as_bytes()])? {
        return Err(Fault::conflict("there is a person with this id"));
    }
    if is_taken(conn, &record.email, record.id)? {
        return Ok(UserOutcome::EmailTaken);
    }
    conn.execute(
        "INSERT INTO user (id, org, email, name, role, password, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            record.id.0.as_bytes(),
            num,
            record.email.as_str(),
            record.name,
            record.role.number(),
            record.password.0,
            record.created_at.0
        ],
    )?;
    write_audit(conn, Some(num), &change.audit)?;
    Ok(UserOutcome::Done)
}

fn save(engine: &mut Engine, org: OrgId, change: &Change<UserSave>) -> Outcome<UserOutcome> {
    let num = engine.org(org)?.num;
    let conn = &engine.conn;
    let UserSave { before, after, keep_admin, opens } = &change.value;
    let present = user(conn, num, before.id)?;
    if (UserRecord { last_login_at: present.last_login_at, ..before.clone() }) != present {
        return Ok(UserOutcome::Moved);
    }
    if is_taken(conn, &after.email, before.id)? {
        return Ok(UserOutcome::EmailTaken);
    }
    let resigns = present.role == Role::Admin && after.role != Role::Admin;
    if *keep_admin && resigns && !has_other_admin(conn, num, before.id)? {
        return Ok(UserOutcome::LastAdmin);
    }
    conn.execute(
        "UPDATE user SET email = ?2, name = ?3, role = ?4, password = ?5 WHERE id = ?1",
        params![before.id.0.as_bytes(), after.email.as_str(), after.name, after.role.number(), after.password.0],
    )?;
    if present.role != after.role || present.password != after.password {
        conn.execute("DELETE FROM session WHERE user = ?1", [before.id.0.as_bytes()])?;
    }
    if let Some(session) = opens {
        insert(conn, session)?;
    }
    write_audit(conn, Some(num), &change.audit)?;
    Ok(UserOutcome::Done)
}

fn delete(engine: &mut Engine, org: OrgId, id: UserId, keep_admin: bool, audit: &AuditEntry) -> Outcome<UserOutcome> {
    let num = engine.org(org)?.num;
    let conn = &engine.conn;
    let present = user(conn, num, id)?;
    if keep_admin && present.role == Role::Admin && !has_other_admin(conn, num, id)? {
        return Ok(UserOutcome::LastAdmin);
    }
    conn.execute("DELETE FROM session WHERE user = ?1", [id.0.as_bytes()])?;
    conn.execute("DELETE FROM user WHERE id = ?1", [id.0.as_bytes()])?;
    write_audit(conn, Some(num), audit)?;
    Ok(UserOutcome::Done)
}

/// Removes everybody of an org.
pub(super) fn forget(conn: &Connection, org: i64) -> Outcome<()> {
    conn.execute("DELETE FROM session WHERE user IN (SELECT id FROM user WHERE org = ?1)", [org])?;
    conn.execute("DELETE FROM user WHERE org = ?1", [org])?;
    Ok(())
}

fn is_taken(conn: &Connection, email: &Email, by_other_than: UserId) -> Outcome<bool> {
    let sql = "SELECT 1 FROM user WHERE email = ?1 AND id <> ?2";
    Ok(conn.prepare_cached(sql)?.exists(params![email.as_str(), by_other_than.0.as_bytes()])?)
}

fn has_other_admin(conn: &Connection, org: i64, than: UserId) -> Outcome<bool> {
    let sql = "SELECT 1 FROM user WHERE org = ?1 AND role = ?2 AND id <> ?3";
    Ok(conn.prepare_cached(sql)?.exists(params![org, Role::Admin.number(), than.0.as_bytes()])?)
}

fn open(
    conn: &Connection,
    change: &Change<SessionRecord>,
    verified: &PasswordHash,
    replaced: Option<[u8; 32]>,
) -> Outcome<u64> {
    let session = &change.value;
    let found: Option<(i64, i64)> = conn
        .prepare_cached("SELECT org, failed_logins FROM user WHERE id = ?1 AND password = ?2")?
        .query_row(params![session.user.0.as_bytes(), verified.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (org, failed) = found.ok_or(Fault::Refused(StoreError::NotFound))?;
    conn.prepare_cached("UPDATE user SET last_login_at = ?2, failed_logins = 0 WHERE id = ?1")?
        .execute(params![session.user.0.as_bytes(), session.created_at.0])?;
    let sql = "DELETE FROM session WHERE hash = ?1 AND user = ?2";
    conn.prepare_cached(sql)?.execute(params![replaced, session.user.0.as_bytes()])?;
    insert(conn, session)?;
    write_audit(conn, Some(org), &change.audit)?;
    Ok(uint(failed))
}

fn insert(conn: &Connection, session: &SessionRecord) -> Outcome<()> {
    conn.prepare_cached("INSERT INTO session (hash, user, created_at, seen_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![session.hash, session.user.0.as_bytes(), session.created_at.0, session.seen_at.0])?;
    Ok(())
}

fn end(conn: &Connection, hash: [u8; 32], audit: &AuditEntry) -> Outcome<()> {
    let org: Option<i64> = conn
        .prepare_cached("SELECT u.org FROM session s JOIN user u ON u.id = s.user WHERE s.hash = ?1")?
        .query_row([hash], |row| row.get(0))
        .optional()?;
    let org = org.ok_or(Fault::Refused(StoreError::NotFound))?;
    conn.execute("DELETE FROM session WHERE hash = ?1", [hash])?;
    write_audit(conn, Some(org), audit)
}

/// A session, and whose it is.
fn session(conn: &Connection, hash: [u8; 32]) -> Outcome<Option<(SessionRecord, UserRecord)>> {
    let found: Option<SessionRecord> = conn
        .prepare_cached("SELECT user, created_at, seen_at FROM session WHERE hash = ?1")?
        .query_row([hash], |row| {
            let (created_at, seen_at) = (Timestamp(row.get(1)?), Timestamp(row.get(2)?));
            Ok(SessionRecord { hash, user: UserId(uuid(row.get(0)?)), created_at, seen_at })
        })
        .optional()?;
    let Some(session) = found else { return Ok(None) };
    let user = users(conn, "u.id = ?1", &[session.user.0.as_bytes()])?.pop();
    Ok(user.map(|user| (session, user)))
}

fn user(conn: &Connection, org: i64, id: UserId) -> Outcome<UserRecord> {
    let found = users(conn, "u.id = ?1 AND u.org = ?2", &[id.0.as_bytes(), &org])?.pop();
    found.ok_or(Fault::Refused(StoreError::NotFound))
}

/// People by a condition, by creation.
fn users(conn: &Connection, condition: &str, values: &[&dyn rusqlite::ToSql]) -> Outcome<Vec<UserRecord>> {
    let sql = format!(
        "SELECT u.id, o.id, u.email, u.name, u.role, u.password, u.created_at, u.last_login_at
         FROM user u JOIN org o ON o.num = u.org WHERE {condition} ORDER BY u.created_at, u.id"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    statement.query_and_then(values, record)?.collect()
}

fn record(row: &Row<'_>) -> Outcome<UserRecord> {
    let email: String = row.get(2)?;
    let email = email.parse().map_err(|_| Fault::damaged("a person's e-mail address is none"))?;
    Ok(UserRecord {
        id: UserId(uuid(row.get(0)?)),
        org: OrgId(uuid(row.get(1)?)),
        email,
        name: row.get(3)?,
        role: Role::from_number(row.get(4)?)?,
        password: PasswordHash(row.get(5)?),
        created_at: Timestamp(row.get(6)?),
        last_login_at: row.get::<_, Option<i64>>(7)?.map(Timestamp),
    })
}
