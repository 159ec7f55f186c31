//! The node's strict logic: credentials, privileges, media type, size, and the way to the right handler.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::store::{Node, Store};
use super::{Credentials, ElasticsearchOptions, Endpoint, Fault, Flavour, Privileges, bulk, replies, search, template};
use crate::receiver::{Judgement, Received, Reply, Rules};
use crate::refresh::Refresh;

/// How a node judges requests.
pub struct ElasticsearchRules {
    options: ElasticsearchOptions,
    version: (u64, u64),
    access: Mutex<Access>,
    store: Mutex<Store>,
    refresh: Refresh,
}

struct Access {
    header: Option<String>,
    privileges: Privileges,
}

/// Query parameters that a bulk request may have.
const BULK_PARAMETERS: [&str; 13] = [
    "refresh",
    "timeout",
    "pipeline",
    "routing",
    "wait_for_active_shards",
    "require_alias",
    "require_data_stream",
    "list_executed_pipelines",
    "filter_path",
    "pretty",
    "human",
    "error_trace",
    "_source",
];

impl Rules for ElasticsearchRules {
    type Endpoint = Endpoint;
    type Fault = Fault;

    fn endpoint(&self, path: &str) -> Endpoint {
        match path {
            "/" => Endpoint::Root,
            "/_bulk" => Endpoint::Bulk,
            path if path.starts_with("/_index_template/") => Endpoint::Template,
            _ => Endpoint::Other,
        }
    }

    fn judge(&self, request: &Received, fault: Option<&Fault>) -> Judgement {
        self.marked(self.answer(request, fault).unwrap_or_else(|refusal| refusal))
    }

    fn count(&self, request: &Received) -> Judgement {
        if self.endpoint(request.path()) != Endpoint::Bulk {
            return self.judge(request, None);
        }
        self.marked(self.count_bulk(request).unwrap_or_else(|refusal| refusal))
    }

    fn held(&self) -> Value {
        let store = self.store.lock();
        store.indices.iter().map(|(name, index)| (name.clone(), json!(index.documents.len()))).collect()
    }
}

