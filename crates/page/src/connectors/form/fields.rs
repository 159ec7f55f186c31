//! The fields of the form, platform by platform: one table, from which the form is shown, read, and told what is wrong with it. What
//! stands in it for people says where the value is found in that SIEM.

use toktra_siem_core::connector::Platform;

/// A field of the form that is a member of `config`.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name in the form, and the id of its input.
    pub name: &'static str,
    /// The member of `config`.
    pub member: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Where it stands.
    pub step: Step,
    /// Where it counts only beside a certain choice.
    pub when: Option<When>,
    /// What it is called.
    pub label: &'static str,
    /// Where its value is found, and what follows from it.
    pub hint: &'static str,
    /// What applies where it is left empty.
    pub default: &'static str,
}

/// What a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Where the SIEM is: required, and whatever people paste is understood (see [`super::paste`]).
    Address,
    /// The same for Elasticsearch, which is known by its URL or by its Cloud ID.
    Cluster,
    /// One of Datadog's sites, or another URL.
    Site,
    /// A name.
    Text,
    /// A name that has no default.
    Required,
    /// A whole number.
    Number,
    /// Text of many lines.
    Lines,
    /// A box that is ticked or not.
    Flag,
    /// One of several words: the word, and what it is called.
    Choice(&'static [(&'static str, &'static str)]),
    /// Write-only.
    Secret,
}

/// Where a field stands in the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Where the SIEM is.
    Where,
    /// What it is reached with.
    Credentials,
    /// What hardly anybody changes.
    Advanced,
}

/// The choice beside which a field counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Datadog: none of the sites.
    OtherSite,
    /// Elasticsearch: an API key.
    ApiKey,
    /// Elasticsearch: user name and password.
    Password,
}

/// The choice of Datadog's site that is none of them.
pub const OTHER_SITE: &str = "other";
/// The name of the choice of Elasticsearch's credentials.
pub const AUTH: &str = "elasticsearch_auth";

/// Datadog's sites with the region that each is for (destinations.md, "Datadog").
pub const SITES: &[(&str, &str)] = &[
    ("datadoghq.com", "US1 · datadoghq.com"),
    ("us3.datadoghq.com", "US3 · us3.datadoghq.com"),
    ("us5.datadoghq.com", "US5 · us5.datadoghq.com"),
    ("datadoghq.eu", "EU1 (Germany) · datadoghq.eu"),
    ("ap1.datadoghq.com", "AP1 (Japan) · ap1.datadoghq.com"),
    ("ap2.datadoghq.com", "AP2 (Australia) · ap2.datadoghq.com"),
    ("uk1.datadoghq.com", "UK1 · uk1.datadoghq.com"),
    ("ddog-gov.com", "US1-FED (Government) · ddog-gov.com"),
    ("us2.ddog-gov.com", "US2-FED (Government) · us2.ddog-gov.com"),
    (OTHER_SITE, "Another: a proxy, or a URL of its own"),
];

const COMPRESSION: &[(&str, &str)] = &[("none", "None"), ("gzip", "gzip")];

const fn field(step: Step, name: &'static str, member: &'static str, kind: Kind, label: &'static str) -> Field {
    Field { name, member, kind, step, when: None, label, hint: "", default: "" }
}

impl Field {
    const fn hint(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }

