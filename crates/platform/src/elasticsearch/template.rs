//! The built-in index template: which variant an endpoint understands, and the steps that put it in place. Pure: each step is a request,
//! and the replies so far decide the next one.
//!
//! Facts: product spec, "Elasticsearch index template"; destinations.md, "Template".

use serde::Deserialize;
use serde_json::{Value, json};
use toktra_siem_core::cause::Cause;

use super::bulk::Bulk;
use crate::body;
use crate::destination::{Method, OutboundRequest, Reply, SetupStep};

/// Only the template of the highest priority applies; built-in ones of the platforms reach 200.
const PRIORITY: u32 = 500;
/// Raised whenever the template changes.
const VERSION: u32 = 1;

/// What an endpoint understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    /// Elasticsearch from 7.3 on: `flattened`.
    Elasticsearch,
    /// Elastic serverless: as Elasticsearch, but shards and replicas are not the user's to set (it answers 400).
    Serverless,
    /// OpenSearch from 2.7 on: `flat_object`.
    OpenSearch,
    /// Neither type: free objects are kept, but not searchable.
    Plain,
}

impl Variant {
    /// How objects with free keys are mapped, so that they do not explode the mapping.
    fn free_object(self) -> Value {
        match self {
            Self::Elasticsearch | Self::Serverless => json!({ "type": "flattened" }),
            Self::OpenSearch => json!({ "type": "flat_object" }),
            Self::Plain => json!({ "type": "object", "enabled": false }),
        }
    }

    fn settings(self) -> Value {
        match self {
            Self::Serverless => json!({}),
            Self::Elasticsearch | Self::OpenSearch | Self::Plain => {
                json!({ "number_of_shards": 1, "number_of_replicas": 1 })
            }
        }
    }

    /// The template for indices that begin with `prefix`.
    fn template(self, prefix: &str) -> Value {
        json!({
            "index_patterns": [format!("{prefix}-*")],
            "priority": PRIORITY,
            "version": VERSION,
            "_meta": { "managed_by": "toktra-siem", "description": "Security events delivered by Toktra" },
            "template": {
                "settings": self.settings(),
                "mappings": {
                    "properties": {
                        "@timestamp": { "type": "date" },
                        "event_id": { "type": "keyword" },
                        "event_type": { "type": "keyword" },
                        "severity": { "type": "keyword" },
                        "org_id": { "type": "keyword" },
                        "user_email": { "type": "keyword" },
                        "policy_id": { "type": "keyword" },
                        "summary": { "type": "text" },
                        "details": self.free_object(),
                        "tags": self.free_object(),
                    }
                }
            }
        })
    }
}

/// The variants to try, in order: one where the product is known. `GET /` needs a privilege of its own, so it may well not be known;
/// a variant that an endpoint does not understand is answered with 400.
fn candidates(root: &Reply) -> &'static [Variant] {
    #[derive(Deserialize)]
    struct Root {
        version: Version,
    }
    #[derive(Deserialize)]
    struct Version {
        #[serde(default)]
        number: String,
        distribution: Option<String>,
        build_flavor: Option<String>,
    }

    let known = if (200..300).contains(&root.status) { serde_json::from_slice::<Root>(&root.body).ok() } else { None };
    let Some(Root { version }) = known else {
        return &[Variant::Elasticsearch, Variant::OpenSearch, Variant::Serverless, Variant::Plain];
    };
    let number = release(&version.number);
    if version.distribution.as_deref() == Some("opensearch") {
        // In compatibility mode it calls itself 7.10.2, whatever it is.
        let flat_object = ((2, 7)..(7, 0)).contains(&number);
        return if flat_object { &[Variant::OpenSearch] } else { &[Variant::OpenSearch, Variant::Plain] };
    }
    match (version.build_flavor.as_deref(), number) {
        (Some("serverless"), _) => &[Variant::Serverless],
        (_, number) if number < (7, 3) => &[Variant::Plain],
        // Distributions without the free licence lacked `flattened` at first; the plain 7.17 has it.
        (Some("oss"), _) => &[Variant::Elasticsearch, Variant::Plain],
        _ => &[Variant::Elasticsearch],
    }
}

