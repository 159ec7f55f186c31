//! Passwords: which are accepted, and how they are checked without giving up the threads that serve everybody, or the memory
//! (docs/adr/0017).

use std::sync::Arc;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use secrecy::{ExposeSecret as _, SecretString};
use toktra_siem_base::random::Random;
use toktra_siem_core::people::Email;
use toktra_siem_store::PasswordHash;

mod made_up;
mod turns;

pub use made_up::made_up;
use turns::Turns;
pub use turns::{Lane, Turn};

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
    turns: Arc<Turns>,
}

impl Passwords {
    /// Works with `hashing`; salts come from `random`.
    pub fn new(hashing: Arc<dyn Hashing>, random: Arc<dyn Random>) -> Self {
        Self { hashing, random, turns: Turns::new(AT_ONCE) }
    }

    /// Waits until a password can be worked on.
    pub async fn turn(&self, lane: Lane) -> Result<Turn, Busy> {
        self.turns.take(lane).await
    }

    /// What is kept of a password that somebody who is known has chosen.
    pub async fn hash(&self, password: SecretString) -> Result<PasswordHash, Busy> {
        let turn = self.turn(Lane::Known).await?;
        let mut salt = [0; 16];
        self.random.fill(&mut salt);
        self.work(turn, move |hashing| hashing.hash(password.expose_secret(), salt)).await?.ok_or(Busy)
    }

    /// Whether `hash` is of this password. Takes as long where there is nobody to compare with. `judged` is told before anybody else has their
    /// turn, also where the caller has left meanwhile.
    pub async fn matches(
        &self,
        turn: Turn,
        password: SecretString,
        hash: Option<PasswordHash>,
        judged: impl FnOnce(bool) + Send + 'static,
    ) -> Result<bool, Busy> {
        self.work(turn, move |hashing| {
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| hashing.nobody());
            let matches = hashing.matches(password.expose_secret(), &hash) && known;
            judged(matches);
            matches
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        turn: Turn,
        work: impl FnOnce(&dyn Hashing) -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let hashing = Arc::clone(&self.hashing);
        // The turn goes along: the work goes on where its caller has left.
        let work = move || {
            let done = work(&*hashing);
            drop(turn);
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
        let matches = async |password: &SecretString, hash: Option<PasswordHash>| {
            let turn = passwords.turn(Lane::Stranger(None)).await?;
            passwords.matches(turn, password.clone(), hash, drop).await
        };
        assert_eq!(matches(&right, Some(hash.clone())).await, Ok(true));
        assert_eq!(matches(&wrong, Some(hash.clone())).await, Ok(false));
        assert_eq!(matches(&right, None).await, Ok(false));
        assert_eq!(matches(&right, Some(PasswordHash("x".into()))).await, Ok(false));
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

    /// Waits until somebody is at work.
    async fn begun(crowd: &Crowd, count: usize) {
        while crowd.now.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn few_work_at_once_and_what_is_judged_counts_also_where_the_caller_has_left() {
        let crowd = Arc::new(Crowd::default());
        let passwords = Arc::new(Passwords::new(crowd.clone(), Arc::new(SeededRandom::new(1))));
        let judged = Arc::new(AtomicUsize::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let (passwords, judged) = (Arc::clone(&passwords), Arc::clone(&judged));
            tasks.spawn(async move {
                let turn = passwords.turn(Lane::Stranger(None)).await?;
                let judged = move |right: bool| {
                    judged.fetch_add(usize::from(!right), Ordering::SeqCst);
                };
                passwords.matches(turn, "x".into(), None, judged).await
            });
        }
        begun(&crowd, AT_ONCE).await;
        // Whoever is at work is judged; whoever waits is not.
        tasks.shutdown().await;
        *crowd.open.lock() = true;
        crowd.opened.notify_all();
        let turn = passwords.turn(Lane::Known).await.unwrap();
        assert_eq!(
            passwords.matches(turn, "x".into(), None, drop).await,
            Ok(false),
            "nobody's password is never right"
        );
        while crowd.done.load(Ordering::SeqCst) < AT_ONCE + 1 || judged.load(Ordering::SeqCst) < AT_ONCE {
            tokio::task::yield_now().await;
        }
        assert_eq!(judged.load(Ordering::SeqCst), AT_ONCE);
        assert!(crowd.most.load(Ordering::SeqCst) <= AT_ONCE);
    }
}
