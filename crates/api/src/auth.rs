//! Who calls: from the `Authorization` header to a [`Principal`]. API keys and the tokens of sessions are looked up by their SHA-256; the
//! bootstrap key of the configuration is compared in constant time.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use toktra_siem_core::ids::OrgId;
use toktra_siem_core::people::Role;
use toktra_siem_core::time::Timestamp;
use toktra_siem_identity::api_keys::{ORG_SCOPES, hash};
use toktra_siem_identity::sessions::{self, Session, Sessions};
use toktra_siem_store::{Actor, ActorKind, ApiKeyRecord, Scope, Store, USE_NOTED_EVERY};
use uuid::Uuid;

use super::cache::TtlCache;
use super::error::{ApiError, Result};

/// The longest key that is looked at. Ours have 68 characters; the bootstrap key is the operator's choice.
const LONGEST: usize = 1024;
/// The actor that the audit log names for the bootstrap key.
const BOOTSTRAP: &str = "bootstrap";
/// The bootstrap key's id, for its request limit. No stored key has it.
const BOOTSTRAP_ID: Uuid = Uuid::nil();

/// Somebody with a valid key or session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Principal {
    /// The id of the key, or of the person: their requests are counted together.
    pub(super) id: Uuid,
    /// The name of the key, or the e-mail address of the person, as the audit log shows it.
    pub(super) name: String,
    /// Who that is.
    pub(super) kind: ActorKind,
    /// The org it belongs to; `None` for a platform key.
    pub(super) org: Option<OrgId>,
    /// The org that is meant where a platform key names none: only the bootstrap key has one.
    pub(super) fallback: Option<OrgId>,
    /// The session, where it is a person's.
    pub(super) session: Option<Session>,
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
    pub(super) fn of_onlookers(org: OrgId) -> Self {
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
    pub(super) fn actor(&self) -> Actor {
        let id = Some(self.id).filter(|id| *id != BOOTSTRAP_ID);
        Actor { kind: self.kind, name: self.name.clone(), id }
    }

    /// Whether it may do what needs `scope`. `admin` includes the scopes of an org, `platform` includes all of them for every org.
    pub(super) fn may(&self, scope: Scope) -> bool {
        self.is_platform()
            || (scope != Scope::Platform && (self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)))
    }

    /// Whether it speaks for every org. A record that belongs to an org never does, whatever its scopes say.
    pub(super) fn is_platform(&self) -> bool {
        self.org.is_none() && self.scopes.contains(&Scope::Platform)
    }
}

/// Finds the principal of a request.
pub(super) struct KeyRing {
    store: Arc<dyn Store>,
    sessions: Arc<Sessions>,
    bootstrap: Option<([u8; 32], Arc<Principal>)>,
    known: TtlCache<[u8; 32], Arc<Principal>>,
}

impl KeyRing {
    /// With the bootstrap key of the configuration, whose requests mean `default_org` where they name no org.
    pub(super) fn new(
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

    /// The principal of the request with these headers at `now`. `used` is whether somebody asks, or only their page.
    pub(super) async fn authenticate(&self, headers: &HeaderMap, now: Timestamp, used: bool) -> Result<Arc<Principal>> {
        let token = bearer(headers)?;
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
                Err(ApiError::unauthorized("The API key has expired. Use another, or have a new one made."))
            }
            _ => Ok(principal),
        }
    }

    async fn look_up(&self, token: &str, hash: [u8; 32], now: Timestamp, used: bool) -> Result<Arc<Principal>> {
        let ticket = self.known.ticket();
        let principal = if token.starts_with(sessions::PREFIX) {
            let session = self.sessions.find(hash, used).await.map_err(|error| ApiError::store("session", error))?;
            Principal::of_session(session.ok_or_else(session_over)?)
        } else {
            let record = self.store.key_by_hash(hash).await.map_err(|error| ApiError::store("API key", error))?;
            let record = record.ok_or_else(|| {
                ApiError::unauthorized(
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
    pub(super) fn forget(&self) {
        self.known.clear();
    }
}

fn session_over() -> ApiError {
    ApiError::unauthorized("The session has ended. Log in again with `POST /v1/sessions`.")
}

/// The key or token of `Authorization: Bearer <key>`.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str> {
    let missing = || ApiError::unauthorized("An API key is needed. Send it as `Authorization: Bearer <key>`.");
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(missing()) };
    let (scheme, key) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
    let key = key.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || key.is_empty() || key.len() > LONGEST {
        return Err(missing());
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

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

    #[test]
    fn only_one_well_formed_header_is_read() {
        let headers = |values: &[&'static str]| {
            let mut map = HeaderMap::new();
            for value in values {
                map.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            map
        };
        assert_eq!(bearer(&headers(&["Bearer abc"])).unwrap(), "abc");
        assert_eq!(bearer(&headers(&["bearer  abc "])).unwrap(), "abc");
        for bad in [&[][..], &["abc"], &["Bearer "], &["Basic abc"], &["Bearer a", "Bearer b"]] {
            assert!(bearer(&headers(bad)).is_err(), "{bad:?}");
        }
    }
}
