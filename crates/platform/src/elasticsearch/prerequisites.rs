//! What an administrator of Elasticsearch or OpenSearch does before a connector works: a credential with exactly the rights that it needs.
//!
//! Facts: Elasticsearch's documentation, "Create API key" and "Security privileges"; OpenSearch's, "Create role" and "Create role mapping"; which
//! rights a connector uses is in docs/elasticsearch.md.

use serde_json::{Map, Value, json};

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
    .with(request("POST", &format!("{url}/_security/api_key"), &body))
}

fn user(url: &str, name: &str, place: &Place, template: bool) -> Prerequisite {
    Prerequisite::new(
        format!("Elasticsearch: a role for the user {name}"),
        "In Kibana: Stack Management → Roles, then Users. Or as commands; the second one asks for the user's password in its body:",
    )
    .with(format!(
        "{}\n{}",
        request("PUT", &format!("{url}/_security/role/toktra_siem"), &role(place, template)),
        request(
            "POST",
            &format!("{url}/_security/user/{name}"),
            &json!({ "password": "<a password of at least 6 characters>", "roles": ["toktra_siem"] })
        )
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
    Prerequisite::new(
        format!("OpenSearch instead: a role for the user {name}"),
        "In OpenSearch Dashboards: Security → Internal users, then Roles. Or as commands:",
    )
    .with(format!(
        "{}\n{}\n{}",
        request(
            "PUT",
            &format!("{url}/_plugins/_security/api/internalusers/{name}"),
            &json!({ "password": "<a strong password>" })
        ),
        request("PUT", &format!("{url}/_plugins/_security/api/roles/toktra_siem"), &role),
        request("PUT", &format!("{url}/_plugins/_security/api/rolesmapping/toktra_siem"), &json!({ "users": [name] }))
    ))
}

/// A request of an administrator, as a command.
fn request(method: &str, url: &str, body: &Value) -> String {
    format!(
        "curl --user <administrator> -X {method} {} \\\n  -H 'Content-Type: application/json' -d {}",
        quoted(url),
        quoted(&lines(body))
    )
}
