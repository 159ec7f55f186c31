//! Passwords: which are accepted, and how they are checked without giving up the threads that serve everybody, or the memory
//! (docs/adr/0017).

use std::sync::Arc;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;
use toktra_siem_base::random::Random;
use toktra_siem_core::people::Email;
use toktra_siem_store::PasswordHash;

mod made_up;

pub use made_up::made_up;

/// The fewest characters.
pub const SHORTEST: usize = 12;
/// The most characters.
pub const LONGEST: usize = 200;
/// What everybody tries first, among what is long enough. No rules about kinds of characters: they make passwords worse.
const ABSURD: [&str; 14] = [
    "123456789012",
    "1234567890123",
    "12345678901234",
    "123456123456",
    "1q2w3e4r5t6y",
    "adminadminadmin",
    "administrator",
    "changeme1234",
    "changemechangeme",
    "iloveyouiloveyou",
    "password1234",
    "passwordpassword",
    "qwertyuiop12",
    "qwertyuiopas",
];

/// Passwords that are worked on at a time. Each takes [`MEMORY_KIB`].
const AT_ONCE: usize = 2;
/// Passwords that wait for their turn; more are refused, so that a flood does not keep everybody waiting.
const WAITING: usize = 64;
/// KiB of memory that a guess takes (OWASP's recommendation for Argon2id, as are the passes).
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over that memory.
const PASSES: u32 = 2;
/// Lanes.
const LANES: u32 = 1;

/// Says why `password` cannot be the one of whoever logs in with `email`; the fragment follows the place of the password.
pub fn check(password: &str, email: Option<&Email>) -> Result<(), String> {
    let characters = password.chars().count();
    if !(SHORTEST..=LONGEST).contains(&characters) {
        return Err(format!(
            "must have {SHORTEST} to {LONGEST} characters; several unrelated words are easy to keep in mind"
        ));
    }
    let lower = password.trim().to_lowercase();
    let same = lower.chars().next().is_some_and(|first| lower.chars().all(|c| c == first));
    if lower.is_empty() || same || ABSURD.contains(&lower.as_str()) {
        return Err("is among the first that anybody would try; choose another".to_owned());
    }
    if email.is_some_and(|email| email.as_str() == lower) {
        return Err("is the e-mail address itself; choose another".to_owned());
    }
    Ok(())
}

/// How passwords are hashed. Blocks for as long as it takes, which is meant to be long.
pub trait Hashing: Send + Sync {
    /// What is kept of a password.
    fn hash(&self, password: &str, salt: [u8; 16]) -> Option<PasswordHash>;

    /// Whether `hash` is of this password.
    fn matches(&self, password: &str, hash: &PasswordHash) -> bool;

    /// The hash of no password, which takes as long to compare with as any other.
    fn nobody(&self) -> PasswordHash;
}

/// Argon2id with the parameters of this version; older hashes are compared with their own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Argon2id;

impl Argon2id {
    fn hasher() -> Option<Argon2<'static>> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).ok()?;
        Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }
}

impl Hashing for Argon2id {
    fn hash(&self, password: &str, salt: [u8; 16]) -> Option<PasswordHash> {
        let hash: phc::PasswordHash = Self::hasher()?.hash_password_with_salt(password.as_bytes(), &salt).ok()?;
        Some(PasswordHash(hash.to_string()))
    }

    fn matches(&self, password: &str, hash: &PasswordHash) -> bool {
        let Ok(hash) = phc::PasswordHash::new(&hash.0) else {
            tracing::error!("the stored hash of a password cannot be read; a new password has to be set");
            return false;
        };
        Self::hasher().is_some_and(|hasher| hasher.verify_password(password.as_bytes(), &hash).is_ok())
    }

