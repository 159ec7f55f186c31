//! Connector secrets at rest: sealed with XChaCha20-Poly1305, each bound to the org, the connector and the field that it belongs
//! to. A row that was moved to another place in the database does not open there.
//!
//! Keys rotate without downtime: the newest seals, every configured one opens, and what an older one sealed is told from
//! [`Vault::is_current`], so that it can be sealed anew.

use std::sync::Arc;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use sha2::{Digest as _, Sha256};
use toktra_siem_core::ids::{ConnectorId, OrgId};
use toktra_siem_store::SealedSecret;
use zeroize::Zeroize as _;

use crate::random::Random;

/// The field of the secret that requests are signed with.
pub const SIGNING_SECRET: &str = "signing_secret";
/// The field of the secret that takes over at the end of a rotation.
pub const SIGNING_SECRET_NEXT: &str = "signing_secret_next";

/// Bytes of an encryption key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a nonce: long enough to be drawn at random for every secret.
const NONCE_BYTES: usize = 24;

/// An encryption key, as the key file or `TOKTRA_SIEM_ENCRYPTION_KEY` holds it.
pub type EncryptionKey = SecretBox<[u8; KEY_BYTES]>;

/// Why a secret could not be sealed or opened. Says nothing of the secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VaultError {
    /// None of the configured keys sealed it.
    #[error(
        "the secret `{field}` was sealed with an encryption key that is not configured (key id {key_id:08x}). Give the key that \
         was in use before, or enter the credential again"
    )]
    UnknownKey {
        /// Which secret.
        field: String,
        /// The id of the missing key.
        key_id: u32,
    },
    /// It is damaged, or was sealed for another org, connector or field.
    #[error(
        "the secret `{field}` does not open: its row was damaged, or moved from elsewhere. Enter the credential again"
    )]
    Sealed {
        /// Which secret.
        field: String,
    },
}

struct VaultKey {
    id: u32,
    cipher: XChaCha20Poly1305,
    bytes: EncryptionKey,
}

impl VaultKey {
    fn new(key: &EncryptionKey) -> Self {
        let bytes = key.expose_secret();
        let digest = Sha256::new_with_prefix(b"toktra-siem encryption key id\0").chain_update(bytes).finalize();
        let id = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        Self { id, cipher: XChaCha20Poly1305::new(bytes.into()), bytes: SecretBox::new(Box::new(*bytes)) }
    }

