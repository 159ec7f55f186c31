//! Schemas as tables.

use serde_json::Value;

use super::prose::{escaped, inline, prose};
use super::{list, text};
use crate::openapi::tidy;

/// One schema of the document.
pub(super) struct SchemaView {
    pub(super) name: String,
    pub(super) about: String,
    /// Members that it always has.
    pub(super) rows: Vec<Row>,
    /// Shapes, one of which it has; beside the members.
    pub(super) choices: Vec<Choice>,
    /// The words that it is one of.
    pub(super) words: Vec<Row>,
}

/// One shape of several.
pub(super) struct Choice {
    pub(super) about: String,
    pub(super) rows: Vec<Row>,
}

/// A member, or a word. `kind` and `about` are HTML.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) required: bool,
    pub(super) about: String,
}

/// All schemas of the document, by name.
pub(super) fn all(document: &Value) -> Vec<SchemaView> {
    let schemas = document["components"]["schemas"].as_object().into_iter().flatten();
    schemas.map(|(name, schema)| SchemaView::of(name, schema)).collect()
}

impl SchemaView {
    /// `schema` under its name.
    pub(super) fn of(name: &str, schema: &Value) -> Self {
        let words = words(schema);
        let choices = if words.is_empty() { list(choices(schema)).map(Choice::of).collect() } else { Vec::new() };
        Self { name: name.to_owned(), about: prose(&text(&schema["description"])), rows: rows(schema), choices, words }
    }
}

impl Choice {
    fn of(schema: &Value) -> Self {
        let about = text(&schema["description"]);
        let rows = rows(schema);
        let about = if rows.is_empty() { format!("{} {}", inline(&about), kind(schema)) } else { inline(&about) };
        Self { about, rows }
    }
}

fn choices(schema: &Value) -> &Value {
    if schema["oneOf"].is_array() { &schema["oneOf"] } else { &schema["anyOf"] }
}

/// The words of a type that is one of several words.
pub(super) fn words(schema: &Value) -> Vec<Row> {
    let meanings = list(&schema[tidy::MEANINGS]).map(text).chain(std::iter::repeat(String::new()));
    let row = |(word, about): (&Value, String)| Row {
        name: text(word),
        kind: String::new(),
        required: false,
        about: inline(&about),
    };
    list(&schema["enum"]).zip(meanings).map(row).collect()
}

/// The members of an object: those that are always there first.
fn rows(schema: &Value) -> Vec<Row> {
    let required: Vec<&Value> = list(&schema["required"]).collect();
    let mut rows: Vec<Row> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, member)| Row {
            name: name.clone(),
            kind: kind(member),
            required: required.iter().any(|r| *r == name),
            about: prose(&text(&member["description"])) + &within(member),
        })
        .collect();
    rows.sort_by_key(|row| !row.required);
    rows
}

/// The words and members of a type that has no name of its own.
fn within(schema: &Value) -> String {
    let words = words(schema).into_iter().map(|row| (row.name, row.about));
    let members = rows(schema).into_iter().map(|row| (row.name, format!("{} {}", row.kind, row.about)));
    let items = words.chain(members).map(|(name, about)| format!("<li><code>{}</code> {about}</li>", escaped(&name)));
    let items: String = items.collect();
    if items.is_empty() { items } else { format!("<ul>{items}</ul>") }
}

/// The type of a value, in a few words; HTML, with a link where it has a name.
pub(super) fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return format!("<a href=\"#schema-{0}\">{0}</a>", escaped(name));
    }
    if let Some(word) = schema.get("const") {
        return format!("<code>{}</code>", escaped(&text(word)));
    }
    let alternatives: Vec<String> = list(choices(schema)).map(kind).collect();
    if !alternatives.is_empty() {
        return alternatives.join(" or ");
    }
    let types: Vec<String> = match &schema["type"] {
        Value::Array(types) => types.iter().map(text).collect(),
        Value::String(one) => vec![one.clone()],
        _ => Vec::new(),
    };
    let named = types.iter().map(|one| match (one.as_str(), schema["format"].as_str()) {
        ("string", Some("uuid")) => "UUID".to_owned(),
        ("string", Some("date-time")) => "time".to_owned(),
        ("array", _) => format!("list of {}", kind(&schema["items"])),
        (other, _) => other.to_owned(),
    });
    let named = named.collect::<Vec<_>>().join(" or ");
    let default =
        schema.get("default").map(|default| format!("by default <code>{}</code>", escaped(&default.to_string())));
    [Some(named), bounds(schema), default].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Bounds that a reader has to know.
fn bounds(schema: &Value) -> Option<String> {
    let number = |name: &str| schema[name].as_u64();
    match (number("minimum"), number("maximum"), number("minLength"), number("maxLength")) {
        (Some(least), Some(most), _, _) if most != u64::from(u16::MAX) => Some(format!("{least} to {most}")),
        (_, _, Some(least), Some(most)) => Some(format!("{least} to {most} characters")),
        (_, _, None, Some(most)) => Some(format!("at most {most} characters")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_are_told_in_a_few_words() {
        let cause = "<a href=\"#schema-Cause\">Cause</a>";
        for (schema, words) in [
            (json!({ "type": "string", "format": "uuid" }), "UUID"),
            (json!({ "type": ["string", "null"], "format": "date-time" }), "time or null"),
            (
                json!({ "type": "integer", "minimum": 1, "maximum": 100, "default": 25 }),
                "integer, 1 to 100, by default <code>25</code>",
            ),
            (json!({ "type": "string", "maxLength": 9 }), "string, at most 9 characters"),
            (
                json!({ "anyOf": [{ "$ref": "#/components/schemas/Cause" }, { "type": "null" }] }),
                &format!("{cause} or null"),
            ),
            (
                json!({ "type": "array", "items": { "$ref": "#/components/schemas/Cause" } }),
                &format!("list of {cause}"),
            ),
        ] {
            assert_eq!(kind(&schema), words);
        }
    }
}
