//! The built-in index template: which variant an endpoint understands, and the steps that put it in place. Pure: each step is a request,
//! and the replies so far decide the next one.
//!
//! Facts: product spec, "Elasticsearch index template"; Elasticsearch's reference, "Create or update index template API".

use serde::Deserialize;
use serde_json::{Map, Value, json};
use toktra_siem_core::cause::Cause;

use super::bulk::{Bulk, Place};
use super::document::{LONGEST, NUMBERS, WORDS};
use crate::body;
use crate::destination::{Method, OutboundRequest, Reply, SetupStep};
use crate::reply::is_html;
use url::Url;

/// Only the template of the highest priority applies; built-in ones of the platforms reach 200.
const PRIORITY: u32 = 500;
/// Raised whenever the template changes.
const VERSION: u64 = 2;
/// Marks a template as ours: `_meta.managed_by`.
const MANAGED_BY: &str = "toktra-siem";
/// What may be written into a template. A node tells more when it is asked, such as when the template was made.
const WRITABLE: [&str; 9] = [
    "index_patterns",
    "template",
    "composed_of",
    "priority",
    "version",
    "_meta",
    "data_stream",
    "allow_auto_create",
    "ignore_missing_component_templates",
];

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
            Self::Elasticsearch | Self::Serverless => json!({ "type": "flattened", "ignore_above": LONGEST }),
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

    /// The fields of a document ([`super::document`]). Those of the product spec's template are as it has them.
    fn properties(self) -> Value {
        let keyword = json!({ "type": "keyword" });
        // Version 1 left these to the cluster, which made each of them a text with a keyword inside: searches of that name go on.
        let guessed = json!({ "type": "keyword", "fields": { "keyword": { "type": "keyword" } } });
        let number = json!({ "type": "double", "ignore_malformed": true });
        let word = json!({ "type": "keyword", "ignore_above": LONGEST });
        let kept = json!({ "type": "object", "enabled": false });
        let details: Map<String, Value> = NUMBERS
            .iter()
            .map(|name| ((*name).to_owned(), number.clone()))
            .chain(WORDS.iter().map(|name| ((*name).to_owned(), word.clone())))
            .collect();
        json!({
            "@timestamp": { "type": "date" },
            "timestamp": { "type": "date" },
            "event_id": keyword,
            "event_type": keyword,
            "severity": keyword,
            "org_id": keyword,
            "user_id": guessed,
            "user_email": keyword,
            "provider": guessed,
            "model": guessed,
            "policy_id": keyword,
            "source": guessed,
            "summary": { "type": "text" },
            "details": { "type": "object", "dynamic": false, "properties": details },
            "details_terms": word,
            "details_original": kept,
            "tags": self.free_object(),
            "tags_original": kept,
            "unindexed": keyword,
        })
    }

    /// The template of `place`. Nothing in it is guessed by the cluster: a field that it does not name is kept, but
    /// not indexed.
    fn template(self, place: &Place) -> Value {
        let mut template = json!({
            "index_patterns": [format!("{}-*", place.template())],
            "priority": PRIORITY,
            "version": VERSION,
            "_meta": { "managed_by": MANAGED_BY, "description": "Security events delivered by Toktra" },
            "template": {
                "settings": self.settings(),
                "mappings": { "dynamic": false, "date_detection": false, "properties": self.properties() },
            }
        });
        if let Place::Stream(_) = place {
            template["data_stream"] = json!({});
        }
        template
    }

    /// The template `theirs`, an earlier version of ours, brought up to date. What its owner added or changed stays: settings, aliases,
    /// priority, fields. Of the fields, only those are replaced that version 1 itself put in another way.
    fn updated(self, theirs: &Value, place: &Place) -> Value {
        let ours = self.template(place);
        let mut updated = theirs.clone();
        if let Some(members) = updated.as_object_mut() {
            members.retain(|name, _| WRITABLE.contains(&name.as_str()));
        }
        let earlier = [json!({ "type": "flattened" }), Self::OpenSearch.free_object(), Self::Plain.free_object()];
        if let Some(properties) = updated.pointer_mut("/template/mappings/properties").and_then(Value::as_object_mut) {
            properties.retain(|name, kind| !(["details", "tags"].contains(&name.as_str()) && earlier.contains(kind)));
        }
        complete(&mut updated, &ours);
        updated["version"] = VERSION.into();
        updated
    }
}

