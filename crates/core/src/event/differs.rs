//! Whether a repeated event says the same as its original (ARCHITECTURE.md, "One event, from 202 to settled").

use super::NewEvent;
use super::field::Field;
use super::spans::{member, members};

/// Whether a field that the producer sent is another in `original`, the stored form of the event that was accepted under this id.
///
/// Fields are compared as stored, byte for byte: whitespace is gone from both, ids and times are spelled alike, and everything else is
/// the producer's own spelling. Fields that the producer left out do not count: they were filled in, with another time for instance.
pub fn differs(original: &[u8], new: &NewEvent) -> bool {
    // A repetition usually comes from the same program and has its fields in the same order: then this is one pass over both.
    if original == new.payload {
        return false;
    }
    members(&new.payload).any(|(name, value)| {
        let sent = str::from_utf8(name).ok().and_then(Field::of).is_some_and(|field| new.sent.contains(field));
        sent && str::from_utf8(name).ok().and_then(|name| member(original, name)) != Some(value)
    })
}
