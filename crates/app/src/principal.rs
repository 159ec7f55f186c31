//! Who calls: from a key, or the token of a session, to a [`Principal`]. API keys and the tokens of sessions are looked up by their SHA-256; the
//! bootstrap key of the configuration is compared in constant time.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use toktra_siem_core::ids::OrgId;
use toktra_siem_core::people::Role;
use toktra_siem_core::time::Timestamp;
use toktra_siem_identity::api_keys::{ORG_SCOPES, hash};
use toktra_siem_identity::sessions::{self, Session, Sessions};
use toktra_siem_store::{Actor, ActorKind, ApiKeyRecord, Scope, Store, USE_NOTED_EVERY};
use uuid::Uuid;

use crate::cache::TtlCache;
use crate::{Refusal, Result};

/// The actor that the audit log names for the bootstrap key.
const BOOTSTRAP: &str = "bootstrap";
/// The bootstrap key's id, for its request limit. No stored key has it.
const BOOTSTRAP_ID: Uuid = Uuid::nil();

/// Somebody with a valid key or session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The id of the key, or of the person: their requests are counted together.
    pub id: Uuid,
    /// The name of the key, or the e-mail address of the person, as the audit log shows it.
    pub name: String,
    /// Who that is.
    pub kind: ActorKind,
    /// The org it belongs to; `None` for a platform key.
    pub org: Option<OrgId>,
    /// The org that is meant where a platform key names none: only the bootstrap key has one.
    pub fallback: Option<OrgId>,
    /// The session, where it is a person's.
    pub session: Option<Session>,
    scopes: Vec<Scope>,
    expires_at: Option<Timestamp>,
    /// From when on it is to be looked up anew, so that its use is noted.
    look_again: Timestamp,
}

impl Principal {
    fn of_key(record: ApiKeyRecord, now: Timestamp) -> Self {
        let ApiKeyRecord { id, org, name, scopes, expires_at, .. } = record;
        let look_again = now.plus(USE_NOTED_EVERY);
        let (kind, fallback, session) = (ActorKind::ApiKey, None, None);
        Self { id: id.0, name, kind, org, fallback, session, scopes, expires_at, look_again }
    }

    /// What the role of the person allows: everything in their org, or to look at it.
    fn of_session(session: Session) -> Self {
        let user = &session.user;
        let scope = match user.role {
            Role::Admin => Scope::Admin,
            Role::Viewer => Scope::SiemRead,
        };
        Self {
            id: user.id.0,
            name: user.email.to_string(),
            kind: ActorKind::User,
            org: Some(user.org),
            fallback: None,
            scopes: vec![scope],
            expires_at: Some(session.expires_at()),
            look_again: session.record.seen_at.plus(USE_NOTED_EVERY),
            session: Some(session),
        }
    }

    /// All who may look at the org: whoever they are, they may read.
    pub fn of_onlookers(org: OrgId) -> Self {
        Self {
            id: org.0,
            name: "onlookers".to_owned(),
            kind: ActorKind::User,
            org: Some(org),
            fallback: None,
            session: None,
            scopes: vec![Scope::SiemRead],
            expires_at: None,
            look_again: Timestamp(i64::MAX),
        }
    }

    /// As the audit log names it.
    pub fn actor(&self) -> Actor {
        let id = Some(self.id).filter(|id| *id != BOOTSTRAP_ID);
        Actor { kind: self.kind, name: self.name.clone(), id }
    }

    /// Whether it may do what needs `scope`. `admin` includes the scopes of an org, `platform` includes all of them for every org.
    pub fn may(&self, scope: Scope) -> bool {
        self.is_platform()
            || (scope != Scope::Platform && (self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)))
    }

    /// Refuses unless it may do what needs `scope`.
    ///
    /// # Errors
    ///
    /// With the scope's name.
    pub fn needs(&self, scope: Scope) -> Result<()> {
        if self.may(scope) {
            return Ok(());
        }
        let name = scope.as_str();
        Err(Refusal::forbidden(match &self.session {
            Some(_) => {
                format!("This needs the scope `{name}`, which your role does not include. Ask an admin of your org.")
            }
            None => format!("This needs the scope `{name}`, which the API key does not have."),
        }))
    }

    /// Whether it speaks for every org. A record that belongs to an org never does, whatever its scopes say.
    pub fn is_platform(&self) -> bool {
        self.org.is_none() && self.scopes.contains(&Scope::Platform)
    }
}

/// Finds the principal of a request.
pub struct KeyRing {
    store: Arc<dyn Store>,
    sessions: Arc<Sessions>,
    bootstrap: Option<([u8; 32], Arc<Principal>)>,
    known: TtlCache<[u8; 32], Arc<Principal>>,
}