    fn nobody(&self) -> PasswordHash {
        let (salt, hash) = ("A".repeat(22), "A".repeat(43));
        PasswordHash(format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${hash}"))
    }
}

/// Too many passwords wait to be checked, or none can be at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("passwords cannot be checked at the moment")]
pub struct Busy;

/// Hashes passwords and compares them, a few at a time.
pub struct Passwords {
    hashing: Arc<dyn Hashing>,
    random: Arc<dyn Random>,
    working: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Passwords {
    /// Works with `hashing`; salts come from `random`.
    pub fn new(hashing: Arc<dyn Hashing>, random: Arc<dyn Random>) -> Self {
        Self { hashing, random, working: Arc::new(Semaphore::new(AT_ONCE)), waiting: Semaphore::new(WAITING) }
    }

    /// What is kept of a password.
    pub async fn hash(&self, password: SecretString) -> Result<PasswordHash, Busy> {
        let mut salt = [0; 16];
        self.random.fill(&mut salt);
        self.work(move |hashing| hashing.hash(password.expose_secret(), salt)).await?.ok_or(Busy)
    }

    /// Whether `hash` is of this password. Takes as long where there is nobody to compare with.
    pub async fn matches(&self, password: SecretString, hash: Option<PasswordHash>) -> Result<bool, Busy> {
        self.work(move |hashing| {
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| hashing.nobody());
            hashing.matches(password.expose_secret(), &hash) && known
        })
        .await
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce(&dyn Hashing) -> T + Send + 'static) -> Result<T, Busy> {
        let waiting = self.waiting.try_acquire().map_err(|_| Busy)?;
        let working = Arc::clone(&self.working).acquire_owned().await.map_err(|_| Busy)?;
        drop(waiting);
        let hashing = Arc::clone(&self.hashing);
        // The permit goes along: the work goes on where its caller has left.
        let work = move || {
            let done = work(&*hashing);
            drop(working);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| {
            tracing::error!(%error, "checking a password ended abnormally");
            Busy
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use parking_lot::{Condvar, Mutex};

    use super::*;
    use toktra_siem_base::random::SeededRandom;

    #[test]
    fn length_and_absurdity_decide_and_nothing_else() {
        let email: Email = "jo.doe@company.com".parse().unwrap();
        let refused = |password: &str| check(password, Some(&email)).is_err();
        assert!(refused("elevenchars") && !refused("twelve chars"));
        assert!(!refused(&"ü!".repeat(100)) && refused(&"ü!".repeat(101)));
        for absurd in ["Password1234", "aaaaaaaaaaaaaaaa", "             ", " administrator ", "Jo.Doe@company.com"] {
            assert!(refused(absurd), "{absurd}");
        }
        assert!(ABSURD.iter().all(|password| password.chars().count() >= SHORTEST));
    }

    #[tokio::test]
    async fn a_hash_recognises_its_password_and_holds_its_parameters() {
        let passwords = Passwords::new(Arc::new(Argon2id), Arc::new(SeededRandom::new(1)));
        let (right, wrong) = (SecretString::from("correct horse"), SecretString::from("correct house"));
        let hash = passwords.hash(right.clone()).await.unwrap();
        assert!(hash.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.0);
        assert!(!format!("{hash:?}").contains("argon2"));
        assert_ne!(passwords.hash(right.clone()).await.unwrap(), hash, "every hash has its own salt");
        assert_eq!(passwords.matches(right.clone(), Some(hash.clone())).await, Ok(true));
        assert_eq!(passwords.matches(wrong, Some(hash.clone())).await, Ok(false));
        assert_eq!(passwords.matches(right.clone(), None).await, Ok(false));
        assert_eq!(passwords.matches(right, Some(PasswordHash("x".into()))).await, Ok(false));
        let cost = |hash: &PasswordHash| {
            let parts: Vec<usize> = hash.0.split('$').map(str::len).collect();
            (hash.0.split('$').take(4).collect::<Vec<_>>().join("$"), parts)
        };
        assert_eq!(cost(&hash), cost(&Argon2id.nobody()), "nobody costs as much as somebody");
        assert!(phc::PasswordHash::new(&Argon2id.nobody().0).is_ok());
    }

    /// Counts how many are at work together, and lets none finish before the gate opens.
    #[derive(Default)]
    struct Crowd {
        now: AtomicUsize,
        most: AtomicUsize,
        done: AtomicUsize,
        open: Mutex<bool>,
        opened: Condvar,
    }

    impl Hashing for Crowd {
        fn hash(&self, _: &str, _: [u8; 16]) -> Option<PasswordHash> {
            None
        }

        fn matches(&self, _: &str, _: &PasswordHash) -> bool {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            let mut open = self.open.lock();
            while !*open {
                self.opened.wait(&mut open);
            }
            drop(open);
            self.now.fetch_sub(1, Ordering::SeqCst);
            self.done.fetch_add(1, Ordering::SeqCst);
            true
        }

        fn nobody(&self) -> PasswordHash {
            PasswordHash(String::new())
        }
    }

    #[tokio::test]
    async fn few_work_at_once_some_wait_and_the_rest_is_refused() {
        let crowd = Arc::new(Crowd::default());
        let passwords = Arc::new(Passwords::new(crowd.clone(), Arc::new(SeededRandom::new(1))));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE + WAITING + 10 {
            let passwords = Arc::clone(&passwords);
            tasks.spawn(async move { passwords.matches("x".into(), None).await });
            // Each comes to where it waits before the next one starts.
            tokio::task::yield_now().await;
        }
        let mut refused = 0;
        while refused < 10 {
            let outcome = tasks.join_next().await.unwrap().unwrap();
            assert_eq!(outcome, Err(Busy));
            refused += 1;
        }
        *crowd.open.lock() = true;
        crowd.opened.notify_all();
        while let Some(outcome) = tasks.join_next().await {
            assert_eq!(outcome.unwrap(), Ok(false), "nobody's password is never right");
        }
        assert_eq!(crowd.done.load(Ordering::SeqCst), AT_ONCE + WAITING);
        assert!(crowd.most.load(Ordering::SeqCst) <= AT_ONCE);
    }
}
