//! Before and after, as the few lines that differ.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use toktra_siem_wire::AuditEntry;

use super::model::Sides as _;
use crate::show::{self, Html};

/// Members that change with every save, or say nothing that the line does not say already.
const SILENT: [&str; 8] =
    ["id", "org_id", "revision", "created_at", "updated_at", "last_used_at", "last_login_at", "activated"];
/// Where a filter stands in a connector: empty means all.
const FILTER: &str = "filter.";

/// A member, before and after.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Its name for people.
    pub(super) name: String,
    /// What it was; none where it was not there.
    pub(super) before: Option<Html>,
    /// What it is; none where it is not there any more.
    pub(super) after: Option<Html>,
}

/// What differs. Where there was nothing before, or is nothing after, everything that there is.
pub(super) fn rows(entry: &AuditEntry) -> Vec<Row> {
    let (before, after) = (flat(entry.side("before")), flat(entry.side("after")));
    let mut paths: Vec<&String> = before.keys().chain(after.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    let mut rows: Vec<Row> = paths
        .into_iter()
        .filter(|path| before.get(*path) != after.get(*path))
        .map(|path| {
            // A filter that is left out forwards all.
            let otherwise = if path.starts_with(FILTER) { Some(Html::text("all")) } else { None };
            let side = |side: &BTreeMap<String, &Value>| match side.get(path) {
                Some(value) => Some(shown(path, value)),
                None if side.is_empty() => None,
                None => otherwise.clone(),
            };
            Row { name: name(path), before: side(&before), after: side(&after) }
        })
        .collect();
    // What the line says beside the two.
    let more: Map<String, Value> = entry
        .detail
        .iter()
        .filter(|(member, _)| !matches!(member.as_str(), "before" | "after"))
        .map(|(m, v)| (m.clone(), v.clone()))
        .collect();
    rows.extend(
        flat(Some(&more))
            .into_iter()
            .filter(|(_, value)| !matches!(value, Value::Null | Value::Bool(false)))
            .map(|(path, value)| Row { name: name(&path), before: None, after: Some(shown(&path, value)) }),
    );
    rows
}

/// The paths of what differs between the two sides.
pub(super) fn changed(entry: &AuditEntry) -> Vec<String> {
    let (before, after) = (flat(entry.side("before")), flat(entry.side("after")));
    before
        .keys()
        .chain(after.keys().filter(|path| !before.contains_key(*path)))
        .filter(|path| before.get(*path) != after.get(*path))
        .cloned()
        .collect()
}

/// Whether what is at this path is a secret, of which only that it is set is told.
pub(super) fn is_secret(entry: &AuditEntry, path: &str) -> bool {
    ["before", "after"].into_iter().any(|side| flat(entry.side(side)).get(path).is_some_and(|value| secret(value)))
}

fn secret(value: &Value) -> bool {
    value.get("set").is_some_and(Value::is_boolean)
}

/// Every member by its path. Secrets and lists stay whole.
fn flat(object: Option<&Map<String, Value>>) -> BTreeMap<String, &Value> {
    fn add<'a>(all: &mut BTreeMap<String, &'a Value>, prefix: &str, object: &'a Map<String, Value>) {
        for (member, value) in object.iter().filter(|(member, _)| !SILENT.contains(&member.as_str())) {
            let path = format!("{prefix}{member}");
            match value {
                Value::Object(inner) if !secret(value) => add(all, &format!("{path}."), inner),
                _ => {
                    all.insert(path, value);
                }
            }
        }
    }
    let mut all = BTreeMap::new();
    if let Some(object) = object {
        add(&mut all, "", object);
    }
    all
}

/// `config.hec_url` as `HEC URL`, `filter.event_types` as `Filter: event types`.
fn name(path: &str) -> String {
    let path =
        ["config.", "connector."].into_iter().fold(path, |path, prefix| path.strip_prefix(prefix).unwrap_or(path));
    let words: Vec<String> = path
        .replace('.', ": ")
        .split(['_', ' '])
        .map(|word| match word {
            "url" | "hec" | "api" | "id" | "tls" | "ca" => word.to_uppercase(),
            word => word.to_owned(),
        })
        .collect();
    let text = words.join(" ");
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// A value for people.
fn shown(path: &str, value: &Value) -> Html {
    match value {
        Value::Null => Html::text("none"),
        Value::Bool(yes) => Html::text(if *yes { "yes" } else { "no" }),
        Value::String(text) => show::sentence(text),
        Value::Array(all) if all.is_empty() => {
            Html::text(if path.starts_with(FILTER) || path.contains(".filter.") { "all" } else { "none" })
        }
        Value::Array(all) => {
            let words: Vec<String> =
                all.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned)).collect();
            Html::text(&words.join(", "))
        }
        Value::Object(_) if secret(value) => Html::text(&masked(value)),
        other => Html::text(&other.to_string()),
    }
}

fn masked(secret: &Value) -> String {
    let text = |member: &str| secret.get(member).and_then(Value::as_str);
    match (secret.get("set").and_then(Value::as_bool), text("hint"), text("source")) {
        (Some(true), hint, source) => {
            let hint = hint.map(|hint| format!(", ends in {hint}")).unwrap_or_default();
            let source = source.map(|source| format!(", from {source}")).unwrap_or_default();
            format!("set{hint}{source}")
        }
        _ => "not set".to_owned(),
    }
}
