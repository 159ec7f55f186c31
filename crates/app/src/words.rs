//! The words of the API for what the store and core have types for.

use serde::de::DeserializeOwned;

/// Reads a word as the type's own spelling says.
pub(crate) fn read<T: DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
}
