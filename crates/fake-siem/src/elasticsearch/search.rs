//! The little reading that checks need: one document, counts, and searches for all documents or by one exact value.

use serde_json::{Value, json};

use super::store::{Document, Store};
use super::{replies, template};
use crate::receiver::Reply;

/// The most hits of a search that names no `size`.
const DEFAULT_SIZE: usize = 10;

/// Answers `GET /<index>/_doc/<id>`, `/<index>/_count` and `/<index>/_search`; `None` for any other path.
pub(super) fn read(store: &Store, path: &str, body: &[u8]) -> Option<Reply> {
    let mut parts = path.strip_prefix('/')?.splitn(3, '/');
    let (target, verb, id) = (parts.next()?, parts.next()?, parts.next());
    match (verb, id) {
        ("_doc", Some(id)) => Some(document(store, target, id)),
        ("_count" | "_search", None) => Some(query(store, target, verb, body).unwrap_or_else(|refusal| refusal)),
        ("_refresh", None) => {
            Some(Reply::json(200, &json!({ "_shards": { "total": 1, "successful": 1, "failed": 0 } })))
        }
        _ => None,
    }
}

fn document(store: &Store, index: &str, id: &str) -> Reply {
    let Some(found) = store.indices.get(index).and_then(|index| index.documents.get(id)) else {
        return Reply::json(404, &json!({ "_index": index, "_id": id, "found": false }));
    };
    let Document { version, .. } = found;
    let document =
        json!({ "_index": index, "_id": id, "_version": version, "found": true, "_source": source_of(found) });
    Reply::json(200, &document)
}

fn query(store: &Store, target: &str, verb: &str, body: &[u8]) -> Result<Reply, Reply> {
    if !target.contains('*') && !store.indices.contains_key(target) {
        return Err(replies::error(404, "index_not_found_exception", &format!("no such index [{target}]")));
    }
    let request: Value = match body {
        [] => json!({}),
        body => serde_json::from_slice(body)
            .map_err(|error| replies::error(400, "parsing_exception", &error.to_string()))?,
    };
    let wanted = Wanted::of(&request["query"])?;
    let hits: Vec<Value> = store
        .indices
        .iter()
        .filter(|(name, _)| template::matches(target, name))
        .flat_map(|(name, index)| index.documents.iter().map(move |(id, document)| (name, id, source_of(document))))
        .filter(|(_, _, source)| wanted.fits(source))
        .map(|(name, id, source)| json!({ "_index": name, "_id": id, "_score": 1.0, "_source": source }))
        .collect();
    if verb == "_count" {
        return Ok(Reply::json(200, &json!({ "count": hits.len() })));
    }
    let total = json!({ "value": hits.len(), "relation": "eq" });
    let size = request["size"].as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(DEFAULT_SIZE);
    let shown: Vec<Value> = hits.into_iter().take(size).collect();
    Ok(Reply::json(200, &json!({ "took": 1, "timed_out": false, "hits": { "total": total, "hits": shown } })))
}

fn source_of(document: &Document) -> Value {
    serde_json::from_slice(&document.source).unwrap_or_default()
}

enum Wanted {
    All,
    Exactly(String, Value),
    Any(Vec<Wanted>),
}

impl Wanted {
    fn of(query: &Value) -> Result<Self, Reply> {
        if query.is_null() || query.get("match_all").is_some() {
            return Ok(Self::All);
        }
        if let Some(should) = query["bool"]["should"].as_array() {
            return should.iter().map(Self::of).collect::<Result<_, _>>().map(Self::Any);
        }
        let term = query["term"].as_object().and_then(|term| term.iter().next());
        let (field, value) = term.ok_or_else(|| {
            replies::error(
                400,
                "parsing_exception",
                "this receiver knows the queries `match_all`, `term`, and `bool` with `should`",
            )
        })?;
        let value = value.get("value").unwrap_or(value);
        Ok(Self::Exactly(field.clone(), value.clone()))
    }

    fn fits(&self, source: &Value) -> bool {
        match self {
            Self::All => true,
            Self::Any(others) => others.iter().any(|wanted| wanted.fits(source)),
            Self::Exactly(field, value) => field.split('.').fold(source, |inner, name| &inner[name]) == value,
        }
    }
}
