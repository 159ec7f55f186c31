//! People and their sessions. [`UserStore`] is the org-scoped part, as [`crate::OrgStore`] is for the rest; [`SessionStore`] is the
//! system's, which finds a person by what they log in with.

use std::fmt;

use async_trait::async_trait;
use toktra_siem_core::ids::{OrgId, UserId};
use toktra_siem_core::people::{Email, Role};
use toktra_siem_core::time::Timestamp;

use crate::config::{AuditEntry, Change};
use crate::error::Result;

/// What is kept of a password: slow to compute, with its salt and parameters in it. Never shown, not even in a debug message.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// A person of an org.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// Identifies the person.
    pub id: UserId,
    /// The tenant that they belong to.
    pub org: OrgId,
    /// What they log in with; no two people of the whole service share one.
    pub email: Email,
    /// For people.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// What their password is checked against.
    pub password: PasswordHash,
    /// When they were made.
    pub created_at: Timestamp,
    /// When a session was last opened for them; given by the store.
    pub last_login_at: Option<Timestamp>,
}

/// A change of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSave {
    /// As the caller knows them: the change is made only where that is still so, `last_login_at` aside.
    pub before: UserRecord,
    /// As they are to be; id, org, creation and last login stay as they are.
    pub after: UserRecord,
    /// Whether it is refused where the org would be left without an admin.
    pub keep_admin: bool,
    /// A session that is opened for them in place of those that end.
    pub opens: Option<SessionRecord>,
}

/// What became of a change of people. Only `Done` changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum UserOutcome {
    /// It was made.
    Done,
    /// Somebody has the e-mail address, in whichever org.
    EmailTaken,
    /// The org would be left without an admin.
    LastAdmin,
    /// Somebody else changed the person in the meantime.
    Moved,
}

/// The time in which somebody stays logged in. The token itself is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// SHA-256 of the token (which has at least 192 random bits).
    pub hash: [u8; 32],
    /// Whose it is.
    pub user: UserId,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub seen_at: Timestamp,
}

/// The people of an org. Whoever is another org's is `NotFound` (invariant D7).
#[async_trait]
pub trait UserStore: Send + Sync {
    /// All of them, by creation. `NotFound` where the org does not exist.
    async fn users(&self, org: OrgId) -> Result<Vec<UserRecord>>;

    /// One of them.
    async fn user(&self, org: OrgId, id: UserId) -> Result<UserRecord>;

    /// Adds one, to `org` whatever the record says. Never `LastAdmin` or `Moved`; `Conflict` where the id exists.
    async fn create_user(&self, org: OrgId, change: Change<UserRecord>) -> Result<UserOutcome>;

    /// Changes one. Where role or password become another, the person's sessions end with it; then the new one is
    /// opened.
    async fn save_user(&self, org: OrgId, change: Change<UserSave>) -> Result<UserOutcome>;

    /// Removes one with their sessions; with `keep_admin` not the last admin.
    async fn delete_user(&self, org: OrgId, id: UserId, keep_admin: bool, audit: AuditEntry) -> Result<UserOutcome>;
}

/// Logging in, and what comes of it.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Who logs in with this address.
    async fn user_by_email(&self, email: &Email) -> Result<Option<UserRecord>>;

    /// Notes that somebody tried to log in as this person and failed. Does not wait for the disk, so that the caller takes as long as
    /// where there is nobody to note it for; a session that is opened afterwards counts it. Nothing happens where the person is gone.
    fn note_failed_login(&self, user: UserId);

    /// Opens a session and notes the login; an older one of the same person, `replaced`, ends with it. The answer is how many attempts to
    /// log in as the person failed since a session was last opened for them. `NotFound` unless the user exists and has just the password
    /// that was `verified`: it may have been changed while it was checked.
    async fn open_session(
        &self,
        change: Change<SessionRecord>,
        verified: PasswordHash,
        replaced: Option<[u8; 32]>,
    ) -> Result<u64>;

    /// The session with this hash, and whose it is. One that was idle for too long is found: refusing it is the caller's part.
    async fn session_by_hash(&self, hash: [u8; 32]) -> Result<Option<(SessionRecord, UserRecord)>>;

    /// Notes that a session was used. Nothing happens where it is gone.
    async fn touch_session(&self, hash: [u8; 32], at: Timestamp) -> Result<()>;

    /// Ends a session.
    async fn end_session(&self, hash: [u8; 32], audit: AuditEntry) -> Result<()>;

    /// Removes sessions that were opened or last used before these times; how many.
    async fn expire_sessions(&self, opened_before: Timestamp, used_before: Timestamp) -> Result<u64>;
}
