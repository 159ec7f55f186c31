use std::path::Path;

use serde_json::json;

use super::*;

const ID: &str = "0195a2b4-7c1e-7f00-8a2b-1c2d3e4f5a6b";
const PERSON: &str = "0195a2b4-7c1e-7f00-8a2b-00000000000a";

#[expect(clippy::needless_pass_by_value, reason = "each case writes its detail in place")]
fn entry(action: &str, detail: Value) -> AuditEntry {
    let line = json!({
        "id": 1, "at": "2025-01-15T10:30:00Z", "actor": "ada@company.com", "actor_kind": "user", "actor_id": PERSON, "action": action, "object": ID,
        "detail": detail,
    });
    serde_json::from_value(line).unwrap()
}

fn names() -> Names {
    let one = |id: &str, name: &str| [(id.to_owned(), name.to_owned())].into();
    Names {
        connectors: one(ID, "Prod Splunk"),
        people: one(PERSON, "Ada"),
        keys: one("k", "backend"),
        channels: one(ID, "SOC"),
        former: one("gone", "Old Splunk"),
    }
}

fn told(action: &str, detail: Value) -> String {
    let entry = entry(action, detail);
    let sentence = of(&entry, &names()).unwrap_or_else(|| panic!("{action} has no sentence"));
    let object = sentence.object.map(|object| format!(" [{}]", object.name)).unwrap_or_default();
    format!("{} {}{object}{}", actor(&entry, &names()).name, sentence.verb, sentence.rest)
}

/// The words in quotes in `source` that look like an action: `connector.create`.
fn actions(source: &str) -> impl Iterator<Item = &str> {
    let objects = ["connector", "job", "api_key", "user", "session", "org", "notification_channel"];
    source.split('"').filter(move |word| {
        let Some((object, verb)) = word.split_once('.') else { return false };
        objects.contains(&object)
            && !verb.is_empty()
            && verb.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'_' | b'.'))
    })
}

/// What is called to write a line, and which of its arguments is the action.
const WRITERS: [&str; 3] = ["caller.audit(", "= entry(", "ACTION: &str"];

fn sources(directory: &Path, all: &mut Vec<String>) {
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, all);
        } else if path.extension().is_some_and(|ending| ending == "rs") && name != "tests.rs" {
            let text = std::fs::read_to_string(&path).unwrap();
            all.push(text.split("#[cfg(test)]").next().unwrap_or_default().to_owned());
        }
    }
}

#[test]
fn every_action_that_the_code_writes_has_a_sentence() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut all = Vec::new();
    for room in std::fs::read_dir(root).unwrap() {
        let source = room.unwrap().path().join("src");
        if source.is_dir() {
            sources(&source, &mut all);
        }
    }
    let mut written: Vec<&str> = Vec::new();
    for source in all.iter().filter(|source| source.contains("audit") || source.contains("AuditEntry")) {
        written.extend(actions(source));
        // An action about something new has another first word.
        for line in source.lines().filter(|line| WRITERS.iter().any(|writer| line.contains(writer))) {
            written.extend(line.split('"').skip(1).step_by(2).take(1));
        }
    }
    written.sort_unstable();
    written.dedup();
    assert!(written.len() >= 20, "{written:?}");
    for action in &written {
        assert!(of(&entry(action, json!({})), &names()).is_some(), "{action} has no sentence");
    }
    insta::assert_snapshot!(written.join("\n"));
}

