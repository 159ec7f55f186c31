//! Devices that people logged in with before. Each login hands out a token, which its holder shows at the next one: it proves nothing but that
//! somebody who knew the password logged in there, and gives the person a budget of guesses that nobody else uses up ([`crate::guesses`]).
//!
//! A token is signed with a key that comes of the encryption key, and nothing is stored for it. It names the person by their id, so that another
//! e-mail address or password leaves it as good as it was; it is worthless for anybody else.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use sha2::Sha256;
use toktra_siem_base::random::Random;
use toktra_siem_base::vault::Vault;
use toktra_siem_core::ids::UserId;
use toktra_siem_core::time::Timestamp;
use uuid::Uuid;

/// Every token begins with this.
pub const PREFIX: &str = "tsd_";
/// How long a token is good for: as long as a browser keeps a cookie. Each login hands out another.
pub const LIFETIME: Duration = Duration::from_hours(400 * 24);
/// What is signed: the person, the time, and a number of its own.
const BODY: usize = 16 + 8 + 16;
const CODE: usize = 32;

/// A device that somebody logged in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Who.
    pub user: UserId,
    /// Its number, which no other token has.
    pub id: [u8; 16],
}

/// Hands out tokens and recognises them.
pub struct Devices {
    /// The first one signs.
    keys: Vec<SecretBox<[u8; 32]>>,
}

impl Devices {
    /// With the keys of `vault`: a token survives a change of the encryption key as long as the older one is configured.
    pub fn new(vault: &Vault) -> Self {
        Self { keys: vault.derived("devices") }
    }

    /// A token for a device that `user` has just logged in with.
    pub fn issue(&self, random: &dyn Random, user: UserId, now: Timestamp) -> SecretString {
        let mut token = [0; BODY + CODE];
        token[..16].copy_from_slice(user.0.as_bytes());
        token[16..24].copy_from_slice(&now.0.to_be_bytes());
        random.fill(&mut token[24..BODY]);
        let (body, code) = token.split_at_mut(BODY);
        if let Some(key) = self.keys.first() {
            code.copy_from_slice(&mac(key, b"device", body).finalize().into_bytes());
        }
        SecretString::from(format!("{PREFIX}{}", hex::encode(token)))
    }

    /// The device of a token that was handed out here and is not too old.
    pub fn read(&self, token: &str, now: Timestamp) -> Option<Device> {
        let mut bytes = [0; BODY + CODE];
        hex::decode_to_slice(token.strip_prefix(PREFIX)?, &mut bytes).ok()?;
        let (body, code) = bytes.split_at(BODY);
        self.keys.iter().find(|key| mac(key, b"device", body).verify_slice(code).is_ok())?;
        let (user, rest) = body.split_first_chunk::<16>()?;
        let (issued, id) = rest.split_first_chunk::<8>()?;
        let issued = Timestamp(i64::from_be_bytes(*issued));
        let device = Device { user: UserId(Uuid::from_bytes(*user)), id: id.try_into().ok()? };
        (now < issued.plus(LIFETIME)).then_some(device)
    }

    /// What the log calls an account: the same for the same account, and without the server's key it says nothing of it. What was typed where
    /// an address belongs may be a password.
    pub fn digest(&self, account: &[u8; 32]) -> String {
        let code = self.keys.first().map(|key| mac(key, b"account", account).finalize().into_bytes());
        code.map_or_else(String::new, |code| hex::encode(&code[..6]))
    }
}

fn mac(key: &SecretBox<[u8; 32]>, purpose: &[u8], body: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret()).expect("any key length");
    mac.update(purpose);
    mac.update(b"\0");
    mac.update(body);
    mac
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use toktra_siem_base::random::SeededRandom;
    use toktra_siem_base::vault::EncryptionKey;

    use super::*;

    const NOW: Timestamp = Timestamp(1_736_937_000_000);
    const JO: UserId = UserId(Uuid::from_u128(7));

    fn key(byte: u8) -> EncryptionKey {
        SecretBox::new(Box::new([byte; 32]))
    }

    fn devices(newest: u8, older: &[u8]) -> Devices {
        let older: Vec<_> = older.iter().map(|byte| key(*byte)).collect();
        Devices::new(&Vault::new(&key(newest), &older, Arc::new(SeededRandom::new(1))))
    }

    #[test]
    fn a_token_is_recognised_where_it_was_made_until_it_is_too_old() {
        let (own, random) = (devices(1, &[]), SeededRandom::new(1));
        let token = own.issue(&random, JO, NOW);
        let token = token.expose_secret();
        let device = own.read(token, NOW).unwrap();
        assert_eq!(device.user, JO);
        assert_ne!(own.read(own.issue(&random, JO, NOW).expose_secret(), NOW).unwrap().id, device.id);
        assert_eq!(own.read(token, NOW.plus(LIFETIME)), None);
        assert_eq!(devices(2, &[]).read(token, NOW), None);
        assert_eq!(devices(2, &[1]).read(token, NOW), Some(device), "an older key still tells");
    }

    #[test]
    fn nobody_makes_one_up() {
        let own = devices(1, &[]);
        let token = own.issue(&SeededRandom::new(1), JO, NOW);
        let token = token.expose_secret();
        for at in PREFIX.len()..token.len() {
            let mut other = token.to_owned().into_bytes();
            other[at] = if other[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(own.read(std::str::from_utf8(&other).unwrap(), NOW), None, "{at}");
        }
        for wrong in ["", PREFIX, &token[4..], &token[..token.len() - 2], &format!("{token}00"), "tsd_ü"] {
            assert_eq!(own.read(wrong, NOW), None, "{wrong}");
        }
    }

    #[test]
    fn a_digest_tells_accounts_apart_for_this_server_only() {
        let (own, other) = (devices(1, &[]), devices(2, &[]));
        assert_eq!(own.digest(&[1; 32]), own.digest(&[1; 32]));
        assert_ne!(own.digest(&[1; 32]), own.digest(&[2; 32]));
        assert_ne!(own.digest(&[1; 32]), other.digest(&[1; 32]));
        assert_eq!(own.digest(&[1; 32]).len(), 12);
    }
}
