//! The shapes of the node's answers: whole-request errors and the items of a bulk reply.

use serde_json::{Value, json};

use super::Flavour;
use crate::receiver::Reply;

/// An error of the whole request, in the shape that both products share.
pub(super) fn error(status: u16, kind: &str, reason: &str) -> Reply {
    let cause = json!({ "type": kind, "reason": reason });
    Reply::json(
        status,
        &json!({ "error": { "root_cause": [cause], "type": kind, "reason": reason }, "status": status }),
    )
}

/// 401: OpenSearch's security plugin answers with plain text, Elasticsearch with JSON.
pub(super) fn unauthorized(flavour: Flavour, reason: &str) -> Reply {
    let challenge = "Basic realm=\"security\", charset=\"UTF-8\"";
    let reply = match flavour {
        Flavour::OpenSearch => Reply::text(401, "text/plain; charset=UTF-8", "Unauthorized"),
        Flavour::Elasticsearch | Flavour::Serverless => error(401, "security_exception", reason),
    };
    reply.with_header("www-authenticate", challenge)
}

/// 403: the credentials are known but may not do this.
pub(super) fn forbidden(action: &str, privilege: &str) -> Reply {
    error(
        403,
        "security_exception",
        &forbidden_reason(action, &format!("the cluster privileges [{privilege},manage,all]")),
    )
}

pub(super) fn forbidden_reason(action: &str, granted_by: &str) -> String {
    format!("action [{action}] is unauthorized for API key, this action is granted by {granted_by}")
}

/// An item that was created or replaced.
pub(super) fn stored(verb: &str, index: &str, id: &str, version: u64, sequence: usize) -> Value {
    let created = version == 1;
    json!({ verb: {
        "_index": index,
        "_id": id,
        "_version": version,
        "result": if created { "created" } else { "updated" },
        "_shards": { "total": 2, "successful": 1, "failed": 0 },
        "_seq_no": sequence,
        "_primary_term": 1,
        "status": if created { 201 } else { 200 },
    } })
}

/// An item that went to the failure store of a data stream.
pub(super) fn stored_as_failure(verb: &str, index: &str, id: &str) -> Value {
    let failures = format!(".fs-{index}-000001");
    json!({ verb: {
        "_index": failures, "_id": id, "_version": 1, "result": "created", "failure_store": "used", "status": 201,
    } })
}

/// An item that failed.
pub(super) fn failed(verb: &str, index: &str, id: &str, status: u16, kind: &str, reason: &str) -> Value {
    json!({ verb: {
        "_index": index, "_id": id, "status": status, "error": { "type": kind, "reason": reason },
    } })
}

/// A bulk reply with these items.
pub(super) fn bulk(items: Vec<Value>) -> Reply {
    let errors = items.iter().any(is_failure);
    Reply::json(200, &json!({ "took": 3, "errors": errors, "items": Value::Array(items) }))
}

fn is_failure(item: &Value) -> bool {
    let Some(mut outcomes) = item.as_object().map(|item| item.values()) else { return false };
    outcomes.any(|outcome| outcome.get("error").is_some())
}

/// The type of error for a document that does not fit its mapping: renamed in Elasticsearch 8.
pub(super) fn parsing_exception(flavour: Flavour, major: u64) -> &'static str {
    match flavour {
        Flavour::OpenSearch => "mapper_parsing_exception",
        Flavour::Elasticsearch if major < 8 => "mapper_parsing_exception",
        Flavour::Elasticsearch | Flavour::Serverless => "document_parsing_exception",
    }
}

/// The error that a node gives most often with an item status.
pub(super) fn usual_error(status: u16) -> (&'static str, &'static str) {
    match status {
        400 => ("document_parsing_exception", "[1:2] failed to parse field [details] of type [long] in document"),
        403 => ("security_exception", "action [indices:data/write/bulk[s]] is unauthorized"),
        404 => ("index_not_found_exception", "no such index and [action.auto_create_index] is [false]"),
        409 => ("version_conflict_engine_exception", "version conflict, document already exists (current version [1])"),
        429 => ("es_rejected_execution_exception", "rejected execution of primary operation"),
        503 => ("unavailable_shards_exception", "primary shard is not active Timeout: [1m]"),
        _ => ("exception", "the operation failed"),
    }
}