/// Adds to `theirs` what `ours` has beside it, and changes nothing that is there.
fn complete(theirs: &mut Value, ours: &Value) {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            for (name, value) in ours {
                match theirs.get_mut(name) {
                    // A field has one definition; settings come back with other names for the same thing.
                    Some(existing) if name != "settings" && value.get("type").is_none() => complete(existing, value),
                    Some(_) => {}
                    None => {
                        theirs.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (theirs @ Value::Null, ours) => *theirs = ours.clone(),
        _ => {}
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

/// What an endpoint answers when it is asked for the template.
enum Standing {
    /// There is none yet.
    Absent,
    /// One of ours, in this version.
    Ours(u64, Value),
    /// One that somebody else made.
    Foreign,
    /// It may not be read.
    Hidden,
    /// The endpoint knows no index templates.
    Unsupported,
}

impl Standing {
    fn of(reply: &Reply) -> Self {
        #[derive(Deserialize)]
        struct Found {
            index_templates: Vec<Named>,
        }
        #[derive(Deserialize)]
        struct Named {
            index_template: Value,
        }
        match reply.status {
            200..=299 => match serde_json::from_slice::<Found>(&reply.body) {
                Ok(Found { index_templates }) => match index_templates.into_iter().next() {
                    Some(Named { index_template: found }) if found["_meta"]["managed_by"] == MANAGED_BY => {
                        Self::Ours(found["version"].as_u64().unwrap_or(0), found)
                    }
                    Some(_) => Self::Foreign,
                    None => Self::Absent,
                },
                Err(_) => Self::Unsupported,
            },
            404 => Self::Absent,
            _ => Self::Hidden,
        }
    }
}

/// Whether an answer of 2xx is one of a service that speaks as Elasticsearch does without having its templates: JSON, but not what a template
/// call is answered with. A page of a proxy is none.
fn is_compatible_only(reply: &Reply) -> bool {
    let object = serde_json::from_slice::<Map<String, Value>>(&reply.body);
    let own = |name: &str| object.as_ref().is_ok_and(|members| members.contains_key(name));
    let empty = reply.body.trim_ascii().is_empty();
    (200..300).contains(&reply.status)
        && (empty || object.is_ok())
        && !own("acknowledged")
        && !own("index_templates")
        && !is_html(reply)
}

impl Bulk {
    /// The step after `seen`: ask what it is and which template stands there; then put ours unless it is in place, or another's, in the next
    /// variant for as long as one is answered with 400.
    pub(super) fn template_step(&self, seen: &[Reply]) -> SetupStep {
        let (root, standing, tried) = match seen {
            [] => return SetupStep::Send(self.setup_request(Method::Get, &[""], None)),
            [root] if is_transient(root.status) => return SetupStep::Hold(self.unprepared("unavailable", root)),
            [_] => {
                return SetupStep::Send(self.setup_request(
                    Method::Get,
                    &["_index_template", self.place.template()],
                    None,
                ));
            }
            [root, standing, tried @ ..] => (root, standing, tried),
        };
        if is_transient(standing.status) && !is_unsupported(standing.status) {
            return SetupStep::Hold(self.unprepared("template_unconfirmed", standing));
        }
        if self.reaches_with_its_path(standing) {
            return self.warned("template_path", standing, WITH_PATH);
        }
        let found = match Standing::of(standing) {
            Standing::Ours(version, _) if version >= VERSION => return SetupStep::done(),
            Standing::Foreign => return self.warned("template_foreign", standing, FOREIGN),
            Standing::Unsupported if is_compatible_only(standing) => {
                return self.warned("template_unsupported", standing, UNSUPPORTED);
            }
            Standing::Unsupported => return SetupStep::Hold(self.unprepared("template_unconfirmed", standing)),
            found @ (Standing::Absent | Standing::Hidden | Standing::Ours(..)) => found,
        };
        let variants = candidates(root);
        match (tried.last(), variants.get(tried.len())) {
            (Some(reply), _) if already_exists(reply) => self.warned("template_hidden", reply, HIDDEN),
            (None, Some(variant)) => self.put(*variant, &found),
            (Some(reply), Some(variant)) if reply.status == 400 => self.put(*variant, &found),
            (Some(reply), _) => self.judge_template(reply),
            (None, None) => SetupStep::done(),
        }
    }

    /// Whether the node was asked for a path that begins with that of the URL: no proxy takes it away, and the node takes it for an index.
    fn reaches_with_its_path(&self, reply: &Reply) -> bool {
        let address = self.address(&["_index_template"]);
        let path = Url::parse(&address).map(|url| url.path().to_owned()).unwrap_or_default();
        let said = String::from_utf8_lossy(&reply.body[..reply.body.len().min(1024)]).into_owned();
        path != "/_index_template" && said.contains("no handler found for uri") && said.contains(&path)
    }

    fn put(&self, variant: Variant, found: &Standing) -> SetupStep {
        let template = match found {
            Standing::Ours(_, theirs) => variant.updated(theirs, &self.place),
            _ => variant.template(&self.place),
        };
        let mut request = self.setup_request(Method::Put, &["_index_template", self.place.template()], Some(&template));
        if matches!(found, Standing::Hidden) {
            // What cannot be looked at must not be overwritten.
            request.url.push_str("?create=true");
        }
        SetupStep::Send(request)
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
            status if is_compatible_only(reply) || is_unsupported(status) => {
                self.warned("template_unsupported", reply, UNSUPPORTED)
            }
            status @ 400..=499 if !is_transient(status) => self.warned("template_refused", reply, why_refused(status)),
            _ => SetupStep::Hold(self.unprepared("template_unconfirmed", reply)),
        }
    }

    /// Events go without the template, and this is said for as long as it is so.
    fn warned(&self, what: &str, reply: &Reply, why: &str) -> SetupStep {
        SetupStep::Done { warning: Some(self.endpoint.cause(what, reply, why)), grant: None }
    }

    fn unprepared(&self, what: &str, reply: &Reply) -> Cause {
        let why = match reply.status {
            200..=399 if !is_acknowledged(reply) && serde_json::from_slice::<Map<String, Value>>(&reply.body).is_err() => {
                format!(
                    "this is not the answer of its index templates, and events wait until the template is in place. A proxy, gateway or \
                     login page probably answers in its place. {}",
                    self.endpoint.address
                )
            }
            200..=399 => "its nodes did not agree on the index template in time, and events wait until it is in place. This is tried again \
                          by itself; if it lasts, look at the cluster's health."
                .to_owned(),
            _ => "the index template could not be put in place yet, and events wait for it. It is probably restarting or overloaded, and \
                  this is tried again by itself. If it lasts, look at its own log."
                .to_owned(),
        };
        self.endpoint.cause(what, reply, &why)
    }
}

/// What it costs that a service takes bulk requests and has no index templates.
const UNSUPPORTED: &str = "it has no index templates. Events are delivered without one: the service itself decides which fields are \
                           searched, and how numbers and dates are compared. If that is meant so, switch manage_template off, and this \
                           warning ends; if this should be Elasticsearch or OpenSearch, look whether a proxy answers in its place.";
/// What it costs that a template of the same name is not ours.
const FOREIGN: &str = "an index template of this name is there that Toktra did not make, so it was left as it is. Events are delivered with \
                       its mapping; if that gives a field another type, events are refused. Switch manage_template off to keep it; or choose \
                       another index_prefix, or delete it and press Create index template.";
/// What it means that the template may be written, but not read.
const HIDDEN: &str = "an index template of this name is there, and this credential may not read it, so it was left as it is. It may be an \
                      earlier version of Toktra's. Grant manage_index_templates (in OpenSearch indices:admin/index_template/get), then press \
                      Create index template; or switch manage_template off.";

const WITH_PATH: &str = "it takes the path of the URL for the name of an index. Events arrive all the same, but without the index template their \
                         daily indices get their mapping by guess. The path is probably wrong: take it out of the URL, or let the proxy in \
                         front of the cluster take it away, then test again.";

/// A service that answers so to a call does not have it.
fn is_unsupported(status: u16) -> bool {
    matches!(status, 404 | 405 | 501)
}

/// Whether a template was refused because one of the name is there, which only one that cannot be looked at is.
fn already_exists(reply: &Reply) -> bool {
    const SAID: &[u8] = b"already exists";
    reply.status == 400 && reply.body.windows(SAID.len()).any(|part| part == SAID)
}

/// Why a template is refused: for want of a privilege, or because of what it says.
fn why_refused(status: u16) -> &'static str {
    match status {
        401 | 403 => {
            "it did not take the index template, so new daily indices get their mapping by guess: the first event of the day fixes the type of \
             a field, and events that do not fit are refused. The credential probably lacks the cluster privilege manage_index_templates. In \
             Kibana: Stack Management → API keys (or Roles, for a user) → grant it, then press Create index template; or switch \
             manage_template off."
        }
        _ => {
            "it did not take the index template, so new daily indices get their mapping by guess: the first event of the day fixes the type of \
             a field, and events that do not fit are refused. Another template for the same indices is probably in the way. In Kibana: Stack \
             Management → Index Management → Index Templates → look for the same pattern, then press Create index template; or switch \
             manage_template off."
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
