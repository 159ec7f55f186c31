//! The node's documents and templates, and how one bulk action changes them.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::bulk::{self, Action};
use super::field::Misfit;
use super::mapping::Mapping;
use super::{Fault, Flavour, ItemFault, Items, replies, template};
use crate::receiver::Accepted;

#[derive(Default)]
pub(super) struct Store {
    pub(super) indices: BTreeMap<String, Index>,
    pub(super) templates: BTreeMap<String, Value>,
    made_ids: u64,
}

pub(super) struct Index {
    mapping: Mapping,
    pub(super) documents: BTreeMap<String, Document>,
    operations: usize,
}

pub(super) struct Document {
    pub(super) source: Bytes,
    pub(super) version: u64,
}

/// How the node that a bulk request came to answers.
#[derive(Clone, Copy)]
pub(super) struct Node {
    pub(super) flavour: Flavour,
    pub(super) major: u64,
    pub(super) may_create: bool,
    /// `cluster.max_shards_per_node`, counted in indices.
    pub(super) max_indices: usize,
}

/// What a bulk request did.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) items: Vec<Value>,
    pub(super) accepted: Vec<Accepted>,
    pub(super) violations: Vec<String>,
}

impl Store {
    /// Carries out the actions one after the other; one that fails concerns no other.
    pub(super) fn run(&mut self, node: Node, actions: Vec<Action>, fault: Option<&Fault>) -> Outcome {
        let mut outcome = Outcome::default();
        for (position, action) in actions.into_iter().enumerate() {
            let document = bulk::object(&action.source);
            let event_id = document.as_ref().and_then(|source| source.get("event_id")?.as_str()).map(str::to_owned);
            let id = action.id.clone().unwrap_or_else(|| self.make_id());
            if let Some(fault) = item_fault(fault, position, event_id.as_deref()) {
                let Action { verb, index, .. } = &action;
                outcome.items.push(match fault.status {
                    201 => replies::stored_as_failure(verb, index, &id),
                    status => replies::failed(verb, index, &id, status, &fault.kind, &fault.reason),
                });
                continue;
            }
            match self.apply(node, &action, &id, document.as_ref()) {
                Ok(item) => {
                    let meta = json!({ "_index": action.index, "_id": id, "action": action.verb });
                    let Value::Object(meta) = meta else { continue };
                    outcome.items.push(item);
                    outcome.accepted.push(Accepted { request: 0, position, event_id, event: action.source, meta });
                }
                Err(Failure { status, kind, reason }) => {
                    if status == 400 {
                        outcome.violations.push(format!("item {position}: {kind}: {reason}"));
                    }
                    outcome.items.push(replies::failed(action.verb, &action.index, &id, status, kind, &reason));
                }
            }
        }
        outcome
    }

    fn make_id(&mut self) -> String {
        self.made_ids += 1;
        format!("auto-{:08}", self.made_ids)
    }

    fn apply(
        &mut self,
        node: Node,
        action: &Action,
        id: &str,
        document: Option<&Map<String, Value>>,
    ) -> Result<Value, Failure> {
        if !node.may_create {
            let reason = replies::forbidden_reason(
                "indices:data/write/bulk[s]",
                "the index privileges [create_doc,create,index,write,all]",
            );
            return Err(Failure { status: 403, kind: "security_exception", reason });
        }
        if !bulk::is_index_name(&action.index) {
            let reason = format!("Invalid index name [{}]", action.index);
            return Err(Failure { status: 400, kind: "invalid_index_name_exception", reason });
        }
        let parsing = |reason: String| Failure {
            status: 400,
            kind: replies::parsing_exception(node.flavour, node.major),
            reason,
        };
        let document = document.ok_or_else(|| parsing("failed to parse".to_owned()))?;
        if let Some(reason) = bulk::beyond_reader(&action.source, node.flavour == Flavour::OpenSearch) {
            return Err(parsing(reason));
        }
        if !self.indices.contains_key(&action.index) && self.indices.len() >= node.max_indices {
            let most = node.max_indices;
            let reason = format!(
                "Validation Failed: 1: this action would add [2] shards, but this cluster currently has [{most}]/[{most}] maximum normal \
                 shards open;"
            );
            return Err(Failure { status: 400, kind: "validation_exception", reason });
        }
        let templates = &self.templates;
        let new = || Index::new(&action.index, templates, node.flavour);
        let index = self.indices.entry(action.index.clone()).or_insert_with(new);
        if let ("create", Some(existing)) = (action.verb, index.documents.get(id)) {
            let version = existing.version;
            let reason = format!("[{id}]: version conflict, document already exists (current version [{version}])");
            return Err(Failure { status: 409, kind: "version_conflict_engine_exception", reason });
        }
        index.mapping.fit(id, document).map_err(|Misfit { kind, reason }| match kind {
            Some(kind) => Failure { status: 400, kind, reason },
            None => parsing(reason),
        })?;
        let version = index.documents.get(id).map_or(0, |existing| existing.version) + 1;
        let sequence = index.operations;
        index.operations += 1;
        index.documents.insert(id.to_owned(), Document { source: action.source.clone(), version });
        Ok(replies::stored(action.verb, &action.index, id, version, sequence))
    }
}

impl Index {
    /// A new index with the mapping of the one template that applies to its name.
    fn new(name: &str, templates: &BTreeMap<String, Value>, flavour: Flavour) -> Self {
        let mappings = template::for_index(name, templates).map(|template| &template["template"]["mappings"]);
        let mapping = Mapping::of_template(mappings.unwrap_or(&Value::Null), flavour);
        Self { mapping, documents: BTreeMap::new(), operations: 0 }
    }
}

struct Failure {
    status: u16,
    kind: &'static str,
    reason: String,
}

fn item_fault<'a>(fault: Option<&'a Fault>, position: usize, event_id: Option<&str>) -> Option<&'a ItemFault> {
    let Some(Fault::Items(faults)) = fault else { return None };
    faults.iter().find(|fault| match &fault.items {
        Items::At(positions) => positions.contains(&position),
        Items::OfEvents(ids) => event_id.is_some_and(|id| ids.iter().any(|wanted| wanted == id)),
    })
}
