//! Randomness, drawn in one place so that the simulation can replay a run from its seed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use parking_lot::Mutex;
use secrecy::SecretString;
use toktra_siem_core::time::Timestamp;
use uuid::Uuid;
use zeroize::Zeroize as _;

/// Bytes of entropy in a [`Random::secret`] (no fewer than 192 bits).
pub const SECRET_BYTES: usize = 32;

/// A source of random bytes, and what the server makes of them.
pub trait Random: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);

    /// A version 7 UUID for something that happens at `at`: ids sort by time, to the millisecond. A time before 1970 counts as 1970.
    fn uuid_v7(&self, at: Timestamp) -> Uuid {
        let mut random = [0; 10];
        self.fill(&mut random);
        uuid::Builder::from_unix_timestamp_millis(u64::try_from(at.0).unwrap_or(0), &random).into_uuid()
    }

    /// [`SECRET_BYTES`] random bytes as lower-case hex: for keys, signing secrets and tokens.
    fn secret(&self) -> SecretString {
        let mut bytes = [0; SECRET_BYTES];
        self.fill(&mut bytes);
        let secret = SecretString::from(hex::encode(bytes));
        bytes.zeroize();
        secret
    }

    /// A signing secret as Standard Webhooks writes one: its libraries take it as it is.
    fn signing_secret(&self) -> SecretString {
        let mut bytes = [0; SECRET_BYTES];
        self.fill(&mut bytes);
        let secret = SecretString::from(format!("whsec_{}", BASE64.encode(bytes)));
        bytes.zeroize();
        secret
    }

    /// Uniform in `0.0..1.0`: for spreading pauses.
    fn jitter(&self) -> f64 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
    }
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    /// # Panics
    ///
    /// Where the operating system has no randomness to give: going on would mean guessable secrets.
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(clippy::expect_used, reason = "without randomness every secret would be guessable: stop")]
        getrandom::fill(bytes).expect("the operating system gives random bytes");
    }
}

/// A generator whose output follows from its seed (SplitMix64): for tests and the simulation, never for secrets that matter.
#[derive(Debug)]
pub struct SeededRandom(Mutex<u64>);

impl SeededRandom {
    /// Starts at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock();
        for chunk in bytes.chunks_mut(8) {
            *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut word = *state;
            word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            word ^= word >> 31;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn uuids_are_version_7_and_sort_by_their_time() {
        let earlier = SystemRandom.uuid_v7(Timestamp(1_736_937_000_123));
        let later = SystemRandom.uuid_v7(Timestamp(1_736_937_000_124));
        assert_eq!(earlier.get_version_num(), 7);
        assert_eq!(earlier.get_variant(), uuid::Variant::RFC4122);
        assert!(earlier < later);
        assert_ne!(earlier, SystemRandom.uuid_v7(Timestamp(1_736_937_000_123)));
    }

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let secret = SystemRandom.secret();
        assert_eq!(secret.expose_secret().len(), 2 * SECRET_BYTES);
        assert_ne!(secret.expose_secret(), SystemRandom.secret().expose_secret());
    }

    #[test]
    fn signing_secrets_are_of_standard_webhooks() {
        let secret = SystemRandom.signing_secret();
        let code = secret.expose_secret().strip_prefix("whsec_").unwrap();
        assert_eq!(BASE64.decode(code).unwrap().len(), SECRET_BYTES);
        assert_ne!(secret.expose_secret(), SystemRandom.signing_secret().expose_secret());
    }

    #[test]
    fn jitter_stays_in_range_and_a_seed_repeats_itself() {
        let (a, b) = (SeededRandom::new(7), SeededRandom::new(7));
        let drawn: Vec<f64> = (0..1_000).map(|_| a.jitter()).collect();
        assert!(drawn.iter().all(|j| (0.0..1.0).contains(j)));
        assert!(drawn.iter().any(|j| *j < 0.1) && drawn.iter().any(|j| *j > 0.9));
        assert_eq!(drawn, (0..1_000).map(|_| b.jitter()).collect::<Vec<_>>());
    }
}
