//! Holds every exchange of these tests to the OpenAPI document: an answer that is not documented, or a body that was taken although the
//! document does not allow it, fails the test that made it.
#![expect(clippy::unwrap_used, reason = "only tests run this, and what is not there fails them")]

use std::sync::LazyLock;

use crate::client::{Answer, Asked};
use http::{HeaderMap, Method};
use serde_json::Value;
use toktra_siem_api::openapi;
use toktra_siem_platform::Registry;

mod schema;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| openapi::document(&Registry::standard()));

/// Headers that mean something to a client of this API; others belong to HTTP.
const TOLD: [&str; 7] = [
    "etag",
    "location",
    "retry-after",
    "www-authenticate",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

/// Panics where the document does not know of this.
pub fn hold(asked: &Asked<'_>, answer: &Answer) {
    let faults = faults(asked, answer);
    assert!(
        faults.is_empty(),
        "not as documented: {} {} {}\n{faults:#?}\n{}",
        asked.method,
        asked.path,
        answer.status,
        answer.text()
    );
}

fn faults(asked: &Asked<'_>, answer: &Answer) -> Vec<String> {
    let path = asked.path.split('?').next().unwrap();
    let Some(operations) = operations(path) else { return elsewhere(answer, 404) };
    // What answers GET answers HEAD as well.
    let method = if asked.method == Method::HEAD { Method::GET } else { asked.method.clone() };
    let Some(operation) = operations.get(method.as_str().to_ascii_lowercase()) else { return elsewhere(answer, 405) };
    let Some(response) = operation["responses"].get(answer.status.to_string()).map(resolved) else {
        return vec![format!("the status {} is not documented", answer.status)];
    };
    let mut faults = headers(response, &answer.headers);
    faults.extend(content(response, answer));
    if answer.status < 300 {
        faults.extend(taken(operation, asked));
    }
    faults
}

/// The name of the operation that answers this.
pub fn operation_id(method: &Method, path: &str) -> String {
    let operations = operations(path.split('?').next().unwrap()).unwrap_or_else(|| panic!("{path} is not documented"));
    operations[method.as_str().to_ascii_lowercase()]["operationId"].as_str().unwrap().to_owned()
}

/// What was asked for is not in the document.
fn elsewhere(answer: &Answer, status: u16) -> Vec<String> {
    if answer.status != status {
        return vec![format!("{status} was due, since the document does not have this")];
    }
    body(&serde_json::json!({ "$ref": "#/components/schemas/Error" }), answer)
}

/// The operations of the path that fits best: one without parameters before others.
fn operations(path: &str) -> Option<&'static Value> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let fits = |template: &str| {
        let segments = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        let (template, path) = (segments(template), segments(path));
        template.len() == path.len()
            && template.iter().zip(&path).all(|(t, p)| t == p || (t.starts_with('{') && !p.is_empty()))
    };
    paths.get(path).or_else(|| paths.iter().find(|(template, _)| fits(template)).map(|(_, operations)| operations))
}

fn resolved(value: &'static Value) -> &'static Value {
    let Some(reference) = value.get("$ref") else { return value };
    DOCUMENT.pointer(reference.as_str().unwrap().strip_prefix('#').unwrap()).unwrap()
}

fn headers(response: &Value, sent: &HeaderMap) -> Vec<String> {
    let documented = response["headers"].as_object();
    let known = |name: &str| documented.is_some_and(|all| all.keys().any(|key| key.eq_ignore_ascii_case(name)));
    let told = TOLD.iter().filter(|name| sent.contains_key(**name));
    told.filter(|name| !known(name)).map(|name| format!("the header {name} is not documented")).collect()
}

fn content(response: &Value, answer: &Answer) -> Vec<String> {
    let media = media(answer.header("content-type"));
    let Some(content) = response["content"].get(&media) else {
        return vec![format!("the content type {media:?} is not documented")];
    };
    body(&content["schema"], answer)
}

fn body(schema: &Value, answer: &Answer) -> Vec<String> {
    if answer.body.is_empty() || media(answer.header("content-type")) != "application/json" {
        return Vec::new();
    }
    schema::faults(&DOCUMENT, schema, &answer.json())
}

/// A body that was taken is one that the document allows.
fn taken(operation: &Value, asked: &Asked<'_>) -> Vec<String> {
    let header = |name: &str| asked.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
    let media = media(header("content-type"));
    if asked.body.is_empty() || header("content-encoding").is_some() || media != "application/json" {
        return Vec::new();
    }
    let Some(content) = operation["requestBody"]["content"].get(&media) else { return Vec::new() };
    let value = serde_json::from_slice(asked.body).unwrap();
    let faults = schema::faults(&DOCUMENT, &content["schema"], &value);
    faults.into_iter().map(|fault| format!("the body was taken, although {fault}")).collect()
}

/// A media type without its parameters.
fn media(header: Option<&str>) -> String {
    header.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
