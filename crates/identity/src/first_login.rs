//! One-time links: how somebody comes in where there is no account yet, or where asking for a password would help nobody.
//!
//! - The **setup** link of a server without people leads to the form that makes its first admin. `serve` hands it to whoever started it, and
//!   to nobody else.
//! - The **welcome** link of the demo logs in at once: its admin is made at the start, in memory like everything else there.
//!
//! A link's token has 256 random bits, so that trying to guess it is hopeless and attempts need no limit. Only its hash is kept, in memory:
//! every start makes another link, and what a file or a terminal still shows of an older one opens nothing. Whoever has lost the setup link
//! has another one made beside the running server, which leaves its hash where the server looks ([`Renewed`]).

use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::{Mutex, MutexGuard};
use toktra_siem_base::random::Random;

/// What is kept of a token: it is known again by it, and cannot be made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark([u8; 32]);

impl Mark {
    /// Of no token that anybody can find.
    pub const OF_NONE: Self = Self([0; 32]);

    /// Of this token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    fn fits(&self, token: &str) -> bool {
        self.0.ct_eq(&Self::of(token).0).into()
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for Mark {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

/// Where another link is left beside the running server. The newest one counts, and every older one is void.
pub trait Renewed: Send + Sync {
    /// Of the newest token, where one was left.
    fn newest(&self) -> Option<Mark>;
    /// It was used.
    fn forget(&self);
}

/// What a link leads to, until it is void.
pub struct OneTimeLink {
    own: Mutex<Option<Mark>>,
    renewed: Option<Box<dyn Renewed>>,
}

impl fmt::Debug for OneTimeLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneTimeLink").finish_non_exhaustive()
    }
}

/// Whoever holds the link, alone: others who bring it wait, and find it void if it was used meanwhile.
#[must_use]
pub struct Claim<'a> {
    own: MutexGuard<'a, Option<Mark>>,
    renewed: Option<&'a dyn Renewed>,
}

impl OneTimeLink {
    /// A link, and its token, which nothing else knows.
    pub fn new(random: &dyn Random) -> (SecretString, Self) {
        let token = random.secret();
        let own = Mutex::new(Some(Mark::of(token.expose_secret())));
        (token, Self { own, renewed: None })
    }

    /// None, until one is left somewhere.
    pub fn none() -> Self {
        Self { own: Mutex::new(None), renewed: None }
    }

    /// The same, until another one is left there.
    #[must_use]
    pub fn until(self, renewed: impl Renewed + 'static) -> Self {
        Self { renewed: Some(Box::new(renewed)), ..self }
    }

    /// Takes the link in hand, where `token` is its own and it is not void.
    pub async fn claim(&self, token: &str) -> Option<Claim<'_>> {
        let own = self.own.lock().await;
        let newest = self.renewed().or(*own)?;
        newest.fits(token).then_some(Claim { own, renewed: self.renewed.as_deref() })
    }

    /// Whether it can still be used.
    pub async fn holds(&self) -> bool {
        self.own.lock().await.is_some() || self.renewed().is_some()
    }

    fn renewed(&self) -> Option<Mark> {
        self.renewed.as_ref().and_then(|renewed| renewed.newest())
    }
}

impl Claim<'_> {
    /// It was used: it opens nothing from now on.
    pub fn void(mut self) {
        *self.own = None;
        if let Some(renewed) = self.renewed {
            renewed.forget();
        }
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

    /// What was left last, as a file would hold it.
    #[derive(Clone, Default)]
    struct Left(std::sync::Arc<parking_lot::Mutex<Option<String>>>);

    impl Renewed for Left {
        fn newest(&self) -> Option<Mark> {
            self.0.lock().as_ref()?.parse().ok()
        }

        fn forget(&self) {
            *self.0.lock() = None;
        }
    }

    #[tokio::test]
    async fn a_newer_link_makes_the_older_one_void_and_is_used_once() {
        let random = SeededRandom::new(1);
        let left = Left::default();
        let (first, link) = OneTimeLink::new(&random);
        let link = link.until(left.clone());
        let (second, third) = (random.secret(), random.secret());
        let opens = async |token: &SecretString| link.claim(token.expose_secret()).await.is_some();
        assert!(opens(&first).await);
        for (newest, older) in [(&second, &first), (&third, &second)] {
            *left.0.lock() = Some(Mark::of(newest.expose_secret()).to_string());
            assert!(opens(newest).await && !opens(older).await);
        }
        *left.0.lock() = Some("no mark".to_owned());
        assert!(opens(&first).await, "what cannot be read is no link");
        *left.0.lock() = Some(Mark::of(third.expose_secret()).to_string());
        link.claim(third.expose_secret()).await.unwrap().void();
        assert!(left.0.lock().is_none() && !link.holds().await);
        *left.0.lock() = Some(Mark::of(second.expose_secret()).to_string());
        assert!(opens(&second).await && !opens(&first).await, "of a server whose last person went");
        assert!(OneTimeLink::none().claim("").await.is_none());
    }

    #[test]
    fn what_is_printed_of_it_does_not_open_it() {
        let (token, link) = OneTimeLink::new(&SeededRandom::new(1));
        assert!(!format!("{link:?}").contains(token.expose_secret()));
    }
}
