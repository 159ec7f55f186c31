//! Index templates: what a node refuses in one, which of several applies (Elasticsearch's reference, "Index templates").

use std::collections::BTreeMap;

use serde_json::Value;

use super::Flavour;

/// Why a template was refused: the error's type and reason, always with status 400.
pub(super) struct Refused {
    pub(super) kind: &'static str,
    pub(super) reason: String,
}

const KNOWN: [&str; 9] = [
    "index_patterns",
    "template",
    "composed_of",
    "priority",
    "version",
    "_meta",
    "data_stream",
    "allow_auto_create",
    "ignore_missing_component_templates",
];

/// Judges a template against the product, its version (major, minor) and the templates that exist.
pub(super) fn check(
    name: &str,
    template: &Value,
    flavour: Flavour,
    version: (u64, u64),
    others: &BTreeMap<String, Value>,
) -> Result<(), Refused> {
    let Some(members) = template.as_object() else {
        return Err(Refused { kind: "parse_exception", reason: "request body is required".to_owned() });
    };
    if let Some(unknown) = members.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(unparseable(&format!("[index_template] unknown field [{unknown}]")));
    }
    let patterns = patterns_of(template);
    if patterns.is_empty() {
        return Err(unparseable("Required [index_patterns]"));
    }
    for number in ["priority", "version"] {
        if members.get(number).is_some_and(|value| value.as_u64().is_none()) {
            return Err(unparseable(&format!("[index_template] failed to parse field [{number}]")));
        }
    }
    if flavour == Flavour::Serverless {
        refuse_sizing(&template["template"]["settings"])?;
    }
    check_types(&template["template"]["mappings"], flavour, version)?;
    check_overlap(name, template, &patterns, others)
}

fn unparseable(reason: &str) -> Refused {
    Refused { kind: "x_content_parse_exception", reason: reason.to_owned() }
}

/// Serverless sizes indices itself.
fn refuse_sizing(settings: &Value) -> Result<(), Refused> {
    let sizing = ["number_of_shards", "number_of_replicas"];
    let set: Vec<String> = sizing
        .iter()
        .filter(|name| {
            let dotted = format!("index.{name}");
            [&settings[**name], &settings[&dotted], &settings["index"][**name]].iter().any(|value| !value.is_null())
        })
        .map(|name| format!("index.{name}"))
        .collect();
    if set.is_empty() {
        return Ok(());
    }
    let reason = format!("Settings [{}] are not available when running in serverless mode", set.join(","));
    Err(Refused { kind: "illegal_argument_exception", reason })
}

/// `flattened` is Elasticsearch's alone, `flat_object` OpenSearch's from 2.7.
fn check_types(mappings: &Value, flavour: Flavour, version: (u64, u64)) -> Result<(), Refused> {
    let Some(properties) = mappings["properties"].as_object() else { return Ok(()) };
    for (name, definition) in properties {
        let known = match definition["type"].as_str() {
            Some("flattened") => flavour != Flavour::OpenSearch,
            Some("flat_object") => flavour == Flavour::OpenSearch && version >= (2, 7),
            Some(kind) => is_type(kind),
            None => true,
        };
        if !known {
            let kind = definition["type"].as_str().unwrap_or_default();
            let reason = format!("Failed to parse mapping: No handler for type [{kind}] declared on field [{name}]");
            return Err(Refused { kind: "mapper_parsing_exception", reason });
        }
        check_types(definition, flavour, version)?;
    }
    Ok(())
}

fn is_type(kind: &str) -> bool {
    const TYPES: [&str; 22] = [
        "alias",
        "binary",
        "boolean",
        "byte",
        "constant_keyword",
        "date",
        "date_nanos",
        "double",
        "float",
        "geo_point",
        "half_float",
        "integer",
        "ip",
        "keyword",
        "long",
        "match_only_text",
        "nested",
        "object",
        "scaled_float",
        "short",
        "text",
        "wildcard",
    ];
    TYPES.contains(&kind)
}

/// Two templates of equal priority must not match the same index.
fn check_overlap(
    name: &str,
    template: &Value,
    patterns: &[String],
    others: &BTreeMap<String, Value>,
) -> Result<(), Refused> {
    let overlaps = |other: &Value| {
        patterns_of(other)
            .iter()
            .any(|theirs| patterns.iter().any(|ours| intersect(ours.as_bytes(), theirs.as_bytes())))
    };
    let priority = priority_of(template);
    let clash =
        others.iter().find(|(existing, other)| *existing != name && priority_of(other) == priority && overlaps(other));
    let Some((existing, other)) = clash else { return Ok(()) };
    let reason = format!(
        "index template [{name}] has index patterns {patterns:?} matching patterns from existing templates \
         [{existing}] with patterns ({existing} => {:?}) that have the same priority [{priority}], multiple index \
         templates may not match during index creation, please use a different priority",
        patterns_of(other)
    );
    Err(Refused { kind: "illegal_argument_exception", reason })
}

fn patterns_of(template: &Value) -> Vec<String> {
    let texts = |value: &Value| value.as_str().map(str::to_owned);
    match &template["index_patterns"] {
        Value::Array(patterns) => patterns.iter().filter_map(texts).collect(),
        one => texts(one).into_iter().collect(),
    }
}

/// Missing means 0.
fn priority_of(template: &Value) -> u64 {
    template["priority"].as_u64().unwrap_or(0)
}

/// The template that a new index gets: the matching one of the highest priority, alone.
pub(super) fn for_index<'a>(index: &str, templates: &'a BTreeMap<String, Value>) -> Option<&'a Value> {
    templates
        .values()
        .filter(|template| patterns_of(template).iter().any(|pattern| matches(pattern, index)))
        .max_by_key(|template| priority_of(template))
}

/// Whether a name matches a pattern in which `*` stands for any run of characters.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    // A name without a star intersects a pattern exactly where it matches it.
    !name.contains('*') && intersect(pattern.as_bytes(), name.as_bytes())
}

/// Whether some name matches both patterns.
fn intersect(left: &[u8], right: &[u8]) -> bool {
    match (left, right) {
        ([], rest) | (rest, []) => rest.iter().all(|byte| *byte == b'*'),
        ([b'*', left_rest @ ..], _) => intersect(left_rest, right) || intersect(left, &right[1..]),
        (_, [b'*', right_rest @ ..]) => intersect(left, right_rest) || intersect(&left[1..], right),
        ([l, left_rest @ ..], [r, right_rest @ ..]) => l == r && intersect(left_rest, right_rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_and_intersect() {
        assert!(matches("toktra-*", "toktra-security-events-2025.01.15"));
        assert!(!matches("toktra-*", "other-2025"));
        assert!(matches("logs", "logs") && !matches("logs", "logs-1"));
        assert!(intersect(b"toktra-*", b"*-events-*"));
        assert!(intersect(b"a*c", b"ab*"));
        assert!(!intersect(b"toktra-*", b"other-*"));
    }
}
