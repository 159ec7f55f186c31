//! One-time links: how somebody comes in where there is no account yet, or where asking for a password would help nobody.
//!
//! - The **setup** link of a server without people leads to the form that makes its first admin. `serve` hands it to whoever started it, and
//!   to nobody else.
//! - The **welcome** link of the demo logs in at once: its admin is made at the start, in memory like everything else there.
//!
//! A link's token has 256 random bits, so that trying to guess it is hopeless and attempts need no limit. Only its hash is kept, in memory:
//! every start makes another link, and what a file or a terminal still shows of an older one opens nothing.

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::{Mutex, MutexGuard};
use toktra_siem_base::random::Random;

/// What a link leads to, until it is void.
#[derive(Debug)]
pub struct OneTimeLink(Mutex<Option<[u8; 32]>>);

/// Whoever holds the link, alone: others who bring it wait, and find it void if it was used meanwhile.
#[derive(Debug)]
#[must_use]
pub struct Claim<'a>(MutexGuard<'a, Option<[u8; 32]>>);

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl OneTimeLink {
    /// A link, and its token, which nothing else knows.
    pub fn new(random: &dyn Random) -> (SecretString, Self) {
        let token = random.secret();
        let link = Self(Mutex::new(Some(hash(token.expose_secret()))));
        (token, link)
    }

    /// Takes the link in hand, where `token` is its own and it is not void.
    pub async fn claim(&self, token: &str) -> Option<Claim<'_>> {
        let brought = hash(token);
        let kept = self.0.lock().await;
        let fits = kept.is_some_and(|own| bool::from(own.ct_eq(&brought)));
        fits.then_some(Claim(kept))
    }

    /// Whether it can still be used.
    pub async fn holds(&self) -> bool {
        self.0.lock().await.is_some()
    }
}

impl Claim<'_> {
    /// It was used: it opens nothing from now on.
    pub fn void(mut self) {
        *self.0 = None;
    }
}

/// What the welcome link logs in with.
pub struct Welcome {
    /// The link.
    pub link: OneTimeLink,
    /// The person's address.
    pub email: String,
    /// Their password.
    pub password: SecretString,
}

/// The ways in that a server has beside the login.
#[derive(Default)]
pub struct Entrance {
    /// To the form that makes the first admin.
    pub setup: Option<OneTimeLink>,
    /// To the demo.
    pub welcome: Option<Welcome>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use toktra_siem_base::random::SeededRandom;

    #[tokio::test]
    async fn it_is_used_once_and_only_with_its_own_token() {
        let random = SeededRandom::new(1);
        let (token, link) = OneTimeLink::new(&random);
        let (other, _) = OneTimeLink::new(&random);
        let token = token.expose_secret();
        assert_eq!(token.len(), 64);
        for wrong in ["", &token[..63], &token.to_uppercase(), other.expose_secret()] {
            assert!(link.claim(wrong).await.is_none(), "{wrong}");
        }
        drop(link.claim(token).await.unwrap());
        assert!(link.holds().await, "who only looks does not use it");
        link.claim(token).await.unwrap().void();
        assert!(link.claim(token).await.is_none() && !link.holds().await);
    }

    #[tokio::test]
    async fn of_two_who_come_at_once_one_finds_it_void() {
        let (token, link) = OneTimeLink::new(&SeededRandom::new(1));
        let first = link.claim(token.expose_secret()).await.unwrap();
        let mut second = std::pin::pin!(link.claim(token.expose_secret()));
        assert!(polled(second.as_mut()).is_none(), "the second one waits");
        first.void();
        assert!(second.await.is_none());
    }

    /// What a future answers without waiting.
    fn polled<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn what_is_printed_of_it_does_not_open_it() {
        let (token, link) = OneTimeLink::new(&SeededRandom::new(1));
        assert!(!format!("{link:?}").contains(token.expose_secret()));
    }
}