#[test]
fn changes_are_told_in_sentences() {
    let of_connector = |before: Value, after: Value| json!({ "before": before, "after": after });
    let secret = |hint: &str| json!({ "hec_url": "https://splunk", "hec_token": { "set": true, "hint": hint } });
    let said = [
        told("connector.create", json!({ "after": { "name": "Prod Splunk" } })),
        told("connector.update", of_connector(json!({ "active": true }), json!({ "active": false }))),
        told("connector.update", of_connector(json!({ "active": false }), json!({ "active": true }))),
        told(
            "connector.update",
            of_connector(json!({ "filter": { "severity": [] } }), json!({ "filter": { "severity": ["high"] } })),
        ),
        told("connector.update", of_connector(json!({ "name": "Old" }), json!({ "name": "Prod Splunk" }))),
        told(
            "connector.update",
            of_connector(json!({ "config": secret("…1111") }), json!({ "config": secret("…2222") })),
        ),
        told(
            "connector.update",
            of_connector(
                json!({ "name": "a", "revision": 1, "filter": { "severity": [] }, "config": { "index": "a" } }),
                json!({ "name": "b", "revision": 2, "filter": { "severity": ["low"] }, "config": { "index": "b" } }),
            ),
        ),
        told("connector.update", of_connector(json!({ "revision": 1 }), json!({ "revision": 2 }))),
        told("connector.update", json!({ "secrets_changed": ["tls_client_key"], "credential_changed": true })),
        told("connector.update", json!({ "secrets_changed": ["signing_secret"] })),
        told("connector.test", json!({ "saved": true })),
        told("connector.test", json!({ "saved": true, "sample": "lockout" })),
        told("connector.test", json!({ "saved": false, "connector": { "name": "New one" } })),
        told("job.create", json!({ "kind": "replay", "connector_id": ID, "total": 1204 })),
        told("job.create", json!({ "kind": "discard", "connector_id": "gone", "total": 1 })),
        told("job.cancel", json!({ "kind": "redeliver_failed", "connector_id": ID, "processed": 3, "total": 10 })),
        told("api_key.create", json!({ "after": { "name": "backend" } })),
        told(
            "user.update",
            json!({ "before": { "role": "viewer" }, "after": { "role": "admin" }, "password_changed": true }),
        ),
        told("user.password", json!({ "after": { "password_changed": true, "address": "11.0.0.1" } })),
        told("session.create", json!({ "after": { "address": "11.0.0.1" } })),
        told("session.limit", json!({ "after": { "address": "11.0.0.1", "refused_for_seconds": 60 } })),
        told("connector.acknowledge", json!({ "after": { "note": "CHG-123", "until": "2025-01-15T14:00:00Z" } })),
        told("connector.acknowledge.end", json!({ "after": null })),
        told("notification_channel.create", json!({ "after": { "name": "SOC" } })),
        told("notification_channel.test", json!({})),
        told("org.rename", json!({ "before": { "name": "a" }, "after": { "name": "b" } })),
    ];
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn what_differs_stands_side_by_side_without_noise_and_secrets_are_masked() {
    let detail = json!({
        "before": {
            "revision": 1, "updated_at": "2025-01-15T10:30:00Z", "filter": { "event_types": ["anomaly"] },
            "config": { "hec_url": "https://a", "index": "main", "hec_token": { "set": true, "hint": "…1111" } },
        },
        "after": {
            "revision": 2, "updated_at": "2025-01-15T10:31:00Z", "filter": { "severity": ["high", "critical"], "event_types": ["anomaly"] },
            "config": { "hec_url": "https://b", "index": "main", "hec_token": { "set": true, "hint": "…2222" } },
        },
        "credential_changed": true, "from": null,
    });
    let rows = diff::rows(&entry("connector.update", detail));
    let shown = |side: &Option<show::Html>| side.as_ref().map_or("-".to_owned(), ToString::to_string);
    let text: Vec<String> =
        rows.iter().map(|row| format!("{}: {} → {}", row.name, shown(&row.before), shown(&row.after))).collect();
    insta::assert_snapshot!(text.join("\n"));
    let xss = diff::rows(&entry(
        "x.y",
        json!({ "after": { "name": "<script>", "list": ["<b>"], "odd": { "<i>": { "deep": 1 } } } }),
    ));
    assert_eq!(xss.len(), 3, "each member has its row");
    assert!(xss.iter().all(|row| !shown(&row.after).contains('<')));
}

#[test]
fn what_is_gone_keeps_its_name() {
    let known = json!({ "after": { "note": "INC-7", "until": "2025-01-15T14:30:00Z" } });
    let gone = AuditEntry { object: "gone".to_owned(), ..entry("connector.acknowledge", known) };
    assert_eq!(of(&gone, &names()).unwrap().object.unwrap().name, "Old Splunk");
    let job = AuditEntry {
        object: ID.to_owned(),
        ..entry("job.create", json!({ "kind": "replay", "connector_id": "gone" }))
    };
    assert_eq!(of(&job, &names()).unwrap().object.unwrap().name, "Old Splunk");
}