impl ElasticsearchRules {
    pub(super) fn new(options: ElasticsearchOptions) -> Self {
        let mut numbers = options.version.split('.').map(|part| part.parse().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        let access = Access { header: options.credentials.header(), privileges: options.privileges };
        Self {
            options,
            version,
            access: Mutex::new(access),
            store: Mutex::new(Store::default()),
            refresh: Refresh::default(),
        }
    }

    pub(super) fn set_credentials(&self, credentials: &Credentials) {
        self.access.lock().header = credentials.header();
    }

    pub(super) fn hide_from(&self, searches: u32) {
        self.refresh.hide(searches);
    }

    pub(super) fn set_privileges(&self, privileges: Privileges) {
        self.access.lock().privileges = privileges;
    }

    pub(super) fn documents(&self) -> BTreeMap<String, BTreeMap<String, Bytes>> {
        let store = self.store.lock();
        let sources = |index: &super::store::Index| {
            index.documents.iter().map(|(id, document)| (id.clone(), document.source.clone())).collect()
        };
        store.indices.iter().map(|(name, index)| (name.clone(), sources(index))).collect()
    }

    pub(super) fn templates(&self) -> BTreeMap<String, Value> {
        self.store.lock().templates.clone()
    }

    /// Elasticsearch's own clients refuse a node without this header; OpenSearch does not send it.
    fn marked(&self, mut judgement: Judgement) -> Judgement {
        if self.options.flavour != Flavour::OpenSearch {
            judgement.map_reply(|reply| reply.with_header("x-elastic-product", "Elasticsearch"));
        }
        judgement
    }

    fn answer(&self, request: &Received, fault: Option<&Fault>) -> Result<Judgement, Judgement> {
        self.authenticate(request)?;
        match (self.endpoint(request.path()), request.method()) {
            (Endpoint::Root, "GET" | "HEAD") => self.root(),
            (Endpoint::Bulk, "POST" | "PUT") => self.bulk(request, fault),
            (Endpoint::Template, "PUT" | "POST") => self.put_template(request),
            (Endpoint::Template, "GET") => self.get_template(request),
            (Endpoint::Other, "GET" | "POST") => self.other(request),
            (_, method) => {
                let reason = format!("Incorrect HTTP method for uri [{}] and method [{method}]", request.path());
                let reply = Reply::json(405, &json!({ "error": reason, "status": 405 }));
                Err(Judgement::refused(reply, reason))
            }
        }
    }

    fn authenticate(&self, request: &Received) -> Result<(), Judgement> {
        let access = self.access.lock();
        let Some(expected) = &access.header else { return Ok(()) };
        let reason = match request.header("authorization") {
            Some(sent) if sent == expected => return Ok(()),
            Some(_) => "unable to authenticate with provided credentials and anonymous access is not allowed",
            None => "missing authentication credentials for REST request",
        };
        let reason = format!("{reason} [{}]", request.path());
        Err(Judgement::refused(replies::unauthorized(self.options.flavour, &reason), reason))
    }

    fn privileges(&self) -> Privileges {
        self.access.lock().privileges
    }

    fn root(&self) -> Result<Judgement, Judgement> {
        if !self.privileges().monitor {
            return Err(Judgement::of(replies::forbidden("cluster:monitor/main", "monitor")));
        }
        let mut version = json!({ "number": self.options.version, "lucene_version": "10.2.2" });
        let tagline = match self.options.flavour {
            Flavour::OpenSearch => {
                version["distribution"] = json!("opensearch");
                "The OpenSearch Project: https://opensearch.org/"
            }
            Flavour::Serverless => {
                version["build_flavor"] = json!("serverless");
                "You Know, for Search"
            }
            Flavour::Elasticsearch => {
                version["build_flavor"] = json!("default");
                "You Know, for Search"
            }
        };
        let body = json!({ "name": "fake-0", "cluster_name": "fake", "version": version, "tagline": tagline });
        Ok(Judgement::of(Reply::json(200, &body)))
    }

    fn bulk(&self, request: &Received, fault: Option<&Fault>) -> Result<Judgement, Judgement> {
        let actions = bulk::parse(self.readable_bulk(request)?).map_err(|bulk::Malformed { kind, reason }| {
            let rule = format!("{kind}: {reason}");
            Judgement::refused(replies::error(400, kind, &reason), rule)
        })?;
        let node = Node {
            flavour: self.options.flavour,
            major: self.version.0,
            may_create: self.privileges().create_doc,
            max_indices: self.options.max_indices,
        };
        let mut outcome = self.store.lock().run(node, actions, fault);
        if let Some(Fault::FewerItems(missing)) = fault {
            outcome.items.truncate(outcome.items.len().saturating_sub(*missing));
        }
        let judgement = Judgement::of(replies::bulk(outcome.items));
        Ok(judgement.accepting(outcome.accepted).violating(outcome.violations))
    }

    fn count_bulk(&self, request: &Received) -> Result<Judgement, Judgement> {
        self.authenticate(request)?;
        let actions = bulk::count(self.readable_bulk(request)?);
        let items = vec![r#"{"create":{"status":201}}"#; actions].join(",");
        let body = format!(r#"{{"took":1,"errors":false,"items":[{items}]}}"#);
        Ok(Judgement::of(Reply::text(200, "application/json", body)).counting(actions))
    }

    fn readable_bulk<'a>(&self, request: &'a Received) -> Result<&'a Bytes, Judgement> {
        if let Some(unknown) = request.query_names().find(|name| !BULK_PARAMETERS.contains(name)) {
            let reason = format!("request [/_bulk] contains unrecognized parameter: [{unknown}]");
            return Err(Judgement::refused(replies::error(400, "illegal_argument_exception", &reason), reason));
        }
        media_type(request, &["application/x-ndjson", "application/json"])?;
        self.readable(request)
    }

    fn readable<'a>(&self, request: &'a Received) -> Result<&'a Bytes, Judgement> {
        let too_large = |bytes: usize| {
            let rule = format!("a body of {bytes} bytes, {} are allowed", self.options.max_bytes);
            Judgement::refused(Reply::empty(413), rule)
        };
        if request.wire().len() > self.options.max_bytes {
            return Err(too_large(request.wire().len()));
        }
        let body = request.body().map_err(|why| {
            Judgement::refused(replies::error(400, "illegal_argument_exception", &why.to_string()), why.to_string())
        })?;
        if body.len() > self.options.max_bytes {
            return Err(too_large(body.len()));
        }
        Ok(body)
    }

    fn put_template(&self, request: &Received) -> Result<Judgement, Judgement> {
        let name = self.template_name(request, "indices:admin/index_template/put")?;
        media_type(request, &["application/json"])?;
        let body = serde_json::from_slice::<Value>(self.readable(request)?).unwrap_or_default();
        let mut store = self.store.lock();
        let only_new = request.query_names().any(|name| name == "create");
        if only_new && store.templates.contains_key(&name) {
            let reason = format!("index template [{name}] already exists");
            return Ok(Judgement::of(replies::error(400, "illegal_argument_exception", &reason)));
        }
        template::check(&name, &body, self.options.flavour, self.version, &store.templates).map_err(
            |template::Refused { kind, reason }| {
                let rule = format!("template: {kind}: {reason}");
                Judgement::refused(replies::error(400, kind, &reason), rule)
            },
        )?;
        store.templates.insert(name, body);
        Ok(Judgement::of(Reply::json(200, &json!({ "acknowledged": true }))))
    }

    fn get_template(&self, request: &Received) -> Result<Judgement, Judgement> {
        let name = self.template_name(request, "indices:admin/index_template/get")?;
        let store = self.store.lock();
        let Some(found) = store.templates.get(&name) else {
            let reason = format!("index template matching [{name}] not found");
            return Ok(Judgement::of(replies::error(404, "resource_not_found_exception", &reason)));
        };
        let body = json!({ "index_templates": [{ "name": name, "index_template": found }] });
        Ok(Judgement::of(Reply::json(200, &body)))
    }

    fn template_name(&self, request: &Received, action: &str) -> Result<String, Judgement> {
        if !self.privileges().manage_index_templates {
            return Err(Judgement::of(replies::forbidden(action, "manage_index_templates")));
        }
        Ok(request.path().trim_start_matches("/_index_template/").to_owned())
    }

    fn other(&self, request: &Received) -> Result<Judgement, Judgement> {
        let body = self.readable(request)?;
        let reads = ["/_doc/", "/_count", "/_search"].iter().any(|verb| request.path().contains(verb));
        if reads && !self.privileges().read {
            let reason = replies::forbidden_reason("indices:data/read/search", "the index privileges [read,all]");
            return Err(Judgement::of(replies::error(403, "security_exception", &reason)));
        }
        let refreshed = !request.path().ends_with("/_search") || self.refresh.is_over();
        let empty = Store::default();
        let store = self.store.lock();
        let found = search::read(if refreshed { &store } else { &empty }, request.path(), body);
        found.map(Judgement::of).ok_or_else(|| {
            let reason = format!("no handler found for uri [{}] and method [{}]", request.path(), request.method());
            Judgement::refused(Reply::json(400, &json!({ "error": reason })), reason)
        })
    }
}

fn media_type(request: &Received, allowed: &[&str]) -> Result<(), Judgement> {
    let sent = request.media_type();
    if allowed.contains(&sent.as_str()) {
        return Ok(());
    }
    let reason = format!("Content-Type header [{sent}] is not supported");
    let reply = Reply::json(406, &json!({ "error": reason, "status": 406 }));
    Err(Judgement::refused(reply, reason))
}
