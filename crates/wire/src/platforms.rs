//! What can be connected.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toktra_siem_core::ids::{PlatformId, StreamKind};

/// What can be connected.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Platforms {
    /// Each platform, in the order in which people see them.
    pub items: Vec<PlatformDescription>,
}

/// A platform that events can go to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PlatformDescription {
    /// The word that stands for it.
    pub id: PlatformId,
    /// How it writes its own name.
    pub label: String,
    /// What a connector leads to.
    pub leads_to: String,
    /// What somebody has to have at hand, item by item.
    pub needs: Vec<String>,
    /// Where what is needed is found there; whole sentences.
    pub preparation: String,
    /// Its settings: the members of `config`.
    pub fields: Vec<PlatformField>,
    /// The streams of a connector.
    pub streams: Vec<StreamKind>,
    /// Whether it takes an event that it has already for the same one, so that sending it again doubles nothing.
    pub recognises_duplicates: bool,
    /// Its mark, as an SVG.
    pub icon: String,
}

/// A setting of a platform.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PlatformField {
    /// The name of the member of `config`. A dot stands for an object: `search.token` is `{"search": {"token": …}}`.
    pub name: String,
    /// What people call it.
    pub label: String,
    /// What it takes: `url`, `text`, `secret`, `boolean`, `number`, `choice` or `pem`.
    pub kind: String,
    /// Whether its value is never shown.
    pub secret: bool,
    /// Whether a connector cannot be without it.
    pub required: bool,
    /// Beside which words of which other setting it may be absent: it is neither required then, nor has it its default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<FieldUnless>,
    /// What applies where nothing is given; not there where nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// What it does.
    pub help: String,
    /// What limits its values: `minimum` and `maximum` of a number, the `values` of a choice, `max_length` and `pattern` of a text.
    #[schemars(with = "Map<String, Value>")]
    pub limits: Value,
}

/// Words of a setting beside which another may be absent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FieldUnless {
    /// The setting.
    pub setting: String,
    /// Its words.
    pub values: Vec<String>,
}
