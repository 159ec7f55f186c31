//! People and sessions in memory.

use async_trait::async_trait;
use toktra_siem_core::ids::{OrgId, UserId};
use toktra_siem_core::people::{Email, Role};
use toktra_siem_core::time::Timestamp;

use super::open::conflict;
use super::{Memory, State};
use crate::config::{AuditEntry, Change};
use crate::error::{Result, StoreError};
use crate::people::{PasswordHash, SessionRecord, SessionStore, UserOutcome, UserRecord, UserSave, UserStore};

#[async_trait]
impl UserStore for Memory {
    async fn users(&self, org: OrgId) -> Result<Vec<UserRecord>> {
        let state = self.lock();
        state.org(org)?;
        Ok(state.users.iter().filter(|user| user.org == org).cloned().collect())
    }

    async fn user(&self, org: OrgId, id: UserId) -> Result<UserRecord> {
        Ok(self.lock().user(org, id)?.clone())
    }

    async fn create_user(&self, org: OrgId, change: Change<UserRecord>) -> Result<UserOutcome> {
        let mut state = self.lock();
        state.org(org)?;
        let record = UserRecord { org, last_login_at: None, ..change.value };
        if state.users.iter().any(|user| user.id == record.id) {
            return Err(conflict("there is a person with this id"));
        }
        if state.is_taken(&record.email, record.id) {
            return Ok(UserOutcome::EmailTaken);
        }
        state.users.push(record);
        state.log(Some(org), change.audit);
        Ok(UserOutcome::Done)
    }

    async fn save_user(&self, org: OrgId, change: Change<UserSave>) -> Result<UserOutcome> {
        let UserSave { before, after, keep_admin, opens } = change.value;
        let mut state = self.lock();
        let present = state.user(org, before.id)?.clone();
        if (UserRecord { last_login_at: present.last_login_at, ..before }) != present {
            return Ok(UserOutcome::Moved);
        }
        if state.is_taken(&after.email, present.id) {
            return Ok(UserOutcome::EmailTaken);
        }
        if keep_admin && after.role != Role::Admin && state.is_last_admin(&present) {
            return Ok(UserOutcome::LastAdmin);
        }
        if present.role != after.role || present.password != after.password {
            state.sessions.retain(|session| session.user != present.id);
        }
        state.sessions.extend(opens);
        for user in state.users.iter_mut().filter(|user| user.id == present.id) {
            let UserRecord { email, name, role, password, .. } = after.clone();
            *user = UserRecord { email, name, role, password, ..present.clone() };
        }
        state.log(Some(org), change.audit);
        Ok(UserOutcome::Done)
    }

    async fn delete_user(&self, org: OrgId, id: UserId, keep_admin: bool, audit: AuditEntry) -> Result<UserOutcome> {
        let mut state = self.lock();
        let present = state.user(org, id)?;
        if keep_admin && state.is_last_admin(present) {
            return Ok(UserOutcome::LastAdmin);
        }
        state.users.retain(|user| user.id != id);
        state.sessions.retain(|session| session.user != id);
        state.failed_logins.remove(&id);
        state.log(Some(org), audit);
        Ok(UserOutcome::Done)
    }
}

#[async_trait]
impl SessionStore for Memory {
    async fn user_by_email(&self, email: &Email) -> Result<Option<UserRecord>> {
        Ok(self.lock().users.iter().find(|user| user.email == *email).cloned())
    }

    fn note_failed_login(&self, user: UserId) {
        let mut state = self.lock();
        if state.users.iter().any(|other| other.id == user) {
            *state.failed_logins.entry(user).or_default() += 1;
        }
    }

    async fn open_session(
        &self,
        change: Change<SessionRecord>,
        verified: PasswordHash,
        replaced: Option<[u8; 32]>,
    ) -> Result<u64> {
        let Change { value: session, audit } = change;
        let mut guard = self.lock();
        let state = &mut *guard;
        let user = state.users.iter_mut().find(|user| user.id == session.user && user.password == verified);
        let user = user.ok_or(StoreError::NotFound)?;
        user.last_login_at = Some(session.created_at);
        let org = user.org;
        let failed = state.failed_logins.remove(&session.user).unwrap_or(0);
        state.sessions.retain(|older| Some(older.hash) != replaced || older.user != session.user);
        state.sessions.push(session);
        state.log(Some(org), audit);
        Ok(failed)
    }

    async fn session_by_hash(&self, hash: [u8; 32]) -> Result<Option<(SessionRecord, UserRecord)>> {
        let state = self.lock();
        let Some(session) = state.sessions.iter().find(|session| session.hash == hash) else { return Ok(None) };
        let user = state.users.iter().find(|user| user.id == session.user);
        Ok(user.map(|user| (session.clone(), user.clone())))
    }

    async fn touch_session(&self, hash: [u8; 32], at: Timestamp) -> Result<()> {
        for session in self.lock().sessions.iter_mut().filter(|session| session.hash == hash) {
            session.seen_at = session.seen_at.max(at);
        }
        Ok(())
    }

    async fn end_session(&self, hash: [u8; 32], audit: AuditEntry) -> Result<()> {
        let mut state = self.lock();
        let at = state.sessions.iter().position(|session| session.hash == hash).ok_or(StoreError::NotFound)?;
        let session = state.sessions.remove(at);
        let org = state.users.iter().find(|user| user.id == session.user).map(|user| user.org);
        state.log(org, audit);
        Ok(())
    }

    async fn expire_sessions(&self, opened_before: Timestamp, used_before: Timestamp) -> Result<u64> {
        let mut state = self.lock();
        let before = state.sessions.len();
        state.sessions.retain(|session| session.created_at >= opened_before && session.seen_at >= used_before);
        Ok((before - state.sessions.len()) as u64)
    }
}

impl State {
    fn user(&self, org: OrgId, id: UserId) -> Result<&UserRecord> {
        self.users.iter().find(|user| user.id == id && user.org == org).ok_or(StoreError::NotFound)
    }

    fn is_taken(&self, email: &Email, by_other_than: UserId) -> bool {
        self.users.iter().any(|user| user.email == *email && user.id != by_other_than)
    }

    fn is_last_admin(&self, user: &UserRecord) -> bool {
        let mut others = self.users.iter().filter(|other| other.org == user.org && other.id != user.id);
        user.role == Role::Admin && !others.any(|other| other.role == Role::Admin)
    }

    /// Removes everybody of an org.
    pub(super) fn forget_people(&mut self, org: OrgId) {
        let gone: Vec<UserId> = self.users.iter().filter(|user| user.org == org).map(|user| user.id).collect();
        self.users.retain(|user| user.org != org);
        self.sessions.retain(|session| !gone.contains(&session.user));
        self.failed_logins.retain(|user, _| !gone.contains(user));
        self.kept.retain(|kept| kept.org != Some(org));
    }
}
