//! The audit log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toktra_siem_core::people::ActorKind;
use toktra_siem_core::time::Timestamp;
use uuid::Uuid;

use crate::word::{Exact, Words};

/// A line of the audit log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
pub struct AuditEntry<W: Words = Exact> {
    /// Its number: later ones are higher.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// Who: the name of an API key, the e-mail address of a user, `environment`, or a part of the service.
    pub actor: String,
    /// What kind of actor that is.
    pub actor_kind: W::Word<ActorKind>,
    /// The id of key or user. Names may be given twice, this is not.
    pub actor_id: Option<Uuid>,
    /// What was done, such as `connector.create`.
    pub action: String,
    /// To which object: its id.
    pub object: String,
    /// What there was `before` and what there is `after`, secrets masked. If a connector's secrets were replaced, added or taken away,
    /// `secrets_changed` names them.
    pub detail: Map<String, Value>,
}