    fn derived(&self, purpose: &str) -> SecretBox<[u8; KEY_BYTES]> {
        let mac = hmac(&self.bytes).chain_update("toktra-siem derived key\0").chain_update(purpose);
        SecretBox::new(Box::new(mac.finalize().into_bytes().into()))
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn hmac(key: &EncryptionKey) -> Hmac<Sha256> {
    Hmac::new_from_slice(key.expose_secret()).expect("any key length")
}

/// Seals and opens connector secrets.
pub struct Vault {
    /// Never empty; the first one seals.
    newest: VaultKey,
    older: Vec<VaultKey>,
    random: Arc<dyn Random>,
}

impl Vault {
    /// A vault that seals with `newest` and opens what that or any of `older` sealed.
    pub fn new(newest: &EncryptionKey, older: &[EncryptionKey], random: Arc<dyn Random>) -> Self {
        Self { newest: VaultKey::new(newest), older: older.iter().map(VaultKey::new).collect(), random }
    }

    /// Seals `secret` as the `field` of a connector. Both signing secrets are bound to the same name, so that the next one can take
    /// over without being opened.
    ///
    /// # Panics
    ///
    /// Never for a secret below 256 GiB, the cipher's limit.
    pub fn seal(&self, org: OrgId, connector: ConnectorId, field: &str, secret: &SecretString) -> SealedSecret {
        let mut nonce = [0; NONCE_BYTES];
        self.random.fill(&mut nonce);
        let aad = associated(org, connector, field);
        let payload = Payload { msg: secret.expose_secret().as_bytes(), aad: &aad };
        #[expect(clippy::expect_used, reason = "the cipher refuses only what is longer than 256 GiB")]
        let ciphertext = self.newest.cipher.encrypt(&XNonce::from(nonce), payload).expect("a secret of sane length");
        SealedSecret { field: field.to_owned(), key_id: self.newest.id, nonce: nonce.to_vec(), ciphertext }
    }

    /// Opens a secret of this org's connector.
    pub fn open(&self, org: OrgId, connector: ConnectorId, sealed: &SealedSecret) -> Result<SecretString, VaultError> {
        let field = || sealed.field.clone();
        let key = std::iter::once(&self.newest)
            .chain(&self.older)
            .find(|key| key.id == sealed.key_id)
            .ok_or_else(|| VaultError::UnknownKey { field: field(), key_id: sealed.key_id })?;
        let nonce = <[u8; NONCE_BYTES]>::try_from(sealed.nonce.as_slice());
        let nonce = XNonce::from(nonce.map_err(|_| VaultError::Sealed { field: field() })?);
        let aad = associated(org, connector, &sealed.field);
        let opened = key.cipher.decrypt(&nonce, Payload { msg: &sealed.ciphertext, aad: &aad });
        let bytes = opened.map_err(|_| VaultError::Sealed { field: field() })?;
        String::from_utf8(bytes).map(SecretString::from).map_err(|error| {
            error.into_bytes().zeroize();
            VaultError::Sealed { field: field() }
        })
    }

    /// Keys for another purpose, one of each encryption key, the newest first: nobody who learns one learns anything of the others.
    pub fn derived(&self, purpose: &str) -> Vec<SecretBox<[u8; KEY_BYTES]>> {
        std::iter::once(&self.newest).chain(&self.older).map(|key| key.derived(purpose)).collect()
    }

    /// What stands for `parts` where they must not be guessed from it: their code (HMAC-SHA-256) under each of the keys for `purpose`, the
    /// newest first. No other parts give the same.
    pub fn codes(&self, purpose: &str, parts: &[&[u8]]) -> Vec<[u8; KEY_BYTES]> {
        let code = |key: SecretBox<[u8; KEY_BYTES]>| {
            let add = |mac: Hmac<Sha256>, part: &&[u8]| {
                mac.chain_update((part.len() as u64).to_be_bytes()).chain_update(part)
            };
            parts.iter().fold(hmac(&key), add).finalize().into_bytes().into()
        };
        self.derived(purpose).into_iter().map(code).collect()
    }

    /// Whether the newest key sealed it; if not, it is due to be sealed anew.
    pub fn is_current(&self, sealed: &SealedSecret) -> bool {
        sealed.key_id == self.newest.id
    }
}

/// What a sealed secret is bound to. The ids have fixed lengths, so that no two places give the same bytes.
fn associated(org: OrgId, connector: ConnectorId, field: &str) -> Vec<u8> {
    let field = if field == SIGNING_SECRET_NEXT { SIGNING_SECRET } else { field };
    [org.0.as_bytes(), connector.0.as_bytes(), field.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::random::SeededRandom;

    fn key(byte: u8) -> EncryptionKey {
        SecretBox::new(Box::new([byte; KEY_BYTES]))
    }

    fn vault(newest: u8, older: &[u8]) -> Vault {
        let older: Vec<_> = older.iter().map(|byte| key(*byte)).collect();
        Vault::new(&key(newest), &older, Arc::new(SeededRandom::new(u64::from(newest))))
    }

    fn place(n: u128) -> (OrgId, ConnectorId) {
        (OrgId(Uuid::from_u128(n)), ConnectorId(Uuid::from_u128(100 + n)))
    }

    #[test]
    fn opens_what_it_sealed_and_holds_no_plain_text() {
        let (vault, (org, connector)) = (vault(1, &[]), place(1));
        let sealed = vault.seal(org, connector, "hec_token", &"a-very-secret-token".into());
        assert!(!sealed.ciphertext.windows(6).any(|w| w == b"secret"));
        assert_eq!(vault.open(org, connector, &sealed).unwrap().expose_secret(), "a-very-secret-token");
        let again = vault.seal(org, connector, "hec_token", &"a-very-secret-token".into());
        assert_ne!(again.nonce, sealed.nonce);
        assert_ne!(again.ciphertext, sealed.ciphertext);
    }

    #[test]
    fn a_row_moved_to_another_org_connector_or_field_does_not_open() {
        let (vault, (org, connector), (org2, connector2)) = (vault(1, &[]), place(1), place(2));
        let sealed = vault.seal(org, connector, "password", &"x".into());
        let refused = Err("password");
        let outcome = |org, connector, sealed: &SealedSecret| match vault.open(org, connector, sealed) {
            Ok(_) => Ok(()),
            Err(VaultError::Sealed { field }) if field == "password" => refused,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(outcome(org2, connector, &sealed), refused);
        assert_eq!(outcome(org, connector2, &sealed), refused);
        let renamed = SealedSecret { field: "api_key".into(), ..sealed.clone() };
        assert!(vault.open(org, connector, &renamed).is_err());
        let mut damaged = sealed.clone();
        damaged.ciphertext[0] ^= 1;
        assert_eq!(outcome(org, connector, &damaged), refused);
        let short = SealedSecret { nonce: vec![0; 12], ..sealed };
        assert_eq!(outcome(org, connector, &short), refused);
    }

    #[test]
    fn the_next_signing_secret_takes_over_by_its_name_alone() {
        let (vault, (org, connector)) = (vault(1, &[]), place(1));
        let next = vault.seal(org, connector, SIGNING_SECRET_NEXT, &"s2".into());
        let current = SealedSecret { field: SIGNING_SECRET.into(), ..next };
        assert_eq!(vault.open(org, connector, &current).unwrap().expose_secret(), "s2");
    }

    #[test]
    fn keys_rotate_without_losing_what_the_older_one_sealed() {
        let (org, connector) = place(1);
        let old = vault(1, &[]).seal(org, connector, "api_key", &"k".into());
        let rotated = vault(2, &[1]);
        assert_eq!(rotated.open(org, connector, &old).unwrap().expose_secret(), "k");
        assert!(!rotated.is_current(&old));
        assert!(rotated.is_current(&rotated.seal(org, connector, "api_key", &"k".into())));
        let lost = vault(2, &[]).open(org, connector, &old).map(|_| ()).unwrap_err();
        assert_eq!(lost, VaultError::UnknownKey { field: "api_key".into(), key_id: old.key_id });
    }
}
