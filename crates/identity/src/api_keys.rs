//! Making an API key, by whichever way it is asked for: through the API, at the first start, or on the command line.

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use toktra_siem_base::random::Random;
use toktra_siem_core::ids::{ApiKeyId, OrgId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{ApiKeyRecord, Scope};

/// Every key begins with this, so that secret scanners and people recognise one.
const PREFIX: &str = "tsk_";
/// The characters that are kept for recognising a key: 8 of its 64 random ones.
const SHOWN: usize = PREFIX.len() + 8;

/// Every scope of an org.
pub const ORG_SCOPES: [Scope; 4] = [Scope::EventsWrite, Scope::SiemRead, Scope::SiemWrite, Scope::Admin];

/// SHA-256 of a key: what is stored and looked up. No slow hash: a key has 256 random bits, so there is nothing to guess.
pub fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// A new key, which is to be shown once, and the record of it. `org` is `None` for a platform key.
pub fn make(
    random: &dyn Random,
    now: Timestamp,
    org: Option<OrgId>,
    name: String,
    scopes: Vec<Scope>,
) -> (SecretString, ApiKeyRecord) {
    let key = SecretString::from(format!("{PREFIX}{}", random.secret().expose_secret()));
    let record = ApiKeyRecord {
        id: ApiKeyId(random.uuid_v7(now)),
        org,
        name,
        prefix: key.expose_secret()[..SHOWN].to_owned(),
        hash: hash(key.expose_secret()),
        scopes,
        created_at: now,
        expires_at: None,
        created_by: None,
        last_used_at: None,
    };
    (key, record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use toktra_siem_base::random::SeededRandom;

    #[test]
    fn the_record_recognises_the_key_and_does_not_hold_it() {
        let (key, record) = make(&SeededRandom::new(1), Timestamp(1), None, "x".into(), vec![Scope::Platform]);
        let key = key.expose_secret();
        assert!(key.starts_with(&record.prefix) && key.len() == 68);
        assert_eq!(record.hash, hash(key));
        assert!(!format!("{record:?}").contains(&key[SHOWN..]));
    }
}
