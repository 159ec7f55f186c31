//! What the routes of connectors say of themselves, and the types of their bodies, which are read member by member so that all faults are
//! named at once.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toktra_siem_core::event::Severity;
use toktra_siem_store::Resume;

use super::Removed;
use super::signing::{ActivatedView, RotatingView};
use super::view::{ChangedView, ConnectorView};
use crate::doc::{Doc, GivenSecret, Name, NoMembers, Tag};
use crate::error::Code;
use crate::events::doc::PostedType;
use crate::openapi::platforms::MARK;
use crate::query::List;

/// A new connector.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what is read member by member")]
pub(crate) struct NewConnector {
    /// For people; unique within the org.
    name: Name,
    #[serde(flatten)]
    settings: NewSettings,
    /// Which events it forwards; without it, all.
    filter: Option<FilterInput>,
    /// What its requests are signed with. Without it one is made, and shown in the answer; connectors of the default org use
    /// `SIEM_SIGNING_SECRET` where that is set.
    signing_secret: Option<GivenSecret>,
    /// Whether it sends at once.
    #[serde(default)]
    active: bool,
    /// Means nothing for a new connector.
    resume: Option<Resume>,
}

/// Settings of a new connector, by platform. `null` stands for the default.
struct NewSettings;

impl JsonSchema for NewSettings {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "NewSettings".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [{ MARK: "new" }] })
    }
}

/// Which events are forwarded. An absent or empty list means all.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what is read member by member")]
pub(crate) struct FilterInput {
    /// Severities to forward.
    severity: Option<Vec<Severity>>,
    /// Event types to forward.
    event_types: Option<Vec<PostedType>>,
}

/// A change of a connector: members that are given replace, absent ones stay.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what is read member by member")]
pub(crate) struct ConnectorChange {
    /// For people; unique within the org.
    #[serde(default)]
    #[schemars(with = "Name")]
    name: Option<String>,
    /// Cannot be changed: only what it is.
    platform: Option<toktra_siem_core::ids::PlatformId>,
    /// Settings, member by member. `null` brings a member back to its default. A change of scheme, host, port, site, `cloud_id` or
    /// `tls_ca` must bring the credential along, so that a stored secret is never sent to another host unseen.
    #[serde(default)]
    #[schemars(with = "SettingsChange")]
    config: Option<SettingsChange>,
    /// Which events it forwards from now on; `null` for all.
    filter: Option<FilterInput>,
    /// What its requests are signed with from now on. `null` where connectors of the org use `SIEM_SIGNING_SECRET`.
    signing_secret: Option<GivenSecret>,
    /// Whether it sends.
    #[serde(default)]
    #[schemars(with = "bool")]
    active: Option<bool>,
    /// What happens to what has waited, where it is switched on again; by default it is delivered.
    resume: Option<Resume>,
}

/// Settings that are to change, by the connector's platform.
struct SettingsChange;

impl JsonSchema for SettingsChange {
    fn schema_name() -> Cow<'static, str> {
        "SettingsChange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Settings that are to change, by the connector's platform.",
            "anyOf": [{ MARK: "change" }],
        })
    }
}

/// How a change of the signing secret is to go.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what is read member by member")]
struct RotationInput {
    /// How long both secrets sign; by default 24 hours.
    #[schemars(range(min = 0, max = 2_592_000))]
    grace_seconds: Option<u64>,
    /// The new secret; without it one is made.
    signing_secret: Option<GivenSecret>,
}

pub(super) const READ_ONLY: &str = "The connector is managed by the environment, and read-only here.";
const NAME_TAKEN: &str = "The org has a connector of this name already.";
pub(super) const FORBIDDEN: &str =
    "It leads where the service does not connect to: a private network, say, or plain `http`.";

pub(crate) fn list() -> Doc {
    Doc::new("listConnectors", Tag::Connectors, "List connectors")
        .paged()
        .ok::<List<ConnectorView>>("A page of connectors, oldest first.")
}

pub(crate) fn create() -> Doc {
    Doc::new("createConnector", Tag::Connectors, "Make a connector").once()
        .about("It forwards what matches its filter from now on, once it is active.")
        .body::<NewConnector>("The connector.")
        .created::<ConnectorView>(
            "The connector was made. Where its signing secret was made as well, this answer is the only one that shows it.",
        )
        .etag()
        .sets("Location", "The connector's path.")
        .error(403, Code::DestinationForbidden, FORBIDDEN)
        .error(409, Code::Conflict, NAME_TAKEN)
}

pub(crate) fn get() -> Doc {
    Doc::new("getConnector", Tag::Connectors, "Show a connector").ok::<ConnectorView>("The connector.").etag()
}

pub(crate) fn change() -> Doc {
    Doc::new("updateConnector", Tag::Connectors, "Change a connector")
        .about(
            "A filter applies to events that are accepted from then on. Any change closes the breakers of its streams.",
        )
        .if_match()
        .optional_body::<ConnectorChange>("What is to change.")
        .ok::<ChangedView>("The connector as it is now.")
        .etag()
        .error(403, Code::DestinationForbidden, FORBIDDEN)
        .error(409, Code::Conflict, NAME_TAKEN)
        .error(409, Code::Conflict, READ_ONLY)
}

pub(crate) fn delete() -> Doc {
    Doc::new("deleteConnector", Tag::Connectors, "Remove a connector")
        .about("Gives up what waits for it.")
        .if_match()
        .ok::<Removed>("It is gone.")
        .error(409, Code::Conflict, READ_ONLY)
}

pub(crate) fn rotate() -> Doc {
    Doc::new("rotateSigningSecret", Tag::Connectors, "Begin to change the signing secret").once()
        .about(
            "From now on requests carry `X-Toktra-Signature` (old secret) and `X-Toktra-Signature-Next` (new secret), until the new one \
             is activated or the grace period ends; then the new one signs alone.",
        )
        .if_match()
        .optional_body::<RotationInput>("How it is to go.")
        .ok::<RotatingView>("Both secrets sign. This answer is the only one that shows the new one.")
        .etag()
        .error(409, Code::Conflict, "A change is under way already, or the connector has no signing secret of its own.")
        .error(409, Code::Conflict, READ_ONLY)
}

pub(crate) fn activate() -> Doc {
    Doc::new("activateSigningSecret", Tag::Connectors, "Let the new signing secret take over")
        .once()
        .if_match()
        .optional_body::<NoMembers>("Nothing.")
        .ok::<ActivatedView>("The new secret signs alone.")
        .etag()
        .error(409, Code::Conflict, "No change is under way.")
        .error(409, Code::Conflict, READ_ONLY)
}
