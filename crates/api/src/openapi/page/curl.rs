//! An operation as a command to paste.

use std::fmt::Write as _;

use serde_json::Value;

use super::{EXAMPLE, pretty};
use crate::doc::JSON;

/// Where events are posted.
const EVENTS: &str = "/v1/events";

/// `curl` with what the operation takes. Ids stand as words to be replaced.
pub(super) fn of(method: &str, path: &str, operation: &Value) -> String {
    let mut command = "curl -sS".to_owned();
    let body = operation["requestBody"]["content"][JSON].get("example");
    if method != if body.is_some() { "POST" } else { "GET" } {
        let _ = write!(command, " -X {method}");
    }
    let _ = write!(command, " {EXAMPLE}{}", with_words(path));
    if operation["security"].as_array().is_some_and(|demands| !demands.is_empty()) {
        command += " \\\n  -H \"Authorization: Bearer $TOKTRA_SIEM_API_KEY\"";
    }
    if let Some(body) = body {
        // Pasted twice, an id of the example would make a duplicate of what is posted.
        let mut body = body.clone();
        if path == EVENTS
            && let Some(event) = body.as_object_mut()
        {
            event.remove("event_id");
        }
        let body = pretty(&body).replace('\'', r"'\''").replace('\n', "\n  ");
        let _ = write!(command, " \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'");
    }
    command
}

/// `/v1/orgs/{id}` as `/v1/orgs/ORG_ID`.
fn with_words(path: &str) -> String {
    let mut before = "";
    let mut words = Vec::new();
    for segment in path.split('/') {
        words.push(if segment.starts_with('{') { word(before) } else { segment.to_owned() });
        before = segment;
    }
    words.join("/")
}

fn word(collection: &str) -> String {
    let one = match collection.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => collection.strip_suffix('s').unwrap_or(collection).to_owned(),
    };
    format!("{}_ID", one.replace('-', "_").to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_command_says_what_is_not_understood_by_itself() {
        let operation = json!({ "security": [{ "bearer": [] }], "requestBody": { "content": { JSON: { "example": { "name": "Jo's" } } } } });
        assert_eq!(
            of("PATCH", "/v1/api-keys/{id}", &operation),
            "curl -sS -X PATCH http://127.0.0.1:8080/v1/api-keys/API_KEY_ID \\\n  -H \"Authorization: Bearer $TOKTRA_SIEM_API_KEY\" \\\n  \
             -H 'Content-Type: application/json' \\\n  -d '{\n    \"name\": \"Jo'\\''s\"\n  }'"
        );
        assert_eq!(
            of("GET", "/v1/siem/deliveries/{id}", &json!({})),
            "curl -sS http://127.0.0.1:8080/v1/siem/deliveries/DELIVERY_ID"
        );
    }
}
