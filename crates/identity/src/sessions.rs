//! Sessions: a person proves once who they are, and holds a token from then on.
//!
//! This is all that knows passwords and tokens; whoever carries a token (the API in its `Authorization` header, a page in a cookie) asks
//! here. [`Sessions::open`] logs in, [`Sessions::find`] tells whose token it is, [`Sessions::end`] logs out, and
//! [`Sessions::change_password`] gives a new token for the old one. What role and password of a person do to their sessions when somebody
//! else changes them is the store's part ([`toktra_siem_store::UserStore`]).
//!
//! A session lasts [`IDLE`] from its last use, and [`LONGEST`] from its login. The token has 256 random bits; its SHA-256 is stored.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use toktra_siem_base::clock::Clock;
use toktra_siem_base::random::Random;
use toktra_siem_core::ids::OrgId;
use toktra_siem_core::people::Email;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{
    Actor, ActorKind, AuditEntry, Change, SessionRecord, Store, StoreError, USE_NOTED_EVERY, UserOutcome, UserRecord,
    UserSave,
};

use crate::guesses::{Guesses, Limited};
use crate::passwords::{Busy, Passwords};

/// Every token begins with this, so that it is told from an API key, and recognised where it does not belong.
pub const PREFIX: &str = "tss_";
/// A session that is not used for this long has ended.
pub const IDLE: Duration = Duration::from_hours(12);
/// Every session has ended this long after its login, used or not.
pub const LONGEST: Duration = Duration::from_hours(14 * 24);

/// A session that holds at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// As it is stored.
    pub record: SessionRecord,
    /// Whose it is.
    pub user: UserRecord,
}

impl Session {
    /// When it ends, if it is not used until then.
    pub fn expires_at(&self) -> Timestamp {
        self.record.seen_at.plus(IDLE).min(self.record.created_at.plus(LONGEST))
    }

    /// The person, as the audit log names them.
    pub fn actor(&self) -> Actor {
        actor(&self.user)
    }
}

/// A session that was just opened.
pub struct Login {
    /// What its holder shows from now on. Nothing else knows it.
    pub token: SecretString,
    /// The session.
    pub session: Session,
}

/// Why nobody was logged in, or a password not changed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The password is not the person's, or there is no such person: nobody is told which.
    #[error("e-mail address and password do not belong together")]
    Wrong,
    /// Too many attempts, for this account or from this address. Also the right password is refused.
    #[error("too many attempts")]
    Limited {
        /// How long until the next one is possible.
        wait: Duration,
    },
    /// Too many passwords are being checked at the moment.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens sessions, finds and ends them.
pub struct Sessions {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    passwords: Arc<Passwords>,
    guesses: Guesses,
}

/// SHA-256 of a token: what is stored and looked up. No slow hash: a token has 256 random bits, so there is nothing to guess.
pub fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn actor(user: &UserRecord) -> Actor {
    Actor { kind: ActorKind::User, name: user.email.to_string(), id: Some(user.id.0) }
}

