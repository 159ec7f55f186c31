//! What is wrong with something a person or a script sent: one sentence per place, as the API's `fields` list shows it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FieldFault {
    /// JSON Pointer (RFC 6901) into what was sent; `""` means all of it.
    pub pointer: String,
    /// What is wrong and what to do about it. Never holds a secret, and never a long value.
    pub message: String,
}

impl FieldFault {
    /// A fault at `pointer`.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }

    /// The same fault, seen from further out: `prefix` is the pointer of what `self` points into.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }
}

impl fmt::Display for FieldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.pointer, self.message)
        }
    }
}

/// The longest part of a name or value that a fault repeats, in characters.
const SHOWN: usize = 60;

/// `text` cut for a message: a fault names what it is about without echoing it at length. Control characters become spaces.
pub fn shown(text: &str) -> String {
    let mut cut: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        cut.push('…');
    }
    cut
}

/// `name` as one segment of a JSON Pointer, with its slash in front; cut like [`shown`].
pub fn segment(name: &str) -> String {
    format!("/{}", shown(name).replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_escape_what_would_read_as_a_separator_and_stay_short() {
        assert_eq!(segment("a/b~c"), "/a~1b~0c");
        assert_eq!(segment(&"x".repeat(500)).chars().count(), 1 + SHOWN + 1);
        assert_eq!(FieldFault::new("/severity", "no").under("/events/3").pointer, "/events/3/severity");
        assert_eq!(shown("a\nb"), "a b");
    }
}
