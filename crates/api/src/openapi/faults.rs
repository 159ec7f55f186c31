//! Errors in the document: those that follow from what a route demands and reads, and those that it names itself.

use std::collections::{BTreeMap, BTreeSet};

use http::{Method, StatusCode};
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use crate::doc::{Doc, JSON};
use crate::error::Code;
use crate::guard::Access;
use crate::routes::Route;
use toktra_siem_wire::Refused;

/// An error that many routes have: the name of its component, and when it is answered.
struct Common {
    name: &'static str,
    status: StatusCode,
    code: Code,
    about: &'static str,
}

/// Those that follow from what a route demands and reads.
fn common(route: &Route, doc: &Doc) -> Vec<Common> {
    let guarded = route.access != Access::Open;
    let reads = doc.body.is_some();
    let posts = route.access == Access::Events;
    let writes = route.method != Method::GET;
    let org = !matches!(route.access, Access::Open | Access::Platform);
    let mut found = Vec::new();
    let mut when = |condition: bool, name, status, code, about| {
        if condition {
            found.push(Common { name, status, code, about });
        }
    };
    when(guarded || reads, "BadRequest", StatusCode::BAD_REQUEST, Code::BadRequest, "The request cannot be read.");
    when(
        guarded,
        "Unauthorized",
        StatusCode::UNAUTHORIZED,
        Code::Unauthorized,
        "No API key or session, or one that is not known, revoked, ended or expired.",
    );
    when(
        guarded,
        "Forbidden",
        StatusCode::FORBIDDEN,
        Code::Forbidden,
        "The API key, or the role of the user, does not include the scope.",
    );
    when(
        org || route.path.contains('{'),
        "NotFound",
        StatusCode::NOT_FOUND,
        Code::NotFound,
        "There is no such thing, or it belongs to another org.",
    );
    when(
        reads,
        "TooLarge",
        StatusCode::PAYLOAD_TOO_LARGE,
        Code::BadRequest,
        "The body is larger than this route takes.",
    );
    when(
        reads,
        "Unsupported",
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::BadRequest,
        "The media type, or the content encoding, is not one of those listed.",
    );
    when(
        guarded || reads,
        "Invalid",
        StatusCode::UNPROCESSABLE_ENTITY,
        Code::Invalid,
        "Something in the request is not acceptable; `fields` names each place. Parameters and members that are not known are refused.",
    );
    when(
        guarded && route.access != Access::Events,
        "RateLimited",
        StatusCode::TOO_MANY_REQUESTS,
        Code::RateLimited,
        "The API key, or the user, has used up the requests for the moment.",
    );
    when(
        writes,
        "QueueFull",
        StatusCode::TOO_MANY_REQUESTS,
        Code::QueueFull,
        "The service takes in as much as it can. Nothing of this request was kept: send it again.",
    );
    when(
        guarded || reads,
        if posts { "PostInternalError" } else { "InternalError" },
        StatusCode::INTERNAL_SERVER_ERROR,
        Code::Unavailable,
        if posts {
            "A defect of the service; its log says more. Whether the events are kept is not known: send them again, with the same `event_id`s."
        } else {
            "A defect of the service; its log says more."
        },
    );
    when(
        guarded || reads,
        if posts { "PostUnavailable" } else { "Unavailable" },
        StatusCode::SERVICE_UNAVAILABLE,
        Code::Unavailable,
        if posts {
            "The service cannot do this at the moment. Whether the events are kept is not known: send them again, with the same `event_id`s."
        } else {
            "The service cannot do this at the moment."
        },
    );
    when(
        writes,
        "DiskFull",
        StatusCode::INSUFFICIENT_STORAGE,
        Code::DiskFull,
        "The disk budget is used up. Nothing of this request was kept.",
    );
    found
}

/// The errors that several routes share, by the name of their component.
#[derive(Default)]
pub(super) struct Faults(BTreeMap<String, Value>);