impl Sessions {
    /// Sessions of the people in `store`.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        passwords: Arc<Passwords>,
    ) -> Self {
        Self { store, clock, random, passwords, guesses: Guesses::default() }
    }

    /// Logs in. `from` is the client's address; `older` the session that the same client held until now, which ends if it is the same
    /// person's.
    pub async fn open(
        &self,
        email: &str,
        password: SecretString,
        from: Option<IpAddr>,
        older: Option<[u8; 32]>,
    ) -> Result<Login, LoginError> {
        let email: Option<Email> = email.parse().ok();
        // What is no address is nobody's account; one count for all of it is enough.
        let account = email.as_ref().map_or([0; 32], account);
        if let Err(limited) = self.guesses.attempt(account, from, self.clock.now()) {
            return self.limited(limited, email.as_ref(), from).await;
        }
        let user = match &email {
            Some(email) => self.store.user_by_email(email).await?,
            None => None,
        };
        // As much work for nobody as for somebody.
        let known = user.as_ref().map(|user| user.password.clone());
        let matches = self.passwords.matches(password, known).await?;
        let Some(user) = user.filter(|_| matches) else {
            tracing::info!(from = ?from, "a login was refused: e-mail address and password do not belong together");
            return Err(LoginError::Wrong);
        };
        let (token, record) = self.make(&user);
        let detail = json!({ "after": { "address": from } });
        let audit = entry(record.created_at, actor(&user), "session.create", &user, detail);
        let verified = user.password.clone();
        match self.store.open_session(Change { value: record.clone(), audit }, verified, older).await {
            // The person or the password has gone while it was checked.
            Err(StoreError::NotFound) => return Err(LoginError::Wrong),
            outcome => outcome?,
        }
        let user = UserRecord { last_login_at: Some(record.created_at), ..user };
        Ok(Login { token, session: Session { record, user } })
    }

    /// The session of a token, by its hash, where it holds; notes that it was used.
    pub async fn find(&self, hash: [u8; 32]) -> Result<Option<Session>, StoreError> {
        let now = self.clock.now();
        let Some((mut record, user)) = self.store.session_by_hash(hash).await? else { return Ok(None) };
        let session = Session { record: record.clone(), user };
        if session.expires_at() <= now {
            return Ok(None);
        }
        if record.seen_at.plus(USE_NOTED_EVERY) <= now {
            record.seen_at = now;
            if let Err(error) = self.store.touch_session(hash, now).await {
                // The session only seems to have been idle for a little longer than it was.
                tracing::debug!(%error, "the use of a session could not be noted");
            }
        }
        Ok(Some(Session { record, ..session }))
    }

    /// Logs out.
    pub async fn end(&self, session: &Session) -> Result<(), StoreError> {
        let audit = entry(self.clock.now(), session.actor(), "session.end", &session.user, json!({}));
        match self.store.end_session(session.record.hash, audit).await {
            // Somebody else ended it at the same moment.
            Err(StoreError::NotFound) => Ok(()),
            outcome => outcome,
        }
    }

    /// Changes the password of whoever holds `session`, once they gave the present one: a guess like any other. All of their sessions
    /// end; the answer is a new one.
    pub async fn change_password(
        &self,
        session: &Session,
        current: SecretString,
        new: SecretString,
        from: Option<IpAddr>,
    ) -> Result<Login, LoginError> {
        let user = &session.user;
        if let Err(limited) = self.guesses.attempt(account(&user.email), from, self.clock.now()) {
            return self.limited(limited, Some(&user.email), from).await;
        }
        if !self.passwords.matches(current, Some(user.password.clone())).await? {
            return Err(LoginError::Wrong);
        }
        let after = UserRecord { password: self.passwords.hash(new).await?, ..user.clone() };
        let (token, record) = self.make(user);
        let detail = json!({ "after": { "password_changed": true, "address": from } });
        let audit = entry(record.created_at, session.actor(), "user.password", user, detail);
        let value =
            UserSave { before: user.clone(), after: after.clone(), keep_admin: false, opens: Some(record.clone()) };
        match self.store.save_user(user.org, Change { value, audit }).await? {
            UserOutcome::Done => Ok(Login { token, session: Session { record, user: after } }),
            // Somebody changed the person while the password was checked: what was checked may not hold any more.
            UserOutcome::Moved | UserOutcome::EmailTaken | UserOutcome::LastAdmin => Err(Busy.into()),
        }
    }

    fn make(&self, user: &UserRecord) -> (SecretString, SessionRecord) {
        let token = SecretString::from(format!("{PREFIX}{}", self.random.secret().expose_secret()));
        let now = self.clock.now();
        let record = SessionRecord { hash: hash(token.expose_secret()), user: user.id, created_at: now, seen_at: now };
        (token, record)
    }

    /// Refuses an attempt, and records the first one of a row: in the log of the account's org, and in the service's where there is no
    /// such account, so that both take as long.
    async fn limited<T>(&self, limited: Limited, email: Option<&Email>, from: Option<IpAddr>) -> Result<T, LoginError> {
        if limited.first {
            let user = match email {
                Some(email) => self.store.user_by_email(email).await?,
                None => None,
            };
            let org: Option<OrgId> = user.as_ref().map(|user| user.org);
            // What was typed where there is no such account may be a password, so it is not kept.
            let object = user.map_or_else(|| "unknown account".to_owned(), |user| user.id.to_string());
            tracing::warn!(account = object, from = ?from, "too many attempts to log in: more are refused for a while");
            let audit = AuditEntry {
                at: self.clock.now(),
                actor: Actor::from("login"),
                action: "session.limit".to_owned(),
                object,
                detail: json!({ "after": { "address": from, "refused_for_seconds": limited.wait.as_secs() } }),
            };
            self.store.log(org, audit).await?;
        }
        Err(LoginError::Limited { wait: limited.wait })
    }
}

/// By which number the attempts at an account are counted. Equal for equal addresses, whether anybody has them or not.
fn account(email: &Email) -> [u8; 32] {
    hash(email.as_str())
}

fn entry(at: Timestamp, actor: Actor, action: &str, user: &UserRecord, detail: serde_json::Value) -> AuditEntry {
    AuditEntry { at, actor, action: action.to_owned(), object: user.id.to_string(), detail }
}

#[cfg(test)]
mod tests;
