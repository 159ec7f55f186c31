//! What the routes of connectors say of themselves, and the types of their bodies, which are read member by member so that all faults are
//! named at once.

use schemars::JsonSchema;
use toktra_siem_core::connector::Compression;
use toktra_siem_core::event::Severity;
use toktra_siem_store::Resume;

use super::Removed;
use super::signing::{ActivatedView, RotatingView};
use super::view::{ChangedView, ConnectorView};
use crate::doc::{Doc, GivenSecret, Name, NoMembers, Tag};
use crate::error::Code;
use crate::events::doc::PostedType;
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
#[derive(JsonSchema)]
#[serde(tag = "platform", content = "config", rename_all = "snake_case")]
#[expect(dead_code, reason = "describes what is read member by member")]
enum NewSettings {
    /// Splunk.
    Splunk(NewSplunk),
    /// Datadog.
    Datadog(NewDatadog),
    /// Elasticsearch or OpenSearch.
    Elasticsearch(ElasticsearchInput),
}

/// Text of 1 to 255 characters, none of them a control character.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "describes what is read elsewhere")]
struct Label(
    #[schemars(
        length(min = 1, max = 255),
        regex(
            pattern = r"^[^\u0000-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F][^\u0000-\u001F\u007F-\u009F]*$"
        )
    )]
    String,
);

/// A token, as it is sent in a header.
#[derive(JsonSchema)]
#[schemars(inline, extend("writeOnly" = true))]
#[expect(dead_code, reason = "describes what is read elsewhere")]
struct Token(#[schemars(length(min = 1, max = 1024), regex(pattern = "^[!-~]+$"))] String);

/// A URL, or the host alone.
#[derive(JsonSchema)]
#[schemars(inline, example = &"https://siem.example:8088")]
#[expect(dead_code, reason = "describes what is read elsewhere")]
struct UrlInput(#[schemars(length(min = 1))] String);

/// Settings that all platforms have.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes what is read member by member")]
struct CommonInput {
    /// Whether bodies are compressed; by default they are not, because common signature verifiers see the inflated body.
    compression: Option<Compression>,
    /// A certificate authority (PEM) that is trusted for this connector alone, instead of the public ones.
    #[schemars(length(max = 65_536))]
    tls_ca: Option<String>,
    /// The most requests of one stream that may be in flight; by default 16.
    #[schemars(range(min = 1, max = 200))]
    max_in_flight: Option<u16>,
}

/// Settings of a new Splunk connector.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what is read member by member")]
struct NewSplunk {
    /// The base URL of Splunk's HTTP Event Collector. A path such as `/services/collector/event` may be left on.
    hec_url: UrlInput,
    /// The HEC token.
    hec_token: Token,
    #[serde(flatten)]
    rest: SplunkRest,
    #[serde(flatten)]
    common: CommonInput,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes what is read member by member")]
struct SplunkRest {
    /// The index to write to; by default `toktra`.
    index: Option<Label>,
    /// The sourcetype of every event; by default `toktra:security`.
    sourcetype: Option<Label>,
    /// Whether an event counts as delivered only once it is indexed; by default when it is accepted. The token must have indexer
    /// acknowledgement switched on.
    indexer_ack: Option<bool>,
}

/// Settings of a new Datadog connector.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what is read member by member")]
struct NewDatadog {
    /// The API key.
    api_key: Token,
    #[serde(flatten)]
    rest: DatadogRest,
    #[serde(flatten)]
    common: CommonInput,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes what is read member by member")]
struct DatadogRest {
    /// The site, such as `datadoghq.eu`; by default `datadoghq.com`.
    site: Option<String>,
    /// A base URL that replaces both of Datadog's hosts: a proxy, say.
    url: Option<UrlInput>,
    /// The `service` of every log entry; by default `toktra`.
    service: Option<Label>,
    /// Whether metrics are sent beside the logs; by default they are.
    send_metrics: Option<bool>,
    /// The metric is `<metric_prefix>.events`; by default `toktra.security`.
    #[schemars(length(max = 193), regex(pattern = r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*$"))]
    metric_prefix: Option<String>,
}

/// Settings of an Elasticsearch or OpenSearch connector: `url` or `cloud_id`; `api_key`, or `username` and `password`, or none of them.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what is read member by member")]
struct ElasticsearchInput {
    /// The base URL of the cluster.
    url: Option<UrlInput>,
    /// The Cloud id of an Elastic Cloud deployment.
    cloud_id: Option<String>,
    /// An API key: encoded, or as `id:key`.
    api_key: Option<Token>,
    /// The user name.
    username: Option<Label>,
    /// The user's password.
    #[schemars(length(min = 1, max = 1024), extend("writeOnly" = true))]
    password: Option<String>,
    /// Daily indices are `<index_prefix>-YYYY.MM.DD`; by default `toktra-security-events`.
    #[schemars(length(max = 201), regex(pattern = r"^[a-z0-9][a-z0-9_.-]*$"))]
    index_prefix: Option<String>,
    /// Whether the index template is put in place before the first delivery; by default it is.
    manage_template: Option<bool>,
    #[serde(flatten)]
    common: CommonInput,
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
    platform: Option<toktra_siem_core::connector::Platform>,
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
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what is read member by member")]
enum SettingsChange {
    /// Of a Splunk connector.
    Splunk(SplunkChange),
    /// Of a Datadog connector.
    Datadog(DatadogChange),
    /// Of an Elasticsearch or OpenSearch connector.
    Elasticsearch(ElasticsearchInput),
}

/// Settings of a Splunk connector that are to change.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what is read member by member")]
struct SplunkChange {
    /// The base URL of Splunk's HTTP Event Collector.
    #[serde(default)]
    #[schemars(with = "UrlInput")]
    hec_url: Option<String>,
    /// The HEC token.
    #[serde(default)]
    #[schemars(with = "Token")]
    hec_token: Option<String>,
    #[serde(flatten)]
    rest: SplunkRest,
    #[serde(flatten)]
    common: CommonInput,
}

/// Settings of a Datadog connector that are to change.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what is read member by member")]
struct DatadogChange {
    /// The API key.
    #[serde(default)]
    #[schemars(with = "Token")]
    api_key: Option<String>,
    #[serde(flatten)]
    rest: DatadogRest,
    #[serde(flatten)]
    common: CommonInput,
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
