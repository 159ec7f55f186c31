//! Words of sets that grow. The server says the words of its own version, and its types hold exactly those ([`Exact`]). A client may be the
//! older of the two, and reads the same types with whatever word comes ([`Lenient`]).

use std::fmt;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What answers are made of, and what they are.
pub trait Part: Clone + fmt::Debug + Serialize + DeserializeOwned + JsonSchema {}

impl<T: Clone + fmt::Debug + Serialize + DeserializeOwned + JsonSchema> Part for T {}

/// How the words of an answer are held.
pub trait Words {
    /// A word out of `E`.
    type Word<E: Part>: Part;
}

/// The words of this version, and no others.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Exact;

impl Words for Exact {
    type Word<E: Part> = E;
}

/// Also what a newer server says.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Lenient;

impl Words for Lenient {
    type Word<E: Part> = Word<E>;
}

/// A word, known or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Word<E> {
    /// One of this version.
    Known(E),
    /// One of a newer version, as it came.
    Newer(Value),
}

impl<E: PartialEq> PartialEq<E> for Word<E> {
    fn eq(&self, word: &E) -> bool {
        matches!(self, Self::Known(known) if known == word)
    }
}

impl<E: Serialize> fmt::Display for Word<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match serde_json::to_value(self) {
            Ok(Value::String(word)) => f.pad(&word),
            Ok(other) => other.fmt(f),
            Err(_) => Err(fmt::Error),
        }
    }
}
