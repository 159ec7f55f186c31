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
use toktra_siem_core::ids::{OrgId, UserId};
use toktra_siem_core::people::Email;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{
    Actor, ActorKind, AuditEntry, Change, SessionRecord, Store, StoreError, USE_NOTED_EVERY, UserOutcome, UserRecord,
    UserSave,
};

use crate::devices::Devices;
use crate::guesses::{Attempt, Guesses, Limited, Way};
use crate::passwords::{Busy, Lane, Passwords};

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
    /// What the same device shows at the next login ([`crate::devices`]).
    pub device: SecretString,
    /// Attempts to log in as the person that failed since they last did.
    pub failed_attempts: u64,
    /// When they last did; `None` where they never did, or did not log in now.
    pub previous_login_at: Option<Timestamp>,
}

/// An attempt to log in.
pub struct Credentials<'a> {
    /// What was typed as the e-mail address.
    pub email: &'a str,
    /// The password.
    pub password: SecretString,
    /// The client's address.
    pub from: Option<IpAddr>,
    /// What the client shows of an earlier login on the same device. What is none of ours counts as nothing.
    pub device: Option<&'a str>,
    /// The session that the same client held until now, which ends if it is the same person's.
    pub older: Option<[u8; 32]>,
}

/// Why nobody was logged in, or a password not changed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The password is not the person's, or there is no such person: nobody is told which.
    #[error("incorrect e-mail address or password")]
    Wrong,
    /// Too many wrong passwords, for this account or from this address. Also the right one is refused for the moment.
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
    devices: Arc<Devices>,
    guesses: Arc<Guesses>,
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
        devices: Devices,
    ) -> Self {
        Self { store, clock, random, passwords, devices: Arc::new(devices), guesses: Arc::default() }
    }

    /// Logs in.
    pub async fn open(&self, given: Credentials<'_>) -> Result<Login, LoginError> {
        let Credentials { email, password, from, device, older } = given;
        let email: Option<Email> = email.parse().ok();
        // What is no address is nobody's account; one count for all of it is enough.
        let account = email.as_ref().map_or([0; 32], account);
        let user = match &email {
            Some(email) => self.store.user_by_email(email).await?,
            None => None,
        };
        let device = device.and_then(|token| self.devices.read(token, self.clock.now()));
        let device = device.filter(|device| user.as_ref().is_some_and(|user| user.id == device.user));
        let way = device.map_or(Way::Stranger, |device| Way::Device(device.id));
        let attempt = Attempt::new(account, from, way);
        if !self.is_right(&attempt, password, user.as_ref()).await? {
            return Err(LoginError::Wrong);
        }
        let Some(user) = user else { return Err(LoginError::Wrong) };
        let (token, record) = self.make(&user);
        let detail = json!({ "after": { "address": from } });
        let audit = entry(record.created_at, actor(&user), "session.create", &user, detail);
        let verified = user.password.clone();
        let failed = match self.store.open_session(Change { value: record.clone(), audit }, verified, older).await {
            // The person or the password has gone while it was checked.
            Err(StoreError::NotFound) => return Err(LoginError::Wrong),
            outcome => outcome?,
        };
        let refused = self.guesses.right(&attempt, record.created_at);
        let previous_login_at = user.last_login_at;
        let user = UserRecord { last_login_at: Some(record.created_at), ..user };
        let device = self.devices.issue(&*self.random, user.id, record.created_at);
        let session = Session { record, user };
        Ok(Login { token, session, device, failed_attempts: failed + refused, previous_login_at })
    }

    /// Whether the password is that of `user`, as far as it may be tried at all. Takes as long for nobody as for somebody.
    async fn is_right(
        &self,
        attempt: &Attempt,
        password: SecretString,
        user: Option<&UserRecord>,
    ) -> Result<bool, LoginError> {
        self.admit(attempt, user).await?;
        let lane = match attempt.way() {
            Way::Stranger => Lane::Stranger(attempt.network()),
            Way::Device(_) | Way::Session(_) => Lane::Known,
        };
        let turn = self.passwords.turn(lane).await?;
        // Others may have used the budget up meanwhile.
        self.admit(attempt, user).await?;
        let known = user.map(|user| user.password.clone());
        let judged = self.judging(*attempt, user.map(|user| user.id));
        Ok(self.passwords.matches(turn, password, known, judged).await?)
    }

    /// What is done of a guess once it was evaluated.
    fn judging(&self, attempt: Attempt, user: Option<UserId>) -> impl FnOnce(bool) + Send + 'static {
        let (guesses, store, clock, devices) =
            (Arc::clone(&self.guesses), Arc::clone(&self.store), Arc::clone(&self.clock), Arc::clone(&self.devices));
        move |right| {
            if right {
                return;
            }
            if let Some(user) = user.filter(|_| !matches!(attempt.way(), Way::Session(_))) {
                store.note_failed_login(user);
            }
            if guesses.wrong(&attempt, clock.now()) {
                tracing::warn!(
                    account = devices.digest(attempt.account()),
                    from = attempt.network().map(tracing::field::display),
                    "a password was wrong; more wrong ones of this account are counted, and not logged again within the hour"
                );
            }
        }
    }

    /// The session of a token, by its hash, if it holds. If its person did something, its use is `noted`: what a page asks by itself does
    /// not keep a session from being idle.
    pub async fn find(&self, hash: [u8; 32], noted: bool) -> Result<Option<Session>, StoreError> {
        let now = self.clock.now();
        let Some((mut record, user)) = self.store.session_by_hash(hash).await? else { return Ok(None) };
        let session = Session { record: record.clone(), user };
        if session.expires_at() <= now {
            return Ok(None);
        }
        if noted && record.seen_at.plus(USE_NOTED_EVERY) <= now {
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

    /// Changes the password of whoever holds `session`, once they gave the present one. Each session has its own budget of guesses at it, apart
    /// from logins. All of their sessions end; the answer is a new one.
    pub async fn change_password(
        &self,
        session: &Session,
        current: SecretString,
        new: SecretString,
        from: Option<IpAddr>,
    ) -> Result<Login, LoginError> {
        let user = &session.user;
        let attempt = Attempt::new(account(&user.email), from, Way::Session(session.record.hash));
        if !self.is_right(&attempt, current, Some(user)).await? {
            return Err(LoginError::Wrong);
        }
        let after = UserRecord { password: self.passwords.hash(new).await?, ..user.clone() };
        let (token, record) = self.make(user);
        let detail = json!({ "after": { "password_changed": true, "address": from } });
        let audit = entry(record.created_at, session.actor(), "user.password", user, detail);
        let value =
            UserSave { before: user.clone(), after: after.clone(), keep_admin: false, opens: Some(record.clone()) };
        match self.store.save_user(user.org, Change { value, audit }).await? {
            UserOutcome::Done => {
                let device = self.devices.issue(&*self.random, after.id, record.created_at);
                let session = Session { record, user: after };
                Ok(Login { token, session, device, failed_attempts: 0, previous_login_at: None })
            }
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

    /// Refuses an attempt where a budget is used up, and records the first refusal within an hour: in the log of the account's org, and in the
    /// service's where there is no such account, so that both take as long.
    async fn admit(&self, attempt: &Attempt, user: Option<&UserRecord>) -> Result<(), LoginError> {
        let now = self.clock.now();
        let Err(Limited { wait, first }) = self.guesses.check(attempt, now) else { return Ok(()) };
        if first {
            let (account, from) = (self.devices.digest(attempt.account()), attempt.network());
            let shown = from.map(tracing::field::display);
            tracing::warn!(account, from = shown, "too many wrong passwords: more attempts are refused for a while");
            let org: Option<OrgId> = user.map(|user| user.org);
            // What was typed where there is no such account may be a password, so it is not kept.
            let object = user.map_or_else(|| "unknown account".to_owned(), |user| user.id.to_string());
            let audit = AuditEntry {
                at: now,
                actor: Actor::from("login"),
                action: "session.limit".to_owned(),
                object,
                detail: json!({ "after": { "address": from, "refused_for_seconds": wait.as_secs() } }),
            };
            self.store.log(org, audit).await?;
        }
        Err(LoginError::Limited { wait })
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