impl KeyRing {
    /// With the bootstrap key of the configuration, whose requests mean `default_org` where they name no org.
    pub fn new(
        store: Arc<dyn Store>,
        sessions: Arc<Sessions>,
        bootstrap: Option<&SecretString>,
        default_org: OrgId,
    ) -> Self {
        let principal = Principal {
            id: BOOTSTRAP_ID,
            name: BOOTSTRAP.into(),
            kind: ActorKind::ApiKey,
            org: None,
            fallback: Some(default_org),
            session: None,
            scopes: ORG_SCOPES.into_iter().chain([Scope::Platform]).collect(),
            expires_at: None,
            look_again: Timestamp(i64::MAX),
        };
        let bootstrap = bootstrap.map(|key| (hash(key.expose_secret()), Arc::new(principal)));
        Self { store, sessions, bootstrap, known: TtlCache::default() }
    }

    /// The principal whose key or token this is, at `now`. `used` is whether somebody asks, or only their page.
    pub async fn authenticate(&self, token: &str, now: Timestamp, used: bool) -> Result<Arc<Principal>> {
        let hash = hash(token);
        if let Some((own, principal)) = &self.bootstrap
            && bool::from(own.ct_eq(&hash))
        {
            return Ok(Arc::clone(principal));
        }
        let principal = match self.known.get(&hash).filter(|known| !used || now < known.look_again) {
            Some(known) => known,
            None => self.look_up(token, hash, now, used).await?,
        };
        match principal.expires_at {
            Some(end) if end <= now && principal.session.is_some() => Err(session_over()),
            Some(end) if end <= now => {
                Err(Refusal::unauthorized("The API key has expired. Use another, or have a new one made."))
            }
            _ => Ok(principal),
        }
    }

    async fn look_up(&self, token: &str, hash: [u8; 32], now: Timestamp, used: bool) -> Result<Arc<Principal>> {
        let ticket = self.known.ticket();
        let principal = if token.starts_with(sessions::PREFIX) {
            let session = self.sessions.find(hash, used).await.map_err(|error| Refusal::store("session", error))?;
            Principal::of_session(session.ok_or_else(session_over)?)
        } else {
            let record = self.store.key_by_hash(hash).await.map_err(|error| Refusal::store("API key", error))?;
            let record = record.ok_or_else(|| {
                Refusal::unauthorized(
                    "The API key is not known. It may be mistyped, or revoked; check it, or have a new one made.",
                )
            })?;
            self.note_use(&record, now);
            Principal::of_key(record, now)
        };
        let principal = Arc::new(principal);
        self.known.put(ticket, hash, Arc::clone(&principal));
        Ok(principal)
    }

    /// Notes that a key was used, at most once a minute, and without the request waiting for it.
    fn note_use(&self, record: &ApiKeyRecord, now: Timestamp) {
        let noted = record.last_used_at.is_some_and(|last| now < last.plus(USE_NOTED_EVERY));
        if noted || record.expires_at.is_some_and(|end| end <= now) {
            return;
        }
        let (store, id) = (Arc::clone(&self.store), record.id);
        tokio::spawn(async move {
            if let Err(error) = store.touch_key(id, now).await {
                tracing::debug!(%error, key = %id, "the use of a key could not be noted");
            }
        });
    }

    /// A key was revoked, a session ended, a person changed, or an org removed.
    pub fn forget(&self) {
        self.known.clear();
    }
}

fn session_over() -> Refusal {
    Refusal::unauthorized("The session has ended. Log in again with `POST /v1/sessions`.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(org: Option<OrgId>, scopes: &[Scope]) -> Principal {
        Principal {
            id: BOOTSTRAP_ID,
            name: String::new(),
            kind: ActorKind::ApiKey,
            org,
            fallback: None,
            session: None,
            scopes: scopes.to_vec(),
            expires_at: None,
            look_again: Timestamp(0),
        }
    }

    #[test]
    fn admin_includes_an_orgs_scopes_and_platform_all_of_them() {
        let org = Some(OrgId(Uuid::nil()));
        let admin = principal(org, &[Scope::Admin]);
        assert!(admin.may(Scope::SiemWrite) && admin.may(Scope::EventsWrite) && !admin.may(Scope::Platform));
        let reader = principal(org, &[Scope::SiemRead]);
        assert!(reader.may(Scope::SiemRead) && !reader.may(Scope::SiemWrite) && !reader.may(Scope::Admin));
        assert!(principal(None, &[Scope::Platform]).may(Scope::Admin));
        let pretender = principal(org, &[Scope::Platform]);
        assert!(!pretender.is_platform() && !pretender.may(Scope::Platform));
    }
}
