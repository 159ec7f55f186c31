//! The set-up steps of a connector.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toktra_siem_core::ids::{PlatformId, StreamKind};

use crate::word::{Exact, Words};

/// The set-up steps of a connector, for the person who administers the SIEM. They hold no secrets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Setup")]
pub struct Setup<W: Words = Exact> {
    /// What has to be done, in this order.
    pub steps: Vec<SetupStep>,
    /// The same as one text, to be sent to whoever administers the SIEM.
    pub text: String,
    /// For each stream of a saved connector, the command that sends one test event as the connector does.
    pub reproduce: Vec<Reproduce<W>>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetupStep {
    /// What, in a few words.
    pub title: String,
    /// How, in whole sentences.
    pub text: String,
    /// Commands or settings that do it, filled in for this connector; `null` if it is done by hand.
    pub commands: Option<String>,
}

/// How a request is made again with curl.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Reproduce")]
pub struct Reproduce<W: Words = Exact> {
    /// Of which stream.
    pub stream: W::Word<StreamKind>,
    /// The command, for a POSIX shell. Each secret is a variable, which the first lines set to a placeholder.
    pub command: String,
}

/// A connector that is not saved yet: its platform, and as much of its settings as is known.
#[derive(Debug, Serialize)]
pub struct SetupDraft {
    /// Which platform.
    pub platform: PlatformId,
    /// Settings, each under its name.
    pub config: Map<String, Value>,
}

impl JsonSchema for SetupDraft {
    fn schema_name() -> Cow<'static, str> {
        "SetupDraft".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A connector that is not saved yet: its platform, and as much of its settings as is known.",
            "oneOf": [{ "x-platforms": "draft" }],
        })
    }
}