/// Major and minor; what is no version at all is a new one.
fn release(number: &str) -> (u32, u32) {
    let mut parts = number.split('.').map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => (u32::MAX, 0),
    }
}

impl Bulk {
    /// The step after `seen`: ask what it is, then put the template, in the next variant for as long as one is answered with 400.
    pub(super) fn template_step(&self, seen: &[Reply]) -> SetupStep {
        let Some((root, tried)) = seen.split_first() else {
            return SetupStep::Send(self.setup_request(Method::Get, &[""], None));
        };
        if is_transient(root.status) {
            return SetupStep::Hold(self.unprepared("unavailable", root));
        }
        let variants = candidates(root);
        match (tried.last(), variants.get(tried.len())) {
            (None, Some(variant)) => self.put(*variant),
            (Some(reply), Some(variant)) if reply.status == 400 => self.put(*variant),
            (Some(reply), _) => self.judge_template(reply),
            (None, None) => SetupStep::done(),
        }
    }

    fn put(&self, variant: Variant) -> SetupStep {
        let template = variant.template(&self.index_prefix);
        SetupStep::Send(self.setup_request(Method::Put, &["_index_template", &self.index_prefix], Some(&template)))
    }

    fn setup_request(&self, method: Method, path: &[&str], content: Option<&Value>) -> OutboundRequest {
        OutboundRequest {
            method,
            url: self.address(path),
            secret_url: false,
            headers: self.headers(body::JSON),
            body: content.map(body::json).unwrap_or_default().into(),
        }
    }

    fn judge_template(&self, reply: &Reply) -> SetupStep {
        match reply.status {
            200..=299 if is_acknowledged(reply) => SetupStep::done(),
            status @ 400..=499 if !is_transient(status) => {
                let warning = Some(self.endpoint.cause("template_refused", reply, why_refused(status)));
                SetupStep::Done { warning, grant: None }
            }
            _ => SetupStep::Hold(self.unprepared("template_unconfirmed", reply)),
        }
    }

    fn unprepared(&self, what: &str, reply: &Reply) -> Cause {
        let why = format!(
            "the index template could not be put in place yet, and events wait for it. It is probably restarting or \
             overloaded, and this is tried again by itself. If it lasts, look at the address as well. {}",
            self.endpoint.address
        );
        self.endpoint.cause(what, reply, &why)
    }
}

/// Why a template is refused: for want of a privilege, or because of what it says.
fn why_refused(status: u16) -> &'static str {
    match status {
        401 | 403 => {
            "it did not take the index template, so new daily indices get their mapping by guess. The credential probably lacks the cluster \
             privilege manage_index_templates. In Kibana: Stack Management → API keys (or Roles, for a user) → grant it, then press \
             Create index template; or switch manage_template off."
        }
        _ => {
            "it did not take the index template, so new daily indices get their mapping by guess. Another template for the same indices is \
             probably in the way. In Kibana: Stack Management → Index Management → Index Templates → look for the same pattern, then \
             press Create index template; or switch manage_template off."
        }
    }
}

/// The endpoint may answer otherwise in a moment.
fn is_transient(status: u16) -> bool {
    !(200..500).contains(&status) || matches!(status, 408 | 425 | 429)
}

/// `{"acknowledged":true}`; a page of a proxy is none, and `false` means that the cluster did not agree in time.
fn is_acknowledged(reply: &Reply) -> bool {
    #[derive(Deserialize)]
    struct Acknowledged {
        acknowledged: bool,
    }
    serde_json::from_slice::<Acknowledged>(&reply.body).is_ok_and(|answer| answer.acknowledged)
}