    const fn default(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    const fn when(self, when: When) -> Self {
        Self { when: Some(when), ..self }
    }
}

use Step::{Advanced, Credentials, Where};

const SPLUNK: &[Field] = &[
    field(Where, "splunk_hec_url", "hec_url", Kind::Address, "HEC URL").hint(
        "Base URL of the HTTP Event Collector, such as https://splunk.company.com:8088. Splunk Cloud: https://http-inputs-<stack>.splunkcloud.com. \
         A URL with its collector path, or a whole curl example, can be pasted as it is.",
    ),
    field(Credentials, "splunk_hec_token", "hec_token", Kind::Secret, "HEC token").hint(
        "In Splunk: Settings → Data inputs → HTTP Event Collector → New Token, or Token Value of one that is there. Allow it the index \
         “toktra” (or the one below).",
    ),
    field(Advanced, "splunk_index", "index", Kind::Text, "Index")
        .default("toktra")
        .hint("It must exist in Splunk, and the token must be allowed to write to it."),
    field(Advanced, "splunk_sourcetype", "sourcetype", Kind::Text, "Sourcetype").default("toktra:security"),
    field(Advanced, "splunk_indexer_ack", "indexer_ack", Kind::Flag, "Wait for indexer acknowledgement").hint(
        "An event counts as delivered once it is indexed. Only for a token that has “Enable indexer acknowledgement” ticked in Splunk.",
    ),
];

const DATADOG: &[Field] = &[
    field(Where, "datadog_site", "site", Kind::Site, "Site")
        .default("datadoghq.com")
        .hint("It stands in your browser's address bar in Datadog, behind “app.”: app.datadoghq.eu is the site datadoghq.eu."),
    field(Where, "datadog_url", "url", Kind::Address, "URL")
        .when(When::OtherSite)
        .hint("Takes the place of both of Datadog's hosts, for logs and for metrics: a proxy of yours, say."),
    field(Credentials, "datadog_api_key", "api_key", Kind::Secret, "API key").hint(
        "In Datadog: Organization Settings → API Keys → New Key → copy the key, not its id. An application key is not needed.",
    ),
    field(Advanced, "datadog_service", "service", Kind::Text, "Service")
        .default("toktra")
        .hint("The “service” of every log entry."),
    field(Advanced, "datadog_send_metrics", "send_metrics", Kind::Flag, "Send metrics beside the logs")
        .default("on")
        .hint("A count of events, tagged by type and severity, for monitors and dashboards. It has a health of its own."),
    field(Advanced, "datadog_metric_prefix", "metric_prefix", Kind::Text, "Metric prefix")
        .default("toktra.security")
        .hint("The metric is called <prefix>.events."),
];

const ELASTICSEARCH: &[Field] = &[
    field(Where, "elasticsearch_where", "url", Kind::Cluster, "URL or Cloud ID").hint(
        "Such as https://elasticsearch.company.com:9200, or the Cloud ID from the deployment's page in Elastic Cloud. Not Kibana's address. \
         OpenSearch works as well. A whole curl example can be pasted as it is.",
    ),
    field(Credentials, "elasticsearch_api_key", "api_key", Kind::Secret, "API key").when(When::ApiKey).hint(
        "In Kibana: Stack Management → API keys → Create API key, with create_doc and auto_configure on toktra-security-events-* (and the \
         cluster privilege manage_index_templates for the template). Paste it in its encoded form, or as id:key.",
    ),
    field(Credentials, "elasticsearch_username", "username", Kind::Required, "User name")
        .when(When::Password)
        .hint("A user of its own, whose role may do nothing but create_doc and auto_configure on toktra-security-events-*."),
    field(Credentials, "elasticsearch_password", "password", Kind::Secret, "Password").when(When::Password),
    field(Advanced, "elasticsearch_index_prefix", "index_prefix", Kind::Text, "Index prefix")
        .default("toktra-security-events")
        .hint("Daily indices are called <prefix>-YYYY.MM.DD; the template's name and pattern follow it."),
    field(Advanced, "elasticsearch_manage_template", "manage_template", Kind::Flag, "Keep the index template up to date")
        .default("on")
        .hint("It is applied before the first delivery. Where the credential may not do that, events are delivered all the same."),
];

/// What all platforms have.
pub const COMMON: &[Field] = &[
    field(Advanced, "compression", "compression", Kind::Choice(COMPRESSION), "Compression")
        .default("none")
        .hint("With gzip the signature covers the compressed bytes: whoever verifies it must do so before unpacking."),
    field(Advanced, "max_in_flight", "max_in_flight", Kind::Number, "Requests in flight, at most")
        .default("16")
        .hint("From 1 to 200. How many are really used follows from how fast the SIEM answers."),
    field(Advanced, "tls_ca", "tls_ca", Kind::Lines, "Certificate authority (PEM)").hint(
        "For a SIEM whose certificate comes from an authority of your own. It is trusted for this connector alone, instead of the public ones. \
         Never a private key.",
    ),
];

/// The fields that only this platform has.
pub fn own(platform: Platform) -> &'static [Field] {
    match platform {
        Platform::Splunk => SPLUNK,
        Platform::Datadog => DATADOG,
        Platform::Elasticsearch => ELASTICSEARCH,
    }
}

/// All of a platform's fields.
pub fn of(platform: Platform) -> impl Iterator<Item = &'static Field> {
    own(platform).iter().chain(COMMON)
}

/// The field that says where the SIEM is.
pub fn address(platform: Platform) -> &'static str {
    match platform {
        Platform::Splunk => "splunk_hec_url",
        Platform::Datadog => "datadog_url",
        Platform::Elasticsearch => "elasticsearch_where",
    }
}

/// The field that a fault at `pointer` belongs to, in a form for `platform`.
pub fn at(platform: Platform, pointer: &str) -> Option<&'static str> {
    match pointer {
        "/name" => return Some("name"),
        "/platform" => return Some("platform"),
        "/signing_secret" => return Some("signing_secret"),
        _ if pointer.starts_with("/filter") => return Some("filter"),
        _ => {}
    }
    let member = pointer.strip_prefix("/config/")?;
    if (platform, member) == (Platform::Elasticsearch, "cloud_id") {
        return Some(address(platform));
    }
    of(platform).find(|field| field.member == member).map(|field| field.name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use toktra_siem_core::connector::config::known_members;
    use toktra_siem_core::connector::endpoint::DATADOG_SITES;

    use super::*;

    #[test]
    fn every_setting_has_a_field_and_every_fault_a_place() {
        for platform in Platform::ALL {
            let known: BTreeSet<&str> = known_members(platform).collect();
            let mut shown: BTreeSet<&str> = of(platform).map(|field| field.member).collect();
            if platform == Platform::Elasticsearch {
                shown.insert("cloud_id");
            }
            assert_eq!(shown, known);
            for member in known {
                assert!(at(platform, &format!("/config/{member}")).is_some(), "{member}");
            }
            assert_eq!(at(platform, "/filter/severity/0"), Some("filter"));
            assert_eq!(at(platform, "/config/other"), None);
            assert!(own(platform).iter().all(|field| field.name.starts_with(platform.as_str())));
        }
    }

    #[test]
    fn every_site_can_be_picked() {
        let picked: Vec<&str> = SITES.iter().map(|(site, _)| *site).filter(|site| *site != OTHER_SITE).collect();
        assert_eq!(picked, DATADOG_SITES);
    }
}
