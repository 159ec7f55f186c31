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

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}