impl Faults {
    /// The errors of a route, by status. What it shares with others is a reference.
    pub(super) fn of(&mut self, route: &Route, doc: &Doc) -> Map<String, Value> {
        let common = common(route, doc);
        let statuses: BTreeSet<u16> =
            common.iter().map(|c| c.status.as_u16()).chain(doc.faults.iter().map(|f| f.status.as_u16())).collect();
        let response = |status: u16| {
            let shared: Vec<&Common> = common.iter().filter(|common| common.status.as_u16() == status).collect();
            let own = doc.faults.iter().filter(|fault| fault.status.as_u16() == status);
            let all: Vec<(Code, &str)> = shared
                .iter()
                .map(|common| (common.code, common.about))
                .chain(own.clone().map(|f| (f.code, f.about)))
                .collect();
            let response = response(route, status, &all);
            if own.count() > 0 {
                return response;
            }
            let name = shared.iter().map(|common| common.name).collect::<Vec<_>>().join("Or");
            let reference = json!({ "$ref": format!("#/components/responses/{name}") });
            self.0.insert(name, response);
            reference
        };
        statuses
            .iter()
            .copied()
            .map({
                let mut response = response;
                move |status| (status.to_string(), response(status))
            })
            .collect()
    }

    /// What was shared.
    pub(super) fn take(self, generator: &mut SchemaGenerator) -> BTreeMap<String, Value> {
        generator.subschema_for::<Refused>();
        self.0
    }
}

/// An error with its codes, each with the sentence that says when.
fn response(route: &Route, status: u16, all: &[(Code, &str)]) -> Value {
    let mut codes: Vec<Code> = all.iter().map(|(code, _)| *code).collect();
    codes.dedup();
    let about = match all {
        [(code, about)] => format!("`{}`: {about}", word(*code)),
        many => many.iter().map(|(code, about)| format!("- `{}`: {about}", word(*code))).collect::<Vec<_>>().join("\n"),
    };
    let mut headers = Map::new();
    if matches!(status, 429 | 503 | 507) {
        headers.insert("Retry-After".to_owned(), json!({ "$ref": "#/components/headers/Retry-After" }));
    }
    if status == 401 {
        headers.insert("WWW-Authenticate".to_owned(), json!({ "$ref": "#/components/headers/WWW-Authenticate" }));
    }
    if status != 401 && route.access != Access::Open {
        // Also where this response is shared with `/v1/events`, which has no such limit: no header is promised.
        headers.extend(limit_headers(Access::Platform));
    }
    let codes: Vec<String> = codes.into_iter().map(word).collect();
    let code = json!({ "properties": { "error": { "properties": { "code": { "enum": codes } } } } });
    let mut schema = json!({ "$ref": "#/components/schemas/Error" });
    if let (Value::Object(schema), Value::Object(code)) = (&mut schema, code) {
        schema.extend(code);
    }
    let mut response = json!({ "description": about, "content": { JSON: { "schema": schema } } });
    if !headers.is_empty() {
        response["headers"] = headers.into();
    }
    response
}

fn word(code: Code) -> String {
    serde_json::to_value(code).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// References to the headers that tell a key's request limit.
pub(super) fn limit_headers(access: Access) -> Map<String, Value> {
    if matches!(access, Access::Open | Access::Events) {
        return Map::new();
    }
    let names = ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"];
    names.iter().map(|name| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))).collect()
}

/// The headers that answers share.
pub(super) fn headers() -> Value {
    let number = json!({ "type": "integer", "minimum": 0 });
    json!({
        "X-RateLimit-Limit": { "description": "Requests a minute that the API key has.", "schema": number },
        "X-RateLimit-Remaining": { "description": "Requests that are possible at once.", "schema": number },
        "X-RateLimit-Reset": {
            "description": "When all of them are possible again, in seconds since 1970-01-01T00:00:00Z.",
            "schema": number,
        },
        "Retry-After": { "description": "Seconds to wait before the request is sent again.", "schema": number },
        "WWW-Authenticate": { "description": "How to authenticate.", "schema": { "type": "string" } },
    })
}
