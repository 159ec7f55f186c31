//! How people are told: the kinds of channels and their settings, what a message looks like in each, and the [`Courier`] that brings it.
//!
//! What there is to tell is a [`Notice`]. Who decides that, and sees to it that each is told once, is above this crate.
//!
//! [`kinds`] describes each kind, [`read()`] checks its settings. `story` turns notices into sentences, once for all kinds; `slack`, `teams`,
//! `pagerduty`, `webhook` and `letter` put a story into each one's format and know what its replies mean. [`Courier`] sends over HTTP
//! through `egress`, and [`Mail`] over SMTP to the server that the operator configured.
//!
//! Whatever comes from outside (names of connectors and orgs, causes) is text: no format lets it become a link, a mention or a header.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Map, Value};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::notice::Notice;

mod courier;
pub mod kinds;
mod letter;
mod pagerduty;
mod read;
mod reply;
mod slack;
mod smtp;
mod story;
mod teams;
mod webhook;

pub use courier::Courier;
pub use kinds::{Descriptor, Field, descriptor, descriptors};
pub use read::{made, read};
pub use reply::forbidden;
pub use smtp::Mail;

/// What a channel is set to, its secrets open.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The settings that are no secrets.
    pub config: Map<String, Value>,
    /// The secrets, by the names of their fields.
    pub secrets: BTreeMap<String, SecretString>,
}

impl Settings {
    /// A setting that is a text and no secret.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.config.get(name)?.as_str()
    }
}

/// Where a message comes from.
#[derive(Debug, Clone)]
pub struct Place {
    /// What the org is called.
    pub org: String,
    /// The URL of the page, without a `/` at its end; `None` if the operator did not set it.
    pub public_url: Option<String>,
}

/// A test message that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// What the receiver answered, in whole sentences.
    pub message: String,
}

/// What became of an attempt to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// How many of the notices arrived, from the first on.
    pub number: usize,
    /// Why not all of them did. Also set if all arrived, but not at all addresses: then `number` is that of all notices, nothing is to be
    /// sent again, and a person has to look at the addresses.
    pub failure: Option<NotTold>,
}

/// Why somebody was not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTold {
    /// What happened, and what to do about it.
    pub cause: Cause,
    /// Whether a person has to change something: it is tried again seldom.
    pub needs_a_person: bool,
    /// The receiver asked not to be called again before. At most an hour.
    pub pause: Option<Duration>,
}

impl NotTold {
    /// A person has to act.
    pub(crate) fn for_a_person(code: &'static str, message: impl Into<String>) -> Self {
        Self { cause: Cause::new(code, message), needs_a_person: true, pause: None }
    }

    /// It may work later.
    pub(crate) fn later(code: &'static str, message: impl Into<String>) -> Self {
        Self { cause: Cause::new(code, message), needs_a_person: false, pause: None }
    }
}

/// The result of one message: how it arrived, or why not.
pub(crate) type Outcome = Result<Delivered, NotTold>;

/// The same identifier for the same parts, whenever it is made: 32 bytes that tell nothing about them.
pub(crate) fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> [u8; 32] {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    for part in parts {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// The keys of these notices, which identify a message of them.
pub(crate) fn keys(notices: &[Notice]) -> impl Iterator<Item = &str> {
    notices.iter().map(|notice| notice.key.as_str())
}
