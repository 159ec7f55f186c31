//! Who calls: from the `Authorization` header to a [`Principal`]. Keys are looked up by their SHA-256; the bootstrap key of the
//! configuration is compared in constant time.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use toktra_siem_core::ids::{ApiKeyId, OrgId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{ApiKeyRecord, Scope, Store};
use uuid::Uuid;

use super::cache::TtlCache;
use super::error::{ApiError, Result};
use crate::api_keys::{ORG_SCOPES, hash};

/// The longest key that is looked at. Ours have 68 characters; the bootstrap key is the operator's choice.
const LONGEST: usize = 1024;
/// The actor that the audit log names for the bootstrap key.
const BOOTSTRAP: &str = "bootstrap";
/// The bootstrap key's id, for its request limit. No stored key has it.
const BOOTSTRAP_ID: ApiKeyId = ApiKeyId(Uuid::nil());

/// Somebody with a valid key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Principal {
    /// The key's id.
    pub(super) id: ApiKeyId,
    /// The key's name, as the audit log shows it.
    pub(super) name: String,
    /// The org it belongs to; `None` for a platform key.
    pub(super) org: Option<OrgId>,
    /// The org that is meant where a platform key names none: only the bootstrap key has one.
    pub(super) fallback: Option<OrgId>,
    scopes: Vec<Scope>,
    expires_at: Option<Timestamp>,
}

impl Principal {
    fn of(record: ApiKeyRecord) -> Self {
        let ApiKeyRecord { id, org, name, scopes, expires_at, .. } = record;
        Self { id, name, org, fallback: None, scopes, expires_at }
    }

    /// Whether it may do what needs `scope`. `admin` includes the scopes of an org, `platform` includes all of them for every org.
    pub(super) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
            || self.is_platform()
            || (scope != Scope::Platform && self.scopes.contains(&Scope::Admin))
    }

    /// Whether it speaks for every org. A record that belongs to an org never does, whatever its scopes say.
    pub(super) fn is_platform(&self) -> bool {
        self.org.is_none() && self.scopes.contains(&Scope::Platform)
    }
}

/// Finds the principal of a request.
pub(super) struct KeyRing {
    bootstrap: Option<([u8; 32], Arc<Principal>)>,
    known: TtlCache<[u8; 32], Arc<Principal>>,
}

impl KeyRing {
    /// With the bootstrap key of the configuration, whose requests mean `default_org` where they name no org.
    pub(super) fn new(bootstrap: Option<&SecretString>, default_org: OrgId) -> Self {
        let scopes = ORG_SCOPES.into_iter().chain([Scope::Platform]).collect();
        let fallback = Some(default_org);
        let principal =
            Principal { id: BOOTSTRAP_ID, name: BOOTSTRAP.into(), org: None, fallback, scopes, expires_at: None };
        let bootstrap = bootstrap.map(|key| (hash(key.expose_secret()), Arc::new(principal)));
        Self { bootstrap, known: TtlCache::default() }
    }

    /// The principal of the request with these headers at `now`.
    pub(super) async fn authenticate(
        &self,
        store: &dyn Store,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Arc<Principal>> {
        let hash = hash(bearer(headers)?);
        if let Some((own, principal)) = &self.bootstrap
            && bool::from(own.ct_eq(&hash))
        {
            return Ok(Arc::clone(principal));
        }
        let principal = match self.known.get(&hash) {
            Some(known) => known,
            None => self.look_up(store, hash).await?,
        };
        match principal.expires_at {
            Some(end) if end <= now => {
                Err(ApiError::unauthorized("The API key has expired. Use another, or have a new one made."))
            }
            _ => Ok(principal),
        }
    }

    async fn look_up(&self, store: &dyn Store, hash: [u8; 32]) -> Result<Arc<Principal>> {
        let ticket = self.known.ticket();
        let record = store.key_by_hash(hash).await.map_err(|error| ApiError::store("API key", error))?;
        let record = record.ok_or_else(|| {
            ApiError::unauthorized(
                "The API key is not known. It may be mistyped, or revoked; check it, or have a new one made.",
            )
        })?;
        let principal = Arc::new(Principal::of(record));
        self.known.put(ticket, hash, Arc::clone(&principal));
        Ok(principal)
    }

    /// A key was revoked, or an org removed.
    pub(super) fn forget(&self) {
        self.known.clear();
    }
}

/// The key of `Authorization: Bearer <key>`.
fn bearer(headers: &HeaderMap) -> Result<&str> {
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
        let id = BOOTSTRAP_ID;
        Principal { id, name: String::new(), org, fallback: None, scopes: scopes.to_vec(), expires_at: None }
    }

    #[test]
    fn admin_includes_an_orgs_scopes_and_platform_all_of_them() {
        let org = Some(OrgId(Uuid::nil()));
        let admin = principal(org, &[Scope::Admin]);
        assert!(admin.may(Scope::SiemWrite) && admin.may(Scope::EventsWrite) && !admin.may(Scope::Platform));
        let reader = principal(org, &[Scope::SiemRead]);
        assert!(reader.may(Scope::SiemRead) && !reader.may(Scope::SiemWrite) && !reader.may(Scope::Admin));
        assert!(principal(None, &[Scope::Platform]).may(Scope::Admin));
        assert!(!principal(org, &[Scope::Platform]).is_platform());
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
