//! The words of the API for what the store and core have types for, read and written in one place.

use serde::de::DeserializeOwned;
use toktra_siem_store::Scope;

/// The word for a scope.
pub(super) fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::EventsWrite => "events:write",
        Scope::SiemRead => "siem:read",
        Scope::SiemWrite => "siem:write",
        Scope::Admin => "admin",
        Scope::Platform => "platform",
    }
}

/// Reads a word as the type's own spelling says.
pub(super) fn read<T: DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_is_read_as_it_is_written() {
        for value in [Scope::EventsWrite, Scope::SiemRead, Scope::SiemWrite, Scope::Admin, Scope::Platform] {
            assert_eq!(read::<Scope>(scope(value)), Some(value));
        }
        assert_eq!(read::<Scope>("root"), None);
    }
}
