//! Connectors.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::{ManagedBy, Resume};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{ConnectorId, OrgId, PlatformId, Revision};
use toktra_siem_core::time::Timestamp;
use toktra_siem_platform::view::{SecretView, SettingsView};

use crate::text::{GivenSecret, Name};
use crate::word::{Exact, Words};

/// An org's configured SIEM.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Connector")]
pub struct Connector<W: Words = Exact> {
    /// Its id.
    pub id: ConnectorId,
    /// The org.
    pub org_id: OrgId,
    /// For people; unique within the org.
    pub name: String,
    /// Its platform and settings.
    #[serde(flatten)]
    pub settings: SettingsView,
    /// Which events it forwards, from the newest revision on.
    pub filter: W::Word<Filter>,
    /// What its requests are signed with.
    pub signing_secret: SecretView,
    /// Whether it sends.
    pub active: bool,
    /// Whether it was ever active. If not, it starts with the first event after it is switched on, and nothing waits for it until then.
    #[serde(default)]
    pub activated: bool,
    /// Who may change it.
    pub managed_by: W::Word<ManagedBy>,
    /// A change of the signing secret that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// Counts the saves: 1 at creation.
    pub revision: Revision,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last saved.
    pub updated_at: Timestamp,
}

/// A change of the signing secret that is under way: both secrets sign.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Rotation {
    /// The secret that takes over.
    pub signing_secret_next: SecretView,
    /// When it does, unless it is activated before.
    pub until: Timestamp,
}

/// A connector that was just changed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConnectorChanged")]
pub struct ConnectorChanged<W: Words = Exact> {
    /// The connector as it is now.
    #[serde(flatten)]
    pub connector: Connector<W>,
    /// Events that waited while it was off and are delivered now. 0 where it was not switched on.
    pub backlog: u64,
    /// Events that waited while it was off and are skipped, because it was switched on from now.
    pub skipped: u64,
}

/// Secrets that were compared with those that are stored.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SecretsCompared {
    /// The settings whose given secret is another one than the stored one, or of which none is stored: `hec_token`, `search.token`,
    /// `signing_secret`.
    pub secrets_changed: Vec<String>,
}

/// A change of the signing secret that has begun.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RotationBegun {
    /// The connector.
    pub connector_id: ConnectorId,
    /// The secret that receivers know.
    pub signing_secret: SecretView,
    /// The secret that takes over. Its `value` is shown here, and never again.
    pub signing_secret_next: SecretView,
    /// When it does, unless it is activated before.
    pub until: Timestamp,
}

/// A change of the signing secret that has ended, or was cancelled.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RotationEnded {
    /// The connector.
    pub connector_id: ConnectorId,
    /// The secret that signs alone now.
    pub signing_secret: SecretView,
}

/// What a removal did.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct ConnectorRemoved {
    /// Events that were given up with the connector.
    pub discarded: u64,
}

/// A new connector.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConnector {
    /// For people; unique within the org.
    pub name: Name,
    /// Its platform and settings.
    #[serde(flatten)]
    pub settings: NewSettings,
    /// Which events it forwards; without it, all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<FilterInput>,
    /// What its requests are signed with. Without it one is made, and shown in the answer; connectors of the default org use
    /// `SIEM_SIGNING_SECRET` where that is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<GivenSecret>,
    /// Whether it sends at once.
    #[serde(default)]
    pub active: bool,
    /// Means nothing for a new connector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
}

/// Which events are forwarded. An absent or empty list means all.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterInput {
    /// Severities to forward.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Vec<Severity>>,
    /// Event types to forward.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_types: Option<Vec<EventType>>,
}

impl From<&Filter> for FilterInput {
    fn from(Filter { severity, event_types }: &Filter) -> Self {
        Self {
            severity: (!severity.is_empty()).then(|| severity.clone()),
            event_types: (!event_types.is_empty()).then(|| event_types.clone()),
        }
    }
}

/// A change of a connector: members that are given replace, absent ones stay.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectorChange {
    /// For people; unique within the org.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Name")]
    pub name: Option<String>,
    /// Cannot be changed: only what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<PlatformId>,
    /// Settings, member by member. `null` brings a member back to its default. A change of scheme, host, port, site, `cloud_id`,
    /// `tls_ca`, `tls_fingerprint` or `tls_server_name` must bring the credential along, so that a stored secret is never sent to another
    /// host unseen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SettingsChange")]
    pub config: Option<SettingsChange>,
    /// Which events it forwards from now on; `null` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<FilterInput>")]
    pub filter: Option<Option<FilterInput>>,
    /// What its requests are signed with from now on. `null` where connectors of the org use `SIEM_SIGNING_SECRET`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<GivenSecret>,
    /// Whether it sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub active: Option<bool>,
    /// What happens to what has waited, where it is switched on again; by default it is delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
}

/// A test of a saved connector: a change to be tried, as it would be saved, and what is sent.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestOfConnector {
    /// Send a sample of each event type that producers post, marked as samples, instead of one `test_connection` event.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub samples: bool,
    /// The change.
    #[serde(flatten)]
    pub change: ConnectorChange,
}

/// How a change of the signing secret is to go.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotationInput {
    /// How long both secrets sign; by default 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_592_000))]
    pub grace_seconds: Option<u64>,
    /// The new secret; without it one is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<GivenSecret>,
    /// Begins anew if a change is under way: its new secret is discarded, and another takes its place. Without it, such a request is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace: Option<bool>,
}

/// What became of the index template.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct IndexTemplate {
    /// Whether it is in place.
    pub applied: bool,
    /// Its name.
    pub template: String,
    /// Why the cluster refused it. Events are delivered all the same.
    pub warning: Option<Cause>,
}

/// Settings of a new connector, by platform. `null` stands for the default.
#[derive(Debug, Serialize)]
pub struct NewSettings {
    /// Which platform.
    pub platform: PlatformId,
    /// Settings, each under its name.
    pub config: Map<String, Value>,
}

impl JsonSchema for NewSettings {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "NewSettings".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [{ "x-platforms": "new" }] })
    }
}

/// Settings that are to change, by the connector's platform.
#[derive(Debug, Serialize)]
pub struct SettingsChange(pub Map<String, Value>);

impl JsonSchema for SettingsChange {
    fn schema_name() -> Cow<'static, str> {
        "SettingsChange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Settings that are to change, by the connector's platform.",
            "anyOf": [{ "x-platforms": "change" }],
        })
    }
}
