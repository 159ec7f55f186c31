//! What an administrator of Elasticsearch or OpenSearch does before a connector works: a credential with exactly the rights that it needs.
//!
//! Facts: Elasticsearch's documentation, "Create API key" and "Security privileges"; OpenSearch's, "Create role" and "Create role mapping"; which
//! rights a connector uses is in docs/elasticsearch.md.

use serde_json::{Map, Value, json};
use url::Url;

use super::bulk::Place;
use crate::prerequisite::{Prerequisite, text};
use crate::reproduce::quoted;

/// All of it, for these settings.
pub(super) fn of(config: &Map<String, Value>, place: &Place) -> Vec<Prerequisite> {
    let url = match text(config, "url") {
        "" => "https://<cluster>:9200",
        url => url,
    };
    let template = config.get("manage_template") != Some(&Value::Bool(false));
    let mut all = match text(config, "username") {
        "" => vec![key(url, place, template)],
        name => vec![user(url, name, place, template)],
    };
    all.push(opensearch(url, text(config, "username"), place, template));
    all.push(Prerequisite::new(
        "An API key for searching, if test deliveries are to find their event",
        format!("It has the privilege read on {}, and no other.", place.pattern()),
    ));
    if !template {
        all.push(Prerequisite::new(
            format!("Apply the index template {}", place.template()),
            "The connector does not apply it by itself (manage_template is off). Its text is in docs/elasticsearch.md, “The index template”. \
             Without it the cluster guesses what each field is, and may refuse events.",
        ));
    }
    all
}

fn cluster(template: bool) -> Value {
    if template { json!(["manage_index_templates"]) } else { json!([]) }
}

/// A role as Elasticsearch has it.
fn role(place: &Place, template: bool) -> Value {
    json!({
        "cluster": cluster(template),
        "indices": [{ "names": [place.pattern()], "privileges": ["create_doc", "auto_configure"] }],
    })
}

/// JSON in lines, as it is pasted.
fn lines(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn key(url: &str, place: &Place, template: bool) -> Prerequisite {
    let body = json!({ "name": "toktra-siem", "role_descriptors": { "toktra": role(place, template) } });
    Prerequisite::new(
        "Elasticsearch: make an API key",
        "In Kibana: Stack Management → API keys → Create API key → Control security privileges, with the object under “role_descriptors”. Or as a \
         command; the connector takes “encoded” of the answer, or the whole answer.",
    )
    .with(commands("elastic", &[("POST", &at(url, &["_security", "api_key"]), &body, false)]))
}

fn user(url: &str, name: &str, place: &Place, template: bool) -> Prerequisite {
    Prerequisite::new(
        format!("Elasticsearch: make the user {name}"),
        format!("{NEW} In Kibana: Stack Management → Roles, then Users. Or as commands:"),
    )
    .with(commands(
        "elastic",
        &[
            ("PUT", &at(url, &["_security", "role", "toktra_siem"]), &role(place, template), false),
            (
                "POST",
                &at(url, &["_security", "user", name]),
                &json!({ "password": PASSWORD, "roles": ["toktra_siem"] }),
                true,
            ),
        ],
    ))
}

fn opensearch(url: &str, name: &str, place: &Place, template: bool) -> Prerequisite {
    let mut permissions = vec!["indices:data/write/bulk"];
    if template {
        permissions.extend(["indices:admin/index_template/get", "indices:admin/index_template/put"]);
    }
    let role = json!({
        "cluster_permissions": permissions,
        "index_permissions": [{ "index_patterns": [place.pattern()], "allowed_actions": ["index", "create_index"] }],
    });
    let name = if name.is_empty() { "toktra" } else { name };
    let below = |kind: &str, name: &str| at(url, &["_plugins", "_security", "api", kind, name]);
    Prerequisite::new(
        format!("OpenSearch instead: make the user {name}"),
        format!("{NEW} In OpenSearch Dashboards: Security → Internal users, then Roles. Or as commands:"),
    )
    .with(commands(
        "admin",
        &[
            ("PUT", &below("internalusers", name), &json!({ "password": PASSWORD }), true),
            ("PUT", &below("roles", "toktra_siem"), &role, false),
            ("PUT", &below("rolesmapping", "toktra_siem"), &json!({ "users": [name] }), false),
        ],
    ))
}

/// A mark in the body for the password of a new user.
const PASSWORD: &str = "{{password}}";
const NEW: &str = "Only if there is no such user yet: the commands would change its password and its roles.";

/// An address below the cluster's, each segment escaped.
fn at(url: &str, segments: &[&str]) -> String {
    match Url::parse(url) {
        Ok(mut parsed) => {
            if let Ok(mut path) = parsed.path_segments_mut() {
                path.pop_if_empty().extend(segments);
            }
            parsed.into()
        }
        Err(_) => format!("{url}/{}", segments.join("/")),
    }
}

/// Requests of an administrator, whose password curl asks for: method, address, body, and whether that holds a new user's password.
fn commands(administrator: &str, requests: &[(&str, &str, &Value, bool)]) -> String {
    let one = |(method, url, body, secret): &(&str, &str, &Value, bool)| {
        let body = quoted(&lines(body));
        // The password is put in by whoever runs it, and nothing runs without.
        let body = if *secret { body.replace(PASSWORD, "'\"${PASSWORD:?set it first}\"'") } else { body };
        format!(
            "curl --globoff --user {administrator} -X {method} {} \\\n  -H 'Content-Type: application/json' -d {body}",
            quoted(url)
        )
    };
    requests.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// What is sent back.
pub(super) fn sent_back(config: &Map<String, Value>, place: &Place) -> Vec<String> {
    let login = match text(config, "username") {
        "" => format!("the API key, with create_doc and auto_configure on {}", place.pattern()),
        name => format!("the password of the user {name}"),
    };
    vec!["the cluster's URL or Cloud ID, and the CA if its certificate is not publicly trusted".to_owned(), login]
}
