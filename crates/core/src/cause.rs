//! Why something was not delivered: a stable code to compare and to look up, and a sentence for a person.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Why something was not delivered.
///
/// `code` is what code compares: two rejections are "for the same cause" when their codes are equal, whatever field or value the
/// platform's sentence names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cause {
    /// Stable and snake_case, with the platform's own number or type where it has one: `splunk_7_incorrect_index`,
    /// `elasticsearch_document_parsing_exception`, `network_refused`.
    pub code: Cow<'static, str>,
    /// What happened, the likeliest cause and the next step, in that order. Never holds a secret.
    pub message: String,
}

impl Cause {
    /// A cause with a code fixed in the program.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code: Cow::Borrowed(code), message: message.into() }
    }

    /// A cause whose code carries what the platform answered. The code is lower-cased and reduced to `[a-z0-9_]`, so that a
    /// platform's text can never reach a label or a log key unescaped.
    pub fn coded(code: &str, message: impl Into<String>) -> Self {
        let code: String = code
            .chars()
            .take(80)
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
            .collect();
        Self { code: Cow::Owned(code), message: message.into() }
    }
}

impl Cause {
    const PAYLOAD_GONE: &'static str = "payload_gone";
    const PAYLOAD_DAMAGED: &'static str = "payload_damaged";
    const OWN_FAILURE: &'static str = "own_failure";

    /// An event of a delivery is not stored any more.
    pub fn payload_gone() -> Self {
        Self::new(Self::PAYLOAD_GONE, "The event's payload is not stored any more: it is older than the retention.")
    }

    /// An event of a delivery is stored, and its bytes are not those that were accepted.
    pub fn payload_damaged() -> Self {
        Self::new(
            Self::PAYLOAD_DAMAGED,
            "The stored event does not match its checksum any more: the disk, or something else that wrote to the database file, has changed \
             it. It cannot be delivered. Have its producer send it again under a new id.",
        )
    }

    /// This service cannot do its part for a stream; `why` is what its store, or an encoder, said.
    pub fn own_failure(why: impl fmt::Display) -> Self {
        Self::new(
            Self::OWN_FAILURE,
            format!(
                "This server could not do its own part: {why}. Nothing was sent, and the SIEM has no part in it. Events are kept, and go out by \
                 themselves once it can again; look at the log and the disk of this server."
            ),
        )
    }

    /// Whether it is [`Self::own_failure`].
    pub fn is_own_failure(&self) -> bool {
        self.code == Self::OWN_FAILURE
    }

    /// Whether it is [`Self::payload_damaged`].
    pub fn is_damage(&self) -> bool {
        self.code == Self::PAYLOAD_DAMAGED
    }

    /// Whether the event could not be sent for want of its payload, so that nobody but this service has judged it.
    pub fn is_of_the_store(&self) -> bool {
        self.is_damage() || self.code == Self::PAYLOAD_GONE
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}
